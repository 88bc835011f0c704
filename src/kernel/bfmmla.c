/* Products of bfloat16 with NEON's BFMMLA. It ignores the rounding mode: products and sums are rounded to odd, and
 * denormals are zeros (Arm Architecture Reference Manual, shared/functions/float/bfdotadd). FPCR.EBF is 0. */
#include "kernel/kernel.h"

#include "kernel/transpose_neon.h"
#include "kernel/unpack.h"

enum { PANEL_VECTORS = 1, GROUP = 4 };

#define V static inline __attribute__((always_inline))

V void narrow_16(uint16_t *y, const float *x, size_t n) {
    float last[CAPP_LANES] = {0};
    if (n < CAPP_LANES) x = memcpy(last, x, n * sizeof *x);
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < CAPP_LANES; i += 8) {
        const bfloat16x8_t half = vcvtq_low_bf16_f32(vld1q_f32(x + i));
        vst1q_u16(y + i, vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(half, vld1q_f32(x + i + 4))));
    }
}

/* Of numbers of 64 bits. */
V void transpose_16(uint32_t *y, const uint32_t (*x)[CAPP_LANES]) {
    for (size_t i = 0; i < CAPP_LANES; i += 2)
        transpose_quads(y + 2 * i, CAPP_LANES * sizeof(uint64_t), x[i], sizeof x[i]);
}

V void weave_16(uint16_t *y, const uint16_t *x, size_t ld) {
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < CAPP_LANES; i += 8, x += 8) {
        const uint16x8x4_t rows = {{vld1q_u16(x), vld1q_u16(x + ld), vld1q_u16(x + 2 * ld), vld1q_u16(x + 3 * ld)}};
        vst4q_u16(y + i * GROUP, rows); /* a macro in Clang's header: it takes no compound literal */
    }
}

#include "kernel/bf16.inc"

typedef float32x4_t sums;
typedef bfloat16x8_t quads;

V sums s_zero(void) {
    return vdupq_n_f32(0);
}
V sums s_add(sums a, sums b) {
    return vaddq_f32(a, b);
}
V sums s_take(const float *p, const float *q) {
    return vcombine_f32(vld1_f32(p), vld1_f32(q));
}
V void s_put(float *p, float *q, sums s) {
    vst1_f32(p, vget_low_f32(s));
    vst1_f32(q, vget_high_f32(s));
}
V quads p_load(const char *p) {
    return vreinterpretq_bf16_u8(vld1q_u8((const uint8_t *)p));
}
V quads p_rows(const char *p, const char *q, int half) {
    const uint64x2_t upper = vreinterpretq_u64_bf16(p_load(p)), lower = vreinterpretq_u64_bf16(p_load(q));
    return vreinterpretq_bf16_u64(half ? vzip2q_u64(upper, lower) : vzip1q_u64(upper, lower));
}
V sums s_dot(sums s, quads a, quads b) {
    return vbfmmlaq_f32(s, a, b);
}

#include "kernel/bfmmla.inc"

#define X(name, type, parameters) .name = name,
const capp_products capp_products_bfmmla = {.name = "bf16",
                                            .nr = NR,
                                            .element = sizeof(uint16_t),
                                            .step = STEP,
                                            .block = CAPP_BLOCK_K,
                                            .panel_bytes = panel_bytes,
                                            .unpack = capp_unpack_neonbf16,
                                            .unpack_quant = capp_unpack_quant_neonbf16,
                                            .put_column = put_column,
                                            .put_rows = put_rows,
                                            CAPP_PRODUCT_MAP(X)};
#undef X
