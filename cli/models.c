/* capp models: lists the models in the caches, and fetches models. */
#include "models.h"
#include "caches.h"
#include "hub.h"
#include "output_file.h"
#include "values.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hub_progress progress_of(const options *o) {
    bool terminal = isatty(STDERR_FILENO);
    return (hub_progress){.quiet = o->quiet, .bar = terminal && !o->quiet, .seconds = (double)o->progress};
}

/* *path: a new string, or NULL if text is not a name. */
static bool locate(const options *o, const char *text, char **path, capp_error *err) {
    model_name name;
    *path = NULL;
    if (!text || !model_name_parse(&name, text)) return true;
    if (!cache_find(&name, path, err)) return false;
    if (*path) return true;
    if (o->fetch) return hub_fetch(&name, progress_of(o), path, err);
    return fail_at(err, 0,
                   "%s: there is no such file, and the caches of Hugging Face, llama.cpp, Ollama and LM Studio have no "
                   "model of this name; to fetch it: capp models fetch %s, or --fetch",
                   text, text);
}

bool models_locate(options *o, capp_error *err) {
    const char **place = o->bit == COMMAND_INSPECT ? &o->input : &o->model;
    if (o->bit == COMMAND_MODELS) return true;
    if (!locate(o, *place, &o->located, err)) return false;
    if (o->located) *place = o->located;
    return true;
}

/* ---- The list ---------------------------------------------------------------------------------------------------- */

typedef struct model_row {
    char *name; /* the argument for -m */
    const char *cache;
    char *path;
    buffer architecture, bytes, runs; /* runs: "yes", or "no: REASON" */
} model_row;

typedef struct model_table {
    model_row *rows; /* [n] */
    size_t n, capacity;
} model_table;

static bool on_fact(void *user, const char *section, const char *key, const char *value) {
    model_row *row = user;
    bool of_model = !strcmp(section, "model");
    if (!strcmp(section, "file") && !strcmp(key, "bytes")) buffer_text(&row->bytes, value);
    if (of_model && !strcmp(key, "architecture")) buffer_text(&row->architecture, value);
    if (!strcmp(key, "runs") && (of_model || !strcmp(section, "tokenizer")) && !row->runs.size)
        buffer_text(&row->runs, value);
    return !interrupted();
}

static bool on_model(void *user, const cached_model *m) {
    model_table *t = user;
    capp_error err;
    grow(&t->rows, &t->capacity, t->n + 1, sizeof *t->rows);
    model_row *row = &t->rows[t->n++];
    *row = (model_row){.cache = cache_name(m->kind), .path = text_of("%s", m->path)};
    row->name =
        *m->repository ? text_of("%s%s%s", m->repository, *m->file ? ":" : "", m->file) : text_of("%s", m->path);
    if (capp_describe(m->path, on_fact, row, &err)) {
        row->runs.size = 0;
        buffer_printf(&row->runs, "no: %s", err.message);
    }
    if (!row->runs.size) buffer_text(&row->runs, "yes");
    return !interrupted();
}

static capp_str size_text(const model_row *row) {
    char digits[24] = "";
    uint64_t bytes;
    if (row->bytes.size < sizeof digits && row->bytes.size) memcpy(digits, row->bytes.data, row->bytes.size);
    return capp_str_of(parse_count(digits, UINT64_MAX, &bytes) ? human_bytes(bytes) : "?");
}

static void put_padded(buffer *out, capp_str text, size_t width) {
    buffer_str(out, text);
    for (size_t i = text.size; i < width + 2; i++) buffer_char(out, ' ');
}

static capp_str architecture_text(const model_row *row) {
    return row->architecture.size ? buffer_view(&row->architecture) : capp_str_of("?");
}

static void put_table(buffer *out, const model_table *t) {
    enum { SIZE_WIDTH = 10 };
    size_t names = 4, architectures = 12;
    for (size_t i = 0; i < t->n; i++) {
        if (strlen(t->rows[i].name) > names) names = strlen(t->rows[i].name);
        if (t->rows[i].architecture.size > architectures) architectures = t->rows[i].architecture.size;
    }
    put_padded(out, capp_str_of("NAME"), names);
    put_padded(out, capp_str_of("SIZE"), SIZE_WIDTH);
    put_padded(out, capp_str_of("ARCHITECTURE"), architectures);
    buffer_text(out, "RUNS\n");
    for (size_t i = 0; i < t->n; i++) {
        const model_row *row = &t->rows[i];
        put_padded(out, capp_str_of(row->name), names);
        put_padded(out, size_text(row), SIZE_WIDTH);
        put_padded(out, architecture_text(row), architectures);
        buffer_str(out, buffer_view(&row->runs));
        buffer_char(out, '\n');
    }
    for (size_t i = 0; i < out->size; i++) /* a file may contain characters that move the cursor of a terminal */
        if (((unsigned char)out->data[i] < 0x20 && out->data[i] != '\n') || out->data[i] == 0x7F) out->data[i] = ' ';
}

static void put_json(buffer *out, const model_table *t) {
    buffer_char(out, '[');
    for (size_t i = 0; i < t->n; i++) {
        const model_row *row = &t->rows[i];
        bool runs = str_is(buffer_view(&row->runs), "yes");
        buffer_text(out, i ? ",\n {\"name\": " : "{\"name\": ");
        put_string(out, capp_str_of(row->name));
        buffer_text(out, ", \"cache\": ");
        put_string(out, capp_str_of(row->cache));
        buffer_text(out, ", \"path\": ");
        put_string(out, capp_str_of(row->path));
        buffer_text(out, ", \"bytes\": ");
        buffer_str(out, row->bytes.size ? buffer_view(&row->bytes) : capp_str_of("null"));
        buffer_text(out, ", \"architecture\": ");
        if (row->architecture.size)
            put_string(out, buffer_view(&row->architecture));
        else
            buffer_text(out, "null");
        buffer_text(out, runs ? ", \"runs\": true" : ", \"runs\": false, \"reason\": ");
        if (!runs) put_string(out, (capp_str){row->runs.data + 4, row->runs.size - 4});
        buffer_char(out, '}');
    }
    buffer_text(out, "]\n");
}

static void table_free(model_table *t) {
    for (size_t i = 0; i < t->n; i++) {
        free(t->rows[i].name);
        free(t->rows[i].path);
        buffer_free(&t->rows[i].architecture);
        buffer_free(&t->rows[i].bytes);
        buffer_free(&t->rows[i].runs);
    }
    free(t->rows);
}

static int list_models(const options *o) {
    model_table table = {0};
    buffer out = {0};
    bool on = true;
    for (cache_kind kind = 0; kind < N_CACHES && on; kind++) on = cache_walk(kind, on_model, &table);
    int code = interrupted() ? EXIT_SIGNAL + interrupted() : EXIT_DONE;
    if (!code && o->inspect_json)
        put_json(&out, &table);
    else if (!code && table.n)
        put_table(&out, &table);
    else if (!code && !o->quiet)
        complain(
            "no models in the caches of Hugging Face, llama.cpp, Ollama and LM Studio; to fetch one: capp models fetch "
            "OWNER/NAME");
    if (!code) code = output_print(buffer_view(&out));
    buffer_free(&out);
    table_free(&table);
    return code;
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static int fetch_model(const options *o) {
    model_name name;
    capp_error err;
    char *path = NULL;
    int code = EXIT_FAILED;
    if (!model_name_parse(&name, o->second)) {
        complain("'%s' is not the name of a model, or there is a file of this name; write OWNER/NAME, "
                 "OWNER/NAME:QUANTIZATION or OWNER/NAME:FILE.gguf",
                 o->second);
    } else if (hub_fetch(&name, progress_of(o), &path, &err)) {
        buffer line = {0};
        buffer_printf(&line, "%s\n", path);
        code = output_print(buffer_view(&line));
        buffer_free(&line);
    } else {
        complain("%s", err.message);
        if (interrupted()) code = EXIT_SIGNAL + interrupted();
    }
    free(path);
    return code;
}

int models_command(const options *o) {
    if (!o->input) return list_models(o);
    if (!strcmp(o->input, "fetch") && o->second) return fetch_model(o);
    if (!strcmp(o->input, "fetch"))
        complain("no model is named; write capp models fetch OWNER/NAME; see capp help models");
    else
        complain("unknown '%s'; write capp models, or capp models fetch NAME; see capp help models", o->input);
    return EXIT_FAILED;
}
