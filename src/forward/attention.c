/* Attention over tree paths. A task is a tile of rows and one key-value head, with all query heads that share this
 * head. It goes through the positions twice, in blocks at multiples of BLOCK, whose keys and values stay in the cache
 * while all rows of the tile read them: first it computes scores, and finds each query's greatest one, then it turns
 * the scores of a block into weights and adds the block's values. The spine is one matrix product over all rows, tails
 * are products of each row's own. Sums use the same lanes and the same order, however paths are cut into runs and rows
 * into tiles. (Cascade attention; Hydragen, arXiv 2402.05099) */
#include <math.h>
#include <string.h>

#include "forward/attend.h"
#include "kernel/plain.h"

/* Rows of scores are not a multiple of a page apart, so that they use all sets of the first-level cache. */
enum { BLOCK = 256, STRIDE = BLOCK + CAPP_LANES };

/* What a task works on. */
typedef struct work {
    const capp_tile *tile;
    size_t kv, queries;  /* key-value head; rows * group */
    size_t low, first;   /* the first position that any of its rows sees; the first one of that block */
    size_t deepest;      /* greatest depth of its rows */
    const float *keys;   /* of the head: [slots / LANES][d][LANES] */
    const float *values; /* [slots][dv] */
    float *q, *out;      /* [queries][d], [queries][dv] */
    float *most;         /* [queries] a query's greatest score */
    float *lanes;        /* [queries][LANES] the sum of its weights */
    float *s;            /* [blocks][queries][STRIDE] scores, then weights */
} work;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t most_of(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t floats_of_queries(const capp_shape *shape, size_t longest) {
    return (size_t)shape->key + shape->value + 1 + CAPP_LANES + (longest + BLOCK - 1) / BLOCK * STRIDE;
}

size_t capp_attention_floats(const capp_forward *f, const capp_weights *w) {
    size_t floats = 0;
    if (w->products->put_rows) return capp_narrow_attention_floats(f, w);
    for (uint32_t i = 0; i < w->hparams.layers; i++) {
        const capp_shape *shape = &w->hparams.shapes[i];
        if (!capp_has_attention(&w->hparams, i)) continue;
        const size_t queries = f->tile_rows * (shape->heads / shape->kv_heads);
        floats = most_of(floats, queries * floats_of_queries(shape, f->longest));
    }
    return floats;
}

static float *scores_at(const work *w, size_t query, size_t position) {
    const size_t in = position - w->first;
    return w->s + (in / BLOCK * w->queries + query) * STRIDE + in % BLOCK;
}

/* What is done with the positions from .. to - 1 of a block, whose runs begin with p, for queries first .. first + n -
 * 1. */
typedef void (*runs_fn)(const capp_attend *a, const work *w, capp_place p, size_t from, size_t to, size_t first,
                        size_t n);

static void scores_of_runs(const capp_attend *a, const work *w, capp_place p, size_t from, size_t to, size_t first,
                           size_t n) {
    for (size_t slot, count; from < to; from += count) {
        p = capp_place_at(a, p, from, &slot, &count);
        count = least(count, to - from);
        a->f->weights->kernels->scores(scores_at(w, first, from), STRIDE, w->q + first * a->d, a->d, n,
                                       w->keys + slot / CAPP_LANES * CAPP_LANES * a->d, a->d, slot % CAPP_LANES, count);
    }
}

static void values_of_runs(const capp_attend *a, const work *w, capp_place p, size_t from, size_t to, size_t first,
                           size_t n) {
    for (size_t slot, count; from < to; from += count) {
        p = capp_place_at(a, p, from, &slot, &count);
        count = least(count, to - from);
        a->f->weights->kernels->values(w->out + first * a->dv, a->dv, scores_at(w, first, from), STRIDE, n,
                                       w->values + slot * a->dv, a->dv, a->dv, count);
    }
}

/* Calls fn for the part of a block that belongs to the spine, and for that of each row's tail. */
static void each_part(const capp_attend *a, const work *w, capp_place spine, size_t at, runs_fn fn) {
    const size_t end = at + BLOCK, begin = most_of(at, w->tile->spine);
    if (at < w->tile->spine) fn(a, w, spine, most_of(at, w->low), least(end, w->tile->spine), 0, w->queries);
    for (size_t r = 0; r < w->tile->rows && begin < end; r++) {
        const size_t to = least(end, capp_attend_depth(a, w->tile, r));
        if (begin < to) fn(a, w, capp_place_of_tail(a, w->tile, r), begin, to, r * a->group, a->group);
    }
}

/* The positions of a block that a row sees: from .. to - 1, if from < to. */
typedef struct seen {
    size_t from, to, depth;
} seen;

static seen seen_of(const capp_attend *a, const work *w, size_t r, size_t at) {
    const size_t depth = capp_attend_depth(a, w->tile, r);
    return (seen){most_of(at, capp_attend_from(a, depth)), least(at + BLOCK, depth), depth};
}

/* Finishes the scores of a block, and raises the greatest score of each query. */
static void finish_scores(const capp_attend *a, const work *w, size_t at) {
    for (size_t r = 0; r < w->tile->rows; r++) {
        const seen x = seen_of(a, w, r, at);
        for (size_t i = 0; x.from < x.to && i < a->group; i++) {
            const size_t query = r * a->group + i;
            float *s = scores_at(w, query, x.from);
            capp_attend_bias(a, w->kv * a->group + i, s, x.from, x.to - x.from, x.depth);
            const float most = a->f->weights->kernels->most(s, x.to - x.from);
            if (!(most <= w->most[query])) w->most[query] = most;
        }
    }
}

/* Turns the scores of a block into weights. Positions of its paths that a row does not see get the weight 0. */
static void soften(const capp_attend *a, const work *w, size_t at) {
    const size_t spine = w->tile->spine > at ? least(w->tile->spine - at, BLOCK) : 0;
    for (size_t r = 0; r < w->tile->rows; r++) {
        const seen x = seen_of(a, w, r, at);
        const size_t from = least(x.from - at, BLOCK), to = x.from < x.to ? x.to - at : from;
        float *s = scores_at(w, r * a->group, at), *lanes = w->lanes + r * a->group * CAPP_LANES;
        for (size_t i = 0; i < a->group; i++, s += STRIDE, lanes += CAPP_LANES) {
            if (from) memset(s, 0, from * sizeof *s);
            if (to < spine) memset(s + to, 0, (spine - to) * sizeof *s);
            if (from < to) a->f->weights->kernels->exps(s, from, to, w->most[r * a->group + i], lanes);
        }
    }
}

/* The worker's scratch as work for a task; takes q from f->t. */
static work begin(const capp_attend *a, size_t task, int worker) {
    const capp_forward *f = a->f;
    const size_t kv = task / a->tiles->n;
    work w = {.tile = &a->tiles->tile[task % a->tiles->n], .kv = kv, .low = SIZE_MAX};
    w.queries = w.tile->rows * a->group;
    w.keys = (const float *)(const void *)capp_store_keys(f, a->layer, kv);
    w.values = (const float *)(const void *)capp_store_values(f, a->layer, kv);
    w.q = f->scratch + (size_t)worker * f->scratch_stride, w.out = w.q + w.queries * a->d;
    w.most = w.out + w.queries * a->dv, w.lanes = w.most + w.queries, w.s = w.lanes + w.queries * CAPP_LANES;
    for (size_t r = 0; r < w.tile->rows; r++) {
        const size_t depth = capp_attend_depth(a, w.tile, r);
        w.low = least(w.low, capp_attend_from(a, depth)), w.deepest = most_of(w.deepest, depth);
        memcpy(w.q + r * a->group * a->d, f->t + a->tiles->row[w.tile->first + r] * f->t_stride + kv * a->group * a->d,
               a->group * a->d * sizeof *w.q);
    }
    w.first = w.low / BLOCK * BLOCK;
    f->weights->kernels->scale(w.q, a->layer->score_scale, w.queries * a->d);
    memset(w.out, 0, w.queries * a->dv * sizeof *w.out);
    memset(w.lanes, 0, w.queries * CAPP_LANES * sizeof *w.lanes);
    for (size_t i = 0; i < w.queries; i++) w.most[i] = -INFINITY;
    return w;
}

static void attention_task(void *user, size_t task, int worker) {
    const capp_attend *a = user;
    const work w = begin(a, task, worker);
    const capp_place start = capp_place_of_spine(w.tile);
    capp_place spine = start;
    for (size_t at = w.first; at < w.deepest; at += BLOCK) {
        spine = capp_place_advance(a, spine, at);
        each_part(a, &w, spine, at, scores_of_runs);
        finish_scores(a, &w, at);
    }
    spine = start;
    for (size_t at = w.first; at < w.deepest; at += BLOCK) {
        spine = capp_place_advance(a, spine, at);
        soften(a, &w, at);
        each_part(a, &w, spine, at, values_of_runs);
    }
    for (size_t query = 0; query < w.queries; query++) {
        const size_t head = w.kv * a->group + query % a->group;
        const float sum = capp_sum_of_lanes(w.lanes + query * CAPP_LANES) + capp_attend_sink(a, head, w.most[query]);
        capp_attend_finish(a, a->tiles->row[w.tile->first + query / a->group], head, w.out + query * a->dv, sum);
    }
}

/* Reads q from f->t and keys and values from the store. Writes the output of each head to f->t in place of its q. */
void capp_attention(capp_forward *f, size_t index, const capp_tiles *tiles) {
    capp_attend a = capp_attend_of(f, index, tiles);
    const bool narrow = f->weights->products->put_rows != NULL;
    capp_pool_run(f->pool, narrow ? capp_narrow_attention_task : attention_task, &a,
                  tiles->n * a.layer->shape.kv_heads);
}
