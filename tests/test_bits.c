/* In float32 every instruction set gives the same bits. The tests run each operation of kernel.h on ordinary numbers,
 * and on extreme ones: denormals and cancellation, then also infinities, which make NaN. */
#include "base/cpu.h"
#include "kernel/kernel.h"
#include "test.h"

enum { MOST = 160, ROWS = 5, OUT = 2 * ROWS * MOST, LANES = CAPP_LANES };

static test_random random_state = {3};
static float in[4][ROWS * MOST * LANES];
static float out[OUT], want[OUT];

typedef enum numbers { ORDINARY, WILD, INFINITE, KINDS } numbers;

static void fill(numbers kind) {
    const bool wild = kind != ORDINARY;
    for (size_t i = 0; i < sizeof *in / sizeof **in; i++)
        for (size_t j = 0; j < 4; j++) {
            const int exponent = wild ? (int)test_random_below(&random_state, 130) - 100 : 0;
            in[j][i] = ldexpf((float)test_random_normal(&random_state), exponent);
            if (wild && test_random_below(&random_state, 8) == 0) in[j][i] = 0;
            if (kind == INFINITE && test_random_below(&random_state, 64) == 0) in[j][i] = copysignf(INFINITY, in[j][i]);
        }
}

/* Each function leaves its results in out. n <= MOST. */
static void do_rms_norm(const capp_kernels *k, size_t n) {
    k->rms_norm(out, in[0], in[1], n, 1e-5f);
}
static void do_layer_norm(const capp_kernels *k, size_t n) {
    k->layer_norm(out, in[0], in[1], in[2], n, 1e-5f);
    k->layer_norm(out + MOST, in[0], in[1], NULL, n, 1e-5f);
}
static void do_add(const capp_kernels *k, size_t n) {
    k->add(out, in[0], n);
}
static void do_scale(const capp_kernels *k, size_t n) {
    k->scale(out, 1.3f, n);
}
static void do_rope_halves(const capp_kernels *k, size_t n) {
    k->rope_halves(out, n, 1, in[0], in[1], n / 2);
}
static void do_rope_pairs(const capp_kernels *k, size_t n) {
    k->rope_pairs(out, n, 1, in[0], in[1], n / 2);
}
static void do_silu_mul(const capp_kernels *k, size_t n) {
    k->silu_mul(out, in[0], in[1], n);
}
static void do_gelu_mul(const capp_kernels *k, size_t n) {
    k->gelu_mul(out, in[0], in[1], n);
}
static void do_gelu(const capp_kernels *k, size_t n) {
    k->gelu(out, n);
}
static void do_scores(const capp_kernels *k, size_t n) {
    const size_t skip = n % LANES, d = n / 2 + 1;
    k->scores(out, MOST, in[0], MOST, ROWS, in[1], d > 64 ? 64 : d, skip, n > MOST / 2 ? MOST / 2 : n);
}
static void do_most(const capp_kernels *k, size_t n) {
    out[0] = k->most(in[0], n);
}
static void do_exps(const capp_kernels *k, size_t n) {
    const size_t low = n % 7 < n ? n % 7 : 0;
    k->exps(out, low, n, capp_kernels_ref.most(out + low, n - low), out + MOST);
}
static void do_exps_coarse(const capp_kernels *k, size_t n) {
    const size_t low = n % 7 < n ? n % 7 : 0;
    uint16_t y[MOST + LANES] = {0};
    k->exps_coarse(y, out, low, n, capp_kernels_ref.most(out + low, n - low), out + MOST);
    for (size_t i = 0; i < MOST; i++) {
        const uint32_t bits = (uint32_t)y[i] << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}
static void do_values(const capp_kernels *k, size_t n) {
    k->values(out, MOST, in[0], MOST, ROWS, in[1], MOST, n, n % 37 + 1);
}
static void do_renew(const capp_kernels *k, size_t n) {
    k->renew(out + ROWS * MOST, in[2] + ROWS, out, MOST, in[2], n % 2, in[0], in[1], ROWS, n);
}
static void do_fade(const capp_kernels *k, size_t n) {
    k->fade(out + ROWS * MOST, in[0] + ROWS, out, MOST, in[0], in[2], 3, in[1], in[2] + 1, ROWS, n);
}
static void do_logsumexp(const capp_kernels *k, size_t n) {
    k->logsumexp(out, out + 1, in[0], n);
}

static void do_matmul(const capp_kernels *k, size_t n) {
    static _Alignas(64) float panel[CAPP_MAX_NR * MOST];
    const size_t columns = n < k->f32->nr ? n : k->f32->nr, depth = n % 61 + 1, common = columns < 16 ? columns : 16;
    CHECK(k->f32->panel_bytes(0, depth) <= sizeof panel);
    k->f32->pack(panel, in[0], MOST, common, depth);
    k->f32->matmul(out, MOST, in[1], MOST, panel, ROWS, common, depth, n % 2);
    k->f32->matmul_on(out, MOST, in[2], MOST, panel, ROWS, common, depth);
}

static bool equal(float a, float b) {
    return isnan(a) ? isnan(b) : !memcmp(&a, &b, sizeof a);
}

/* The reference is the portable copy, ref; then come the tables of this processor's family. */
static void same_on_all(const char *what, void (*op)(const capp_kernels *k, size_t n)) {
    enum { MOST_TABLES = 16 };
    const capp_kernels *tables[MOST_TABLES] = {&capp_kernels_ref};
    size_t n_tables = 1;
    for (; capp_kernels_at(n_tables - 1); n_tables++) {
        CHECK(n_tables < MOST_TABLES);
        tables[n_tables] = capp_kernels_at(n_tables - 1);
    }
    for (size_t n = 1; n <= MOST; n += n < 34 ? 1 : 9)
        for (int round = 0; round < 2 * KINDS; round++) {
            fill((numbers)(round % KINDS));
            for (size_t t = 0; t < n_tables; t++) {
                if (tables[t]->needs & ~capp_cpu_features()) continue;
                for (size_t i = 0; i < OUT; i++) out[i] = in[3][i];
                op(tables[t], n);
                if (!t) memcpy(want, out, sizeof out);
                for (size_t i = 0; i < OUT; i++)
                    if (!equal(out[i], want[i]))
                        FAIL("%s of %zu: %s (table %zu) gives %a, ref %a", what, n, tables[t]->name, t, (double)out[i],
                             (double)want[i]);
            }
        }
}

#define X(name, type, parameters)                                                                                      \
    TEST(name) {                                                                                                       \
        same_on_all(#name, do_##name);                                                                                 \
    }
CAPP_OP_MAP(X)
#undef X

TEST(matmul) {
    same_on_all("matmul", do_matmul);
}

/* Tests the portable fused multiply-add in its hardest cases: sums near the middle between two floats, results below
 * the normal range, overflow. Each lane is one product of depth 1 added to a given sum. */
static void fuse(float *sum, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) capp_kernels_ref.values(sum + i, 1, a + i, 1, 1, b + i, 1, 1, 1);
}

TEST(fused_multiply_add) {
    for (int i = 0; i < 2000000; i++) {
        const uint64_t bits = test_random_u64(&random_state);
        const int exponent = i % 3 ? 0 : (int)(bits >> 40 & 127) - 90;
        float a = 1 + (float)(bits & 4095) * 0x1p-12f, b = 1 + (float)(bits >> 12 & 4095) * 0x1p-12f;
        float c = ldexpf(1 + (float)(bits >> 24 & 3) * 0x1p-23f, (int)(bits >> 26 & 63) - 32);
        a = ldexpf(bits >> 63 ? -a : a, exponent);
        b = ldexpf(b, exponent / 2 - (i % 5 ? 0 : 40));
        c = ldexpf(c, exponent + exponent / 2);
        float got = c;
        fuse(&got, &a, &b, 1);
        if (!equal(got, fmaf(a, b, c)))
            FAIL("%a * %a + %a is %a, not %a", (double)a, (double)b, (double)c, (double)fmaf(a, b, c), (double)got);
    }
    float a[] = {INFINITY, 0x1p127f, -0x1p127f, 0x1p-149f, 0, 0x1.fffffep127f, 0x1p-100f, 0x1p-75f, NAN, -0.0f};
    float b[] = {1, 4, 4, 0x1p-149f, 5, 1, 0x1p-49f, -0x1p-75f, 1, 1};
    float c[] = {2, -1, 1, 0x1p-149f, -0.0f, 0x1p103f, 0x1p-149f, 0x1.8p-126f, 1, -0.0f};
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) {
        float got = c[i];
        fuse(&got, a + i, b + i, 1);
        CHECK(equal(got, fmaf(a[i], b[i], c[i])));
    }
}
