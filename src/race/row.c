/* A row of a race: its text, its runners, and its races one after another. */
#include "race/row.h"

#include "base/mem.h"
#include "decide/decide.h"

static size_t runner_bytes(const capp_completions *completions) {
    return completions->n * sizeof(capp_runner);
}

static void end_race(capp_race_call *call, capp_race_row *row) {
    if (row->runners) call->bytes -= runner_bytes(row->completions);
    capp_free(row->runners);
    capp_ids_free(&row->prompt);
    row->runners = NULL;
}

void capp_race_row_free(capp_race_call *call, capp_race_row *row) {
    if (!row) return;
    end_race(call, row);
    if (row->completions && row->completions->users == 1) call->bytes -= row->completions->bytes;
    capp_completions_release(row->completions);
    capp_ids_free(&row->prompt);
    capp_free(row);
}

/* A capp_score_fn that computes the same bits as capp_score. */
static double score_of(const void *user, uint32_t i, double sum) {
    const capp_race_row *row = user;
    size_t length = row->completions->offset[i + 1] - row->completions->offset[i];
    double aggregate = capp_decide_aggregate(row->aggregate, sum, length, row->example->completions[i].size);
    return capp_decide_score(aggregate, row->example->prior, i);
}

static capp_status take_completions(capp_race_call *call, capp_race_row *row, capp_error *err) {
    const capp_model *model = capp_session_model(call->session);
    const capp_completions *last = call->completions;
    size_t released = last && last->users == 1 ? last->bytes : 0;
    capp_status st = capp_completions_take(&call->completions, model, row->example, call->options, err);
    if (st != CAPP_OK) return st;
    if (call->completions != last) call->bytes += call->completions->bytes - released;
    row->completions = call->completions;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): not NULL after CAPP_OK */
    row->completions->users++;
    return CAPP_OK;
}

size_t capp_race_nodes_of(size_t bytes) {
    return bytes / sizeof(capp_node) + 1;
}

static void begin_race(capp_race_row *row, double margin) {
    capp_race_begin(&row->race, row->runners, row->completions->order, row->completions->n, score_of, row, margin);
}

static capp_status prepare_row(capp_race_call *call, capp_race_row *row, capp_error *err) {
    const capp_model *model = capp_session_model(call->session);
    capp_status st;
    if ((st = capp_example_check(row->example, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prompt(model, row->example->prompt, call->options, row->decision.row, &row->prompt, err)) !=
        CAPP_OK)
        return st;
    if ((st = take_completions(call, row, err)) != CAPP_OK) return st;
    const capp_completions *completions = row->completions;
    size_t longest = row->prompt.n + completions->longest;
    size_t nodes =
        row->prompt.n + completions->n_places + capp_race_nodes_of(completions->bytes + runner_bytes(completions));
    if ((st = capp_check_context(model, longest, err)) != CAPP_OK) return st;
    if ((st = capp_session_check(call->session, longest, nodes, err)) != CAPP_OK) return st;
    row->runners = capp_new(completions->n, sizeof *row->runners);
    if (!row->runners) return capp_fail_memory(err, "the completions");
    call->bytes += runner_bytes(completions);
    row->margin = capp_decide_margin(row->aggregate, call->margin, completions->offset, completions->n);
    begin_race(row, row->margin);
    call->alone += completions->n * (row->prompt.n - 1) + completions->ids.n;
    return CAPP_OK;
}

capp_status capp_race_add_row(capp_race_call *call, capp_error *err) {
    capp_race_row *row = capp_new0(1, sizeof *row);
    if (!row || !capp_grow(&call->rows, &call->rows_capacity, call->n_rows + 1, sizeof *call->rows)) {
        capp_free(row);
        return capp_fail_memory(err, "the rows");
    }
    row->example = &call->examples[call->next];
    row->aggregate = call->options->aggregate;
    row->decision.row = call->next;
    call->row_status = prepare_row(call, row, &call->row_error);
    if (call->row_status != CAPP_OK) {
        call->row_error.row = call->next;
        capp_race_row_free(call, row);
        return CAPP_OK;
    }
    row->decision.completion_logprobs = row->completions->n_places - 1;
    row->decision.completion_tokens = row->completions->n_inner;
    call->rows[call->n_rows++] = row;
    call->next++;
    return CAPP_OK;
}

bool capp_race_row_restart(capp_race_call *call, capp_race_row *row) {
    const capp_race *race = &row->race;
    if (!capp_session_exact(call->session) || row->stage == CAPP_RACE_ALL_EXACT) return false;
    if (row->stage == CAPP_RACE_FAST) {
        if (race->second + row->margin < race->best) return false;
        row->fast_best = race->best;
        capp_race_restart(&row->race);
        call->n_close++;
        capp_session_stats(call->session)->rows_rescored++;
    } else {
        if (race->best + row->margin >= row->fast_best) return false;
        begin_race(row, 0);
    }
    row->stage++;
    row->begun = false;
    return true;
}

void capp_race_row_decide(capp_race_call *call, capp_race_row *row) {
    call->n_close -= row->stage != CAPP_RACE_FAST;
    row->decision.prediction = row->race.leader;
    row->decision.score = row->race.best;
    row->second = row->race.second;
    end_race(call, row);
}
