/* What jobs add to a step. */
#include "base/mem.h"
#include "queue/job.h"

enum { PIECE = 16 }; /* tokens that are added to the tree before their rows are counted */

/* The rows that n nodes need: those that are not in the KV store. */
static size_t rows_of(const capp_tree *tree, const uint32_t *nodes, size_t n, size_t fresh) {
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) rows += tree->nodes[nodes[i]].slot == CAPP_NO_SLOT;
    return rows < fresh ? rows : fresh;
}

capp_status capp_hold_path(capp_queue *queue, const capp_path *path, size_t resident, capp_error *err) {
    capp_tree *tree = capp_step_tree(queue);
    uint32_t last;
    *path->known = resident < path->most ? resident : path->most;
    capp_status st = capp_tree_insert(tree, CAPP_ROOT, path->ids, *path->known, false, path->nodes, &last, err);
    if (st == CAPP_OK) capp_tree_refresh(tree, path->nodes, *path->known);
    return st;
}

capp_status capp_add_path(capp_queue *queue, const capp_path *path, size_t *room, size_t *added, uint32_t *last,
                          capp_error *err) {
    capp_tree *tree = capp_step_tree(queue);
    size_t i = *path->known;
    *last = i ? path->nodes[i - 1] : CAPP_ROOT;
    while (i < path->n && *room) {
        size_t piece = path->n - i < PIECE ? path->n - i : PIECE, touched = tree->touched;
        if (piece > *room) piece = *room;
        capp_status st = capp_tree_insert(tree, *last, path->ids + i, piece, false, path->nodes + i, last, err);
        if (st != CAPP_OK) return st;
        size_t rows = rows_of(tree, path->nodes + i, piece, tree->touched - touched);
        *room -= rows < *room ? rows : *room;
        i += piece;
    }
    capp_status st = CAPP_OK;
    if (i < path->n) st = capp_tree_insert(tree, *last, path->ids + i, 1, false, path->nodes + i, last, err), i++;
    *added = i;
    return st;
}

capp_status capp_add_spread(capp_queue *queue, uint32_t node, bool *full, capp_error *err) {
    capp_tree *tree = capp_step_tree(queue);
    size_t outputs = capp_model_outputs(capp_session_model(queue->session));
    *full = false;
    if (capp_tree_spread_of(tree, node)) return CAPP_OK;
    if (queue->n_spreads == queue->most_spreads) {
        *full = true;
        return CAPP_OK;
    }
    if (!queue->spreads && !(queue->spreads = capp_new(queue->most_spreads * outputs, sizeof *queue->spreads)))
        return capp_fail_memory(err, "the distributions of a step");
    return capp_tree_spread(tree, node, queue->spreads + outputs * queue->n_spreads++, err);
}
