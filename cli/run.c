#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW_BYTES = 64 << 20 };

/* Opens the output, which may be none of the files that are read. */
static bool open_output(run *r, const options *o, capp_error *err) {
    bool from_stdin = !o->input || !strcmp(o->input, "-");
    const char *own[] = {from_stdin ? "/dev/stdin" : o->input, o->model, o->classes, o->prior};
    size_t n = sizeof own / sizeof *own, adapters = o->model_options.n_lora;
    const char **inputs = take(n + adapters, sizeof *inputs);
    memcpy(inputs, own, sizeof own);
    for (size_t i = 0; i < adapters; i++) inputs[n + i] = o->lora[i].path;
    bool opened = output_open(&r->output, o->out, inputs, n + adapters, err);
    free(inputs);
    return opened;
}

static bool open_all(run *r, const options *o, row_need need, bool session, capp_error *err) {
    if (!rules_open(&r->rules, o, need, err)) return false;
    if (!reader_open(&r->reader, o->input, o->format, err)) return false;
    if (!open_output(r, o, err)) return false;
    capp_model_options model_options = o->model_options;
    model_options.vocab_only = !session;
    if (capp_model_open(&r->model, o->model, &model_options, err)) return false;
    if (!chat_open(&r->chat, o, r->model, err)) return false;
    if (session && capp_session_open(&r->session, r->model, err)) return false;
    interrupt_session(r->session);
    return true;
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
    *r = (run){.options = o, .reader.source.file = -1, .output.file = -1};
    capp_error err;
    if (!open_all(r, o, need, session, &err)) {
        complain("%s", err.message);
        return false;
    }
    if (!o->quiet) tell_streaming(r, o);
    if (!o->quiet && !r->reader.source.path && isatty(STDIN_FILENO))
        complain("reading rows from the terminal; end with Ctrl-D");
    bool same_terminal = !r->output.path && isatty(STDOUT_FILENO);
    progress_start(&r->progress, !o->quiet && isatty(STDERR_FILENO) && !same_terminal);
    return true;
}

/* The next rows: as many as a window holds, or where the input is live, those that are here; at least one. READ_ROW:
 * there may be more behind them; READ_FAILED: they are followed by the row that err is about. */
static read_status fill_window(run *r, capp_error *err) {
    read_status status = READ_ROW;
    arena_reset(&r->memory);
    r->n_rows = 0;
    r->share[0] = source_share(&r->reader.source);
    while (r->n_rows < r->options->window && r->memory.used < WINDOW_BYTES) {
        record next;
        status = reader_next(&r->reader, &next, r->n_rows == 0, err);
        if (r->first + r->n_rows == 0 && status != READ_FAILED && !template_check(&r->rules.template, &r->reader, err))
            return READ_FAILED;
        if (status == READ_LATER && !r->n_rows) continue;
        if (status != READ_ROW) break;
        grow(&r->rows, &r->rows_capacity, r->n_rows + 1, sizeof *r->rows);
        if (!row_build(&r->rows[r->n_rows], &r->rules, &next, r->first + r->n_rows, &r->memory, err))
            return READ_FAILED;
        r->n_rows++;
    }
    r->share[1] = source_share(&r->reader.source);
    return status == READ_LATER ? READ_ROW : status;
}

static int signal_exit(const run *r) {
    if (!r->options->quiet) complain("stopped by a signal after %zu rows", r->done);
    return EXIT_SIGNAL + interrupted();
}

static int input_failed(const run *r, size_t line, const char *message) {
    if (line)
        complain("%s:%zu: %s", r->reader.source.name, line, message);
    else
        complain("%s", message);
    return EXIT_FAILED;
}

static int window_failed(run *r, const capp_error *err) {
    if (r->output.error) return output_failed(&r->output);
    if (interrupted()) return signal_exit(r);
    return input_failed(r, err->row < r->n_rows ? r->rows[err->row].line : 0, err->message);
}

int run_windows(run *r, window_fn fn, void *user) {
    read_status status = READ_ROW;
    while (status == READ_ROW) {
        capp_error err = {.row = 0}, cause = {.row = CAPP_NO_ROW};
        status = fill_window(r, &err);
        if (interrupted()) return signal_exit(r);
        double start = seconds_now();
        capp_status result = r->n_rows ? fn(r, r->rows, r->n_rows, user, &cause) : CAPP_OK;
        r->seconds += seconds_now() - start;
        output_flush(&r->output);
        if (result || r->output.error) return window_failed(r, &cause);
        if (interrupted()) return signal_exit(r);
        r->first += r->n_rows;
        if (status == READ_FAILED) return input_failed(r, err.row, err.message);
    }
    if (!r->first && !r->options->quiet) complain("%s: no rows", r->reader.source.name);
    return EXIT_DONE;
}

int run_close(run *r, int code) {
    progress_wipe();
    interrupt_session(NULL);
    if (r->output.file >= 0 && !r->output.error && !output_close(&r->output, code == EXIT_DONE))
        code = output_failed(&r->output);
    else if (r->output.file >= 0)
        output_close(&r->output, false);
    capp_session_free(r->session);
    capp_chat_free(r->chat);
    capp_model_free(r->model);
    reader_close(&r->reader);
    rules_close(&r->rules);
    arena_free(&r->memory);
    free(r->rows);
    return code;
}

int run_rows(const options *o, row_need need, bool session, window_fn fn) {
    run r;
    int code = run_open(&r, o, need, session) ? run_windows(&r, fn, NULL) : EXIT_FAILED;
    return run_close(&r, code);
}

bool run_progress(void *user, size_t done, size_t total) {
    run *r = user;
    double share = -1;
    if (r->share[1] >= 0 && total) share = r->share[0] + (r->share[1] - r->share[0]) * (double)done / (double)total;
    progress_show(&r->progress, r->first + done, share);
    return !interrupted();
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
    if (!s->fn(s->run, &s->rows[result->row], result, s->user)) return false;
    s->run->done++;
    return !interrupted();
}

static bool on_decision(void *user, const capp_decision *decision) {
    scoring *s = user;
    if (!s->decision_fn(s->run, &s->rows[decision->row], decision, s->user)) return false;
    s->run->done++;
    return !interrupted();
}

static capp_status score_or_decide(scoring *s, size_t n, capp_error *err) {
    run *r = s->run;
    capp_example *examples = arena_take(&r->memory, n, sizeof *examples);
    for (size_t i = 0; i < n; i++) examples[i] = s->rows[i].example;
    capp_run_options how;
    capp_run_options_init(&how);
    how.parse_special = r->options->parse_special;
    how.aggregate = r->options->aggregate;
    how.chat = r->chat;
    how.progress = run_progress;
    how.progress_user = r;
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

void begin_row(buffer *b, const row *of) {
    buffer_text(b, "{\"id\": ");
    if (of->id_string)
        put_string(b, of->id);
    else
        buffer_str(b, of->id);
}
