#include "file/source.h"

#include <stdio.h>
#include <string.h>

#include "file/guard.h"

static bool ends(const char *path, const char *with) {
    size_t n = strlen(path), m = strlen(with);
    return n >= m && !strcmp(path + n - m, with);
}

/* Files of folders of models, not GGUF's. */
static bool is_of_folder(const char *path) {
    return ends(path, ".safetensors") || ends(path, ".bin");
}

capp_status capp_source_open(capp_source *s, const char *path, capp_error *err) {
    *s = (capp_source){NULL, NULL};
    if (capp_is_folder(path)) return capp_folder_open(&s->folder, path, err);
    capp_status st = capp_gguf_open(&s->gguf, path, err);
    if (st == CAPP_EFORMAT && is_of_folder(path))
        return capp_fail(err, st,
                         "%s: is no GGUF file; give the folder that it is in, with its config.json, model.safetensors "
                         "and tokenizer.json",
                         path);
    return st;
}

capp_status capp_source_open_adapter(capp_source *s, const char *path, capp_error *err) {
    *s = (capp_source){NULL, NULL};
    if (capp_is_folder(path) || capp_is_adapter_file(path)) return capp_folder_open_adapter(&s->folder, path, err);
    capp_status st = capp_gguf_open(&s->gguf, path, err);
    if (st == CAPP_EFORMAT && is_of_folder(path))
        return capp_fail(
            err, st,
            "%s: is neither a GGUF adapter nor one of the files that PEFT saves; give PEFT's folder, which "
            "has adapter_config.json and adapter_model.safetensors",
            path);
    return st;
}

void capp_source_close(capp_source *s) {
    capp_gguf_free(s->gguf);
    capp_folder_free(s->folder);
    *s = (capp_source){NULL, NULL};
}

/* ---- Files ---------------------------------------------------------------------------------------------------------
 */

static const capp_map *maps_of(const capp_source *s, size_t *n) {
    *n = 0;
    if (s->gguf) return capp_gguf_maps(s->gguf, n);
    return s->folder ? capp_folder_maps(s->folder, n) : NULL;
}

void capp_source_scatter(const capp_source *s, bool scattered) {
    size_t n;
    const capp_map *maps = maps_of(s, &n);
    for (size_t i = 0; i < n; i++) capp_map_scatter(&maps[i], scattered);
}

void capp_source_release(const capp_source *s) {
    size_t n;
    const capp_map *maps = maps_of(s, &n);
    for (size_t i = 0; i < n; i++) capp_map_release(&maps[i]);
}

void capp_source_drop(const capp_source *s, const void *data, size_t bytes) {
    size_t n;
    const capp_map *maps = maps_of(s, &n);
    for (size_t i = 0; i < n; i++) capp_map_drop(&maps[i], data, bytes);
}

uint64_t capp_source_resident(const capp_source *s) {
    size_t n;
    uint64_t bytes = 0;
    const capp_map *maps = maps_of(s, &n);
    for (size_t i = 0; i < n; i++) bytes += capp_map_resident(&maps[i]);
    return bytes;
}

bool capp_source_failed(const capp_source *s) {
    size_t n;
    const capp_map *maps = maps_of(s, &n);
    for (size_t i = 0; i < n; i++)
        if (capp_guard_fault(maps[i].guard)) return true;
    return false;
}

/* "tensor NAME: ", the first that has bytes of the map at or past the offset; "" where there is none. */
static const char *name_lost(const capp_source *s, const capp_map *map, uint64_t offset, char *out, size_t size) {
    const char *begin = map->data, *first = NULL;
    out[0] = 0;
    for (size_t i = 0; i < capp_source_n_tensors(s); i++) {
        const capp_tensor *t = capp_source_tensor_at(s, i);
        const char *data = t->data;
        if (data < begin || data >= begin + map->size || (first && data >= first)) continue;
        if ((uint64_t)(data - begin) + t->bytes <= offset) continue;
        first = data;
        snprintf(out, size, "tensor %.*s: ", (int)(t->name.size < 100 ? t->name.size : 100), t->name.data);
    }
    return out;
}

static capp_status fail_changed(const capp_source *s, const capp_map *map, capp_change change, uint64_t size,
                                capp_error *err) {
    char name[128];
    static const char cure[] = "copy the file again if it is damaged, then open the model again";
    switch (change) {
    case CAPP_UNREADABLE:
        return capp_fail(err, CAPP_EIO,
                         "%s: %scannot be read at byte %llu of the file, which was cut short or is on a disk that "
                         "fails; %s",
                         map->path, name_lost(s, map, size, name, sizeof name), (unsigned long long)size, cure);
    case CAPP_RESIZED:
        return capp_fail(err, CAPP_EIO, "%s: %sthe file has %llu bytes and had %zu when it was opened; %s", map->path,
                         size < map->size ? name_lost(s, map, size, name, sizeof name) : "", (unsigned long long)size,
                         map->size, cure);
    case CAPP_REWRITTEN:
        return capp_fail(err, CAPP_EIO, "%s: the file was written to while it was in use; %s", map->path, cure);
    default:
        return capp_fail(err, CAPP_EIO,
                         "%s: the file was replaced by another while it was in use; open the model again", map->path);
    }
}

capp_status capp_source_check(const capp_source *s, capp_error *err) {
    size_t n;
    uint64_t size;
    const capp_map *maps = maps_of(s, &n);
    for (size_t i = 0; i < n; i++) {
        capp_change change = capp_map_look(&maps[i], &size);
        if (change != CAPP_SAME) return fail_changed(s, &maps[i], change, size, err);
    }
    return CAPP_OK;
}

const char *capp_source_path(const capp_source *s) {
    return s->gguf ? capp_gguf_path(s->gguf) : capp_folder_path(s->folder);
}

uint64_t capp_source_bytes(const capp_source *s) {
    if (!s->gguf && !s->folder) return 0;
    return s->gguf ? capp_gguf_file_bytes(s->gguf) : capp_folder_bytes(s->folder);
}

size_t capp_source_n_tensors(const capp_source *s) {
    return s->gguf ? capp_gguf_n_tensors(s->gguf) : capp_folder_n_tensors(s->folder);
}

const capp_tensor *capp_source_tensor_at(const capp_source *s, size_t i) {
    return s->gguf ? capp_gguf_tensor_at(s->gguf, i) : capp_folder_tensor_at(s->folder, i);
}

const capp_tensor *capp_source_find_tensor(const capp_source *s, const char *name) {
    return s->gguf ? capp_gguf_find_tensor(s->gguf, name) : capp_folder_find_tensor(s->folder, name);
}

/* ---- Values --------------------------------------------------------------------------------------------------------
 */

static capp_found number_of(capp_json v, double *out) {
    if (!v) return CAPP_ABSENT;
    return capp_json_f64(v, out) ? CAPP_FOUND : CAPP_MISFIT;
}

/* No name that matters here is written with escapes. */
static capp_found str_of(capp_json v, capp_str *out) {
    bool escapes;
    if (!v) return CAPP_ABSENT;
    capp_str raw = capp_json_raw(v, &escapes);
    if (!raw.data || escapes) return CAPP_MISFIT;
    *out = raw;
    return CAPP_FOUND;
}

static capp_json config_at(const capp_source *s, const char *key) {
    return capp_config_at(capp_folder_config(s->folder), key);
}

/* What a GGUF getter that gave false means. */
static capp_found missed(const capp_source *s, const char *key) {
    return capp_gguf_find(s->gguf, key) ? CAPP_MISFIT : CAPP_ABSENT;
}

capp_found capp_source_number(const capp_source *s, const char *key, double *out) {
    if (!s->gguf) return number_of(config_at(s, key), out);
    return capp_gguf_f64(s->gguf, key, out) ? CAPP_FOUND : missed(s, key);
}

capp_found capp_source_bool(const capp_source *s, const char *key, bool *out) {
    if (s->gguf) return capp_gguf_bool(s->gguf, key, out) ? CAPP_FOUND : missed(s, key);
    capp_json v = config_at(s, key);
    if (!v) return CAPP_ABSENT;
    return capp_json_bool(v, out) ? CAPP_FOUND : CAPP_MISFIT;
}

capp_found capp_source_str(const capp_source *s, const char *key, capp_str *out) {
    if (!s->gguf) return str_of(config_at(s, key), out);
    return capp_gguf_str(s->gguf, key, out) ? CAPP_FOUND : missed(s, key);
}

static capp_json config_element(const capp_source *s, const char *key, size_t i) {
    capp_json array = config_at(s, key);
    if (capp_json_kind_of(array) != CAPP_JSON_ARRAY) return NULL;
    for (capp_json_walk w = capp_json_begin(array); capp_json_next(&w);)
        if (!i--) return capp_json_kind_of(w.value) == CAPP_JSON_NULL ? NULL : w.value;
    return NULL;
}

capp_found capp_source_number_at(const capp_source *s, const char *key, size_t i, double *out) {
    if (!s->gguf) return number_of(config_element(s, key, i), out);
    const capp_gguf_value *v = capp_gguf_find(s->gguf, key);
    if (!v || v->kind != CAPP_GGUF_ARRAY || i >= v->count) return CAPP_ABSENT;
    return capp_gguf_array_f64(v, i, out) ? CAPP_FOUND : CAPP_MISFIT;
}

capp_found capp_source_str_at(const capp_source *s, const char *key, size_t i, capp_str *out) {
    if (!s->gguf) return str_of(config_element(s, key, i), out);
    const capp_gguf_value *v = capp_gguf_find(s->gguf, key);
    if (!v || v->kind != CAPP_GGUF_ARRAY || i >= v->count) return CAPP_ABSENT;
    if (!v->strings) return CAPP_MISFIT;
    *out = v->strings[i];
    return CAPP_FOUND;
}

size_t capp_source_count(const capp_source *s, const char *key) {
    if (!s->gguf) {
        capp_json array = config_at(s, key);
        return capp_json_kind_of(array) == CAPP_JSON_ARRAY ? capp_json_count(array) : 0;
    }
    const capp_gguf_value *v = capp_gguf_find(s->gguf, key);
    return v && v->kind == CAPP_GGUF_ARRAY ? (size_t)v->count : 0;
}

bool capp_is_adapter(const capp_source *s) {
    static const char adapter[] = "adapter";
    capp_str text;
    if (!s->gguf) return capp_source_str(s, "peft_type", &text) == CAPP_FOUND;
    return capp_source_str(s, "general.type", &text) == CAPP_FOUND && text.size == sizeof adapter - 1 &&
           !memcmp(text.data, adapter, text.size);
}
