/* Compiles integers.inc over vectors in plain C, so that its sources are tested on machines that lack VPDPBUSD. */
#include "emulated.h"

#include <math.h>

enum { WIDTH = 8, TILE_ROWS = 4 };

#include "kernel/integers_panel.inc"
#include "kernel/integers_plain.inc"

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
static part f_of(whole s) {
    part v;
    for (size_t i = 0; i < WIDTH; i++) v.lane[i] = (float)s.lane[i];
    return v;
}

#define ROWS_MAP(X) X(1) X(2) X(3) X(4)

#include "kernel/integers.inc"

const capp_products emulated_integers = {INTEGER_PRODUCTS};
