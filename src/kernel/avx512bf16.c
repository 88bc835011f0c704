/* Products of bfloat16 with AVX-512 BF16 (Intel SDM volume 2, VDPBF16PS; AMD has it from Zen 4 on). */
#include "kernel/kernel.h"

#include "kernel/bf16_avx512.h"
#include "kernel/unpack.h"

#include "kernel/bf16.inc"

typedef __m512 sums;
typedef __m512bh pairs;

#define V static inline __attribute__((always_inline))

V sums s_zero(void) {
    return _mm512_setzero_ps();
}
V sums s_load(const float *p) {
    return _mm512_loadu_ps(p);
}
V sums s_load_part(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (16 - n)), p);
}
V void s_store(float *p, sums s) {
    _mm512_storeu_ps(p, s);
}
V void s_store_part(float *p, sums s, size_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (16 - n)), s);
}
V sums s_add(sums a, sums b) {
    return _mm512_add_ps(a, b);
}
V pairs p_load(const char *p) {
    return (pairs)_mm512_loadu_si512(p);
}
V pairs p_all(const char *p) {
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return (pairs)_mm512_set1_epi32(pair);
}
V sums s_dot(sums s, pairs a, pairs b) {
    return _mm512_dpbf16_ps(s, a, b);
}

#include "kernel/dpbf16.inc"

#define X(name, type, parameters) .name = name,
const capp_products capp_products_dpbf16 = {.name = "bf16",
                                            .nr = NR,
                                            .element = sizeof(uint16_t),
                                            .step = STEP,
                                            .block = CAPP_BLOCK_K,
                                            .panel_bytes = panel_bytes,
                                            .unpack = capp_unpack_avx512bf16,
                                            .unpack_quant = capp_unpack_quant_avx512bf16,
                                            .put_column = put_column,
                                            .put_rows = put_rows,
                                            CAPP_PRODUCT_MAP(X)};
#undef X
