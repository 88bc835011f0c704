/* AVX-512 (F, BW, DQ, VL): one vector takes one register. A tile of 12 rows and 2 vectors keeps 24 sums in registers.
 * Two units with a latency of four cycles need 8 sums in progress, and each value loaded from a feeds two products. */
#include "kernel/kernel.h"

#include "base/cpu.h"
#include "kernel/integers.h"
#include "kernel/transpose_avx2.h"
#include "kernel/unpack.h"

#include <immintrin.h>

enum { TILE_ROWS = 12, TILE_VECTORS = 8, PANEL_VECTORS = 2 };

#define UNPACK       capp_unpack_avx512
#define FEW          capp_few_avx512
#define UNPACK_QUANT capp_unpack_quant_avx512

/* X(rows, vectors): rows * vectors <= 24 sums */
/* clang-format off */
#define TILE_MAP(X)                                                                                                    \
    X(1, 1) X(1, 2) X(1, 4) X(1, 8) X(2, 1) X(2, 2) X(2, 4) X(2, 8) X(3, 1) X(3, 2) X(3, 4) X(3, 8)                    \
    X(4, 1) X(4, 2) X(4, 4) X(5, 1) X(5, 2) X(5, 4) X(6, 1) X(6, 2) X(6, 4)                                            \
    X(7, 1) X(7, 2) X(8, 1) X(8, 2) X(9, 1) X(9, 2) X(10, 1) X(10, 2) X(11, 1) X(11, 2) X(12, 1) X(12, 2)
/* clang-format on */

typedef __m512 v16;

#define V static inline __attribute__((always_inline))

/* A mask of the lanes from <= l < to. Requires from < to <= 16. */
V __mmask16 lanes(size_t from, size_t to) {
    return (__mmask16)((0xffffu << from) & (0xffffu >> (16 - to)));
}

V v16 v_zero(void) {
    return _mm512_setzero_ps();
}
V v16 v_set(float f) {
    return _mm512_set1_ps(f);
}
V v16 v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V void v_store(float *p, v16 v) {
    _mm512_storeu_ps(p, v);
}
V v16 v_load_part(const float *p, size_t from, size_t to) {
    return _mm512_maskz_loadu_ps(lanes(from, to), p);
}
V void v_store_part(float *p, v16 v, size_t from, size_t to) {
    _mm512_mask_storeu_ps(p, lanes(from, to), v);
}
V v16 v_keep(v16 v, v16 other, size_t from, size_t to) {
    return _mm512_mask_mov_ps(other, lanes(from, to), v);
}
V v16 v_add(v16 a, v16 b) {
    return _mm512_add_ps(a, b);
}
V v16 v_sub(v16 a, v16 b) {
    return _mm512_sub_ps(a, b);
}
V v16 v_mul(v16 a, v16 b) {
    return _mm512_mul_ps(a, b);
}
V v16 v_div(v16 a, v16 b) {
    return _mm512_div_ps(a, b);
}
V v16 v_max(v16 a, v16 b) {
    return _mm512_max_ps(a, b);
}
V v16 v_fma(v16 a, v16 b, v16 c) {
    return _mm512_fmadd_ps(a, b, c);
}
V v16 v_fma_all(float a, v16 b, v16 c) {
    return v_fma(v_set(a), b, c);
}
V v16 v_fms(v16 a, v16 b, v16 c) {
    return _mm512_fmsub_ps(a, b, c);
}
V v16 v_fnma(v16 a, v16 b, v16 c) {
    return _mm512_fnmadd_ps(a, b, c);
}
V v16 v_fma_pairs(v16 a, v16 b, v16 c) {
    return _mm512_fmaddsub_ps(a, b, c);
}
/* vminps and vmaxps return their second operand if either one is NaN. */
V v16 v_clamp(v16 x, v16 lo, v16 hi) {
    return _mm512_min_ps(hi, _mm512_max_ps(lo, x));
}
V v16 v_round(v16 x) {
    return _mm512_cvtepi32_ps(_mm512_cvtps_epi32(x)); /* at -O0 GCC 12's roundscale is a macro and warns */
}
V v16 v_times_power(v16 p, v16 n) {
    return _mm512_scalef_ps(p, n);
}

V void v_store_high(uint16_t *p, v16 v) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(v), 16)));
}

V v16 v_power(v16 z) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(z), 23));
}

V float v_sum(v16 v) {
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

V float v_most(v16 v) {
    return _mm512_reduce_max_ps(v);
}

V v16 v_swap(v16 v) {
    return _mm512_permute_ps(v, 0xb1);
}

V v16 v_twice(const float *p, size_t n) {
    const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(index, v_load_part(p, 0, n));
}

#include "kernel/simd.inc"

#define X(name, type, parameters) .name = name,
const capp_kernels capp_kernels_avx512 = {
    .name = "avx512", .needs = CAPP_CPU_AVX512, .f32 = &products, .i16 = &capp_integers_avx2, CAPP_OP_MAP(X)};

const capp_kernels capp_kernels_avx512vnni = {.name = "avx512vnni",
                                              .needs = CAPP_CPU_AVX512 | CAPP_CPU_AVX512_VNNI,
                                              .f32 = &products,
                                              .i16 = &capp_integers_avx512vnni,
                                              CAPP_OP_MAP(X)};

const capp_kernels capp_kernels_avx512bf16 = {.name = "avx512bf16",
                                              .needs = CAPP_CPU_AVX512 | CAPP_CPU_AVX512_VNNI | CAPP_CPU_AVX512_BF16,
                                              .f32 = &products,
                                              .bf16 = &capp_products_dpbf16,
                                              .i16 = &capp_integers_avx512vnni,
                                              CAPP_OP_MAP(X)};

const capp_kernels capp_kernels_avx512bf16_fma = {.name = "avx512bf16",
                                                  .needs =
                                                      CAPP_CPU_AVX512 | CAPP_CPU_AVX512_VNNI | CAPP_CPU_AVX512_BF16,
                                                  .f32 = &products,
                                                  .bf16 = &capp_products_fmabf16,
                                                  .i16 = &capp_integers_avx512vnni,
                                                  CAPP_OP_MAP(X)};

const capp_kernels capp_kernels_amx = {.name = "amx",
                                       .needs = CAPP_CPU_AVX512 | CAPP_CPU_AVX512_VNNI | CAPP_CPU_AVX512_BF16 |
                                                CAPP_CPU_AMX_BF16,
                                       .f32 = &products,
                                       .bf16 = &capp_products_tiles,
                                       .i16 = &capp_integers_avx512vnni,
                                       CAPP_OP_MAP(X)};
#undef X
