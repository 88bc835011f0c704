/* Products of integers with AVX2 alone. VPMADDUBSW multiplies unsigned by signed bytes and adds pairs of products, in
 * 16 bits, with saturation. `reach` quads are added in 16 bits before VPMADDWD adds their pairs to 32 bits. A lane of
 * 16 bits then has 2 * reach products of a digit, 0 .. 255, and a number:
 *
 *   reach 4, magnitudes up to 16: 8 * 255 * 16 = 32,640
 *   reach 2, magnitudes up to 32: 4 * 255 * 32 = 32,640
 *
 * Both are below 2^15, so nothing saturates. Larger numbers have reach 0: bytes are widened to 16 bits, and VPMADDWD
 * multiplies these. A product there is at most 255 * 128, so that a sum of two fits into an int32. */
enum { TILE_ROWS = 4 };

#define ROWS_MAP(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)

#include "kernel/integers_256.h"

/* Adds the products of quad j of each row to s; even and odd bytes separately. */
INLINE void dot_wide(whole *s, const capp_digits *const *a, size_t offset, const char *numbers, int j, const int rows) {
    UNROLL
    for (int x = 0; x < VECTORS; x++) {
        const whole w = w_load(numbers + (j * NR + x * WIDTH) * 4);
        const whole even = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), odd = _mm256_srai_epi16(w, 8);
        UNROLL
        for (int r = 0; r < rows; r++) {
            uint32_t quad;
            memcpy(&quad, (const char *)a[r] + offset + 4 * j, sizeof quad);
            const whole low = w_set(quad & 0x00ff00ffu), high = w_set(quad >> 8 & 0x00ff00ffu);
            s[2 * r + x] = w_add(s[2 * r + x], _mm256_madd_epi16(low, even));
            s[2 * r + x] = w_add(s[2 * r + x], _mm256_madd_epi16(high, odd));
        }
    }
}

INLINE void dot_quads(whole *s, const capp_digits *const *a, size_t offset, const char *numbers, int first, int last,
                      const int rows, const int reach) {
    whole short_sum[TILE_ROWS * VECTORS];
    if (!reach) {
        UNROLL
        for (int j = first; j < last; j++) dot_wide(s, a, offset, numbers, j, rows);
        return;
    }
    UNROLL
    for (int j = first; j < last; j++) {
        const whole w0 = w_load(numbers + j * NR * 4), w1 = w_load(numbers + j * NR * 4 + WIDTH * 4);
        UNROLL
        for (int r = 0; r < rows; r++) {
            uint32_t quad;
            memcpy(&quad, (const char *)a[r] + offset + 4 * j, sizeof quad);
            const whole x = w_set(quad), p0 = _mm256_maddubs_epi16(x, w0), p1 = _mm256_maddubs_epi16(x, w1);
            short_sum[2 * r] = j % reach ? _mm256_add_epi16(short_sum[2 * r], p0) : p0;
            short_sum[2 * r + 1] = j % reach ? _mm256_add_epi16(short_sum[2 * r + 1], p1) : p1;
        }
        if (j % reach != reach - 1) continue;
        UNROLL
        for (int t = 0; t < rows * VECTORS; t++)
            s[t] = w_add(s[t], _mm256_madd_epi16(short_sum[t], _mm256_set1_epi16(1)));
    }
}

#define REACH_MAP(X) X(0) X(2) X(4)

INLINE int reach_of(int most) {
    return most <= 16 ? 4 : most <= 32 ? 2 : 0;
}

#include "kernel/integers.inc"

const capp_products capp_integers_avx2 = {INTEGER_PRODUCTS};
