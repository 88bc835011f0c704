#include "evaluate_store.h"

#include "labeled.h"
#include "output_file.h"
#include "report_tokens.h"

#include <float.h>
#include <math.h>

/* What was counted. */
typedef struct count {
    size_t n, correct;
    double loss;           /* sum of -log of the label's probability */
    report report, before; /* before: without the calibration, if there is one */
    bool calibrated;
    size_t covered, members; /* rows whose set contains the label; classes in all sets */
} count;

static double log_loss(const count *c) {
    return c->n ? c->loss / (double)c->n : NAN;
}

static void print_json(buffer *b, const labeled *rows, const count *c) {
    buffer_text(b, "{\"accuracy\": ");
    put_double(b, c->n ? (double)c->correct / (double)c->n : NAN);
    buffer_printf(b, ",\n \"n\": %zu,\n \"left_out\": %zu,\n \"correct\": %zu,\n \"undecided\": %zu,\n \"log_loss\": ",
                  c->n, rows->n_without, c->correct, rows->n_undecided);
    put_double(b, log_loss(c));
    report_json(&c->report, b);
    if (c->calibrated) report_change_json(&c->before, &c->report, calibration_name(rows->settings->calibrate), b);
    if (rows->settings->sets > 0) {
        buffer_text(b, ",\n \"sets\": {\"asked\": ");
        put_double(b, rows->settings->sets);
        buffer_text(b, ", \"coverage\": ");
        put_double(b, c->n ? (double)c->covered / (double)c->n : NAN);
        buffer_text(b, ", \"mean_size\": ");
        put_double(b, c->n ? (double)c->members / (double)c->n : NAN);
        buffer_char(b, '}');
    }
    buffer_text(b, "}\n");
}

static void print_text(buffer *b, const labeled *rows, const count *c) {
    double n = c->n ? (double)c->n : 1;
    buffer_printf(b, "accuracy   %.4f (%zu of %zu)\n", (double)c->correct / n, c->correct, c->n);
    if (c->n) buffer_printf(b, "log-loss   %.4f\n", log_loss(c));
    if (c->calibrated) report_change_text(&c->before, &c->report, calibration_name(rows->settings->calibrate), b);
    if (rows->settings->sets > 0)
        buffer_printf(b, "sets       %.1f %% of the sets contain the label (%.1f %% asked); %.2f classes on average\n",
                      100 * (double)c->covered / n, 100 * rows->settings->sets, (double)c->members / n);
    report_text(&c->report, b);
    if (rows->n_without)
        buffer_printf(b, "\n%zu %s no label of a class, or no score\n", rows->n_without,
                      rows->n_without == 1 ? "row has" : "rows have");
}

static void count_row(count *c, const decided_row *decided, size_t index) {
    const double *p = decided->posterior;
    size_t label = decided->row.label;
    c->n++;
    c->correct += decided->prediction == label;
    c->loss -= log(p[label] > DBL_MIN ? p[label] : DBL_MIN);
    c->covered += p[label] >= decided->least;
    for (size_t i = 0; i < decided->row.example.n_completions; i++) c->members += p[i] >= decided->least;
    report_add(&c->report, &decided->row, index, decided->prediction, p);
}

static int count_labeled(labeled *rows, count *c, capp_error *err) {
    decided_row decided;
    size_t index;
    read_status status;
    while ((status = labeled_next(rows, &decided, &index, err)) == READ_ROW) {
        count_row(c, &decided, index);
        if (!c->calibrated) continue;
        if (!decider_fit_row(&rows->decider, &rows->stored, CALIBRATION_OFF, &decided, err)) return EXIT_FAILED;
        report_add(&c->before, &decided.row, index, decided.prediction, decided.posterior);
    }
    if (interrupted()) return EXIT_SIGNAL + interrupted();
    return status == READ_END ? EXIT_DONE : EXIT_FAILED;
}

int evaluate_store(const options *settings) {
    labeled rows;
    count c = {.calibrated = settings->calibrate != CALIBRATE_NONE};
    capp_error err = {.row = CAPP_NO_ROW};
    const char *inputs[] = {settings->input, settings->classes, settings->prior};
    enum { INPUTS = sizeof inputs / sizeof *inputs };
    output json = {.file = -1}, html = {.file = -1};
    bool good = labeled_open(&rows, settings->input, NULL, settings, &err);
    const row_rules *rules = &rows.decider.rules;
    report_open(&c.report, rules->classes, rules->n_classes);
    report_open(&c.before, rules->classes, rules->n_classes);
    good = good && (!settings->json || output_open(&json, settings->json, inputs, INPUTS, &err)) &&
           (!settings->html || output_open(&html, settings->html, inputs, INPUTS, &err));
    int code = good ? count_labeled(&rows, &c, &err) : interrupted() ? EXIT_SIGNAL + interrupted() : EXIT_FAILED;
    if (!code && settings->html && !report_tokens(&c.report, &rows, &err)) code = EXIT_FAILED;
    if (code == EXIT_FAILED) complain("%s", err.message);
    if (!code) {
        buffer text = {0};
        labeled_tell(&rows, c.n);
        warn_discount(settings);
        if (c.n || rows.n_without)
            print_text(&text, &rows, &c);
        else if (!settings->quiet)
            complain("%s: no rows", settings->input);
        if (settings->json) print_json(&json.rows, &rows, &c);
        if (settings->html) report_html(&c.report, c.calibrated ? &c.before : NULL, &html.rows, settings->input);
        if (!settings->json || json.path) code = output_print(buffer_view(&text));
        buffer_free(&text);
    }
    if (json.file >= 0 && !output_close(&json, !code)) code = output_failed(&json);
    if (html.file >= 0 && !output_close(&html, !code)) code = output_failed(&html);
    if (!code && rows.labels.n_bad) code = EXIT_PARTLY;
    report_close(&c.report);
    report_close(&c.before);
    labeled_close(&rows);
    return code;
}
