/* Unpacking to panels of float32 with AVX2: a vector is 8 columns of the 16. */
#include "kernel/unpack.h"

#include <immintrin.h>

enum { WIDTH = 8, PANEL_VECTORS = 1, SQUARE_K = WIDTH, ELEMENT = sizeof(float), STEP = 1 };

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

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

/* Byte j to the top of each number: -1 is what leaves a zero. */
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
    __m256i row[WIDTH], two[WIDTH], four[WIDTH];
    UNROLL
    for (size_t i = 0; i < WIDTH; i++)
        row[i] = _mm256_loadu_si256((const __m256i *)(const void *)((const char *)x + i * stride));
    UNROLL
    for (size_t i = 0; i < WIDTH; i += 2) {
        two[i] = _mm256_unpacklo_epi32(row[i], row[i + 1]);
        two[i + 1] = _mm256_unpackhi_epi32(row[i], row[i + 1]);
    }
    UNROLL
    for (size_t i = 0; i < WIDTH; i += 4) {
        four[i] = _mm256_unpacklo_epi64(two[i], two[i + 2]);
        four[i + 1] = _mm256_unpackhi_epi64(two[i], two[i + 2]);
        four[i + 2] = _mm256_unpacklo_epi64(two[i + 1], two[i + 3]);
        four[i + 3] = _mm256_unpackhi_epi64(two[i + 1], two[i + 3]);
    }
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        _mm256_storeu_si256((__m256i *)(void *)(y + ldy * i), _mm256_permute2x128_si256(four[i], four[i + 4], 0x20));
        _mm256_storeu_si256((__m256i *)(void *)(y + ldy * (i + 4)),
                            _mm256_permute2x128_si256(four[i], four[i + 4], 0x31));
    }
}

#include "kernel/unpack.inc"

capp_unpack_fn capp_unpack_avx2(uint32_t type) {
    return unpack_of(type);
}
