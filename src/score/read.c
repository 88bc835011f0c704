/* The station behind the model: the tree's log-probabilities become the row's, and those its scores. */
#include "base/mem.h"
#include "score/window.h"

capp_status capp_window_read(capp_window *w, const capp_window_row *row, capp_error *err) {
    size_t first = row->first_id + row->n_prompt, n = capp_window_completions(w, row);
    const capp_node *nodes = capp_lane_tree(w->lane)->nodes;
    const size_t *offset = w->offsets + row->first_offset;
    const bool *again = w->again + row->first_offset;
    if (!capp_grow(&w->logprobs, &w->logprobs_capacity, row->n_scored + 1, sizeof *w->logprobs))
        return capp_fail_memory(err, "the results");
    for (size_t c = 0; c < n; c++)
        for (size_t i = offset[c]; i < offset[c + 1]; i++)
            w->logprobs[i] = again[c] ? w->exact[first + i] : nodes[w->nodes[first + i]].logprob;
    return CAPP_OK;
}

capp_status capp_window_weigh(capp_window *w, const capp_window_row *row, capp_error *err) {
    const capp_example *example = &w->examples[row->row];
    size_t n_classes = capp_weighing_classes(w->weighing, example), scratch = row->n_scored + example->n_completions;
    if (!capp_grow(&w->doubles, &w->doubles_capacity, 3 * n_classes + scratch, sizeof *w->doubles))
        return capp_fail_memory(err, "the results");
    capp_status st = capp_weigh(w->weighing, example, row->row, w->logprobs, w->offsets + row->first_offset,
                                w->doubles + 3 * n_classes, w->doubles, err);
    if (st != CAPP_OK && err) err->row = row->row;
    return st;
}
