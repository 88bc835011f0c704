#include "evaluate_store.h"
#include "memory.h"
#include "report.h"
#include "run.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

typedef struct pair {
    size_t label, prediction, count;
} pair;

typedef struct tally {
    bool writes;   /* rows go to the output too */
    bool complete; /* every row of the input was scored */
    size_t n, correct;
    size_t n_kept;      /* of these n rows, rows of the earlier run */
    size_t n_untold;    /* of these n rows, rows without the correct class's probability */
    double loss;        /* sum of -log of the correct class's probability; NaN if there are no probabilities */
    capp_decision work; /* sums of the counts of capp_decision, with --only-prediction */
    pair *pairs;        /* one for each wrong row, until they are merged */
    size_t n_pairs, capacity;
    size_t merge_at; /* number of pairs at which they are merged */
    report report;
} tally;

static int by_classes(const void *a, const void *b) {
    const pair *x = a, *y = b;
    if (x->label != y->label) return x->label < y->label ? -1 : 1;
    return (x->prediction > y->prediction) - (x->prediction < y->prediction);
}

/* Merges equal pairs. */
static void merge_pairs(tally *t) {
    if (!t->n_pairs) return;
    qsort(t->pairs, t->n_pairs, sizeof *t->pairs, by_classes);
    size_t last = 0;
    for (size_t i = 1; i < t->n_pairs; i++) {
        if (by_classes(&t->pairs[last], &t->pairs[i]))
            t->pairs[++last] = t->pairs[i];
        else
            t->pairs[last].count += t->pairs[i].count;
    }
    t->n_pairs = last + 1;
}

static void count(tally *t, size_t label, size_t prediction) {
    t->n++;
    t->correct += prediction == label;
    if (prediction == label) return;
    if (t->n_pairs >= t->merge_at) { /* memory grows with the number of different pairs, not with the number of rows */
        merge_pairs(t);
        t->merge_at = 2 * t->n_pairs + 4096;
    }
    grow(&t->pairs, &t->capacity, t->n_pairs + 1, sizeof *t->pairs);
    t->pairs[t->n_pairs++] = (pair){label, prediction, 1};
}

static void add_loss(tally *t, double right) {
    t->loss -= log(right > DBL_MIN ? right : DBL_MIN);
}

static bool on_choice(run *this_run, const row *this_row, const capp_result *result, void *user) {
    tally *t = user;
    add_loss(t, result->posterior[this_row->label]);
    count(t, this_row->label, result->prediction);
    report_add(&t->report, this_row, 0, result->prediction, result->posterior);
    return !t->writes || write_choice(this_run, this_row, result);
}

static bool on_decision(run *this_run, const row *this_row, const capp_decision *decision, void *user) {
    tally *t = user;
    t->work.completion_tokens += decision->completion_tokens;
    t->work.completion_tokens_run += decision->completion_tokens_run;
    t->work.completion_logprobs += decision->completion_logprobs;
    t->work.completion_logprobs_read += decision->completion_logprobs_read;
    count(t, this_row->label, decision->prediction);
    return !t->writes || write_decision(this_run, this_row, decision);
}

static bool on_kept(run *this_run, const row *this_row, const record *written, void *user, capp_error *err) {
    tally *t = user;
    size_t prediction;
    double right;
    if (!table_read(&this_run->table, written, this_row, &this_run->memory, &prediction, &right))
        return fail_at(err, 0,
                       "%s:%zu: the row has no prediction: the file was changed; use --overwrite to start again",
                       this_run->output.path, written->line);
    count(t, this_row->label, prediction);
    report_miss(&t->report);
    t->n_kept++;
    if (!isnan(right))
        add_loss(t, right);
    else if (!this_run->options->only_prediction)
        t->n_untold++;
    return true;
}

static capp_status window(run *this_run, const row *rows, size_t n, void *user, capp_error *err) {
    if (this_run->options->only_prediction) return run_decide(this_run, rows, n, on_decision, user, err);
    return run_score(this_run, rows, n, on_choice, user, err);
}

static int by_count(const void *a, const void *b) {
    const pair *x = a, *y = b;
    return x->count != y->count ? (x->count > y->count ? -1 : 1) : by_classes(a, b);
}

static void put_class(buffer *b, const run *this_run, size_t index, bool json) {
    bool named = index < this_run->rules.n_classes;
    if (json && named)
        put_string(b, this_run->rules.classes[index]);
    else if (named)
        buffer_str(b, this_run->rules.classes[index]);
    else
        buffer_printf(b, "%zu", index);
}

static double share_of(size_t part, size_t whole) {
    return whole ? (double)part / (double)whole : NAN;
}

/* NaN if it is not known for all rows. */
static double log_loss(const tally *t) {
    return t->n && !t->n_untold ? t->loss / (double)t->n : NAN;
}

static void json_report(buffer *b, const run *this_run, const tally *t, const capp_stats *stats,
                        const capp_model_info *info) {
    buffer_text(b, "{\"accuracy\": ");
    put_double(b, share_of(t->correct, t->n));
    buffer_printf(b,
                  ",\n \"n\": %zu,\n \"left_out\": %zu,\n \"complete\": %s,\n \"correct\": %zu,\n \"log_loss\": ", t->n,
                  this_run->n_bad, t->complete ? "true" : "false", t->correct);
    put_double(b, log_loss(t));
    buffer_text(b, ",\n \"seconds\": ");
    put_double(b, this_run->seconds);
    buffer_text(b, ",\n \"rows_per_second\": ");
    put_double(b, (double)(t->n - t->n_kept) / this_run->seconds);
    buffer_text(b, ",\n \"load_seconds\": ");
    put_double(b, info->load_seconds);
    if (this_run->kept) buffer_printf(b, ",\n \"rows_kept\": %zu", this_run->kept);
    buffer_printf(b, ",\n \"rows_rescored\": %llu", (unsigned long long)stats->rows_rescored);
    buffer_printf(b, ",\n \"tokens_computed\": %llu,\n \"tokens_saved\": %llu,\n \"head_rows\": %llu",
                  (unsigned long long)stats->tokens_computed, (unsigned long long)stats->tokens_saved,
                  (unsigned long long)stats->head_rows);
    if (stats->expert_layers_run)
        buffer_printf(b, ",\n \"experts_run\": %llu,\n \"expert_layers_run\": %llu",
                      (unsigned long long)stats->experts_run, (unsigned long long)stats->expert_layers_run);
    if (this_run->options->only_prediction)
        buffer_printf(b,
                      ",\n \"completion_tokens\": %zu,\n \"completion_tokens_run\": %zu"
                      ",\n \"completion_logprobs\": %zu,\n \"completion_logprobs_read\": %zu",
                      t->work.completion_tokens, t->work.completion_tokens_run, t->work.completion_logprobs,
                      t->work.completion_logprobs_read);
    memory_json(b, this_run->model, this_run->session);
    buffer_text(b, ",\n \"model\": ");
    put_string(b, capp_str_of(this_run->options->model));
    buffer_text(b, ",\n \"adapters\": ");
    put_string(b, capp_str_of(info->adapters));
    arithmetic_json(b, info);
    buffer_text(b, ",\n \"confusions\": [");
    for (size_t i = 0; i < t->n_pairs && i < 100; i++) {
        buffer_text(b, i ? ",\n  {\"label\": " : "\n  {\"label\": ");
        put_class(b, this_run, t->pairs[i].label, true);
        buffer_text(b, ", \"prediction\": ");
        put_class(b, this_run, t->pairs[i].prediction, true);
        buffer_printf(b, ", \"count\": %zu}", t->pairs[i].count);
    }
    buffer_char(b, ']');
    report_json(&t->report, b);
    buffer_text(b, "}\n");
}

static void text_report(buffer *b, const run *this_run, const tally *t, const capp_stats *stats,
                        const capp_model_info *info) {
    enum { SHOWN = 8 };
    if (!t->n) return;
    buffer_printf(b, "accuracy   %.4f (%zu of %zu)\n", share_of(t->correct, t->n), t->correct, t->n);
    if (t->n_untold)
        buffer_printf(b, "log-loss   unknown: %zu rows of the earlier run do not contain their label's probability\n",
                      t->n_untold);
    else if (!this_run->options->only_prediction)
        buffer_printf(b, "log-loss   %.4f\n", log_loss(t));
    report_text(&t->report, b);
    if (t->n_kept)
        buffer_printf(b, "kept       %zu rows of the earlier run, which are not in speed and tokens\n", t->n_kept);
    buffer_printf(b, "speed      %.1f rows/s (%.3f s; model loaded in %.3f s)\n",
                  (double)(t->n - t->n_kept) / this_run->seconds, this_run->seconds, info->load_seconds);
    buffer_printf(b, "tokens     %llu computed, %llu saved\n", (unsigned long long)stats->tokens_computed,
                  (unsigned long long)stats->tokens_saved);
    if (stats->expert_layers_run)
        buffer_printf(b, "experts    %.1f ran in a layer, on average over layers and waves\n",
                      (double)stats->experts_run / (double)stats->expert_layers_run);
    if (stats->rows_rescored)
        buffer_printf(b, "close      %llu row%s scored again in %s\n", (unsigned long long)stats->rows_rescored,
                      stats->rows_rescored == 1 ? " was" : "s were", precision_names[info->deciding]);
    /* Tokens of rows that were scored again count twice, so this may be more than all. */
    size_t all = t->work.completion_tokens, ran = t->work.completion_tokens_run;
    if (all)
        buffer_printf(b, "unfinished %zu of %zu completion tokens (%.1f %%) were never run\n",
                      all > ran ? all - ran : 0, all, all > ran ? 100 - 100 * share_of(ran, all) : 0);
    memory_text(b, this_run->model, this_run->session);
    if (t->n_pairs) buffer_printf(b, "\nconfused most (%zu different pairs)\n", t->n_pairs);
    for (size_t i = 0; i < t->n_pairs && i < SHOWN; i++) {
        buffer_printf(b, "%7zu  ", t->pairs[i].count);
        put_class(b, this_run, t->pairs[i].label, false);
        buffer_text(b, " taken for ");
        put_class(b, this_run, t->pairs[i].prediction, false);
        buffer_char(b, '\n');
    }
}

static int write_reports(run *this_run, tally *t, output *json, output *html) {
    capp_stats stats;
    capp_model_info info;
    capp_session_get_stats(this_run->session, &stats);
    capp_model_get_info(this_run->model, &info);
    merge_pairs(t);
    if (t->n_pairs) qsort(t->pairs, t->n_pairs, sizeof *t->pairs, by_count);
    if (html->file >= 0) report_html(&t->report, NULL, &html->rows, this_run->reader.source.name);
    if (this_run->options->json) json_report(&json->rows, this_run, t, &stats, &info);
    buffer text = {0};
    text_report(&text, this_run, t, &stats, &info);
    int code = EXIT_DONE;
    if (t->writes && !this_run->output.path) /* rows are on stdout: separate them */
        fwrite(text.data ? text.data : "", 1, text.size, stderr);
    else if (!this_run->options->json || json->path)
        code = output_print(buffer_view(&text));
    buffer_free(&text);
    if (this_run->options->json && !output_close(json, true)) code = output_failed(json);
    if (html->file >= 0 && !output_close(html, true)) code = output_failed(html);
    return code;
}

int evaluate_command(const options *settings) {
    if (names_store(settings->input)) return evaluate_store(settings);
    run r;
    tally t = {.writes = settings->out != NULL, .loss = settings->only_prediction ? NAN : 0};
    const char *inputs[] = {settings->input, settings->model,    settings->classes,     settings->prior,
                            settings->out,   settings->examples, settings->project.path};
    output json = {.file = -1}, html = {.file = -1};
    capp_error err = {.row = CAPP_NO_ROW};
    int code = EXIT_FAILED;
    bool good = run_open(&r, settings, NEED_CHOICES, true);
    if (good && settings->json && !output_open(&json, settings->json, inputs, sizeof inputs / sizeof *inputs, &err)) {
        complain("%s", err.message);
        good = false;
    }
    if (good && settings->html && !output_open(&html, settings->html, inputs, sizeof inputs / sizeof *inputs, &err)) {
        complain("%s", err.message);
        good = false;
    }
    if (good) report_open(&t.report, r.rules.classes, r.rules.n_classes);
    if (good && r.output.resumed && !run_read_kept(&r, on_kept, &t, &err)) {
        complain("%s", err.message);
        good = false;
    }
    if (good) code = run_windows(&r, window, &t);
    /* After a signal or a bad row, the report covers the rows that were scored before it. */
    bool ended = code == EXIT_DONE || code == EXIT_PARTLY;
    t.complete = ended;
    if (good && (ended || t.n) && !r.output.error) {
        int reported = write_reports(&r, &t, &json, &html);
        if (ended && reported != EXIT_DONE) code = reported;
    }
    if (json.file >= 0) output_close(&json, false);
    if (html.file >= 0) output_close(&html, false);
    report_close(&t.report);
    free(t.pairs);
    return run_close(&r, code);
}
