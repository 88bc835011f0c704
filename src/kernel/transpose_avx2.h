/* Transposes a square of 8 by 8 numbers of 32 bits with AVX2. */
#ifndef CAPP_KERNEL_TRANSPOSE_AVX2_H
#define CAPP_KERNEL_TRANSPOSE_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#define TRANSPOSE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TRANSPOSE_UNROLL _Pragma("GCC unroll 8")
#endif

/* y [8][8] = the transpose of x [8][8]. The rows of y are ldy numbers apart, the rows of x `stride` bytes. */
static inline __attribute__((always_inline)) void transpose_square(uint32_t *y, size_t ldy, const void *x,
                                                                   size_t stride) {
    __m256i row[8], two[8], four[8];
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < 8; i++)
        row[i] = _mm256_loadu_si256((const __m256i *)(const void *)((const char *)x + i * stride));
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        two[i] = _mm256_unpacklo_epi32(row[i], row[i + 1]);
        two[i + 1] = _mm256_unpackhi_epi32(row[i], row[i + 1]);
    }
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < 8; i += 4) {
        four[i] = _mm256_unpacklo_epi64(two[i], two[i + 2]);
        four[i + 1] = _mm256_unpackhi_epi64(two[i], two[i + 2]);
        four[i + 2] = _mm256_unpacklo_epi64(two[i + 1], two[i + 3]);
        four[i + 3] = _mm256_unpackhi_epi64(two[i + 1], two[i + 3]);
    }
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < 4; i++) {
        _mm256_storeu_si256((__m256i *)(void *)(y + ldy * i), _mm256_permute2x128_si256(four[i], four[i + 4], 0x20));
        _mm256_storeu_si256((__m256i *)(void *)(y + ldy * (i + 4)),
                            _mm256_permute2x128_si256(four[i], four[i + 4], 0x31));
    }
}

#endif
