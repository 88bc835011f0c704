/* Close rows: if the scores of the fast lane do not decide a row, the exact lane scores its possible winners again. */
#include <string.h>

#include "base/mem.h"
#include "score/window.h"

/* Adds the completions of row->first_offset that `again` names to the exact lane's window. */
static capp_status score_again(capp_window *window, capp_window_row *row, capp_error *err) {
    capp_tree *tree = capp_lane_tree(capp_session_exact(window->session));
    capp_status st;
    if (!window->n_close && (st = capp_tree_next_window(tree, err)) != CAPP_OK) return st;
    row->stage = CAPP_ROW_WAITING;
    window->n_close++;
    return capp_window_insert(window, row, tree, false, err);
}

/* Keeps what the fast lane found: the tree of the exact lane takes the place of its nodes. */
static capp_status keep_first(capp_window *window, const capp_window_row *row, capp_error *err) {
    if (!capp_grow(&window->first, &window->first_capacity, window->ids.n, sizeof *window->first))
        return capp_fail_memory(err, "the results");
    memcpy(window->first + row->first_id + row->n_prompt, window->logprobs, row->n_scored * sizeof *window->first);
    return CAPP_OK;
}

capp_status capp_window_judge(capp_window *window, capp_window_row *row, capp_error *err) {
    bool close;
    capp_status st = capp_window_read(window, row, err);
    if (st != CAPP_OK) return st;
    const capp_scored scored = capp_window_scored(window, row);
    bool *again = window->again + row->first_offset;
    st = capp_judge_fast(&window->judge, &scored, window->margin, again, &row->top, &close, err);
    if (st != CAPP_OK || !close) return st;
    capp_session_stats(window->session)->rows_rescored++;
    if ((st = keep_first(window, row, err)) != CAPP_OK) return st;
    return score_again(window, row, err);
}

/* Reads the row's log-probabilities from the exact lane. */
static capp_status take_exact(capp_window *window, capp_window_row *row, capp_error *err) {
    size_t first = row->first_id + row->n_prompt;
    const size_t *offset = window->offsets + row->first_offset;
    const capp_node *nodes = capp_lane_tree(capp_session_exact(window->session))->nodes;
    if (!capp_grow(&window->exact, &window->exact_capacity, window->ids.n, sizeof *window->exact))
        return capp_fail_memory(err, "the results");
    for (size_t c = 0; c < window->examples[row->row].n_completions; c++)
        for (size_t i = offset[c]; i < offset[c + 1] && window->again[row->first_offset + c]; i++)
            window->exact[first + i] = nodes[window->nodes[first + i]].logprob;
    row->stage = CAPP_ROW_RESCORED;
    return CAPP_OK;
}

/* If all completions that were scored again fall below others, scores all completions of the row again. */
static capp_status judge_again(capp_window *window, capp_window_row *row, capp_error *err) {
    row->stage = CAPP_ROW_SETTLED;
    if (row->whole) return CAPP_OK;
    capp_status st = capp_window_read(window, row, err);
    if (st != CAPP_OK) return st;
    const capp_scored scored = capp_window_scored(window, row);
    bool *again = window->again + row->first_offset;
    st = capp_judge_exact(&window->judge, &scored, window->margin, again, row->top, &row->whole, err);
    return st == CAPP_OK && row->whole ? score_again(window, row, err) : st;
}

capp_status capp_window_rescore(capp_window *window, capp_error *err) {
    capp_session *session = window->session;
    const capp_stats *stats = capp_session_stats(session);
    capp_status st = CAPP_OK;
    while (window->n_close && st == CAPP_OK) {
        uint64_t before = stats->tokens_computed;
        st = capp_session_run(session, capp_session_exact(session), NULL, NULL, err);
        window->close_tokens += stats->tokens_computed - before;
        for (size_t i = window->delivered; i < window->judged && st == CAPP_OK; i++)
            if (window->rows[i].stage == CAPP_ROW_WAITING) st = take_exact(window, &window->rows[i], err);
        window->n_close = 0;
        for (size_t i = window->delivered; i < window->judged && st == CAPP_OK; i++)
            if (window->rows[i].stage == CAPP_ROW_RESCORED) st = judge_again(window, &window->rows[i], err);
    }
    return st;
}
