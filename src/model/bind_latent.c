/* Binds multi-head latent attention: the products to and from the latent vectors, and for each head the part of kv_b
 * that takes its query into the space of the latent vectors, and the part that takes its output from there. Newer GGUF
 * files have the two parts; folders and older files have kv_b, whose rows are the two parts of each head in turn. */
#include <stdio.h>
#include <string.h>

#include "model/binder.h"

static capp_status own_matrix(binder *b, size_t n, size_t k, float **floats, const capp_tensor **out) {
    *out = capp_derive_floats(b, n, k, floats);
    return *out ? CAPP_OK : capp_bind_memory(b);
}

static void set_source(binder *b, capp_matrix *m, size_t n, size_t k, const capp_tensor *t) {
    capp_bind_job(b, m, n, 1, k);
    m->source[m->n_sources++] = t;
}

/* The parts of head e, from its rows of kv_b. Plain floats are read in place. Other types are dequantized once: rows in
 * blocks cannot be read as columns. */
static capp_status bind_parts(binder *b, const capp_tensor *t, uint32_t e, capp_matrix *k_b, capp_matrix *v_b) {
    const capp_hparams *h = &b->w->hparams;
    const size_t latent = h->latent, still = h->still, value = h->latent_value, first = e * (still + value);
    const capp_tensor *keys, *values;
    float *turned, *rows;
    capp_status st;
    if (t->type == CAPP_TYPE_F32 || t->type == CAPP_TYPE_F16 || t->type == CAPP_TYPE_BF16) {
        keys = capp_derive_slice(b, t, first, still);
        if (keys) keys = capp_derive_transposed(b, keys);
        values = capp_derive_slice(b, t, first + still, value);
        if (!keys || !values) return capp_bind_memory(b);
    } else {
        if ((st = own_matrix(b, latent, still, &turned, &keys)) != CAPP_OK) return st;
        if ((st = own_matrix(b, value, latent, &rows, &values)) != CAPP_OK) return st;
        float *row = capp_bind_new_floats(b, latent + capp_tensor_scratch(t));
        if (!row) return capp_bind_memory(b);
        for (size_t i = 0; i < still; i++) {
            capp_tensor_rows(t, first + i, 1, latent, row, row + latent);
            for (size_t j = 0; j < latent; j++) turned[j * still + i] = row[j];
        }
        for (size_t i = 0; i < value; i++) {
            capp_tensor_rows(t, first + still + i, 1, latent, row, row + latent);
            memcpy(rows + i * latent, row, latent * sizeof *row);
        }
    }
    set_source(b, k_b, latent, still, keys);
    set_source(b, v_b, value, latent, values);
    return CAPP_OK;
}

/* Part `part` of head e from a GGUF tensor [heads][n][k]. */
static capp_status bind_head(binder *b, place p, size_t n, size_t k, capp_matrix *m) {
    char name[MOST_NAME];
    const capp_tensor *t = capp_find(b, p, ".weight", name);
    capp_status st = capp_bind_type(b, name, t);
    if (st != CAPP_OK) return st;
    if (t->dims[0] != k || t->dims[1] != n || t->dims[2] != b->w->hparams.heads || t->dims[3] != 1)
        return capp_bind_wrong_shape(b, name, t, k, n);
    t = capp_derive_slice(b, t, p.index * n, n);
    if (!t) return capp_bind_memory(b);
    set_source(b, m, n, k, t);
    return CAPP_OK;
}

static capp_status bind_heads(binder *b, uint32_t i, capp_latent *x) {
    const capp_hparams *h = &b->w->hparams;
    const capp_piece both = {{CAPP_PART_KV_B, i, 0}, (size_t)h->heads * (h->still + h->latent_value)};
    char name[MOST_NAME];
    bool apart = capp_place_find(b->s, b->w->arch, (place){CAPP_PART_K_B, i, 0}, ".weight", name) != NULL;
    const capp_tensor *t = NULL;
    capp_status st;
    if (!apart && (st = capp_bind_rows(b, &both, h->latent, &t)) != CAPP_OK) return st;
    for (uint32_t e = 0; e < h->heads; e++) {
        capp_matrix *k_b = &x->k_b[e], *v_b = &x->v_b[e];
        if (!apart && (st = bind_parts(b, t, e, k_b, v_b)) != CAPP_OK) return st;
        if (!apart) continue;
        if ((st = bind_head(b, (place){CAPP_PART_K_B, i, e}, h->latent, h->still, k_b)) != CAPP_OK) return st;
        if ((st = bind_head(b, (place){CAPP_PART_V_B, i, e}, h->latent_value, h->latent, v_b)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

capp_status capp_bind_latent(binder *b, uint32_t i, capp_layer *layer) {
    capp_weights *w = b->w;
    const capp_hparams *h = &w->hparams;
    capp_latent *x = &layer->latent;
    const size_t q = (size_t)h->heads * (h->still + h->rope_dims), kv = (size_t)h->latent + h->rope_dims;
    const capp_piece in[] = {{{h->q_latent ? CAPP_PART_Q_A : CAPP_PART_Q, i, 0}, h->q_latent ? h->q_latent : q},
                             {{CAPP_PART_KV_A, i, 0}, kv}};
    const capp_piece q_b = {{CAPP_PART_Q_B, i, 0}, q}, out = {{CAPP_PART_OUT, i, 0}, h->width};
    capp_status st;
    x->k_b = w->head_matrices + (size_t)i * 2 * h->heads;
    x->v_b = x->k_b + h->heads;
    if ((st = capp_bind_matrix(b, in, 2, 1, h->width, h->qkv_bias, &layer->qkv)) != CAPP_OK) return st;
    if ((st = capp_bind_norm(b, (place){CAPP_PART_KV_A_NORM, i, 0}, 1, h->latent, false, &x->kv_norm))) return st;
    if (h->q_latent) {
        if ((st = capp_bind_norm(b, (place){CAPP_PART_Q_A_NORM, i, 0}, 1, h->q_latent, false, &x->q_norm))) return st;
        if ((st = capp_bind_matrix(b, &q_b, 1, 1, h->q_latent, false, &x->q_b)) != CAPP_OK) return st;
    }
    if ((st = bind_heads(b, i, x)) != CAPP_OK) return st;
    return capp_bind_matrix(b, &out, 1, 1, (size_t)h->heads * h->latent_value, h->out_bias, &layer->out);
}
