#include "score/window.h"

#include "base/mem.h"

void capp_window_free(capp_window *w) {
    capp_free(w->rows);
    capp_ids_free(&w->ids);
    capp_free(w->nodes);
    capp_free(w->exact);
    capp_free(w->again);
    capp_free(w->offsets);
    capp_free(w->logprobs);
    capp_free(w->doubles);
}

void capp_window_clear(capp_window *w) {
    w->n_rows = w->judged = w->delivered = w->n_close = 0;
    w->ids.n = w->n_offsets = 0;
    w->same_completions = NULL;
}

size_t capp_window_completions(const capp_window *w, const capp_window_row *row) {
    return w->examples ? w->examples[row->row].n_completions : 1;
}

size_t capp_window_longest(const capp_window *w, const capp_window_row *row) {
    const size_t *offset = w->offsets + row->first_offset;
    size_t longest = 0;
    for (size_t i = 0; i < w->examples[row->row].n_completions; i++)
        if (offset[i + 1] - offset[i] > longest) longest = offset[i + 1] - offset[i];
    return longest;
}

capp_status capp_window_insert(capp_window *w, const capp_window_row *row, capp_tree *tree, bool all, capp_error *err) {
    const int32_t *ids = w->ids.data + row->first_id;
    const size_t *offset = w->offsets + row->first_offset;
    const bool *again = w->again + row->first_offset;
    size_t n = capp_window_completions(w, row);
    uint32_t prompt, last;
    if (!capp_grow(&w->nodes, &w->nodes_capacity, w->ids.n, sizeof *w->nodes))
        return capp_fail_memory(err, "the window");
    uint32_t *nodes = w->nodes + row->first_id + row->n_prompt;
    capp_status st = capp_tree_insert(tree, CAPP_ROOT, ids, row->n_prompt, false, NULL, &prompt, err);
    for (size_t i = 0; i < n && st == CAPP_OK; i++)
        if (all || again[i])
            st = capp_tree_insert(tree, prompt, ids + row->n_prompt + offset[i], offset[i + 1] - offset[i], true,
                                  nodes + offset[i], &last, err);
    return st;
}
