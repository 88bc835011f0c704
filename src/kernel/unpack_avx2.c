/* Unpacks to panels of float32 with AVX2. A vector is 8 of the 16 columns. */
#include "kernel/unpack.h"

#include "kernel/transpose_avx2.h"

enum { WIDTH = 8, PANEL_VECTORS = 1, SQUARE_K = WIDTH, ELEMENT = sizeof(float), STEP = 1 };

#define UNROLL TRANSPOSE_UNROLL

typedef __m256 v_floats;

#define V static inline __attribute__((always_inline))

V v_floats v_load(const float *p) {
    return _mm256_loadu_ps(p);
}
V v_floats v_set(float f) {
    return _mm256_set1_ps(f);
}
V v_floats v_mul(v_floats a, v_floats b) {
    return _mm256_mul_ps(a, b);
}
V v_floats v_sub(v_floats a, v_floats b) {
    return _mm256_sub_ps(a, b);
}

V __m256i v_bytes(const uint32_t *x) {
    return _mm256_loadu_si256((const __m256i *)(const void *)x);
}

/* Moves byte j of each number to its top; the index -1 gives a zero. */
V __m256i v_raised(const uint32_t *x, int j) {
    const __m256i from = _mm256_setr_epi8(-1, -1, -1, 0, -1, -1, -1, 4, -1, -1, -1, 8, -1, -1, -1, 12, -1, -1, -1, 0,
                                          -1, -1, -1, 4, -1, -1, -1, 8, -1, -1, -1, 12);
    return _mm256_shuffle_epi8(v_bytes(x), _mm256_add_epi32(from, _mm256_set1_epi32(j << 24)));
}

V v_floats v_top_byte(const uint32_t *x, int j) {
    return _mm256_cvtepi32_ps(v_raised(x, j));
}
V v_floats v_byte(const uint32_t *x, int j) {
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(v_raised(x, j), 24));
}

V void put_4(char *out, const v_floats *v) {
    UNROLL
    for (size_t j = 0; j < 4; j++) _mm256_storeu_ps((float *)(void *)out + CAPP_LANES * j, v[j]);
}

V v_floats load_f32(const void *p) {
    return _mm256_loadu_ps(p);
}
V v_floats load_f16(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
V v_floats load_bf16(const void *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}

V void put_numbers(uint32_t *out, const v_floats *v) {
    _mm256_storeu_ps((float *)(void *)out, v[0]);
}

V void transpose(uint32_t *y, size_t ldy, const void *x, size_t stride) {
    transpose_square(y, ldy, x, stride);
}

#include "kernel/unpack.inc"

capp_unpack_fn capp_unpack_avx2(uint32_t type) {
    return unpack_of(type);
}
