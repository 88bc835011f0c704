/* All that integers.inc needs except w_dot, with vectors of 256 bits. */
#ifndef CAPP_KERNEL_INTEGERS_256_H
#define CAPP_KERNEL_INTEGERS_256_H

#include <immintrin.h>

#include "kernel/integers.h"
#include "kernel/transpose_avx2.h"

enum { LANES = CAPP_LANES, WIDTH = 8, TILE_ROWS = 4, BATCH = 256, GROUPS = BATCH / 16 };

#include "kernel/integers_panel.inc"

#include "kernel/blocks.inc"

typedef __m256i whole;
typedef __m256 part;

#define V static inline __attribute__((always_inline))

V whole w_zero(void) {
    return _mm256_setzero_si256();
}
V whole w_negate(whole s) {
    return _mm256_sub_epi32(_mm256_setzero_si256(), s);
}
V void w_store(char *p, whole s) {
    _mm256_storeu_si256((__m256i *)(void *)p, s);
}
V whole w_load(const char *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
V whole w_times_256(whole s) {
    return _mm256_slli_epi32(s, 8);
}
V __m256i lanes(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
V part f_zero(void) {
    return _mm256_setzero_ps();
}
V part f_load(const float *p) {
    return _mm256_loadu_ps(p);
}
V part f_load_part(const float *p, size_t n) {
    return _mm256_maskload_ps(p, lanes(n));
}
V void f_store(float *p, part v) {
    _mm256_storeu_ps(p, v);
}
V void f_store_part(float *p, part v, size_t n) {
    _mm256_maskstore_ps(p, lanes(n), v);
}
V part f_set(float x) {
    return _mm256_set1_ps(x);
}
V part f_add(part a, part b) {
    return _mm256_add_ps(a, b);
}
V part f_mul(part a, part b) {
    return _mm256_mul_ps(a, b);
}
V part f_fma(part a, part b, part c) {
    return _mm256_fmadd_ps(a, b, c);
}
V part f_of(whole s) {
    return _mm256_cvtepi32_ps(s);
}

#endif
