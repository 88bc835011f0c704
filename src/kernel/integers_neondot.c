/* Products of integers with SDOT, the dot product of signed bytes (FEAT_DotProd). It takes four digits of a row from
 * one lane of a register. */
#include "kernel/integers_neon.h"

/* Adds the dot products of a row's digits in that lane of x with the numbers of 8 columns. */
#define DOT(s, w, x, lane)                                                                                             \
    (whole) {                                                                                                          \
        vreinterpretq_u32_s32(vdotq_laneq_s32(vreinterpretq_s32_u32((s).lo), bytes_of((w).lo), x, lane)),              \
            vreinterpretq_u32_s32(vdotq_laneq_s32(vreinterpretq_s32_u32((s).hi), bytes_of((w).hi), x, lane))           \
    }

#define DOT_LANE(lane)                                                                                                 \
    {                                                                                                                  \
        const char *at = numbers + (j + lane) * NR * 4;                                                                \
        const whole w0 = w_load(at), w1 = w_load(at + WIDTH * 4);                                                      \
        UNROLL                                                                                                         \
        for (int r = 0; r < rows; r++) {                                                                               \
            s[2 * r] = DOT(s[2 * r], w0, x[r], lane);                                                                  \
            s[2 * r + 1] = DOT(s[2 * r + 1], w1, x[r], lane);                                                          \
        }                                                                                                              \
    }

INLINE void dot_quads(whole *s, const capp_digits *const *a, size_t offset, const char *numbers, int first, int last,
                      const int rows) {
    UNROLL
    for (int j = first; j < last; j += 4) {
        int8x16_t x[TILE_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++) x[r] = vld1q_s8((const int8_t *)a[r] + offset + 4 * j);
        DOT_LANE(0)
        DOT_LANE(1)
        DOT_LANE(2)
        DOT_LANE(3)
    }
}

#include "kernel/integers_digits.inc"

const capp_products capp_integers_neondot = {INTEGER_PRODUCTS};
