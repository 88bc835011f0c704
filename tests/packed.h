/* Packs all matrices of a model into its cache, as waves would. */
#ifndef CAPP_TESTS_PACKED_H
#define CAPP_TESTS_PACKED_H

#include "base/mem.h"
#include "model/model.h"

/* As if every matrix with a place in the cache had been used so often that its next product keeps it. */
static inline void keep_from_now(const capp_weights *w) {
    for (size_t i = 0; i < w->n_kept; i++) atomic_store(&w->kept[i].uses, CAPP_KEPT_FROM);
}

/* Leaves out a matrix if there is not enough memory. */
static inline void pack_matrix(const capp_weights *w, const capp_matrix *m) {
    const char *part;
    float *scratch = m->kept ? capp_aligned_new(capp_matrix_scratch(w, m, 1), sizeof *scratch) : NULL;
    for (size_t i = 0; scratch && i < m->panels; i++) capp_matrix_parts(w, m, i, 1, 0, scratch, &part);
    capp_aligned_delete(scratch);
}

static inline void pack_layer(const capp_weights *w, const capp_layer *l) {
    const capp_matrix *plain[] = {&l->qkv,           &l->out,        &l->up,           &l->down,     &l->router,
                                  &l->shared_router, &l->mix_in,     &l->mix_rates,    &l->mix_out,  &l->expert_in,
                                  &l->expert_out,    &l->side.gate,  &l->side.context, &l->side.out, &l->latent.q_b,
                                  &l->altup.left,    &l->altup.right};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) pack_matrix(w, plain[i]);
    for (size_t i = 0; i < CAPP_MOST_INNER; i++) pack_matrix(w, &l->mix_inner[i]);
    for (size_t i = 0; l->latent.k_b && i < 2 * (size_t)w->hparams.heads; i++) pack_matrix(w, &l->latent.k_b[i]);
    for (size_t i = 0; l->expert_up && i < 2 * (size_t)w->hparams.experts; i++) pack_matrix(w, &l->expert_up[i]);
}

static inline void pack_all(const capp_weights *w) {
    keep_from_now(w);
    for (size_t i = 0; i < w->hparams.layers; i++) pack_layer(w, &w->layers[i]);
    pack_matrix(w, &w->project_in);
    pack_matrix(w, &w->project_out);
    pack_matrix(w, &w->head);
    for (size_t i = 0; i + 1 < w->hparams.streams; i++) pack_matrix(w, &w->spread[i]), pack_matrix(w, &w->merge[i]);
}

#endif
