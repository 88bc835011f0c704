#include "run.h"

#include <stdlib.h>

static void json_choice(buffer *b, const row *of, const capp_result *result, bool labelled) {
    begin_row(b, of);
    buffer_text(b, ", \"prediction\": ");
    put_string(b, of->example.completions[result->prediction]);
    buffer_printf(b, ", \"index\": %zu, \"probability\": ", result->prediction);
    put_double(b, result->posterior[result->prediction]);
    buffer_text(b, ", \"probabilities\": ");
    put_doubles(b, result->posterior, result->n_completions);
    if (labelled)
        buffer_printf(b, ", \"label\": %zu, \"correct\": %s", of->label,
                      of->label == result->prediction ? "true" : "false");
    buffer_text(b, "}\n");
}

/* All probabilities are one cell, a JSON array: rows may differ in their number. */
static void csv_choice(buffer *b, const row *of, const capp_result *result, bool labelled) {
    buffer list = {0};
    put_doubles(&list, result->posterior, result->n_completions);
    put_cell(b, of->id);
    buffer_char(b, ',');
    put_cell(b, of->example.completions[result->prediction]);
    buffer_printf(b, ",%zu,", result->prediction);
    put_double(b, result->posterior[result->prediction]);
    buffer_char(b, ',');
    put_cell(b, buffer_view(&list));
    if (labelled) buffer_printf(b, ",%zu,%s", of->label, of->label == result->prediction ? "true" : "false");
    buffer_char(b, '\n');
    buffer_free(&list);
}

bool write_choice(run *r, const row *of, const capp_result *result, bool labelled) {
    buffer *b = &r->output.row;
    if (r->output.csv && !r->done)
        buffer_printf(b, "id,prediction,index,probability,probabilities%s\n", labelled ? ",label,correct" : "");
    (r->output.csv ? csv_choice : json_choice)(b, of, result, labelled);
    return output_end_row(&r->output);
}

static void json_decision(buffer *b, const row *of, const capp_decision *decision, bool labelled) {
    begin_row(b, of);
    buffer_text(b, ", \"prediction\": ");
    put_string(b, of->example.completions[decision->prediction]);
    buffer_printf(b, ", \"index\": %zu, \"completion_tokens\": %zu, \"completion_tokens_run\": %zu",
                  decision->prediction, decision->completion_tokens, decision->completion_tokens_run);
    if (labelled)
        buffer_printf(b, ", \"label\": %zu, \"correct\": %s", of->label,
                      of->label == decision->prediction ? "true" : "false");
    buffer_text(b, "}\n");
}

static void csv_decision(buffer *b, const row *of, const capp_decision *decision, bool labelled) {
    put_cell(b, of->id);
    buffer_char(b, ',');
    put_cell(b, of->example.completions[decision->prediction]);
    buffer_printf(b, ",%zu,%zu,%zu", decision->prediction, decision->completion_tokens,
                  decision->completion_tokens_run);
    if (labelled) buffer_printf(b, ",%zu,%s", of->label, of->label == decision->prediction ? "true" : "false");
    buffer_char(b, '\n');
}

bool write_decision(run *r, const row *of, const capp_decision *decision, bool labelled) {
    buffer *b = &r->output.row;
    if (r->output.csv && !r->done)
        buffer_printf(b, "id,prediction,index,completion_tokens,completion_tokens_run%s\n",
                      labelled ? ",label,correct" : "");
    (r->output.csv ? csv_decision : json_decision)(b, of, decision, labelled);
    return output_end_row(&r->output);
}

static bool on_decision(run *r, const row *of, const capp_decision *decision, void *user) {
    (void)user;
    return write_decision(r, of, decision, false);
}

static bool on_choice(run *r, const row *of, const capp_result *result, void *user) {
    (void)user;
    return write_choice(r, of, result, false);
}

static capp_status window(run *r, const row *rows, size_t n, void *user, capp_error *err) {
    if (r->options->only_prediction) return run_decide(r, rows, n, on_decision, user, err);
    return run_score(r, rows, n, on_choice, user, err);
}

int classify_command(const options *o) {
    return run_rows(o, NEED_CHOICES, true, window);
}
