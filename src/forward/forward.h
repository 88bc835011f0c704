/* Runs waves of token rows through a model: embeddings, layers with attention over tree paths, head. A capp_forward is
 * the memory that one session needs for this: a KV store, and buffers for one wave. All sizes are known in advance.
 * After capp_forward_open nothing is allocated, except that two lists may grow while a wave is laid out. */
#ifndef CAPP_FORWARD_FORWARD_H
#define CAPP_FORWARD_FORWARD_H

#include "base/pool.h"
#include "model/model.h"
#include "plan/plan.h"

typedef struct capp_forward capp_forward;

/* The sizes of the memory. */
typedef struct capp_room {
    size_t slots;       /* of the KV store; may become a few more */
    size_t exact_slots; /* of that of the exact weights; 0 if there are none */
    size_t states;      /* slots of recurrent states; 0 if the model has none */
    size_t rows;        /* most rows of a wave */
    size_t longest;     /* most tokens of a path */
} capp_room;

/* Number of bytes that capp_forward_open allocates. exact: other weights that waves may use, or NULL. */
size_t capp_forward_bytes(const capp_weights *weights, const capp_weights *exact, int threads, const capp_room *room);

capp_status capp_forward_open(capp_forward **forward, const capp_weights *weights, const capp_weights *exact,
                              capp_pool *pool, const capp_room *room, capp_error *err);
void capp_forward_free(capp_forward *forward);

/* The sizes given to capp_forward_open. */
capp_room capp_forward_room(const capp_forward *forward);

/* Bytes of a recurrent state; 0 if the model has none. */
size_t capp_forward_state_bytes(const capp_weights *weights);

/* Runs a wave of the plan with `weights`, one of the weights given to capp_forward_open. Fills the slots of the nodes
 * in the KV store of these weights and their states (counted from first_state), the logprob of their scored children,
 * and `best` of nodes that are asked for it. Returns CAPP_ECANCELLED if the pool is stopped; then none of these results
 * is valid. */
capp_status capp_forward_wave(capp_forward *forward, const capp_weights *weights, size_t first_state, capp_tree *tree,
                              const capp_plan *plan, const capp_wave *wave, capp_error *err);

/* Number of rows of the last wave that the head needed. */
size_t capp_forward_head_rows(const capp_forward *forward);

/* Number of experts that rows of the last wave chose, summed over its layers, and of layers that have experts. */
size_t capp_forward_experts(const capp_forward *forward, size_t *layers);

/* Number of operations in the products of a wave of `rows` rows; the head needs n_heads of them. */
double capp_forward_flops(const capp_weights *weights, size_t rows, size_t n_heads);

#endif
