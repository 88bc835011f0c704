/* The part of what unpack.inc needs that is the same for all elements, with AVX-512. */
#ifndef CAPP_KERNEL_UNPACK_AVX512_H
#define CAPP_KERNEL_UNPACK_AVX512_H

#include "kernel/transpose_avx512.h"

enum { WIDTH = 16, PANEL_VECTORS = 2 };

typedef uint32_t neighbors;
#define transpose_numbers transpose

#define UNROLL TRANSPOSE_UNROLL

typedef __m512 v_floats;

#define V static inline __attribute__((always_inline))

V v_floats v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V v_floats v_set(float f) {
    return _mm512_set1_ps(f);
}
V v_floats v_mul(v_floats a, v_floats b) {
    return _mm512_mul_ps(a, b);
}
V v_floats v_sub(v_floats a, v_floats b) {
    return _mm512_sub_ps(a, b);
}

/* Moves byte j of each number to its top; a negative index gives a zero. */
V __m512i v_raised(const uint32_t *x, int j) {
    const __m512i from = _mm512_broadcast_i32x4(_mm_setr_epi32(0x00ffffff, 0x04ffffff, 0x08ffffff, 0x0cffffff));
    return _mm512_shuffle_epi8(_mm512_loadu_si512(x), _mm512_add_epi32(from, _mm512_set1_epi32(j << 24)));
}

V v_floats v_top_byte(const uint32_t *x, int j) {
    return _mm512_cvtepi32_ps(v_raised(x, j));
}
V v_floats v_byte(const uint32_t *x, int j) {
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(v_raised(x, j), 24));
}

V v_floats v_float8(const uint32_t *x, int j) {
    const __m512i b = v_raised(x, j), most = _mm512_set1_epi32(0x7f000000), magnitude = _mm512_and_si512(b, most);
    const __m512i bits = _mm512_or_si512(_mm512_srli_epi32(magnitude, 4), _mm512_andnot_si512(most, b));
    const __mmask16 nan = _mm512_cmpeq_epi32_mask(magnitude, most);
    return _mm512_mul_ps(_mm512_castsi512_ps(_mm512_mask_or_epi32(bits, nan, bits, _mm512_set1_epi32(0x7fc00000))),
                         _mm512_set1_ps(0x1p120f));
}

V v_floats v_awq(const void *p) {
    const __m512i shifts = _mm512_setr_epi32(0, 16, 4, 20, 8, 24, 12, 28, 0, 16, 4, 20, 8, 24, 12, 28);
    const __m512i from = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i words = _mm512_permutexvar_epi32(from, _mm512_castsi128_si512(_mm_loadl_epi64(p)));
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srlv_epi32(words, shifts), _mm512_set1_epi32(15)));
}

V v_floats load_f32(const void *p) {
    return _mm512_loadu_ps(p);
}
V v_floats load_f16(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
V v_floats load_bf16(const void *p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}

V void transpose(uint32_t *y, size_t ldy, const void *x, size_t stride) {
    transpose_square(y, ldy, x, stride);
}

#endif
