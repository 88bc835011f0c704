/* Products of integers with NEON alone. SMULL multiplies bytes to 16 bits, and SADALP adds pairs of products to 32
 * bits. A column then has two sums, which are added at the end. */
#include "kernel/integers_neon.h"

/* The two sums of each of 4 columns: of columns 0 and 1, and of 2 and 3. */
typedef struct twofold {
    int32x4_t low, high;
} twofold;

/* begin: s is 0. */
V twofold add_products(twofold s, uint32x4_t w, int8x16_t x, const bool begin) {
    const int16x8_t low = vmull_s8(vget_low_s8(bytes_of(w)), vget_low_s8(x)), high = vmull_high_s8(bytes_of(w), x);
    if (begin) return (twofold){vpaddlq_s16(low), vpaddlq_s16(high)};
    return (twofold){vpadalq_s16(s.low, low), vpadalq_s16(s.high, high)};
}

V uint32x4_t joined(twofold s) {
    return vreinterpretq_u32_s32(vpaddq_s32(s.low, s.high));
}

/* Two rows and eight columns at a time: their sums fit into the registers. The empty instruction makes GCC load the
 * numbers again. Else it keeps all of them for the next rows, and has no registers left. */
INLINE void dot_quads(whole *s, const capp_digits *const *a, size_t offset, const char *numbers, int first, int last,
                      const int rows) {
    const twofold none = {vdupq_n_s32(0), vdupq_n_s32(0)};
    UNROLL
    for (int t = 0; t < (rows + 1) / 2 * VECTORS; t++) {
        const int v = t % VECTORS, begin = t / VECTORS * 2, end = begin + 2 < rows ? begin + 2 : rows;
        twofold lo[2] = {none, none}, hi[2] = {none, none};
        __asm__ volatile("" : "+r"(numbers));
        UNROLL
        for (int j = first; j < last; j++) {
            const whole w = w_load(numbers + (j * NR + v * WIDTH) * 4);
            UNROLL
            for (int r = begin; r < end; r++) {
                uint32_t quad;
                memcpy(&quad, (const char *)a[r] + offset + 4 * j, sizeof quad);
                const int8x16_t x = vreinterpretq_s8_u32(vdupq_n_u32(quad));
                lo[r - begin] = add_products(lo[r - begin], w.lo, x, j == first);
                hi[r - begin] = add_products(hi[r - begin], w.hi, x, j == first);
            }
        }
        UNROLL
        for (int r = begin; r < end; r++) {
            const whole sum = {joined(lo[r - begin]), joined(hi[r - begin])};
            s[VECTORS * r + v] = w_add(s[VECTORS * r + v], sum);
        }
    }
}

#include "kernel/integers_digits.inc"

const capp_products capp_integers_neon = {INTEGER_PRODUCTS};
