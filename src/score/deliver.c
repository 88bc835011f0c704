/* The last station: results to the caller, in the order of the rows. */
#include <math.h>
#include <string.h>

#include "base/math.h"
#include "score/window.h"

static capp_status deliver_example(capp_window *w, const capp_window_row *row, capp_error *err) {
    const capp_example *example = &w->examples[row->row];
    capp_status st = capp_window_weigh(w, row, err);
    if (st != CAPP_OK) return st;
    size_t n = capp_weighing_classes(w->weighing, example);
    double *score = w->doubles, *likelihood = score + n, *posterior = likelihood + n;
    for (size_t i = 0; i < n; i++) likelihood[i] = capp_exp(score[i]);
    capp_decide_posterior(score, example->prior, n, example->normalize, posterior);
    capp_result result = {.row = row->row,
                          .n_completions = example->n_completions,
                          .n_classes = n,
                          .prediction = capp_decide_best(score, example->prior, n),
                          .likelihood = likelihood,
                          .posterior = posterior,
                          .n_prompt_ids = row->n_prompt,
                          .prompt_ids = w->ids.data + row->first_id,
                          .offset = w->offsets + row->first_offset,
                          .ids = w->ids.data + row->first_id + row->n_prompt,
                          .logprobs = w->logprobs};
    return w->fn(w->user, &result) ? CAPP_OK : capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

/* A text's first token has no log-probability. */
static capp_status deliver_text(capp_window *w, const capp_window_row *row, capp_error *err) {
    memmove(w->logprobs + 1, w->logprobs, row->n_scored * sizeof *w->logprobs);
    w->logprobs[0] = NAN;
    capp_text_result result = {row->row, row->n_scored + 1, w->ids.data + row->first_id + row->n_prompt - 1,
                               w->logprobs};
    return w->text_fn(w->user, &result) ? CAPP_OK : capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

capp_status capp_window_deliver(capp_window *w, capp_error *err) {
    capp_status st;
    while (w->delivered < w->judged && w->rows[w->delivered].stage != CAPP_ROW_WAITING) {
        const capp_window_row *row = &w->rows[w->delivered];
        if ((st = capp_window_read(w, row, err)) != CAPP_OK) return st;
        if ((st = w->examples ? deliver_example(w, row, err) : deliver_text(w, row, err)) != CAPP_OK) return st;
        capp_session_stats(w->session)->rows++;
        size_t done = w->rows[w->delivered++].row + 1;
        bool due = w->delivered == w->judged || !(done % 64);
        if (due && w->options->progress && !w->options->progress(w->options->progress_user, done, w->total))
            return capp_fail(err, CAPP_ECANCELLED, "cancelled");
    }
    return CAPP_OK;
}
