/* Unpacks to panels of float32 with NEON. */
#include "kernel/unpack.h"

#include "kernel/unpack_neon.h"

enum { SQUARE_K = WIDTH, ELEMENT = sizeof(float), STEP = 1 };

typedef uint32_t neighbors;
#define transpose_numbers transpose

V void v_store(float *p, v_floats v) {
    vst1q_f32(p, v.lo);
    vst1q_f32(p + 4, v.hi);
}
V v_floats v_fma(v_floats a, v_floats b, v_floats c) {
    return (v_floats){vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi)};
}

V void put_4(char *out, const v_floats *v) {
    UNROLL
    for (size_t j = 0; j < 4; j++) {
        float *to = (float *)(void *)out + CAPP_LANES * j;
        vst1q_f32(to, v[j].lo);
        vst1q_f32(to + 4, v[j].hi);
    }
}

V void put_numbers(neighbors *out, const v_floats *v) {
    vst1q_u32(out, vreinterpretq_u32_f32(v[0].lo));
    vst1q_u32(out + 4, vreinterpretq_u32_f32(v[0].hi));
}

#include "kernel/unpack.inc"
#include "kernel/unpack_few.inc"
#include "kernel/unpack_quant.inc"

capp_unpack_fn capp_unpack_neon(uint32_t type) {
    return unpack_of(type);
}

capp_few_fn capp_few_neon(uint32_t type) {
    return few_of(type);
}

bool capp_unpack_quant_neon(void *panel, const capp_quant *q, size_t first, size_t from, size_t k) {
    return unpack_quant(panel, q, first, from, k);
}
