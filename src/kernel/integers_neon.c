/* Products of integers with NEON alone. SMULL multiplies bytes to 16 bits, and SADALP adds pairs of products to 32
 * bits. A column then has two sums, which are added at the end. */
#include "kernel/integers_neon.h"

/* The two sums of each of 4 columns: of columns 0 and 1, and of 2 and 3. */
typedef struct twofold {
    int32x4_t low, high;
} twofold;

V twofold add_products(twofold s, uint32x4_t w, int8x8_t x) {
    return (twofold){vpadalq_s16(s.low, vmull_s8(vget_low_s8(bytes_of(w)), x)),
                     vpadalq_s16(s.high, vmull_s8(vget_high_s8(bytes_of(w)), x))};
}

V uint32x4_t joined(twofold s) {
    return vreinterpretq_u32_s32(vpaddq_s32(s.low, s.high));
}

/* Adds the products of quads first .. last - 1 of one row with 8 columns to s. */
INLINE whole dot_row(whole s, const capp_digits *a, size_t offset, const char *numbers, int first, int last) {
    twofold lo = {vdupq_n_s32(0), vdupq_n_s32(0)}, hi = lo;
    UNROLL
    for (int j = first; j < last; j++) {
        uint32_t quad;
        memcpy(&quad, (const char *)a + offset + 4 * j, sizeof quad);
        const int8x8_t x = vreinterpret_s8_u32(vdup_n_u32(quad));
        const whole w = w_load(numbers + j * NR * 4);
        lo = add_products(lo, w.lo, x);
        hi = add_products(hi, w.hi, x);
    }
    return w_add(s, (whole){joined(lo), joined(hi)});
}

INLINE void dot_quads(whole *s, const capp_digits *const *a, size_t offset, const char *numbers, int first, int last,
                      const int rows) {
    UNROLL
    for (int t = 0; t < rows * VECTORS; t++)
        s[t] = dot_row(s[t], a[t / VECTORS], offset, numbers + t % VECTORS * WIDTH * 4, first, last);
}

#include "kernel/integers_digits.inc"

const capp_products capp_integers_neon = {INTEGER_PRODUCTS};
