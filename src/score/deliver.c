/* The last step: results go to the caller, in the order of the rows. */
#include <math.h>
#include <string.h>

#include "score/window.h"

static capp_status deliver_example(capp_window *window, const capp_window_row *row, capp_error *err) {
    capp_scored scored = capp_window_scored(window, row);
    if (row->stage != CAPP_ROW_FAST) {
        scored.again = window->again + row->first_offset;
        scored.first = window->first + row->first_id + row->n_prompt;
    }
    return capp_deliver_scored(&window->judge, &scored, window->fn, window->user, err);
}

/* A text's first token has no log-probability. */
static capp_status deliver_text(capp_window *window, const capp_window_row *row, capp_error *err) {
    memmove(window->logprobs + 1, window->logprobs, row->n_scored * sizeof *window->logprobs);
    window->logprobs[0] = NAN;
    capp_text_result result = {row->row, row->n_scored + 1, window->ids.data + row->first_id + row->n_prompt - 1,
                               window->logprobs};
    return window->text_fn(window->user, &result) ? CAPP_OK : capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

/* Reports to the caller how many rows are computed, including those that wait for an earlier row. */
static capp_status report(const capp_window *window, capp_error *err) {
    size_t done = window->rows[0].row + window->computed;
    if (!window->options->progress || window->options->progress(window->options->progress_user, done, window->total))
        return CAPP_OK;
    return capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

capp_status capp_window_deliver(capp_window *window, capp_error *err) {
    capp_status st;
    while (window->delivered < window->judged && window->rows[window->delivered].stage != CAPP_ROW_WAITING) {
        const capp_window_row *row = &window->rows[window->delivered];
        if ((st = capp_window_read(window, row, err)) != CAPP_OK) return st;
        if ((st = window->examples ? deliver_example(window, row, err) : deliver_text(window, row, err)) != CAPP_OK)
            return st;
        capp_session_stats(window->session)->rows++;
        if (++window->delivered % 64 == 0 && (st = report(window, err)) != CAPP_OK) return st;
    }
    return report(window, err);
}
