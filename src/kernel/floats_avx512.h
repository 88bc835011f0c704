/* Vectors of 16 float32 with AVX-512, for dpbf16.inc and integers_tiles.inc. */
#ifndef CAPP_KERNEL_FLOATS_AVX512_H
#define CAPP_KERNEL_FLOATS_AVX512_H

#include <immintrin.h>
#include <stddef.h>

typedef __m512 part;

#define V static inline __attribute__((always_inline))

V part f_zero(void) {
    return _mm512_setzero_ps();
}
V part f_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V part f_load_part(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - n)), p);
}
V void f_store(float *p, part s) {
    _mm512_storeu_ps(p, s);
}
V void f_store_part(float *p, part s, size_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (16 - n)), s);
}
V part f_add(part a, part b) {
    return _mm512_add_ps(a, b);
}

#endif
