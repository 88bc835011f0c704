/* A wave of token rows through the model: embeddings, layers with attention over tree paths, head.
 *
 * One capp_forward is the scratch of one session: a KV store of `slots` slots, and buffers for waves of `rows` rows.
 * Sizes are known beforehand (capp_forward_bytes); but for two lists that may grow while a wave is laid out, nothing is
 * allocated after.
 */
#ifndef CAPP_FORWARD_FORWARD_H
#define CAPP_FORWARD_FORWARD_H

#include "base/pool.h"
#include "model/model.h"
#include "plan/plan.h"

enum {
    CAPP_HEAD_TILE = 512, /* vocabulary rows of a head tile, whatever the instruction set */
    CAPP_HEAD_ROWS = 48   /* rows of logits that a worker holds at once */
};

/* A piece of a path: n positions at slots slot, slot + 1, ... */
typedef struct capp_run {
    uint32_t slot, n;
} capp_run;

/* Rows of a wave that lie side by side in depth-first order and share the beginning of their paths, the spine: the
 * attention of all to it is a matrix product. A row deeper than the spine has a tail of runs of its own. */
typedef struct capp_tile {
    uint32_t first, rows; /* tiles' rows first .. first + rows - 1 */
    uint32_t spine;       /* positions 0 .. spine - 1 */
    uint32_t run, n_runs; /* the spine's */
} capp_tile;

typedef struct capp_tiles {
    capp_tile *tile; /* [n] */
    size_t n;
    capp_run *runs; /* [n_runs] */
    size_t n_runs, runs_capacity;
    uint32_t *tail, *tail_end; /* [rows] runs tail[i] .. tail_end[i] - 1 hold row i's positions past the spine */
    uint32_t *row;             /* [rows] row of the wave */
} capp_tiles;

/* A log-probability that is wanted. */
typedef struct capp_target {
    int32_t token;
    uint32_t head_row;
    uint32_t node; /* takes the result */
    float logit;
} capp_target;

typedef struct capp_forward {
    const capp_weights *w; /* of the wave; borrowed, as the pool */
    size_t base;           /* of the wave: the slot that its tree calls 0 */
    size_t element;        /* bytes of the widest element of products */
    capp_pool *pool;
    size_t rows, slots, longest; /* most rows of a wave, slots of the store, tokens of a path */
    /* KV store; blocks of CAPP_LANES keys are transposed so that one vector holds a dimension of all of them. */
    float *keys;   /* [layer][kv_head][slot / LANES][head_dim][LANES] */
    float *values; /* [layer][kv_head][slot][head_dim] */
    /* Of the wave: */
    size_t n, n_heads;      /* rows; rows that the head needs */
    uint32_t *depth;        /* [rows] position + 1 */
    uint32_t *slot;         /* [rows] */
    uint32_t *path;         /* [longest] slots of the current path */
    uint32_t *path_node;    /* [longest] nodes of it */
    capp_tiles all, heads;  /* every row; rows that the head needs, for the last layer */
    float *x;               /* [rows][width] residual stream */
    char *h;                /* [rows][h_stride] elements of the products: norms' and attention's output */
    char *g;                /* [rows][g_stride] elements: the feed-forward part's activation */
    float *t;               /* [rows][t_stride] q, k, v */
    float *u;               /* [rows][width] a product's output on its way to x through a norm */
    float *cosines, *sines; /* [n_ropes][longest][rope_dims / 2], of positions */
    size_t n_rotations;     /* positions filled so far */
    size_t h_stride, g_stride, t_stride;
    /* Of models with experts, else of no size: */
    float *shares;    /* [rows][experts] of each row, -1: not chosen */
    char *gathered;   /* [rows][h_stride] elements: rows that chose an expert */
    float *mixed;     /* [rows][width] its output */
    uint32_t *chosen; /* [rows] which rows these are */
    float *scratch;   /* [workers][scratch_stride] */
    size_t scratch_stride, score_stride, tile_rows;
    /* Head: */
    uint32_t *head_row;         /* [rows] row of the wave of head row i */
    uint32_t *head_node;        /* [rows] */
    double *normaliser;         /* [rows] log of the sum of exp of its logits */
    float *tile_max, *tile_sum; /* [vocabulary tiles][rows] */
    float *tile_best;           /* as above: highest logit; */
    int32_t *tile_best_token;   /* and its token */
    capp_target *targets;       /* [n_targets] */
    size_t n_targets, targets_capacity;
    bool any_asked;
} capp_forward;

/* Bytes that capp_forward_open takes. exact: other weights that waves may run with, or NULL. */
size_t capp_forward_bytes(const capp_weights *w, const capp_weights *exact, int threads, size_t slots, size_t rows,
                          size_t longest);

capp_status capp_forward_open(capp_forward **forward, const capp_weights *w, const capp_weights *exact, capp_pool *pool,
                              size_t slots, size_t rows, size_t longest, capp_error *err);
void capp_forward_free(capp_forward *forward);

/* Runs a wave of the plan with w, one of those it was opened with: fills the slots of its nodes, counted from `base`,
 * logprob of their scored children, and best of asked nodes. CAPP_ECANCELLED where the pool is stopped: none of that
 * can be used then. */
capp_status capp_forward_wave(capp_forward *forward, const capp_weights *w, size_t base, capp_tree *tree,
                              const capp_plan *plan, const capp_wave *wave, capp_error *err);

/* Operations of the products of a wave of rows, of which the head needs n_heads. */
double capp_forward_flops(const capp_weights *w, size_t rows, size_t n_heads);

/* The parts, in order. */
capp_status capp_wave_prepare(capp_forward *f, const capp_tree *tree, const uint32_t *nodes, size_t n, capp_error *err);
void capp_attention(capp_forward *f, size_t layer, const capp_tiles *tiles);
/* CAPP_EFORMAT where logits are not numbers. */
capp_status capp_head_logprobs(capp_forward *f, capp_tree *tree, capp_error *err);

/* y [rows][ldy] = x [rows][ldx] times m, plus its bias; add: and what y was. x: elements of the products. */
void capp_product(capp_forward *f, const capp_matrix *m, const char *x, size_t ldx, float *y, size_t ldy, size_t rows,
                  bool add);

/* f->g = activation of x [rows][h_stride] times m, the matrix `up` of a layer or an expert. */
void capp_product_activated(capp_forward *f, const capp_matrix *m, const char *x, size_t rows);

/* c [rows][ldc] = the sums of a part along k, which begins at `from`; those of later parts go on from what c is. x:
 * rows from there on. */
void capp_multiply(const capp_products *products, float *c, size_t ldc, const char *x, size_t ldx, const char *panel,
                   size_t rows, size_t n, size_t from, size_t part);

/* The feed-forward part of a layer with experts: from rows of f->h to f->u. */
void capp_experts(capp_forward *f, const capp_layer *layer, size_t rows);

/* Floats of scratch that products of up to `rows` rows take of a worker. */
size_t capp_product_scratch(const capp_weights *w, size_t rows);

#endif
