/* The products of every instruction set and precision are compared with double precision and, bit for bit, with the
 * sums that kernel.h or the manual of the processor specifies. On machines that lack a unit, its kernel runs over an
 * emulated one. */
#include "emulated.h"
#include "emulation.h"
#include "kernel_check.h"
#include "units.h"

/* A unit under test: the sum that one of its outputs must have, of bfloat16 or float32 elements along k. */
typedef struct unit {
    const capp_products *products;
    const char *isa;
    float (*sum)(const void *a, const void *b, size_t k);
} unit;

static float sum_fused(const void *a, const void *b, size_t k) {
    float x, y, sum = 0;
    for (size_t i = 0; i < k; i++) {
        memcpy(&x, (const char *)a + i * sizeof x, sizeof x);
        memcpy(&y, (const char *)b + i * sizeof y, sizeof y);
        sum = fmaf(x, y, sum);
    }
    return sum;
}

static uint16_t half_at(const void *p, size_t i) {
    uint16_t x;
    memcpy(&x, (const char *)p + i * sizeof x, sizeof x);
    return x;
}

/* k: a multiple of 32, as rows are padded. */
static float sum_pairs(const void *a, const void *b, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i += 2) {
        sum = emulated_fma(half_at(a, i + 1), half_at(b, i + 1), sum);
        sum = emulated_fma(half_at(a, i), half_at(b, i), sum);
    }
    return sum;
}

static float sum_tiles(const void *a, const void *b, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i += 32) {
        float even = 0, odd = 0;
        for (size_t j = i; j < i + 32; j += 2) {
            even = emulated_fma(half_at(a, j), half_at(b, j), even);
            odd = emulated_fma(half_at(a, j + 1), half_at(b, j + 1), odd);
        }
        sum = emulated_flush(sum + emulated_flush(even + odd));
    }
    return sum;
}

static float sum_odd(const void *a, const void *b, size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i += 2) {
        const uint16_t x[2] = {half_at(a, i), half_at(a, i + 1)}, y[2] = {half_at(b, i), half_at(b, i + 1)};
        sum = emulated_bfdot(sum, x, y);
    }
    return sum;
}

static size_t padded_of(const capp_products *p, size_t k) {
    return (k + p->step - 1) / p->step * p->step;
}

/* Element i of a row of elements. */
static double element(const capp_products *p, const void *row, size_t i) {
    float x;
    if (p->element == sizeof(uint16_t)) return (double)emulated_wide(half_at(row, i));
    memcpy(&x, (const char *)row + i * sizeof x, sizeof x);
    return (double)x;
}

/* n elements that adjoin the guards. */
static char *elements(const capp_products *p, size_t n) {
    const size_t floats = (n * p->element + 3) / 4;
    char *memory = (char *)array(floats);
    return at_end ? memory + floats * sizeof(float) - n * p->element : memory;
}

/* Rows of x [n][k] as elements, padded; rows are ld elements apart. */
static char *narrowed(const capp_products *p, const float *x, size_t n, size_t k, size_t ld) {
    char *rows = elements(p, (n - 1) * ld + padded_of(p, k));
    for (size_t r = 0; r < n; r++) p->narrow(rows + r * ld * p->element, x + r * k, k, padded_of(p, k));
    return rows;
}

static void *panel_of(const capp_products *p, const float *w, size_t ldw, size_t n, size_t k) {
    const size_t bytes = p->panel_bytes(0, k);
    float *panel = array(bytes / sizeof(float));
    if (bytes % 64 != 0) reject("panel_bytes % 64", (double)(bytes % 64), 0, HUGE_VAL);
    p->pack(panel, w, ldw, n, k);
    return panel;
}

static void expect(const unit *u, const char *a, const char *b, size_t k, float was, float got) {
    const capp_products *p = u->products;
    double sum = (double)was, size = fabs(sum);
    for (size_t i = 0; i < k; i++) {
        const double product = element(p, a, i) * element(p, b, i);
        sum += product;
        size += fabs(product);
    }
    const float bits = was + u->sum(a, b, padded_of(p, k));
    near("matmul", (double)got, sum, 12 * EPS * size + 1e-30);
    same("matmul, bits", &got, &bits, 1);
}

static void one_matmul(const unit *u, size_t m, size_t n, size_t k, bool add) {
    const capp_products *p = u->products;
    const size_t lda = padded_of(p, k) + between(0, 20), ldc = n + between(0, 20), ldw = k + between(0, 3);
    float *x = array(m * k), *w = array((n - 1) * ldw + k), *c = array((m - 1) * ldc + n);
    float *before = copy_of(c, (m - 1) * ldc + n), *rows = array(n * k);
    for (size_t j = 0; j < n; j++) memcpy(rows + j * k, w + j * ldw, k * sizeof *rows);
    const char *a = narrowed(p, x, m, k, lda), *b = narrowed(p, rows, n, k, padded_of(p, k));
    p->matmul(c, ldc, a, lda, panel_of(p, w, ldw, n, k), m, n, k, add);
    for (size_t r = 0; r < m; r++) {
        for (size_t j = 0; j < n; j++)
            expect(u, a + r * lda * p->element, b + j * padded_of(p, k) * p->element, k, add ? before[r * ldc + j] : 0,
                   c[r * ldc + j]);
        if (r + 1 < m) same("between rows", c + r * ldc + n, before + r * ldc + n, ldc - n);
    }
    release();
}

static void check_matmul(const unit *u) {
    const size_t nr = u->products->nr;
    for (size_t m = 1; m <= 40; m++) one_matmul(u, m, m % 3 ? nr : between(1, nr), between(1, 70), m % 2 == 0);
    for (size_t n = 1; n <= nr; n++) one_matmul(u, between(1, 40), n, between(1, 70), n % 2 == 0);
    for (size_t i = 0; i < 2; i++) one_matmul(u, 97, i ? nr : nr - 1, 40, i); /* 97 = 4 * 25 - 3 */
    for (size_t i = 0; i < 2; i++) one_matmul(u, 559, nr - i, 33, true);      /* 559 = 18 * 32 - 17 */
    one_matmul(u, 192, nr, 64, false);
    one_matmul(u, 75, nr, 577, false);
    one_matmul(u, 3, nr, 1536, true);
}

/* A product in parts along k has the bits of the whole, and changes nothing else. */
static void one_cut(const unit *u, size_t m, size_t n, size_t cut, size_t k) {
    const capp_products *p = u->products;
    const size_t lda = padded_of(p, k) + between(0, 20), ldc = n + between(0, 20);
    float *x = array(m * k), *w = array(n * k), *c = array((m - 1) * ldc + n), *want = copy_of(c, (m - 1) * ldc + n);
    const char *a = narrowed(p, x, m, k, lda);
    p->matmul(want, ldc, a, lda, panel_of(p, w, k, n, k), m, n, k, false);
    p->matmul(c, ldc, a, lda, panel_of(p, w, k, n, cut), m, n, cut, false);
    p->matmul_on(c, ldc, a + cut * p->element, lda, panel_of(p, w + cut, k, n, k - cut), m, n, k - cut);
    same("matmul_on", c, want, (m - 1) * ldc + n);
    release();
}

static void check_matmul_on(const unit *u) {
    const size_t nr = u->products->nr;
    for (size_t m = 1; m <= 40; m++)
        one_cut(u, m, m % 3 ? nr : between(1, nr), CAPP_MAX_STEP * between(1, 2), CAPP_MAX_STEP * 2 + between(1, 70));
    for (size_t n = 1; n <= nr; n++) one_cut(u, between(1, 40), n, CAPP_MAX_STEP, CAPP_MAX_STEP + between(1, 70));
    for (size_t i = 0; i < 2; i++) one_cut(u, i ? 559 : 97, nr - i, 32, 70);
    one_cut(u, 75, nr, 512, 577);
}

/* Only the kernel knows the layout of a panel. The test checks that a row of the identity returns each weight, and 0
 * beyond. */
static void check_pack(const unit *u) {
    const capp_products *p = u->products;
    for (size_t n = 1; n <= p->nr; n++) {
        const size_t k = between(1, 37), ldw = k + between(0, 3);
        float *w = array((n - 1) * ldw + k), *unity = array(k), *c = array(p->nr);
        const void *panel = panel_of(p, w, ldw, n, k);
        for (size_t i = 0; i < k; i++) {
            for (size_t j = 0; j < k; j++) unity[j] = i == j;
            p->matmul(c, p->nr, narrowed(p, unity, 1, k, padded_of(p, k)), k, panel, 1, p->nr, k, false);
            for (size_t j = 0; j < p->nr; j++) {
                const float weight = j < n ? w[j * ldw + i] : 0;
                const double want = p->element == 4 ? (double)weight : (double)emulated_wide(emulated_narrow(weight));
                near("pack", (double)c[j], want, 1e-30);
            }
            if (i % 8 == 7) { /* few arrays at a time */
                release();
                w = array((n - 1) * ldw + k), unity = array(k), c = array(p->nr);
                panel = panel_of(p, w, ldw, n, k);
            }
        }
        release();
    }
}

static void check_narrow(const unit *u) {
    static const float special[] = {0, -0.0f, 1e-39f, -1e-39f, INFINITY, -INFINITY, 3.4e38f, 1.00390625f, 1.01171875f};
    const capp_products *p = u->products;
    for (size_t n = 1; n <= 80; n++) {
        const size_t padded = padded_of(p, n);
        float *x = array(n);
        for (size_t i = 0; n == 40 && i < sizeof special / sizeof *special; i++) x[i] = special[i];
        char *y = elements(p, padded);
        p->narrow(y, x, n, padded);
        for (size_t i = 0; i < padded; i++) {
            const float from = i < n ? x[i] : 0, to = p->element == 4 ? from : emulated_wide(emulated_narrow(from));
            const float got = (float)element(p, y, i);
            same("narrow", &got, &to, 1);
        }
        release();
    }
    if (p->element == sizeof(uint16_t)) {
        const float nan = NAN;
        char *y = elements(p, padded_of(p, 1));
        p->narrow(y, &nan, 1, padded_of(p, 1));
        if (!isnan(element(p, y, 0))) reject("narrow of NaN", 0, 0, HUGE_VAL);
        release();
    }
}

/* Panels of attention are those of pack: put_column makes them column by column. */
static void check_put_column(const unit *u) {
    const capp_products *p = u->products;
    const size_t vector = CAPP_LANES * p->element;
    for (size_t k = 1; p->put_column && k <= 100; k += 9) {
        float *w = array(p->nr * k);
        const char *want = panel_of(p, w, k, p->nr, k);
        const char *rows = narrowed(p, w, p->nr, k, padded_of(p, k));
        char *got = (char *)array(p->panel_bytes(0, k) / sizeof(float));
        for (size_t j = p->nr; j-- > 0;)
            p->put_column(got + j / CAPP_LANES * padded_of(p, k) * vector, j % CAPP_LANES,
                          rows + j * padded_of(p, k) * p->element, k);
        same("put_column", (const float *)(const void *)got, (const float *)(const void *)want,
             p->panel_bytes(0, k) / sizeof(float));
        release();
    }
}

/* put_rows makes them from any runs of rows along k. */
static void check_put_rows(const unit *u) {
    const capp_products *p = u->products;
    for (size_t round = 0; p->put_rows && round < 40; round++) {
        const size_t k = between(1, 4) * p->step, columns = between(1, 3) * p->nr;
        const size_t ld = padded_of(p, columns) + between(0, 9), bytes = p->panel_bytes(0, k);
        float *w = array(columns * k), *turned = array(k * columns);
        char *got = (char *)array(columns / p->nr * bytes / sizeof(float));
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < columns; j++) turned[i * columns + j] = w[j * k + i];
        const char *rows = narrowed(p, turned, k, columns, ld);
        for (size_t at = 0, n; at < k; at += n) {
            n = between(1, round % 2 ? 5 : k), n = n < k - at ? n : k - at;
            p->put_rows(got, k, at, rows + at * ld * p->element, ld, n, columns);
        }
        for (size_t j = 0; j < columns; j += p->nr)
            same("put_rows", (const float *)(const void *)(got + j / p->nr * bytes),
                 panel_of(p, w + j * k, k, p->nr, k), bytes / sizeof(float));
        release();
    }
}

static void run(const unit *u, void (*check)(const unit *u)) {
    worst = 0;
    for (int mode = 0; mode < 2; mode++) {
        at_end = mode == 0;
        check(u);
        release();
    }
}

static void run_all(const unit *u) {
    run(u, check_pack);
    if (worst <= 1) run(u, check_narrow);
    if (worst <= 1) run(u, check_matmul);
    if (worst <= 1) run(u, check_matmul_on);
    if (worst <= 1) run(u, check_put_column);
    if (worst <= 1) run(u, check_put_rows);
    if (!(worst <= 1)) FAIL("%s %s: %s", u->isa, u->products->name, first);
}

static void test_unit(const char *isa, bool bf16, float (*sum)(const void *a, const void *b, size_t k)) {
    const capp_kernels *k = need_isa(isa);
    run_all(&(unit){bf16 ? k->bf16 : k->f32, isa, sum});
}

TEST(ref_f32) {
    test_unit("ref", false, sum_fused);
}
TEST(ref_portable_f32) {
    run_all(&(unit){capp_kernels_ref.f32, "the portable copy of ref", sum_fused});
}
TEST(avx2_f32) {
    test_unit("avx2", false, sum_fused);
}
TEST(avx512_f32) {
    test_unit("avx512", false, sum_fused);
}
TEST(neon_f32) {
    test_unit("neon", false, sum_fused);
}
#if defined(__x86_64__)
TEST(vdpbf16ps) {
    need_isa("avx512bf16");
    run_all(&(unit){&capp_products_dpbf16, "VDPBF16PS", sum_pairs});
}
TEST(vdpbf16ps_by_fma) {
    need_isa("avx512bf16");
    run_all(&(unit){&capp_products_fmabf16, "VDPBF16PS by FMA", sum_pairs});
}
#endif
TEST(amx_bf16) {
    test_unit("amx", true, sum_tiles);
}
TEST(emulated_vdpbf16ps) {
    run_all(&(unit){&emulated_dpbf16, "emulated", sum_pairs});
}
TEST(neonbf16_bf16) {
    test_unit("neonbf16", true, sum_odd);
}
TEST(emulated_amx) {
    run_all(&(unit){&emulated_tiles, "emulated", sum_tiles});
}
TEST(emulated_bfmmla) {
    run_all(&(unit){&emulated_bfmmla, "emulated", sum_odd});
}

/* Extreme numbers: denormals, infinities, cancellation. */
static void fill_wild(float *x, size_t n, int lowest) {
    for (size_t i = 0; i < n; i++)
        x[i] = ldexpf((float)test_random_normal(&random_state), (int)between(0, 130) + lowest);
}

/* For any bits, the unit gives the result of the emulation. */
static void check_emulation(const capp_products *real, const capp_products *emulated) {
    enum { ROWS = 13, COLUMNS = 32, K = 96 };
    const capp_products *products[2] = {real, emulated};
    const size_t n = real->nr;
    static _Alignas(64) char panel[2][K * COLUMNS * sizeof(uint16_t)];
    static uint16_t a[2][ROWS * K];
    static float w[COLUMNS * K], x[ROWS * K], c[2][ROWS * COLUMNS];
    for (int round = 0; round < 300; round++) {
        fill_wild(w, COLUMNS * K, round % 3 ? -90 : -60);
        fill_wild(x, ROWS * K, round % 3 ? -90 : -40);
        for (size_t i = 0; i < 2; i++) {
            CHECK(n <= COLUMNS && products[i]->panel_bytes(0, K) == K * n * sizeof(uint16_t));
            products[i]->pack(panel[i], w, K, n, K);
            products[i]->narrow(a[i], x, ROWS * K, ROWS * K);
            products[i]->matmul(c[i], n, a[i], K, panel[i], ROWS, n, K, false);
        }
        CHECK(!memcmp(panel[0], panel[1], sizeof panel[0]) && !memcmp(a[0], a[1], sizeof a[0]));
        for (size_t i = 0; i < ROWS * n; i++)
            if (isnan(c[0][i]) ? !isnan(c[1][i]) : memcmp(&c[0][i], &c[1][i], sizeof(float)) != 0)
                FAIL("%a, not %a", (double)c[0][i], (double)c[1][i]);
    }
}

#if defined(__x86_64__)
TEST(emulation_is_vdpbf16ps) {
    need_isa("avx512bf16");
    check_emulation(&capp_products_dpbf16, &emulated_dpbf16);
    check_emulation(&capp_products_fmabf16, &emulated_dpbf16);
}
#endif
TEST(emulation_is_bfmmla) {
    check_emulation(need_isa("neonbf16")->bf16, &emulated_bfmmla);
}

/* Tiles: loads, dots and configurations of a product of m rows with `panels` panels of k inputs, one after the other.
 */
static tile_counts counts_of(size_t m, size_t k, size_t panels) {
    const capp_products *p = &emulated_tiles;
    float *x = array(m * k), *w = array(p->nr * k), *c = array(m * p->nr);
    const char *a = narrowed(p, x, m, k, padded_of(p, k)), *panel = panel_of(p, w, k, p->nr, k);
    p->rest();
    emulated_tiles_reset();
    for (size_t i = 0; i < panels; i++) p->matmul(c, p->nr, a, padded_of(p, k), panel, m, p->nr, k, false);
    p->rest();
    release();
    return emulated_tile_counts();
}

/* A task has one configuration, whatever its rows are. A block of 17 to 32 rows has a load for each dot, as few as
 * eight tiles allow; up to 16 rows have three for two. */
TEST(tiles_are_configured_once_a_task_and_loaded_once_a_dot) {
    enum { K = 64, PANELS = 3, STEPS = K / 32 };
    for (size_t m = 1; m <= 200; m += m < 70 ? 1 : 13) {
        const tile_counts n = counts_of(m, K, PANELS);
        const size_t blocks = (m + 31) / 32, dots = PANELS * STEPS * blocks * (m > 16 ? 4 : 2);
        CHECK(n.configurations == 1 && n.open == 0);
        CHECK(n.dots == dots && n.loads == (m > 16 ? dots : dots / 2 * 3));
    }
}

/* What is read again stays in the first-level cache: the panel while many rows pass, up to 32 rows while panels pass. A
 * product as small as attention's streams nothing, because both stay. */
TEST(tiles_stream_what_is_not_read_again) {
    CHECK(counts_of(48, 64, 1).streamed == 0 && counts_of(3, 256, 1).streamed == 0);
    for (size_t m = 1; m <= 200; m += 15) {
        enum { K = 512, STEPS = K / 32 };
        const size_t blocks = (m + 31) / 32, rows = STEPS * blocks * (m > 16 ? 2 : 1);
        CHECK(counts_of(m, K, 1).streamed == (m > 32 ? rows : STEPS * 2));
    }
}

/* Cycles that a row takes: a dot takes one for each of its rows; two lines are loaded in one. */
static double cycles_of_a_row(size_t m) {
    enum { K = 96, STEPS = K / 32 };
    const tile_counts n = counts_of(m, K, 1);
    return (double)(n.rows > n.lines / 2 ? n.rows : n.lines / 2) / STEPS / (double)m;
}

/* 16 rows and more take about as long, each, as those of many, which take two cycles for two tiles of columns. */
TEST(few_rows_of_tiles_are_no_slower) {
    for (size_t m = 16; m <= 200; m++)
        if (cycles_of_a_row(m) > 2.1) FAIL("%zu rows take %.2f cycles each", m, cycles_of_a_row(m));
    CHECK(cycles_of_a_row(4) > 2.1);
}

static float odd_pair(float sum, float x, float y) {
    const uint16_t a[2] = {emulated_narrow(x), emulated_narrow(y)}, ones[2] = {0x3f80, 0x3f80};
    return emulated_bfdot(sum, a, ones);
}

/* Rounding to odd, worked out by hand: what is cut off makes the last bit 1, also where it is a tie or a lot more. */
TEST(rounding_to_odd) {
    CHECK(odd_pair(1, 0x1p-24f, 0) == 1 + 0x1p-23f);
    CHECK(odd_pair(1, 0x1p-100f, 0) == 1 + 0x1p-23f);
    CHECK(odd_pair(1, -0x1p-100f, 0) == 1 - 0x1p-24f);
    CHECK(odd_pair(1 + 0x1p-23f, 0x1.8p-24f, 0) == 1 + 0x1p-23f);
    CHECK(odd_pair(1 + 0x1p-22f, 0x1p-24f, 0) == 1 + 0x1.8p-22f);
    CHECK(odd_pair(-1, -0x1p-60f, 0) == -1 - 0x1p-23f);
    CHECK(odd_pair(0, 1, 0x1p-30f) == 1 + 0x1p-23f);  /* the pair is rounded by itself */
    CHECK(odd_pair(0, 0x1p-126f, -0x1.8p-126f) == 0); /* denormals are zeros */
    CHECK(odd_pair(0x1p-127f, 0x1p-127f, 1) == 1);
    CHECK(isinf(odd_pair(0x1.fffffep127f, 0x1.fep127f, 0)));
    CHECK(isnan(odd_pair(INFINITY, -INFINITY, 0)));
}

/* A small mistake in each operation. */
static const capp_products *honest;

static void bad_pack(void *panel, const float *w, size_t ldw, size_t n, size_t k) {
    honest->pack(panel, w, ldw, n > 1 ? n - 1 : n, k);
}
static void bad_narrow(void *y, const float *x, size_t n, size_t padded) { /* rounds toward zero, or forgets the last */
    float cut[128];
    for (size_t i = 0; i < n; i++) cut[i] = emulated_float(emulated_bits(x[i]) & 0xffff0000u);
    honest->narrow(y, cut, n, padded);
}
static void bad_matmul(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n, size_t k,
                       bool add) {
    honest->matmul(c, ldc, a, lda, panel, m > 13 ? m - 1 : m, n, k, add);
}

static void bad_matmul_on(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                          size_t k) { /* rounds once more, at the end */
    honest->matmul(c, ldc, a, lda, panel, m, n, k, true);
}

static void bad_put_column(void *vector, size_t column, const void *row, size_t d) { /* forgets the end of a row */
    honest->put_column(vector, column, row, d > CAPP_MAX_STEP ? d - CAPP_MAX_STEP : d);
}
static void bad_put_rows(void *vectors, size_t k, size_t at, const void *rows, size_t ld, size_t n, size_t columns) {
    honest->put_rows(vectors, k, at, rows, ld, n > 1 ? n - 1 : n, columns);
}

TEST(checks_reject_mistakes_in_panels_of_attention) {
    const unit units[] = {{&emulated_dpbf16, "emulated", sum_pairs}, {&emulated_bfmmla, "emulated", sum_odd}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        capp_products column = *units[i].products, rows = column;
        honest = units[i].products;
        column.put_column = bad_put_column, rows.put_rows = bad_put_rows;
        run(&(unit){&column, units[i].isa, units[i].sum}, check_put_column);
        CHECK(worst > 1);
        run(&(unit){&rows, units[i].isa, units[i].sum}, check_put_rows);
        CHECK(worst > 1);
    }
}

TEST(checks_reject_mistakes) {
    const unit units[] = {{capp_kernels_ref.f32, "ref", sum_fused},
                          {&emulated_tiles, "emulated", sum_tiles},
                          {&emulated_bfmmla, "emulated", sum_odd}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
#define X(op, type, parameters)                                                                                        \
    {                                                                                                                  \
        honest = units[i].products;                                                                                    \
        capp_products bad = *honest;                                                                                   \
        bad.op = bad_##op;                                                                                             \
        run(&(unit){&bad, units[i].isa, units[i].sum}, check_##op);                                                    \
        if (worst <= 1) FAIL("a mistake in %s was not seen", #op);                                                     \
    }
        CAPP_PRODUCT_MAP(X)
#undef X
    }
}
