/* What integers_spread.inc and integers_tiles.inc need except the starts, the sums of products and the rows of a tile,
 * with vectors of 256 bits. */
#ifndef CAPP_KERNEL_INTEGERS_256_H
#define CAPP_KERNEL_INTEGERS_256_H

#include <immintrin.h>

#include "kernel/integers.h"
#include "kernel/transpose_avx2.h"

enum { WIDTH = 8 };

#include "kernel/integers_panel.inc"
#include "kernel/integers_turn.inc"

typedef __m256i whole;
typedef __m256 part;

#define V static inline __attribute__((always_inline))

V whole w_load(const char *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
V void w_store(char *p, whole w) {
    _mm256_storeu_si256((__m256i *)(void *)p, w);
}
V whole w_set(uint32_t x) {
    return _mm256_set1_epi32((int)x);
}
V whole w_and(whole a, whole b) {
    return _mm256_and_si256(a, b);
}
V whole w_or(whole a, whole b) {
    return _mm256_or_si256(a, b);
}
V whole w_xor(whole a, whole b) {
    return _mm256_xor_si256(a, b);
}
V whole w_add(whole a, whole b) {
    return _mm256_add_epi32(a, b);
}
V whole w_sub(whole a, whole b) {
    return _mm256_sub_epi32(a, b);
}
V whole w_sub_bytes(whole a, whole b) {
    return _mm256_sub_epi8(a, b);
}
V whole w_shift_left(whole w, int n) {
    return _mm256_slli_epi32(w, n);
}
V whole w_shift_right(whole w, int n) {
    return _mm256_srli_epi32(w, n);
}
V whole w_look_up(const int8_t *table, whole w) {
    const __m128i levels = _mm_loadu_si128((const __m128i *)(const void *)table);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(levels), w);
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
V part f_negate(part a) {
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}
V part f_fma_less(part a, part b, part c) {
    return _mm256_fnmadd_ps(a, b, c);
}
V part f_of(whole s) {
    return _mm256_cvtepi32_ps(s);
}
V part f_of_bits(whole w) {
    return _mm256_castsi256_ps(w);
}
V part f_of_half(whole w) {
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(w, w), 0xd8);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}

#endif
