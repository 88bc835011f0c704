/* Products of integers with AVX-VNNI (Intel SDM volume 2, VPDPBUSD with VEX; Intel's clients from Alder Lake on). */
#include <immintrin.h>
#include <stdbool.h>

enum { LANES = 8, TILE_ROWS = 4 };

#include "kernel/integers_panel.inc"

typedef __m256i whole;
typedef __m256 part;

#define V static inline __attribute__((always_inline))

V whole w_load(const char *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
V whole w_dot(whole s, whole w, const char *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return _mm256_dpbusd_avx_epi32(s, _mm256_set1_epi32(quad), w);
}
V whole w_times_128(whole s) {
    return _mm256_slli_epi32(s, 7);
}
V __m256i lanes(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
V part f_zero(void) {
    return _mm256_setzero_ps();
}
V part f_load(const float *p) {
    return _mm256_loadu_ps(p);
}
V part f_load_part(const float *p, size_t n) {
    return _mm256_maskload_ps(p, lanes(n));
}
V void f_store(float *p, part v) {
    _mm256_storeu_ps(p, v);
}
V void f_store_part(float *p, part v, size_t n) {
    _mm256_maskstore_ps(p, lanes(n), v);
}
V part f_set(float x) {
    return _mm256_set1_ps(x);
}
V part f_add(part a, part b) {
    return _mm256_add_ps(a, b);
}
V part f_mul(part a, part b) {
    return _mm256_mul_ps(a, b);
}
V part f_fma(part a, part b, part c) {
    return _mm256_fmadd_ps(a, b, c);
}
V part f_of(whole s) {
    return _mm256_cvtepi32_ps(s);
}

#define ROWS_MAP(X) X(1) X(2) X(3) X(4)

#include "kernel/integers.inc"

const capp_integer_products capp_integers_avxvnni = {.name = "i16",
                                                     .nr = NR,
                                                     .panel_bytes = panel_bytes,
                                                     .narrow = narrow,
                                                     .coarsen = coarsen,
                                                     .unpack = unpack,
                                                     .matmul = matmul};
