/* Close rows: if the scores of the fast lane do not decide a row, the exact lane scores its possible winners again. */
#include <math.h>

#include "base/mem.h"
#include "score/window.h"

/* The score of the class to which completion i belongs. */
static double score_of(const capp_window *window, const capp_example *example, size_t i) {
    size_t class =
        window->weighing->scoring && window->weighing->scoring->class_of ? window->weighing->scoring->class_of[i] : i;
    return capp_decide_score(window->doubles[class], example->prior, class);
}

static double margin_of(const capp_window *window, const capp_window_row *row) {
    return capp_decide_margin(window->options->aggregate, window->margin, capp_window_longest(window, row));
}

/* Adds the row's leader and all completions within the margin of it to the exact lane's window. */
static capp_status score_again(capp_window *window, capp_window_row *row, capp_error *err) {
    const capp_example *example = &window->examples[row->row];
    size_t n = capp_weighing_classes(window->weighing, example);
    size_t best = capp_decide_best(window->doubles, example->prior, n);
    double margin = margin_of(window, row);
    capp_tree *tree = capp_lane_tree(capp_session_exact(window->session));
    capp_status st;
    if (!window->n_close && (st = capp_tree_next_window(tree, err)) != CAPP_OK) return st;
    row->top = capp_decide_score(window->doubles[best], example->prior, best);
    row->stage = CAPP_ROW_WAITING;
    window->n_close++;
    for (size_t i = 0; i < example->n_completions; i++)
        window->again[row->first_offset + i] = row->whole || score_of(window, example, i) + margin >= row->top;
    return capp_window_insert(window, row, tree, false, err);
}

capp_status capp_window_judge(capp_window *window, capp_window_row *row, capp_error *err) {
    capp_status st;
    if ((st = capp_window_read(window, row, err)) != CAPP_OK) return st;
    if ((st = capp_window_weigh(window, row, err)) == CAPP_EINVAL) return CAPP_OK; /* said when it is delivered */
    if (st != CAPP_OK) return st;
    if (!capp_scores_are_close(window->weighing, &window->examples[row->row], window->doubles,
                               window->ids.data + row->first_id + row->n_prompt, window->offsets + row->first_offset,
                               margin_of(window, row)))
        return CAPP_OK;
    capp_session_stats(window->session)->rows_rescored++;
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
    const capp_example *example = &window->examples[row->row];
    double best = -INFINITY;
    capp_status st;
    row->stage = CAPP_ROW_SETTLED;
    if (row->whole) return CAPP_OK;
    if ((st = capp_window_read(window, row, err)) != CAPP_OK) return st;
    if ((st = capp_window_weigh(window, row, err)) == CAPP_EINVAL) return CAPP_OK;
    if (st != CAPP_OK) return st;
    for (size_t i = 0; i < example->n_completions; i++)
        if (window->again[row->first_offset + i] && score_of(window, example, i) > best)
            best = score_of(window, example, i);
    row->whole = best + margin_of(window, row) < row->top;
    return row->whole ? score_again(window, row, err) : CAPP_OK;
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
