#include "memory.h"
#include "run.h"

#include <stdlib.h>

typedef struct generating {
    run *run;
    const row *rows;
} generating;

static bool on_generation(void *user, const capp_generation *result) {
    const generating *g = user;
    buffer *b = &g->run->output.row;
    if (!begin_row(g->run, &g->rows[result->row])) return false;
    buffer_text(b, ", \"text\": ");
    put_string(b, result->text);
    buffer_text(b, ", \"ids\": ");
    put_ids(b, result->ids, result->n);
    buffer_printf(b, ", \"finish\": \"%s\"}\n", result->finish);
    return run_end_row(g->run);
}

/* The stop strings, with \n and \t replaced, in memory of the window. */
static capp_str *stop_strings(run *this_run) {
    const options *o = this_run->options;
    capp_str *stop = arena_allocate(&this_run->memory, o->n_stop, sizeof *stop);
    for (size_t i = 0; i < o->n_stop; i++) {
        buffer text = {0};
        capp_str written = capp_str_of(o->stop[i]);
        buffer_unescaped(&text, written.data, written.size);
        stop[i] = arena_copy(&this_run->memory, buffer_view(&text));
        buffer_free(&text);
    }
    return stop;
}

static capp_status window(run *this_run, const row *rows, size_t n, void *user, capp_error *err) {
    (void)user;
    capp_str *prompts = arena_allocate(&this_run->memory, n, sizeof *prompts);
    for (size_t i = 0; i < n; i++) prompts[i] = rows[i].example.prompt;
    capp_generate_options how;
    capp_generate_options_init(&how);
    how.max_tokens = this_run->options->tokens;
    how.stop = stop_strings(this_run);
    how.n_stop = this_run->options->n_stop;
    how.ignore_eos = this_run->options->ignore_eos;
    how.parse_special = this_run->options->parse_special;
    how.chat = this_run->chat;
    how.progress = run_progress;
    how.progress_user = this_run;
    run_call(this_run, rows);
    generating g = {this_run, rows};
    return capp_generate(this_run->session, prompts, n, &how, on_generation, &g, err);
}

static void json_report(buffer *b, const run *this_run) {
    capp_stats stats;
    capp_model_info info;
    capp_session_get_stats(this_run->session, &stats);
    capp_model_get_info(this_run->model, &info);
    buffer_printf(b, "{\"n\": %zu,\n \"seconds\": ", this_run->done);
    put_double(b, this_run->seconds);
    buffer_text(b, ",\n \"load_seconds\": ");
    put_double(b, info.load_seconds);
    buffer_printf(b, ",\n \"tokens_computed\": %llu,\n \"head_rows\": %llu", (unsigned long long)stats.tokens_computed,
                  (unsigned long long)stats.head_rows);
    memory_json(b, this_run->model, this_run->session);
    arithmetic_json(b, &info);
    buffer_text(b, "}\n");
}

int generate_command(const options *settings) {
    run r;
    output json = {.file = -1};
    const char *inputs[] = {settings->input, settings->model, settings->out};
    capp_error err = {.row = CAPP_NO_ROW};
    int code = EXIT_FAILED;
    bool good = run_open(&r, settings, NEED_PROMPT, true);
    if (good && settings->json && !output_open(&json, settings->json, inputs, sizeof inputs / sizeof *inputs, &err)) {
        complain("%s", err.message);
        good = false;
    }
    if (good) code = run_windows(&r, window, NULL);
    if (json.file >= 0) {
        bool ended = code == EXIT_DONE || code == EXIT_PARTLY;
        if (ended) json_report(&json.rows, &r);
        if (!output_close(&json, ended) && ended) code = output_failed(&json);
    }
    return run_close(&r, code);
}
