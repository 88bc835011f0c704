/* The memory budget of a session: how many rows a wave may have and how many slots the KV store may have, so that
 * everything fits. */
#ifndef CAPP_ENGINE_BUDGET_H
#define CAPP_ENGINE_BUDGET_H

#include "engine/handles.h"

/* Nodes that a window of several rows may touch. */
size_t capp_budget_nodes(uint64_t budget);

/* The memory of a budget that is left for scratch, store and windows. */
uint64_t capp_budget_usable(uint64_t budget);

/* Slots of the exact lane, which has room for the longest path and a wave; 0 if there is no exact lane. */
size_t capp_budget_exact_slots(const capp_session *session, size_t rows, size_t longest);

/* Bytes for scratch, the store and a window of `nodes` nodes, with waves of `rows` rows, `slots` slots of the fast lane
 * and paths of up to `longest` tokens. SIZE_MAX: the number is too large. */
size_t capp_budget_bytes(const capp_session *session, size_t rows, size_t slots, size_t longest, size_t nodes);

/* Chooses the rows of a wave and the slots of the store for paths of up to `longest` tokens, within the budget. */
capp_status capp_budget_choose(const capp_session *session, size_t longest, size_t nodes, size_t *rows, size_t *slots,
                               capp_error *err);

#endif
