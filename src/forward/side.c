/* What a layer adds from its own embedding of the token (capp_side). The embedding of the stream is computed again in
 * each layer: that costs less than to keep the parts of all layers for all rows. */
#include <math.h>

#include "forward/wave.h"
#include "kernel/plain.h"

enum { CHUNK = 8 };

typedef struct side_rows {
    capp_forward *f;
    size_t index, rows;
    const uint32_t *row; /* [rows] row of the wave, or NULL */
} side_rows;

static size_t chunk_end(const side_rows *s, size_t task) {
    return (task + 1) * CHUNK < s->rows ? (task + 1) * CHUNK : s->rows;
}

static int32_t token_of(const side_rows *s, size_t r) {
    return s->f->token[s->row ? s->row[r] : r];
}

/* Writes the embedding of the stream to f->h. */
static void embed_rows(void *user, size_t task, int worker) {
    const side_rows *s = user;
    capp_forward *f = s->f;
    float *x = f->scratch + (size_t)worker * f->scratch_stride;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        capp_embed_row(f->weights, token_of(s, r), x);
        capp_narrow_row(f, &f->weights->layers[s->index].side.context, f->h, r, x);
    }
}

/* From the outputs of gate and context in f->t to the inputs of out in f->h. */
static void combine_rows(void *user, size_t task, int worker) {
    const side_rows *s = user;
    capp_forward *f = s->f;
    const capp_weights *w = f->weights;
    const size_t n = w->hparams.side, bytes = (size_t)(w->side_tokens->bytes / w->side_tokens->dims[1]);
    const size_t offset = bytes / w->hparams.layers * s->index;
    const float scale = sqrtf((float)n), half = sqrtf(0.5f), of_context = 1 / sqrtf((float)w->hparams.width);
    float *own = f->scratch + (size_t)worker * f->scratch_stride;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        float *gate = f->t + r * f->t_stride, *context = gate + n;
        size_t token = (size_t)token_of(s, r);
        const char *row = (const char *)w->side_tokens->data + (token < w->side_tokens->dims[1] ? token : 0) * bytes;
        w->side_dequant(own, row + offset, n);
        w->kernels->scale(own, scale, n);
        w->kernels->scale(context, of_context, n);
        capp_norm_row(w, &w->side_norm, context, context, n);
        w->kernels->add(context, own, n);
        w->kernels->scale(context, half, n);
        w->kernels->gelu(gate, n);
        capp_mul_by(gate, context, n);
        capp_narrow_row(f, &w->layers[s->index].side.out, f->h, r, gate);
    }
}

void capp_side_rows(capp_forward *f, size_t index, size_t rows, const uint32_t *row) {
    const capp_side *side = &f->weights->layers[index].side;
    const size_t n = f->weights->hparams.side, tasks = (rows + CHUNK - 1) / CHUNK;
    side_rows s = {f, index, rows, row};
    capp_product(f, &side->gate, f->h, f->h_stride, f->t, f->t_stride, rows, false);
    capp_pool_run(f->pool, embed_rows, &s, tasks);
    capp_product(f, &side->context, f->h, f->h_stride, f->t + n, f->t_stride, rows, false);
    capp_pool_run(f->pool, combine_rows, &s, tasks);
}
