/* Commands that read a store: decide takes its log-probabilities to decisions under other options, and export writes
 * the decisions of the run itself. Neither needs the model, unless decide --rescore computes what the store lacks. */
#include "decider.h"
#include "output_rows.h"
#include "rescore.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct writer {
    const options *settings;
    options shown; /* the settings of the table */
    store_facts facts;
    decider decider;
    store_labels labels;
    output out;
    table table;
    int lock; /* of the store while it is changed, or -1 */
    size_t n, n_bad, n_undecided;
} writer;

/* The columns of the input: those of CSV, or the fields of the first JSON row that has some. */
static bool begin_columns(writer *w, store *s, capp_error *err) {
    if (w->facts.n_columns) return table_begin(&w->table, w->facts.columns, w->facts.n_columns, err);
    store_rows *rows = store_rows_open(s, &w->facts, err);
    if (!rows) return false;
    stored_row first = {0};
    read_status status;
    while ((status = store_rows_next(rows, &first, err)) == READ_ROW && !first.row.n_fields) continue;
    bool good = status != READ_FAILED;
    size_t n = status == READ_ROW ? first.row.n_fields : 0;
    capp_str *names = allocate(n, sizeof *names);
    for (size_t i = 0; i < n; i++) names[i] = first.row.fields[i].name;
    good = good && table_begin(&w->table, names, n, err);
    free(names);
    store_rows_close(rows);
    return good;
}

static bool write_bad(writer *w, const row *this_row) {
    w->n_bad++;
    if (w->facts.on_error != ROW_NULL) return true;
    put_bad(&w->out.row, &w->table, this_row);
    return output_end_row(&w->out);
}

static bool write_row(void *user, const stored_row *stored, capp_error *err) {
    writer *w = user;
    decided_row decided;
    capp_error cause;
    w->n++;
    if (row_is_bad(&stored->row)) return write_bad(w, &stored->row);
    if (decider_skips(&w->decider, stored, &cause)) {
        row bad = stored->row;
        bad.reason = capp_str_of(cause.message);
        return write_bad(w, &bad);
    }
    if (!decider_row(&w->decider, stored, &decided, err)) return false;
    if (!table_takes(&w->table, &decided.row, &cause)) {
        if (w->facts.on_error == ROW_STOP)
            return fail_at(err, 0, "%s: row %zu: %s", w->settings->input, stored->index, cause.message);
        decided.row.reason = capp_str_of(cause.message);
        return write_bad(w, &decided.row);
    }
    w->n_undecided += decided.undecided;
    const capp_result result = {.n_completions = decided.row.example.n_completions,
                                .n_classes = decided.row.example.n_completions,
                                .prediction = decided.prediction,
                                .posterior = decided.posterior};
    put_choice(&w->out.row, &w->table, &decided.row, &result,
               (choice_notes){.undecided = decided.undecided, .least = decided.least});
    return output_end_row(&w->out);
}

static bool write_rows(writer *w, store *s, capp_error *err) {
    if (!begin_columns(w, s, err)) return false;
    put_header(&w->out.row, &w->table);
    if (w->out.row.size && !output_end_row(&w->out)) return false;
    return store_each(s, &w->facts, write_row, w, err);
}

static bool open_writer(writer *w, store *s, capp_error *err) {
    const options *o = w->settings;
    const char *inputs[] = {o->input, o->model, o->classes, o->prior};
    if (!store_learn(&w->facts, s, err)) return false;
    w->shown = *o;
    w->shown.on_error = w->facts.on_error;
    if (!decider_open(&w->decider, s, o->input, &w->facts, o, err)) return false;
    if (calibrate_needs_labels(&w->decider) && !store_labels_open(&w->labels, s, &w->decider, o, err)) return false;
    const store_labels *labels = calibrate_needs_labels(&w->decider) ? &w->labels : NULL;
    if (o->rescore && !rescore(s, &w->decider, labels, o, err)) return false;
    if (!calibrate(&w->decider, labels, err)) return false;
    if (!output_open_rows(&w->out, o, true, inputs, sizeof inputs / sizeof *inputs, err)) return false;
    if (!table_open(&w->table, &w->shown, &w->decider.rules, w->out.form, false, err)) return false;
    w->table.sets = o->sets > 0;
    w->table.may_be_undecided = o->bit == COMMAND_DECIDE && w->facts.margin > 0;
    return true;
}

static void tell(const writer *w) {
    const options *o = w->settings;
    if (o->quiet) return;
    warn_discount(o);
    if (!w->facts.ended)
        complain(
            "%s: its run has not ended; these are the first %zu rows; for all rows, run its command again: classify "
            "with --resume, sweep with --overwrite",
            o->input, w->n);
    if (w->n_undecided)
        complain(
            "%zu of %zu rows are undecided: their best classes are within the margin of the precision and were "
            "not scored in the precision that decides; to decide them, use the same command with --rescore -m MODEL",
            w->n_undecided, w->n);
}

static int close_writer(writer *w, store *s, int code) {
    bool failed = w->out.error != 0;
    if (w->out.file >= 0 && !output_close(&w->out, code == EXIT_DONE) && !failed) code = output_failed(&w->out);
    table_close(&w->table);
    decider_close(&w->decider);
    store_forget(&w->facts);
    store_close(s);
    if (w->lock >= 0) close(w->lock);
    return code;
}

int decide_command(const options *settings) {
    writer w = {.settings = settings, .out.file = -1, .lock = -1};
    capp_error err = {.row = CAPP_NO_ROW};
    if (settings->rescore) w.lock = store_lock(settings->input, &err);
    store *s = settings->rescore && w.lock < 0 ? NULL : store_open(settings->input, settings->rescore, &err);
    bool good = s && open_writer(&w, s, &err) && write_rows(&w, s, &err);
    if (interrupted()) return close_writer(&w, s, EXIT_SIGNAL + interrupted());
    if (w.out.error) return close_writer(&w, s, output_failed(&w.out));
    if (!good) {
        complain("%s", err.message);
        return close_writer(&w, s, EXIT_FAILED);
    }
    tell(&w);
    return close_writer(&w, s, w.n_bad ? EXIT_PARTLY : EXIT_DONE);
}

int export_command(const options *settings) {
    return decide_command(settings);
}
