/* Compiles dpbf16.inc over an emulated VDPBF16PS. */
#include "emulated.h"

#include "emulated_rows.h"

#include "kernel/bf16.inc"

typedef struct part {
    float lane[16];
} part;
typedef struct pairs {
    uint16_t lane[16][2];
} pairs;

enum { WIDE = 1 };

static part f_zero(void) {
    return (part){{0}};
}
static part f_load_part(const float *p, size_t n) {
    part s = {{0}};
    memcpy(s.lane, p, n * sizeof *p);
    return s;
}
static part f_load(const float *p) {
    return f_load_part(p, 16);
}
static void f_store_part(float *p, part s, size_t n) {
    memcpy(p, s.lane, n * sizeof *p);
}
static void f_store(float *p, part s) {
    f_store_part(p, s, 16);
}
static part f_add(part a, part b) {
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
static part s_dot(part s, pairs a, pairs b) {
    for (size_t i = 0; i < 16; i++) {
        s.lane[i] = emulated_fma(a.lane[i][1], b.lane[i][1], s.lane[i]);
        s.lane[i] = emulated_fma(a.lane[i][0], b.lane[i][0], s.lane[i]);
    }
    return s;
}
static unsigned s_begin(part *s, int n) {
    (void)s, (void)n;
    return 0;
}
static void s_end(part *s, int n, unsigned mode) {
    (void)s, (void)n, (void)mode;
}

#include "kernel/dpbf16.inc"

#define EMULATED emulated_dpbf16
#include "emulated_table.inc"
