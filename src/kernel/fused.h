/* A fused multiply-add for any processor, computed in double precision. */
#ifndef CAPP_KERNEL_FUSED_H
#define CAPP_KERNEL_FUSED_H

#include "base/math.h"

/* a b + c, rounded once. The product of two floats is exact in double. The sum is rounded to odd: if it is not exact
 * and its last bit is 0, the function replaces it by its neighbor on the other side of the exact sum, whose last bit is
 * 1. The error that remains cannot change the second rounding, to float. (Boldo & Melquiond, Emulation of FMA and
 * correctly rounded sums: proved algorithms using rounding to odd, IEEE Transactions on Computers 57, 2008) */
static inline float fused_exactly(float a, float b, float c) {
    const double product = (double)a * (double)b, addend = (double)c, sum = product + addend, of_c = sum - product;
    const double error = (product - (sum - of_c)) + (addend - of_c); /* exact; NaN if the sum is infinite */
    uint64_t bits = capp_bits_of_double(sum);
    if ((error > 0 || error < 0) && !(bits & 1)) bits += (error > 0) == (sum > 0) ? 1 : UINT64_MAX;
    return (float)capp_double_of_bits(bits);
}

#endif
