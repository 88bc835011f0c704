/* Binds what models with several streams have besides: see capp_altup. */
#include "model/binder.h"

/* A matrix of width x width for each stream but the first. GGUF files have one tensor for all. */
static capp_status bind_square(binder *b, capp_part part, uint32_t stream, capp_matrix *m) {
    const uint64_t w = b->w->hparams.width, n = b->w->hparams.streams - 1;
    const capp_piece piece = {{part, stream, 0}, (size_t)w};
    char name[MOST_NAME];
    if (capp_in_folder(b)) return capp_bind_matrix(b, &piece, 1, 1, (size_t)w, false, m);
    const capp_tensor *t = capp_find(b, piece.place, ".weight", name);
    capp_status st = capp_bind_type(b, name, t);
    if (st != CAPP_OK) return st;
    if (t->dims[0] != w || t->dims[1] != w || t->dims[2] != n || t->dims[3] != 1)
        return capp_bind_wrong_shape(b, name, t, w, w);
    capp_bind_job(b, m, (size_t)w, 1, (size_t)w);
    m->source[m->n_sources++] = t = capp_derive_slice(b, t, stream * w, w);
    return t ? CAPP_OK : capp_bind_memory(b);
}

capp_status capp_bind_streams(binder *b) {
    capp_status st;
    for (uint32_t i = 0; i + 1 < b->w->hparams.streams; i++) {
        if ((st = bind_square(b, CAPP_PART_SPREAD, i, &b->w->spread[i])) != CAPP_OK) return st;
        if ((st = bind_square(b, CAPP_PART_MERGE, i, &b->w->merge[i])) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* The router reads the normed stream divided by its width. */
static capp_status bind_router(binder *b, uint32_t index, capp_altup *altup) {
    const size_t w = b->w->hparams.width;
    float *weight = capp_bind_new_floats(b, w);
    if (!weight) return capp_bind_memory(b);
    capp_status st = capp_bind_read(b, (place){CAPP_PART_ALTUP_NORM, index, 0}, ".weight", w, weight);
    for (size_t i = 0; i < w && st == CAPP_OK; i++) weight[i] /= (float)w;
    altup->norm.weight = weight;
    if (st != CAPP_OK) return st;
    return capp_bind_floats(b, (place){CAPP_PART_ALTUP_ROUTER, index, 0}, ".weight", b->w->hparams.streams * w,
                            &altup->router);
}

capp_status capp_bind_altup(binder *b, uint32_t index, capp_altup *altup) {
    const capp_hparams *h = &b->w->hparams;
    const size_t n = h->streams, w = h->width;
    const capp_piece left = {{CAPP_PART_LAUREL_LEFT, index, 0}, h->laurel};
    const capp_piece right = {{CAPP_PART_LAUREL_RIGHT, index, 0}, w};
    const place predict = {CAPP_PART_ALTUP_PREDICT, index, 0}, correct = {CAPP_PART_ALTUP_CORRECT, index, 0};
    const place scale = {CAPP_PART_ALTUP_SCALE, index, 0};
    const char *suffix = capp_weight_suffix(b, CAPP_PART_ALTUP_SCALE);
    capp_status st;
    if ((st = bind_router(b, index, altup)) != CAPP_OK) return st;
    if ((st = capp_bind_floats(b, predict, ".weight", n * n * n, &altup->predict)) != CAPP_OK) return st;
    if ((st = capp_bind_floats(b, correct, ".weight", n * n, &altup->correct)) != CAPP_OK) return st;
    if (!h->altup_scale)
        capp_bind_ignore(b, scale, suffix);
    else if ((st = capp_bind_floats(b, scale, suffix, w, &altup->scale)) != CAPP_OK)
        return st;
    if ((st = capp_bind_matrix(b, &left, 1, 1, w, false, &altup->left)) != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &right, 1, 1, h->laurel, false, &altup->right)) != CAPP_OK) return st;
    return capp_bind_norm(b, (place){CAPP_PART_LAUREL_NORM, index, 0}, 1, w, false, &altup->laurel_norm);
}
