/* Products of bfloat16 with AVX-512 BF16 (Intel SDM volume 2, VDPBF16PS; AMD has it from Zen 4 on). */
#include "kernel/kernel.h"

#include "kernel/bf16_avx512.h"
#include "kernel/floats_avx512.h"
#include "kernel/unpack.h"

#include "kernel/bf16.inc"

typedef __m512bh pairs;

enum { WIDE = 1 };

V pairs p_load(const char *p) {
    return (pairs)_mm512_loadu_si512(p);
}
V void p_spread(float *wide, const char *p) {
    (void)wide, (void)p;
}
V pairs p_all(const char *p, const float *wide, size_t j) {
    int32_t pair;
    (void)wide, (void)j;
    memcpy(&pair, p, sizeof pair);
    return (pairs)_mm512_set1_epi32(pair);
}
V part s_dot(part s, pairs a, pairs b) {
    return _mm512_dpbf16_ps(s, a, b);
}
V unsigned s_begin(part *s, const int n) {
    (void)s, (void)n;
    return 0;
}
V void s_end(part *s, const int n, unsigned mode) {
    (void)s, (void)n, (void)mode;
}

#include "kernel/dpbf16.inc"

const capp_products capp_products_dpbf16 = {.block = CAPP_BLOCK_K, BF16_PRODUCTS};
