/* A call: runs rounds until every row is decided, and delivers decisions in the order of the rows. */
#include "race/race.h"

#include <string.h>

#include "base/mem.h"
#include "decide/decide.h"
#include "race/round.h"

enum {
    CLOSE_ROWS = 64,   /* run a round of the exact lane if so many rows wait for it */
    WAITING_ROWS = 512 /* or if so many rows wait behind the first of them */
};

/* Delivers the rows that are decided, up to the first one that is not. */
static capp_status deliver(capp_race_call *call, capp_error *err) {
    size_t before = call->delivered;
    while (call->delivered < call->n_rows && !call->rows[call->delivered]->runners) {
        capp_race_row *row = call->rows[call->delivered];
        bool go_on = call->fn(call->user, &row->decision, row->second);
        capp_race_row_free(call, row);
        call->rows[call->delivered++] = NULL;
        if (!go_on) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
        capp_session_stats(call->session)->rows++;
    }
    if (call->delivered > before && call->options->progress &&
        !call->options->progress(call->options->progress_user, call->next - (call->n_rows - call->delivered),
                                 call->total))
        return capp_fail(err, CAPP_ECANCELLED, "cancelled");
    if (call->delivered < CAPP_MOST_ACTIVE_ROWS && call->delivered < call->n_rows) return CAPP_OK;
    memmove(call->rows, call->rows + call->delivered, (call->n_rows - call->delivered) * sizeof *call->rows);
    call->n_rows -= call->delivered;
    call->delivered = 0;
    return CAPP_OK;
}

static bool is_time_for_exact(const capp_race_call *call) {
    if (call->n_close >= CLOSE_ROWS) return true;
    return call->n_rows - call->delivered >= WAITING_ROWS && call->rows[call->delivered]->stage != CAPP_RACE_FAST;
}

static capp_status run_rounds(capp_race_call *call, capp_error *err) {
    capp_stats *stats = capp_session_stats(call->session);
    uint64_t before = stats->tokens_computed;
    capp_status st;
    for (;;) {
        capp_lane *fast = capp_session_fast(call->session), *exact = capp_session_exact(call->session);
        if ((st = capp_race_fill_round(call, is_time_for_exact(call) ? exact : fast, err)) != CAPP_OK) return st;
        if (!call->n_in_round && call->n_close && (st = capp_race_fill_round(call, exact, err)) != CAPP_OK) return st;
        if (!call->n_in_round) break;
        uint64_t so_far = stats->tokens_computed;
        if ((st = capp_session_run(call->session, call->lane, NULL, NULL, err)) != CAPP_OK) return st;
        if (call->lane == exact) call->close_tokens += stats->tokens_computed - so_far;
        for (size_t i = 0; i < call->n_in_round; i++) capp_race_read_round(call, call->in_round[i]);
        if ((st = deliver(call, err)) != CAPP_OK) return st;
    }
    uint64_t computed = stats->tokens_computed - before - call->close_tokens;
    if (computed < call->alone) stats->tokens_saved += call->alone - computed;
    if (call->row_status != CAPP_OK && err) *err = call->row_error;
    return call->row_status;
}

static void free_call(capp_race_call *call) {
    for (size_t i = call->delivered; i < call->n_rows; i++) capp_race_row_free(call, call->rows[i]);
    capp_completions_release(call->completions);
    capp_free(call->rows);
    capp_free(call->in_round);
    capp_free(call->steps);
}

capp_status capp_race_rows(capp_session *session, const capp_example *examples, size_t n,
                           const capp_run_options *options, double margin, capp_race_fn fn, void *user,
                           capp_error *err) {
    capp_race_call call = {.session = session,
                           .examples = examples,
                           .total = n,
                           .options = options,
                           .margin = margin,
                           .fn = fn,
                           .user = user};
    capp_weighing weighing;
    capp_status st = capp_weighing_init(&weighing, options, err);
    if (st != CAPP_OK) return st;
    if (!capp_weighing_is_plain(&weighing))
        return capp_fail(
            err, CAPP_EINVAL,
            "capp_predict_early does not support CAPP_AGGREGATE_CALLER, a discount or classes; use capp_score");
    unsigned arithmetic = capp_session_begin(session);
    st = run_rounds(&call, err);
    capp_session_end(session, arithmetic);
    free_call(&call);
    return st;
}
