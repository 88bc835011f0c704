/* Multi-head latent attention (capp_latent). The KV store has one head of keys for each token: its latent vector, then
 * the part that rotates; its values are the latent vector. A query is taken into the space of the latent vectors by a
 * product of its head, and the output of attention is taken from there by another one. So attention itself is that of a
 * model whose heads all share one head of keys and values.
 *
 * A row of f->t: [heads][latent + rotating] queries, later outputs; then the rows of qkv: q or its latent vector, and
 * the latent vector with the rotating part; then q, if it came from a latent vector. In the end the heads' outputs take
 * the place of the rows of qkv. */
#include "forward/wave.h"

enum { CHUNK = 8, LATENT_STEP = CAPP_MAX_STEP };

typedef struct latent_rows {
    capp_forward *f;
    const capp_layer *layer;
    size_t rows;
    const uint32_t *row; /* [rows] row of the wave, or NULL */
} latent_rows;

static size_t padded(size_t n) {
    return (n + LATENT_STEP - 1) / LATENT_STEP * LATENT_STEP;
}

static size_t chunk_end(const latent_rows *x, size_t task) {
    return (task + 1) * CHUNK < x->rows ? (task + 1) * CHUNK : x->rows;
}

/* Where the rows of qkv begin in a row of f->t. */
static size_t inputs_at(const capp_hparams *h) {
    return (size_t)h->heads * (h->latent + h->rope_dims);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

size_t capp_latent_floats(const capp_hparams *h) {
    size_t q = (size_t)h->heads * (h->still + h->rope_dims), outputs = (size_t)h->heads * h->latent_value;
    size_t in = (h->q_latent ? h->q_latent + q : q) + h->latent + h->rope_dims;
    return h->latent ? inputs_at(h) + larger(in, outputs) : 0;
}

size_t capp_latent_elements(const capp_hparams *h) {
    size_t wide = larger(padded(h->still), padded(h->latent));
    return h->latent ? larger(h->heads * wide, (size_t)h->heads * h->latent_value) : 0;
}

size_t capp_latent_place(const capp_layer *layer, const capp_hparams *h) {
    return layer->latent.k_b ? inputs_at(h) : 0;
}

/* The inputs of head e's matrix in row r of f->h. */
static char *head_inputs(const capp_forward *f, const capp_matrix *m, size_t e) {
    return f->h + e * padded(m->k) * capp_products_of(f->weights, m)->element;
}

/* Multiplies the heads' inputs in f->h by their matrices. Head e's outputs go to `to + e * step` of each row of f->t.
 */
static void multiply_heads(const capp_forward *f, const capp_matrix *m, size_t heads, size_t rows, size_t to,
                           size_t step) {
    for (size_t e = 0; e < heads; e++)
        capp_product((capp_forward *)(uintptr_t)f, &m[e], head_inputs(f, &m[e], e), f->h_stride, f->t + to + e * step,
                     f->t_stride, rows, false);
}

/* Norms the latent vector of q. */
static void compress_rows(void *user, size_t task, int worker) {
    const latent_rows *x = user;
    capp_forward *f = x->f;
    const capp_latent *latent = &x->layer->latent;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(x, task); r++) {
        float *q = f->t + r * f->t_stride + inputs_at(&f->weights->hparams);
        capp_norm_latent(f->weights, &latent->q_norm, q, f->weights->hparams.q_latent);
        capp_narrow_row(f, &latent->q_b, f->h, r, q);
    }
}

/* Rotates, stores keys and values, and writes the parts of q that do not rotate to f->h. */
static void divide_rows(void *user, size_t task, int worker) {
    const latent_rows *x = user;
    capp_forward *f = x->f;
    const capp_hparams *h = &f->weights->hparams;
    const capp_latent *latent = &x->layer->latent;
    const size_t key = (size_t)h->latent + h->rope_dims, d = (size_t)h->still + h->rope_dims;
    const size_t kv_at = h->q_latent ? h->q_latent : h->heads * d;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(x, task); r++) {
        float *to = f->t + r * f->t_stride, *in = to + inputs_at(h), *kv = in + kv_at;
        float *q = h->q_latent ? kv + key : in;
        size_t position = f->depth[r] - 1;
        float growth = capp_growth(h, x->layer, position);
        capp_norm_latent(f->weights, &latent->kv_norm, kv, h->latent);
        capp_rotate_heads(f, x->layer, kv + h->latent, key, 1, position);
        capp_store_row(f, x->layer, f->slot[r], kv, kv);
        capp_rotate_heads(f, x->layer, q + h->still, d, h->heads, position);
        for (size_t e = 0; e < h->heads; e++) {
            float *own = q + e * d, *rotating = to + e * key + h->latent;
            for (size_t i = 0; i < h->rope_dims; i++) rotating[i] = growth * own[h->still + i];
            if (growth != 1) f->weights->kernels->scale(own, growth, h->still);
            capp_narrow_row(f, &latent->k_b[e], head_inputs(f, &latent->k_b[e], e), r, own);
        }
    }
}

void capp_latent_queries(capp_forward *f, const capp_layer *layer, size_t rows) {
    const capp_hparams *h = &f->weights->hparams;
    const capp_latent *latent = &layer->latent;
    const size_t tasks = (rows + CHUNK - 1) / CHUNK, key = (size_t)h->latent + h->rope_dims;
    latent_rows x = {f, layer, rows, NULL};
    if (latent->q_b.parts) {
        capp_pool_run(f->pool, compress_rows, &x, tasks);
        float *q = f->t + inputs_at(h) + h->q_latent + key;
        capp_product(f, &latent->q_b, f->h, f->h_stride, q, f->t_stride, rows, false);
    }
    capp_pool_run(f->pool, divide_rows, &x, tasks);
    multiply_heads(f, latent->k_b, h->heads, rows, 0, key);
}

/* Writes each head's output of attention to f->h. */
static void mixed_rows(void *user, size_t task, int worker) {
    const latent_rows *x = user;
    capp_forward *f = x->f;
    const capp_hparams *h = &f->weights->hparams;
    const size_t key = (size_t)h->latent + h->rope_dims;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(x, task); r++)
        for (size_t e = 0; e < h->heads; e++) {
            const capp_matrix *m = &x->layer->latent.v_b[e];
            capp_narrow_row(f, m, head_inputs(f, m, e), r, f->t + x->row[r] * f->t_stride + e * key);
        }
}

static void outputs_rows(void *user, size_t task, int worker) {
    const latent_rows *x = user;
    capp_forward *f = x->f;
    const size_t at = inputs_at(&f->weights->hparams);
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(x, task); r++)
        capp_narrow_row(f, &x->layer->out, f->h, r, f->t + r * f->t_stride + at);
}

void capp_latent_outputs(capp_forward *f, const capp_layer *layer, size_t rows, const uint32_t *row) {
    const capp_hparams *h = &f->weights->hparams;
    const size_t tasks = (rows + CHUNK - 1) / CHUNK;
    latent_rows x = {f, layer, rows, row};
    capp_pool_run(f->pool, mixed_rows, &x, tasks);
    multiply_heads(f, layer->latent.v_b, h->heads, rows, inputs_at(h), h->latent_value);
    capp_pool_run(f->pool, outputs_rows, &x, tasks);
}
