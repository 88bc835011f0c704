#include "engine/budget.h"
#include "base/mem.h"

enum { MIB = 1 << 20 };
enum { MOST_ROWS = 768, MOST_STREAMED_ROWS = 8192, LEAST_ROWS = 16 };

/* Bytes of a window's lists for each node of the tree: the tree, the plan, ids and results. */
enum { NODE_BYTES = 2 * sizeof(capp_node) + 64 };

/* The part of a budget that is reserved for other memory of the process: its code, the vocabulary, the caller's rows.
 */
enum { PROCESS_BYTES = 32 * MIB };

size_t capp_budget_nodes(uint64_t budget) {
    uint64_t share = budget / 8, most = (uint64_t)256 * MIB;
    return (size_t)(share < most ? share : most) / NODE_BYTES;
}

uint64_t capp_budget_usable(uint64_t budget) {
    return budget - (budget / 4 < PROCESS_BYTES ? budget / 4 : PROCESS_BYTES);
}

/* A model with recurrent states needs one slot. With a few, what branches is computed once: a prompt, a beginning that
 * completions share, one that prompts share. More keep what may be used again; they are as many as fit into a moderate
 * amount of memory. */
enum { LEAST_STATES = 4, MOST_STATES = 64, MOST_STATE_BYTES = 256 * MIB };

static size_t state_bytes(const capp_session *session) {
    return capp_forward_state_bytes(session->fast.weights);
}

static size_t least_states(const capp_session *session) {
    return state_bytes(session) ? LEAST_STATES : 0;
}

static size_t most_states(const capp_session *session, size_t paths) {
    size_t bytes = state_bytes(session), n = bytes ? MOST_STATE_BYTES / bytes : 0;
    if (!bytes) return 0;
    if (n > MOST_STATES) n = MOST_STATES;
    if (n < LEAST_STATES + paths) n = LEAST_STATES + paths;
    return n;
}

/* States take at most a quarter of the budget for this. */
size_t capp_budget_paths(const capp_session *session) {
    size_t bytes = state_bytes(session), usable = (size_t)capp_budget_usable(session->model->memory);
    if (!bytes) return SIZE_MAX;
    size_t n = usable / 4 / bytes;
    return n > LEAST_STATES ? n - LEAST_STATES : 1;
}

capp_room capp_budget_exact(const capp_session *session, const capp_room *fast) {
    if (!session->exact.weights) return (capp_room){0};
    return (capp_room){.slots = fast->longest + fast->rows, .states = least_states(session)};
}

/* In addition to the window's nodes, the tree holds nodes of earlier windows: at most twice as many as are resident
 * (capp_tree_next_window). */
size_t capp_budget_bytes(const capp_session *session, const capp_room *fast, size_t nodes) {
    capp_room exact = capp_budget_exact(session, fast), both = *fast;
    size_t window;
    both.exact_slots = exact.slots;
    both.states += exact.states;
    size_t bytes = capp_forward_bytes(session->fast.weights, session->exact.weights, session->model->threads, &both);
    if (session->exact.weights && !capp_mul(nodes, 2, &nodes)) return SIZE_MAX;
    if (__builtin_add_overflow(both.slots, exact.slots, &window) || !capp_mul(window, 2, &window) ||
        __builtin_add_overflow(window, nodes, &nodes) || !capp_mul(nodes, NODE_BYTES, &window) ||
        __builtin_add_overflow(bytes, window, &bytes))
        return SIZE_MAX;
    return bytes;
}

/* The smallest room for a path of `longest` tokens with waves of `rows` rows. */
static capp_room least_room(const capp_session *session, size_t rows, size_t longest) {
    return (capp_room){.slots = longest + rows, .states = least_states(session), .rows = rows, .longest = longest};
}

/* Bytes of the smallest run with a path of `longest` tokens. */
static size_t least_bytes(const capp_session *session, size_t longest, size_t nodes, uint64_t budget) {
    size_t limit = capp_budget_nodes(budget);
    capp_room room = least_room(session, LEAST_ROWS, longest);
    return capp_budget_bytes(session, &room, nodes > limit ? nodes : limit);
}

/* The smallest budget, in MiB, that the smallest run fits. The reserved part of a budget grows with it. */
static uint64_t least_budget(const capp_session *session, size_t longest, size_t nodes) {
    uint64_t low = 0, high = 1;
    while (high < UINT64_MAX / MIB / 2 &&
           least_bytes(session, longest, nodes, high * MIB) > capp_budget_usable(high * MIB))
        low = high, high *= 2;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (least_bytes(session, longest, nodes, middle * MIB) > capp_budget_usable(middle * MIB))
            low = middle;
        else
            high = middle;
    }
    return high;
}

capp_status capp_session_check(const capp_session *session, size_t longest, size_t nodes, capp_error *err) {
    uint64_t budget = session->model->memory;
    if (least_bytes(session, longest, nodes, budget) <= capp_budget_usable(budget)) return CAPP_OK;
    return capp_fail(
        err, CAPP_EBUDGET,
        "%zu tokens, %zu of them in the longest sequence, need %llu MiB, but the memory budget is %llu MiB "
        "(%llu bytes); set a larger budget%s or shorten the text",
        nodes, longest, (unsigned long long)least_budget(session, longest, nodes), (unsigned long long)(budget / MIB),
        (unsigned long long)budget, session->exact.weights ? ", use precision f32, which needs less," : "");
}

bool capp_session_streams(const capp_session *session) {
    return session->fast.weights->resident_layers <= session->fast.weights->hparams.layers;
}

/* If every wave reads weights from the disk, a wave takes as many rows as possible. */
static size_t most_rows(const capp_session *session) {
    return capp_session_streams(session) ? MOST_STREAMED_ROWS : MOST_ROWS;
}

/* The largest *n up to `most`, at least its present value, with which room, which contains it, fits. */
static void widen(const capp_session *session, capp_room *room, size_t *n, size_t most, size_t nodes) {
    size_t low = *n, usable = (size_t)capp_budget_usable(session->model->memory);
    while (low < most) {
        *n = low + (most - low + 1) / 2;
        if (capp_budget_bytes(session, room, nodes) <= usable)
            low = *n;
        else
            most = *n - 1;
    }
    *n = low;
}

/* As many rows as fit, then more slots for contents that are used often: some paths, and what the caller wants to keep;
 * then more recurrent states. Not as many slots as would fit: otherwise the store would fill with rows that are never
 * used again, and memory would grow with their number. */
capp_status capp_budget_choose(const capp_session *session, size_t longest, size_t nodes, capp_room *fast,
                               capp_error *err) {
    size_t usable = (size_t)capp_budget_usable(session->model->memory), n = most_rows(session);
    *fast = least_room(session, n, longest);
    while (n > LEAST_ROWS && capp_budget_bytes(session, fast, nodes) > usable)
        *fast = least_room(session, n /= 2, longest);
    if (capp_budget_bytes(session, fast, nodes) > usable) return capp_session_check(session, longest, nodes, err);
    size_t slots = 2 * (longest + n);
    widen(session, fast, &fast->slots, slots < session->keep ? session->keep : slots, nodes);
    widen(session, fast, &fast->states, most_states(session, session->keep_paths), nodes);
    return CAPP_OK;
}
