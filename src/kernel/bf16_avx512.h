/* The functions that bf16.inc needs, with AVX-512 BF16, and what the tables of their products have in common. */
#ifndef CAPP_KERNEL_BF16_AVX512_H
#define CAPP_KERNEL_BF16_AVX512_H

#include "kernel/transpose_avx512.h"

enum { PANEL_VECTORS = 2, GROUP = 2 };

static inline void narrow_16(uint16_t *y, const float *x, size_t n) {
    const __mmask16 lanes = (__mmask16)(n ? 0xffffu >> (16 - n) : 0);
    _mm256_storeu_si256((__m256i *)(void *)y, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, x)));
}

static inline void transpose_16(uint32_t *y, const uint32_t (*x)[16]) {
    transpose_square(y, 16, x, sizeof *x);
}

static inline void weave_16(uint16_t *y, const uint16_t *x, size_t ld) {
    const __m512i even = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)x));
    const __m512i odd = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(x + ld)));
    _mm512_storeu_si512(y, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
}

#define FUNCTION(name, type, parameters) .name = name,
#define BF16_PRODUCTS                                                                                                  \
    .name = "bf16", .nr = NR, .element = sizeof(uint16_t), .step = STEP, .panel_bytes = panel_bytes,                   \
    .unpack = capp_unpack_avx512bf16, .unpack_quant = capp_unpack_quant_avx512bf16, .put_column = put_column,          \
    .put_rows = put_rows, CAPP_PRODUCT_MAP(FUNCTION)

#endif
