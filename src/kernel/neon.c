/* NEON, the 128-bit vectors of every AArch64 processor: one vector takes four registers. A tile of 6 rows and 1 vector
 * keeps its sums in 24 of the 32 registers. b uses four more and a uses one or two: the product takes its factor from
 * one lane of a register, so a is loaded one number at a time. */
#include "kernel/kernel.h"

#include "base/cpu.h"
#include "kernel/integers.h"
#include "kernel/transpose_neon.h"
#include "kernel/unpack.h"

#include <arm_neon.h>

enum { TILE_ROWS = 6, TILE_VECTORS = 2, PANEL_VECTORS = 1 };

#define UNPACK       capp_unpack_neon
#define FEW          capp_few_neon
#define UNPACK_QUANT capp_unpack_quant_neon

/* X(rows, vectors): rows * vectors <= 6 sums, each in four registers */
#define TILE_MAP(X) X(1, 1) X(1, 2) X(2, 1) X(2, 2) X(3, 1) X(4, 1) X(5, 1) X(6, 1)

enum { REGISTERS = 4 };

typedef struct v16 {
    float32x4_t q[REGISTERS]; /* lanes 4 i .. 4 i + 3 */
} v16;

#define V static inline __attribute__((always_inline))

/* result.q[i] = expression, for each register i. */
#define EACH(expression)                                                                                               \
    v16 result;                                                                                                        \
    TRANSPOSE_UNROLL                                                                                                   \
    for (int i = 0; i < REGISTERS; i++) result.q[i] = (expression);                                                    \
    return result

/* Of lanes from <= l < to of a whole vector, the part in register i. */
V size_t first_in(size_t from, int i) {
    const size_t start = (size_t)i * 4;
    return from <= start ? 0 : from - start < 4 ? from - start : 4;
}
V size_t end_in(size_t to, int i) {
    return first_in(to, i);
}

V v16 v_zero(void) {
    EACH(vdupq_n_f32(0));
}
V v16 v_set(float f) {
    EACH(vdupq_n_f32(f));
}
V v16 v_load(const float *p) {
    EACH(vld1q_f32(p + 4 * i));
}
V void v_store(float *p, v16 v) {
    TRANSPOSE_UNROLL
    for (int i = 0; i < REGISTERS; i++) vst1q_f32(p + 4 * i, v.q[i]);
}

V v16 v_load_part(const float *p, size_t from, size_t to) {
    float lane[CAPP_LANES] = {0};
    for (size_t l = from; l < to; l++) lane[l] = p[l];
    return v_load(lane);
}

V void v_store_part(float *p, v16 v, size_t from, size_t to) {
    float lane[CAPP_LANES];
    v_store(lane, v);
    for (size_t l = from; l < to; l++) p[l] = lane[l];
}

V uint32x4_t lanes(int i, size_t from, size_t to) {
    static const uint32_t number[4] = {0, 1, 2, 3};
    const uint32x4_t lane = vld1q_u32(number);
    return vandq_u32(vcgeq_u32(lane, vdupq_n_u32((uint32_t)first_in(from, i))),
                     vcltq_u32(lane, vdupq_n_u32((uint32_t)end_in(to, i))));
}

V v16 v_keep(v16 v, v16 other, size_t from, size_t to) {
    EACH(vbslq_f32(lanes(i, from, to), v.q[i], other.q[i]));
}
V v16 v_add(v16 a, v16 b) {
    EACH(vaddq_f32(a.q[i], b.q[i]));
}
V v16 v_sub(v16 a, v16 b) {
    EACH(vsubq_f32(a.q[i], b.q[i]));
}
V v16 v_mul(v16 a, v16 b) {
    EACH(vmulq_f32(a.q[i], b.q[i]));
}
V v16 v_div(v16 a, v16 b) {
    EACH(vdivq_f32(a.q[i], b.q[i]));
}

/* The larger one; b if either is NaN, as vmaxps does. */
V float32x4_t larger(float32x4_t a, float32x4_t b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

V v16 v_max(v16 a, v16 b) {
    EACH(larger(a.q[i], b.q[i]));
}
V v16 v_fma(v16 a, v16 b, v16 c) {
    EACH(vfmaq_f32(c.q[i], a.q[i], b.q[i]));
}
/* The empty asm keeps a in one lane, from which FMLA takes it. Else the compiler loads some of them into all lanes,
 * which takes a slot of the units that multiply. */
V v16 v_fma_all(float a, v16 b, v16 c) {
    __asm__("" : "+w"(a));
    EACH(vfmaq_n_f32(c.q[i], b.q[i], a));
}
V v16 v_fms(v16 a, v16 b, v16 c) {
    EACH(vfmaq_f32(vnegq_f32(c.q[i]), a.q[i], b.q[i]));
}
V v16 v_fnma(v16 a, v16 b, v16 c) {
    EACH(vfmsq_f32(c.q[i], a.q[i], b.q[i]));
}

V v16 v_fma_pairs(v16 a, v16 b, v16 c) {
    const uint32x4_t signs = vreinterpretq_u32_u64(vdupq_n_u64(0x80000000u)); /* of the even lanes */
    EACH(vfmaq_f32(vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(c.q[i]), signs)), a.q[i], b.q[i]));
}

/* FMAX and FMIN return NaN if either operand is NaN. */
V v16 v_clamp(v16 x, v16 lo, v16 hi) {
    EACH(vminq_f32(hi.q[i], vmaxq_f32(lo.q[i], x.q[i])));
}
V v16 v_round(v16 x) {
    EACH(vrndnq_f32(x.q[i]));
}

/* It multiplies by two factors of 2^n in turn, so that denormal results are correct. */
V float32x4_t times_power(float32x4_t p, float32x4_t n) {
    const int32x4_t bias = vdupq_n_s32(127), whole = vcvtnq_s32_f32(n), half = vshrq_n_s32(whole, 1);
    const int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
    const int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
    return vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(first)), vreinterpretq_f32_s32(second));
}

V v16 v_times_power(v16 p, v16 n) {
    EACH(times_power(p.q[i], n.q[i]));
}

V void v_store_high(uint16_t *p, v16 v) {
    TRANSPOSE_UNROLL
    for (int i = 0; i < REGISTERS; i++) vst1_u16(p + 4 * i, vshrn_n_u32(vreinterpretq_u32_f32(v.q[i]), 16));
}

V v16 v_power(v16 z) {
    EACH(vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(z.q[i]), 23)));
}

V float v_sum(v16 v) {
    const float32x4_t four = vaddq_f32(vaddq_f32(v.q[0], v.q[2]), vaddq_f32(v.q[1], v.q[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

V float v_most(v16 v) {
    const float32x4_t four = larger(larger(v.q[0], v.q[2]), larger(v.q[1], v.q[3]));
    const float32x4_t two = larger(four, vextq_f32(four, four, 2));
    return vgetq_lane_f32(larger(two, vextq_f32(two, two, 1)), 0);
}

V v16 v_swap(v16 v) {
    EACH(vrev64q_f32(v.q[i]));
}

V v16 v_twice(const float *p, size_t n) {
    const v16 t = v_load_part(p, 0, n);
    EACH(i % 2 ? vzip2q_f32(t.q[i / 2], t.q[i / 2]) : vzip1q_f32(t.q[i / 2], t.q[i / 2]));
}

#include "kernel/simd.inc"

#define X(name, type, parameters) .name = name,
const capp_kernels capp_kernels_neon = {
    .name = "neon", .needs = CAPP_CPU_NEON, .f32 = &products, .i16 = &capp_integers_neon, CAPP_OP_MAP(X)};

const capp_kernels capp_kernels_neondot = {.name = "neondot",
                                           .needs = CAPP_CPU_NEON | CAPP_CPU_NEON_DOT,
                                           .f32 = &products,
                                           .i16 = &capp_integers_neondot,
                                           CAPP_OP_MAP(X)};

const capp_kernels capp_kernels_neoni8mm = {.name = "neoni8mm",
                                            .needs = CAPP_CPU_NEON | CAPP_CPU_NEON_DOT | CAPP_CPU_NEON_I8MM,
                                            .f32 = &products,
                                            .i16 = &capp_integers_neoni8mm,
                                            CAPP_OP_MAP(X)};

const capp_kernels capp_kernels_neonbf16 = {.name = "neonbf16",
                                            .needs = CAPP_CPU_NEON | CAPP_CPU_NEON_DOT | CAPP_CPU_NEON_I8MM |
                                                     CAPP_CPU_NEON_BF16,
                                            .f32 = &products,
                                            .bf16 = &capp_products_bfmmla,
                                            .i16 = &capp_integers_neoni8mm,
                                            CAPP_OP_MAP(X)};
#undef X
