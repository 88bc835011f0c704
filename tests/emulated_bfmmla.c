/* Compiles bfmmla.inc over an emulated BFMMLA. */
#include "emulated.h"

#include "emulation.h"

enum { PANEL_VECTORS = 1, GROUP = 4 };

/* BFCVTN keeps denormals. */
static void narrow_16(uint16_t *y, const float *x, size_t n) {
    memset(y, 0, 16 * sizeof *y);
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = emulated_bits(x[i]);
        y[i] = (uint16_t)(isnan(x[i]) ? bits >> 16 | 0x40 : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
    }
}

/* Of numbers of 64 bits. */
static void transpose_16(uint32_t *y, const uint32_t (*x)[16]) {
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 8; j++) memcpy(y + 2 * (16 * j + i), x[i] + 2 * j, 2 * sizeof *y);
}

static void weave_16(uint16_t *y, const uint16_t *x, size_t ld) {
    for (size_t i = 0; i < 64; i++) y[i] = x[i % 4 * ld + i / 4];
}

#include "kernel/bf16.inc"

/* Unrolled loops over emulated vectors would take the compiler minutes. */
#include "kernel/unroll.h"
#undef CAPP_UNROLL
#define CAPP_UNROLL(n)

typedef struct sums {
    float at[2][2];
} sums;
typedef struct quads {
    uint16_t at[2][4];
} quads;

static sums s_zero(void) {
    return (sums){{{0}}};
}
static sums s_add(sums a, sums b) {
    for (size_t i = 0; i < 4; i++) a.at[i / 2][i % 2] += b.at[i / 2][i % 2];
    return a;
}
static sums s_take(const float *p, const float *q) {
    return (sums){{{p[0], p[1]}, {q[0], q[1]}}};
}
static void s_put(float *p, float *q, sums s) {
    memcpy(p, s.at[0], sizeof s.at[0]);
    memcpy(q, s.at[1], sizeof s.at[1]);
}
static quads p_load(const char *p) {
    quads x;
    memcpy(&x, p, sizeof x);
    return x;
}
static quads p_rows(const char *p, const char *q, int half) {
    quads x;
    memcpy(x.at[0], p + half * 8, sizeof x.at[0]);
    memcpy(x.at[1], q + half * 8, sizeof x.at[1]);
    return x;
}
static sums s_dot(sums s, quads a, quads b) {
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < 2; j++)
            for (size_t k = 0; k < 4; k += 2) s.at[i][j] = emulated_bfdot(s.at[i][j], a.at[i] + k, b.at[j] + k);
    return s;
}

#include "kernel/bfmmla.inc"

#define EMULATED emulated_bfmmla
#include "emulated_table.inc"
