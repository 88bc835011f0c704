/* Unpacks to panels of bfloat16 for BFMMLA. BFCVTN rounds as `narrow` does. */
#include "kernel/unpack.h"

#include "kernel/unpack_neon.h"

enum { SQUARE_K = 4 * WIDTH, ELEMENT = sizeof(uint16_t), STEP = 32 };

typedef uint64_t neighbors;

V uint16x8_t narrowed(v_floats v) {
    return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(v.lo), v.hi));
}

V void put_4(char *out, const v_floats *v) {
    const uint16x8x4_t columns = {{narrowed(v[0]), narrowed(v[1]), narrowed(v[2]), narrowed(v[3])}};
    vst4q_u16((uint16_t *)(void *)out, columns);
}

V void put_numbers(neighbors *out, const v_floats *v) {
    UNROLL
    for (size_t j = 0; j < SQUARE_K / WIDTH; j++) {
        const uint16x8_t halves = narrowed(v[j]);
        memcpy(out + 2 * j, &halves, sizeof halves);
    }
}

V void transpose_numbers(neighbors *y, size_t ldy, const void *x, size_t stride) {
    for (size_t i = 0; i < WIDTH; i += 2) transpose_quads(y + i, ldy * sizeof *y, (const char *)x + i * stride, stride);
}

#include "kernel/unpack.inc"
#include "kernel/unpack_quant.inc"

capp_unpack_fn capp_unpack_neonbf16(uint32_t type) {
    return unpack_of(type);
}

bool capp_unpack_quant_neonbf16(void *panel, const capp_quant *q, size_t first, size_t from, size_t k) {
    return unpack_quant(panel, q, first, from, k);
}
