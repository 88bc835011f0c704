/* The reference: plain C for any processor, products and sums rounded apart. Loops over CAPP_LANES neighbours are left
 * to the compiler's vectoriser; each element's chain of operations is the same with and without it. */
#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

enum { LANES = CAPP_LANES, NR = CAPP_LANES };

/* Four neighbours, as one vector of GCC's and Clang's portable kind, where the vectoriser left to itself would keep
 * sums in memory or would not dare to make a choice of floats without a branch. */
typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_bits __attribute__((vector_size(16)));
enum { QUAD = 4 };

static inline quad quad_of(const float *p) {
    quad q;
    memcpy(&q, p, sizeof q);
    return q;
}

/* The first of the n elements at p, at most four; 0 beyond. */
static inline quad get(const float *p, size_t n) {
    quad q = {0};
    if (n >= QUAD) return quad_of(p);
    memcpy(&q, p, n * sizeof *p);
    return q;
}

static inline void put(float *p, quad q, size_t n) {
    memcpy(p, &q, n >= QUAD ? sizeof q : n * sizeof *p);
}

static inline quad choose(quad_bits which, quad yes, quad no) {
    return (quad)((which & (quad_bits)yes) | (~which & (quad_bits)no));
}

/* exp(x) within 1 ulp and a little; 0 for -inf, inf above 88.73, NaN for NaN. exp(x) = 2^n exp(r), |r| <= ln(2) / 2,
 * with the polynomial of Cephes's expf (S. L. Moshier). 2^n in two factors, so that denormal results are right. */
static inline quad exp_of(quad x) {
    const quad zero = {0}, magic = zero + 0x1.8p23f; /* adding it rounds to an integer, left in the low bits */
    x = choose(x < -104.0f, zero - 104.0f, x);
    x = choose(x > 89.0f, zero + 89.0f, x);
    const quad shifted = x * 0x1.715476p+0f + magic, n = shifted - magic;
    const quad r = x - n * 0.693359375f - n * -2.12194440e-4f;
    quad p = zero + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const quad_bits whole = (quad_bits)shifted - (quad_bits)magic, half = whole >> 1;
    return p * (quad)((half + 127) << 23) * (quad)((whole - half + 127) << 23);
}

static float sum_of_lanes(float *lane) {
    for (size_t width = LANES / 2; width; width /= 2)
        for (size_t l = 0; l < width; l++) lane[l] += lane[l + width];
    return lane[0];
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t panel_bytes(size_t k) {
    return k * NR * sizeof(float);
}

/* panel [k][NR] */
static void pack(void *panel, const float *w, size_t ldw, size_t n, size_t k) {
    float *out = panel;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < NR; j++) out[i * NR + j] = j < n ? w[j * ldw + i] : 0.0f;
}

/* sum [LANES] += a [k] times b [k][LANES], rows of b step apart. */
static inline void product(float *restrict sum, const float *a, const float *b, size_t step, size_t k) {
    quad s0 = quad_of(sum), s1 = quad_of(sum + 4), s2 = quad_of(sum + 8), s3 = quad_of(sum + 12);
    for (size_t i = 0; i < k; i++, b += step) {
        s0 += a[i] * quad_of(b);
        s1 += a[i] * quad_of(b + 4);
        s2 += a[i] * quad_of(b + 8);
        s3 += a[i] * quad_of(b + 12);
    }
    memcpy(sum, &s0, sizeof s0);
    memcpy(sum + 4, &s1, sizeof s1);
    memcpy(sum + 8, &s2, sizeof s2);
    memcpy(sum + 12, &s3, sizeof s3);
}

static void narrow(void *y, const float *x, size_t n, size_t padded) {
    memcpy(y, x, n * sizeof *x);
    memset((float *)y + n, 0, (padded - n) * sizeof *x);
}

static void matmul(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n, size_t k,
                   bool add) {
    for (size_t r = 0; r < m; r++) {
        float sum[NR] = {0}, *out = c + r * ldc;
        product(sum, (const float *)a + r * lda, panel, NR, k);
        for (size_t j = 0; j < n; j++) out[j] = add ? out[j] + sum[j] : sum[j];
    }
}

static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps) {
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES)
        for (size_t l = 0; l < least(LANES, n - i); l++) lane[l] += x[i + l] * x[i + l];
    float factor = 1.0f / sqrtf(sum_of_lanes(lane) / (float)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * factor * w[i];
}

static void layer_norm(float *y, const float *x, const float *w, const float *b, size_t n, float eps) {
    float lane[LANES] = {0}, squares[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES)
        for (size_t l = 0; l < least(LANES, n - i); l++) lane[l] += x[i + l];
    float mean = sum_of_lanes(lane) / (float)n;
    for (size_t i = 0; i < n; i += LANES)
        for (size_t l = 0; l < least(LANES, n - i); l++) squares[l] += (x[i + l] - mean) * (x[i + l] - mean);
    float factor = 1.0f / sqrtf(sum_of_lanes(squares) / (float)n + eps);
    for (size_t i = 0; i < n; i++) {
        float scaled = (x[i] - mean) * factor * w[i];
        y[i] = b ? scaled + b[i] : scaled;
    }
}

static void add(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static void scale(float *y, float s, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] *= s;
}

static void rope_halves(float *x, const float *c, const float *s, size_t half) {
    for (size_t i = 0; i < half; i++) {
        float x0 = x[i], x1 = x[i + half];
        x[i] = x0 * c[i] - x1 * s[i];
        x[i + half] = x1 * c[i] + x0 * s[i];
    }
}

static void rope_pairs(float *x, const float *c, const float *s, size_t half) {
    for (size_t i = 0; i < half; i++) {
        float x0 = x[2 * i], x1 = x[2 * i + 1];
        x[2 * i] = x0 * c[i] - x1 * s[i];
        x[2 * i + 1] = x1 * c[i] + x0 * s[i];
    }
}

static inline quad silu_of(quad x) {
    return x / (1.0f + exp_of(-x));
}

/* -2 sqrt(2 / pi) and that times 0.044715 */
static inline quad gelu_of(quad x) {
    return x / (1.0f + exp_of(x * (-1.5957691216f + -0.0713548163f * (x * x))));
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i += QUAD) put(y + i, silu_of(get(gate + i, n - i)) * get(up + i, n - i), n - i);
}

static void gelu_mul(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i += QUAD) put(y + i, gelu_of(get(gate + i, n - i)) * get(up + i, n - i), n - i);
}

static void gelu(float *x, size_t n) {
    for (size_t i = 0; i < n; i += QUAD) put(x + i, gelu_of(get(x + i, n - i)), n - i);
}

static void scores(float *s, size_t lds, const float *q, size_t ldq, size_t rows, const float *kt, size_t d,
                   size_t skip, size_t n) {
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n;) {
            size_t lane = (skip + j) % LANES, count = least(LANES - lane, n - j);
            float sum[LANES] = {0};
            product(sum, q + r * ldq, kt + (skip + j - lane) * d, LANES, d);
            memcpy(s + r * lds + j, sum + lane, count * sizeof(float));
            j += count;
        }
}

/* x [LANES] = exp(x - max), which lane [LANES] is raised by. */
static void exp_lanes(float *x, float max, float *lane) {
    for (size_t l = 0; l < LANES; l += QUAD) {
        const quad t = exp_of(quad_of(x + l) - max);
        put(x + l, t, QUAD);
        put(lane + l, quad_of(lane + l) + t, QUAD);
    }
}

static float softmax(float *s, size_t lo, size_t hi) {
    float max = s[lo], lane[LANES] = {0};
    for (size_t i = lo; i < hi; i++) max = s[i] > max ? s[i] : max;
    for (size_t i = lo / LANES * LANES; i < lo; i++) s[i] = -INFINITY;
    for (size_t i = hi; i % LANES != 0; i++) s[i] = -INFINITY;
    for (size_t i = lo / LANES * LANES; i < hi; i += LANES) exp_lanes(s + i, max, lane);
    return sum_of_lanes(lane);
}

static void values(float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *v, size_t ldv,
                   size_t d, size_t n) {
    size_t whole = d / LANES * LANES;
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < whole; i += LANES) product(out + r * ldo + i, p + r * ldp, v + i, ldv, n);
        for (size_t j = 0; j < n; j++)
            for (size_t i = whole; i < d; i++) out[r * ldo + i] += p[r * ldp + j] * v[j * ldv + i];
    }
}

static void logsumexp(float *max, float *sum, const float *x, size_t n) {
    float most = x[0], lane[LANES] = {0};
    for (size_t i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    for (size_t i = 0; i < n; i += LANES) {
        float t[LANES];
        for (size_t l = 0; l < LANES; l++) t[l] = i + l < n ? x[i + l] : -INFINITY;
        exp_lanes(t, most, lane);
    }
    *max = most;
    *sum = sum_of_lanes(lane);
}

static capp_unpack_fn unpack(uint32_t type) {
    (void)type;
    return NULL;
}

#define X(name, type, parameters) .name = name,
static const capp_products products = {.name = "f32",
                                       .nr = NR,
                                       .element = sizeof(float),
                                       .step = 1,
                                       .panel_bytes = panel_bytes,
                                       .unpack = unpack,
                                       CAPP_PRODUCT_MAP(X)};
#undef X

const capp_kernels capp_kernels_ref = {.name = "ref",
                                       .needs = 0,
                                       .f32 = &products,
#define X(name, type, parameters) .name = name,
                                       CAPP_OP_MAP(X)
#undef X
};
