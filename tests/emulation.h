/* VCVTNEPS2BF16, VDPBF16PS and AMX tiles in plain C, bit for bit as the Intel SDM specifies them: rounding to nearest
 * even, denormals read and written as 0, MXCSR ignored. The kernels of src/kernel are compiled over them, so that the
 * same sources are tested on machines that lack the units. */
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

/* What bf16.inc needs. */
static inline void narrow_16(uint16_t *y, const float *x, size_t n) {
    uint16_t narrow[16] = {0};
    for (size_t i = 0; i < n; i++) narrow[i] = emulated_narrow(x[i]);
    memcpy(y, narrow, sizeof narrow); /* y may be of another type */
}

static inline void transpose_16(uint32_t *y, const uint32_t (*x)[16]) {
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 16; j++) y[16 * j + i] = x[i][j];
}

#endif
