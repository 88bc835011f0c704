/* Products of integers with SDOT, the dot product of signed bytes (FEAT_DotProd). A digit d is unsigned, so d - 128 is
 * multiplied. What is missing, 128 times the sum of a column's numbers, is common to all rows: SDOT with bytes of -128
 * gives its opposite. Compilers disagree on the flags of this extension, so the instruction is written in assembler. */
#include "kernel/integers_neon.h"

/* s + the dot products of each 4 bytes of w with x. */
V uint32x4_t dot(uint32x4_t s, uint32x4_t w, digits x) {
    __asm__(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.4b[0]" : "+w"(s) : "w"(w), "w"(x));
    return s;
}

/* Each digit minus 128. */
V digits lowered(digits x, uint32x4_t flip) {
    __asm__("eor %0.8b, %0.8b, %1.8b" : "+w"(x) : "w"(flip));
    return x;
}

V whole dot_both(whole s, whole w, digits x) {
    return (whole){dot(s.lo, w.lo, x), dot(s.hi, w.hi, x)};
}

INLINE void dot_quads(whole *s, const capp_digits *const *a, size_t offset, const char *numbers, int first, int last,
                      const int rows) {
    const uint32x4_t flip = vdupq_n_u32(0x80808080u);
    const digits least = vgetq_lane_f32(vreinterpretq_f32_u32(flip), 0);
    whole less0 = w_set(0), less1 = w_set(0); /* -128 times the sums of the numbers */
    UNROLL
    for (int j = first; j < last; j++) {
        const whole w0 = w_load(numbers + j * NR * 4), w1 = w_load(numbers + j * NR * 4 + WIDTH * 4);
        less0 = dot_both(less0, w0, least);
        less1 = dot_both(less1, w1, least);
        UNROLL
        for (int r = 0; r < rows; r++) {
            const digits x = lowered(digits_at((const char *)a[r] + offset + 4 * j), flip);
            s[2 * r] = dot_both(s[2 * r], w0, x);
            s[2 * r + 1] = dot_both(s[2 * r + 1], w1, x);
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        s[2 * r] = w_sub(s[2 * r], less0);
        s[2 * r + 1] = w_sub(s[2 * r + 1], less1);
    }
}

#include "kernel/integers_digits.inc"

const capp_products capp_integers_neondot = {INTEGER_PRODUCTS};
