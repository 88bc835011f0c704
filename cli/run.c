#include "run.h"

#include "chat.h"
#include "manifest.h"
#include "orders.h"
#include "store_settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_BYTES = 64 << 20 };

/* Results are written at intervals of about this many seconds. */
static const double WINDOW_SECONDS = 2;

/* ---- Opening --------------------------------------------------------------------------------------------------- */

/* Opens the output. It must not be one of the input files. */
static bool open_output(run *this_run, const options *settings, capp_error *err) {
    bool from_stdin = !settings->input || !strcmp(settings->input, "-");
    const char *own[] = {from_stdin ? "/dev/stdin" : settings->input,
                         settings->model,
                         settings->classes,
                         settings->prior,
                         settings->examples,
                         settings->project.path};
    size_t n = sizeof own / sizeof *own, adapters = settings->model_options.n_lora;
    const char **inputs = allocate(n + adapters, sizeof *inputs);
    memcpy(inputs, own, sizeof own);
    for (size_t i = 0; i < adapters; i++) inputs[n + i] = settings->lora[i].path;
    bool columns = settings->bit == COMMAND_CLASSIFY || (settings->bit == COMMAND_EVALUATE && settings->out);
    bool opened = output_open_rows(&this_run->output, settings, columns, inputs, n + adapters, err);
    this_run->tabular = columns && !this_run->output.stored;
    free(inputs);
    return opened;
}

/* Whether rows are written in columns: by classify, and by evaluate with -o. */
static bool open_table(run *this_run, const options *settings, capp_error *err) {
    this_run->rules.fields = this_run->tabular || this_run->output.stored;
    return !this_run->tabular || table_open(&this_run->table, settings, &this_run->rules, this_run->output.form,
                                            settings->bit == COMMAND_EVALUATE, err);
}

/* The store of an earlier run must have the same manifest. Its bad rows are among its rows. */
static bool open_earlier_store(run *this_run, const options *settings, capp_error *err) {
    output *out = &this_run->output;
    bool listed;
    if (!out->store) return true;
    capp_str earlier = store_get(out->store, "manifest", &this_run->rules.memory);
    if (!manifest_compare(earlier, settings->out, settings->out, buffer_view(&out->manifest), &listed, err))
        return false;
    if ((size_t)store_number(out->store, "SELECT count(*) FROM rows") != output_rows(out))
        return fail_at(err, 0, "%s: rows are missing from the store; use --overwrite to start again", settings->out);
    this_run->n_bad = (size_t)store_number(out->store, "SELECT count(*) FROM rows WHERE error IS NOT NULL");
    return true;
}

/* Compares or makes the manifest, and opens the files of an earlier run. */
static bool open_earlier(run *this_run, const options *settings, capp_error *err) {
    output *out = &this_run->output;
    if (!out->regular) return true;
    bool listed = false;
    if (!manifest_make(&out->manifest, settings, this_run->session ? this_run->model : NULL, err)) return false;
    char *path = output_beside(out, ".run");
    bool good = out->stored
                    ? open_earlier_store(this_run, settings, err)
                    : !out->resumed || manifest_check(path, settings->out, buffer_view(&out->manifest), &listed, err);
    free(path);
    if (good && !out->stored && settings->on_error != ROW_STOP) good = errors_open(&this_run->errors, out, listed, err);
    size_t rows = output_rows(out);
    if (good && out->resumed && !settings->quiet)
        complain("%s: keeping %zu complete row%s and continuing after %s", settings->out, rows, rows == 1 ? "" : "s",
                 rows == 1 ? "it" : "them");
    return good;
}

static bool open_model(run *this_run, const options *settings, bool session, capp_error *err) {
    capp_model_options how = settings->model_options;
    how.vocab_only = true;
    return session ? orders_open_model(&this_run->model, settings, err)
                   : !capp_model_open(&this_run->model, settings->model, &how, err);
}

static bool open_all(run *this_run, const options *settings, row_need need, bool session, capp_error *err) {
    if (!rules_open(&this_run->rules, settings, need, err)) return false;
    const reader_options reading = rules_reader(&this_run->rules, settings);
    if (!reader_open(&this_run->reader, &reading, err)) return false;
    if (!open_output(this_run, settings, err) || !open_table(this_run, settings, err)) return false;
    if (!check_input(&this_run->check, &this_run->reader, &this_run->rules, settings, err)) return false;
    if (!open_model(this_run, settings, session, err)) return false;
    if (!chat_open(&this_run->chat, settings, this_run->rules.turns, this_run->rules.n_turns, this_run->model, err))
        return false;
    rules_set_model(&this_run->rules, this_run->model, !this_run->chat && !settings->no_bos, settings->parse_special);
    if (!check_lengths(&this_run->check, &this_run->reader, &this_run->rules, settings, this_run->model, this_run->chat,
                       err))
        return false;
    if (session && capp_session_open(&this_run->session, this_run->model, err)) return false;
    interrupt_session(this_run->session);
    return open_earlier(this_run, settings, err);
}

/* A wrong pre-tokenizer makes other tokens, and so other numbers, without an error. */
static void tell_pretokenizer(const run *this_run, const options *settings) {
    capp_model_info info;
    capp_model_get_info(this_run->model, &info);
    if (info.assumed_pretokenizer)
        complain("%s: the file does not name its pre-tokenizer; capp uses \"default\", as llama.cpp does. If the model "
                 "needs "
                 "another one, convert it again",
                 settings->model);
}

bool run_open(run *this_run, const options *settings, row_need need, bool session) {
    *this_run = (run){.options = settings, .reader.source.file = -1, .output.file = -1, .errors.file.file = -1};
    capp_error err;
    if (!open_all(this_run, settings, need, session, &err)) {
        complain("%s", err.message);
        return false;
    }
    if (!settings->quiet)
        stream_open(&this_run->stream, this_run->model, settings), tell_pretokenizer(this_run, settings);
    if (!settings->quiet && !this_run->reader.source.path && isatty(STDIN_FILENO))
        complain("reading rows from the terminal; end with Ctrl-D");
    bool same_terminal = !this_run->output.path && isatty(STDOUT_FILENO), terminal = isatty(STDERR_FILENO);
    progress_start(&this_run->progress, terminal && !same_terminal && !settings->quiet,
                   settings->quiet || terminal ? 0 : (double)settings->progress);
    return true;
}

/* The share of the work, from 0 to 1, that is done after row `index`; below 0 if unknown. The work is the number of
 * tokens. The tokens of a row's text grow with its bytes; others are the same for a row of any length. */
static double share_of_work(const run *this_run, size_t index) {
    double bytes = source_share(&this_run->reader.source), all = (double)this_run->reader.source.total;
    double cost = this_run->check.row_cost;
    if (bytes < 0 || cost < 0 || !(all > 0)) return bytes;
    return (bytes * all + cost * (double)(index + 1)) / (all + cost * (double)this_run->check.n_rows);
}

/* ---- Windows --------------------------------------------------------------------------------------------------- */

/* Reads the next rows: as many as a window holds or, if the input is live, those that have arrived; at least one.
 * READ_ROW: more rows may follow. READ_FAILED: err describes the row that follows. */
static read_status fill_window(run *this_run, capp_error *err) {
    read_status status = READ_ROW;
    arena_reset(&this_run->memory);
    this_run->n_rows = this_run->n_good = this_run->passed = 0;
    while (this_run->n_rows < this_run->options->window && this_run->memory.used < WINDOW_BYTES) {
        grow(&this_run->rows, &this_run->rows_capacity, this_run->n_rows + 1, sizeof *this_run->rows);
        grow(&this_run->share, &this_run->share_capacity, this_run->n_rows + 1, sizeof *this_run->share);
        row *next = &this_run->rows[this_run->n_rows];
        status = row_read(next, &this_run->rules, &this_run->reader, this_run->first + this_run->n_rows,
                          this_run->n_rows == 0, &this_run->memory, err);
        if (status == READ_LATER && !this_run->n_rows) continue;
        if (status != READ_ROW) break;
        if (row_is_bad(next) && this_run->options->on_error == ROW_STOP) {
            fail_at(err, next->line, "%.*s", (int)next->reason.size, next->reason.data);
            return READ_FAILED;
        }
        this_run->share[this_run->n_rows] = share_of_work(this_run, this_run->first + this_run->n_rows);
        this_run->n_rows++;
    }
    return status == READ_LATER ? READ_ROW : status;
}

/* Chooses the columns of the output when those of the input are known; for JSON, from the first row that has fields. */
static bool begin_table(run *this_run, bool last, capp_error *err) {
    if (!this_run->tabular || this_run->table.begun) return true;
    if (this_run->reader.n_columns)
        return table_begin(&this_run->table, this_run->reader.columns, this_run->reader.n_columns, err);
    for (size_t i = 0; i < this_run->n_rows; i++) {
        const row *of = &this_run->rows[i];
        if (!of->n_fields) continue;
        capp_str *names = arena_allocate(&this_run->memory, of->n_fields, sizeof *names);
        for (size_t j = 0; j < of->n_fields; j++) names[j] = of->fields[j].name;
        return table_begin(&this_run->table, names, of->n_fields, err);
    }
    return (!this_run->n_rows && !last) || table_begin(&this_run->table, NULL, 0, err);
}

bool run_read_kept(run *this_run, kept_row_fn fn, void *user, capp_error *err) {
    this_run->on_kept = fn;
    this_run->kept_user = user;
    return kept_open(&this_run->kept_rows, &this_run->output, this_run->options, err);
}

/* Skips rows that an earlier run has written or left out. */
static bool pass_kept(run *this_run, capp_error *err) {
    size_t all = output_rows(&this_run->output);
    for (; this_run->passed < this_run->n_rows && this_run->kept < all && !this_run->begun; this_run->passed++) {
        const row *this_row = &this_run->rows[this_run->passed];
        bool had = errors_has(&this_run->errors, this_run->first + this_run->passed);
        bool is_written = !had || this_run->options->on_error == ROW_NULL;
        record written;
        this_run->n_bad += had;
        this_run->kept += is_written;
        if (!this_run->on_kept || !is_written) continue;
        if (!kept_next(&this_run->kept_rows, &written, err)) return false;
        bool scored = !had && !row_is_bad(this_row);
        if (scored && !this_run->on_kept(this_run, this_row, &written, this_run->kept_user, err)) return false;
    }
    return true;
}

/* Collects the rows of the window that can be scored. */
static bool gather_good(run *this_run, capp_error *err) {
    capp_error cause;
    for (size_t i = this_run->passed; i < this_run->n_rows; i++) {
        row *of = &this_run->rows[i];
        if (!row_is_bad(of) && this_run->tabular && !table_takes(&this_run->table, of, &cause)) {
            if (this_run->options->on_error == ROW_STOP) {
                *err = cause;
                this_run->n_rows = i;
                return false;
            }
            row_set_bad(of, cause.message, &this_run->memory);
        }
        if (row_is_bad(of)) continue;
        grow(&this_run->good, &this_run->good_capacity, this_run->n_good + 1, sizeof *this_run->good);
        grow(&this_run->place, &this_run->place_capacity, this_run->n_good + 1, sizeof *this_run->place);
        this_run->good[this_run->n_good] = *of;
        this_run->place[this_run->n_good++] = i;
    }
    return true;
}

/* ---- Bad rows -------------------------------------------------------------------------------------------------- */

static void put_id(buffer *b, const row *this_row) {
    buffer_text(b, "{\"id\": ");
    if (this_row->id_string)
        put_string(b, this_row->id);
    else
        buffer_str(b, this_row->id);
}

static bool write_bad(run *this_run, const row *this_row, size_t index) {
    buffer *b = &this_run->output.row;
    this_run->n_bad++;
    if (this_run->errors.file.file >= 0) {
        if (!errors_add(&this_run->errors, this_row, index)) return false;
    } else if (!this_run->options->quiet) {
        complain("%s:%zu: %s: %.*s", this_run->reader.source.name, this_row->line,
                 this_run->options->on_error == ROW_SKIP ? "left out" : "null", (int)this_row->reason.size,
                 this_row->reason.data);
    }
    if (this_run->output.stored)
        return store_add_bad(this_run->output.store, index, this_row) ? output_end_row(&this_run->output)
                                                                      : output_store_failed(&this_run->output);
    if (this_run->options->on_error == ROW_SKIP || (this_run->options->bit == COMMAND_EVALUATE && !this_run->tabular))
        return true;
    if (this_run->tabular) {
        put_bad(b, &this_run->table, this_row);
    } else {
        put_id(b, this_row);
        buffer_text(b, ", \"error\": ");
        put_string(b, this_row->reason);
        buffer_text(b, "}\n");
    }
    return output_end_row(&this_run->output);
}

/* Handles the bad rows before place i of the window. */
static bool pass_bad(run *this_run, size_t i) {
    for (; this_run->passed < i; this_run->passed++)
        if (row_is_bad(&this_run->rows[this_run->passed]) &&
            !write_bad(this_run, &this_run->rows[this_run->passed], this_run->first + this_run->passed))
            return false;
    return true;
}

bool run_reach(run *this_run, const row *this_row) {
    return pass_bad(this_run, this_run->place[this_row - this_run->good]);
}

bool run_end_row(run *this_run) {
    this_run->done++;
    return output_end_row(&this_run->output) && !interrupted();
}

/* Whether one row caused the failure of a call. Such a row is left out or written with null. */
static bool is_of_row(const run *this_run, capp_status status, const capp_error *err, size_t n) {
    if (this_run->options->on_error == ROW_STOP || this_run->output.error || interrupted() || err->row >= n)
        return false;
    return row_may_cause(status);
}

/* Runs the good rows; after a row that turns out to be bad, continues with the rows after it. */
static capp_status work(run *this_run, window_fn fn, void *user, capp_error *err) {
    capp_status status = CAPP_OK;
    for (size_t from = 0; from < this_run->n_good;) {
        size_t n = this_run->n_good - from;
        status = fn(this_run, this_run->good + from, n, user, err);
        if (!status) break;
        if (!is_of_row(this_run, status, err, n)) {
            if (err->row < n) err->row = this_run->place[from + err->row];
            return status;
        }
        from += err->row;
        this_run->n_long += status == CAPP_ETOOLONG;
        row_set_bad(&this_run->rows[this_run->place[from++]], err->message, &this_run->memory);
        status = CAPP_OK;
    }
    return pass_bad(this_run, this_run->n_rows) ? status : CAPP_EIO;
}

/* ---- The run --------------------------------------------------------------------------------------------------- */

/* Says how to continue after a run that ended early. */
static const char *how_to_go_on(const run *this_run) {
    return this_run->output.regular && output_rows(&this_run->output)
               ? "; to continue, add --resume to the same command"
               : "";
}

static int signal_exit(run *this_run) {
    output_flush(&this_run->output);
    size_t rows = this_run->output.regular ? output_rows(&this_run->output) : this_run->done;
    if (!this_run->options->quiet && !this_run->output.error)
        complain("stopped by a signal after %zu rows%s%s%s", rows, this_run->output.regular ? ", all complete in " : "",
                 this_run->output.regular ? this_run->output.path : "", how_to_go_on(this_run));
    return EXIT_SIGNAL + interrupted();
}

static int input_failed(const run *this_run, size_t line, const char *message) {
    const char *on = how_to_go_on(this_run);
    char rows[64] = "";
    if (*on) snprintf(rows, sizeof rows, "; the %zu rows before it are written", output_rows(&this_run->output));
    if (line)
        complain("%s:%zu: %s%s%s", this_run->reader.source.name, line, message, rows,
                 *on ? "; to leave such rows out, use --on-error skip" : "");
    else
        complain("%s%s%s", message, rows, on);
    return EXIT_FAILED;
}

/* Rows after a bad row that cannot be listed are not written either. */
static int output_lost(run *this_run) {
    output *out = &this_run->output;
    if (!out->error) {
        out->error = this_run->errors.file.error;
        out->wrong = "the list of its bad rows";
        out->rows.size = out->pending = 0;
    }
    return output_failed(out);
}

static int window_failed(run *this_run, capp_error *err) {
    if (this_run->output.error || this_run->errors.file.error) return output_lost(this_run);
    if (interrupted()) return signal_exit(this_run);
    advise_context(this_run->options, this_run->model, err);
    return input_failed(this_run, err->row < this_run->n_rows ? this_run->rows[err->row].line : 0, err->message);
}

/* Makes or continues the store. */
static bool begin_store(run *this_run) {
    output *out = &this_run->output;
    if (!output_begin(out)) return false;
    const store_run how = {.settings = this_run->options,
                           .rules = &this_run->rules,
                           .columns = this_run->reader.columns,
                           .n_columns = this_run->reader.n_columns,
                           .manifest = buffer_view(&out->manifest)};
    return store_describe(out->store, &how, this_run->model) || output_store_failed(out);
}

/* Removes the old contents of the output, except kept rows, and writes the header. */
static bool begin_output(run *this_run) {
    if (this_run->begun || this_run->passed == this_run->n_rows) return true;
    this_run->begun = true;
    if (this_run->errors.file.file >= 0) {
        errors_cut(&this_run->errors, this_run->first + this_run->passed);
        this_run->output.before = &this_run->errors.file;
        if (!output_begin(&this_run->errors.file)) return false;
    }
    if (this_run->output.stored) return begin_store(this_run);
    if (!output_begin(&this_run->output)) return false;
    if (!this_run->tabular || this_run->output.lines || this_run->output.form == OUTPUT_JSONL) return true;
    put_header(&this_run->output.row, &this_run->table);
    return output_end_row(&this_run->output);
}

/* Runs one window. READ_END: there are no more rows; otherwise *code is the exit status. */
static read_status run_window(run *this_run, window_fn fn, void *user, int *code) {
    capp_error err = {.row = 0}, cause = {.row = CAPP_NO_ROW};
    read_status status = fill_window(this_run, &err);
    *code = EXIT_FAILED;
    if (interrupted()) {
        *code = signal_exit(this_run);
        return READ_FAILED;
    }
    if (!begin_table(this_run, status == READ_END, &cause) || !pass_kept(this_run, &cause)) {
        if (interrupted())
            *code = signal_exit(this_run);
        else
            complain("%s", cause.message);
        return READ_FAILED;
    }
    if (!gather_good(this_run, &err)) status = READ_FAILED;
    double share = this_run->passed                              ? this_run->share[this_run->passed - 1]
                   : this_run->n_rows && this_run->share[0] >= 0 ? this_run->share_read
                                                                 : -1;
    progress_show(&this_run->progress, this_run->first + this_run->passed, share);
    this_run->share_read = this_run->n_rows ? this_run->share[this_run->n_rows - 1] : share;
    double start = seconds_now();
    capp_status result = begin_output(this_run) ? work(this_run, fn, user, &cause) : CAPP_EIO;
    this_run->seconds += seconds_now() - start;
    output_flush(&this_run->output);
    if (result || this_run->output.error || this_run->errors.file.error || interrupted()) {
        *code = interrupted() && !this_run->output.error ? signal_exit(this_run) : window_failed(this_run, &cause);
        return READ_FAILED;
    }
    this_run->first += this_run->n_rows;
    if (status == READ_FAILED) *code = input_failed(this_run, err.row, err.message);
    return status;
}

/* Reports rows that were left out or have no prediction. */
static int partly(const run *this_run) {
    if (!this_run->n_bad) return EXIT_DONE;
    if (!this_run->options->quiet)
        complain("%zu of %zu rows could not be scored and %s%s%s", this_run->n_bad, this_run->first,
                 this_run->options->on_error == ROW_SKIP ? "were left out" : "have no prediction",
                 this_run->errors.path ? "; the reasons are in " : "",
                 this_run->errors.path ? this_run->errors.path : "");
    if (!this_run->options->quiet && this_run->n_long) {
        char advice[CONTEXT_ADVICE];
        context_advice(this_run->options, this_run->model, advice);
        complain("%zu row%s too long for the context; shorten such rows%s", this_run->n_long,
                 this_run->n_long == 1 ? " is" : "s are", advice);
    }
    return EXIT_PARTLY;
}

static void end_store(run *this_run) {
    output *out = &this_run->output;
    if (!this_run->begun && !out->resumed && !begin_store(this_run)) return; /* no rows */
    if (!store_end(out->store)) output_store_failed(out);
}

int run_windows(run *this_run, window_fn fn, void *user) {
    read_status status = READ_ROW;
    int code = EXIT_DONE;
    while (status == READ_ROW) status = run_window(this_run, fn, user, &code);
    if (status == READ_FAILED) return code;
    if (!this_run->first && !this_run->options->quiet) complain("%s: no rows", this_run->reader.source.name);
    if (this_run->tabular && this_run->output.form != OUTPUT_JSONL && !this_run->begun &&
        !this_run->output.lines) { /* no rows: only the header */
        put_header(&this_run->output.row, &this_run->table);
        output_end_row(&this_run->output);
    }
    if (this_run->output.stored) end_store(this_run);
    return partly(this_run);
}

int run_close(run *this_run, int code) {
    progress_wipe();
    interrupt_session(NULL);
    bool failed = this_run->output.error || this_run->errors.file.error; /* and the user already knows */
    bool ended = code == EXIT_DONE || code == EXIT_PARTLY;
    if (this_run->output.file >= 0 && !output_close(&this_run->output, ended) && !failed) code = output_lost(this_run);
    if (!errors_close(&this_run->errors, ended) && !failed) code = EXIT_FAILED;
    kept_close(&this_run->kept_rows);
    table_close(&this_run->table);
    capp_session_free(this_run->session);
    capp_chat_free(this_run->chat);
    capp_model_free(this_run->model);
    reader_close(&this_run->reader);
    rules_close(&this_run->rules);
    check_free(&this_run->check);
    arena_free(&this_run->memory);
    free(this_run->rows);
    free(this_run->share);
    free(this_run->good);
    free(this_run->place);
    return code;
}

int run_rows(const options *settings, row_need need, bool session, window_fn fn) {
    run r;
    int code = run_open(&r, settings, need, session) ? run_windows(&r, fn, NULL) : EXIT_FAILED;
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

void run_options_of(run *this_run, const row *rows, capp_run_options *how) {
    capp_run_options_init(how);
    how->parse_special = this_run->options->parse_special;
    how->aggregate = this_run->options->aggregate;
    how->chat = this_run->chat;
    how->progress = run_progress;
    how->progress_user = this_run;
    how->window_seconds = WINDOW_SECONDS;
    how->scoring = rules_scoring(&this_run->rules, this_run->options, &this_run->scoring);
    run_call(this_run, rows);
}

void run_call(run *this_run, const row *rows) {
    this_run->calling = (size_t)(rows - this_run->good);
}

static void tell_time(run *r, const capp_example *examples, size_t n, const capp_run_options *how) {
    size_t bad = r->check.n_bad > r->n_bad ? r->check.n_bad - r->n_bad : 0;
    size_t others = r->first + r->place[r->calling] + bad, left = n;
    if (r->check.n_rows > others + n) left = r->check.n_rows - others;
    if (r->check.n_rows) stream_forecast(&r->stream, r->session, examples, n, left, 1 + r->rules.n_more, how);
}

static capp_status score_or_decide(scoring *s, size_t n, capp_error *err) {
    run *r = s->run;
    capp_run_options how;
    run_options_of(r, s->rows, &how);
    capp_example *examples = arena_allocate(&r->memory, n, sizeof *examples);
    for (size_t i = 0; i < n; i++) examples[i] = rules_example(&r->rules, &s->rows[i].example);
    tell_time(r, examples, n, &how);
    if (r->rules.n_more) return orders_score(r->session, &r->rules, s->rows, n, &how, on_result, s, err);
    if (s->fn) return capp_score(r->session, examples, n, &how, on_result, s, err);
    return capp_predict_early(r->session, examples, n, &how, on_decision, s, err);
}

capp_status run_score(run *this_run, const row *rows, size_t n, row_result_fn fn, void *user, capp_error *err) {
    scoring s = {this_run, rows, fn, NULL, user};
    return score_or_decide(&s, n, err);
}

capp_status run_decide(run *this_run, const row *rows, size_t n, row_decision_fn fn, void *user, capp_error *err) {
    scoring s = {this_run, rows, NULL, fn, user};
    return score_or_decide(&s, n, err);
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

bool begin_row(run *this_run, const row *this_row) {
    if (!run_reach(this_run, this_row)) return false;
    put_id(&this_run->output.row, this_row);
    return true;
}

bool write_choice(run *this_run, const row *this_row, const capp_result *result) {
    output *out = &this_run->output;
    if (out->stored) {
        size_t index = this_run->first + this_run->place[this_row - this_run->good];
        if (!store_add(out->store, this_run->options, &this_run->rules, this_run->model, index, this_row, result))
            return output_store_failed(out);
        return run_end_row(this_run);
    }
    put_choice(&out->row, &this_run->table, this_row, result, (choice_notes){.undecided = false});
    return run_end_row(this_run);
}

bool write_decision(run *this_run, const row *this_row, const capp_decision *decision) {
    put_decision(&this_run->output.row, &this_run->table, this_row, decision);
    return run_end_row(this_run);
}
