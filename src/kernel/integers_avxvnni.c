/* Products of integers with AVX-VNNI (Intel SDM volume 2, VPDPBUSD with VEX; Intel's clients from Alder Lake on). */
enum { TILE_ROWS = 6, EXTRA = 0 };

#define ROWS_MAP(X, ...)                                                                                               \
    X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__) X(5, __VA_ARGS__) X(6, __VA_ARGS__)

#define LOW_KIND static __attribute__((noinline))

#include "kernel/integers_256.h"

V whole w_dot(whole s, whole w, const char *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    return _mm256_dpbusd_avx_epi32(s, _mm256_set1_epi32(quad), w);
}

/* The units that multiply also shift and convert. Others move bytes and add floats, so these do it here. A sum of high
 * digits is at most 32 * 128 * 128 = 2^19. It is added to the bits of 1.5 * 2^31, a float32 whose last bit is worth 256
 * and stays so; then 1.5 * 2^31 is subtracted, which is exact. */
V whole w_times_256(whole s) {
    const whole of_lane =
        _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0, 0x04040404, 0x08080808, 0x0c0c0c0c);
    return _mm256_shuffle_epi8(s, w_or(of_lane, w_set(0x02010080)));
}

V part f_of_high(whole s) {
    const float from = 0x1.8p31f;
    uint32_t bits;
    memcpy(&bits, &from, sizeof bits);
    return _mm256_sub_ps(f_of_bits(w_add(s, w_set(bits))), f_set(from));
}
#define F_OF_HIGH(s) f_of_high(s)

#include "kernel/integers_vnni.inc"

#include "kernel/integers_digits.inc"

const capp_products capp_integers_avxvnni = {INTEGER_PRODUCTS};
