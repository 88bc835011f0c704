#define _POSIX_C_SOURCE 200809L
#include "chat/find.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "file/map.h"

enum { MOST_TEMPLATES = 100 };

static const char default_name[] = "default";

static capp_status no_memory(capp_error *err) {
    return capp_fail_memory(err, "a chat template");
}

const capp_template *capp_templates_named(const capp_templates *templates, const char *name) {
    for (size_t i = 0; i < templates->n; i++)
        if (!strcmp(templates->at[i].name, name)) return &templates->at[i];
    return NULL;
}

void capp_templates_free(capp_templates *templates) {
    for (size_t i = 0; i < templates->n; i++) {
        capp_free(templates->at[i].name);
        capp_free(templates->at[i].text);
    }
    capp_free(templates->at);
    *templates = (capp_templates){0};
}

/* Adds a template, unless one already has its name. Takes ownership of text: it is kept or freed. */
static capp_status add(capp_templates *templates, capp_str name, char *text, size_t size, capp_error *err) {
    char *copy = text ? capp_new(name.size + 1, 1) : NULL;
    if (!copy || !capp_grow(&templates->at, &templates->capacity, templates->n + 1, sizeof *templates->at)) {
        capp_free(copy);
        capp_free(text);
        return no_memory(err);
    }
    memcpy(copy, name.data, name.size);
    copy[name.size] = 0;
    bool known = capp_templates_named(templates, copy) || memchr(copy, 0, name.size);
    if (known || templates->n == MOST_TEMPLATES) {
        capp_free(copy);
        capp_free(text);
        return known
                   ? CAPP_OK
                   : capp_fail(err, CAPP_EUNSUPPORTED, "more than %d chat templates are not supported", MOST_TEMPLATES);
    }
    templates->at[templates->n++] = (capp_template){copy, text, size};
    return CAPP_OK;
}

static char *copy_of(capp_str text) {
    char *copy = capp_new(text.size, 1);
    if (copy && text.size) memcpy(copy, text.data, text.size);
    return copy;
}

/* ---- GGUF -------------------------------------------------------------------------------------------------------- */

static capp_status read_gguf(capp_templates *templates, const capp_gguf *gguf, capp_error *err) {
    static const char key[] = "tokenizer.chat_template";
    capp_status st = CAPP_OK;
    capp_str text;
    if (capp_gguf_find(gguf, key)) {
        if (!capp_gguf_str(gguf, key, &text))
            return capp_fail(err, CAPP_EFORMAT, "%s: %s is not a string", capp_gguf_path(gguf), key);
        st = add(templates, capp_str_of(default_name), copy_of(text), text.size, err);
    }
    for (size_t i = 0; st == CAPP_OK && i < capp_gguf_n_values(gguf); i++) {
        const capp_gguf_value *v = capp_gguf_value_at(gguf, i);
        size_t n = sizeof key; /* the sizeof counts the NUL; here it counts the point instead */
        if (v->key.size <= n || memcmp(v->key.data, key, n - 1) != 0 || v->key.data[n - 1] != '.') continue;
        if (v->kind != CAPP_GGUF_STRING) continue;
        capp_str name = {v->key.data + n, v->key.size - n};
        st = add(templates, name, copy_of(v->strings[0]), v->strings[0].size, err);
    }
    if (st == CAPP_EUNSUPPORTED) capp_error_prefix(err, capp_gguf_path(gguf));
    return st;
}

/* ---- Folders ----------------------------------------------------------------------------------------------------- */

static capp_status add_json(capp_templates *templates, capp_str name, capp_json string, capp_error *err) {
    bool escapes;
    capp_str raw = capp_json_raw(string, &escapes);
    if (!raw.data) return capp_fail(err, CAPP_EFORMAT, "chat_template must be a string or a list of named templates");
    char *text = capp_new(raw.size, 1);
    return add(templates, name, text, text ? capp_json_decode(raw, text) : 0, err);
}

static capp_status add_named(capp_templates *templates, capp_json entry, capp_error *err) {
    bool escapes;
    char name[64] = "";
    capp_str raw = capp_json_raw(capp_json_get(entry, "name"), &escapes);
    if (!raw.data || raw.size >= sizeof name)
        return capp_fail(err, CAPP_EFORMAT,
                         "chat_template: the list has an entry without a name, or with one longer than 63 bytes");
    return add_json(templates, (capp_str){name, capp_json_decode(raw, name)}, capp_json_get(entry, "template"), err);
}

/* Reads the member chat_template of the JSON object in a file. */
static capp_status read_object(capp_templates *templates, capp_str text, capp_error *err) {
    capp_json root;
    capp_status st = capp_json_check(text, &root, err);
    if (st != CAPP_OK) return st;
    capp_json value = capp_json_get(root, "chat_template");
    if (capp_json_kind_of(value) <= CAPP_JSON_NULL) return CAPP_OK;
    if (capp_json_kind_of(value) != CAPP_JSON_ARRAY) return add_json(templates, capp_str_of(default_name), value, err);
    for (capp_json_walk w = capp_json_begin(value); st == CAPP_OK && capp_json_next(&w);)
        st = add_named(templates, w.value, err);
    return st;
}

/* Reads the file folder/name, if there is one. template_name NULL: the file is a JSON object with a member
 * chat_template; otherwise it is a template of this name. */
static capp_status read_file(capp_templates *templates, const char *folder, const char *name, const char *template_name,
                             capp_error *err) {
    capp_map map = {0};
    size_t n = strlen(folder) + strlen(name) + 2;
    char *path = capp_new(n, 1);
    if (!path) return no_memory(err);
    snprintf(path, n, "%s/%s", folder, name);
    capp_status st = CAPP_OK;
    if (!access(path, F_OK)) {
        st = capp_map_open(&map, path, err);
        capp_str text = {map.data, map.size};
        if (st == CAPP_OK) {
            st = template_name ? add(templates, capp_str_of(template_name), copy_of(text), text.size, err)
                               : read_object(templates, text, err);
            if (st != CAPP_OK) capp_error_prefix(err, path);
        }
        capp_map_close(&map);
    }
    capp_free(path);
    return st;
}

static capp_status read_additional(capp_templates *templates, const char *folder, capp_error *err) {
    static const char inside[] = "additional_chat_templates", end[] = ".jinja";
    size_t n = strlen(folder) + sizeof inside + 1;
    char *path = capp_new(n, 1);
    if (!path) return no_memory(err);
    snprintf(path, n, "%s/%s", folder, inside);
    DIR *listed = opendir(path);
    capp_status st = CAPP_OK;
    const struct dirent *entry;
    /* Only one thread at a time reads a DIR, and readdir_r is deprecated. */
    /* cppcheck-suppress readdirCalled */
    while (listed && st == CAPP_OK && (entry = readdir(listed))) {
        char name[sizeof entry->d_name];
        size_t size = strlen(entry->d_name), tail = sizeof end - 1;
        if (size <= tail || strcmp(entry->d_name + size - tail, end) != 0) continue;
        memcpy(name, entry->d_name, size - tail);
        name[size - tail] = 0;
        st = read_file(templates, path, entry->d_name, name, err);
    }
    if (listed) closedir(listed);
    capp_free(path);
    return st;
}

static int by_name(const void *a, const void *b) {
    const capp_template *x = a, *y = b;
    int other_x = strcmp(x->name, default_name) != 0, other_y = strcmp(y->name, default_name) != 0;
    return other_x != other_y ? other_x - other_y : strcmp(x->name, y->name);
}

/* Sorts the templates: the default one first, the others by name. A folder may be listed in any order. */
static void put_in_order(capp_templates *templates) {
    for (size_t i = 1; i < templates->n; i++)
        for (size_t k = i; k && by_name(&templates->at[k - 1], &templates->at[k]) > 0; k--) {
            capp_template one = templates->at[k];
            templates->at[k] = templates->at[k - 1];
            templates->at[k - 1] = one;
        }
}

capp_status capp_templates_read(capp_templates *templates, const capp_gguf *gguf, const char *folder, capp_error *err) {
    *templates = (capp_templates){0};
    capp_status st;
    if (gguf) {
        st = read_gguf(templates, gguf, err);
    } else { /* if templates have the same name, the first counts, as in transformers */
        st = read_file(templates, folder, "chat_template.jinja", default_name, err);
        if (st == CAPP_OK) st = read_additional(templates, folder, err);
        if (st == CAPP_OK) st = read_file(templates, folder, "tokenizer_config.json", NULL, err);
        if (st == CAPP_OK) st = read_file(templates, folder, "chat_template.json", NULL, err);
    }
    if (st == CAPP_OK)
        put_in_order(templates);
    else
        capp_templates_free(templates);
    return st;
}
