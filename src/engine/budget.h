/* The memory budget of a session: how many rows a wave may have, and how many slots the KV store and the recurrent
 * states may have, so that everything fits. */
#ifndef CAPP_ENGINE_BUDGET_H
#define CAPP_ENGINE_BUDGET_H

#include "engine/handles.h"

/* Nodes that a window of several rows may touch. */
size_t capp_budget_nodes(uint64_t budget);

/* The memory of a budget that is left for scratch, store and windows. */
uint64_t capp_budget_usable(uint64_t budget);

/* The room of the exact lane: slots for the longest path and a wave, and the fewest states; no slots if there is no
 * exact lane. */
capp_room capp_budget_exact(const capp_session *session, const capp_room *fast);

/* Bytes for scratch, the store and a window of `nodes` nodes, with this room of the fast lane. SIZE_MAX: the number is
 * too large. */
size_t capp_budget_bytes(const capp_session *session, const capp_room *fast, size_t nodes);

/* Chooses the room of the fast lane for paths of up to `longest` tokens, within the budget. */
capp_status capp_budget_choose(const capp_session *session, size_t longest, size_t nodes, capp_room *fast,
                               capp_error *err);

/* How many paths that go on have room for their recurrent states; SIZE_MAX: the model has no states. */
size_t capp_budget_paths(const capp_session *session);

#endif
