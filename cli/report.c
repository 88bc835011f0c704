#include "report.h"

#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double RISKS[] = {0.01, 0.05, 0.1};
enum { SHOWN = 20, PROMPT_BYTES = 300 };

void report_open(report *r, const capp_str *names, size_t n_names) {
    *r = (report){.known = n_names <= REPORT_CLASSES, .names = names, .n_names = n_names};
}

static void free_rows(report_row *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(rows[i].tokens);
        free(rows[i].id);
        free(rows[i].prompt);
        free(rows[i].label);
        free(rows[i].prediction);
    }
}

void report_close(report *r) {
    capp_measure_free(r->measure);
    free(r->histogram);
    free_rows(r->mistakes, r->n_mistakes);
    free_rows(r->uncertain, r->n_uncertain);
    *r = (report){0};
}

void report_miss(report *r) {
    r->known = false;
}

/* The beginning of a long text is left out: the end of a prompt says more. */
static char *copy_of(capp_str text) {
    size_t from = text.size > PROMPT_BYTES ? text.size - PROMPT_BYTES : 0;
    while (from && from < text.size && (text.data[from] & 0xC0) == 0x80) from++;
    char *copy = allocate(text.size - from + 1, 1);
    memcpy(copy, text.data + from, text.size - from);
    copy[text.size - from] = 0;
    return copy;
}

/* Keeps the row if it is one of the REPORT_ROWS with the highest keys; of equals, the first. */
static void keep_row(report_row *rows, size_t *n, double key, const row *of, size_t index, size_t prediction,
                     double probability, double margin) {
    size_t place = *n;
    while (place && rows[place - 1].key < key) place--;
    if (place == REPORT_ROWS) return;
    if (*n == REPORT_ROWS) free_rows(&rows[--*n], 1);
    memmove(rows + place + 1, rows + place, (*n - place) * sizeof *rows);
    ++*n;
    const capp_str *classes = of->example.completions;
    rows[place] = (report_row){key,
                               index,
                               NULL,
                               copy_of(of->id),
                               copy_of(of->example.prompt),
                               copy_of(classes[of->label]),
                               copy_of(classes[prediction]),
                               probability,
                               margin};
}

static bool open_measure(report *r, size_t width) {
    if (r->measure) return width <= r->width;
    r->width = r->n_names > width ? r->n_names : width;
    if (r->width > REPORT_CLASSES || capp_measure_open(&r->measure, r->width, NULL)) return false;
    r->histogram = allocate(r->width, sizeof *r->histogram);
    memset(r->histogram, 0, r->width * sizeof *r->histogram);
    return true;
}

void report_add(report *r, const row *this_row, size_t index, size_t prediction, const double *posterior) {
    size_t n = this_row->example.n_completions, label = this_row->label;
    double p = posterior[prediction], second = 0;
    r->known = r->known && this_row->example.normalize && open_measure(r, n) &&
               !capp_measure_add(r->measure, posterior, 1, n, &label, &prediction, NULL);
    if (!r->known) return;
    for (size_t i = 0; i < n; i++)
        if (i != prediction && posterior[i] > second) second = posterior[i];
    size_t bin = p >= 1 ? REPORT_BINS - 1 : (size_t)(p * REPORT_BINS);
    r->histogram[prediction][bin]++;
    if (prediction != label) keep_row(r->mistakes, &r->n_mistakes, p, this_row, index, prediction, p, p - second);
    keep_row(r->uncertain, &r->n_uncertain, second - p, this_row, index, prediction, p, p - second);
}

void report_class(const report *r, buffer *b, size_t index) {
    if (index < r->n_names)
        buffer_str(b, r->names[index]);
    else
        buffer_printf(b, "%zu", index);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------ */

static void number(buffer *b, const char *name, double value) {
    buffer_printf(b, ",\n \"%s\": ", name);
    put_double(b, value);
}

static void put_class_name(const report *r, buffer *b, size_t index) {
    if (index < r->n_names)
        put_string(b, r->names[index]);
    else
        buffer_printf(b, "%zu", index);
}

static void put_classes(const report *r, buffer *b) {
    buffer_text(b, ",\n \"classes\": [");
    for (size_t k = 0, shown = 0; k < r->width; k++) {
        size_t labels, predictions, both;
        capp_measure_class(r->measure, k, &labels, &predictions, &both);
        if (!(labels + predictions)) continue;
        buffer_text(b, shown++ ? ",\n  {\"class\": " : "\n  {\"class\": ");
        put_class_name(r, b, k);
        buffer_printf(b, ", \"labels\": %zu, \"predictions\": %zu, \"precision\": ", labels, predictions);
        put_double(b, predictions ? (double)both / (double)predictions : 0);
        buffer_text(b, ", \"recall\": ");
        put_double(b, labels ? (double)both / (double)labels : 0);
        buffer_text(b, ", \"f1\": ");
        put_double(b, 2 * (double)both / (double)(labels + predictions));
        buffer_char(b, '}');
    }
    buffer_char(b, ']');
}

static void put_rows(buffer *b, const char *name, const report_row *rows, size_t n) {
    buffer_printf(b, ",\n \"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        buffer_text(b, i ? ",\n  {\"id\": " : "\n  {\"id\": ");
        put_string(b, capp_str_of(rows[i].id));
        buffer_text(b, ", \"label\": ");
        put_string(b, capp_str_of(rows[i].label));
        buffer_text(b, ", \"prediction\": ");
        put_string(b, capp_str_of(rows[i].prediction));
        buffer_text(b, ", \"probability\": ");
        put_double(b, rows[i].probability);
        buffer_text(b, ", \"margin\": ");
        put_double(b, rows[i].margin);
        buffer_text(b, ", \"prompt\": ");
        put_string(b, capp_str_of(rows[i].prompt));
        buffer_char(b, '}');
    }
    buffer_char(b, ']');
}

static bool metrics_of(const report *r, capp_metrics *m) {
    return r->known && r->measure && !capp_measure_get(r->measure, m, NULL) && m->n;
}

void report_json(const report *r, buffer *b) {
    capp_metrics m;
    if (!metrics_of(r, &m)) return;

    buffer_text(b, ",\n \"accuracy_interval\": [");
    put_double(b, m.accuracy_low);
    buffer_text(b, ", ");
    put_double(b, m.accuracy_high);
    buffer_char(b, ']');
    number(b, "macro_f1", m.macro_f1);
    number(b, "brier", m.brier);
    number(b, "ece", m.ece);
    buffer_text(b, ",\n \"coverage_at_risk\": {");
    for (size_t i = 0; i < sizeof RISKS / sizeof *RISKS; i++) {
        double coverage = 0;
        capp_measure_coverage(r->measure, RISKS[i], &coverage, NULL);
        buffer_printf(b, "%s\"%g\": ", i ? ", " : "", RISKS[i]);
        put_double(b, coverage);
    }
    buffer_char(b, '}');
    put_classes(r, b);
    put_rows(b, "confident_mistakes", r->mistakes, r->n_mistakes);
    put_rows(b, "least_certain", r->uncertain, r->n_uncertain);
}

/* ---- Text ------------------------------------------------------------------------------------------------------ */

static void text_rows(buffer *b, const char *title, const report_row *rows, size_t n) {
    enum { LINES = 5 };
    if (n) buffer_printf(b, "\n%s\n", title);
    for (size_t i = 0; i < n && i < LINES; i++)
        buffer_printf(b, "  %-12s %.3f  %s (label: %s)\n", rows[i].id, rows[i].probability, rows[i].prediction,
                      rows[i].label);
}

static void text_classes(const report *r, buffer *b) {
    size_t shown = 0;
    buffer_text(b, "\n  labels  precision  recall     F1  class\n");
    for (size_t k = 0; k < r->width && shown < SHOWN; k++) {
        size_t labels, predictions, both;
        capp_measure_class(r->measure, k, &labels, &predictions, &both);
        if (!(labels + predictions)) continue;
        shown++;
        buffer_printf(b, "%8zu  %9.3f  %6.3f  %5.3f  ", labels, predictions ? (double)both / (double)predictions : 0,
                      labels ? (double)both / (double)labels : 0, 2 * (double)both / (double)(labels + predictions));
        report_class(r, b, k);
        buffer_char(b, '\n');
    }
    if (shown == SHOWN && shown < r->width) buffer_text(b, "          --json has all classes\n");
}

void report_text(const report *r, buffer *b) {
    capp_metrics m;
    if (!metrics_of(r, &m)) return;
    buffer_printf(b, "interval   %.4f to %.4f (95 %%)\nmacro F1   %.4f\nBrier      %.4f\nECE        %.4f\n",
                  m.accuracy_low, m.accuracy_high, m.macro_f1, m.brier, m.ece);
    buffer_text(b, "coverage  ");
    for (size_t i = 0; i < sizeof RISKS / sizeof *RISKS; i++) {
        double coverage = 0;
        capp_measure_coverage(r->measure, RISKS[i], &coverage, NULL);
        buffer_printf(b, "%s %.1f %% of rows at %g %% errors", i ? "," : "", 100 * coverage, 100 * RISKS[i]);
    }
    buffer_char(b, '\n');
    text_classes(r, b);
    text_rows(b, "most confident mistakes", r->mistakes, r->n_mistakes);
    text_rows(b, "least certain rows", r->uncertain, r->n_uncertain);
}

/* ---- Calibrations ---------------------------------------------------------------------------------------------- */

enum { CHANGES = REPORT_CHANGES };
static const char *const change_names[CHANGES] = {"accuracy", "macro_f1", "log_loss", "brier", "ece"};
const char *const report_change_titles[CHANGES] = {"accuracy", "macro F1", "log-loss", "Brier", "ECE"};

bool report_numbers(const report *r, double values[CHANGES]) {
    capp_metrics m;
    if (!metrics_of(r, &m)) return false;
    const double all[CHANGES] = {m.accuracy, m.macro_f1, m.log_loss, m.brier, m.ece};
    memcpy(values, all, sizeof all);
    return true;
}

static void put_numbers(buffer *b, const char *name, const double values[CHANGES]) {
    buffer_printf(b, ",\n  \"%s\": {", name);
    for (int i = 0; i < CHANGES; i++) {
        buffer_printf(b, "%s\"%s\": ", i ? ", " : "", change_names[i]);
        put_double(b, values[i]);
    }
    buffer_char(b, '}');
}

void report_change_json(const report *before, const report *after, const char *method, buffer *b) {
    double values[2][CHANGES];
    if (!report_numbers(before, values[0]) || !report_numbers(after, values[1])) return;
    buffer_printf(b, ",\n \"calibration\": {\"method\": \"%s\"", method);
    put_numbers(b, "before", values[0]);
    put_numbers(b, "after", values[1]);
    buffer_char(b, '}');
}

void report_change_text(const report *before, const report *after, const char *method, buffer *b) {
    double values[2][CHANGES];
    if (!report_numbers(before, values[0]) || !report_numbers(after, values[1])) return;
    buffer_printf(b, "\ncalibration %s: no row is in the fit that calibrates it\n", method);
    for (int i = 0; i < CHANGES; i++)
        buffer_printf(b, "  %-10s %.4f before, %.4f after\n", report_change_titles[i], values[0][i], values[1][i]);
    buffer_char(b, '\n');
}
