/* Stored blocks unpacked directly into panels, compared bit for bit with capp_dequant and pack: every type that
 * supports this, every instruction set and element, random and extreme blocks, all numbers of rows. */
#include "kernel_check.h"

#include "base/cpu.h"
#include "base/tensor.h"
#include "kernel/dequant.h"
#include "kernel/quant.h"

enum { RANDOM, EXTREME, TAME, FILLS };

/* Types that every instruction set with vectors unpacks with its own code. */
static const uint32_t types[] = {CAPP_TYPE_F32,  CAPP_TYPE_F16,   CAPP_TYPE_BF16,   CAPP_TYPE_Q4_0,
                                 CAPP_TYPE_Q4_1, CAPP_TYPE_Q5_0,  CAPP_TYPE_Q5_1,   CAPP_TYPE_Q8_0,
                                 CAPP_TYPE_Q2_K, CAPP_TYPE_Q3_K,  CAPP_TYPE_Q4_K,   CAPP_TYPE_Q5_K,
                                 CAPP_TYPE_Q6_K, CAPP_TYPE_MXFP4, CAPP_TYPE_IQ4_NL, CAPP_TYPE_IQ4_XS};
enum { TYPES = sizeof types / sizeof *types };

/* Halves, or upper halves of floats: zeros, subnormals, the smallest and largest normals, infinities, NaN. */
static const uint16_t extremes[] = {0,      0x8000, 1,      0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x3c00, 0xbc00,
                                    0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7f7f, 0x7f80, 0xff80, 0x7fc0};

static void fill(uint8_t *b, size_t bytes, int how) {
    for (size_t i = 0; i < bytes; i++) b[i] = (uint8_t)between(0, 255);
    for (size_t i = 0; how == EXTREME && i + 2 <= bytes; i += 2)
        if (between(0, 2) == 0) memcpy(b + i, &extremes[between(0, sizeof extremes / sizeof *extremes - 1)], 2);
    for (size_t i = 0; how == TAME && i + 2 <= bytes; i += 2) b[i + 1] = (uint8_t)(0x24 + between(0, 15));
}

/* Whether the elements are equal. Any NaN equals any other, because the compiler chooses which of two NaNs results. */
static bool equal(const capp_products *p, const char *x, const char *y) {
    uint32_t a = 0, b = 0, infinity = p->element == 4 ? 0x7f800000u : 0x7f80u,
             sign = p->element == 4 ? 1u << 31 : 1u << 15;
    memcpy(&a, x, p->element);
    memcpy(&b, y, p->element);
    return a == b || ((a & ~sign) > infinity && (b & ~sign) > infinity);
}

static bool known(const capp_products *const *found, size_t n, const capp_products *p) {
    for (size_t i = 0; i < n; i++)
        if (found[i] == p) return true;
    return false;
}

/* The products of this machine that unpack directly; NULL at the end. */
static const capp_products *const *all_units(void) {
    static const capp_products *found[8];
    size_t n = 0;
    for (size_t i = 0; capp_kernels_at(i); i++) {
        const capp_kernels *k = capp_kernels_at(i);
        if (!capp_cpu_request(k->needs)) continue;
        const capp_products *of[] = {k->f32, k->bf16};
        for (size_t j = 0; j < 2; j++)
            if (of[j] && of[j]->unpack(CAPP_TYPE_Q4_K) && !known(found, n, of[j])) found[n++] = of[j];
    }
    return found;
}

static const char *stored(uint32_t type, size_t n, size_t k, int how) {
    const capp_type_info info = capp_type_get(type);
    const size_t bytes = n * k / info.block_elems * info.block_bytes, floats = (bytes + 3) / 4;
    uint8_t *b = (uint8_t *)array(floats) + (at_end ? 4 * floats - bytes : 0);
    fill(b, bytes, how);
    return (const char *)b;
}

/* The expected panel of n rows. */
static const char *expected(const capp_products *p, uint32_t type, const char *blocks, size_t n, size_t k) {
    float *rows = array(n * k), *panel = array(p->panel_bytes(0, k) / sizeof(float));
    capp_dequant(type)(rows, blocks, n * k);
    p->pack(panel, rows, k, n, k);
    return (const char *)panel;
}

static const char *unpacked(const capp_products *p, uint32_t type, const char *blocks, size_t n, size_t k) {
    const char *rows[CAPP_MAX_NR];
    const capp_type_info info = capp_type_get(type);
    char *panel = (char *)array(p->panel_bytes(0, k) / sizeof(float));
    for (size_t i = 0; i < n; i++) rows[i] = blocks + i * k / info.block_elems * info.block_bytes;
    p->unpack(type)(panel, rows, n, k);
    return panel;
}

static size_t differences(const capp_products *p, const char *x, const char *y, size_t k) {
    size_t found = 0;
    for (size_t i = 0; i < p->panel_bytes(0, k); i += p->element) found += !equal(p, x + i, y + i);
    return found;
}

static void one(const capp_products *p, uint32_t type, size_t n, size_t k, int how) {
    at_end = between(0, 1);
    const char *blocks = stored(type, n, k, how);
    const size_t wrong = differences(p, expected(p, type, blocks, n, k), unpacked(p, type, blocks, n, k), k);
    if (wrong)
        FAIL("%s of %zu columns, %s, %zu rows of %zu: %zu differ", p->name, p->nr, capp_type_get(type).name, n, k,
             wrong);
    release();
}

static void each_type(void (*check)(const capp_products *p, uint32_t type)) {
    const capp_products *const *units = all_units();
    if (!units[0]) SKIP("this machine has no vectors");
    for (; *units; units++)
        for (size_t t = 0; t < TYPES; t++) {
            CHECK((*units)->unpack(types[t]));
            check(*units, types[t]);
        }
}

static void check_rows(const capp_products *p, uint32_t type) {
    const size_t block = capp_type_get(type).block_elems;
    for (size_t n = 1; n <= p->nr; n++)
        one(p, type, n, block * (block == 1 ? between(1, 70) : between(1, 3)), (int)(n % FILLS));
}

TEST(all_numbers_of_rows) {
    each_type(check_rows);
}

static void check_lengths(const capp_products *p, uint32_t type) {
    const size_t block = capp_type_get(type).block_elems, most = block == 1 ? 80 : block == 32 ? 19 : 4;
    for (size_t blocks = 1; blocks <= most; blocks++) one(p, type, p->nr, block * blocks, RANDOM);
    one(p, type, p->nr, 2048, EXTREME);
}

TEST(all_lengths) {
    each_type(check_lengths);
}

/* Every eighth 16-bit value, or its neighbor, as a scale of a type, and as a number of F16 and BF16. */
static void check_scales(const capp_products *p, uint32_t type) {
    const capp_type_info info = capp_type_get(type);
    enum { BLOCKS = 16, STEP = 8 };
    const size_t n = p->nr, k = BLOCKS * info.block_elems;
    static const struct {
        uint32_t type;
        size_t at;
    } scales[] = {{CAPP_TYPE_F16, 0},  {CAPP_TYPE_BF16, 0},  {CAPP_TYPE_Q4_0, 0},   {CAPP_TYPE_Q4_1, 0},
                  {CAPP_TYPE_Q4_1, 2}, {CAPP_TYPE_Q5_0, 0},  {CAPP_TYPE_Q5_1, 0},   {CAPP_TYPE_Q5_1, 2},
                  {CAPP_TYPE_Q8_0, 0}, {CAPP_TYPE_MXFP4, 0}, {CAPP_TYPE_IQ4_NL, 0}, {CAPP_TYPE_Q4_K, 0}};
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
        for (uint32_t least = 0; scales[s].type == type && least < 65536; least += STEP * BLOCKS * (uint32_t)n) {
            const char *blocks = stored(type, n, k, RANDOM);
            for (size_t i = 0; i < BLOCKS * n; i++) {
                const uint16_t scale = (uint16_t)(least + STEP * i + between(0, STEP - 1));
                memcpy((char *)(uintptr_t)blocks + i * info.block_bytes + scales[s].at, &scale, sizeof scale);
            }
            const size_t wrong = differences(p, expected(p, type, blocks, n, k), unpacked(p, type, blocks, n, k), k);
            if (wrong) FAIL("%s, %s, scales from %x: %zu differ", p->name, info.name, (unsigned)least, wrong);
            release();
        }
}

TEST(all_scales) {
    each_type(check_scales);
}

/* The comparison detects swapped nibbles in any single byte. */
static void check_swapped(const capp_products *p, uint32_t type) {
    const capp_type_info info = capp_type_get(type);
    const size_t k = info.block_elems;
    size_t seen = 0, tried = 0;
    for (size_t at = 0; at < info.block_bytes; at += at < 16 ? 1 : 5, tried++) {
        char *blocks = (char *)(uintptr_t)stored(type, 1, k, TAME);
        const char *want = expected(p, type, blocks, 1, k);
        uint8_t byte = (uint8_t)blocks[at];
        blocks[at] = (char)(byte % 17 == 0 ? byte ^ 0x10 : byte << 4 | byte >> 4);
        seen += differences(p, want, unpacked(p, type, blocks, 1, k), k) > 0;
        release();
    }
    if (10 * seen < 8 * tried && p->element == 4)
        FAIL("%s: of %zu bytes with swapped nibbles %zu are seen", info.name, tried, seen);
    if (!seen) FAIL("%s: no swapped nibbles are seen", info.name);
}

TEST(swapped_nibbles_are_seen) {
    each_type(check_swapped);
}

TEST(types_without_a_direct_way_say_so) {
    const capp_products *const *units = all_units();
    if (!units[0]) SKIP("this machine has no vectors");
    CHECK(!capp_kernels_ref.f32->unpack(CAPP_TYPE_Q4_K));
    for (; *units; units++) {
        CHECK(!(*units)->unpack(CAPP_TYPE_IQ1_S) && !(*units)->unpack(CAPP_TYPE_QUANTIZED));
        CHECK(!(*units)->unpack(CAPP_TYPE_Q8_1) && !(*units)->unpack(UINT32_MAX));
    }
}

/* ---- Few rows, without panels ---- */

/* Whether the floats are equal, or both NaN. */
static size_t unequal(const float *x, const float *y, size_t n) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++) found += memcmp(x + i, y + i, sizeof *x) && !(isnan(x[i]) && isnan(y[i]));
    return found;
}

/* m rows of k times n columns: with a panel, then without. Other elements of c do not change. */
static void check_few(const capp_products *p, uint32_t type, size_t m, size_t n, size_t k, int how) {
    enum { LDC = CAPP_MAX_NR + 3 };
    at_end = between(0, 1);
    const capp_type_info info = capp_type_get(type);
    const char *blocks = stored(type, n, k, how), *rows[CAPP_MAX_NR];
    const size_t lda = k + between(0, 5);
    float *a = array(m * lda), *want = array(m * LDC), *got = copy_of(want, m * LDC);
    for (size_t i = 0; i < n; i++) rows[i] = blocks + i * k / info.block_elems * info.block_bytes;
    p->matmul(want, LDC, a, lda, unpacked(p, type, blocks, n, k), m, n, k, false);
    p->few(type)(got, LDC, a, lda, rows, m, n, k);
    const size_t wrong = unequal(want, got, m * LDC);
    if (wrong)
        FAIL("%s of %zu columns, %s, %zu rows by %zu of %zu: %zu differ", p->name, p->nr, info.name, m, n, k, wrong);
    release();
}

TEST(few_rows) {
    const capp_products *const *units = all_units();
    if (!units[0]) SKIP("this machine has no vectors");
    for (; *units; units++)
        for (size_t t = 0; (*units)->few && t < TYPES; t++) {
            const size_t block = capp_type_get(types[t]).block_elems;
            CHECK((block == 1) == !(*units)->few(types[t]));
            for (size_t m = 1; block > 1 && m <= CAPP_FEW_ROWS; m++)
                for (size_t n = (*units)->nr; n > 0; n -= n > 5 ? between(2, 5) : 1)
                    check_few(*units, types[t], m, n, block * between(1, block == 32 ? 19 : 3), (int)(n % FILLS));
        }
}

/* ---- Weights of folders ---- */

enum { QUANT_N = 64, QUANT_K = 256 };

/* A weight with random numbers, zeros and scales. kind: how its groups or blocks are. */
static capp_quant folder_weight(capp_quant_layout layout, unsigned bits, uint32_t scale_type, size_t kind, int how) {
    static uint32_t groups[QUANT_K];
    const size_t sizes[] = {32, 128, QUANT_K, 32}, size = sizes[kind];
    const bool float8 = layout == CAPP_QUANT_E4M3;
    uint8_t *weights = (uint8_t *)array(QUANT_N * QUANT_K / 4), *zeros = (uint8_t *)array(QUANT_N * QUANT_K / 4);
    uint8_t *scales = (uint8_t *)array(QUANT_N * QUANT_K / 4);
    fill(weights, QUANT_N * QUANT_K, RANDOM);
    fill(zeros, QUANT_N * QUANT_K, RANDOM);
    fill(scales, QUANT_N * QUANT_K, how);
    for (size_t i = 0; i < QUANT_K; i++) groups[i] = (uint32_t)(kind == 3 ? between(0, QUANT_K / size - 1) : i / size);
    return (capp_quant){.layout = layout,
                        .n = QUANT_N,
                        .k = QUANT_K,
                        .groups = QUANT_K / size,
                        .bits = bits,
                        .zeros_less_one = kind % 2,
                        .weights = weights,
                        .zeros = zeros,
                        .scales = scales,
                        .scale_type = scale_type,
                        .group = float8 ? NULL : groups,
                        .block_rows = kind == 1   ? 48
                                      : kind == 2 ? QUANT_N
                                                  : 1,
                        .block_columns = size};
}

/* A panel of the weight, in two parts along k. */
static void check_folder(const capp_products *p, capp_quant *q) {
    static float rows[QUANT_N * QUANT_K], scratch[4096];
    const size_t row = 32 * between(0, QUANT_N / 32 - 1), cut = 64 * between(1, 3);
    CHECK(capp_quant_scratch(q) <= sizeof scratch / sizeof *scratch);
    capp_quant_rows(rows, q, row, p->nr, scratch);
    for (size_t from = 0, k = cut; from < QUANT_K; from += k, k = QUANT_K - cut) {
        float *want = array(p->panel_bytes(0, k) / sizeof(float)), *got = array(p->panel_bytes(0, k) / sizeof(float));
        p->pack(want, rows + from, QUANT_K, p->nr, k);
        CHECK(p->unpack_quant(got, q, row, from, k));
        for (size_t i = 0; i < k * p->nr; i++)
            if (!equal(p, (char *)want + i * p->element, (char *)got + i * p->element))
                FAIL("layout %d, %u bits, element %zu of %s differs", (int)q->layout, q->bits, i, p->name);
    }
    CHECK(!p->unpack_quant(rows, q, row + 1, 0, cut) && !p->unpack_quant(rows, q, row, 0, 48));
    q->order = (const uint32_t *)q->weights;
    CHECK(!p->unpack_quant(rows, q, row, 0, cut));
}

TEST(weights_of_folders) {
    static const uint32_t scales[] = {CAPP_TYPE_F16, CAPP_TYPE_BF16, CAPP_TYPE_F32};
    static const struct {
        capp_quant_layout layout;
        unsigned bits;
    } layouts[] = {{CAPP_QUANT_GPTQ, 4}, {CAPP_QUANT_GPTQ, 8}, {CAPP_QUANT_AWQ, 4}, {CAPP_QUANT_E4M3, 8}};
    const capp_products *const *units = all_units();
    if (!units[0]) SKIP("this machine has no vectors");
    for (; *units; units++)
        for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
            for (size_t i = 0; i < 36; i++) {
                capp_quant q = folder_weight(layouts[l].layout, layouts[l].bits, scales[i % 3], i / 3 % 4,
                                             i < 12 ? EXTREME : TAME);
                check_folder(*units, &q);
                release();
            }
}

TEST(other_weights_of_folders_are_dequantized) {
    const capp_products *const *units = all_units();
    if (!units[0]) SKIP("this machine has no vectors");
    for (; *units; units++) {
        capp_quant q = folder_weight(CAPP_QUANT_GPTQ, 3, CAPP_TYPE_F16, 0, TAME);
        CHECK(!(*units)->unpack_quant(NULL, &q, 0, 0, 64));
        q.layout = CAPP_QUANT_LEVELS;
        CHECK(!(*units)->unpack_quant(NULL, &q, 0, 0, 64));
    }
}
