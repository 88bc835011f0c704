/* The plan of a window: the rows to run, in depth-first order of the token tree, cut into waves, with a slot of the KV
 * store for each row, and for models with recurrent layers a slot of its state. The whole window is planned before
 * anything runs: which slots are taken, freed and taken again. So the numbers of a plan are exact. */
#ifndef CAPP_PLAN_PLAN_H
#define CAPP_PLAN_PLAN_H

#include "plan/tree.h"

typedef struct capp_wave {
    size_t first, rows; /* rows first .. first + rows - 1 of the plan */
} capp_wave;

/* Where the recurrent state of a row is. */
typedef struct capp_step {
    uint32_t state; /* slot of the state after the row */
    uint32_t from;  /* slot of the state before it; may be the same slot. CAPP_NO_SLOT: the path begins with this row */
    bool again;     /* the row runs only to compute its state again; nothing else of it is needed */
} capp_step;

typedef struct capp_plan {
    uint32_t *order;  /* [n] nodes to run, parents before children */
    capp_step *steps; /* [n], only if the tree has slots for states; rows are computed in this order */
    size_t steps_capacity;
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
 * are not enough slots. A row takes over the slot of its parent's state, or gets a copy if other children will probably
 * continue from it and a slot can be had: a free one, or that of a state that the window does not need. Requires
 * slots->n >= tree->longest + rows. *plan is {0} or an earlier plan, whose memory is used again. After a failure
 * nothing is resident any more. */
capp_status capp_plan_make(capp_plan *plan, capp_tree *tree, capp_slots *slots, size_t rows, capp_error *err);
void capp_plan_free(capp_plan *plan);

/* Call this when all waves of the window have run: residents whose slots were given to others stop being resident. */
void capp_plan_done(capp_plan *plan, capp_tree *tree);

/* Call this when not all waves have run: the contents of the slots are unknown, and nothing is resident any more. */
void capp_plan_abandon(capp_tree *tree, capp_slots *slots);

#endif
