/* Products compiled from the kernels' sources over plain C: see emulation.h. */
#ifndef CAPP_EMULATED_H
#define CAPP_EMULATED_H

#include "kernel/integers.h"
#include "kernel/kernel.h"

extern const capp_products emulated_dpbf16;
extern const capp_products emulated_tiles;
extern const capp_products emulated_bfmmla;
extern const capp_products emulated_integers;

/* What the emulated tiles did since the last reset, in all threads: configurations, loads, those of them that were
 * streamed, and the rows that were loaded, dots and their rows. And the threads whose tiles are configured now. */
typedef struct tile_counts {
    size_t configurations, open, loads, streamed, lines, dots, rows;
} tile_counts;

tile_counts emulated_tile_counts(void);
void emulated_tiles_reset(void);

#endif
