/* What both unpackers of NEON define for unpack.inc: a vector is 8 of the 16 columns, in two registers. */
#ifndef CAPP_KERNEL_UNPACK_NEON_H
#define CAPP_KERNEL_UNPACK_NEON_H

#include "kernel/transpose_neon.h"

#define UNROLL TRANSPOSE_UNROLL
#define V      static inline __attribute__((always_inline))

enum { WIDTH = 8, PANEL_VECTORS = 1 };

typedef struct v_floats {
    float32x4_t lo, hi; /* columns 0 .. 3, 4 .. 7 */
} v_floats;

V v_floats v_load(const float *p) {
    return (v_floats){vld1q_f32(p), vld1q_f32(p + 4)};
}
V v_floats v_set(float f) {
    return (v_floats){vdupq_n_f32(f), vdupq_n_f32(f)};
}
V v_floats v_mul(v_floats a, v_floats b) {
    return (v_floats){vmulq_f32(a.lo, b.lo), vmulq_f32(a.hi, b.hi)};
}
V v_floats v_sub(v_floats a, v_floats b) {
    return (v_floats){vsubq_f32(a.lo, b.lo), vsubq_f32(a.hi, b.hi)};
}

/* Byte j of each number at its top; the other bytes are lower ones of the number, or 0. */
V int32x4_t raised(const uint32_t *x, int j) {
    return vreinterpretq_s32_u32(vld1q_u32(x) << (24 - 8 * j));
}

V float32x4_t top_byte(const uint32_t *x, int j) {
    return vcvtq_f32_s32(vandq_s32(raised(x, j), vdupq_n_s32((int32_t)0xff000000)));
}
V v_floats v_top_byte(const uint32_t *x, int j) {
    return (v_floats){top_byte(x, j), top_byte(x + 4, j)};
}
V v_floats v_byte(const uint32_t *x, int j) {
    return (v_floats){vcvtq_f32_s32(vshrq_n_s32(raised(x, j), 24)), vcvtq_f32_s32(vshrq_n_s32(raised(x + 4, j), 24))};
}

V v_floats load_f32(const void *p) {
    return v_load(p);
}
V v_floats load_f16(const void *p) {
    const float16x8_t x = vreinterpretq_f16_u16(vld1q_u16(p));
    return (v_floats){vcvt_f32_f16(vget_low_f16(x)), vcvt_high_f32_f16(x)};
}
V v_floats load_bf16(const void *p) {
    const uint16x8_t x = vld1q_u16(p);
    return (v_floats){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(x), 16)),
                      vreinterpretq_f32_u32(vshll_high_n_u16(x, 16))};
}

V void transpose(uint32_t *y, size_t ldy, const void *x, size_t stride) {
    transpose_square(y, ldy, x, stride);
}

#endif
