/* The plan of a window: the rows to run, in depth-first order of the token tree, cut into waves, with a slot of the KV
 * store for each row. The whole window is planned before anything runs: which slots are taken, freed and taken again.
 * So the numbers of a plan are exact. */
#ifndef CAPP_PLAN_PLAN_H
#define CAPP_PLAN_PLAN_H

#include "plan/tree.h"

typedef struct capp_wave {
    size_t first, rows; /* rows first .. first + rows - 1 of the plan */
} capp_wave;

typedef struct capp_plan {
    uint32_t *order; /* [n] nodes to run, parents before children */
    size_t n, order_capacity;
    capp_wave *waves;
    size_t n_waves, waves_capacity;
    uint32_t *freed; /* [n_freed] nodes of the window whose slots later rows of the window take */
    size_t n_freed, freed_capacity;
} capp_plan;

/* Slots of the KV store: which ones are taken. */
typedef struct capp_slots {
    uint64_t *taken; /* one bit per slot */
    size_t n;        /* number of slots */
    size_t n_free;
    size_t next; /* where the search for a free slot continues */
} capp_slots;

capp_status capp_slots_init(capp_slots *slots, size_t n, capp_error *err);
void capp_slots_free(capp_slots *slots);

/* Plans the window of tree into waves of at most `rows` rows. Idle residents lose their slots, oldest first, if there
 * are not enough slots. Requires slots->n >= tree->longest + rows. *plan is {0} or an earlier plan, whose memory is
 * used again. After a failure nothing is resident any more. */
capp_status capp_plan_make(capp_plan *plan, capp_tree *tree, capp_slots *slots, size_t rows, capp_error *err);
void capp_plan_free(capp_plan *plan);

/* Call this when all waves of the window have run: residents whose slots were given to others stop being resident. */
void capp_plan_done(capp_plan *plan, capp_tree *tree);

/* Call this when not all waves have run: the contents of the slots are unknown, and nothing is resident any more. */
void capp_plan_abandon(capp_tree *tree, capp_slots *slots);

#endif
