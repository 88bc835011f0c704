/* Products compiled from the kernels' sources over plain C: see emulation.h. */
#ifndef CAPP_EMULATED_H
#define CAPP_EMULATED_H

#include "kernel/integers.h"
#include "kernel/kernel.h"

extern const capp_products emulated_dpbf16;
extern const capp_products emulated_tiles;
extern const capp_products emulated_bfmmla;
extern const capp_products emulated_integers;

#endif
