/* The functions that bf16.inc needs, with AVX-512 BF16. */
#ifndef CAPP_KERNEL_BF16_AVX512_H
#define CAPP_KERNEL_BF16_AVX512_H

#include "kernel/transpose_avx512.h"

enum { PANEL_VECTORS = 2 };

static inline void narrow_16(uint16_t *y, const float *x, size_t n) {
    const __mmask16 lanes = (__mmask16)(n ? 0xffffu >> (16 - n) : 0);
    _mm256_storeu_si256((__m256i *)(void *)y, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, x)));
}

static inline void transpose_16(uint32_t *y, const uint32_t (*x)[16]) {
    transpose_square(y, 16, x, sizeof *x);
}

#endif
