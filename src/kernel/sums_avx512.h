/* The sums of dpbf16.inc with AVX-512. */
#ifndef CAPP_KERNEL_SUMS_AVX512_H
#define CAPP_KERNEL_SUMS_AVX512_H

#include <immintrin.h>
#include <stddef.h>

typedef __m512 sums;

#define V static inline __attribute__((always_inline))

V sums s_zero(void) {
    return _mm512_setzero_ps();
}
V sums s_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V sums s_load_part(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - n)), p);
}
V void s_store(float *p, sums s) {
    _mm512_storeu_ps(p, s);
}
V void s_store_part(float *p, sums s, size_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (16 - n)), s);
}
V sums s_add(sums a, sums b) {
    return _mm512_add_ps(a, b);
}

#endif
