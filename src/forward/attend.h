/* What attention in float32 (attention.c) and in bfloat16 (narrow_attention.c) have in common. Only they include this
 * header. */
#ifndef CAPP_FORWARD_ATTEND_H
#define CAPP_FORWARD_ATTEND_H

#include "forward/wave.h"

typedef struct capp_attend {
    const capp_forward *f;
    const capp_layer *layer;
    const capp_tiles *tiles;
    size_t group; /* number of query heads for each key-value head */
    size_t d, dv; /* dimensions of a head's q and keys; of its values */
} capp_attend;

/* A run of a path: its first position, and the run after the last one. */
typedef struct capp_place {
    size_t run, end, position;
} capp_place;

/* Where the spine of a tile begins, and the tail of its row r. */
capp_place capp_place_of_spine(const capp_tile *tile);
capp_place capp_place_of_tail(const capp_attend *a, const capp_tile *tile, size_t r);

/* Moves forward to the run that contains a position, or to the end. at: also gives its slot, and how many positions of
 * the run begin with it. */
capp_place capp_place_advance(const capp_attend *a, capp_place p, size_t position);
capp_place capp_place_at(const capp_attend *a, capp_place p, size_t position, size_t *slot, size_t *count);

capp_attend capp_attend_of(const capp_forward *f, size_t layer, const capp_tiles *tiles);

/* Position + 1 of row r of the tile. */
size_t capp_attend_depth(const capp_attend *a, const capp_tile *tile, size_t r);

/* The first position that a row of this depth sees. */
size_t capp_attend_from(const capp_attend *a, size_t depth);

/* Finishes the scores s [n] of a query of `head`, which sees positions below `depth`: those of positions from .. from +
 * n - 1. */
void capp_attend_bias(const capp_attend *a, size_t head, float *s, size_t from, size_t n, size_t depth);

/* What the sink of `head`, a score without a value, adds to the sum of a softmax with this greatest score. */
float capp_attend_sink(const capp_attend *a, size_t head, float most);

/* Writes the output of a head, divided by the sum of its weights, to a row of the wave, in place of its q. */
void capp_attend_finish(const capp_attend *a, size_t row, size_t head, float *out, float sum);

/* Attention in bfloat16: the task of a tile and a head. */
void capp_narrow_attention_task(void *attend, size_t task, int worker);

#endif
