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

#include "kernel/integers_vnni.inc"

#include "kernel/integers_digits.inc"

const capp_products capp_integers_avxvnni = {INTEGER_PRODUCTS};
