/* The step after the model: the row gets its log-probabilities from the tree, and scores from its log-probabilities. */
#include "base/mem.h"
#include "score/window.h"

capp_status capp_window_read(capp_window *window, const capp_window_row *row, capp_error *err) {
    size_t first = row->first_id + row->n_prompt, n = capp_window_completions(window, row);
    const capp_node *nodes = capp_lane_tree(window->lane)->nodes;
    const size_t *offset = window->offsets + row->first_offset;
    const bool *again = window->again + row->first_offset;
    if (!capp_grow(&window->logprobs, &window->logprobs_capacity, row->n_scored + 1, sizeof *window->logprobs))
        return capp_fail_memory(err, "the results");
    for (size_t c = 0; c < n; c++)
        for (size_t i = offset[c]; i < offset[c + 1]; i++)
            window->logprobs[i] = again[c] ? window->exact[first + i] : nodes[window->nodes[first + i]].logprob;
    return CAPP_OK;
}

capp_status capp_window_weigh(capp_window *window, const capp_window_row *row, capp_error *err) {
    const capp_example *example = &window->examples[row->row];
    size_t n_classes = capp_weighing_classes(window->weighing, example);
    size_t scratch = row->n_scored + example->n_completions;
    if (!capp_grow(&window->doubles, &window->doubles_capacity, 3 * n_classes + scratch, sizeof *window->doubles))
        return capp_fail_memory(err, "the results");
    capp_status st =
        capp_weigh(window->weighing, example, row->row, window->logprobs, window->offsets + row->first_offset,
                   window->doubles + 3 * n_classes, window->doubles, err);
    if (st != CAPP_OK && err) err->row = row->row;
    return st;
}
