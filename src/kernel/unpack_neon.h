/* What both unpackers of NEON define for unpack.inc: a vector is 8 of the 16 columns, in two registers. */
#ifndef CAPP_KERNEL_UNPACK_NEON_H
#define CAPP_KERNEL_UNPACK_NEON_H

#include <string.h>

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

V float32x4_t float8(const uint32_t *x, int j) {
    const uint32x4_t b = vreinterpretq_u32_s32(raised(x, j)), most = vdupq_n_u32(0x7f000000);
    const uint32x4_t magnitude = vandq_u32(b, most), sign = vandq_u32(b, vdupq_n_u32(0x80000000u));
    const uint32x4_t nan = vandq_u32(vceqq_u32(magnitude, most), vdupq_n_u32(0x7fc00000));
    const uint32x4_t bits = vorrq_u32(vorrq_u32(vshrq_n_u32(magnitude, 4), sign), nan);
    return vmulq_f32(vreinterpretq_f32_u32(bits), vdupq_n_f32(0x1p120f));
}
V v_floats v_float8(const uint32_t *x, int j) {
    return (v_floats){float8(x, j), float8(x + 4, j)};
}

V v_floats v_awq(const void *p) {
    const int32x4_t low = {0, -16, -4, -20}, high = {-8, -24, -12, -28};
    uint32_t word;
    memcpy(&word, p, sizeof word);
    const uint32x4_t w = vdupq_n_u32(word), most = vdupq_n_u32(15);
    return (v_floats){vcvtq_f32_u32(vandq_u32(vshlq_u32(w, low), most)),
                      vcvtq_f32_u32(vandq_u32(vshlq_u32(w, high), most))};
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
