/* Products of integers: every instruction set, and the kernel's source over emulated vectors, are compared bit for bit
 * with the formula of kernel/integers.h in 64-bit integers. */
#include "emulated.h"
#include "kernel_check.h"
#include "units.h"

#include "base/tensor.h"
#include "kernel/dequant.h"

enum { BLOCK = CAPP_INTEGER_BLOCK, MOST_K = 1024, MOST_ROWS = 16, MOST_NR = 64 };

static const uint32_t types[] = {
#define X(type, ...) CAPP_TYPE_##type,
    CAPP_INTEGER_TYPE_MAP(X) CAPP_GROUP_TYPE_MAP(X)
#undef X
};
enum { TYPES = sizeof types / sizeof *types };

/* Types whose blocks are made of folders' tensors (kernel/quant_blocks.h). */
static bool is_group(uint32_t type) {
    return capp_integer_form_of(type)->group > 0;
}

/* Rows of such types have any multiple of this number of weights. */
static size_t unit_of(uint32_t type) {
    return is_group(type) ? BLOCK : capp_type_get(type).block_elems;
}

/* How the blocks of a test are filled. */
typedef enum filling { RANDOM, ALL_ONES, ALL_ZEROS, FILLINGS } filling;

/* Sets zero i of a block of n weights. */
static void set_zero(unsigned char *block, uint32_t type, size_t n, size_t i, unsigned zero) {
    const capp_group_layout at = capp_group_layout_of(capp_integer_form_of(type), n);
    const size_t bit = at.zeros + i * at.zero_bits;
    const unsigned mask = ((1u << at.zero_bits) - 1) << bit % 8;
    block[bit / 8] = (unsigned char)((block[bit / 8] & ~mask) | zero << bit % 8);
}

/* Sets the scales of a block of such a type to halves of any kind, or to exponents of -27 to 4; and its zeros to some
 * that its bits can store: if all numbers are the same, to the one at the other end, so that the difference is as large
 * as any. */
static void set_groups(unsigned char *block, uint32_t type, size_t n, filling f) {
    const capp_integer_form *form = capp_integer_form_of(type);
    for (size_t i = 0; i * form->group < n; i++) {
        const unsigned bfloat = (unsigned)between(100, 131) << 7 | (unsigned)between(0, 127);
        const uint16_t scale = (uint16_t)(between(0, 1) << 15 | (form->bfloat ? bfloat : between(0, 0x4400)));
        memcpy(block + 2 * i, &scale, sizeof scale);
        if (form->bits == 8) continue;
        set_zero(block, type, n, i, f == RANDOM ? (unsigned)between(0, form->most) : f == ALL_ONES ? 0 : form->most);
    }
}

/* Byte offsets at which a block's halves begin. */
static size_t halves_of(uint32_t type, size_t *at) {
    switch (type) {
    case CAPP_TYPE_Q4_1:
    case CAPP_TYPE_Q5_1:
    case CAPP_TYPE_Q4_K:
    case CAPP_TYPE_Q5_K: at[0] = 0, at[1] = 2; return 2;
    case CAPP_TYPE_Q2_K: at[0] = 80, at[1] = 82; return 2;
    case CAPP_TYPE_Q3_K: at[0] = 108; return 1;
    case CAPP_TYPE_Q6_K: at[0] = 208; return 1;
    case CAPP_TYPE_MXFP4: return 0;
    default: at[0] = 0; return !is_group(type);
    }
}

static unsigned char byte_of(uint32_t type, filling f) {
    if (f == RANDOM) return (unsigned char)test_random_u64(&random_state);
    const unsigned char sign = type == CAPP_TYPE_Q8_0 ? 0x80 : 0; /* of numbers that are signed bytes: 127 and -128 */
    return (unsigned char)((f == ALL_ONES ? 0xff : 0) ^ sign);
}

static char *stored_rows(uint32_t type, size_t n, size_t k, filling f) {
    const size_t block = capp_type_get(type).block_elems, bytes = capp_integer_bytes(type, k);
    unsigned char *rows = (unsigned char *)array((n * bytes + 3) / 4);
    size_t at[2], halves = halves_of(type, at);
    for (size_t i = 0; i < n * bytes; i++) rows[i] = byte_of(type, f);
    for (size_t i = 0; i < n * k; i += k % block ? k : block) {
        unsigned char *b = rows + i / k * bytes + capp_integer_bytes(type, i % k);
        if (type == CAPP_TYPE_MXFP4) *b = (unsigned char)between(0, 140);
        if (is_group(type)) set_groups(b, type, k < block ? k : block, f);
        for (size_t h = 0; h < halves; h++) {
            /* Subnormal and ordinary halves of both signs. */
            const uint16_t half = (uint16_t)(between(0, 1) << 15 | between(0, 0x4400));
            memcpy(b + at[h], &half, sizeof half);
        }
    }
    return (char *)rows;
}

/* ---- Reading blocks: scale * number - minimum equals the result of capp_dequant. ---- */

static void check_reading(uint32_t type, filling f) {
    static float want[MOST_K];
    static capp_integer_block got[MOST_K / BLOCK];
    const capp_integer_form *form = capp_integer_form_of(type);
    const char *data = stored_rows(type, 1, MOST_K, f);
    CHECK(form);
    capp_dequant(type)(want, data, MOST_K);
    capp_integers_read(got, type, data, MOST_K);
    for (size_t i = 0; i < MOST_K; i++) {
        const capp_integer_block *b = &got[i / BLOCK];
        const size_t half = i % BLOCK / form->block;
        const float product = b->scale[half] * (float)b->number[i % BLOCK];
        const float value = form->minima ? product - b->minimum[half] : product;
        if (value != want[i]) FAIL("type %u, element %zu: %a, not %a", type, i, (double)value, (double)want[i]);
    }
    release();
}

TEST(blocks_are_read) {
    for (size_t t = 0; t < TYPES; t++)
        for (int i = 0; i < 20 && !is_group(types[t]); i++) check_reading(types[t], (filling)(i % FILLINGS));
}

/* The argument that no sum overflows rests on the largest magnitudes of numbers. Blocks with the same bit everywhere
 * have them, so products of such blocks test it. */
TEST(largest_numbers_are_known_and_tested) {
    static capp_integer_block blocks[MOST_K / BLOCK];
    for (size_t t = 0; t < TYPES; t++) {
        const capp_integer_form *form = capp_integer_form_of(types[t]);
        int most = 0, least = 0;
        for (int f = 0; f < FILLINGS; f++) {
            capp_integers_read(blocks, types[t], stored_rows(types[t], 1, MOST_K, (filling)f), MOST_K);
            for (size_t i = 0; i < MOST_K; i++) {
                const int number = blocks[i / BLOCK].number[i % BLOCK];
                CHECK(abs(number) <= (int)form->most);
                if (f == RANDOM) continue;
                if (number > most) most = number;
                if (number < least) least = number;
            }
            release();
        }
        CHECK_INT(most > -least ? most : -least, form->most);
        CHECK(!form->minima || form->most == 128 || least == 0);
    }
}

TEST(other_types_have_no_integers) {
    CHECK(!capp_integer_form_of(CAPP_TYPE_F32) && !capp_integer_form_of(CAPP_TYPE_BF16));
    CHECK(!capp_integer_form_of(CAPP_TYPE_IQ2_XS) && !capp_integer_form_of(9999));
}

/* ---- Activations ---- */

/* How the instruction set stores activations. */
static enum { UNSIGNED_DIGITS, SIGNED_DIGITS, DIGITS_SIDE_BY_SIDE, WHOLE_INTEGERS } storage;

static int32_t integer_of(const capp_digits *d, size_t i) {
    d += i / BLOCK, i %= BLOCK;
    switch (storage) {
    case UNSIGNED_DIGITS: break;
    case SIGNED_DIGITS: return 256 * d->signed_high[i] + d->signed_low[i];
    case DIGITS_SIDE_BY_SIDE: return 256 * d->both[i / 8][0][i % 8] + d->both[i / 8][1][i % 8];
    case WHOLE_INTEGERS:
        if (d->fine) return d->integer[i];
        if (d->digit[i] != d->high[i] - 128) FAIL("digits %d and %u", d->digit[i], d->high[i]);
        return 256 * d->digit[i];
    }
    return 256 * d->high[i] + d->low[i] - 32768;
}

static void check_moments(const capp_digits *d) {
    int32_t sum[2] = {0, 0};
    for (size_t i = 0; i < BLOCK; i++) sum[i / 16] += integer_of(d, i);
    const float moments[3] = {d->step * (float)(sum[0] + sum[1]), d->step * (float)sum[0], d->step * (float)sum[1]};
    same("moment", &d->moment, moments, 1);
    same("moments", d->moments, moments + 1, 2);
}

static void check_narrow(const capp_products *p) {
    for (size_t n = 1; n <= 100; n++) {
        const size_t padded = (n + BLOCK - 1) / BLOCK * BLOCK;
        float *x = array(n);
        capp_digits *d = (capp_digits *)(void *)array(padded / BLOCK * sizeof *d / sizeof(float));
        for (size_t i = 0; i < n; i++) x[i] = ldexpf(x[i], (int)between(0, n % 3 ? 6 : 60) - 30);
        p->narrow(d, x, n, padded);
        for (size_t i = 0; i < padded; i++) {
            const int32_t q = integer_of(d, i);
            const double step = (double)d[i / BLOCK].step, got = step * q, want = i < n ? (double)x[i] : 0;
            near("narrow", got, want, step * 0.504 + 1e-37);
            if (q > CAPP_LARGEST_DIGITS || q < -CAPP_LARGEST_DIGITS) reject("narrow", q, 0, HUGE_VAL);
        }
        for (size_t b = 0; b < padded / BLOCK; b++) check_moments(&d[b]);
        release();
    }
}

/* The definition of kernel.h: a block keeps its low digits if 256 steps are more than `share` times the root mean
 * square of its row, which is made of whole integers / 32. */
static void check_share(const capp_products *p, size_t n, float share) {
    const size_t blocks = (n + BLOCK - 1) / BLOCK;
    float *x = array(n);
    capp_digits *d = (capp_digits *)(void *)array(blocks * sizeof *d / sizeof(float)), before[MOST_K / BLOCK];
    double energy = 0;
    for (size_t i = 0; i < n; i++) x[i] *= ldexpf(1, (int)(i / BLOCK * 7 % 5)) * (i / BLOCK % 9 == 8 ? 0 : 1);
    p->narrow(d, x, n, blocks * BLOCK);
    memcpy(before, d, blocks * sizeof *d);
    for (size_t b = 0; b < blocks; b++) {
        int32_t squares = 0;
        for (size_t i = 0; i < BLOCK; i++)
            squares += (integer_of(&before[b], i) >> 5) * (integer_of(&before[b], i) >> 5);
        energy += (double)(before[b].step * before[b].step * (1024.0F * (float)squares));
    }
    p->coarsen(d, n, share);
    for (size_t b = 0; b < blocks; b++) {
        const double step = (double)before[b].step, bound = (double)share * (double)share * energy / (double)n / 65536;
        const bool fine = before[b].fine && step * step > bound;
        if (d[b].fine != fine) reject("coarsen: which blocks", d[b].fine, fine, HUGE_VAL);
        for (size_t i = 0; i < BLOCK; i++) {
            const int32_t whole = integer_of(&before[b], i), high = (whole + 128) >> 8;
            near("coarsen: integers", integer_of(&d[b], i), fine ? whole : 256 * high, 0.5);
        }
        check_moments(&d[b]);
    }
    memcpy(before, d, blocks * sizeof *d);
    p->coarsen(d, n, share);
    if (memcmp(before, d, blocks * sizeof *d) != 0) reject("coarsen a second time", 1, 0, HUGE_VAL);
    release();
}

static void check_coarsen(const capp_products *p) {
    for (int round = 0; round < 20; round++) check_share(p, between(1, MOST_K), 0.005F * (float)between(0, 8));
    check_share(p, MOST_K, 10);
}

static void check_special(const capp_products *p) {
    const float special[] = {NAN, INFINITY, -INFINITY};
    capp_digits d;
    float x[BLOCK] = {0};
    p->narrow(&d, x, BLOCK, BLOCK);
    CHECK(d.step == 0 && d.moment == 0 && integer_of(&d, 0) == 0 && integer_of(&d, 31) == 0);
    x[7] = 0x1p-101F;
    p->narrow(&d, x, BLOCK, BLOCK);
    CHECK(d.step == 0 && integer_of(&d, 7) == 0);
    for (size_t i = 0; i < 3; i++) {
        x[7] = special[i];
        p->narrow(&d, x, BLOCK, BLOCK);
        CHECK(isnan(d.step) && isnan(d.moment));
    }
}

/* ---- Products ---- */

/* The formula, in integers that cannot overflow. */
static float sum_of_blocks(const capp_digits *a, const capp_integer_form *form, const capp_integer_block *blocks,
                           size_t k) {
    float sum = 0;
    for (size_t i = 0; i < k; i += form->block) {
        const capp_integer_block *b = &blocks[i / BLOCK];
        const float step = a[i / BLOCK].step;
        const size_t half = i % BLOCK / form->block;
        int64_t whole = 0, total = 0;
        for (size_t j = i; j < i + form->block; j++) {
            whole += (int64_t)integer_of(a, j) * b->number[j % BLOCK];
            total += integer_of(a, j);
        }
        if (whole > INT32_MAX || whole < INT32_MIN) FAIL("%lld is no int32", (long long)whole);
        sum = fmaf((float)whole, step * b->scale[half], sum);
        if (form->minima) sum = fmaf(-(step * (float)total), b->minimum[half], sum);
    }
    return sum;
}

static float sum_of(const capp_digits *a, uint32_t type, const char *row, size_t k) {
    static capp_integer_block blocks[2 * MOST_K / BLOCK];
    capp_integers_read(blocks, type, row, k);
    return sum_of_blocks(a, capp_integer_form_of(type), blocks, k);
}

/* Activations at both ends of their range, as are the low digits of all but the first in a block, or random. Of a row,
 * all blocks have low digits, or none, or some. */
static void fill_activations(const capp_products *p, capp_digits *a, size_t m, size_t k, filling f) {
    static const int less[] = {0, 128, 1}; /* low digits 0, -128 or 128, and 255 */
    static const float shares[] = {0, 0.016F, 0.018F, 0.02F, 1};
    float *x = array(k);
    for (size_t r = 0; r < m; r++) {
        const float most = (float)(CAPP_LARGEST_DIGITS - less[r / 2 % 3]) / CAPP_LARGEST_DIGITS;
        for (size_t i = 0; i < k; i++) {
            const float size = i % BLOCK ? most : 1;
            x[i] = f == RANDOM ? (float)test_random_normal(&random_state) : f == ALL_ONES ? size : -size;
            if (f == RANDOM && i / BLOCK % 5 == 2) x[i] *= 0x1p-90F;
        }
        p->narrow(a + r * (k / BLOCK), x, k, k);
        p->coarsen(a + r * (k / BLOCK), k, shares[between(0, 4)]);
    }
}

static void one_product(const capp_products *p, uint32_t type, size_t m, size_t n, size_t k, filling f, bool add) {
    const size_t blocks = k / BLOCK, ldc = n + between(0, 20), floats = sizeof(capp_digits) / sizeof(float);
    float *c = array((m - 1) * ldc + n), *before = copy_of(c, (m - 1) * ldc + n);
    capp_digits *a = (capp_digits *)(void *)array(m * blocks * floats);
    const size_t row_bytes = capp_integer_bytes(type, k);
    const char *data = stored_rows(type, n, k, f), *rows[MOST_NR];
    float *panel = array(p->panel_bytes(type, k) / sizeof(float));
    for (size_t j = 0; j < n; j++) rows[j] = data + j * row_bytes;
    fill_activations(p, a, m, k, (filling)between(0, FILLINGS - 1));
    p->unpack(type)(panel, rows, n, k);
    p->matmul(c, ldc, a, k, panel, m, n, k, add);
    for (size_t r = 0; r < m; r++) {
        for (size_t j = 0; j < n; j++) {
            const float sum = sum_of(a + r * blocks, type, rows[j], k), want = add ? before[r * ldc + j] + sum : sum;
            same("matmul", &c[r * ldc + j], &want, 1);
        }
        if (r + 1 < m) same("between rows", c + r * ldc + n, before + r * ldc + n, ldc - n);
    }
    release();
}

/* A panel takes at most 5 % more than the blocks of its rows; those of folders, than numbers and scales without zeros.
 */
static void check_size(const capp_products *p) {
    for (size_t t = 0; t < TYPES; t++) {
        const capp_integer_form *form = capp_integer_form_of(types[t]);
        for (size_t k = is_group(types[t]) ? MOST_K : 512; k <= MOST_K; k += 64) {
            if (k % unit_of(types[t])) continue;
            const size_t tensors = form->group ? k * form->bits / 8 + 2 * k / form->group : 0;
            const size_t stored = p->nr * (tensors ? tensors : capp_integer_bytes(types[t], k));
            if (p->panel_bytes(types[t], k) * 100 > stored * 105)
                FAIL("type %u: a panel of %zu weights takes %zu bytes, not %zu", types[t], k,
                     p->panel_bytes(types[t], k), stored);
        }
    }
}

/* A sum computed in parts has the bits of the whole. */
static void cut_product(const capp_products *p, uint32_t type, size_t m) {
    const size_t cut = is_group(type) ? CAPP_GROUP_BLOCK : 256, k = 2 * cut, n = p->nr;
    const size_t floats = sizeof(capp_digits) / sizeof(float);
    float *c = array(m * n);
    capp_digits *a = (capp_digits *)(void *)array(m * (k / BLOCK) * floats);
    const size_t part = capp_integer_bytes(type, cut), row_bytes = 2 * part;
    const char *data = stored_rows(type, n, k, RANDOM), *rows[MOST_NR];
    float *panel = array(p->panel_bytes(type, cut) / sizeof(float));
    fill_activations(p, a, m, k, RANDOM);
    for (size_t from = 0; from < k; from += cut) {
        for (size_t j = 0; j < n; j++) rows[j] = data + j * row_bytes + from / cut * part;
        p->unpack(type)(panel, rows, n, cut);
        if (from)
            p->matmul_on(c, n, a + from / BLOCK, k, panel, m, n, cut);
        else
            p->matmul(c, n, a, k, panel, m, n, cut, false);
    }
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < n; j++) {
            const float want = sum_of(a + r * (k / BLOCK), type, data + j * row_bytes, k);
            same("matmul_on", &c[r * n + j], &want, 1);
        }
    release();
}

static void check_cuts(const capp_products *p) {
    for (size_t t = 0; t < TYPES; t++) cut_product(p, types[t], between(1, MOST_ROWS));
}

static void check_matmul(const capp_products *p) {
    for (size_t t = 0; t < TYPES; t++) {
        const size_t block = unit_of(types[t]), most = is_group(types[t]) ? MOST_K / BLOCK : MOST_K / 256;
        for (size_t m = 1; m <= MOST_ROWS; m++)
            one_product(p, types[t], m, m % 3 ? p->nr : between(1, p->nr), block * between(1, most),
                        (filling)(m % FILLINGS), m % 2 == 0);
        for (size_t n = 1; n <= p->nr; n += 3) one_product(p, types[t], between(1, 5), n, block, RANDOM, false);
        one_product(p, types[t], 3, p->nr, MOST_K, RANDOM, true);
    }
}

static void run_all(const capp_products *p) {
    void (*checks[])(const capp_products *) = {check_narrow, check_coarsen, check_matmul, check_cuts};
    check_special(p);
    check_size(p);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        worst = 0;
        for (int mode = 0; mode < 2; mode++) {
            at_end = mode == 0;
            checks[i](p);
            release();
        }
        if (!(worst <= 1)) FAIL("%s", first);
    }
}

TEST(plain) {
    run_all(&capp_integers_ref);
}
TEST(emulated) {
    run_all(&emulated_integers);
}
TEST(avx2) {
    storage = WHOLE_INTEGERS;
    run_all(need_isa("avx2")->i16);
}
TEST(neon) {
    storage = SIGNED_DIGITS;
    run_all(need_isa("neon")->i16);
}
TEST(neondot) {
    storage = SIGNED_DIGITS;
    run_all(need_isa("neondot")->i16);
}
TEST(neoni8mm) {
    storage = DIGITS_SIDE_BY_SIDE;
    run_all(need_isa("neoni8mm")->i16);
}
TEST(avxvnni) {
    run_all(need_isa("avxvnni")->i16);
}
TEST(avx512vnni) {
    run_all(need_isa("avx512vnni")->i16);
}

/* ---- The checks detect small mistakes ---- */

static const capp_products *honest = &capp_integers_ref;

static uint32_t bad_type;

/* Swaps the first two columns. */
static void swap_columns(void *panel, const char *const *rows, size_t n, size_t k) {
    const char *swapped[MOST_NR];
    for (size_t i = 0; i < n; i++) swapped[i] = rows[n > 1 && i < 2 ? 1 - i : i];
    honest->unpack(bad_type)(panel, swapped, n, k);
}

static capp_unpack_fn swapping(uint32_t type) {
    bad_type = type;
    return swap_columns;
}

static void lose_low_digits(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                            size_t k, bool add) {
    static capp_digits copy[MOST_ROWS * MOST_K / BLOCK];
    memcpy(copy, a, m * (lda / BLOCK) * sizeof *copy);
    for (size_t i = 0; i < m * (lda / BLOCK); i++) memset(copy[i].low, 0, BLOCK);
    honest->matmul(c, ldc, copy, lda, panel, m, n, k, add);
}

static void start_again(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                        size_t k) {
    honest->matmul(c, ldc, a, lda, panel, m, n, k, false);
}

static void flip_sign(void *y, const float *x, size_t n, size_t padded) {
    capp_digits *d = y;
    honest->narrow(y, x, n, padded);
    d->high[0] = (uint8_t)(256 - d->high[0]);
}

static void keep_all(void *row, size_t n, float share) {
    (void)row, (void)n, (void)share;
}

/* Leaves the low digits of the first block in their place. */
static void keep_low_digits(void *row, size_t n, float share) {
    capp_digits *d = row;
    const capp_digits before = *d;
    honest->coarsen(row, n, share);
    memcpy(d->low, before.low, BLOCK);
}

/* Compares with the root mean square of the row before. */
static void neighbours_size(void *row, size_t n, float share) {
    static double before = 1;
    const capp_digits *d = row;
    double energy = 0;
    for (size_t b = 0; b < (n + BLOCK - 1) / BLOCK; b++) energy += (double)d[b].energy / (double)n;
    honest->coarsen(row, n, energy > 0 ? share * (float)sqrt(before / energy) : share);
    before = energy;
}

static void neighbours_step(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                            size_t k, bool add) {
    static capp_digits copy[MOST_ROWS * MOST_K / BLOCK];
    memcpy(copy, a, m * (lda / BLOCK) * sizeof *copy);
    for (size_t i = 0; i + 1 < m * (lda / BLOCK); i++) copy[i].step = copy[i + 1].step;
    honest->matmul(c, ldc, copy, lda, panel, m, n, k, add);
}

static bool is_seen(const capp_products *bad, void (*check)(const capp_products *)) {
    worst = 0;
    check(bad);
    release();
    return worst > 1;
}

TEST(checks_reject_mistakes) {
    capp_products bad = *honest;
    bad.unpack = swapping;
    CHECK(is_seen(&bad, check_matmul));
    bad = *honest;
    bad.matmul = lose_low_digits;
    CHECK(is_seen(&bad, check_matmul));
    bad.matmul = neighbours_step;
    CHECK(is_seen(&bad, check_matmul));
    bad = *honest;
    bad.matmul_on = start_again;
    CHECK(is_seen(&bad, check_cuts));
    bad = *honest;
    bad.coarsen = keep_all;
    CHECK(is_seen(&bad, check_coarsen));
    bad.coarsen = keep_low_digits;
    CHECK(is_seen(&bad, check_coarsen));
    bad.coarsen = neighbours_size;
    CHECK(is_seen(&bad, check_coarsen));
    bad = *honest;
    bad.narrow = flip_sign;
    CHECK(is_seen(&bad, check_narrow));
}

/* ---- In each type, too ---- */

static enum mistake { NO_MISTAKE, NO_MINIMUM, A_SIGN, ANOTHER_SCALE } mistake;

/* The rows of the panel. */
static const char *bad_rows[MOST_NR];

static void keep_rows(void *panel, const char *const *rows, size_t n, size_t k) {
    (void)panel, (void)k;
    memcpy(bad_rows, rows, n * sizeof *rows);
}

static capp_unpack_fn keeping(uint32_t type) {
    bad_type = type;
    return keep_rows;
}

static bool has_zeros(uint32_t type) {
    return is_group(type) && !capp_integer_form_of(type)->minima;
}

/* Leaves out the minima, or the zeros that are subtracted from numbers. */
static void drop_minima(capp_integer_block *blocks, const char *row, size_t k) {
    static unsigned char copy[MOST_K * 2];
    memcpy(copy, row, capp_integer_bytes(bad_type, k));
    for (size_t i = 0; has_zeros(bad_type) && i * capp_integer_form_of(bad_type)->group < k; i++)
        set_zero(copy, bad_type, k, i, 0);
    capp_integers_read(blocks, bad_type, copy, k);
    for (size_t b = 0; b < k / BLOCK; b++) memset(blocks[b].minimum, 0, sizeof blocks[b].minimum);
}

/* The first two scales of the row change places. */
static void exchange_scales(capp_integer_block *blocks) {
    const capp_integer_form *form = capp_integer_form_of(bad_type);
    float *one = &blocks[0].scale[0];
    float *other = form->block < BLOCK ? one + 1 : &blocks[form->group ? form->group / BLOCK : 1].scale[0];
    const float kept = *one;
    *one = *other, *other = kept;
}

/* The formula with the mistake. */
static void mistaken(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n, size_t k,
                     bool add) {
    static capp_integer_block blocks[MOST_K / BLOCK];
    (void)panel;
    for (size_t j = 0; j < n; j++) {
        capp_integers_read(blocks, bad_type, bad_rows[j], k);
        if (mistake == NO_MINIMUM) drop_minima(blocks, bad_rows[j], k);
        if (mistake == A_SIGN) blocks[0].number[0] = (int8_t)-blocks[0].number[0];
        if (mistake == ANOTHER_SCALE) exchange_scales(blocks);
        for (size_t r = 0; r < m; r++) {
            const capp_digits *row = (const capp_digits *)a + r * (lda / BLOCK);
            const float sum = sum_of_blocks(row, capp_integer_form_of(bad_type), blocks, k);
            c[r * ldc + j] = add ? c[r * ldc + j] + sum : sum;
        }
    }
}

static bool is_seen_in(uint32_t type, enum mistake made) {
    capp_products bad = *honest;
    bad.unpack = keeping;
    bad.matmul = mistaken;
    mistake = made;
    worst = 0;
    for (size_t i = 0; i < 4; i++) one_product(&bad, type, 3, bad.nr, MOST_K, RANDOM, i % 2);
    return worst > 1;
}

TEST(mistakes_show_in_every_type) {
    for (size_t t = 0; t < TYPES; t++) {
        CHECK(!is_seen_in(types[t], NO_MISTAKE));
        CHECK(is_seen_in(types[t], A_SIGN));
        CHECK(capp_integer_form_of(types[t])->group >= MOST_K || is_seen_in(types[t], ANOTHER_SCALE));
        const bool minima = capp_integer_form_of(types[t])->minima || has_zeros(types[t]);
        CHECK(is_seen_in(types[t], NO_MINIMUM) == minima);
    }
}
