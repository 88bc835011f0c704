#include "hub_list.h"
#include "json_parser.h"

#include <stdlib.h>
#include <string.h>

enum { SHA1_DIGITS = 40, SHA256_DIGITS = 64 };

static bool is_hexadecimal(const char *text, size_t digits) {
    return text && strlen(text) == digits && strspn(text, "0123456789abcdef") == digits;
}

/* Whether a name stays in its folder: no part of it is empty or begins with a dot, and no byte has a special meaning
 * for shells or terminals. */
static bool is_safe(const char *name) {
    for (const char *part = name;; part++) {
        if (!*part || *part == '/' || *part == '.') return false;
        for (; *part && *part != '/'; part++)
            if ((unsigned char)*part < 0x20 || *part == 0x7F || *part == '\\') return false;
        if (!*part) return true;
    }
}

/* The string member of an object, or NULL. */
static const char *string_member(arena *a, json_value object, const char *key) {
    if (json_kind_of(object) != JSON_KIND_OBJECT) return NULL;
    for (json_walk w = json_begin(object); json_next(&w);)
        if (json_kind_of(w.item) == JSON_KIND_STRING && str_is(json_copy_string(a, w.name), key))
            return json_copy_string(a, w.item).data;
    return NULL;
}

static json_value member(arena *a, json_value object, const char *key) {
    if (json_kind_of(object) != JSON_KIND_OBJECT) return (json_value){0};
    for (json_walk w = json_begin(object); json_next(&w);)
        if (str_is(json_copy_string(a, w.name), key)) return w.item;
    return (json_value){0};
}

static bool read_size(json_value value, uint64_t *size) {
    char digits[24] = "";
    if (json_kind_of(value) != JSON_KIND_NUMBER || value.size >= sizeof digits) return false;
    memcpy(digits, value.data, value.size);
    return parse_count(digits, INT64_MAX, size);
}

static bool read_file_entry(hub_list *list, json_value entry, const char *about, capp_error *err) {
    arena *a = &list->memory;
    json_value lfs = member(a, entry, "lfs");
    bool large = json_kind_of(lfs) == JSON_KIND_OBJECT;
    hub_file file = {.name = string_member(a, entry, "rfilename"), .large = large};
    if (!file.name) return fail_at(err, 0, "%s: the server's list has a file without a name", about);
    bool hidden = (file.name[0] == '.' || strstr(file.name, "/.")) && !strstr(file.name, "..");
    if (hidden) return true; /* .gitattributes */
    file.hash = large ? string_member(a, lfs, "sha256") : string_member(a, entry, "blobId");
    if (!is_safe(file.name) || !is_hexadecimal(file.hash, large ? SHA256_DIGITS : SHA1_DIGITS) ||
        !read_size(member(a, large ? lfs : entry, "size"), &file.size))
        return fail_at(err, 0, "%s: the server's list has an invalid name, size or hash for the file '%s'", about,
                       file.name);
    grow(&list->files, &list->capacity, list->n + 1, sizeof *list->files);
    list->files[list->n++] = file;
    return true;
}

bool hub_list_read(hub_list *list, capp_str answer, const char *about, capp_error *err) {
    json_value value;
    size_t at;
    const char *reason;
    *list = (hub_list){0};
    if (!json_check(answer, &value, &at, &reason))
        return fail_at(err, 0, "%s: the server's answer is not JSON: %s at byte %zu", about, reason, at);
    list->commit = string_member(&list->memory, value, "sha");
    json_value files = member(&list->memory, value, "siblings");
    if (!is_hexadecimal(list->commit, SHA1_DIGITS) || json_kind_of(files) != JSON_KIND_ARRAY)
        return fail_at(err, 0, "%s: the server's answer is not that of a model hub; check HF_ENDPOINT", about);
    for (json_walk w = json_begin(files); json_next(&w);)
        if (!read_file_entry(list, w.item, about, err)) return false;
    return true;
}

/* ---- Selecting files --------------------------------------------------------------------------------------------- */

static bool is_tensors(const char *name) {
    return !strchr(name, '/') && ends_with(name, ".safetensors") && strncmp(name, "consolidated", 12) != 0;
}

/* The files of a folder that capp reads. */
static bool is_of_folder(const char *name) {
    static const char *const ends[] = {".json", ".jinja", ".model", ".txt"};
    if (is_tensors(name)) return true;
    if (strchr(name, '/')) return !strncmp(name, "additional_chat_templates/", 26) && ends_with(name, ".jinja");
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i])) return true;
    return false;
}

static bool is_folder(const hub_list *list) {
    bool config = false, tensors = false;
    for (size_t i = 0; i < list->n; i++) {
        config = config || !strcmp(list->files[i].name, "config.json");
        tensors = tensors || is_tensors(list->files[i].name);
    }
    return config && tensors;
}

/* Names of the repository's models, for messages. */
static void put_models(buffer *text, const hub_list *list, const char *wanted) {
    for (size_t i = 0; i < list->n; i++)
        if (names_weights(list->files[i].name) && name_wants(wanted, list->files[i].name))
            buffer_printf(text, "%s%s", text->size ? ", " : "", list->files[i].name);
    if (text->size > 700) text->size = 700;
    if (!text->size) buffer_text(text, "no GGUF files");
}

static bool fail_choice(const hub_list *list, const model_name *name, size_t found, capp_error *err) {
    buffer models = {0};
    put_models(&models, list, found ? name->wanted : "");
    if (found)
        fail_at(err, 0, "%s has several files: %.*s; name one, or its quantization, behind a colon: %.*s:Q4_K_M",
                name->text, (int)models.size, models.data, (int)name->repository.size, name->repository.data);
    else
        fail_at(err, 0, "%s: the repository has no such model; it has %.*s", name->text, (int)models.size, models.data);
    buffer_free(&models);
    return false;
}

/* Whether file is a part of the split set whose first file is `first`. */
static bool is_part_of(const char *file, const char *first) {
    size_t at = 0, other = 0, parts = split_parts(first, &at);
    if (parts == 1) return !strcmp(file, first);
    return split_parts(file, &other) == parts && at == other && !strncmp(file, first, at);
}

bool hub_list_choose(hub_list *list, const model_name *name, capp_error *err) {
    const char *chosen = NULL;
    size_t found = 0, kept = 0;
    bool folder = !*name->wanted && is_folder(list);
    for (size_t i = 0; i < list->n && !folder; i++)
        if (names_weights(list->files[i].name) && name_wants(name->wanted, list->files[i].name)) {
            chosen = list->files[i].name;
            found++;
        }
    if (!folder && found != 1) return fail_choice(list, name, found, err);
    for (size_t i = 0; i < list->n; i++)
        if (folder ? is_of_folder(list->files[i].name) : is_part_of(list->files[i].name, chosen))
            list->files[kept++] = list->files[i];
    list->n = kept;
    return true;
}

void hub_list_free(hub_list *list) {
    free(list->files);
    arena_free(&list->memory);
    *list = (hub_list){0};
}
