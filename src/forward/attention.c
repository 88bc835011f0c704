/* Attention over tree paths. A task is a tile of rows and one key-value head, with all query heads that share this
 * head. It computes the scores of the spine as one matrix product over all rows, then the scores of each row's tail.
 * Then it goes through the spine block by block: it turns the scores of a block into weights and adds the block's
 * values, while both are in the cache. The tails' values come last. The buffer holds scores by absolute position (minus
 * a multiple of CAPP_LANES). So sums use the same lanes and the same order, however paths are cut into runs and rows
 * into tiles. (Cascade attention; Hydragen, arXiv 2402.05099) */
#include <string.h>

#include "forward/attend.h"
#include "kernel/plain.h"

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
enum { BLOCK = 128 };

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t capp_attention_floats(const capp_forward *f, const capp_weights *w) {
    size_t floats = 0;
    if (w->products->put_rows) return capp_narrow_attention_floats(f, w);
    for (uint32_t i = 0; i < w->hparams.layers; i++) {
        const capp_shape *shape = &w->hparams.shapes[i];
        if (!capp_has_attention(&w->hparams, i)) continue;
        const size_t queries = f->tile_rows * (shape->heads / shape->kv_heads);
        const size_t each = (size_t)shape->key + shape->value + 2 + CAPP_LANES + f->score_stride;
        if (queries * each > floats) floats = queries * each;
    }
    return floats;
}

/* Scores of positions position .. position + run.n - 1 for the queries first .. first + n - 1. Positions below `low`
 * are left out. */
static void run_scores(const capp_attend *a, const work *w, capp_run run, size_t position, size_t first, size_t n) {
    if (position + run.n <= w->low) return;
    size_t skip = position < w->low ? w->low - position : 0, slot = run.slot + skip, stride = a->f->score_stride;
    a->f->weights->kernels->scores(w->s + first * stride + (position + skip - w->base), stride, w->q + first * a->d,
                                   a->d, n, w->keys + slot / CAPP_LANES * CAPP_LANES * a->d, a->d, slot % CAPP_LANES,
                                   run.n - skip);
}

/* Adds the values of the positions from .. to - 1 of a run that begins at `position`. */
static void run_values(const capp_attend *a, const work *w, capp_run run, size_t position, size_t from, size_t to,
                       size_t first, size_t n) {
    from = from > position ? from : position, to = least(to, position + run.n);
    if (from >= to) return;
    size_t stride = a->f->score_stride;
    a->f->weights->kernels->values(w->out + first * a->dv, a->dv, w->s + first * stride + (from - w->base), stride, n,
                                   w->values + (run.slot + (from - position)) * a->dv, a->dv, a->dv, to - from);
}

static void scores_of_tile(const capp_attend *a, const work *w) {
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

/* Finishes the scores of a query, which sees the positions from .. depth - 1, and finds the greatest one. Positions of
 * the spine that it does not see get the weight 0. */
static void finish_scores(const capp_attend *a, const work *w, size_t query, size_t from, size_t depth) {
    const size_t head = w->kv * a->group + query % a->group;
    float *s = w->s + query * a->f->score_stride, *seen = s + (from - w->base);
    capp_attend_bias(a, head, seen, from, depth - from, depth);
    w->most[query] = a->f->weights->kernels->most(seen, depth - from);
    w->extra[query] = capp_attend_sink(a, head, w->most[query]);
    if (from > w->low) memset(s + (w->low - w->base), 0, (from - w->low) * sizeof *s);
    if (depth < w->tile->spine) memset(s + (depth - w->base), 0, (w->tile->spine - depth) * sizeof *s);
}

/* Turns the scores of the block of positions at .. end - 1 into weights; last: also all scores after it. */
static void soften(const capp_attend *a, const work *w, size_t at, size_t end, bool last) {
    for (size_t r = 0; r < w->tile->rows; r++) {
        size_t depth = capp_attend_depth(a, w->tile, r), from = capp_attend_from(a, depth),
               to = last ? depth : least(end, depth);
        if (from < at) from = at;
        for (size_t query = r * a->group; from < to && query < (r + 1) * a->group; query++)
            a->f->weights->kernels->exps(w->s + query * a->f->score_stride, from - w->base, to - w->base,
                                         w->most[query], w->lanes + query * CAPP_LANES);
    }
}

static void values_of_tile(const capp_attend *a, const work *w) {
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
static work begin(const capp_attend *a, size_t task, int worker) {
    const capp_forward *f = a->f;
    const size_t kv = task / a->tiles->n, queries = f->tile_rows * a->group;
    work w = {.tile = &a->tiles->tile[task % a->tiles->n], .kv = kv, .low = SIZE_MAX};
    w.keys = (const float *)(const void *)capp_store_keys(f, a->layer, kv);
    w.values = (const float *)(const void *)capp_store_values(f, a->layer, kv);
    w.q = f->scratch + (size_t)worker * f->scratch_stride, w.out = w.q + queries * a->d;
    w.most = w.out + queries * a->dv, w.extra = w.most + queries;
    w.lanes = w.extra + queries, w.s = w.lanes + queries * CAPP_LANES;
    for (size_t r = 0; r < w.tile->rows; r++) {
        w.low = least(w.low, capp_attend_from(a, capp_attend_depth(a, w.tile, r)));
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
    const capp_attend *a = user;
    const work w = begin(a, task, worker);
    scores_of_tile(a, &w);
    for (size_t query = 0; query < w.tile->rows * a->group; query++) {
        size_t depth = capp_attend_depth(a, w.tile, query / a->group);
        finish_scores(a, &w, query, capp_attend_from(a, depth), depth);
    }
    values_of_tile(a, &w);
    for (size_t query = 0; query < w.tile->rows * a->group; query++) {
        const float sum = capp_sum_of_lanes(w.lanes + query * CAPP_LANES) + w.extra[query];
        capp_attend_finish(a, a->tiles->row[w.tile->first + query / a->group], w.kv * a->group + query % a->group,
                           w.out + query * a->dv, sum);
    }
}

/* Reads q from f->t and keys and values from the store. Writes the output of each head to f->t in place of its q. */
void capp_attention(capp_forward *f, size_t index, const capp_tiles *tiles) {
    capp_attend a = capp_attend_of(f, index, tiles);
    const bool narrow = f->weights->products->put_rows != NULL;
    capp_pool_run(f->pool, narrow ? capp_narrow_attention_task : attention_task, &a,
                  tiles->n * a.layer->shape.kv_heads);
}
