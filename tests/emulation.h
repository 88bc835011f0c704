/* The arithmetic of units of bfloat16 in plain C, bit for bit. VCVTNEPS2BF16, VDPBF16PS and AMX tiles are as the Intel
 * SDM specifies them: rounding to nearest even, denormals read and written as 0, MXCSR ignored. BFMMLA is as the Arm
 * Architecture Reference Manual specifies it for FPCR.EBF = 0 (BFMulH and FPAdd_BF16): rounding to odd, denormals read
 * and written as 0, one NaN. The kernels of src/kernel are compiled over them, so that the same sources are tested on
 * machines that lack the units. */
#ifndef CAPP_EMULATION_H
#define CAPP_EMULATION_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t emulated_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float emulated_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A denormal becomes a zero of the same sign. */
static inline float emulated_flush(float x) {
    const uint32_t bits = emulated_bits(x);
    return bits & 0x7f800000u ? x : emulated_float(bits & 0x80000000u);
}

static inline uint16_t emulated_narrow(float x) {
    const uint32_t bits = emulated_bits(emulated_flush(x));
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static inline float emulated_wide(uint16_t x) {
    return emulated_flush(emulated_float((uint32_t)x << 16));
}

/* c + a b, of bfloat16 a and b, rounded once. Unless it is very small or too large, their product is exact. */
static inline float emulated_fma(uint16_t a, uint16_t b, float c) {
    const float x = emulated_wide(a), y = emulated_wide(b), product = x * y, size = fabsf(product);
    if ((size > 0x1p-100f && size < 0x1p127f) || x == 0 || y == 0) return emulated_flush(emulated_flush(c) + product);
    return emulated_flush(fmaf(x, y, emulated_flush(c)));
}

/* x + y, of floats, in double precision and rounded to odd: if the sum is not exact, its last bit is 1. */
static inline double emulated_sum(double x, double y) {
    const double sum = x + y, of_y = sum - x, error = (x - (sum - of_y)) + (y - of_y);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((error > 0 || error < 0) && !(bits & 1)) bits += (error > 0) == (sum > 0) ? 1 : UINT64_MAX;
    double odd;
    memcpy(&odd, &bits, sizeof odd);
    return odd;
}

/* A double that is exact or rounded to odd, as a float rounded to odd: its lower bits are cut off, and if they are not
 * all 0, its last bit is 1. What is below the normal numbers becomes 0, what is above is infinite. */
static inline float emulated_odd(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = (uint32_t)(bits >> 32) & 0x80000000u;
    if (isnan(x)) return emulated_float(0x7fc00000u);
    if (fabs(x) < 0x1p-126) return emulated_float(sign);
    if (fabs(x) >= 0x1p128) return emulated_float(sign | 0x7f800000u);
    bits &= INT64_MAX;
    const uint32_t lost = (bits & 0x1fffffff) != 0;
    return emulated_float(sign | (uint32_t)((bits >> 29) - ((uint64_t)(1023 - 127) << 23)) | lost);
}

/* sum + a[0] b[0] + a[1] b[1], one of BFMMLA's steps: the sum of the products is rounded, then the sum with it. */
static inline float emulated_bfdot(float sum, const uint16_t *a, const uint16_t *b) {
    const float first = emulated_odd((double)emulated_wide(a[0]) * (double)emulated_wide(b[0]));
    const float second = emulated_odd((double)emulated_wide(a[1]) * (double)emulated_wide(b[1]));
    const float both = emulated_odd(emulated_sum((double)first, (double)second));
    return emulated_odd(emulated_sum((double)emulated_flush(sum), (double)both));
}

#endif
