/* The pages of the file: prefetches them before they are needed, and gives them back before they fill the memory. Every
 * wave reads the weights that have no place in the cache, layer by layer, so the next layer is prefetched while one is
 * computed. If the file fits in memory, its pages stay. If it does not, the first layers stay and the others are given
 * back after each use. If nothing were given back, the system would drop the pages that were not used for the longest
 * time, and these are needed next. */
#include "file/map.h"
#include "model/binder.h"

/* The data in the file from which a tensor is read. */
static const char *data_of(const capp_tensor *t) {
    return t->type == CAPP_TYPE_QUANTIZED ? ((const capp_quant *)t->data)->weights : t->data;
}

void capp_matrix_prefetch(const capp_matrix *m) {
    for (size_t i = 0; !capp_is_kept(m) && i < m->n_sources; i++)
        capp_map_prefetch(data_of(m->source[i]), (size_t)m->source[i]->bytes);
}

void capp_matrix_unmap(const capp_weights *w, const capp_matrix *m) {
    for (size_t i = 0; i < m->n_sources; i++)
        capp_source_unmap(w->source, data_of(m->source[i]), (size_t)m->source[i]->bytes);
}

/* ---- Layers ---------------------------------------------------------------------------------------------------------
 */

/* Calls fn for every matrix of a layer; the layer after the last one is the head. */
static void each_matrix(const capp_weights *w, size_t index, bool experts, void (*fn)(void *, const capp_matrix *),
                        void *user) {
    const capp_layer *l = index < w->hparams.layers ? &w->layers[index] : NULL;
    const capp_matrix *of_layer[] = {
        l ? &l->qkv : &w->project_out, l ? &l->out : &w->head,      l ? &l->up : NULL,
        l ? &l->down : NULL,           l ? &l->router : NULL,       l ? &l->shared_router : NULL,
        l ? &l->mix_in : NULL,         l ? &l->mix_rates : NULL,    l ? &l->mix_out : NULL,
        l ? &l->side.gate : NULL,      l ? &l->side.context : NULL, l ? &l->side.out : NULL,
        l ? &l->latent.q_b : NULL,     l ? &l->altup.left : NULL,   l ? &l->altup.right : NULL,
        l ? &l->expert_in : NULL,      l ? &l->expert_out : NULL};
    for (size_t i = 0; i < sizeof of_layer / sizeof *of_layer; i++)
        if (of_layer[i]) fn(user, of_layer[i]);
    for (size_t i = 0; i + 1 < w->hparams.streams; i++) {
        const capp_matrix *m = !index ? &w->spread[i] : l ? NULL : &w->merge[i];
        if (m) fn(user, m);
    }
    for (size_t i = 0; l && i < CAPP_MOST_INNER; i++) fn(user, &l->mix_inner[i]);
    size_t heads = l && l->latent.k_b ? 2 * (size_t)w->hparams.heads : 0;
    for (size_t i = 0; i < heads; i++) fn(user, &l->latent.k_b[i]);
    size_t n = experts && l && l->expert_up ? 2 * (size_t)w->hparams.experts : 0;
    for (size_t i = 0; i < n; i++) fn(user, &l->expert_up[i]);
}

static void prefetch_matrix(void *user, const capp_matrix *m) {
    (void)user;
    capp_matrix_prefetch(m);
}

static void drop_matrix(void *user, const capp_matrix *m) {
    const capp_weights *w = user;
    for (size_t i = 0; !m->kept && i < m->n_sources; i++)
        capp_source_drop(w->source, data_of(m->source[i]), (size_t)m->source[i]->bytes);
}

static void count_matrix(void *user, const capp_matrix *m) {
    uint64_t *bytes = user;
    for (size_t i = 0; !m->kept && i < m->n_sources; i++) *bytes += m->source[i]->bytes;
}

/* Whether the rows of a wave choose most experts. This is likely if they make several choices for each expert. */
static bool most_experts(const capp_weights *w, size_t rows) {
    return rows * w->hparams.experts_used >= 4 * (size_t)w->hparams.experts;
}

/* Whether waves read hardly more than embeddings from the file, once the cache is full. */
static bool is_cached(const capp_weights *w) {
    return w->packed_bytes == w->whole_bytes;
}

void capp_weights_ahead(const capp_weights *w, size_t layer, size_t rows) {
    if (rows) each_matrix(w, layer, most_experts(w, rows), prefetch_matrix, NULL);
}

void capp_weights_behind(const capp_weights *w, size_t layer) {
    if (is_cached(w) && w->borrows)
        capp_source_release(w->source);
    else if (layer >= w->resident_layers)
        each_matrix(w, layer, true, drop_matrix, (void *)(uintptr_t)w);
}

void capp_weights_release(const capp_weights *w) {
    if (is_cached(w)) capp_source_release(w->source);
}

void capp_weights_keep(capp_weights *w, uint64_t room) {
    uint64_t bytes = 0, most = 0;
    size_t kept = 0;
    for (size_t i = 0; i <= w->hparams.layers; i++) {
        uint64_t before = bytes;
        each_matrix(w, i, true, count_matrix, &bytes);
        if (bytes - before > most) most = bytes - before;
    }
    w->resident_layers = SIZE_MAX;
    if (bytes <= room) return;
    bytes = 2 * most; /* the current layer and the next */
    while (bytes <= room) each_matrix(w, kept++, true, count_matrix, &bytes);
    w->resident_layers = kept ? kept - 1 : 0;
}

uint64_t capp_weights_streamed(const capp_weights *w) {
    uint64_t bytes = 0;
    for (size_t i = w->resident_layers; i <= w->hparams.layers; i++) each_matrix(w, i, true, count_matrix, &bytes);
    return bytes;
}
