/* The command `serve`: its options, for the server (server/server.h). */
#include "models.h"
#include "options.h"
#include "server.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A model: "NAME=FILE" or "FILE", whose name is that of the file without its ending. */
static bool read_model(serve_model *model, arena *memory, char **located, const char *text, const options *settings,
                       capp_error *err) {
    const char *equals = strchr(text, '='), *slash = strchr(text, '/');
    bool named = equals && (!slash || equals < slash);
    const char *path = named ? equals + 1 : text;
    options one = *settings;
    one.model = path;
    one.located = NULL;
    if (!*path || equals == text) return fail_at(err, 0, "-m '%s' is not NAME=FILE or FILE", text);
    if (!models_locate(&one, err)) return false;
    *located = one.located;
    capp_str name = {text, named ? (size_t)(equals - text) : 0};
    if (!named) {
        const char *last = strrchr(path, '/');
        name = capp_str_of(last && last[1] ? last + 1 : path);
        if (ends_with(name.data, ".gguf")) name.size -= 5;
        while (name.size > 1 && name.data[name.size - 1] == '/') name.size--;
    }
    if (utf8_valid(name.data, name.size) != name.size)
        return fail_at(err, 0, "-m '%s': the name is not valid UTF-8; write NAME=FILE", text);
    *model = (serve_model){arena_copy(memory, name).data, one.model};
    return true;
}

static bool read_number(size_t *value, const given_option *given, uint64_t least, uint64_t most, capp_error *err) {
    uint64_t number = 0;
    if (!parse_count(given->argument, most, &number) || number < least)
        return fail_at(err, 0, "--%s '%s' is not a number from %llu to %llu", given->name, given->argument,
                       (unsigned long long)least, (unsigned long long)most);
    *value = (size_t)number;
    return true;
}

static bool read_seconds(double *value, const given_option *given, double unit, capp_error *err) {
    size_t number = 0;
    if (!read_number(&number, given, 1, 1000000, err)) return false;
    *value = (double)number * unit;
    return true;
}

/* The key, without the line feed at the end of a file. */
static bool read_key(const char **key, arena *memory, const char *text, capp_error *err) {
    buffer content = {0};
    *key = text;
    if (*text == '@') {
        if (!read_file(text + 1, &content, err)) return false;
        while (content.size && is_one_of(content.data[content.size - 1], "\r\n")) content.size--;
        *key = arena_copy(memory, buffer_view(&content)).data;
        buffer_free(&content);
    }
    return **key || fail_at(err, 0, "--api-key is empty; write a key, or @FILE");
}

static bool read_option(serve_options *o, arena *memory, const given_option *given, capp_error *err) {
    size_t port = 0;
    uint64_t bytes;
    const char *name = given->name;
    if (!strcmp(name, "host")) {
        o->host = given->argument;
    } else if (!strcmp(name, "port")) {
        if (!read_number(&port, given, 0, UINT16_MAX, err)) return false;
        o->port = (uint16_t)port;
    } else if (!strcmp(name, "api-key")) {
        return read_key(&o->key, memory, given->argument, err);
    } else if (!strcmp(name, "max-body")) {
        if (!parse_bytes(given->argument, &bytes) || !bytes || bytes > 1 << 30)
            return fail_at(err, 0, "--max-body '%s' is not a number of bytes up to 1G", given->argument);
        o->most_body = (size_t)bytes;
    } else if (!strcmp(name, "log-texts")) {
        o->log_texts = true;
    } else if (!strcmp(name, "max-requests")) {
        return read_number(&o->most_requests, given, 1, 1000000, err);
    } else if (!strcmp(name, "max-classes")) {
        return read_number(&o->most_classes, given, 2, 1000000, err);
    } else if (!strcmp(name, "max-tokens")) {
        return read_number(&o->most_tokens, given, 1, 1000000, err);
    } else if (!strcmp(name, "wave")) {
        return read_seconds(&o->wave_seconds, given, 1e-3, err);
    } else if (!strcmp(name, "timeout")) {
        return read_seconds(&o->request_seconds, given, 1, err);
    } else if (!strcmp(name, "read-timeout")) {
        return read_seconds(&o->read_seconds, given, 1, err);
    } else if (!strcmp(name, "stop-timeout")) {
        return read_seconds(&o->stop_seconds, given, 1, err);
    }
    return true;
}

static bool read_all(serve_options *o, serve_model *models, char **located, arena *memory, const options *settings,
                     capp_error *err) {
    const char *key = getenv("CAPP_API_KEY");
    if (key && *key) o->key = key;
    for (size_t i = 0; i < settings->n_given; i++) {
        const given_option *given = &settings->given[i];
        if (strcmp(given->name, "model") != 0) {
            if (!read_option(o, memory, given, err)) return false;
            continue;
        }
        size_t n = o->n_models;
        if (!read_model(&models[n], memory, &located[n], given->argument, settings, err)) return false;
        for (size_t k = 0; k < n; k++)
            if (!strcmp(models[k].name, models[n].name))
                return fail_at(err, 0, "two models have the name '%s'; write -m NAME=FILE", models[n].name);
        o->n_models++;
    }
    return true;
}

int serve_command(const options *settings) {
    serve_options o;
    capp_error err;
    arena memory = {0};
    int code = EXIT_FAILED;
    serve_options_init(&o);
    serve_model *models = allocate(settings->n_given, sizeof *models);
    char **located = allocate(settings->n_given, sizeof *located);
    memset(located, 0, settings->n_given * sizeof *located);
    o.models = models;
    o.model_options = settings->model_options;
    o.precisions = precision_names;
    o.quiet = settings->quiet;
    if (read_all(&o, models, located, &memory, settings, &err))
        code = serve(&o);
    else
        complain("%s; see capp help serve", err.message);
    if (code && interrupted()) code = EXIT_SIGNAL + interrupted();
    for (size_t i = 0; i < settings->n_given; i++) free(located[i]);
    free(located);
    free(models);
    arena_free(&memory);
    return code;
}
