/* AVX2 with FMA: one vector takes two registers. A tile of 6 rows and 1 vector keeps its sums in 12 of the 16
 * registers. Of the other four, b uses two and a uses one. */
#include "kernel/kernel.h"

#include "base/cpu.h"
#include "kernel/integers.h"
#include "kernel/transpose_avx2.h"
#include "kernel/unpack.h"

#include <immintrin.h>

enum { TILE_ROWS = 6, TILE_VECTORS = 4, PANEL_VECTORS = 1 };

#define UNPACK       capp_unpack_avx2
#define FEW          capp_few_avx2
#define UNPACK_QUANT capp_unpack_quant_avx2

/* X(rows, vectors): rows * vectors <= 6 sums, each in a pair of registers */
#define TILE_MAP(X) X(1, 1) X(1, 2) X(1, 4) X(2, 1) X(2, 2) X(3, 1) X(3, 2) X(4, 1) X(5, 1) X(6, 1)

typedef struct v16 {
    __m256 lo, hi; /* lanes 0 .. 7, 8 .. 15 */
} v16;

#define V static inline __attribute__((always_inline))

/* A mask of eight lanes, numbered first .. first + 7: all bits are set in the lanes from <= l < to, none in the
 * others. */
V __m256i lanes(int first, size_t from, size_t to) {
    const __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
    return _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32((int)from - 1)),
                            _mm256_cmpgt_epi32(_mm256_set1_epi32((int)to), lane));
}

V v16 v_zero(void) {
    return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
V v16 v_set(float f) {
    return (v16){_mm256_set1_ps(f), _mm256_set1_ps(f)};
}
V v16 v_load(const float *p) {
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

V void v_store(float *p, v16 v) {
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
}

V v16 v_load_part(const float *p, size_t from, size_t to) {
    return (v16){_mm256_maskload_ps(p, lanes(0, from, to)), _mm256_maskload_ps(p + 8, lanes(8, from, to))};
}

V void v_store_part(float *p, v16 v, size_t from, size_t to) {
    _mm256_maskstore_ps(p, lanes(0, from, to), v.lo);
    _mm256_maskstore_ps(p + 8, lanes(8, from, to), v.hi);
}

V v16 v_keep(v16 v, v16 other, size_t from, size_t to) {
    return (v16){_mm256_blendv_ps(other.lo, v.lo, _mm256_castsi256_ps(lanes(0, from, to))),
                 _mm256_blendv_ps(other.hi, v.hi, _mm256_castsi256_ps(lanes(8, from, to)))};
}

V v16 v_add(v16 a, v16 b) {
    return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
V v16 v_sub(v16 a, v16 b) {
    return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
V v16 v_mul(v16 a, v16 b) {
    return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
V v16 v_div(v16 a, v16 b) {
    return (v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
V v16 v_max(v16 a, v16 b) {
    return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
V v16 v_min(v16 a, v16 b) {
    return (v16){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}

V v16 v_fma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

V v16 v_fma_all(float a, v16 b, v16 c) {
    return v_fma(v_set(a), b, c);
}

V v16 v_fms(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmsub_ps(a.lo, b.lo, c.lo), _mm256_fmsub_ps(a.hi, b.hi, c.hi)};
}

V v16 v_fnma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}

V v16 v_fma_pairs(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmaddsub_ps(a.lo, b.lo, c.lo), _mm256_fmaddsub_ps(a.hi, b.hi, c.hi)};
}

/* vminps and vmaxps return their second operand if either one is NaN. */
V v16 v_clamp(v16 x, v16 lo, v16 hi) {
    return v_min(hi, v_max(lo, x));
}

V v16 v_round(v16 x) {
    return (v16){_mm256_round_ps(x.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(x.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

/* p * 2^n. It multiplies by two factors of 2^n in turn, so that denormal results are correct. */
V __m256 times_power(__m256 p, __m256 n) {
    const __m256i bias = _mm256_set1_epi32(127), whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    const __m256i rest = _mm256_sub_epi32(whole, half);
    const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(p, first), second);
}

V v16 v_times_power(v16 p, v16 n) {
    return (v16){times_power(p.lo, n.lo), times_power(p.hi, n.hi)};
}

V void v_store_high(uint16_t *p, v16 v) {
    const __m256i lo = _mm256_srli_epi32(_mm256_castps_si256(v.lo), 16);
    const __m256i hi = _mm256_srli_epi32(_mm256_castps_si256(v.hi), 16);
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xd8));
}

V __m256 power(__m256 z) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(z), 23));
}

V v16 v_power(v16 z) {
    return (v16){power(z.lo), power(z.hi)};
}

V float v_sum(v16 v) {
    __m256 a = _mm256_add_ps(v.lo, v.hi);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

V float v_most(v16 v) {
    __m256 a = _mm256_max_ps(v.lo, v.hi);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

V v16 v_swap(v16 v) {
    return (v16){_mm256_permute_ps(v.lo, 0xb1), _mm256_permute_ps(v.hi, 0xb1)};
}

V v16 v_twice(const float *p, size_t n) {
    const __m256 t = _mm256_maskload_ps(p, lanes(0, 0, n));
    return (v16){_mm256_permutevar8x32_ps(t, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
                 _mm256_permutevar8x32_ps(t, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}

#include "kernel/simd.inc"

#define X(name, type, parameters) .name = name,
const capp_kernels capp_kernels_avx2 = {
    .name = "avx2", .needs = CAPP_CPU_AVX2, .f32 = &products, .i16 = &capp_integers_avx2, CAPP_OP_MAP(X)};

const capp_kernels capp_kernels_avxvnni = {.name = "avxvnni",
                                           .needs = CAPP_CPU_AVX2 | CAPP_CPU_AVX_VNNI,
                                           .f32 = &products,
                                           .i16 = &capp_integers_avxvnni,
                                           CAPP_OP_MAP(X)};
#undef X
