/* Transposes a square of 16 by 16 numbers of 32 bits with AVX-512. */
#ifndef CAPP_KERNEL_TRANSPOSE_AVX512_H
#define CAPP_KERNEL_TRANSPOSE_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#define TRANSPOSE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TRANSPOSE_UNROLL _Pragma("GCC unroll 16")
#endif

/* y [16][16] = the transpose of x [16][16]. The rows of y are ldy numbers apart, the rows of x `stride` bytes. It
 * interleaves pairs of rows, then fours of rows, and then moves quarters of vectors. */
static inline __attribute__((always_inline)) void transpose_square(uint32_t *y, size_t ldy, const void *x,
                                                                   size_t stride) {
    __m512i row[16], two[16], four[16];
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < 16; i++) row[i] = _mm512_loadu_si512((const char *)x + i * stride);
    TRANSPOSE_UNROLL
    for (int i = 0; i < 16; i += 2) {
        two[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        two[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    /* four[4 g + j]: columns j, j + 4, j + 8, j + 12 of rows 4 g to 4 g + 3, a quarter each. */
    TRANSPOSE_UNROLL
    for (int i = 0; i < 16; i += 4) {
        four[i] = _mm512_unpacklo_epi64(two[i], two[i + 2]);
        four[i + 1] = _mm512_unpackhi_epi64(two[i], two[i + 2]);
        four[i + 2] = _mm512_unpacklo_epi64(two[i + 1], two[i + 3]);
        four[i + 3] = _mm512_unpackhi_epi64(two[i + 1], two[i + 3]);
    }
    TRANSPOSE_UNROLL
    for (size_t j = 0; j < 4; j++) {
        const __m512i low0 = _mm512_shuffle_i32x4(four[j], four[4 + j], 0x44);
        const __m512i high0 = _mm512_shuffle_i32x4(four[j], four[4 + j], 0xee);
        const __m512i low1 = _mm512_shuffle_i32x4(four[8 + j], four[12 + j], 0x44);
        const __m512i high1 = _mm512_shuffle_i32x4(four[8 + j], four[12 + j], 0xee);
        _mm512_storeu_si512(y + ldy * j, _mm512_shuffle_i32x4(low0, low1, 0x88));
        _mm512_storeu_si512(y + ldy * (j + 4), _mm512_shuffle_i32x4(low0, low1, 0xdd));
        _mm512_storeu_si512(y + ldy * (j + 8), _mm512_shuffle_i32x4(high0, high1, 0x88));
        _mm512_storeu_si512(y + ldy * (j + 12), _mm512_shuffle_i32x4(high0, high1, 0xdd));
    }
}

#endif
