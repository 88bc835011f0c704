/* Binds side embeddings: a table with a row for each token, which has a part for each layer, and the products that add
 * this part to the stream. */
#include "model/binder.h"

capp_status capp_bind_side_tokens(binder *b) {
    capp_weights *w = b->w;
    const capp_hparams *h = &w->hparams;
    char name[MOST_NAME];
    w->side_tokens = capp_find(b, (place){CAPP_PART_SIDE_TOKENS, 0, 0}, ".weight", name);
    /* Gemma 3n has no rows for the tokens of images and sound, which come last. */
    bool fewer = w->arch->streams && w->side_tokens && w->side_tokens->dims[1] < h->vocabulary;
    uint64_t rows = fewer ? w->side_tokens->dims[1] : h->vocabulary;
    capp_status st = capp_bind_shape(b, name, w->side_tokens, (uint64_t)h->layers * h->side, rows);
    if (st != CAPP_OK) return st;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): capp_bind_shape fails if it is NULL */
    w->side_dequant = capp_dequant(w->side_tokens->type);
    return capp_bind_norm(b, (place){CAPP_PART_SIDE_NORM, 0, 0}, 1, h->side, false, &w->side_norm);
}

/* The rows of a layer from the matrix that has the rows of all layers. */
static capp_status bind_context(binder *b, uint32_t index, capp_matrix *m) {
    const capp_hparams *h = &b->w->hparams;
    char name[MOST_NAME];
    const capp_tensor *t = capp_find(b, (place){CAPP_PART_SIDE_CONTEXT, 0, 0}, ".weight", name);
    capp_status st = capp_bind_shape(b, name, t, h->width, (uint64_t)h->layers * h->side);
    if (st != CAPP_OK) return st;
    capp_bind_job(b, m, h->side, 1, h->width);
    m->source[m->n_sources++] = t = capp_derive_slice(b, t, (uint64_t)index * h->side, h->side);
    return t ? CAPP_OK : capp_bind_memory(b);
}

capp_status capp_bind_side(binder *b, uint32_t index, capp_side *side) {
    const capp_hparams *h = &b->w->hparams;
    const capp_piece gate = {{CAPP_PART_SIDE_GATE, index, 0}, h->side};
    const capp_piece out = {{CAPP_PART_SIDE_OUT, index, 0}, h->width};
    capp_status st;
    if ((st = bind_context(b, index, &side->context)) != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &gate, 1, 1, h->width, false, &side->gate)) != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &out, 1, 1, h->side, false, &side->out)) != CAPP_OK) return st;
    return capp_bind_norm(b, (place){CAPP_PART_SIDE_POST_NORM, index, 0}, 1, h->width, false, &side->norm);
}
