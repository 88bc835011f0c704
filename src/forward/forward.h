/* Running waves of token rows through a model: embeddings, layers with attention over tree paths, head.
 *
 * A capp_forward is what one session needs for it: a KV store, and buffers for one wave. Sizes are known beforehand;
 * but for two lists that may grow while a wave is laid out, nothing is allocated after capp_forward_open. */
#ifndef CAPP_FORWARD_FORWARD_H
#define CAPP_FORWARD_FORWARD_H

#include "base/pool.h"
#include "model/model.h"
#include "plan/plan.h"

typedef struct capp_forward capp_forward;

/* Bytes that capp_forward_open takes. exact: other weights that waves may run with, or NULL. */
size_t capp_forward_bytes(const capp_weights *weights, const capp_weights *exact, int threads, size_t slots,
                          size_t rows, size_t longest);

capp_status capp_forward_open(capp_forward **forward, const capp_weights *weights, const capp_weights *exact,
                              capp_pool *pool, size_t slots, size_t rows, size_t longest, capp_error *err);
void capp_forward_free(capp_forward *forward);

/* What it was opened for; slots may be a few more. */
size_t capp_forward_slots(const capp_forward *forward);
size_t capp_forward_rows(const capp_forward *forward);
size_t capp_forward_longest(const capp_forward *forward);

/* Runs a wave of the plan with w, one of those it was opened with: fills the slots of its nodes, counted from `base`,
 * logprob of their scored children, and best of asked nodes. CAPP_ECANCELLED where the pool is stopped: none of that
 * can be used then. */
capp_status capp_forward_wave(capp_forward *forward, const capp_weights *weights, size_t base, capp_tree *tree,
                              const capp_plan *plan, const capp_wave *wave, capp_error *err);

/* Rows of the last wave that the head needed. */
size_t capp_forward_head_rows(const capp_forward *forward);

/* Operations of the products of a wave of rows, of which the head needs n_heads. */
double capp_forward_flops(const capp_weights *weights, size_t rows, size_t n_heads);

#endif
