/* Unpacks to panels of float32 with AVX-512. */
#include "kernel/unpack.h"

#include "kernel/unpack_avx512.h"

enum { SQUARE_K = WIDTH, ELEMENT = sizeof(float), STEP = 1 };

V void v_store(float *p, v_floats v) {
    _mm512_storeu_ps(p, v);
}
V v_floats v_fma(v_floats a, v_floats b, v_floats c) {
    return _mm512_fmadd_ps(a, b, c);
}

V void put_4(char *out, const v_floats *v) {
    UNROLL
    for (size_t j = 0; j < 4; j++) _mm512_storeu_ps((float *)(void *)out + CAPP_LANES * j, v[j]);
}

V void put_numbers(neighbors *out, const v_floats *v) {
    _mm512_storeu_ps(out, v[0]);
}

#include "kernel/unpack.inc"
#include "kernel/unpack_few.inc"
#include "kernel/unpack_quant.inc"

capp_unpack_fn capp_unpack_avx512(uint32_t type) {
    return unpack_of(type);
}

capp_few_fn capp_few_avx512(uint32_t type) {
    return few_of(type);
}

bool capp_unpack_quant_avx512(void *panel, const capp_quant *q, size_t first, size_t from, size_t k) {
    return unpack_quant(panel, q, first, from, k);
}
