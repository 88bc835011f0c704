/* Attention over tree paths. A task is a tile of rows and one key-value head, with all query heads that share this
 * head. It computes the scores of the spine as one matrix product over all rows, then the scores of each row's tail.
 * Then it goes through the spine block by block: it turns the scores of a block into weights and adds the block's
 * values, while both are in the cache. The tails' values come last. The buffer holds scores by absolute position (minus
 * a multiple of CAPP_LANES). So sums use the same lanes and the same order, however paths are cut into runs and rows
 * into tiles. (Cascade attention; Hydragen, arXiv 2402.05099) */
#include <string.h>

#include "base/math.h"
#include "forward/wave.h"
#include "kernel/plain.h"

typedef struct attention {
    const capp_forward *f;
    const capp_layer *layer;
    const capp_tiles *tiles;
    const float *keys, *values; /* keys of the layer: [kv_head][slots ...] */
    size_t group;               /* number of query heads for each key-value head */
    size_t d, dv;               /* dimensions of a head's q and keys; of its values */
} attention;

/* What a task works on. */
typedef struct work {
    const capp_tile *tile;
    size_t kv;           /* key-value head */
    size_t low, base;    /* the first position that any of its rows sees; the first one that the buffer holds */
    const float *keys;   /* of the head: [slots / LANES][d][LANES] */
    const float *values; /* [slots][dv] */
    float *q, *out;      /* [rows * group][d], [rows * group][dv] */
    float *most, *extra; /* [rows * group] a query's greatest score; what its sink adds to the sum */
    float *lanes;        /* [rows * group][LANES] its sum */
    float *s;            /* [rows * group][score_stride] scores, then weights */
} work;

/* Positions whose values and weights stay in the cache while all rows of a tile read them; a multiple of CAPP_LANES. */
enum { BLOCK = 256 };

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Scores of positions position .. position + run.n - 1 for the queries first .. first + n - 1. Positions below `low`
 * are left out. */
static void run_scores(const attention *a, const work *w, capp_run run, size_t position, size_t first, size_t n) {
    if (position + run.n <= w->low) return;
    size_t skip = position < w->low ? w->low - position : 0, slot = run.slot + skip, stride = a->f->score_stride;
    a->f->weights->kernels->scores(w->s + first * stride + (position + skip - w->base), stride, w->q + first * a->d,
                                   a->d, n, w->keys + slot / CAPP_LANES * CAPP_LANES * a->d, a->d, slot % CAPP_LANES,
                                   run.n - skip);
}

/* Adds the values of the positions from .. to - 1 of a run that begins at `position`. */
static void run_values(const attention *a, const work *w, capp_run run, size_t position, size_t from, size_t to,
                       size_t first, size_t n) {
    from = from > position ? from : position, to = least(to, position + run.n);
    if (from >= to) return;
    size_t stride = a->f->score_stride;
    a->f->weights->kernels->values(w->out + first * a->dv, a->dv, w->s + first * stride + (from - w->base), stride, n,
                                   w->values + (run.slot + (from - position)) * a->dv, a->dv, a->dv, to - from);
}

/* The first position that a row of this depth sees. */
static size_t first_seen(const capp_layer *layer, bool chunks, size_t depth) {
    if (chunks && layer->window) return (depth - 1) / layer->window * layer->window;
    return layer->window && depth > layer->window ? depth - layer->window : 0;
}

static size_t depth_of(const attention *a, const work *w, size_t r) {
    return a->f->depth[a->tiles->row[w->tile->first + r]];
}

static size_t seen_from(const attention *a, size_t depth) {
    return first_seen(a->layer, a->f->weights->hparams.chunks, depth);
}

static void scores_of_tile(const attention *a, const work *w) {
    const capp_tiles *tiles = a->tiles;
    const capp_tile *tile = w->tile;
    size_t position = 0;
    for (size_t i = 0; i < tile->n_runs; i++) {
        run_scores(a, w, tiles->runs[tile->run + i], position, 0, tile->rows * a->group);
        position += tiles->runs[tile->run + i].n;
    }
    for (size_t r = 0; r < tile->rows; r++) {
        position = tile->spine;
        for (size_t i = tiles->tail[tile->first + r]; i < tiles->tail_end[tile->first + r]; i++) {
            run_scores(a, w, tiles->runs[i], position, r * a->group, a->group);
            position += tiles->runs[i].n;
        }
    }
}

/* What a score without a value adds to the sum of a softmax. x: how far it is above the greatest score. */
static float sink_of(float x) {
    return (float)capp_pair_exp(capp_pair_of((double)x))[0];
}

/* Finishes the scores of a query, which sees the positions from .. depth - 1, and finds the greatest one. Positions of
 * the spine that it does not see get the weight 0. */
static void finish_scores(const attention *a, const work *w, size_t query, size_t from, size_t depth) {
    const capp_forward *f = a->f;
    const capp_hparams *h = &f->weights->hparams;
    const size_t n = depth - from, head = w->kv * a->group + query % a->group;
    float *s = w->s + query * f->score_stride, *seen = s + (from - w->base);
    if (h->score_cap > 0) capp_soft_cap(seen, h->score_cap, n);
    if (f->weights->alibi && h->alibi_rounded)
        capp_add_rounded_slope(seen, f->weights->alibi[head], h->score_scale, from, n);
    else if (f->weights->alibi)
        capp_add_slope(seen, f->weights->alibi[head], n);
    w->most[query] = f->weights->kernels->most(seen, n);
    w->extra[query] = a->layer->sinks ? sink_of(a->layer->sinks[head] - w->most[query]) : 0;
    if (from > w->low) memset(s + (w->low - w->base), 0, (from - w->low) * sizeof *s);
    if (depth < w->tile->spine) memset(s + (depth - w->base), 0, (w->tile->spine - depth) * sizeof *s);
}

/* Turns the scores of the block of positions at .. end - 1 into weights; last: also all scores after it. */
static void soften(const attention *a, const work *w, size_t at, size_t end, bool last) {
    for (size_t r = 0; r < w->tile->rows; r++) {
        size_t depth = depth_of(a, w, r), from = seen_from(a, depth), to = last ? depth : least(end, depth);
        if (from < at) from = at;
        for (size_t query = r * a->group; from < to && query < (r + 1) * a->group; query++)
            a->f->weights->kernels->exps(w->s + query * a->f->score_stride, from - w->base, to - w->base,
                                         w->most[query], w->lanes + query * CAPP_LANES);
    }
}

static void values_of_tile(const attention *a, const work *w) {
    const capp_tiles *tiles = a->tiles;
    const capp_tile *tile = w->tile;
    size_t position = 0, i = 0, at = w->base;
    for (bool last = false; !last; at += BLOCK) {
        last = at + BLOCK >= tile->spine;
        soften(a, w, at, at + BLOCK, last);
        for (; i < tile->n_runs; position += tiles->runs[tile->run + i].n, i++) {
            run_values(a, w, tiles->runs[tile->run + i], position, at > w->low ? at : w->low, at + BLOCK, 0,
                       tile->rows * a->group);
            if (position + tiles->runs[tile->run + i].n > at + BLOCK) break;
        }
    }
    for (size_t r = 0; r < tile->rows; r++) {
        position = tile->spine;
        for (i = tiles->tail[tile->first + r]; i < tiles->tail_end[tile->first + r]; i++) {
            run_values(a, w, tiles->runs[i], position, w->low, SIZE_MAX, r * a->group, a->group);
            position += tiles->runs[i].n;
        }
    }
}

/* The worker's scratch as work for a task; takes q from f->t. */
static work begin(const attention *a, size_t task, int worker) {
    const capp_forward *f = a->f;
    const size_t kv = task / a->tiles->n, queries = f->tile_rows * a->group;
    work w = {.tile = &a->tiles->tile[task % a->tiles->n], .kv = kv, .low = SIZE_MAX};
    w.keys = a->keys + kv * f->slots * a->d, w.values = a->values + kv * f->slots * a->dv;
    w.q = f->scratch + (size_t)worker * f->scratch_stride, w.out = w.q + queries * a->d;
    w.most = w.out + queries * a->dv, w.extra = w.most + queries;
    w.lanes = w.extra + queries, w.s = w.lanes + queries * CAPP_LANES;
    for (size_t r = 0; r < w.tile->rows; r++) {
        w.low = least(w.low, seen_from(a, depth_of(a, &w, r)));
        memcpy(w.q + r * a->group * a->d, f->t + a->tiles->row[w.tile->first + r] * f->t_stride + kv * a->group * a->d,
               a->group * a->d * sizeof *w.q);
    }
    w.base = w.low / CAPP_LANES * CAPP_LANES;
    f->weights->kernels->scale(w.q, a->layer->score_scale, w.tile->rows * a->group * a->d);
    memset(w.out, 0, w.tile->rows * a->group * a->dv * sizeof *w.out);
    memset(w.lanes, 0, w.tile->rows * a->group * CAPP_LANES * sizeof *w.lanes);
    return w;
}

static void attention_task(void *user, size_t task, int worker) {
    const attention *a = user;
    const capp_forward *f = a->f;
    const work w = begin(a, task, worker);
    scores_of_tile(a, &w);
    for (size_t query = 0; query < w.tile->rows * a->group; query++) {
        size_t depth = depth_of(a, &w, query / a->group);
        finish_scores(a, &w, query, seen_from(a, depth), depth);
    }
    values_of_tile(a, &w);
    for (size_t query = 0; query < w.tile->rows * a->group; query++) {
        float *out = w.out + query * a->dv, sum = capp_sum_of_lanes(w.lanes + query * CAPP_LANES) + w.extra[query];
        size_t row = a->tiles->row[w.tile->first + query / a->group], head = w.kv * a->group + query % a->group;
        f->weights->kernels->scale(out, 1 / sum, a->dv);
        memcpy(f->t + row * f->t_stride + head * a->d, out, a->dv * sizeof *out);
    }
}

/* Reads q from f->t and keys and values from the store. Writes the output of each head to f->t in place of its q. */
void capp_attention(capp_forward *f, size_t index, const capp_tiles *tiles) {
    const capp_layer *layer = &f->weights->layers[index];
    const capp_shape *shape = &layer->shape;
    attention a = {f,
                   layer,
                   tiles,
                   f->keys + layer->keys * f->slots,
                   f->values + layer->values * f->slots,
                   shape->heads / shape->kv_heads,
                   shape->key,
                   shape->value};
    capp_pool_run(f->pool, attention_task, &a, tiles->n * shape->kv_heads);
}
