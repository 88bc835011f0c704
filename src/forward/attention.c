/* Attention over tree paths. A task is a tile of rows and one key-value head, with all query heads that share this
 * head. It goes through the positions once, in blocks at multiples of CAPP_ATTEND_BLOCK: scores of the spine as one
 * product of all rows, scores of each row's tail, weights, and the products with the block's values. So all of it stays
 * in the cache, and keys and values that rows share are read once. (Cascade attention; Hydragen, arXiv 2402.05099;
 * online softmax: Milakov & Gimelshein, arXiv 1805.02867)
 *
 * A weight is 2^(score log2(e) - top), where the top of a query comes from its greatest score so far. Where it rises,
 * output and sum are scaled down. Positions that a row does not see have the weight 0. Blocks and sums are by absolute
 * position: they do not depend on how paths are cut into runs, and rows into tiles. */
#include <math.h>
#include <string.h>

#include "base/math.h"
#include "forward/attend.h"
#include "kernel/plain.h"

enum { BLOCK = CAPP_ATTEND_BLOCK, SCORES = CAPP_ATTEND_SCORES };

static size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* Sets the places of w's arrays in scratch; NULL: counts only. Returns how many floats they take. */
static size_t lay_out(capp_attend_work *w, char *scratch, size_t queries, size_t dv) {
    const size_t element = w->products->element, narrow = w->products->put_rows ? element : 0;
    const struct {
        void *place;
        size_t bytes;
    } arrays[] = {
        {&w->q, queries * w->dk * element},
        {&w->weights, queries * BLOCK * narrow},
        {&w->panels, BLOCK * w->columns * narrow},
        {&w->own, BLOCK * w->columns * narrow},
        {&w->s, queries * SCORES * sizeof(float)},
        {&w->out, queries * dv * sizeof(float)},
        {&w->lanes, queries * CAPP_LANES * sizeof(float)},
        {&w->top, queries * sizeof(float)},
    };
    size_t at = 0;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        void *p = (void *)((uintptr_t)scratch + at);
        memcpy(arrays[i].place, &p, sizeof p);
        at += round_up(arrays[i].bytes, CAPP_LANES * sizeof(float));
    }
    return at / sizeof(float);
}

static capp_attend_work work_of(const capp_products *products, const capp_shape *shape) {
    return (capp_attend_work){.products = products,
                              .dk = capp_padded(products, shape->key),
                              .columns = round_up(shape->value, capp_attend_most(products->nr, products->step))};
}

size_t capp_attention_floats(const capp_forward *f, const capp_weights *weights) {
    const capp_hparams *h = &weights->hparams;
    size_t floats = 0;
    for (uint32_t i = 0; i < h->layers; i++) {
        const capp_shape *shape = &h->shapes[i];
        if (!capp_has_attention(h, i)) continue;
        capp_attend_work w = work_of(weights->products, shape);
        const size_t queries = f->tile_rows * (shape->heads / shape->kv_heads);
        floats = capp_attend_most(floats, lay_out(&w, NULL, queries, shape->value));
    }
    return floats;
}

/* In float32 the top is a whole number. So outputs are scaled by powers of two, which rounds nothing: the bits do not
 * depend on the length of blocks. Weights replace scores. */
static float top(float most) {
    return ceilf(most * CAPP_LOG2E);
}

static void scores(const capp_attend_work *w, float *s, size_t slot, size_t n, size_t first, size_t queries) {
    const float *q = (const float *)(const void *)w->q + first * w->dk;
    const float *keys = (const float *)(const void *)w->keys + slot / CAPP_LANES * CAPP_LANES * w->dk;
    w->kernels->scores(s, SCORES, q, w->dk, queries, keys, w->dk, slot % CAPP_LANES, n);
}

static void weigh(const capp_attend_work *w, size_t query, size_t from, size_t to) {
    float *s = w->s + query * SCORES + CAPP_LANES;
    const size_t first = from / CAPP_LANES * CAPP_LANES, last = round_up(to, CAPP_LANES);
    if (from < to) w->kernels->exps(s, from, to, w->top[query], w->lanes + query * CAPP_LANES);
    memset(s, 0, first * sizeof *s);
    memset(s + last, 0, (BLOCK - last) * sizeof *s);
}

/* Adds the values of positions from .. to - 1, whose runs begin with p, of the block at position `at`. */
static void add_values(const capp_attend *a, const capp_attend_work *w, capp_place p, size_t at, size_t from, size_t to,
                       size_t first, size_t queries) {
    const float *values = (const float *)(const void *)w->values;
    for (size_t slot, n; from < to; from += n) {
        p = capp_place_at(a, p, from, &slot, &n);
        n = capp_attend_least(n, to - from);
        w->kernels->values(w->out + first * a->dv, a->dv, w->s + first * SCORES + CAPP_LANES + (from - at), SCORES,
                           queries, values + slot * a->dv, a->dv, a->dv, n);
    }
}

static void values(const capp_attend *a, const capp_attend_work *w, capp_place spine, size_t at) {
    const size_t end = at + BLOCK, from = capp_attend_most(at, w->low), begin = capp_attend_most(from, w->tile->spine);
    add_values(a, w, spine, at, from, capp_attend_least(end, w->tile->spine), 0, w->tile->rows * a->group);
    for (size_t r = 0; r < w->tile->rows && w->tails && begin < end; r++)
        add_values(a, w, capp_place_of_tail(a, w->tile, r), at, begin,
                   capp_attend_least(end, capp_attend_depth(a, w->tile, r)), r * a->group, a->group);
}

static const capp_attend_lane wide = {.top = top, .scores = scores, .weigh = weigh, .values = values};

static const capp_attend_lane *lane_of(const capp_attend_work *w) {
    return w->products->put_rows ? &capp_attend_narrow : &wide;
}

/* Scores of the positions from .. to - 1, whose runs begin with p. The last run is first: what is written before its
 * first score is replaced by the run before. */
static void scores_of_runs(const capp_attend *a, const capp_attend_work *w, capp_place p, size_t at, size_t from,
                           size_t to, size_t first, size_t queries) {
    const capp_attend_lane *lane = lane_of(w);
    const capp_run *runs = a->tiles->runs;
    size_t last = (p = capp_place_advance(a, p, from)).run, position = p.position;
    for (; last + 1 < p.end && position + runs[last].n < to; last++) position += runs[last].n;
    for (;; last--, position -= runs[last].n) {
        const size_t begin = capp_attend_most(from, position), end = capp_attend_least(to, position + runs[last].n);
        lane->scores(w, w->s + first * SCORES + CAPP_LANES + (begin - at), runs[last].slot + (begin - position),
                     end - begin, first, queries);
        if (last == p.run) return;
    }
}

/* Tails come before the spine, for the same reason. */
static void scores_of_block(const capp_attend *a, const capp_attend_work *w, capp_place spine, size_t at) {
    const size_t end = at + BLOCK, from = capp_attend_most(at, w->low), begin = capp_attend_most(from, w->tile->spine);
    for (size_t r = 0; r < w->tile->rows && w->tails && begin < end; r++) {
        const size_t depth = capp_attend_depth(a, w->tile, r);
        if (depth > begin)
            scores_of_runs(a, w, capp_place_of_tail(a, w->tile, r), at, begin, capp_attend_least(end, depth),
                           r * a->group, a->group);
    }
    if (from < w->tile->spine)
        scores_of_runs(a, w, spine, at, from, capp_attend_least(end, w->tile->spine), 0, w->tile->rows * a->group);
}

/* Raises the top of a query to that of its greatest score. Scores that are as great as MOST_SCORE count as infinite:
 * float32 does not hold the difference between such a score and its top. */
static void raise_top(const capp_attend *a, const capp_attend_work *w, size_t query, float most) {
    static const float MOST_SCORE = 0x1p23f;
    const float before = w->top[query];
    if (most * CAPP_LOG2E <= before || most <= -MOST_SCORE) return;
    w->top[query] = most < MOST_SCORE ? lane_of(w)->top(most) : NAN;
    if (before == -INFINITY) return; /* nothing has been added */
    const double change = (double)(before - w->top[query]);
    const float factor = (float)capp_pair_exp(capp_pair_of(change * CAPP_LN2))[0];
    w->kernels->scale(w->out + query * a->dv, factor, a->dv);
    w->kernels->scale(w->lanes + query * CAPP_LANES, factor, CAPP_LANES);
}

/* Turns the scores of a block into weights, for a query that sees positions from .. depth - 1. */
static void soften(const capp_attend *a, const capp_attend_work *w, size_t query, size_t at, size_t from,
                   size_t depth) {
    const capp_attend_lane *lane = lane_of(w);
    const size_t to = capp_attend_least(depth, at + BLOCK), begin = capp_attend_most(from, at);
    if (begin < to) {
        float *s = w->s + query * SCORES + CAPP_LANES + (begin - at);
        capp_attend_bias(a, w->kv * a->group + query % a->group, s, begin, to - begin, depth);
        raise_top(a, w, query, w->kernels->most(s, to - begin));
    }
    if (begin >= to || w->top[query] == -INFINITY) /* nothing is seen yet, or only scores that have overflowed */
        lane->weigh(w, query, 0, 0);
    else
        lane->weigh(w, query, begin - at, to - at);
}

/* The worker's scratch as work for a task; takes q from f->t, which it scales. */
static capp_attend_work begin_work(const capp_attend *a, size_t task, int worker) {
    const capp_forward *f = a->f;
    const capp_products *products = f->weights->products;
    const size_t kv = task / a->tiles->n, step = products->step;
    capp_attend_work w = work_of(products, &a->layer->shape);
    w.tile = &a->tiles->tile[task % a->tiles->n], w.kv = kv, w.kernels = f->weights->kernels, w.low = SIZE_MAX;
    w.keys = capp_store_keys(f, a->layer, kv), w.values = capp_store_values(f, a->layer, kv);
    lay_out(&w, (char *)(f->scratch + (size_t)worker * f->scratch_stride), f->tile_rows * a->group, a->dv);
    const size_t queries = w.tile->rows * a->group;
    for (size_t r = 0; r < w.tile->rows; r++) {
        const size_t row = w.tile->first + r;
        float *q = f->t + a->tiles->row[row] * f->t_stride + kv * a->group * a->d;
        w.kernels->scale(q, a->layer->score_scale, a->group * a->d);
        for (size_t i = 0; i < a->group; i++)
            products->narrow(w.q + (r * a->group + i) * w.dk * products->element, q + i * a->d, a->d, w.dk);
        const size_t depth = capp_attend_depth(a, w.tile, r);
        w.low = capp_attend_least(w.low, capp_attend_from(a, depth)), w.deepest = capp_attend_most(w.deepest, depth);
        w.tails = w.tails || a->tiles->tail[row] < a->tiles->tail_end[row];
    }
    w.common = w.tails ? w.tile->spine / step * step : round_up(w.tile->spine, step);
    if (w.tails && products->put_rows) memset(w.own, 0, BLOCK * w.columns * products->element);
    memset(w.out, 0, queries * a->dv * sizeof *w.out);
    memset(w.lanes, 0, queries * CAPP_LANES * sizeof *w.lanes);
    for (size_t i = 0; i < queries; i++) w.top[i] = -INFINITY;
    return w;
}

static void attention_task(void *user, size_t task, int worker) {
    const capp_attend *a = user;
    const capp_attend_work w = begin_work(a, task, worker);
    const capp_attend_lane *lane = lane_of(&w);
    const size_t queries = w.tile->rows * a->group;
    capp_place spine = capp_place_of_spine(w.tile);
    for (size_t at = w.low / BLOCK * BLOCK; at < w.deepest; at += BLOCK) {
        spine = capp_place_advance(a, spine, at);
        scores_of_block(a, &w, spine, at);
        for (size_t r = 0; r < w.tile->rows; r++) {
            const size_t depth = capp_attend_depth(a, w.tile, r), from = capp_attend_from(a, depth);
            for (size_t i = 0; i < a->group; i++) soften(a, &w, r * a->group + i, at, from, depth);
        }
        lane->values(a, &w, spine, at);
    }
    capp_rest(w.products);
    for (size_t i = 0; i < queries; i++) {
        const size_t head = w.kv * a->group + i % a->group;
        const float sum = capp_sum_of_lanes(w.lanes + i * CAPP_LANES) + capp_attend_sink(a, head, w.top[i]);
        capp_attend_finish(a, a->tiles->row[w.tile->first + i / a->group], head, w.out + i * a->dv, sum);
    }
}

/* Reads q from f->t and keys and values from the store. Writes the output of each head to f->t in place of its q. */
void capp_attention(capp_forward *f, size_t index, const capp_tiles *tiles) {
    capp_attend a = capp_attend_of(f, index, tiles);
    capp_pool_run(f->pool, attention_task, &a, tiles->n * a.layer->shape.kv_heads);
}
