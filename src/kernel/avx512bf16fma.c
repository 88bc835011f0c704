/* Products of bfloat16 with the bits of VDPBF16PS, by two fused multiply-adds of float32 each. On processors where
 * VDPBF16PS takes four times as long as one of those, this is nearly twice as fast. */
#include "kernel/kernel.h"

#include "kernel/bf16_avx512.h"
#include "kernel/floats_avx512.h"
#include "kernel/unpack.h"
#include "kernel/unroll.h"

#include "kernel/bf16.inc"

/* The second elements of 16 pairs, and the first ones. */
typedef struct pairs {
    __m512 second, first;
} pairs;

enum { PAIRS = 16, WIDE = 2 * PAIRS };

V pairs p_load(const char *p) {
    const __m512i x = _mm512_loadu_si512(p);
    return (pairs){_mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(-0x10000))),
                   _mm512_castsi512_ps(_mm512_slli_epi32(x, 16))};
}
V void p_spread(float *wide, const char *p) {
    const pairs x = p_load(p);
    _mm512_storeu_ps(wide, x.second);
    _mm512_storeu_ps(wide + PAIRS, x.first);
}
V pairs p_all(const char *p, const float *wide, size_t j) {
    (void)p;
    return (pairs){_mm512_set1_ps(wide[j]), _mm512_set1_ps(wide[PAIRS + j])};
}
V part s_dot(part s, pairs a, pairs b) {
    return _mm512_fmadd_ps(a.first, b.first, _mm512_fmadd_ps(a.second, b.second, s));
}

/* Keeps what is computed before this from being computed after it, and the other way round. */
V void hold(part *s, const int n) {
    CAPP_UNROLL(24)
    for (int i = 0; i < n; i++) __asm__ volatile("" : "+v"(s[i]));
}

/* VDPBF16PS rounds to nearest, reads and writes denormals as 0 and raises no exception. */
V unsigned s_begin(part *s, const int n) {
    const unsigned to_nearest = 0x1f80, no_denormals = 0x8040, set = to_nearest | no_denormals;
    unsigned mode;
    hold(s, n);
    __asm__ volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(mode) : "m"(set));
    hold(s, n);
    return mode;
}
V void s_end(part *s, const int n, unsigned mode) {
    hold(s, n);
    __asm__ volatile("ldmxcsr %0" ::"m"(mode));
    hold(s, n);
}

#include "kernel/dpbf16.inc"

const capp_products capp_products_fmabf16 = {.block = CAPP_BLOCK_K, BF16_PRODUCTS};
