/* Compiles dpbf16.inc over an emulated VDPBF16PS. */
#include "emulated.h"

#include "emulated_rows.h"

#include "kernel/bf16.inc"

typedef struct sums {
    float lane[16];
} sums;
typedef struct pairs {
    uint16_t lane[16][2];
} pairs;

enum { WIDE = 1 };

static sums s_zero(void) {
    return (sums){{0}};
}
static sums s_load_part(const float *p, size_t n) {
    sums s = {{0}};
    memcpy(s.lane, p, n * sizeof *p);
    return s;
}
static sums s_load(const float *p) {
    return s_load_part(p, 16);
}
static void s_store_part(float *p, sums s, size_t n) {
    memcpy(p, s.lane, n * sizeof *p);
}
static void s_store(float *p, sums s) {
    s_store_part(p, s, 16);
}
static sums s_add(sums a, sums b) {
    for (size_t i = 0; i < 16; i++) a.lane[i] += b.lane[i];
    return a;
}
static pairs p_load(const char *p) {
    pairs x;
    memcpy(&x, p, sizeof x);
    return x;
}
static void p_spread(float *wide, const char *p) {
    (void)wide, (void)p;
}
static pairs p_all(const char *p, const float *wide, size_t j) {
    pairs x;
    (void)wide, (void)j;
    for (size_t i = 0; i < 16; i++) memcpy(x.lane[i], p, sizeof x.lane[i]);
    return x;
}
static sums s_dot(sums s, pairs a, pairs b) {
    for (size_t i = 0; i < 16; i++) {
        s.lane[i] = emulated_fma(a.lane[i][1], b.lane[i][1], s.lane[i]);
        s.lane[i] = emulated_fma(a.lane[i][0], b.lane[i][0], s.lane[i]);
    }
    return s;
}
static unsigned s_begin(sums *s, int n) {
    (void)s, (void)n;
    return 0;
}
static void s_end(sums *s, int n, unsigned mode) {
    (void)s, (void)n, (void)mode;
}

#include "kernel/dpbf16.inc"

#define EMULATED emulated_dpbf16
#include "emulated_table.inc"
