/* Every operation of every instruction set is compared with double precision and, where kernel.h fixes each operation
 * of the chain, with exactly those bits. Arrays lie directly before or after pages that may not be touched, in turn.
 * There is one check per operation, and the list of kernel.h makes tests of them. Each check must also reject a kernel
 * with a small mistake. */
#include "kernel_check.h"
#include "units.h"

#include "base/cpu.h"
#include "kernel/peak.h"
#include "kernel/plain.h"

enum { LANES = CAPP_LANES };

/* Products -------------------------------------------------------------------------------------------------------- */

static void one_scores(const capp_kernels *k, size_t rows, size_t d, size_t skip, size_t n) {
    const size_t blocks = (skip + n + LANES - 1) / LANES, ldq = d + between(0, 9), lds = n + between(0, 9);
    const float *kt = array(blocks * d * LANES), *q = array((rows - 1) * ldq + d);
    float *s = array((rows - 1) * lds + n), *before = copy_of(s, (rows - 1) * lds + n);
    float *keys = array(d * (n + 1)); /* [d][n] */
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < n; j++) keys[i * n + j] = kt[((skip + j) / LANES * d + i) * LANES + (skip + j) % LANES];
    k->scores(s, lds, q, ldq, rows, kt, d, skip, n);
    expect_product("scores", s, before, lds, q, ldq, keys, n, 1, rows, n, d, false);
    release();
}

static void check_scores(const capp_kernels *k) {
    for (size_t rows = 1; rows <= 40; rows++)
        one_scores(k, rows, between(1, 70), between(0, LANES - 1), between(1, rows % 4 ? 70 : 300));
    for (size_t skip = 0; skip < LANES; skip++)
        for (size_t n = 1; n <= 2 * LANES + 1; n++) one_scores(k, between(1, 3), between(1, 5), skip, n);
    one_scores(k, 13, 256, 0, 64);
}

static void one_values(const capp_kernels *k, size_t rows, size_t d, size_t n) {
    const size_t ldv = d + between(0, 9), ldp = n + between(0, 9), ldo = d + between(0, 9), split = between(0, n);
    const float *v = array((n - 1) * ldv + d), *p = array((rows - 1) * ldp + n);
    float *out = array((rows - 1) * ldo + d), *before = copy_of(out, (rows - 1) * ldo + d);
    float *twice = copy_of(out, (rows - 1) * ldo + d);
    k->values(out, ldo, p, ldp, rows, v, ldv, d, n);
    expect_product("values", out, before, ldo, p, ldp, v, ldv, 1, rows, d, n, true);
    if (split) k->values(twice, ldo, p, ldp, rows, v, ldv, d, split);
    if (split < n) k->values(twice, ldo, p + split, ldp, rows, v + split * ldv, ldv, d, n - split);
    same("values in two runs", twice, out, (rows - 1) * ldo + d);
    release();
}

static void check_values(const capp_kernels *k) {
    for (size_t rows = 1; rows <= 40; rows++)
        one_values(k, rows, rows % 2 ? between(1, 140) : 16 * between(1, 8), between(1, 40));
    for (size_t d = 1; d <= 80; d++) one_values(k, between(1, 14), d, between(1, 9));
    one_values(k, 7, 256, 300);
}

/* Norms ----------------------------------------------------------------------------------------------------------- */

static void check_rms_norm(const capp_kernels *k) {
    for (size_t n = 1; n <= 120; n = n < 70 ? n + 1 : n + 17) {
        const float eps = n % 2 ? 1e-5f : 0.5f;
        float *x = array(n), *w = array(n), *y = array(n), lane[LANES] = {0};
        double squares = 0;
        for (size_t i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
        for (size_t i = 0; i < n; i++) lane[i % LANES] = fmaf(x[i], x[i], lane[i % LANES]);
        const double factor = 1 / sqrt(squares / (double)n + (double)eps);
        const float exact = 1.0f / sqrtf(sum_of_lanes(lane, LANES) / (float)n + eps);
        k->rms_norm(y, x, w, n, eps);
        for (size_t i = 0; i < n; i++) {
            const double want = (double)x[i] * factor * (double)w[i];
            const float bits = x[i] * exact * w[i];
            near("rms_norm", (double)y[i], want, 12 * EPS * fabs(want));
            same("rms_norm", y + i, &bits, 1);
        }
        k->rms_norm(x, x, w, n, eps);
        same("rms_norm in place", x, y, n);
        release();
    }
}

static void check_layer_norm(const capp_kernels *k) {
    for (size_t n = 2; n <= 120; n = n < 70 ? n + 1 : n + 17) {
        const float eps = n % 2 ? 1e-5f : 0.5f;
        float *x = array(n), *w = array(n), *b = array(n), *y = array(n);
        double mean = 0, squares = 0;
        for (size_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
        for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
        const double factor = 1 / sqrt(squares / (double)n + (double)eps);
        for (int bias = 0; bias < 2; bias++) {
            k->layer_norm(y, x, w, bias ? b : NULL, n, eps);
            for (size_t i = 0; i < n; i++) {
                const double scaled = ((double)x[i] - mean) * factor * (double)w[i];
                const double tolerance = 30 * EPS * (fabs(scaled) + factor * fabs((double)w[i]) + fabs((double)b[i]));
                near("layer_norm", (double)y[i], scaled + (bias ? (double)b[i] : 0), tolerance);
            }
        }
        k->layer_norm(x, x, w, b, n, eps);
        same("layer_norm in place", x, y, n);
        release();
    }
}

/* Element by element ---------------------------------------------------------------------------------------------- */

static void check_add(const capp_kernels *k) {
    for (size_t n = 0; n <= 70; n++) {
        float *x = array(n), *y = array(n), *before = copy_of(y, n);
        k->add(y, x, n);
        for (size_t i = 0; i < n; i++) before[i] += x[i];
        same("add", y, before, n);
        release();
    }
}

static void check_scale(const capp_kernels *k) {
    for (size_t n = 0; n <= 70; n++) {
        float *y = array(n), *before = copy_of(y, n);
        k->scale(y, 1.7f, n);
        for (size_t i = 0; i < n; i++) before[i] *= 1.7f;
        same("scale", y, before, n);
        release();
    }
}

/* out [n] is what values makes of the state s [rows][lds]. */
static void check_read(const capp_kernels *k, const float *out, const float *c, const float *s, size_t lds, size_t rows,
                       size_t n) {
    float *read = array(n);
    memset(read, 0, n * sizeof *read);
    k->values(read, n, c, rows, 1, s, lds, n, rows);
    same("a state that is read", out, read, n);
}

static void check_renew(const capp_kernels *k) {
    for (size_t n = 1; n <= 140; n++) {
        const size_t rows = between(1, 40), lds = n + between(0, 9);
        const size_t each = n % 2;
        const float *decay = array(rows), *a = array(rows), *b = array(n), *c = array(rows);
        float *out = array(n);
        float *s = array((rows - 1) * lds + n), *before = copy_of(s, (rows - 1) * lds + n);
        k->renew(out, c, s, lds, decay, each, a, b, rows, n);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < n; j++) {
                const float was = before[i * lds + j] * decay[i * each];
                near("renew", (double)s[i * lds + j], (double)a[i] * (double)b[j] + (double)was,
                     EPS * (fabs((double)a[i] * (double)b[j]) + fabs((double)was)));
                before[i * lds + j] = fmaf(a[i], b[j], was);
            }
        same("renew", s, before, (rows - 1) * lds + n);
        check_read(k, out, c, s, lds, rows, n);
        release();
    }
}

static void check_fade(const capp_kernels *k) {
    for (size_t n = 1; n <= 70; n++) {
        const size_t rows = between(2, 40), lds = n + between(0, 9), ldr = n + between(0, 9);
        const float *step = array(n), *rate = array((rows - 1) * ldr + n), *a = array(rows), *b = array(n);
        const float *c = array(rows);
        float *out = array(n);
        float *s = array((rows - 1) * lds + n), *before = copy_of(s, (rows - 1) * lds + n);
        k->fade(out, c, s, lds, step, rate, ldr, a, b, rows, n);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < n; j++) {
                const double power = (double)step[j] * (double)rate[i * ldr + j], added = (double)a[i] * (double)b[j];
                const double was = (double)before[i * lds + j] * exp(power);
                near("fade", (double)s[i * lds + j], added + was,
                     EPS * (fabs(added) + (4 + 2 * fabs(power)) * fabs(was)));
                before[i * lds + j] = s[i * lds + j];
            }
        same("fade", s, before, (rows - 1) * lds + n);
        check_read(k, out, c, s, lds, rows, n);
        release();
    }
}

/* A head, before and after. */
static void check_head(const capp_kernels *k, bool pairs, const float *was, const float *x, const float *c,
                       const float *s, size_t half) {
    for (size_t i = 0; i < half; i++) {
        const size_t at = pairs ? 2 * i : i, to = at + (pairs ? 1 : half);
        const double x0 = (double)was[at], x1 = (double)was[to], cosine = (double)c[i], sine = (double)s[i];
        near("rope", (double)x[at], x0 * cosine - x1 * sine, 3 * EPS * (fabs(x0 * cosine) + fabs(x1 * sine)));
        near("rope", (double)x[to], x1 * cosine + x0 * sine, 3 * EPS * (fabs(x1 * cosine) + fabs(x0 * sine)));
        if (!pairs) { /* an element's bits depend only on itself: alone, and by the other form */
            float two[2] = {was[at], was[to]}, pair[2] = {was[at], was[to]};
            k->rope_halves(two, 2, 1, c + i, s + i, 1);
            k->rope_pairs(pair, 2, 1, c + i, s + i, 1);
            same("rope alone", two, x + at, 1);
            same("rope alone", two + 1, x + to, 1);
            same("rope of pairs", pair, two, 2);
        }
    }
}

static void check_rope(const capp_kernels *k, bool pairs) {
    for (size_t half = 1; half <= 70; half++) {
        const size_t heads = between(1, 4), ld = 2 * half + between(0, 20), n = (heads - 1) * ld + 2 * half;
        float *x = array(n), *was = copy_of(x, n), *c = array(half), *s = array(half);
        (pairs ? k->rope_pairs : k->rope_halves)(x, ld, heads, c, s, half);
        for (size_t h = 0; h < heads; h++) {
            check_head(k, pairs, was + h * ld, x + h * ld, c, s, half);
            if (h + 1 < heads) same("between heads", x + h * ld + 2 * half, was + h * ld + 2 * half, ld - 2 * half);
        }
        release();
    }
}

static void check_rope_halves(const capp_kernels *k) {
    check_rope(k, false);
}
static void check_rope_pairs(const capp_kernels *k) {
    check_rope(k, true);
}

static double silu(double x) {
    return x / (1 + exp(-x));
}
static double gelu(double x) {
    return x / (1 + exp(-2 * sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

/* The rounding of the exponent's argument adds to the error, so the tolerance grows with its size. */
static void check_gated(const char *what, void (*op)(float *y, const float *gate, const float *up, size_t n),
                        double (*of)(double)) {
    static const float special[] = {0, -0.0f, 1e-30f, -1e-30f, 20, -20, 88, -88, 100, -100, 1e4f, -1e4f, 1e9f, -1e9f};
    for (size_t n = 1; n <= 200; n = n < 70 ? n + 1 : n + 13) {
        float *gate = array(n), *up = array(n), *y = array(n);
        for (size_t i = 0; i < n; i++) gate[i] *= 4.0f;
        for (size_t i = 0; n == 70 && i < sizeof special / sizeof *special; i++) gate[i] = special[i];
        op(y, gate, up, n);
        for (size_t i = 0; i < n; i++) {
            const double x = (double)gate[i], want = of(x) * (double)up[i];
            const double slope = fabs(x) > 40 ? 80 : 8 + 2 * fabs(x) + (of == gelu ? 0.25 * fabs(x * x * x) : 0);
            float alone;
            near(what, (double)y[i], want, slope * EPS * fabs(want) + 1e-35);
            op(&alone, gate + i, up + i, 1);
            same("alone", &alone, y + i, 1);
        }
        op(up, gate, up, n);
        same("in place", up, y, n);
        release();
    }
    float nan = NAN, one = 1, y;
    op(&y, &nan, &one, 1);
    if (!isnan(y)) reject("NaN", (double)y, (double)nan, HUGE_VAL);
}

static const capp_kernels *under_test;

static void gelu_alone(float *y, const float *gate, const float *up, size_t n) {
    float x[512];
    memcpy(x, gate, n * sizeof *x);
    under_test->gelu(x, n);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * up[i];
}

static void check_silu_mul(const capp_kernels *k) {
    check_gated("silu_mul", k->silu_mul, silu);
}
static void check_gelu_mul(const capp_kernels *k) {
    check_gated("gelu_mul", k->gelu_mul, gelu);
}

static void check_gelu(const capp_kernels *k) {
    under_test = k;
    check_gated("gelu", gelu_alone, gelu);
    for (size_t n = 0; n <= 40; n++) { /* in place, against the guard */
        float *x = array(n), *want = copy_of(x, n), *ones = array(n);
        for (size_t i = 0; i < n; i++) ones[i] = 1;
        k->gelu(x, n);
        if (n) k->gelu_mul(want, want, ones, n);
        same("gelu and gelu_mul", x, want, n);
        release();
    }
}

/* Sums of exponentials -------------------------------------------------------------------------------------------- */

/* The greatest element in every place, beside elements below 0; before it may be -inf. */
static void check_most(const capp_kernels *k) {
    for (size_t n = 1; n <= 150; n = n < 70 ? n + 1 : n + 16)
        for (size_t at = 0; at < n; at++) {
            float *x = array(n);
            for (size_t i = 0; i < n; i++) x[i] = i % 3 ? x[i] - 50.0f : -INFINITY;
            x[at] = -3.0f;
            near("most", (double)k->most(x, n), -3, 1e-30);
            release();
        }
}

/* What exps should make of x, and by how much it may err. */
static double weight_of(float x, float top, double *tolerance) {
    const double exact = fmax((double)x * (double)CAPP_LOG2E - (double)top, -125.0);
    const double want = exp2(exact);
    *tolerance = (3 + fabs(exact)) * EPS * want;
    return want;
}

/* exps over its whole range. */
static void check_exp(const capp_kernels *k) {
    enum { N = 4096 };
    float *s = array(N), *x = array(N), lanes[LANES] = {0};
    for (size_t i = 0; i < N; i++) x[i] = -110.0f * (float)i / N;
    for (size_t i = 1; i < N / 2; i++) x[i] *= 0.01f;
    const float special[] = {-INFINITY, -1e30f, -103.9f, -1e-30f, -0.0f};
    memcpy(x + 1, special, sizeof special);
    memcpy(s, x, N * sizeof *s);
    k->exps(s, 0, N, 0, lanes);
    for (size_t i = 0; i < N; i++) {
        double tolerance;
        const double want = weight_of(x[i], 0, &tolerance);
        near("2^t", (double)s[i], want, tolerance);
    }
    s[0] = 0, s[1] = NAN;
    k->exps(s, 0, 2, 0, lanes);
    if (!isnan(lanes[1]) || isnan(lanes[0])) reject("2^NaN", 0, NAN, HUGE_VAL);
    uint32_t payload = 0x7fc12345;
    memcpy(s, &payload, sizeof payload);
    k->exps(s, 0, 1, 0, lanes);
    if (!isnan(s[0])) reject("2^NaN", (double)s[0], NAN, HUGE_VAL);
    release();
}

/* A row in one call, and cut in two at a multiple of LANES: the same bits. */
static void one_exps(const capp_kernels *k, size_t lo, size_t hi) {
    const size_t start = lo / LANES * LANES, end = (hi + LANES - 1) / LANES * LANES;
    const size_t cut = between(start / LANES, end / LANES) * LANES;
    float *s = array(end), *was = copy_of(s, end), *twice, lanes[LANES] = {0}, parts[LANES] = {0};
    double sum = 0;
    for (size_t i = 0; i < end; i++) was[i] = s[i] *= 5.0f;
    twice = copy_of(s, end);
    const float top = capp_kernels_ref.most(s + lo, hi - lo) * CAPP_LOG2E;
    k->exps(s, lo, hi, top, lanes);
    if (cut > lo) k->exps(twice, lo, cut < hi ? cut : hi, top, parts);
    if (cut < hi) k->exps(twice, cut > lo ? cut : lo, hi, top, parts);
    same("before the blocks", s, was, start);
    same("exps in two calls", twice, s, end);
    same("lanes of two calls", parts, lanes, LANES);
    for (size_t i = start; i < end; i++) {
        double tolerance, want = weight_of(was[i], top, &tolerance);
        if (i < lo || i >= hi) want = 0, tolerance = 0x1p-149;
        near("exps", (double)s[i], want, tolerance);
        sum += want;
    }
    const float got = capp_sum_of_lanes(lanes), expected = sum_of_lanes(s + start, end - start);
    near("sum of exps", (double)got, sum, 40 * EPS * sum);
    same("sum of exps in lanes", &got, &expected, 1);
    release();
}

/* The exponentials of exps, rounded to 8 bits, in one call and in two. */
static void one_exps_coarse(const capp_kernels *k, size_t lo, size_t hi) {
    const size_t start = lo / LANES * LANES, end = (hi + LANES - 1) / LANES * LANES;
    const size_t cut = between(start / LANES, end / LANES) * LANES;
    float *s = array(end), *fine, *twice, lanes[LANES] = {0}, parts[LANES] = {0}, unused[LANES] = {0};
    float *wide = array(end);
    uint16_t y[512] = {0}, other[512] = {0};
    for (size_t i = 0; i < end; i++) s[i] *= 5.0f;
    fine = copy_of(s, end), twice = copy_of(s, end);
    const float top = capp_kernels_ref.most(s + lo, hi - lo) * CAPP_LOG2E;
    k->exps(fine, lo, hi, top, unused);
    k->exps_coarse(y, s, lo, hi, top, lanes);
    if (cut > lo) k->exps_coarse(other, twice, lo, cut < hi ? cut : hi, top, parts);
    if (cut < hi) k->exps_coarse(other, twice, cut > lo ? cut : lo, hi, top, parts);
    if (memcmp(y, other, sizeof y) != 0) reject("exps_coarse in two calls", 0, 0, HUGE_VAL);
    same("lanes of two calls", parts, lanes, LANES);
    same("before the blocks", s, fine, start);
    for (size_t i = 0; i < sizeof y / sizeof *y; i++)
        if ((i < start || i >= end) && y[i]) reject("outside of the blocks", (double)y[i], 0, HUGE_VAL);
    for (size_t i = start; i < end; i++) {
        const uint32_t bits = (uint32_t)y[i] << 16;
        memcpy(wide + i, &bits, sizeof bits);
        near("exps_coarse", (double)wide[i], (double)fine[i], 0x1p-8 * (double)fine[i] + 0x1p-149);
    }
    const float got = capp_sum_of_lanes(lanes), expected = sum_of_lanes(wide + start, end - start);
    same("sum of exps_coarse in lanes", &got, &expected, 1);
    release();
}

static void check_exps_coarse(const capp_kernels *k) {
    for (size_t lo = 0; lo < 40; lo++)
        for (size_t hi = lo + 1; hi < 80; hi += between(1, 5)) one_exps_coarse(k, lo, hi);
    for (size_t lo = 0, i = 0; i < 40; i++, lo = between(0, 150)) one_exps_coarse(k, lo, lo + between(100, 300));
}

static void check_exps(const capp_kernels *k) {
    for (size_t lo = 0; lo < 40; lo++)
        for (size_t hi = lo + 1; hi < 80; hi += between(1, 5)) one_exps(k, lo, hi);
    for (size_t lo = 0, i = 0; i < 40; i++, lo = between(0, 150)) one_exps(k, lo, lo + between(100, 300));
    check_exp(k);
}

static void check_logsumexp(const capp_kernels *k) {
    for (size_t n = 1; n <= 400; n = n < 70 ? n + 1 : n + 37) {
        float *x = array(n), max, sum;
        double most = -HUGE_VAL, want = 0;
        for (size_t i = 0; i < n; i++) x[i] = x[i] * 3.0f - 50.0f;
        for (size_t i = 0; i < n; i++) most = (double)x[i] > most ? (double)x[i] : most;
        for (size_t i = 0; i < n; i++) want += exp((double)x[i] - most);
        k->logsumexp(&max, &sum, x, n);
        near("max", (double)max, most, 1e-30);
        near("logsumexp", (double)sum, want, 20 * EPS * want);
        release();
    }
}

/* Tests ----------------------------------------------------------------------------------------------------------- */

static void run(const capp_kernels *k, void (*check)(const capp_kernels *k)) {
    worst = 0;
    for (int mode = 0; mode < 2; mode++) {
        at_end = mode == 0;
        check(k);
        release();
    }
}

static void test_op(const char *isa, void (*check)(const capp_kernels *k)) {
    run(need_isa(isa), check);
    if (!(worst <= 1)) FAIL("%s: %s", isa, first);
}

#define X(name, type, parameters)                                                                                      \
    TEST(ref_##name) {                                                                                                 \
        test_op("ref", check_##name);                                                                                  \
    }                                                                                                                  \
    TEST(ref_portable_##name) {                                                                                        \
        run(&capp_kernels_ref, check_##name);                                                                          \
        if (!(worst <= 1)) FAIL("the portable copy of ref: %s", first);                                                \
    }                                                                                                                  \
    TEST(avx2_##name) {                                                                                                \
        test_op("avx2", check_##name);                                                                                 \
    }                                                                                                                  \
    TEST(avx512_##name) {                                                                                              \
        test_op("avx512", check_##name);                                                                               \
    }                                                                                                                  \
    TEST(neon_##name) {                                                                                                \
        test_op("neon", check_##name);                                                                                 \
    }
CAPP_OP_MAP(X)
#undef X

/* A small mistake in each operation. */
#define REF capp_kernels_ref
static void bad_rms_norm(float *y, const float *x, const float *w, size_t n, float eps) {
    (void)eps;
    REF.rms_norm(y, x, w, n, 1e-6f);
}
static void bad_layer_norm(float *y, const float *x, const float *w, const float *b, size_t n, float eps) {
    REF.layer_norm(y, x, w, b, n, eps * 1.01f);
}
static void bad_add(float *y, const float *x, size_t n) {
    REF.add(y, x, n & ~(size_t)3);
}
static void bad_scale(float *y, float s, size_t n) {
    REF.scale(y, s, n ? n - 1 : 0);
}
static void bad_rope_halves(float *x, size_t ldx, size_t heads, const float *c, const float *s, size_t half) {
    REF.rope_pairs(x, ldx, heads, c, s, half);
}
static void bad_rope_pairs(float *x, size_t ldx, size_t heads, const float *c, const float *s, size_t half) {
    REF.rope_pairs(x, ldx, heads > 3 ? heads - 1 : heads, c, s, half); /* forgets a head */
}
static void bad_silu_mul(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gate[i] * up[i] / (1.0f + expf(-1.0001f * gate[i]));
}
static void bad_gelu_mul(float *y, const float *gate, const float *up, size_t n) { /* the other gelu, by erf */
    for (size_t i = 0; i < n; i++) y[i] = gate[i] * up[i] * (0.5f + 0.5f * erff(gate[i] * 0.70710678f));
}
static void bad_gelu(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] *= 0.5f + 0.5f * erff(x[i] * 0.70710678f);
}
static void bad_scores(float *s, size_t lds, const float *q, size_t ldq, size_t rows, const float *kt, size_t d,
                       size_t skip, size_t n) {
    REF.scores(s, lds, q, ldq, rows, kt, d, n < 17 ? skip : 0, n);
}
static float bad_most(const float *x, size_t n) {
    return REF.most(x, n > 1 ? n - 1 : n);
}
static void bad_exps_coarse(uint16_t *y, float *s, size_t lo, size_t hi, float top,
                            float *lanes) { /* cut, not rounded */
    REF.exps(s, lo, hi, top, lanes);
    for (size_t i = lo; i < hi; i++) {
        uint32_t bits;
        memcpy(&bits, s + i, sizeof bits);
        y[i] = (uint16_t)(bits >> 16);
    }
}
static void bad_exps(float *s, size_t lo, size_t hi, float top, float *lanes) {
    REF.exps(s, lo, hi, top, lanes);
    lanes[(hi - 1) % LANES] -= s[hi - 1];
}
static void bad_values(float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *v, size_t ldv,
                       size_t d, size_t n) {
    REF.values(out, ldo, p, ldp, rows, v, ldv, d > 16 ? d - 1 : d, n);
}
static void bad_renew(float *out, const float *c, float *s, size_t lds, const float *decay, size_t each, const float *a,
                      const float *b, size_t rows, size_t n) { /* the first decay for all */
    (void)each;
    REF.renew(out, c, s, lds, decay, 0, a, b, rows, n);
}
static void bad_fade(float *out, const float *c, float *s, size_t lds, const float *step, const float *rate, size_t ldr,
                     const float *a, const float *b, size_t rows, size_t n) { /* the first rates for all */
    (void)ldr;
    REF.fade(out, c, s, lds, step, rate, 0, a, b, rows, n);
}
static void bad_logsumexp(float *max, float *sum, const float *x, size_t n) {
    REF.logsumexp(max, sum, x, n);
    *sum *= 1.0001f;
}

TEST(checks_reject_mistakes){
#define X(name, type, parameters)                                                                                      \
    {                                                                                                                  \
        capp_kernels bad = capp_kernels_ref;                                                                           \
        bad.name = bad_##name;                                                                                         \
        run(&bad, check_##name);                                                                                       \
        if (worst <= 1) FAIL("a mistake in %s was not seen", #name);                                                   \
    }
    CAPP_OP_MAP(X)
#undef X
}

TEST(dispatch) {
    CHECK_STR(capp_kernels_at(0)->name, "ref");
    CHECK(!capp_kernels_named("avx1024"));
    CHECK_STR(capp_kernels_best(0)->name, "ref");
#if defined(__x86_64__)
    CHECK(!capp_kernels_at(7));
    CHECK_STR(capp_kernels_best(CAPP_CPU_AVX2)->name, "avx2");
    CHECK_STR(capp_kernels_best(CAPP_CPU_AVX2 | CAPP_CPU_AVX512)->name, "avx512");
    const unsigned vnni = CAPP_CPU_AVX2 | CAPP_CPU_AVX512 | CAPP_CPU_AVX512_VNNI;
    CHECK_STR(capp_kernels_best(CAPP_CPU_AVX2 | CAPP_CPU_AVX_VNNI)->name, "avxvnni");
    CHECK_STR(capp_kernels_best(vnni)->name, "avx512vnni");
    CHECK_STR(capp_kernels_best(vnni | CAPP_CPU_AVX512_BF16)->name, "avx512bf16");
    CHECK_STR(capp_kernels_best(~0u)->name, "amx");
    CHECK(!capp_kernels_named("neon"));
#else
    const unsigned dot = CAPP_CPU_NEON | CAPP_CPU_NEON_DOT;
    CHECK(!capp_kernels_at(5));
    CHECK_STR(capp_kernels_best(CAPP_CPU_NEON)->name, "neon");
    CHECK_STR(capp_kernels_best(dot)->name, "neondot");
    CHECK_STR(capp_kernels_best(dot | CAPP_CPU_NEON_I8MM)->name, "neoni8mm");
    CHECK_STR(capp_kernels_best(~0u)->name, "neonbf16");
    CHECK(!capp_kernels_named("avx2"));
#endif
    for (size_t i = 0; capp_kernels_at(i); i++) {
        CHECK(capp_kernels_named(capp_kernels_at(i)->name) == capp_kernels_at(i));
        CHECK(capp_kernels_at(i)->f32->nr <= CAPP_MAX_NR);
    }
}

TEST(peak) {
    for (size_t i = 0; capp_kernels_at(i); i++) {
        const bool has = (capp_kernels_at(i)->needs & ~capp_cpu_features()) == 0;
        CHECK((capp_peak_gflops(capp_kernels_at(i)->name, "f32", 0.01) > 0.001) == has);
        CHECK((capp_peak_gflops(capp_kernels_at(i)->name, "i16", 0.01) > 0.001) == has);
        CHECK((capp_peak_gflops(capp_kernels_at(i)->name, "i8", 0.01) > 0.001) == has);
        CHECK((capp_peak_gflops(capp_kernels_at(i)->name, "bf16", 0.01) > 0.001) == (has && capp_kernels_at(i)->bf16));
    }
    CHECK(capp_peak_gflops("avx1024", "f32", 0.01) == 0);
}
