/* Slots for recurrent states. A state is what the recurrent layers of a model keep after a token. It belongs to a node
 * of the token tree and depends on the node's path alone. A row continues from the state of its parent, in the parent's
 * slot or in a copy. If a state is not kept, the plan runs the rows of its path again, from the last state that is
 * kept; so one slot is enough to compute everything, and more slots only save work. */
#ifndef CAPP_PLAN_STATES_H
#define CAPP_PLAN_STATES_H

#include "base/error.h"

#define CAPP_NO_NODE UINT32_MAX
#define CAPP_NO_SLOT UINT32_MAX

typedef struct capp_states {
    uint32_t *owner; /* [n] the node whose state the slot holds; CAPP_NO_NODE: free */
    uint64_t *used;  /* [n] when the state was last needed; 0: probably nothing continues from it */
    size_t n;
    uint64_t clock;
} capp_states;

/* Makes {0} a set of n free slots. */
capp_status capp_states_init(capp_states *states, size_t n, capp_error *err);
void capp_states_free(capp_states *states);

/* Makes all slots free. */
void capp_states_clear(capp_states *states);

#endif
