/* Products of integers with AVX2 alone. Bytes are widened to 16 bits; VPMADDWD multiplies these. */
#include "kernel/integers_256.h"

/* Even and odd bytes separately: 255 * -128 fits into 17 bits, a sum of two products into an int32. */
V whole w_dot(whole s, whole w, const char *p) {
    int32_t quad;
    memcpy(&quad, p, sizeof quad);
    const __m256i x = _mm256_set1_epi32(quad), even = _mm256_and_si256(x, _mm256_set1_epi16(255));
    const __m256i low = _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), high = _mm256_srai_epi16(w, 8);
    s = _mm256_add_epi32(s, _mm256_madd_epi16(even, low));
    return _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_srli_epi16(x, 8), high));
}

#define ROWS_MAP(X) X(1) X(2) X(3) X(4)

#include "kernel/integers.inc"

#include "kernel/integers_unpack.inc"

const capp_products capp_integers_avx2 = {INTEGER_PRODUCTS};
