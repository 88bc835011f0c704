#include "forward/attend.h"

#include <string.h>

#include "base/math.h"
#include "kernel/plain.h"

capp_attend capp_attend_of(const capp_forward *f, size_t index, const capp_tiles *tiles) {
    const capp_layer *layer = &f->weights->layers[index];
    const capp_shape *shape = &layer->shape;
    return (capp_attend){f, layer, tiles, shape->heads / shape->kv_heads, shape->key, shape->value};
}

size_t capp_attend_depth(const capp_attend *a, const capp_tile *tile, size_t r) {
    return a->f->depth[a->tiles->row[tile->first + r]];
}

size_t capp_attend_from(const capp_attend *a, size_t depth) {
    const size_t window = a->layer->window;
    if (a->f->weights->hparams.chunks && window) return (depth - 1) / window * window;
    return window && depth > window ? depth - window : 0;
}

void capp_attend_bias(const capp_attend *a, size_t head, float *s, size_t from, size_t n, size_t depth) {
    const capp_weights *w = a->f->weights;
    const capp_hparams *h = &w->hparams;
    if (h->score_cap > 0) capp_soft_cap(s, h->score_cap, n);
    if (w->alibi && h->alibi_rounded)
        capp_add_rounded_slope(s, w->alibi[head], h->score_scale, from, n);
    else if (w->alibi)
        capp_add_slope(s, w->alibi[head], depth - 1 - from, n);
}

float capp_attend_sink(const capp_attend *a, size_t head, float top) {
    if (!a->layer->sinks) return 0;
    return (float)capp_pair_exp(capp_pair_of((double)a->layer->sinks[head] - (double)top * CAPP_LN2))[0];
}

void capp_attend_finish(const capp_attend *a, size_t row, size_t head, float *out, float sum) {
    const capp_forward *f = a->f;
    f->weights->kernels->scale(out, 1 / sum, a->dv);
    memcpy(f->t + row * f->t_stride + head * a->d, out, a->dv * sizeof *out);
}

capp_place capp_place_of_spine(const capp_tile *tile) {
    return (capp_place){tile->run, tile->run + tile->n_runs, 0};
}

capp_place capp_place_of_tail(const capp_attend *a, const capp_tile *tile, size_t r) {
    const size_t row = tile->first + r;
    return (capp_place){a->tiles->tail[row], a->tiles->tail_end[row], tile->spine};
}

capp_place capp_place_advance(const capp_attend *a, capp_place p, size_t position) {
    for (; p.run < p.end && p.position + a->tiles->runs[p.run].n <= position; p.run++)
        p.position += a->tiles->runs[p.run].n;
    return p;
}

capp_place capp_place_at(const capp_attend *a, capp_place p, size_t position, size_t *slot, size_t *count) {
    p = capp_place_advance(a, p, position);
    const capp_run *run = &a->tiles->runs[p.run];
    *slot = run->slot + (position - p.position), *count = run->n - (position - p.position);
    return p;
}
