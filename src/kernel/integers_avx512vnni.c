/* Products of integers with AVX-512 VNNI (Intel SDM volume 2, VPDPBUSD; AMD has it from Zen 4 on). */
#include <immintrin.h>
#include <stdbool.h>

#include "kernel/integers.h"
#include "kernel/transpose_avx512.h"

enum { WIDTH = 16, TILE_ROWS = 6, EXTRA = 0 };

#define LOW_KIND INLINE

#define ROWS_MAP(X, ...)                                                                                               \
    X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__)

#include "kernel/integers_panel.inc"
#include "kernel/integers_turn.inc"

#include "kernel/floats_avx512.h"

typedef __m512i whole;

V whole w_load(const char *p) {
    return _mm512_loadu_si512(p);
}
V void w_store(char *p, whole w) {
    _mm512_storeu_si512(p, w);
}
V whole w_set(uint32_t x) {
    return _mm512_set1_epi32((int)x);
}
V whole w_and(whole a, whole b) {
    return _mm512_and_si512(a, b);
}
V whole w_or(whole a, whole b) {
    return _mm512_or_si512(a, b);
}
V whole w_xor(whole a, whole b) {
    return _mm512_xor_si512(a, b);
}
V whole w_add(whole a, whole b) {
    return _mm512_add_epi32(a, b);
}
V whole w_sub(whole a, whole b) {
    return _mm512_sub_epi32(a, b);
}
V whole w_sub_bytes(whole a, whole b) {
    return _mm512_sub_epi8(a, b);
}
V whole w_shift_left(whole w, int n) {
    return _mm512_slli_epi32(w, (unsigned)n);
}
V whole w_shift_right(whole w, int n) {
    return _mm512_srli_epi32(w, (unsigned)n);
}
V whole w_look_up(const int8_t *table, whole w) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), w);
}
V whole w_dot(whole s, whole w, const char *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return _mm512_dpbusd_epi32(s, _mm512_set1_epi32(quad), w);
}
V whole w_times_256(whole s) {
    return _mm512_slli_epi32(s, 8);
}
V part f_set(float x) {
    return _mm512_set1_ps(x);
}
V part f_mul(part a, part b) {
    return _mm512_mul_ps(a, b);
}
V part f_fma(part a, part b, part c) {
    return _mm512_fmadd_ps(a, b, c);
}
V part f_fma_less(part a, part b, part c) {
    return _mm512_fnmadd_ps(a, b, c);
}
V part f_of(whole s) {
    return _mm512_cvtepi32_ps(s);
}

V part f_negate(part a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
V part f_of_bits(whole w) {
    return _mm512_castsi512_ps(w);
}
V part f_of_half(whole w) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w));
}

#include "kernel/integers_vnni.inc"

#include "kernel/integers_digits.inc"

const capp_products capp_integers_avx512vnni = {INTEGER_PRODUCTS};
