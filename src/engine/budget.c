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

size_t capp_budget_exact_slots(const capp_session *session, size_t rows, size_t longest) {
    return session->exact.weights ? longest + rows : 0;
}

/* In addition to the window's nodes, the tree holds nodes of earlier windows: at most twice as many as are resident
 * (capp_tree_next_window). */
size_t capp_budget_bytes(const capp_session *session, size_t rows, size_t slots, size_t longest, size_t nodes) {
    size_t exact = capp_budget_exact_slots(session, rows, longest), window;
    size_t bytes = capp_forward_bytes(session->fast.weights, session->exact.weights, session->model->threads,
                                      slots + exact, rows, longest);
    if (session->exact.weights && !capp_mul(nodes, 2, &nodes)) return SIZE_MAX;
    if (!capp_mul(slots + exact, 2, &window) || __builtin_add_overflow(window, nodes, &nodes) ||
        !capp_mul(nodes, NODE_BYTES, &window) || __builtin_add_overflow(bytes, window, &bytes))
        return SIZE_MAX;
    return bytes;
}

/* Bytes of the smallest run with a path of `longest` tokens. */
static size_t least_bytes(const capp_session *session, size_t longest, size_t nodes, uint64_t budget) {
    size_t limit = capp_budget_nodes(budget);
    return capp_budget_bytes(session, LEAST_ROWS, longest + LEAST_ROWS, longest, nodes > limit ? nodes : limit);
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
        (unsigned long long)budget, session->exact.weights ? ", use precision f32, which needs half as much," : "");
}

/* If every wave reads weights from the disk, a wave takes as many rows as possible. */
static size_t most_rows(const capp_session *session) {
    return capp_weights_streamed(session->fast.weights) ? MOST_STREAMED_ROWS : MOST_ROWS;
}

/* As many rows as fit, then more slots for contents that are used often: some paths, and what the caller wants to keep.
 * Not as many slots as would fit: otherwise the store would fill with rows that are never used again, and memory would
 * grow with their number. */
capp_status capp_budget_choose(const capp_session *session, size_t longest, size_t nodes, size_t *rows, size_t *slots,
                               capp_error *err) {
    size_t usable = (size_t)capp_budget_usable(session->model->memory), n = most_rows(session);
    while (n > LEAST_ROWS && capp_budget_bytes(session, n, longest + n, longest, nodes) > usable) n /= 2;
    if (capp_budget_bytes(session, n, longest + n, longest, nodes) > usable)
        return capp_session_check(session, longest, nodes, err);
    size_t most = 2 * (longest + n), low = longest + n;
    if (most < session->keep) most = session->keep;
    while (low < most) { /* the largest number of slots that fits */
        size_t middle = (low + most + 1) / 2;
        if (capp_budget_bytes(session, n, middle, longest, nodes) <= usable)
            low = middle;
        else
            most = middle - 1;
    }
    *rows = n;
    *slots = low;
    return CAPP_OK;
}
