/* What integers_spread.inc and integers_digits.inc need except the sums of products, with NEON: a vector of 8 columns
 * takes two registers. Digits are signed. */
#ifndef CAPP_KERNEL_INTEGERS_NEON_H
#define CAPP_KERNEL_INTEGERS_NEON_H

#include <arm_neon.h>

#include "kernel/integers.h"
#include "kernel/transpose_neon.h"

enum { WIDTH = 8, TILE_ROWS = 4, EXTRA = 0 };

#define ROWS_MAP(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)

#ifndef SIGNED_HIGH
#define SIGNED_HIGH(y, i) (y)->signed_high[i]
#define SIGNED_LOW(y, i)  (y)->signed_low[i]
#endif

#define LOW_KIND INLINE

#include "kernel/integers_panel.inc"
#include "kernel/integers_turn.inc"

typedef struct whole {
    uint32x4_t lo, hi; /* columns 0 .. 3, 4 .. 7 */
} whole;

typedef struct part {
    float32x4_t lo, hi;
} part;

#define V static inline __attribute__((always_inline))

V whole w_load(const char *p) {
    return (whole){vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)p)),
                   vreinterpretq_u32_u8(vld1q_u8((const uint8_t *)p + 16))};
}
V void w_store(char *p, whole w) {
    vst1q_u8((uint8_t *)p, vreinterpretq_u8_u32(w.lo));
    vst1q_u8((uint8_t *)p + 16, vreinterpretq_u8_u32(w.hi));
}
V whole w_set(uint32_t x) {
    return (whole){vdupq_n_u32(x), vdupq_n_u32(x)};
}
V whole w_and(whole a, whole b) {
    return (whole){vandq_u32(a.lo, b.lo), vandq_u32(a.hi, b.hi)};
}
V whole w_or(whole a, whole b) {
    return (whole){vorrq_u32(a.lo, b.lo), vorrq_u32(a.hi, b.hi)};
}
V whole w_xor(whole a, whole b) {
    return (whole){veorq_u32(a.lo, b.lo), veorq_u32(a.hi, b.hi)};
}
V whole w_add(whole a, whole b) {
    return (whole){vaddq_u32(a.lo, b.lo), vaddq_u32(a.hi, b.hi)};
}
V whole w_sub(whole a, whole b) {
    return (whole){vsubq_u32(a.lo, b.lo), vsubq_u32(a.hi, b.hi)};
}
V whole w_shift_left(whole w, int n) {
    return (whole){w.lo << n, w.hi << n};
}
V whole w_shift_right(whole w, int n) {
    return (whole){w.lo >> n, w.hi >> n};
}
V whole w_times_256(whole s) {
    return w_shift_left(s, 8);
}

V int8x16_t bytes_of(uint32x4_t w) {
    return vreinterpretq_s8_u32(w);
}
V uint32x4_t words(int8x16_t bytes) {
    return vreinterpretq_u32_s8(bytes);
}
V whole w_sub_bytes(whole a, whole b) {
    return (whole){words(vsubq_s8(bytes_of(a.lo), bytes_of(b.lo))), words(vsubq_s8(bytes_of(a.hi), bytes_of(b.hi)))};
}
V whole w_look_up(const int8_t *table, whole w) {
    const int8x16_t levels = vld1q_s8(table);
    return (whole){words(vqtbl1q_s8(levels, vreinterpretq_u8_u32(w.lo))),
                   words(vqtbl1q_s8(levels, vreinterpretq_u8_u32(w.hi)))};
}

V part f_set(float x) {
    return (part){vdupq_n_f32(x), vdupq_n_f32(x)};
}
V part f_zero(void) {
    return f_set(0);
}
V part f_load(const float *p) {
    return (part){vld1q_f32(p), vld1q_f32(p + 4)};
}
V void f_store(float *p, part v) {
    vst1q_f32(p, v.lo);
    vst1q_f32(p + 4, v.hi);
}
V part f_load_part(const float *p, size_t n) {
    float lane[WIDTH] = {0};
    for (size_t l = 0; l < n; l++) lane[l] = p[l];
    return f_load(lane);
}
V void f_store_part(float *p, part v, size_t n) {
    float lane[WIDTH];
    f_store(lane, v);
    for (size_t l = 0; l < n; l++) p[l] = lane[l];
}
V part f_add(part a, part b) {
    return (part){vaddq_f32(a.lo, b.lo), vaddq_f32(a.hi, b.hi)};
}
V part f_mul(part a, part b) {
    return (part){vmulq_f32(a.lo, b.lo), vmulq_f32(a.hi, b.hi)};
}
V part f_fma(part a, part b, part c) {
    return (part){vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi)};
}
V part f_negate(part a) {
    return (part){vnegq_f32(a.lo), vnegq_f32(a.hi)};
}
V part f_fma_less(part a, part b, part c) {
    return (part){vfmsq_f32(c.lo, a.lo, b.lo), vfmsq_f32(c.hi, a.hi, b.hi)};
}
V part f_of(whole s) {
    return (part){vcvtq_f32_s32(vreinterpretq_s32_u32(s.lo)), vcvtq_f32_s32(vreinterpretq_s32_u32(s.hi))};
}
V part f_of_bits(whole w) {
    return (part){vreinterpretq_f32_u32(w.lo), vreinterpretq_f32_u32(w.hi)};
}
V part f_of_half(whole w) {
    return (part){vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(w.lo))),
                  vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(w.hi)))};
}

#include "kernel/integers_spread.inc"

#endif
