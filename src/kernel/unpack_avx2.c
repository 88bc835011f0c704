/* Unpacks to panels of float32 with AVX2. A vector is 8 of the 16 columns. */
#include "kernel/unpack.h"

#include <string.h>

#include "kernel/transpose_avx2.h"

enum { WIDTH = 8, PANEL_VECTORS = 1, SQUARE_K = WIDTH, ELEMENT = sizeof(float), STEP = 1 };

typedef uint32_t neighbors;
#define transpose_numbers transpose

#define UNROLL TRANSPOSE_UNROLL

typedef __m256 v_floats;

#define V static inline __attribute__((always_inline))

V v_floats v_load(const float *p) {
    return _mm256_loadu_ps(p);
}
V void v_store(float *p, v_floats v) {
    _mm256_storeu_ps(p, v);
}
V v_floats v_fma(v_floats a, v_floats b, v_floats c) {
    return _mm256_fmadd_ps(a, b, c);
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

V v_floats v_float8(const uint32_t *x, int j) {
    const __m256i b = v_raised(x, j), most = _mm256_set1_epi32(0x7f000000), magnitude = _mm256_and_si256(b, most);
    const __m256i nan = _mm256_and_si256(_mm256_cmpeq_epi32(magnitude, most), _mm256_set1_epi32(0x7fc00000));
    const __m256i bits = _mm256_or_si256(_mm256_srli_epi32(magnitude, 4), _mm256_andnot_si256(most, b));
    return _mm256_mul_ps(_mm256_castsi256_ps(_mm256_or_si256(bits, nan)), _mm256_set1_ps(0x1p120f));
}

V v_floats v_awq(const void *p) {
    const __m256i shifts = _mm256_setr_epi32(0, 16, 4, 20, 8, 24, 12, 28);
    int word;
    memcpy(&word, p, sizeof word);
    return _mm256_cvtepi32_ps(
        _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(word), shifts), _mm256_set1_epi32(15)));
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

V void put_numbers(neighbors *out, const v_floats *v) {
    _mm256_storeu_ps((float *)(void *)out, v[0]);
}

V void transpose(uint32_t *y, size_t ldy, const void *x, size_t stride) {
    transpose_square(y, ldy, x, stride);
}

#include "kernel/unpack.inc"
#include "kernel/unpack_few.inc"
#include "kernel/unpack_quant.inc"

capp_unpack_fn capp_unpack_avx2(uint32_t type) {
    return unpack_of(type);
}

capp_few_fn capp_few_avx2(uint32_t type) {
    return few_of(type);
}

bool capp_unpack_quant_avx2(void *panel, const capp_quant *q, size_t first, size_t from, size_t k) {
    return unpack_quant(panel, q, first, from, k);
}
