/* Attention in bfloat16, for lanes whose products are of bfloat16: q, keys, values and weights are bfloat16; scores,
 * the sum of the weights and outputs are float32. A task is as in attention.c, but goes through the positions once, in
 * blocks at multiples of BLOCK: the scores of a block, each query's greatest score so far, weights, and the products
 * with the block's values. Where the greatest score rises, output and sum are scaled down first. (Online softmax;
 * Milakov & Gimelshein, arXiv 1805.02867)
 *
 * Keys are in the store as panels, by slot. Values become panels by position here, because the unit adds a whole step
 * of positions at once. The steps of the spine are products of all rows of the tile, up to the one in which the first
 * tail begins; from there on each row has a product of its own. Positions that a row does not see have the weight 0. */
#include <math.h>
#include <string.h>

#include "base/math.h"
#include "forward/attend.h"
#include "kernel/plain.h"

/* Before and after a block's scores there is room for those of a whole vector of keys. */
enum { BLOCK = 64, SCORES = BLOCK + 2 * CAPP_LANES };
_Static_assert(BLOCK % CAPP_MAX_STEP == 0, "a block is whole steps of products");

/* What a task works on. */
typedef struct work {
    const capp_tile *tile;
    const capp_products *products;
    const capp_kernels *kernels;
    size_t kv;           /* key-value head */
    size_t deepest;      /* greatest depth of its rows */
    size_t common;       /* positions below it are in products of all rows: a multiple of a step */
    bool tails;          /* some row has a tail */
    size_t dk, columns;  /* elements of a key; of a row of values, whole panels */
    const char *keys;    /* of the head: panels by slot */
    const char *values;  /* [slots][padded dv] */
    char *q;             /* elements [rows * group][dk] */
    char *weights;       /* elements [rows * group][BLOCK] */
    char *panels, *own;  /* values of a block: elements [columns / LANES][positions][LANES]; by step for tails */
    float *s;            /* [rows * group][SCORES] scores; position at + i is element LANES + i */
    float *out;          /* [rows * group][dv] */
    float *lanes, *most; /* [rows * group][LANES] the sum of the weights; [rows * group] the greatest score */
} work;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t most_of(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* Sets the places of w's arrays in scratch; NULL: counts only. Returns how many floats they take. */
static size_t lay_out(work *w, char *scratch, size_t queries, size_t dv) {
    const size_t element = w->products->element;
    const struct {
        void *place;
        size_t bytes;
    } arrays[] = {
        {&w->q, queries * w->dk * element},
        {&w->weights, queries * BLOCK * element},
        {&w->panels, BLOCK * w->columns * element},
        {&w->own, BLOCK * w->columns * element},
        {&w->s, queries * SCORES * sizeof(float)},
        {&w->out, queries * dv * sizeof(float)},
        {&w->lanes, queries * CAPP_LANES * sizeof(float)},
        {&w->most, queries * sizeof(float)},
    };
    size_t at = 0;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        void *p = (void *)((uintptr_t)scratch + at);
        memcpy(arrays[i].place, &p, sizeof p);
        at += round_up(arrays[i].bytes, CAPP_LANES * sizeof(float));
    }
    return at / sizeof(float);
}

static work work_of(const capp_products *products, const capp_shape *shape) {
    return (work){.products = products,
                  .dk = capp_padded(products, shape->key),
                  .columns = round_up(shape->value, most_of(products->nr, products->step))};
}

size_t capp_narrow_attention_floats(const capp_forward *f, const capp_weights *weights) {
    const capp_hparams *h = &weights->hparams;
    size_t floats = 0;
    for (uint32_t i = 0; i < h->layers; i++) {
        const capp_shape *shape = &h->shapes[i];
        if (!capp_has_attention(h, i)) continue;
        work w = work_of(weights->products, shape);
        floats = most_of(floats, lay_out(&w, NULL, f->tile_rows * (shape->heads / shape->kv_heads), shape->value));
    }
    return floats;
}

/* Scores of the n keys from `slot` on for queries first .. first + queries - 1, to s and s + SCORES ... The product
 * begins with a whole vector of keys: up to LANES - 1 numbers before s get other scores. */
static void scores_of_keys(const work *w, float *s, size_t slot, size_t n, size_t first, size_t queries) {
    const capp_products *products = w->products;
    const size_t skip = slot % CAPP_LANES, nr = products->nr, key = w->dk * products->element;
    const char *panel = w->keys + (slot - skip) * key;
    for (size_t x = 0; x < skip + n; x += nr, panel += nr * key)
        products->matmul(s - skip + x, SCORES, w->q + first * key, w->dk, panel, queries, least(nr, skip + n - x),
                         w->dk, false);
}

/* Scores of the positions from .. to - 1, whose runs begin with p. The last run is first: what its product writes
 * before its first score is replaced by the run before. */
static void scores_of_runs(const capp_attend *a, const work *w, capp_place p, size_t at, size_t from, size_t to,
                           size_t first, size_t queries) {
    const capp_run *runs = a->tiles->runs;
    size_t last = (p = capp_place_advance(a, p, from)).run, position = p.position;
    for (; last + 1 < p.end && position + runs[last].n < to; last++) position += runs[last].n;
    for (;; last--, position -= runs[last].n) {
        const size_t begin = most_of(from, position), end = least(to, position + runs[last].n);
        scores_of_keys(w, w->s + first * SCORES + CAPP_LANES + (begin - at), runs[last].slot + (begin - position),
                       end - begin, first, queries);
        if (last == p.run) return;
    }
}

/* Tails come before the spine, for the same reason. */
static void scores_of_block(const capp_attend *a, const work *w, capp_place spine, size_t at) {
    const size_t end = at + BLOCK, begin = most_of(at, w->tile->spine);
    for (size_t r = 0; r < w->tile->rows && w->tails && begin < end; r++) {
        const size_t depth = capp_attend_depth(a, w->tile, r);
        if (depth > begin)
            scores_of_runs(a, w, capp_place_of_tail(a, w->tile, r), at, begin, least(end, depth), r * a->group,
                           a->group);
    }
    if (at < w->tile->spine)
        scores_of_runs(a, w, spine, at, at, least(end, w->tile->spine), 0, w->tile->rows * a->group);
}

/* Makes `most` the greatest score of a query. */
static void raise_most(const capp_attend *a, const work *w, size_t query, float most) {
    const float before = w->most[query];
    if (!(most > before)) return;
    w->most[query] = most;
    if (before == -INFINITY) return; /* nothing has been added */
    const float factor = (float)capp_pair_exp(capp_pair_of((double)(before - most)))[0];
    w->kernels->scale(w->out + query * a->dv, factor, a->dv);
    w->kernels->scale(w->lanes + query * CAPP_LANES, factor, CAPP_LANES);
}

/* Turns the scores of a block into weights, for a query that sees positions from .. depth - 1. */
static void soften(const capp_attend *a, const work *w, size_t query, size_t head, size_t at, size_t from,
                   size_t depth) {
    const size_t element = w->products->element, to = least(depth, at + BLOCK), begin = most_of(from, at);
    char *weights = w->weights + query * BLOCK * element;
    float *s = w->s + query * SCORES + CAPP_LANES;
    if (begin < to) {
        capp_attend_bias(a, head, s + (begin - at), begin, to - begin, depth);
        raise_most(a, w, query, w->kernels->most(s + (begin - at), to - begin));
    }
    if (begin >= to || w->most[query] == -INFINITY) { /* nothing is seen yet, or only scores that have overflowed */
        memset(weights, 0, BLOCK * element);
        return;
    }
    const size_t first = (begin - at) / CAPP_LANES * CAPP_LANES, last = round_up(to - at, CAPP_LANES);
    w->kernels->exps_coarse(s, begin - at, to - at, w->most[query], w->lanes + query * CAPP_LANES);
    if (first) memset(weights, 0, first * element);
    w->products->narrow(weights + first * element, s + first, last - first, BLOCK - first);
}

/* Writes the values of the positions from .. to - 1 to panels of `rows` positions each, the first of which begins at
 * position `at`. */
static void put_values(const capp_attend *a, const work *w, capp_place p, char *panels, size_t rows, size_t at,
                       size_t from, size_t to) {
    const capp_products *products = w->products;
    const size_t ld = capp_padded(products, a->dv), panel = rows * w->columns * products->element;
    for (size_t slot, n; from < to; from += n) {
        const size_t in = (from - at) % rows;
        p = capp_place_at(a, p, from, &slot, &n);
        n = least(least(n, to - from), rows - in);
        products->put_rows(panels + (from - at) / rows * panel, rows, in, w->values + slot * ld * products->element, ld,
                           n, ld);
    }
}

/* Makes the last step of panels of `rows` positions zeros. */
static void clear_step(const work *w, char *panels, size_t rows) {
    const size_t step = w->products->step, vector = CAPP_LANES * w->products->element;
    for (size_t x = 0; x < w->columns / CAPP_LANES; x++)
        memset(panels + (x * rows + rows - step) * vector, 0, step * vector);
}

/* Adds the values in panels of n positions, times the weights of element `in` and the following ones. */
static void add_values(const capp_attend *a, const work *w, const char *panels, size_t n, size_t in, size_t first,
                       size_t queries) {
    const capp_products *products = w->products;
    const char *weights = w->weights + (first * BLOCK + in) * products->element;
    for (size_t x = 0; x < a->dv; x += products->nr)
        products->matmul_on(w->out + first * a->dv + x, a->dv, weights, BLOCK, panels + x * n * products->element,
                            queries, least(products->nr, a->dv - x), n);
}

static void values_of_block(const capp_attend *a, const work *w, capp_place spine, size_t at) {
    const size_t end = at + BLOCK, step = w->products->step, element = w->products->element;
    if (at < w->common) {
        const size_t n = least(w->common, end) - at;
        if (at + n > w->tile->spine) clear_step(w, w->panels, n);
        put_values(a, w, spine, w->panels, n, at, at, least(at + n, w->tile->spine));
        add_values(a, w, w->panels, n, 0, 0, w->tile->rows * a->group);
    }
    const size_t begin = most_of(at, w->common), tail = most_of(begin, w->tile->spine);
    if (!w->tails || begin >= end) return;
    put_values(a, w, spine, w->own, step, at, begin, least(end, w->tile->spine));
    for (size_t r = 0; r < w->tile->rows; r++) {
        const size_t to = least(end, capp_attend_depth(a, w->tile, r));
        put_values(a, w, capp_place_of_tail(a, w->tile, r), w->own, step, at, tail, to);
        for (size_t x = begin; x < to; x += step)
            add_values(a, w, w->own + (x - at) * w->columns * element, step, x - at, r * a->group, a->group);
    }
}

/* The worker's scratch as work for a task; takes q from f->t, which it scales. */
static work begin_work(const capp_attend *a, size_t task, int worker) {
    const capp_forward *f = a->f;
    const capp_products *products = f->weights->products;
    const size_t kv = task / a->tiles->n, step = products->step;
    work w = work_of(products, &a->layer->shape);
    w.tile = &a->tiles->tile[task % a->tiles->n], w.kv = kv, w.kernels = f->weights->kernels;
    w.keys = capp_store_keys(f, a->layer, kv), w.values = capp_store_values(f, a->layer, kv);
    lay_out(&w, (char *)(f->scratch + (size_t)worker * f->scratch_stride), f->tile_rows * a->group, a->dv);
    const size_t queries = w.tile->rows * a->group;
    for (size_t r = 0; r < w.tile->rows; r++) {
        const size_t row = w.tile->first + r;
        float *q = f->t + a->tiles->row[row] * f->t_stride + kv * a->group * a->d;
        w.kernels->scale(q, a->layer->score_scale, a->group * a->d);
        for (size_t i = 0; i < a->group; i++)
            products->narrow(w.q + (r * a->group + i) * w.dk * products->element, q + i * a->d, a->d, w.dk);
        w.deepest = most_of(w.deepest, capp_attend_depth(a, w.tile, r));
        w.tails = w.tails || a->tiles->tail[row] < a->tiles->tail_end[row];
    }
    w.common = w.tails ? w.tile->spine / step * step : round_up(w.tile->spine, step);
    if (w.tails) memset(w.own, 0, BLOCK * w.columns * products->element);
    memset(w.out, 0, queries * a->dv * sizeof *w.out);
    memset(w.lanes, 0, queries * CAPP_LANES * sizeof *w.lanes);
    for (size_t i = 0; i < queries; i++) w.most[i] = -INFINITY;
    return w;
}

void capp_narrow_attention_task(void *attend, size_t task, int worker) {
    const capp_attend *a = attend;
    const work w = begin_work(a, task, worker);
    const size_t queries = w.tile->rows * a->group;
    capp_place spine = capp_place_of_spine(w.tile);
    size_t low = SIZE_MAX;
    for (size_t r = 0; r < w.tile->rows; r++) low = least(low, capp_attend_from(a, capp_attend_depth(a, w.tile, r)));
    for (size_t at = low / BLOCK * BLOCK; at < w.deepest; at += BLOCK) {
        spine = capp_place_advance(a, spine, at);
        scores_of_block(a, &w, spine, at);
        for (size_t r = 0; r < w.tile->rows; r++) {
            const size_t depth = capp_attend_depth(a, w.tile, r), from = capp_attend_from(a, depth);
            for (size_t i = 0; i < a->group; i++) soften(a, &w, r * a->group + i, w.kv * a->group + i, at, from, depth);
        }
        values_of_block(a, &w, spine, at);
    }
    capp_rest(w.products);
    for (size_t i = 0; i < queries; i++) {
        const size_t head = w.kv * a->group + i % a->group;
        const float sum = capp_sum_of_lanes(w.lanes + i * CAPP_LANES) + capp_attend_sink(a, head, w.most[i]);
        capp_attend_finish(a, a->tiles->row[w.tile->first + i / a->group], head, w.out + i * a->dv, sum);
    }
}
