#include "config.h"

#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is the same for all runs on a machine. What belongs to a task is in a project file. */
static const char *const settings[] = {"model", "fetch",   "threads", "memory",   "weights-memory", "precision",
                                       "isa",   "context", "window",  "progress", "quiet"};
enum { SETTINGS = sizeof settings / sizeof *settings };

static bool is_setting(capp_str name) {
    for (size_t i = 0; i < SETTINGS; i++)
        if (str_is(name, settings[i])) return true;
    return false;
}

static void add(config *c, const char *name, const char *value, const char *where) {
    for (size_t i = 0; i < c->n; i++)
        if (!strcmp(c->entries[i].name, name)) return; /* a variable counts more than the file */
    grow(&c->entries, &c->capacity, c->n + 1, sizeof *c->entries);
    c->entries[c->n++] = (config_entry){name, value, where};
}

/* CAPP_WEIGHTS_MEMORY of weights-memory. */
static void read_variables(config *c) {
    for (size_t i = 0; i < SETTINGS; i++) {
        buffer name = {0};
        buffer_text(&name, "CAPP_");
        for (const char *at = settings[i]; *at; at++) buffer_char(&name, *at == '-' ? '_' : (char)(*at - 'a' + 'A'));
        const char *variable = arena_copy(&c->memory, buffer_view(&name)).data, *value = environment(variable);
        if (value) add(c, settings[i], value, variable);
        buffer_free(&name);
    }
}

static capp_str trimmed(capp_str text) {
    while (text.size && is_one_of(*text.data, " \t\r")) {
        text.data++;
        text.size--;
    }
    while (text.size && is_one_of(text.data[text.size - 1], " \t\r")) text.size--;
    return text;
}

static bool read_line(config *c, capp_str line, const char *path, size_t number, capp_error *err) {
    line = trimmed(line);
    if (!line.size || *line.data == '#') return true;
    const char *equals = memchr(line.data, '=', line.size);
    if (!equals || memchr(line.data, 0, line.size))
        return fail_at(err, 0, "%s:%zu: this is not a setting; write, for example, threads = 4", path, number);
    capp_str name = trimmed((capp_str){line.data, (size_t)(equals - line.data)});
    capp_str value = trimmed((capp_str){equals + 1, line.size - (size_t)(equals + 1 - line.data)});
    if (!is_setting(name)) {
        buffer known = {0};
        for (size_t i = 0; i < SETTINGS; i++) buffer_printf(&known, "%s%s", i ? ", " : "", settings[i]);
        fail_at(err, 0, "%s:%zu: there is no setting '%.*s'; the settings are %.*s", path, number,
                name.size < 100 ? (int)name.size : 100, name.data, (int)known.size, known.data);
        buffer_free(&known);
        return false;
    }
    char *where = text_of("%s:%zu", path, number);
    add(c, arena_copy(&c->memory, name).data, arena_copy(&c->memory, value).data,
        arena_copy(&c->memory, capp_str_of(where)).data);
    free(where);
    return true;
}

/* The file, which the caller frees; NULL: none. */
static char *config_path(void) {
    const char *given = getenv("CAPP_CONFIG"), *folder = environment("XDG_CONFIG_HOME"), *home = environment("HOME");
    if (given) return *given ? text_of("%s", given) : NULL;
    char *path = folder ? text_of("%s/capp/config", folder) : home ? text_of("%s/.config/capp/config", home) : NULL;
    if (path && !access(path, F_OK)) return path;
    free(path);
    return NULL;
}

bool config_open(config *c, capp_error *err) {
    *c = (config){0};
    read_variables(c);
    char *path = config_path();
    if (!path) return true;
    buffer content = {0};
    bool good = read_file(path, &content, err);
    const char *at = content.data, *end = at ? at + content.size : at;
    for (size_t number = 1; good && at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        good = read_line(c, (capp_str){at, (size_t)(stop - at)}, path, number, err);
        at = stop + 1;
    }
    buffer_free(&content);
    free(path);
    return good;
}

void config_close(config *c) {
    free(c->entries);
    arena_free(&c->memory);
    *c = (config){0};
}
