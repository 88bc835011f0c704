/* What bf16.inc needs for VDPBF16PS and AMX tiles. */
#ifndef CAPP_EMULATED_ROWS_H
#define CAPP_EMULATED_ROWS_H

#include "emulation.h"

enum { PANEL_VECTORS = 2, GROUP = 2 };

static inline void narrow_16(uint16_t *y, const float *x, size_t n) {
    uint16_t narrow[16] = {0};
    for (size_t i = 0; i < n; i++) narrow[i] = emulated_narrow(x[i]);
    memcpy(y, narrow, sizeof narrow); /* y may be of another type */
}

static inline void transpose_16(uint32_t *y, const uint32_t (*x)[16]) {
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < 16; j++) y[16 * j + i] = x[i][j];
}

static inline void weave_16(uint16_t *y, const uint16_t *x, size_t ld) {
    for (size_t i = 0; i < 32; i++) y[i] = x[i % 2 * ld + i / 2];
}

#endif
