/* The first step: texts become tokens, and tokens go into the token tree of the window's lane. */
#include "base/mem.h"
#include "prompt/prompt.h"
#include "score/window.h"

enum { MOST_ROWS = 4096 };

static capp_status add_offset(capp_window *window, size_t offset, capp_error *err) {
    if (!capp_grow(&window->offsets, &window->offsets_capacity, window->n_offsets + 1, sizeof *window->offsets) ||
        !capp_grow(&window->again, &window->again_capacity, window->n_offsets + 1, sizeof *window->again))
        return capp_fail_memory(err, "the window");
    window->again[window->n_offsets] = false;
    window->offsets[window->n_offsets++] = offset;
    return CAPP_OK;
}

/* Appends the ids of all completions and their offsets. */
static capp_status encode_completions(capp_window *window, const capp_example *example, capp_window_row *row,
                                      capp_error *err) {
    const capp_model *model = capp_session_model(window->session);
    capp_status st = capp_completions_take(&window->list, model, example, window->options, err);
    if (st != CAPP_OK) return st;
    const capp_completions *list = window->list;
    for (size_t i = 0; i < list->ids.n; i++)
        if (!capp_ids_push(&window->ids, list->ids.data[i])) return capp_fail_memory(err, "the window");
    row->n_scored = list->ids.n;
    row->first_offset = window->n_offsets;
    for (size_t i = 0; i <= list->n && st == CAPP_OK; i++) st = add_offset(window, list->offset[i], err);
    return st;
}

static capp_status encode_example(capp_window *window, capp_window_row *row, capp_error *err) {
    const capp_example *example = &window->examples[row->row];
    const capp_model *model = capp_session_model(window->session);
    capp_status st;
    if ((st = capp_weighing_check(window->judge.weighing, example, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prompt(model, example->prompt, window->options, row->row, &window->ids, err)) != CAPP_OK)
        return st;
    row->n_prompt = window->ids.n - row->first_id;
    if ((st = encode_completions(window, example, row, err)) != CAPP_OK) return st;
    return capp_weighing_check_tokens(window->judge.weighing, window->offsets + row->first_offset,
                                      example->n_completions, err);
}

/* For a text, its prefix and first token are the prompt, and the other tokens its one completion. */
static capp_status encode_text(capp_window *window, capp_window_row *row, capp_error *err) {
    const capp_model *model = capp_session_model(window->session);
    capp_status st = capp_encode_row_text(model, window->texts[row->row], window->options, row->row, window->flags,
                                          &window->ids, err);
    if (st != CAPP_OK) return st;
    row->n_prompt = 1 + capp_row_prefix_tokens(window->options, row->row);
    row->n_scored = window->ids.n - row->first_id - row->n_prompt;
    row->first_offset = window->n_offsets;
    if ((st = add_offset(window, 0, err)) != CAPP_OK) return st;
    return add_offset(window, row->n_scored, err);
}

/* Whether the row fits the context and, together with the earlier rows of the window, the budget. */
static capp_status check_length(const capp_window *window, const capp_window_row *row, capp_error *err) {
    const capp_session *session = window->session;
    size_t n = row->n_prompt + (window->examples ? capp_window_longest(window, row) : row->n_scored);
    capp_status st = capp_check_context(capp_session_model(session), n, err);
    if (st != CAPP_OK) return st;
    if (window->n_rows && window->ids.n > capp_session_node_limit(session))
        return capp_fail(err, CAPP_EBUDGET, "the window is full");
    return capp_session_check(session, n, window->ids.n, err);
}

/* Adds row `index` of the call to the window. On failure the window is unchanged, but its tree may have changed. */
static capp_status add_row(capp_window *window, size_t index, capp_error *err) {
    capp_window_row row = {.row = index, .first_id = window->ids.n};
    size_t ids = window->ids.n, offsets = window->n_offsets;
    capp_status st = CAPP_OK;
    if (!capp_grow(&window->rows, &window->rows_capacity, window->n_rows + 1, sizeof *window->rows))
        st = capp_fail_memory(err, "the window");
    if (st == CAPP_OK) st = window->examples ? encode_example(window, &row, err) : encode_text(window, &row, err);
    if (st == CAPP_OK) st = check_length(window, &row, err);
    if (st == CAPP_OK) st = capp_window_insert(window, &row, capp_lane_tree(window->lane), true, err);
    if (st == CAPP_OK) {
        window->rows[window->n_rows++] = row;
        return st;
    }
    window->ids.n = ids;
    window->n_offsets = offsets;
    err->row = index;
    return st;
}

/* A window takes at least one row of any size. */
static bool has_room(const capp_window *window) {
    if (!window->n_rows) return true;
    return window->n_rows < MOST_ROWS && capp_window_has_time(window) &&
           capp_lane_tree(window->lane)->touched + window->ids.n < capp_session_node_limit(window->session);
}

capp_status capp_window_fill(capp_window *window, size_t *next, capp_error *err) {
    capp_status st = capp_tree_next_window(capp_lane_tree(window->lane), err);
    for (; st == CAPP_OK && *next < window->total && has_room(window); ++*next) {
        if (capp_session_cancelled(window->session)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
        if ((st = add_row(window, *next, err)) != CAPP_OK) return st;
        if (window->n_rows == 1) window->first_nodes = capp_lane_tree(window->lane)->touched;
    }
    return st;
}
