/* Compiles integers_digits.inc over vectors in plain C, so that its sources are tested on machines that lack VPDPBUSD.
 */
#include "emulated.h"

#include <math.h>
#include <string.h>

#include "kernel/dequant.h"
#include "kernel/unroll.h"

/* Unrolled loops over emulated vectors would take the compiler minutes. */
#undef CAPP_UNROLL
#define CAPP_UNROLL(n)

enum { WIDTH = 8, TILE_ROWS = 4, EXTRA = 0 };

#define LOW_KIND         static __attribute__((noinline))
#define ROWS_MAP(X, ...) X(1, __VA_ARGS__) X(2, __VA_ARGS__) X(3, __VA_ARGS__) X(4, __VA_ARGS__)

static void transpose_square(uint32_t *y, size_t ldy, const void *x, size_t stride) {
    for (size_t i = 0; i < WIDTH; i++)
        for (size_t j = 0; j < WIDTH; j++) memcpy(&y[j * ldy + i], (const char *)x + i * stride + 4 * j, 4);
}

#include "kernel/integers_panel.inc"
#include "kernel/integers_turn.inc"

typedef struct whole {
    int32_t lane[WIDTH];
} whole;
typedef struct part {
    float lane[WIDTH];
} part;

static whole w_load(const char *p) {
    whole w;
    memcpy(w.lane, p, sizeof w.lane);
    return w;
}
static void w_store(char *p, whole w) {
    memcpy(p, w.lane, sizeof w.lane);
}
static whole w_set(uint32_t x) {
    whole w;
    for (size_t i = 0; i < WIDTH; i++) w.lane[i] = (int32_t)x;
    return w;
}
#define EACH_LANE(name, expression)                                                                                    \
    static whole name(whole a, whole b) {                                                                              \
        for (size_t i = 0; i < WIDTH; i++) {                                                                           \
            const uint32_t x = (uint32_t)a.lane[i], y = (uint32_t)b.lane[i];                                           \
            a.lane[i] = (int32_t)(expression);                                                                         \
        }                                                                                                              \
        return a;                                                                                                      \
    }
EACH_LANE(w_and, x &y)
EACH_LANE(w_or, x | y)
EACH_LANE(w_xor, x ^ y)
EACH_LANE(w_add, x + y)
EACH_LANE(w_sub, x - y)
/* Without borrows: the upper bit of each byte is computed apart. */
EACH_LANE(w_sub_bytes, ((x | 0x80808080u) - (y & 0x7f7f7f7fu)) ^ ((x ^ ~y) & 0x80808080u))
EACH_LANE(shift_left, x << y)
EACH_LANE(shift_right, x >> y)
static whole w_shift_left(whole w, int n) {
    return shift_left(w, w_set((uint32_t)n));
}
static whole w_shift_right(whole w, int n) {
    return shift_right(w, w_set((uint32_t)n));
}
static whole w_look_up(const int8_t *table, whole w) {
    int8_t bytes[4 * WIDTH];
    memcpy(bytes, w.lane, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = table[bytes[i]];
    memcpy(w.lane, bytes, sizeof bytes);
    return w;
}
static whole w_dot(whole s, whole w, const char *p) {
    for (size_t i = 0; i < WIDTH; i++) {
        int8_t number[4];
        uint8_t digit[4];
        memcpy(number, &w.lane[i], 4);
        memcpy(digit, p, 4);
        for (size_t j = 0; j < 4; j++) s.lane[i] += digit[j] * number[j];
    }
    return s;
}
static whole w_times_256(whole s) {
    for (size_t i = 0; i < WIDTH; i++) s.lane[i] *= 256;
    return s;
}
static part f_zero(void) {
    return (part){{0}};
}
static part f_load_part(const float *p, size_t n) {
    part v = {{0}};
    memcpy(v.lane, p, n * sizeof *p);
    return v;
}
static part f_load(const float *p) {
    return f_load_part(p, WIDTH);
}
static void f_store_part(float *p, part v, size_t n) {
    memcpy(p, v.lane, n * sizeof *p);
}
static void f_store(float *p, part v) {
    f_store_part(p, v, WIDTH);
}
static part f_set(float x) {
    part v;
    for (size_t i = 0; i < WIDTH; i++) v.lane[i] = x;
    return v;
}
static part f_add(part a, part b) {
    for (size_t i = 0; i < WIDTH; i++) a.lane[i] += b.lane[i];
    return a;
}
static part f_mul(part a, part b) {
    for (size_t i = 0; i < WIDTH; i++) a.lane[i] *= b.lane[i];
    return a;
}
static part f_fma(part a, part b, part c) {
    for (size_t i = 0; i < WIDTH; i++) c.lane[i] = fmaf(a.lane[i], b.lane[i], c.lane[i]);
    return c;
}
static part f_fma_less(part a, part b, part c) {
    for (size_t i = 0; i < WIDTH; i++) c.lane[i] = fmaf(-a.lane[i], b.lane[i], c.lane[i]);
    return c;
}
static part f_of(whole s) {
    part v;
    for (size_t i = 0; i < WIDTH; i++) v.lane[i] = (float)s.lane[i];
    return v;
}

static part f_negate(part a) {
    for (size_t i = 0; i < WIDTH; i++) a.lane[i] = -a.lane[i];
    return a;
}
static part f_of_bits(whole w) {
    part v;
    memcpy(v.lane, w.lane, sizeof v.lane);
    return v;
}
static part f_of_half(whole w) {
    part v;
    for (size_t i = 0; i < WIDTH; i++) v.lane[i] = capp_half_to_float((uint16_t)w.lane[i]);
    return v;
}

/* As integers_avxvnni.c has it. */
static part f_of_high(whole s) {
    part v = f_of_bits(w_add(s, w_set(0x4f400000)));
    for (size_t i = 0; i < WIDTH; i++) v.lane[i] -= 0x1.8p31F;
    return v;
}
#define F_OF_HIGH(s) f_of_high(s)

#include "kernel/integers_vnni.inc"

#include "kernel/integers_digits.inc"

const capp_products emulated_integers = {INTEGER_PRODUCTS};
