/* Products of integers with SUDOT, the dot product of signed with unsigned bytes (FEAT_I8MM). Compilers disagree on the
 * flags of this extension, so the instruction is written in assembler. */
#include "kernel/integers_neon.h"

/* s + the dot products of each 4 signed bytes of w with the unsigned ones of x. */
V uint32x4_t dot(uint32x4_t s, uint32x4_t w, digits x) {
    __asm__(".arch armv8.2-a+i8mm\n\tsudot %0.4s, %1.16b, %2.4b[0]" : "+w"(s) : "w"(w), "w"(x));
    return s;
}

V whole w_dot(whole s, whole w, const char *p) {
    const digits x = digits_at(p);
    return (whole){dot(s.lo, w.lo, x), dot(s.hi, w.hi, x)};
}

#include "kernel/integers_vnni.inc"

#include "kernel/integers_digits.inc"

const capp_products capp_integers_neoni8mm = {INTEGER_PRODUCTS};
