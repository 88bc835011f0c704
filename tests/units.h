/* Opens models for tests in any precision, over the machine's units or emulated ones. */
#ifndef CAPP_UNITS_H
#define CAPP_UNITS_H

#include "engine/handles.h"

/* unit: an instruction set ("avx2"; NULL: the best), in float32; or a name from the list in units.c, with one lane of
 * bfloat16 or integers, or with two lanes. The machine need not choose these lanes itself under precision auto. The
 * caller frees the model. */
capp_model *open_unit(const char *path, const char *unit, int threads, uint64_t memory);

bool has_unit(const char *unit);

/* Skips the test where the machine lacks the unit. */
void need_unit(const char *unit);

/* The table of an instruction set of any family of processors. Skips the test where the machine lacks it, and tiles
 * cannot be lent (lent_tiles.h). */
const capp_kernels *need_isa(const char *isa);

#endif
