/* Products of integers with AVX2 alone.
 *
 * A block with low digits: activations are whole integers of 16 bits, and numbers are widened to 16 bits, once for all
 * rows. VPMADDWD multiplies them and adds pairs of products, exactly. No int32 overflows: the sum over 32 inputs is at
 * most 32 * 32,512 * 128 = 133,169,152.
 *
 * A row without low digits, unless most rows of its tile have them, and a product of few rows, digit by digit:
 * VPMADDUBSW multiplies unsigned by signed bytes and adds pairs of products, in 16 bits, with saturation. Numbers of
 * types with minima are not negative: they are the unsigned bytes, and the signed ones are the digits, -128 .. 127.
 * Other numbers are the signed bytes; the unsigned ones are the digits of integer + 32,768. `reach` quads are added in
 * 16 bits before VPMADDWD adds their pairs to 32 bits. Then 2 * reach products are in a lane of 16 bits:
 *
 *                        with minima                 without
 *   reach 8, 8 quads     16 * 128 * 15 = 30,720      16 * 255 * 8  = 32,640
 *   reach 4              8 * 128 * 31  = 31,744      8 * 255 * 16  = 32,640
 *   reach 2                                          4 * 255 * 32  = 32,640
 *
 * All are below 2^15, so nothing saturates. Larger numbers have reach 0: they are always multiplied in 16 bits.
 *
 * High digits and numbers without minima have a longer reach: all quads that share a scale. Their sum starts from -128
 * times the sum of the lane's numbers. On the way it may wrap around, but only its end counts. There the digits are
 * -127 .. 127, so with 16 products of numbers up to 16, or 8 of numbers up to 32, it is at most 32,512. Two products
 * are at most 2 * 255 * 32 = 16,320, so VPMADDUBSW does not saturate. */
enum { TILE_ROWS = 4 };

#define INTEGERS_WHOLE

#define ROWS_MAP(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)

#include <stdbool.h>

/* Beside each split block, on a line of the cache: 0 if its numbers have been widened. Then [16][NR][2] int16. */
enum { FLAG = 64, EXTRA = FLAG + 2 * 32 * 16 };

/* With at most this number of rows, two products of bytes cost less than widening the numbers. */
enum { FEW_ROWS = 8 };

#include "kernel/integers_256.h"

/* Starts are in 16 bits, in the lanes in which VPMADDUBSW has sums. */
#define HAS_STARTS(minima) (!(minima))

V whole w_add_surplus(whole s, whole w) {
    return _mm256_add_epi16(s, _mm256_maddubs_epi16(_mm256_set1_epi8(-128), w));
}
V whole w_start(whole s) {
    return _mm256_sub_epi16(_mm256_setzero_si256(), s);
}

#include "kernel/integers_spread.inc"

_Static_assert(EXTRA == FLAG + 2 * BLOCK * NR, "two bytes a number");

/* In each dword, bytes 0 and 1, or 2 and 3, of w as 16 bits each. */
INLINE whole pair_of(whole w, const int j) {
    const whole of_lane =
        _mm256_setr_epi32(0, 0x04000400, 0x08000800, 0x0c000c00, 0, 0x04000400, 0x08000800, 0x0c000c00);
    const whole order = w_or(of_lane, w_set(j ? 0x03800280u : 0x01800080u));
    return _mm256_srai_epi16(_mm256_shuffle_epi8(w, order), 8);
}

static __attribute__((noinline)) void widen(char *wide, const char *numbers) {
    for (int i = 0; i < QUADS * VECTORS; i++) {
        const whole w = w_load(numbers + i * WIDTH * 4);
        char *to = wide + (i / VECTORS * 2 * NR + i % VECTORS * WIDTH) * 4;
        w_store(to, pair_of(w, 0));
        w_store(to + NR * 4, pair_of(w, 1));
    }
}

/* The integers of a row that has no low digits. */
static __attribute__((noinline)) void restore(int16_t *to, const capp_digits *a) {
    for (int i = 0; i < BLOCK; i++) to[i] = (int16_t)(256 * a->digit[i]);
}

INLINE whole load_quad(const void *p, int i) {
    uint32_t quad;
    memcpy(&quad, (const char *)p + 4 * i, sizeof quad);
    return w_set(quad);
}

/* GCC would compute all products before their sums, for which there are not enough registers. The empty instruction
 * keeps the order. */
INLINE whole in_order(whole sum) {
    __asm__("" : "+x"(sum));
    return sum;
}

/* s [rows][2] = sums over n pairs of whole integers. */
INLINE void dot_pairs(whole *s, const int16_t *const *x, const char *wide, const int n, const int rows) {
    UNROLL
    for (int j = 0; j < n; j++) {
        const whole w0 = w_load(wide + j * NR * 4), w1 = w_load(wide + j * NR * 4 + WIDTH * 4);
        UNROLL
        for (int r = 0; r < rows; r++) {
            const whole pair = load_quad(x[r], j);
            const whole p0 = _mm256_madd_epi16(pair, w0), p1 = _mm256_madd_epi16(pair, w1);
            s[2 * r] = in_order(j ? w_add(s[2 * r], p0) : p0);
            s[2 * r + 1] = in_order(j ? w_add(s[2 * r + 1], p1) : p1);
        }
    }
}

/* The two digits of a row's integers: as they are multiplied with numbers that are not negative, or with others. */
typedef struct digits {
    uint8_t high[BLOCK], low[BLOCK];
} digits;

static __attribute__((noinline)) void split(digits *y, const capp_digits *a, bool minima) {
    const int up = minima ? 128 : 32768;
    int16_t integers[BLOCK];
    const int16_t *q = a->integer;
    if (!a->fine) restore(integers, a), q = integers;
    for (int i = 0; i < BLOCK; i++) {
        y->high[i] = (uint8_t)((q[i] + up) >> 8);
        y->low[i] = (uint8_t)q[i];
    }
}

/* Adds `value` times the sums over n quads of digits to s [rows][2]. start: of both vectors of sums, for a reach of n;
 * or NULL. */
INLINE void dot_quads(whole *s, const uint8_t *const *x, const char *numbers, const char *start, const int n,
                      const bool minima, const int reach, const int rows, whole value) {
    whole short_sum[TILE_ROWS * VECTORS];
    if (start) {
        UNROLL
        for (int t = 0; t < rows * VECTORS; t++) short_sum[t] = w_load(start + t % VECTORS * WIDTH * 4);
    }
    UNROLL
    for (int j = 0; j < n; j++) {
        const whole w0 = w_load(numbers + j * NR * 4), w1 = w_load(numbers + j * NR * 4 + WIDTH * 4);
        UNROLL
        for (int r = 0; r < rows; r++) {
            const whole quad = load_quad(x[r], j);
            const whole p0 = minima ? _mm256_maddubs_epi16(w0, quad) : _mm256_maddubs_epi16(quad, w0);
            const whole p1 = minima ? _mm256_maddubs_epi16(w1, quad) : _mm256_maddubs_epi16(quad, w1);
            short_sum[2 * r] = in_order(start || j % reach ? _mm256_add_epi16(short_sum[2 * r], p0) : p0);
            short_sum[2 * r + 1] = in_order(start || j % reach ? _mm256_add_epi16(short_sum[2 * r + 1], p1) : p1);
        }
        if (j % reach != reach - 1 && j + 1 < n) continue;
        UNROLL
        for (int t = 0; t < rows * VECTORS; t++) s[t] = in_order(w_add(s[t], _mm256_madd_epi16(short_sum[t], value)));
    }
}

/* fine: whether any row has low digits. */
INLINE void sum_digits(whole *s, const capp_digits *const *a, const char *b, const bool fine, const int h,
                       const int halves, const bool minima, const int reach, const int rows) {
    const int begin = h * BLOCK / halves;
    const char *numbers = b + begin * NR, *start = minima ? NULL : b + (BLOCK + h * 4) * NR;
    const uint8_t *x[TILE_ROWS];
    digits both[TILE_ROWS];
    UNROLL
    for (int t = 0; t < rows * VECTORS; t++) s[t] = w_set(0);
    UNROLL
    for (int r = 0; r < rows; r++) x[r] = (minima ? (const uint8_t *)a[r]->digit : a[r]->high) + begin;
    for (int r = 0; fine && r < rows; r++) split(&both[r], a[r], minima), x[r] = both[r].high + begin;
    dot_quads(s, x, numbers, start, QUADS / halves, minima, start ? QUADS : reach, rows, _mm256_set1_epi16(256));
    if (!fine) return;
    for (int r = 0; r < rows; r++) x[r] = both[r].low + begin;
    dot_quads(s, x, numbers, NULL, QUADS / halves, minima, reach, rows, _mm256_set1_epi16(1));
}

/* fine: rows that have low digits. */
INLINE void sum_integers(whole *s, const capp_digits *const *a, const char *wide, int32_t fine, const int h,
                         const int halves, const int rows) {
    const int16_t *x[TILE_ROWS];
    int16_t integers[TILE_ROWS][BLOCK];
    const int begin = h * BLOCK / halves;
    UNROLL
    for (int r = 0; r < rows; r++) x[r] = a[r]->integer + begin;
    for (int r = 0; fine < rows && r < rows; r++)
        if (!a[r]->fine) restore(integers[r], a[r]), x[r] = integers[r] + begin;
    dot_pairs(s, x, wide + begin * 2 * NR, BLOCK / 2 / halves, rows);
}

/* Sums of the rows whose bits in `fine` are set, into s [rows][2]. */
INLINE void sum_fine(whole *s, const capp_digits *const *a, const char *wide, const int h, const int halves,
                     uint32_t fine) {
    const int begin = h * BLOCK / halves;
    for (; fine; fine &= fine - 1) {
        const int r = __builtin_ctz(fine);
        const int16_t *x = a[r]->integer + begin;
        dot_pairs(s + 2 * r, &x, wide + begin * 2 * NR, BLOCK / 2 / halves, 1);
    }
}

static __attribute__((noinline)) void fine_1(whole *s, const capp_digits *const *a, const char *wide, uint32_t fine) {
    sum_fine(s, a, wide, 0, 1, fine);
}
static __attribute__((noinline)) void fine_2(whole *s, const capp_digits *const *a, const char *wide, uint32_t fine,
                                             int h) {
    sum_fine(s, a, wide, h, 2, fine);
}

/* Few rows have low digits: all are multiplied as bytes, and then those few again in 16 bits. */
INLINE void sum_both(whole *s, const capp_digits *const *a, const char *b, const char *wide, const int h,
                     const int halves, const bool minima, const int reach, const int rows) {
    whole copy[TILE_ROWS * VECTORS];
    uint32_t fine = 0;
    UNROLL
    for (int r = 0; r < rows; r++) fine |= (uint32_t)a[r]->fine << r;
    sum_digits(s, a, b, false, h, halves, minima, reach, rows);
    memcpy(copy, s, (size_t)rows * VECTORS * sizeof *s);
    if (halves == 1)
        fine_1(copy, a, wide, fine);
    else
        fine_2(copy, a, wide, fine, h);
    memcpy(s, copy, (size_t)rows * VECTORS * sizeof *s);
}

INLINE void sum_whole(whole *s, const capp_digits *const *a, char *b, const int h, const int halves, const bool minima,
                      const int reach, const int rows) {
    char *extra = b + split_bytes((size_t)halves, minima);
    int32_t fine = 0, waiting; /* rows that have low digits; rows for which the numbers have not been widened, or 0 */
    UNROLL
    for (int r = 0; r < rows; r++) fine += a[r]->fine;
    memcpy(&waiting, extra, sizeof waiting);
    if (reach && !fine) {
        sum_digits(s, a, b, false, h, halves, minima, reach ? reach : 1, rows);
        return;
    }
    if (reach && waiting && waiting <= FEW_ROWS) {
        sum_digits(s, a, b, true, h, halves, minima, reach ? reach : 1, rows);
        return;
    }
    if (waiting) {
        widen(extra + FLAG, b);
        memset(extra, 0, sizeof waiting);
    }
    if (reach && 2 * fine <= rows) {
        sum_both(s, a, b, extra + FLAG, h, halves, minima, reach ? reach : 1, rows);
        return;
    }
    sum_integers(s, a, extra + FLAG, fine, h, halves, rows);
}

INLINE void sum_block(part *sum, const capp_digits *const *a, char *b, const int h, const int halves, const bool minima,
                      const int reach, const int rows) {
    whole s[TILE_ROWS * VECTORS];
    sum_whole(s, a, b, h, halves, minima, reach, rows);
    UNROLL
    for (int t = 0; t < rows * VECTORS; t++) sum[t] = f_of(s[t]);
}

#define KIND_MAP(X) X(1, 0, 0) X(1, 0, 4) X(1, 0, 8) X(1, 1, 0) X(1, 1, 4) X(1, 1, 8) X(2, 0, 2) X(2, 0, 8) X(2, 1, 8)

INLINE int reach_of(int most, int minima) {
    return most <= (minima ? 15 : 8) ? 8 : most <= (minima ? 31 : 16) ? 4 : most <= 32 ? 2 : 0;
}

#include "kernel/integers_tiles.inc"

const capp_products capp_integers_avx2 = {INTEGER_PRODUCTS};
