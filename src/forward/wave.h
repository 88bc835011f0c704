/* The scratch of a capp_forward for the running wave, and the parts of the model that work on it. Only the files
 * of forward/ (and tests) include this header.
 *
 *   wave.c       the layout of the wave's rows: slots, paths, attention tiles, head rows
 *   layers.c     embeddings, then layer by layer norms, products, attention, feed-forward part
 *   attention.c  attention over tree paths, with blocks in float32
 *   narrow_attention.c  blocks in bfloat16
 *   mix.c        the parts of layers that have a state from token to token
 *   wkv.c        that of RWKV, and what its feed-forward part reads of the token before
 *   product.c    matrix products, from panels that are cached or packed when they are used
 *   change.c     what adapters add to products of integers
 *   experts.c    the feed-forward part as experts
 *   latent.c     what latent attention needs before and after attention
 *   side.c       what a layer adds from its own embedding of the token
 *   streams.c    several streams
 *   tasks.c      how large tasks are
 *   rows.c       operations on a single row
 *   head.c       from hidden states to the log-probabilities that are needed
 *   forward.c    the scratch itself */
#ifndef CAPP_FORWARD_WAVE_H
#define CAPP_FORWARD_WAVE_H

#include "base/pool.h"
#include "model/model.h"
#include "plan/plan.h"

enum {
    CAPP_HEAD_TILE = 512 /* vocabulary rows of a head tile, for every instruction set */
};

/* A piece of a path: n positions at slots slot, slot + 1, ... */
typedef struct capp_run {
    uint32_t slot, n;
} capp_run;

/* Rows of a wave that follow each other in depth-first order and share the beginning of their paths, the spine. The
 * attention of all these rows to the spine is a matrix product. A row deeper than the spine also has a tail: its own
 * runs. */
typedef struct capp_tile {
    uint32_t first, rows; /* tiles' rows first .. first + rows - 1 */
    uint32_t spine;       /* positions 0 .. spine - 1 */
    uint32_t run, n_runs; /* runs of the spine */
    uint64_t work;        /* of a task, in queries times positions */
} capp_tile;

typedef struct capp_tiles {
    capp_tile *tile; /* [n] */
    size_t n;
    capp_run *runs; /* [n_runs] */
    size_t n_runs, runs_capacity;
    uint32_t *tail, *tail_end; /* [rows] runs tail[i] .. tail_end[i] - 1 hold row i's positions past the spine */
    uint32_t *row;             /* [rows] row of the wave */
    uint32_t *common;          /* [rows] positions that row i shares with row i - 1 */
} capp_tiles;

/* A log-probability that is needed. */
typedef struct capp_target {
    int32_t token;
    uint32_t head_row;
    uint32_t node; /* takes the result */
    float logit;
} capp_target;

/* The KV store of a lane. Keys are panels of products: a vector has a dimension of CAPP_LANES keys, in bfloat16 two or
 * four neighboring dimensions. */
typedef struct capp_store {
    const capp_weights *weights; /* borrowed; NULL: there is no such lane */
    size_t slots;
    char *keys;   /* elements [layer][kv_head][slot / LANES][key][LANES], key padded */
    char *values; /* elements [layer][kv_head][slot][value], value padded */
} capp_store;

/* Rows first .. first + rows - 1 of the experts' products: the rows that chose this expert, in the order of the wave.
 */
typedef struct capp_pick {
    uint32_t expert, first, rows;
} capp_pick;

enum { CAPP_NO_CHOICE = UINT32_MAX };

/* One choice of a row: its row in the experts' products, and its share. */
typedef struct capp_choice {
    uint32_t at; /* CAPP_NO_CHOICE: none */
    float share;
} capp_choice;

typedef struct capp_forward capp_forward;
struct capp_forward {
    const capp_weights *weights; /* weights of the wave; borrowed, like the pool */
    size_t element;              /* bytes of the widest element of products */
    capp_pool *pool;
    size_t rows, longest;    /* maximum rows of a wave, tokens of a path */
    capp_store stores[2];    /* of the fast and of the exact weights */
    const capp_store *store; /* that of the wave */
    /* Recurrent states, for models that have some: */
    float *states;          /* [layer][n_states][state_floats] */
    size_t n_states;        /* */
    size_t state_floats;    /* of a state in one layer: the last inputs of the convolution, then the matrices */
    size_t first_state;     /* the slot that the wave's tree counts as 0 */
    const capp_step *steps; /* [n] of the wave; borrowed from the plan */
    float *first;           /* [rows][width] WKV: the values of the first layer */
    /* Of the wave: */
    size_t n, n_heads;      /* rows; rows that the head needs */
    uint32_t *depth;        /* [rows] position + 1 */
    uint32_t *slot;         /* [rows] */
    int32_t *token;         /* [rows] */
    uint32_t *path;         /* [longest] slots of the current path */
    uint32_t *path_node;    /* [longest] nodes of the current path */
    capp_tiles all, heads;  /* all rows; only rows that the head needs, for the last layer */
    float *x;               /* [rows][width] residual stream */
    char *h;                /* [rows][h_stride] elements of the next matrix: outputs of norms and of attention */
    char *g;                /* [rows][g_stride] elements: the feed-forward part's activation */
    float *t;               /* [rows][t_stride] q, k, v; then attention's output in place of q */
    float *u;               /* [rows][width] a product's output before a norm adds it to x */
    float *streams;         /* [rows][streams][width] if there are several; x is then what a layer makes of the first */
    float *wide;            /* [rows][wide_stride] gate and up of layers with sparse gates */
    float *cosines, *sines; /* [n_ropes][longest][rope_dims / 2] for each position */
    size_t n_rotations;     /* positions filled so far */
    size_t h_stride, g_stride, t_stride, wide_stride;
    /* For changes of matrices of integers (change.c); otherwise these have size 0: */
    float *h_floats, *g_floats; /* h and g before they are rounded: [rows][h_stride], [rows][g_stride] */
    float *low;                 /* [rows][low_stride] what the running product's change makes of its inputs */
    size_t low_stride;
    bool fed_change; /* g_floats is in use */
    /* For models with experts; otherwise these have size 0: */
    char *routed;         /* [rows][h_stride] elements for the router, as h for the experts; for mix_rates, as h for
                             mix_in */
    float *shares;        /* [rows][experts] share of each expert; -1: not chosen */
    size_t experts_run;   /* chosen experts of the wave, summed over its layers */
    size_t expert_layers; /* layers with experts that the wave ran */
    capp_pick *picks;     /* [experts] the chosen experts */
    capp_choice *choices; /* [rows][experts_used] in the order of the experts */
    uint32_t *chosen;     /* [rows * experts_used] row of the wave for each row of the experts' products */
    char *gathered;       /* [rows * experts_used][h_stride] elements: inputs of these products */
    char *inner;          /* [rows * experts_used][inner_stride] elements: activation of these rows */
    float *mixed;         /* [rows * experts_used][width] output of these rows; with several streams: LAuReL's */
    size_t inner_stride;
    float *scratch; /* [workers][scratch_stride] */
    size_t scratch_stride, tile_rows;
    /* Head: */
    uint32_t *head_row;         /* [rows] row of the wave of head row i */
    uint32_t *head_node;        /* [rows] */
    float **head_spread;        /* [rows] receives all log-probabilities of head row i, or NULL; the caller's */
    double *normalizer;         /* [rows] log of the sum of exp of its logits */
    float *tile_max, *tile_sum; /* [vocabulary tiles][rows] */
    float *tile_best;           /* [vocabulary tiles][rows] highest logit */
    int32_t *tile_best_token;   /* [vocabulary tiles][rows] token of the highest logit */
    capp_target *targets;       /* [n_targets] */
    size_t n_targets, targets_capacity;
    bool any_asked;
};

/* The parts of a wave, in the order in which they run. */
capp_status capp_wave_prepare(capp_forward *forward, const capp_tree *tree, const uint32_t *nodes,
                              const capp_step *steps, size_t n, capp_error *err);
void capp_attention(capp_forward *forward, size_t layer, const capp_tiles *tiles);

/* Floats that a worker needs for attention. */
size_t capp_attention_floats(const capp_forward *forward, const capp_weights *weights);

/* Keys and values of a head in the store of the wave. */
static inline char *capp_store_keys(const capp_forward *f, const capp_layer *layer, size_t kv_head) {
    const capp_products *p = f->weights->products;
    return f->store->keys + (layer->keys + kv_head * capp_padded(p, layer->shape.key)) * f->store->slots * p->element;
}
static inline char *capp_store_values(const capp_forward *f, const capp_layer *layer, size_t kv_head) {
    const capp_products *p = f->weights->products;
    const size_t at = layer->values + kv_head * capp_padded(p, layer->shape.value);
    return f->store->values + at * f->store->slots * p->element;
}

/* The capp_mix of a layer, for all rows, whose inputs are in f->t. capp_mix_finish returns the
 * inputs of mix_out for one row. */
void capp_mix_rows(capp_forward *forward, const capp_layer *layer);
const float *capp_mix_finish(const capp_forward *forward, const capp_layer *layer, size_t row);

/* CAPP_MIX_WKV: normalizes the wave's rows of f->x for the feed-forward part and finds what they differ from the tokens
 * before. Then writes the inputs of up to rows of f->h, for rows row [rows] of the wave; NULL: for the first ones. */
void capp_wkv_shift_feed(capp_forward *forward, const capp_layer *layer);
void capp_wkv_feed(capp_forward *forward, const capp_layer *layer, size_t rows, const uint32_t *row);

/* CAPP_EFORMAT if logits are not finite. */
capp_status capp_head_logprobs(capp_forward *forward, capp_tree *tree, capp_error *err);

/* y [rows][ldy] = x [rows][ldx] times m, plus its bias; add: plus the old y. x: elements of m's products, which may
 * lose their low digits here. */
void capp_product(capp_forward *forward, const capp_matrix *m, char *x, size_t ldx, float *y, size_t ldy, size_t rows,
                  bool add);

/* forward->g = activation of x [rows][h_stride] times up, as elements for products with down. Both are matrices of a
 * layer. */
void capp_product_activated(capp_forward *forward, const capp_matrix *up, const capp_matrix *down, char *x,
                            size_t rows);

/* Drops the low digits of x [rows][ldx], elements of m's products, that the lane does not use. */
void capp_coarsen_rows(capp_forward *forward, const capp_matrix *m, char *x, size_t ldx, size_t rows);

/* Whether products with m are followed by those of its change. */
static inline bool capp_is_changed(const capp_weights *w, const capp_matrix *m) {
    return m->change && m->integers && w->integers;
}

/* What adapters add to a product of integers with m, whose inputs are the first rows of forward->h or forward->g. keep:
 * keeps n inputs of a row as they are before they are rounded, from input `from` on. begin: multiplies the kept rows by
 * the first matrix of m's change, if it has one. add: c [rows][ldc] += these sums times the second one, for n outputs
 * from `first` on and the rows from `row` on. */
void capp_change_keep(const capp_forward *forward, const char *inputs, size_t row, size_t from, const float *x,
                      size_t n);
void capp_change_begin(capp_forward *forward, const capp_matrix *m, const char *inputs, size_t rows);
void capp_change_add(const capp_forward *forward, const capp_matrix *m, float *c, size_t ldc, size_t row, size_t rows,
                     size_t first, size_t n);

/* The same for the experts of the layer in the first n of forward->picks: `rows` rows go from forward->gathered to
 * forward->inner, and from there to forward->mixed. */
void capp_product_experts_activated(capp_forward *forward, const capp_layer *layer, size_t n, size_t rows);
void capp_product_experts(capp_forward *forward, const capp_layer *layer, size_t n, size_t rows);

/* c [rows][ldc] = the sums of a part of k that begins at `from`. Later parts continue from the sums in c. x: the rows
 * from k = `from` on. */
void capp_multiply(const capp_products *products, float *c, size_t ldc, const char *x, size_t ldx, const char *panel,
                   size_t rows, size_t n, size_t from, size_t part);

/* Computes the feed-forward part of a layer with experts: from rows of forward->h to forward->u. */
void capp_experts(capp_forward *forward, const capp_layer *layer, size_t rows);

/* Writes the embedding of a token to x [embedded]. */
void capp_embed_row(const capp_weights *weights, int32_t token, float *x);

/* y = norm(x), n numbers; y = x if there is no such norm. y may be x. */
void capp_norm_row(const capp_weights *weights, const capp_norm *norm, float *y, const float *x, size_t n);

/* Writes x, the inputs of m, to row r of h (a buffer like forward->h), as elements of m's products. */
void capp_narrow_row(const capp_forward *forward, const capp_matrix *m, char *h, size_t r, const float *x);

/* y = y / its root mean square * weight; n numbers. Latent vectors have an epsilon of their own. */
void capp_norm_latent(const capp_weights *weights, const capp_norm *norm, float *y, size_t n);

/* Rotates x [heads][ldx], each row of which begins with the dimensions that rotate, for a position. */
void capp_rotate_heads(const capp_forward *forward, const capp_layer *layer, float *x, size_t ldx, size_t heads,
                       size_t position);

/* The factor of a layer's q at a position, see growth in capp_hparams. */
float capp_growth(const capp_hparams *h, const capp_layer *layer, size_t position);

/* Stores the keys k and values v of a layer in a slot. */
void capp_store_row(capp_forward *forward, const capp_layer *layer, size_t slot, const float *k, const float *v);

/* Latent attention: floats of a row of forward->t; elements of a row of forward->h; where the product with qkv goes in
 * a row of forward->t (0 for other layers). */
size_t capp_latent_floats(const capp_hparams *h);
size_t capp_latent_elements(const capp_hparams *h);
size_t capp_latent_place(const capp_layer *layer, const capp_hparams *h);

/* From the outputs of qkv to queries in forward->t; stores keys and values. */
void capp_latent_queries(capp_forward *forward, const capp_layer *layer, size_t rows);

/* From the outputs of attention in rows row [rows] of forward->t to rows of forward->h, which are inputs of out. */
void capp_latent_outputs(capp_forward *forward, const capp_layer *layer, size_t rows, const uint32_t *row);

/* Computes what the layer adds from its side embedding: from rows of forward->h, which are inputs of side.gate, to rows
 * of forward->h, which are inputs of side.out. row: [rows] the row of the wave; NULL: the same row. */
void capp_side_rows(capp_forward *forward, size_t layer, size_t rows, const uint32_t *row);

/* Several streams, for the first `rows` rows of the wave. begin: from the embeddings in forward->x. predict: the
 * streams before a layer; x becomes the first. join: x after attention, whose output is in forward->u. correct: x = x +
 * u, u normed, is the layer's output; corrects the streams and writes the inputs of side.gate to forward->h. add: adds
 * u, normed, to all streams but the first. end: makes one stream of them, in x. */
void capp_streams_begin(capp_forward *forward, size_t rows);
void capp_streams_predict(capp_forward *forward, size_t layer, size_t rows);
void capp_streams_join(capp_forward *forward, size_t layer, size_t rows);
void capp_streams_correct(capp_forward *forward, size_t layer, size_t rows);
void capp_streams_add(capp_forward *forward, size_t layer, size_t rows);
void capp_streams_end(capp_forward *forward, size_t rows);

/* As capp_product_activated with the layer's up and down, for a layer with sparse gates. */
void capp_product_sparse(capp_forward *forward, size_t layer, size_t rows);

/* Number of scratch floats that a worker needs for products of up to `rows` rows. */
size_t capp_product_scratch(const capp_weights *weights, size_t rows);

#endif
