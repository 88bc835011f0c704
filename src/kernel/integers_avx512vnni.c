/* Products of integers with AVX-512 VNNI (Intel SDM volume 2, VPDPBUSD; AMD has it from Zen 4 on). */
#include <immintrin.h>
#include <stdbool.h>

#include "kernel/integers.h"
#include "kernel/transpose_avx512.h"

enum { LANES = CAPP_LANES, WIDTH = 16, TILE_ROWS = 6, BATCH = 256, GROUPS = BATCH / 16 };

#include "kernel/integers_panel.inc"

#include "kernel/blocks.inc"

typedef __m512i whole;
typedef __m512 part;

#define V static inline __attribute__((always_inline))

V whole w_zero(void) {
    return _mm512_setzero_si512();
}
V whole w_negate(whole s) {
    return _mm512_sub_epi32(_mm512_setzero_si512(), s);
}
V void w_store(char *p, whole s) {
    _mm512_storeu_si512(p, s);
}
V whole w_load(const char *p) {
    return _mm512_loadu_si512(p);
}
V whole w_dot(whole s, whole w, const char *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return _mm512_dpbusd_epi32(s, _mm512_set1_epi32(quad), w);
}
V whole w_times_256(whole s) {
    return _mm512_slli_epi32(s, 8);
}
V part f_zero(void) {
    return _mm512_setzero_ps();
}
V part f_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V part f_load_part(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - n)), p);
}
V void f_store(float *p, part v) {
    _mm512_storeu_ps(p, v);
}
V void f_store_part(float *p, part v, size_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (16 - n)), v);
}
V part f_set(float x) {
    return _mm512_set1_ps(x);
}
V part f_add(part a, part b) {
    return _mm512_add_ps(a, b);
}
V part f_mul(part a, part b) {
    return _mm512_mul_ps(a, b);
}
V part f_fma(part a, part b, part c) {
    return _mm512_fmadd_ps(a, b, c);
}
V part f_of(whole s) {
    return _mm512_cvtepi32_ps(s);
}

#define ROWS_MAP(X) X(1) X(2) X(3) X(4) X(5) X(6)

#include "kernel/integers.inc"

#include "kernel/integers_unpack.inc"

const capp_products capp_integers_avx512vnni = {INTEGER_PRODUCTS};
