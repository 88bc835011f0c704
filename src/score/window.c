#include "score/window.h"

#include "base/mem.h"
#include "prompt/prompt.h"

void capp_window_free(capp_window *window) {
    capp_free(window->rows);
    capp_ids_free(&window->ids);
    capp_free(window->nodes);
    capp_free(window->exact);
    capp_free(window->first);
    capp_free(window->again);
    capp_free(window->offsets);
    capp_free(window->logprobs);
    capp_judge_free(&window->judge);
    capp_completions_release(window->list);
}

void capp_window_clear(capp_window *window) {
    window->n_rows = window->computed = window->judged = window->delivered = window->n_close = 0;
    window->ids.n = window->n_offsets = 0;
}

size_t capp_window_completions(const capp_window *window, const capp_window_row *row) {
    return window->examples ? window->examples[row->row].n_completions : 1;
}

size_t capp_window_longest(const capp_window *window, const capp_window_row *row) {
    const size_t *offset = window->offsets + row->first_offset;
    size_t longest = 0;
    for (size_t i = 0; i < window->examples[row->row].n_completions; i++)
        if (offset[i + 1] - offset[i] > longest) longest = offset[i + 1] - offset[i];
    return longest;
}

capp_status capp_window_insert(capp_window *window, const capp_window_row *row, capp_tree *tree, bool all,
                               capp_error *err) {
    const int32_t *ids = window->ids.data + row->first_id;
    const size_t *offset = window->offsets + row->first_offset;
    const bool *again = window->again + row->first_offset;
    size_t n = capp_window_completions(window, row);
    uint32_t prompt, last;
    if (!capp_grow(&window->nodes, &window->nodes_capacity, window->ids.n, sizeof *window->nodes))
        return capp_fail_memory(err, "the window");
    uint32_t *nodes = window->nodes + row->first_id + row->n_prompt;
    capp_status st = capp_tree_insert(tree, CAPP_ROOT, ids, row->n_prompt, false, NULL, &prompt, err);
    for (size_t i = 0; i < n && st == CAPP_OK; i++)
        if (all || again[i])
            st = capp_tree_insert(tree, prompt, ids + row->n_prompt + offset[i], offset[i + 1] - offset[i], true,
                                  nodes + offset[i], &last, err);
    return st;
}
