#include "run.h"
#include "manifest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_BYTES = 64 << 20 };

/* Rows come out at intervals of about this many seconds. */
static const double WINDOW_SECONDS = 2;

/* ---- Opening --------------------------------------------------------------------------------------------------- */

/* Opens the output, which may be none of the files that are read. */
static bool open_output(run *r, const options *o, capp_error *err) {
    bool from_stdin = !o->input || !strcmp(o->input, "-");
    const char *own[] = {from_stdin ? "/dev/stdin" : o->input, o->model, o->classes, o->prior};
    size_t n = sizeof own / sizeof *own, adapters = o->model_options.n_lora;
    const char **inputs = take(n + adapters, sizeof *inputs);
    memcpy(inputs, own, sizeof own);
    for (size_t i = 0; i < adapters; i++) inputs[n + i] = o->lora[i].path;
    r->tabular = o->bit == COMMAND_CLASSIFY || (o->bit == COMMAND_EVALUATE && o->out);
    bool opened = output_open_rows(&r->output, o, r->tabular, inputs, n + adapters, err);
    free(inputs);
    return opened;
}

/* Where rows go to columns: classify, and evaluate with -o. */
static bool open_table(run *r, const options *o, capp_error *err) {
    r->rules.fields = r->tabular;
    return !r->tabular || table_open(&r->table, o, &r->rules, r->output.form, o->bit == COMMAND_EVALUATE, err);
}

/* The manifest, and what an earlier run has left that this one goes on with. */
static bool open_earlier(run *r, const options *o, capp_error *err) {
    output *out = &r->output;
    if (!out->regular) return true;
    bool goes_on = out->lines > 0;
    if (!manifest_make(&out->manifest, o, r->session ? r->model : NULL, err)) return false;
    char *path = output_beside(out, ".run");
    bool good = !goes_on || manifest_check(path, o->out, buffer_view(&out->manifest), err);
    free(path);
    if (good && o->on_error != ROW_STOP) good = errors_open(&r->errors, out, goes_on, err);
    if (good && goes_on && !o->quiet)
        complain("%s: %zu whole rows are kept; going on behind them", o->out, output_rows(out));
    return good;
}

static bool open_all(run *r, const options *o, row_need need, bool session, capp_error *err) {
    if (!rules_open(&r->rules, o, need, err)) return false;
    const reader_options reading = rules_reader(&r->rules, o);
    if (!reader_open(&r->reader, &reading, err)) return false;
    if (!open_output(r, o, err) || !open_table(r, o, err)) return false;
    if (!check_input(&r->check, &r->reader, &r->rules, o, err)) return false;
    capp_model_options model_options = o->model_options;
    model_options.vocab_only = !session;
    if (capp_model_open(&r->model, o->model, &model_options, err)) return false;
    if (!chat_open(&r->chat, o, r->model, err)) return false;
    rules_set_model(&r->rules, r->model, !r->chat && !o->no_bos, o->parse_special);
    if (!check_lengths(&r->check, &r->reader, &r->rules, o, r->model, r->chat, err)) return false;
    if (session && capp_session_open(&r->session, r->model, err)) return false;
    interrupt_session(r->session);
    return open_earlier(r, o, err);
}

/* Why a model that is larger than memory is slow. */
static void tell_streaming(const run *r, const options *o) {
    capp_model_info info;
    capp_model_get_info(r->model, &info);
    if (info.streamed_bytes)
        complain(
            "%s: %s of its %s do not fit the free memory: the disk is read for every wave of token rows, so that the "
            "run takes as long as reading takes; more --memory makes waves larger and fewer",
            o->model, human_bytes(info.streamed_bytes), human_bytes(info.file_bytes));
}

bool run_open(run *r, const options *o, row_need need, bool session) {
    *r = (run){.options = o, .reader.source.file = -1, .output.file = -1, .errors.file.file = -1};
    capp_error err;
    if (!open_all(r, o, need, session, &err)) {
        complain("%s", err.message);
        return false;
    }
    if (!o->quiet) tell_streaming(r, o);
    if (!o->quiet && !r->reader.source.path && isatty(STDIN_FILENO))
        complain("reading rows from the terminal; end with Ctrl-D");
    bool same_terminal = !r->output.path && isatty(STDOUT_FILENO), terminal = isatty(STDERR_FILENO);
    progress_start(&r->progress, terminal && !same_terminal && !o->quiet,
                   o->quiet || terminal ? 0 : (double)o->progress);
    return true;
}

/* Part of the work that is done when row `index` is, 0 to 1; below 0 where unknown. Tokens cost, which grow with the
 * bytes of a row and, whatever its length, with those of the classes. */
static double share_of_work(const run *r, size_t index) {
    double bytes = source_share(&r->reader.source), all = (double)r->reader.source.total, classes = 0;
    if (bytes < 0 || !r->check.n_rows || !(all > 0)) return bytes;
    for (size_t i = 0; i < r->rules.n_classes; i++) classes += (double)r->rules.classes[i].size;
    return (bytes * all + classes * (double)(index + 1)) / (all + classes * (double)r->check.n_rows);
}

/* ---- Windows --------------------------------------------------------------------------------------------------- */

/* The next rows: as many as a window holds, or where the input is live, those that are here; at least one. READ_ROW:
 * there may be more behind them; READ_FAILED: they are followed by the row that err is about. */
static read_status fill_window(run *r, capp_error *err) {
    read_status status = READ_ROW;
    arena_reset(&r->memory);
    r->n_rows = r->n_good = r->passed = 0;
    while (r->n_rows < r->options->window && r->memory.used < WINDOW_BYTES) {
        grow(&r->rows, &r->rows_capacity, r->n_rows + 1, sizeof *r->rows);
        grow(&r->share, &r->share_capacity, r->n_rows + 1, sizeof *r->share);
        row *next = &r->rows[r->n_rows];
        status = row_read(next, &r->rules, &r->reader, r->first + r->n_rows, r->n_rows == 0, &r->memory, err);
        if (status == READ_LATER && !r->n_rows) continue;
        if (status != READ_ROW) break;
        if (row_is_bad(next) && r->options->on_error == ROW_STOP) {
            fail_at(err, next->line, "%.*s", (int)next->reason.size, next->reason.data);
            return READ_FAILED;
        }
        r->share[r->n_rows] = share_of_work(r, r->first + r->n_rows);
        r->n_rows++;
    }
    return status == READ_LATER ? READ_ROW : status;
}

/* The columns of the output are known from the input's, or for JSON from the first row that has fields. */
static bool begin_table(run *r, bool last, capp_error *err) {
    if (!r->tabular || r->table.begun) return true;
    if (r->reader.n_columns) return table_begin(&r->table, r->reader.columns, r->reader.n_columns, err);
    for (size_t i = 0; i < r->n_rows; i++) {
        const row *of = &r->rows[i];
        if (!of->n_fields) continue;
        capp_str *names = arena_take(&r->memory, of->n_fields, sizeof *names);
        for (size_t j = 0; j < of->n_fields; j++) names[j] = of->fields[j].name;
        return table_begin(&r->table, names, of->n_fields, err);
    }
    return (!r->n_rows && !last) || table_begin(&r->table, NULL, 0, err);
}

/* Passes over rows that an earlier run has written or left out. */
static void pass_kept(run *r) {
    size_t all = output_rows(&r->output);
    while (r->passed < r->n_rows && r->kept < all && !r->begun) {
        bool had = errors_has(&r->errors, r->first + r->passed);
        r->n_bad += had;
        r->kept += !had || r->options->on_error == ROW_NULL;
        r->passed++;
    }
}

/* The rows of the window that can be scored, one behind the other. */
static bool gather_good(run *r, capp_error *err) {
    capp_error cause;
    for (size_t i = r->passed; i < r->n_rows; i++) {
        row *of = &r->rows[i];
        if (!row_is_bad(of) && r->tabular && !table_takes(&r->table, of, &cause)) {
            if (r->options->on_error == ROW_STOP) {
                *err = cause;
                r->n_rows = i;
                return false;
            }
            row_set_bad(of, cause.message, &r->memory);
        }
        if (row_is_bad(of)) continue;
        grow(&r->good, &r->good_capacity, r->n_good + 1, sizeof *r->good);
        grow(&r->place, &r->place_capacity, r->n_good + 1, sizeof *r->place);
        r->good[r->n_good] = *of;
        r->place[r->n_good++] = i;
    }
    return true;
}

/* ---- Bad rows -------------------------------------------------------------------------------------------------- */

static void put_id(buffer *b, const row *of) {
    buffer_text(b, "{\"id\": ");
    if (of->id_string)
        put_string(b, of->id);
    else
        buffer_str(b, of->id);
}

static bool write_bad(run *r, const row *of, size_t index) {
    buffer *b = &r->output.row;
    r->n_bad++;
    if (r->errors.file.file >= 0) {
        if (!errors_add(&r->errors, of, index)) return false;
    } else if (!r->options->quiet) {
        complain("%s:%zu: %s: %.*s", r->reader.source.name, of->line,
                 r->options->on_error == ROW_SKIP ? "left out" : "null", (int)of->reason.size, of->reason.data);
    }
    if (r->options->on_error == ROW_SKIP || (r->options->bit == COMMAND_EVALUATE && !r->tabular)) return true;
    if (r->tabular) {
        put_bad(b, &r->table, of);
    } else {
        put_id(b, of);
        buffer_text(b, ", \"error\": ");
        put_string(b, of->reason);
        buffer_text(b, "}\n");
    }
    return output_end_row(&r->output);
}

/* Bad rows before place i of the window are dealt with. */
static bool pass_bad(run *r, size_t i) {
    for (; r->passed < i; r->passed++)
        if (row_is_bad(&r->rows[r->passed]) && !write_bad(r, &r->rows[r->passed], r->first + r->passed)) return false;
    return true;
}

bool run_reach(run *r, const row *of) {
    return pass_bad(r, r->place[of - r->good]);
}

bool run_end_row(run *r) {
    r->done++;
    return output_end_row(&r->output) && !interrupted();
}

/* Whether a failed call is the fault of one row, which is left out or written with null. */
static bool is_of_row(const run *r, capp_status status, const capp_error *err, size_t n) {
    if (r->options->on_error == ROW_STOP || r->output.error || interrupted() || err->row >= n) return false;
    return status == CAPP_EINVAL || status == CAPP_ETOOLONG || status == CAPP_EBUDGET || status == CAPP_EFORMAT;
}

/* Works on the good rows, and behind a row that turns out bad, on those after it. */
static capp_status work(run *r, window_fn fn, void *user, capp_error *err) {
    capp_status status = CAPP_OK;
    for (size_t from = 0; from < r->n_good;) {
        size_t n = r->n_good - from;
        status = fn(r, r->good + from, n, user, err);
        if (!status) break;
        if (!is_of_row(r, status, err, n)) {
            if (err->row < n) err->row = r->place[from + err->row];
            return status;
        }
        from += err->row;
        row_set_bad(&r->rows[r->place[from++]], err->message, &r->memory);
        status = CAPP_OK;
    }
    return pass_bad(r, r->n_rows) ? status : CAPP_EIO;
}

/* ---- The run --------------------------------------------------------------------------------------------------- */

/* How to go on after an end before its time. */
static const char *how_to_go_on(const run *r) {
    return r->output.regular && output_rows(&r->output) ? "; the same command with --resume goes on there" : "";
}

static int signal_exit(run *r) {
    output_flush(&r->output);
    size_t rows = r->output.regular ? output_rows(&r->output) : r->done;
    if (!r->options->quiet && !r->output.error)
        complain("stopped by a signal after %zu rows%s%s%s", rows, r->output.regular ? ", all whole in " : "",
                 r->output.regular ? r->output.path : "", how_to_go_on(r));
    return EXIT_SIGNAL + interrupted();
}

static int input_failed(const run *r, size_t line, const char *message) {
    const char *on = how_to_go_on(r);
    char rows[64] = "";
    if (*on) snprintf(rows, sizeof rows, "; %zu rows before it are written", output_rows(&r->output));
    if (line)
        complain("%s:%zu: %s%s%s", r->reader.source.name, line, message, rows,
                 *on ? "; --on-error skip leaves such rows out" : "");
    else
        complain("%s%s%s", message, rows, on);
    return EXIT_FAILED;
}

static int output_lost(const run *r) {
    return output_failed(r->output.error ? &r->output : &r->errors.file);
}

static int window_failed(run *r, capp_error *err) {
    if (r->output.error || r->errors.file.error) return output_lost(r);
    if (interrupted()) return signal_exit(r);
    advise_context(err);
    return input_failed(r, err->row < r->n_rows ? r->rows[err->row].line : 0, err->message);
}

/* What the output held before goes, but for rows that are kept; the header comes. */
static bool begin_output(run *r) {
    if (r->begun || r->passed == r->n_rows) return true;
    r->begun = true;
    if (r->errors.file.file >= 0) {
        errors_cut(&r->errors, r->first + r->passed);
        r->output.before = &r->errors.file;
    }
    if (!output_begin(&r->output)) return false;
    if (!r->tabular || r->output.lines || r->output.form == OUTPUT_JSONL) return true;
    put_header(&r->output.row, &r->table);
    return output_end_row(&r->output);
}

/* One window. READ_END: there are no more; else its end is in *code. */
static read_status run_window(run *r, window_fn fn, void *user, int *code) {
    capp_error err = {.row = 0}, cause = {.row = CAPP_NO_ROW};
    read_status status = fill_window(r, &err);
    *code = EXIT_FAILED;
    if (interrupted()) {
        *code = signal_exit(r);
        return READ_FAILED;
    }
    if (!begin_table(r, status == READ_END, &cause)) {
        complain("%s", cause.message);
        return READ_FAILED;
    }
    pass_kept(r);
    if (!gather_good(r, &err)) status = READ_FAILED;
    double share = r->passed ? r->share[r->passed - 1] : r->n_rows && r->share[0] >= 0 ? r->share_read : -1;
    progress_show(&r->progress, r->first + r->passed, share);
    r->share_read = r->n_rows ? r->share[r->n_rows - 1] : share;
    double start = seconds_now();
    capp_status result = begin_output(r) ? work(r, fn, user, &cause) : CAPP_EIO;
    r->seconds += seconds_now() - start;
    output_flush(&r->output);
    if (result || r->output.error || r->errors.file.error || interrupted()) {
        *code = interrupted() && !r->output.error ? signal_exit(r) : window_failed(r, &cause);
        return READ_FAILED;
    }
    r->first += r->n_rows;
    if (status == READ_FAILED) *code = input_failed(r, err.row, err.message);
    return status;
}

/* Rows were left out or have no prediction. */
static int partly(const run *r) {
    if (!r->n_bad) return EXIT_DONE;
    if (!r->options->quiet)
        complain("%zu of %zu rows could not be scored and %s%s%s", r->n_bad, r->first,
                 r->options->on_error == ROW_SKIP ? "were left out" : "have no prediction",
                 r->errors.path ? "; the reasons are in " : "", r->errors.path ? r->errors.path : "");
    return EXIT_PARTLY;
}

int run_windows(run *r, window_fn fn, void *user) {
    read_status status = READ_ROW;
    int code = EXIT_DONE;
    while (status == READ_ROW) status = run_window(r, fn, user, &code);
    if (status == READ_FAILED) return code;
    if (!r->first && !r->options->quiet) complain("%s: no rows", r->reader.source.name);
    if (r->tabular && r->output.form != OUTPUT_JSONL && !r->begun && !r->output.lines) { /* no rows: the header alone */
        put_header(&r->output.row, &r->table);
        output_end_row(&r->output);
    }
    return partly(r);
}

int run_close(run *r, int code) {
    progress_wipe();
    interrupt_session(NULL);
    bool failed = r->output.error || r->errors.file.error; /* and was told */
    if (r->output.file >= 0) {
        bool ended = code == EXIT_DONE || code == EXIT_PARTLY;
        if (!output_close(&r->output, ended) && !failed) code = output_failed(&r->output);
    }
    if (!errors_close(&r->errors) && !failed) code = EXIT_FAILED;
    table_close(&r->table);
    capp_session_free(r->session);
    capp_chat_free(r->chat);
    capp_model_free(r->model);
    reader_close(&r->reader);
    rules_close(&r->rules);
    check_free(&r->check);
    arena_free(&r->memory);
    free(r->rows);
    free(r->share);
    free(r->good);
    free(r->place);
    return code;
}

int run_rows(const options *o, row_need need, bool session, window_fn fn) {
    run r;
    int code = run_open(&r, o, need, session) ? run_windows(&r, fn, NULL) : EXIT_FAILED;
    return run_close(&r, code);
}

bool run_progress(void *user, size_t done, size_t total) {
    run *r = user;
    size_t i = r->calling + done;
    (void)total;
    if (done && i <= r->n_good) progress_show(&r->progress, r->first + r->place[i - 1] + 1, r->share[r->place[i - 1]]);
    return output_idle(&r->output) && !interrupted();
}

/* ---- Scoring --------------------------------------------------------------------------------------------------- */

typedef struct scoring {
    run *run;
    const row *rows;
    row_result_fn fn; /* one of the two */
    row_decision_fn decision_fn;
    void *user;
} scoring;

static bool on_result(void *user, const capp_result *result) {
    scoring *s = user;
    const row *of = &s->rows[result->row];
    return run_reach(s->run, of) && s->fn(s->run, of, result, s->user) && !interrupted();
}

static bool on_decision(void *user, const capp_decision *decision) {
    scoring *s = user;
    const row *of = &s->rows[decision->row];
    return run_reach(s->run, of) && s->decision_fn(s->run, of, decision, s->user) && !interrupted();
}

void run_options_of(run *r, const row *rows, capp_run_options *how) {
    capp_run_options_init(how);
    how->parse_special = r->options->parse_special;
    how->aggregate = r->options->aggregate;
    how->chat = r->chat;
    how->progress = run_progress;
    how->progress_user = r;
    how->window_seconds = WINDOW_SECONDS;
    run_call(r, rows);
}

void run_call(run *r, const row *rows) {
    r->calling = (size_t)(rows - r->good);
}

static capp_status score_or_decide(scoring *s, size_t n, capp_error *err) {
    run *r = s->run;
    capp_example *examples = arena_take(&r->memory, n, sizeof *examples);
    for (size_t i = 0; i < n; i++) examples[i] = s->rows[i].example;
    capp_run_options how;
    run_options_of(r, s->rows, &how);
    if (s->fn) return capp_score(r->session, examples, n, &how, on_result, s, err);
    return capp_decide(r->session, examples, n, &how, on_decision, s, err);
}

capp_status run_score(run *r, const row *rows, size_t n, row_result_fn fn, void *user, capp_error *err) {
    scoring s = {r, rows, fn, NULL, user};
    return score_or_decide(&s, n, err);
}

capp_status run_decide(run *r, const row *rows, size_t n, row_decision_fn fn, void *user, capp_error *err) {
    scoring s = {r, rows, NULL, fn, user};
    return score_or_decide(&s, n, err);
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

bool begin_row(run *r, const row *of) {
    if (!run_reach(r, of)) return false;
    put_id(&r->output.row, of);
    return true;
}

bool write_choice(run *r, const row *of, const capp_result *result) {
    put_choice(&r->output.row, &r->table, of, result);
    return run_end_row(r);
}

bool write_decision(run *r, const row *of, const capp_decision *decision) {
    put_decision(&r->output.row, &r->table, of, decision);
    return run_end_row(r);
}
