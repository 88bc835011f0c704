/* The step after the model: the row gets its log-probabilities from the tree. */
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

capp_scored capp_window_scored(const capp_window *window, const capp_window_row *row) {
    const int32_t *ids = window->ids.data + row->first_id;
    return (capp_scored){.row = row->row,
                         .example = &window->examples[row->row],
                         .prompt_ids = ids,
                         .n_prompt_ids = row->n_prompt,
                         .offset = window->offsets + row->first_offset,
                         .ids = ids + row->n_prompt,
                         .logprobs = window->logprobs};
}
