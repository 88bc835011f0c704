/* Attention over tree paths. A task is a tile of rows and one key-value head, with all query heads that share this
 * head. It computes the scores of the spine as one matrix product over all rows, then the scores of each row's tail;
 * then the softmax; then the values in the same way. The buffer holds scores by absolute position (minus a multiple of
 * CAPP_LANES). So sums use the same lanes and the same order, however paths are cut into runs and rows into tiles.
 * (Cascade attention; Hydragen, arXiv 2402.05099) */
#include <string.h>

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

/* Scores of positions position .. position + run.n - 1 for `rows` query rows. Positions below `low` are left out.
 */
static void run_scores(const attention *a, const float *keys, capp_run run, size_t position, size_t low, float *s,
                       const float *q, size_t rows) {
    if (position + run.n <= low) return;
    size_t skip = position < low ? low - position : 0, slot = run.slot + skip;
    a->f->weights->kernels->scores(s + (position + skip), a->f->score_stride, q, a->d, rows,
                                   keys + slot / CAPP_LANES * CAPP_LANES * a->d, a->d, slot % CAPP_LANES, run.n - skip);
}

/* Positions whose values stay in the second-level cache while all rows of a tile read them. */
enum { VALUES_BLOCK = 256 };

static void run_values(const attention *a, const float *values, capp_run run, size_t position, size_t low, float *out,
                       const float *p, size_t rows) {
    if (position + run.n <= low) return;
    size_t done = position < low ? low - position : 0;
    for (size_t n; done < run.n; done += n) {
        n = run.n - done < VALUES_BLOCK ? run.n - done : VALUES_BLOCK;
        a->f->weights->kernels->values(out, a->dv, p + (position + done), a->f->score_stride, rows,
                                       values + (run.slot + done) * a->dv, a->dv, a->dv, n);
    }
}

/* The first position that a row of this depth sees. */
static size_t first_seen(const capp_layer *layer, bool chunks, size_t depth) {
    if (chunks && layer->window) return (depth - 1) / layer->window * layer->window;
    return layer->window && depth > layer->window ? depth - layer->window : 0;
}

static void scores_of_tile(const attention *a, const capp_tile *tile, const float *keys, size_t base, size_t low,
                           float *s, const float *q) {
    const capp_tiles *tiles = a->tiles;
    size_t stride = a->f->score_stride, position = 0;
    for (size_t i = 0; i < tile->n_runs; i++) {
        capp_run run = tiles->runs[tile->run + i];
        run_scores(a, keys, run, position, low, s - base, q, tile->rows * a->group);
        position += run.n;
    }
    for (size_t r = 0; r < tile->rows; r++) {
        size_t row = tile->first + r;
        position = tile->spine;
        for (size_t i = tiles->tail[row]; i < tiles->tail_end[row]; i++) {
            run_scores(a, keys, tiles->runs[i], position, low, s + r * a->group * stride - base,
                       q + r * a->group * a->d, a->group);
            position += tiles->runs[i].n;
        }
    }
}

/* Turns scores into unnormalized probabilities, 0 for positions that a row does not see; sums [rows * group]. */
static void soften(const attention *a, const capp_tile *tile, size_t kv, size_t base, size_t low, float *s,
                   float *sums) {
    const capp_forward *f = a->f;
    const capp_hparams *h = &f->weights->hparams;
    for (size_t r = 0; r < tile->rows; r++) {
        size_t depth = f->depth[a->tiles->row[tile->first + r]], from = first_seen(a->layer, h->chunks, depth);
        for (size_t g = 0; g < a->group; g++) {
            float *p = s + (r * a->group + g) * f->score_stride;
            size_t head = kv * a->group + g;
            if (h->score_cap > 0) capp_soft_cap(p + (from - base), h->score_cap, depth - from);
            if (f->weights->alibi && h->alibi_rounded)
                capp_add_rounded_slope(p + (from - base), f->weights->alibi[head], h->score_scale, from, depth - from);
            else if (f->weights->alibi)
                capp_add_slope(p + (from - base), f->weights->alibi[head], depth - from);
            float sink = a->layer->sinks ? capp_sink(p + (from - base), depth - from, a->layer->sinks[head]) : 0;
            sums[r * a->group + g] = f->weights->kernels->softmax(p, from - base, depth - base) + sink;
            if (from > low) memset(p + (low - base), 0, (from - low) * sizeof *p);
            if (depth < tile->spine) memset(p + (depth - base), 0, (tile->spine - depth) * sizeof *p);
        }
    }
}

static void values_of_tile(const attention *a, const capp_tile *tile, const float *values, size_t base, size_t low,
                           float *out, const float *p) {
    const capp_tiles *tiles = a->tiles;
    size_t stride = a->f->score_stride, position = 0;
    for (size_t i = 0; i < tile->n_runs; i++) {
        capp_run run = tiles->runs[tile->run + i];
        run_values(a, values, run, position, low, out, p - base, tile->rows * a->group);
        position += run.n;
    }
    for (size_t r = 0; r < tile->rows; r++) {
        size_t row = tile->first + r;
        position = tile->spine;
        for (size_t i = tiles->tail[row]; i < tiles->tail_end[row]; i++) {
            run_values(a, values, tiles->runs[i], position, low, out + r * a->group * a->dv,
                       p + r * a->group * stride - base, a->group);
            position += tiles->runs[i].n;
        }
    }
}

static void attention_task(void *user, size_t task, int worker) {
    const attention *a = user;
    const capp_forward *f = a->f;
    const size_t kv_heads = a->layer->shape.kv_heads, kv = task % kv_heads, d = a->d, dv = a->dv;
    const capp_tile *tile = &a->tiles->tile[task / kv_heads];
    size_t rows = tile->rows * a->group;
    float *q = f->scratch + (size_t)worker * f->scratch_stride, *out = q + f->tile_rows * a->group * d;
    float *sums = out + f->tile_rows * a->group * dv, *s = sums + f->tile_rows * a->group + CAPP_LANES;
    size_t low = SIZE_MAX;
    for (size_t r = 0; r < tile->rows; r++) {
        size_t row = a->tiles->row[tile->first + r],
               seen = first_seen(a->layer, f->weights->hparams.chunks, f->depth[row]);
        if (seen < low) low = seen;
        memcpy(q + r * a->group * d, f->t + row * f->t_stride + kv * a->group * d, a->group * d * sizeof *q);
    }
    size_t base = low / CAPP_LANES * CAPP_LANES;
    f->weights->kernels->scale(q, a->layer->score_scale, rows * d);
    scores_of_tile(a, tile, a->keys + kv * f->slots * d, base, low, s, q);
    soften(a, tile, kv, base, low, s, sums);
    memset(out, 0, rows * dv * sizeof *out);
    values_of_tile(a, tile, a->values + kv * f->slots * dv, base, low, out, s);
    for (size_t r = 0; r < tile->rows; r++)
        for (size_t g = 0; g < a->group; g++) {
            float *o = out + (r * a->group + g) * dv;
            f->weights->kernels->scale(o, 1 / sums[r * a->group + g], dv);
            size_t head = kv * a->group + g, row = a->tiles->row[tile->first + r];
            memcpy(f->t + row * f->t_stride + head * d, o, dv * sizeof *o);
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
