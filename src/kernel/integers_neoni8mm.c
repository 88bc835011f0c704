/* Products of integers with SMMLA (FEAT_I8MM), which adds a product of 2 by 8 and 8 by 2 signed bytes to 2 by 2 sums.
 * Its two rows are the high and the low digits of one row of activations, its two columns two columns of weights. So
 * both digits are multiplied also where the low ones are 0. */
#define SIGNED_HIGH(y, i) (y)->both[(i) / 8][0][(i) % 8]
#define SIGNED_LOW(y, i)  (y)->both[(i) / 8][1][(i) % 8]
#define ARRANGE(to)       join_quads(to, NR)

#include <arm_neon.h>
#include <stddef.h>

/* Numbers [8][columns][4] become [4][columns][8]. columns: 16. */
static inline void join_quads(char *to, size_t columns) {
    for (int32_t *at = (int32_t *)(void *)to, *end = at + 8 * columns; at < end; at += 2 * columns) {
        const int32x4x4_t first = vld1q_s32_x4(at), second = vld1q_s32_x4(at + columns);
        for (int i = 0; i < 4; i++) {
            vst1q_s32(at + 8 * i, vzip1q_s32(first.val[i], second.val[i]));
            vst1q_s32(at + 8 * i + 4, vzip2q_s32(first.val[i], second.val[i]));
        }
    }
}

#include "kernel/integers_neon.h"

/* Adds 256 times the sums of the high digits and those of the low ones, of 4 columns. */
V uint32x4_t both_digits(int32x4_t first, int32x4_t second) {
    const int64x2_t a = vreinterpretq_s64_s32(first), b = vreinterpretq_s64_s32(second);
    const int32x4_t high = vreinterpretq_s32_s64(vzip1q_s64(a, b)), low = vreinterpretq_s32_s64(vzip2q_s64(a, b));
    return vreinterpretq_u32_s32(vaddq_s32(low, vshlq_n_s32(high, 8)));
}

/* The sums of 8 columns. numbers: [4][NR][8]. */
INLINE void sum_columns(whole *s, const capp_digits *const *a, const char *numbers, const int first, const int last,
                        const int rows) {
    int32x4_t sum[TILE_ROWS][4];
    UNROLL
    for (int t = 0; t < rows * 4; t++) sum[t / 4][t % 4] = vdupq_n_s32(0);
    UNROLL
    for (int j = first; j < last; j++) {
        int8x16_t x[TILE_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++) x[r] = vld1q_s8(a[r]->both[j][0]);
        UNROLL
        for (int v = 0; v < 4; v++) {
            const int8x16_t w = vld1q_s8((const int8_t *)numbers + j * NR * 8 + v * 16);
            UNROLL
            for (int r = 0; r < rows; r++) sum[r][v] = vmmlaq_s32(sum[r][v], x[r], w);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++)
        s[VECTORS * r] = (whole){both_digits(sum[r][0], sum[r][1]), both_digits(sum[r][2], sum[r][3])};
}

INLINE void sum_block(part *sum, const capp_digits *const *a, char *b, const int h, const int halves, const bool minima,
                      const int reach, const int rows) {
    whole s[TILE_ROWS * VECTORS];
    (void)minima, (void)reach;
    UNROLL
    for (int v = 0; v < VECTORS; v++)
        sum_columns(s + v, a, b + v * WIDTH * 8, h * 4 / halves, (h + 1) * 4 / halves, rows);
    UNROLL
    for (int t = 0; t < rows * VECTORS; t++) sum[t] = f_of(s[t]);
}

#include "kernel/integers_kinds.inc"

const capp_products capp_integers_neoni8mm = {INTEGER_PRODUCTS};
