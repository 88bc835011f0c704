/* The first station: texts to tokens, tokens into the token tree of the window's lane. */
#include "base/mem.h"
#include "prompt/prompt.h"
#include "score/window.h"

enum { MOST_ROWS = 4096 };

static capp_status add_offset(capp_window *w, size_t offset, capp_error *err) {
    if (!capp_grow(&w->offsets, &w->offsets_capacity, w->n_offsets + 1, sizeof *w->offsets) ||
        !capp_grow(&w->again, &w->again_capacity, w->n_offsets + 1, sizeof *w->again))
        return capp_fail_memory(err, "the window");
    w->again[w->n_offsets] = false;
    w->offsets[w->n_offsets++] = offset;
    return CAPP_OK;
}

/* Appends the ids and offsets of the row before, whose completions are the same. */
static capp_status repeat_completions(capp_window *w, size_t n, capp_error *err) {
    const capp_window_row *same = &w->rows[w->same_row];
    size_t from = same->first_id + same->n_prompt;
    capp_status st = CAPP_OK;
    for (size_t i = 0; i < same->n_scored; i++)
        if (!capp_ids_push(&w->ids, w->ids.data[from + i])) return capp_fail_memory(err, "the window");
    for (size_t i = 0; i <= n && st == CAPP_OK; i++) st = add_offset(w, w->offsets[same->first_offset + i], err);
    return st;
}

/* Appends the ids of all completions and their offsets. */
static capp_status encode_completions(capp_window *w, const capp_example *example, capp_window_row *row,
                                      capp_error *err) {
    const capp_model *model = capp_session_model(w->session);
    unsigned flags = w->options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
    size_t start = w->ids.n, n = example->n_completions;
    bool space;
    capp_status st;
    if ((st = capp_needs_space(model, capp_end_of_prompt(example, w->options), &space, err)) != CAPP_OK) return st;
    row->first_offset = w->n_offsets;
    if (w->same_completions == example->completions && w->same_n == n && w->same_space == space) {
        if ((st = repeat_completions(w, n, err)) != CAPP_OK) return st;
    } else {
        if ((st = add_offset(w, 0, err)) != CAPP_OK) return st;
        for (size_t i = 0; i < n; i++) {
            st = capp_encode_text(model, example->completions[i], space, flags, "completion", &w->ids, err);
            if (st != CAPP_OK) return st;
            if ((st = add_offset(w, w->ids.n - start, err)) != CAPP_OK) return st;
        }
        w->same_completions = example->completions;
        w->same_n = n;
        w->same_space = space;
        w->same_row = w->n_rows;
    }
    row->n_scored = w->ids.n - start;
    return CAPP_OK;
}

static capp_status encode_example(capp_window *w, capp_window_row *row, capp_error *err) {
    const capp_example *example = &w->examples[row->row];
    const capp_model *model = capp_session_model(w->session);
    capp_status st;
    if ((st = capp_weighing_check(w->weighing, example, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prompt(model, example->prompt, w->options, row->row, &w->ids, err)) != CAPP_OK) return st;
    row->n_prompt = w->ids.n - row->first_id;
    if ((st = encode_completions(w, example, row, err)) != CAPP_OK) return st;
    return capp_weighing_check_tokens(w->weighing, w->offsets + row->first_offset, example->n_completions, err);
}

/* Of a text its prefix and its first token are the prompt, the others its one completion. */
static capp_status encode_text(capp_window *w, capp_window_row *row, capp_error *err) {
    const capp_model *model = capp_session_model(w->session);
    capp_status st = capp_encode_row_text(model, w->texts[row->row], w->options, row->row, w->flags, &w->ids, err);
    if (st != CAPP_OK) return st;
    row->n_prompt = 1 + capp_row_prefix_tokens(w->options, row->row);
    row->n_scored = w->ids.n - row->first_id - row->n_prompt;
    row->first_offset = w->n_offsets;
    if ((st = add_offset(w, 0, err)) != CAPP_OK) return st;
    return add_offset(w, row->n_scored, err);
}

/* Whether the row fits the context, and, with those before it in the window, the budget. */
static capp_status check_length(const capp_window *w, const capp_window_row *row, capp_error *err) {
    const capp_session *s = w->session;
    size_t n = row->n_prompt + (w->examples ? capp_window_longest(w, row) : row->n_scored);
    capp_status st = capp_check_context(capp_session_model(s), n, err);
    if (st != CAPP_OK) return st;
    if (w->n_rows && w->ids.n > capp_session_node_limit(s)) return capp_fail(err, CAPP_EBUDGET, "the window is full");
    return capp_session_check(s, n, w->ids.n, err);
}

/* Row `index` of the call becomes a row of the window. On failure the window is as it was, its tree perhaps not. */
static capp_status add_row(capp_window *w, size_t index, capp_error *err) {
    capp_window_row row = {.row = index, .first_id = w->ids.n};
    size_t ids = w->ids.n, offsets = w->n_offsets;
    capp_status st = CAPP_OK;
    if (!capp_grow(&w->rows, &w->rows_capacity, w->n_rows + 1, sizeof *w->rows))
        st = capp_fail_memory(err, "the window");
    if (st == CAPP_OK) st = w->examples ? encode_example(w, &row, err) : encode_text(w, &row, err);
    if (st == CAPP_OK) st = check_length(w, &row, err);
    if (st == CAPP_OK) st = capp_window_insert(w, &row, capp_lane_tree(w->lane), true, err);
    if (st == CAPP_OK) {
        w->rows[w->n_rows++] = row;
        return st;
    }
    w->ids.n = ids;
    w->n_offsets = offsets;
    err->row = index;
    return st;
}

/* A window takes at least one row, whatever its size. */
static bool has_room(const capp_window *w) {
    if (!w->n_rows) return true;
    return w->n_rows < MOST_ROWS && capp_lane_tree(w->lane)->touched + w->ids.n < capp_session_node_limit(w->session);
}

capp_status capp_window_fill(capp_window *w, size_t *next, capp_error *err) {
    capp_status st = capp_tree_next_window(capp_lane_tree(w->lane), err);
    for (; st == CAPP_OK && *next < w->total && has_room(w); ++*next) {
        if (capp_session_cancelled(w->session)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
        if ((st = add_row(w, *next, err)) != CAPP_OK) return st;
    }
    return st;
}
