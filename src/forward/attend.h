/* What attention.c, narrow_attention.c and attend.c share. Only they include this header. */
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

/* The weight of the sink of `head`, a score without a value. */
float capp_attend_sink(const capp_attend *a, size_t head, float top);

/* Writes the output of a head, divided by the sum of its weights, to a row of the wave, in place of its q. */
void capp_attend_finish(const capp_attend *a, size_t row, size_t head, float *out, float sum);

/* Positions of a block. Before its scores there is room for those of a whole vector of keys. */
enum { CAPP_ATTEND_BLOCK = 256, CAPP_ATTEND_SCORES = CAPP_ATTEND_BLOCK + CAPP_LANES };

/* What a task works on. A query's weights are 2^(score log2(e) - top). */
typedef struct capp_attend_work {
    const capp_tile *tile;
    const capp_products *products;
    const capp_kernels *kernels;
    size_t kv;           /* key-value head */
    size_t low, deepest; /* the first position that any of its rows sees; their greatest depth */
    bool tails;          /* some row has a tail */
    size_t dk;           /* elements of a key */
    const char *keys;    /* of the head: panels by slot */
    const char *values;  /* [slots][padded dv] */
    char *q;             /* elements [rows * group][dk] */
    float *s;            /* [rows * group][SCORES] scores; position at + i is element LANES + i */
    float *out;          /* [rows * group][dv] */
    float *lanes, *top;  /* [rows * group][LANES] the sum of the weights; [rows * group] */
    size_t common;       /* bfloat16: positions below it are in products of all rows: a multiple of a step */
    size_t columns;      /* elements of a row of values, whole panels */
    char *weights;       /* elements [rows * group][BLOCK] */
    char *panels, *own;  /* values of a block: elements [columns / LANES][positions][LANES]; by step for tails */
} capp_attend_work;

/* How a lane computes a block. */
typedef struct capp_attend_lane {
    /* The top of a query whose greatest score so far is `most`. */
    float (*top)(float most);
    /* Scores of the n keys from `slot` on, for queries first .. first + queries - 1, to s and s + SCORES ... It may
     * change up to LANES - 1 numbers before a query's n scores. */
    void (*scores)(const capp_attend_work *w, float *s, size_t slot, size_t n, size_t first, size_t queries);
    /* Makes weights of a query's scores of positions at + from .. at + to - 1, adds them to its sum, and makes the
     * block's other weights 0. */
    void (*weigh)(const capp_attend_work *w, size_t query, size_t from, size_t to);
    /* Adds the values of the block at position `at`, times their weights, to the outputs. */
    void (*values)(const capp_attend *a, const capp_attend_work *w, capp_place spine, size_t at);
} capp_attend_lane;

extern const capp_attend_lane capp_attend_narrow; /* products of bfloat16 */

static inline size_t capp_attend_least(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t capp_attend_most(size_t a, size_t b) {
    return a > b ? a : b;
}

#endif
