/* Unpacks to panels of bfloat16 for VDPBF16PS and AMX tiles. VCVTNE2PS2BF16 rounds as `narrow` does. */
#include "kernel/unpack.h"

#include "kernel/unpack_avx512.h"

enum { SQUARE_K = 2 * WIDTH, ELEMENT = sizeof(uint16_t), STEP = 32 };

/* Stores two neighbors along k for each of 16 columns. */
V void put_pair(char *out, v_floats first, v_floats second) {
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    const __m512i from =
        _mm512_add_epi32(_mm512_set1_epi32(16 << 16),
                         _mm512_mullo_epi32(_mm512_set1_epi32(0x10001),
                                            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(from, halves));
}

V void put_4(char *out, const v_floats *v) {
    put_pair(out, v[0], v[1]);
    put_pair(out + WIDTH * sizeof(uint32_t), v[2], v[3]);
}

V void put_numbers(neighbors *out, const v_floats *v) {
    _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(v[1], v[0]));
}

#include "kernel/unpack.inc"
#include "kernel/unpack_quant.inc"

capp_unpack_fn capp_unpack_avx512bf16(uint32_t type) {
    return unpack_of(type);
}

bool capp_unpack_quant_avx512bf16(void *panel, const capp_quant *q, size_t first, size_t from, size_t k) {
    return unpack_quant(panel, q, first, from, k);
}
