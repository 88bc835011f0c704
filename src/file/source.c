#include "file/source.h"

#include <stdio.h>
#include <string.h>

#include "file/guard.h"

static bool ends(const char *path, const char *with) {
    size_t n = strlen(path), m = strlen(with);
    return n >= m && !strcmp(path + n - m, with);
}

/* Whether this is a file of a model folder instead of a GGUF file. */
static bool is_of_folder(const char *path) {
    return ends(path, ".safetensors") || ends(path, ".bin");
}

capp_status capp_source_open(capp_source *source, const char *path, capp_error *err) {
    *source = (capp_source){NULL, NULL};
    if (capp_is_folder(path)) return capp_folder_open(&source->folder, path, err);
    capp_status st = capp_gguf_open(&source->gguf, path, err);
    if (st == CAPP_EFORMAT && is_of_folder(path))
        return capp_fail(
            err, st,
            "%s: not a GGUF file; open the folder that contains it, together with config.json and tokenizer.json",
            path);
    return st;
}

capp_status capp_source_open_adapter(capp_source *source, const char *path, capp_error *err) {
    *source = (capp_source){NULL, NULL};
    if (capp_is_folder(path) || capp_is_adapter_file(path)) return capp_folder_open_adapter(&source->folder, path, err);
    capp_status st = capp_gguf_open(&source->gguf, path, err);
    if (st == CAPP_EFORMAT && is_of_folder(path))
        return capp_fail(err, st,
                         "%s: neither a GGUF adapter nor a file saved by PEFT; use the folder with adapter_config.json "
                         "and adapter_model.safetensors",
                         path);
    return st;
}

void capp_source_close(capp_source *source) {
    capp_gguf_free(source->gguf);
    capp_folder_free(source->folder);
    *source = (capp_source){NULL, NULL};
}

/* ---- Files ---------------------------------------------------------------------------------------------------------
 */

static const capp_map *maps_of(const capp_source *source, size_t *n) {
    *n = 0;
    if (source->gguf) return capp_gguf_maps(source->gguf, n);
    return source->folder ? capp_folder_maps(source->folder, n) : NULL;
}

void capp_source_scatter(const capp_source *source, bool scattered) {
    size_t n;
    const capp_map *maps = maps_of(source, &n);
    for (size_t i = 0; i < n; i++) capp_map_scatter(&maps[i], scattered);
}

void capp_source_release(const capp_source *source) {
    size_t n;
    const capp_map *maps = maps_of(source, &n);
    for (size_t i = 0; i < n; i++) capp_map_release(&maps[i]);
}

void capp_source_unmap(const capp_source *source, const void *data, size_t bytes) {
    size_t n;
    const capp_map *maps = maps_of(source, &n);
    for (size_t i = 0; i < n; i++) capp_map_unmap(&maps[i], data, bytes);
}

void capp_source_drop(const capp_source *source, const void *data, size_t bytes) {
    size_t n;
    const capp_map *maps = maps_of(source, &n);
    for (size_t i = 0; i < n; i++) capp_map_drop(&maps[i], data, bytes);
}

uint64_t capp_source_resident(const capp_source *source) {
    size_t n;
    uint64_t bytes = 0;
    const capp_map *maps = maps_of(source, &n);
    for (size_t i = 0; i < n; i++) bytes += capp_map_resident(&maps[i]);
    return bytes;
}

bool capp_source_failed(const capp_source *source) {
    size_t n;
    const capp_map *maps = maps_of(source, &n);
    for (size_t i = 0; i < n; i++)
        if (capp_guard_fault(maps[i].guard)) return true;
    return false;
}

/* "tensor NAME: " for the first tensor with bytes of the map at or after the offset; "" if there is none. */
static const char *name_lost(const capp_source *source, const capp_map *map, uint64_t offset, char *out, size_t size) {
    const char *begin = map->data, *first = NULL;
    out[0] = 0;
    for (size_t i = 0; i < capp_source_n_tensors(source); i++) {
        const capp_tensor *t = capp_source_tensor_at(source, i);
        const char *data = t->data;
        if (data < begin || data >= begin + map->size || (first && data >= first)) continue;
        if ((uint64_t)(data - begin) + t->bytes <= offset) continue;
        first = data;
        snprintf(out, size, "tensor %.*s: ", (int)(t->name.size < 100 ? t->name.size : 100), t->name.data);
    }
    return out;
}

static capp_status fail_changed(const capp_source *source, const capp_map *map, capp_change change, uint64_t size,
                                capp_error *err) {
    char name[128];
    static const char cure[] = "copy the file again if it is damaged, then open the model again";
    switch (change) {
    case CAPP_UNREADABLE:
        return capp_fail(
            err, CAPP_EIO,
            "%s: %scannot be read at byte %llu of the file: the file was truncated, or the disk failed; %s", map->path,
            name_lost(source, map, size, name, sizeof name), (unsigned long long)size, cure);
    case CAPP_RESIZED:
        return capp_fail(err, CAPP_EIO, "%s: %sthe file has %llu bytes, but had %zu when it was opened; %s", map->path,
                         size < map->size ? name_lost(source, map, size, name, sizeof name) : "",
                         (unsigned long long)size, map->size, cure);
    case CAPP_REWRITTEN:
        return capp_fail(err, CAPP_EIO, "%s: the file was written to while it was in use; %s", map->path, cure);
    default:
        return capp_fail(err, CAPP_EIO,
                         "%s: the file was replaced by another while it was in use; open the model again", map->path);
    }
}

capp_status capp_source_check(const capp_source *source, capp_error *err) {
    size_t n;
    uint64_t size;
    const capp_map *maps = maps_of(source, &n);
    for (size_t i = 0; i < n; i++) {
        capp_change change = capp_map_look(&maps[i], &size);
        if (change != CAPP_SAME) return fail_changed(source, &maps[i], change, size, err);
    }
    return CAPP_OK;
}

const char *capp_source_path(const capp_source *source) {
    return source->gguf ? capp_gguf_path(source->gguf) : capp_folder_path(source->folder);
}

uint64_t capp_source_bytes(const capp_source *source) {
    if (!source->gguf && !source->folder) return 0;
    return source->gguf ? capp_gguf_file_bytes(source->gguf) : capp_folder_bytes(source->folder);
}

size_t capp_source_n_tensors(const capp_source *source) {
    return source->gguf ? capp_gguf_n_tensors(source->gguf) : capp_folder_n_tensors(source->folder);
}

const capp_tensor *capp_source_tensor_at(const capp_source *source, size_t i) {
    return source->gguf ? capp_gguf_tensor_at(source->gguf, i) : capp_folder_tensor_at(source->folder, i);
}

const capp_tensor *capp_source_find_tensor(const capp_source *source, const char *name) {
    return source->gguf ? capp_gguf_find_tensor(source->gguf, name) : capp_folder_find_tensor(source->folder, name);
}

/* ---- Values --------------------------------------------------------------------------------------------------------
 */

static capp_found number_of(capp_json v, double *out) {
    if (!v) return CAPP_ABSENT;
    return capp_json_f64(v, out) ? CAPP_FOUND : CAPP_MISFIT;
}

/* No name that is read here contains escapes. */
static capp_found str_of(capp_json v, capp_str *out) {
    bool escapes;
    if (!v) return CAPP_ABSENT;
    capp_str raw = capp_json_raw(v, &escapes);
    if (!raw.data || escapes) return CAPP_MISFIT;
    *out = raw;
    return CAPP_FOUND;
}

static capp_json config_at(const capp_source *source, const char *key) {
    return capp_config_at(capp_folder_config(source->folder), key);
}

/* Tells why a GGUF getter returned false. */
static capp_found missed(const capp_source *source, const char *key) {
    return capp_gguf_find(source->gguf, key) ? CAPP_MISFIT : CAPP_ABSENT;
}

capp_found capp_source_number(const capp_source *source, const char *key, double *out) {
    if (!source->gguf) return number_of(config_at(source, key), out);
    return capp_gguf_f64(source->gguf, key, out) ? CAPP_FOUND : missed(source, key);
}

capp_found capp_source_bool(const capp_source *source, const char *key, bool *out) {
    if (source->gguf) return capp_gguf_bool(source->gguf, key, out) ? CAPP_FOUND : missed(source, key);
    capp_json v = config_at(source, key);
    if (!v) return CAPP_ABSENT;
    return capp_json_bool(v, out) ? CAPP_FOUND : CAPP_MISFIT;
}

capp_found capp_source_str(const capp_source *source, const char *key, capp_str *out) {
    if (!source->gguf) return str_of(config_at(source, key), out);
    return capp_gguf_str(source->gguf, key, out) ? CAPP_FOUND : missed(source, key);
}

static capp_json config_element(const capp_source *source, const char *key, size_t i) {
    capp_json array = config_at(source, key);
    if (capp_json_kind_of(array) != CAPP_JSON_ARRAY) return NULL;
    for (capp_json_walk w = capp_json_begin(array); capp_json_next(&w);)
        if (!i--) return capp_json_kind_of(w.value) == CAPP_JSON_NULL ? NULL : w.value;
    return NULL;
}

capp_found capp_source_number_at(const capp_source *source, const char *key, size_t i, double *out) {
    if (!source->gguf) return number_of(config_element(source, key, i), out);
    const capp_gguf_value *v = capp_gguf_find(source->gguf, key);
    if (!v || v->kind != CAPP_GGUF_ARRAY || i >= v->count) return CAPP_ABSENT;
    return capp_gguf_array_f64(v, i, out) ? CAPP_FOUND : CAPP_MISFIT;
}

capp_found capp_source_str_at(const capp_source *source, const char *key, size_t i, capp_str *out) {
    if (!source->gguf) return str_of(config_element(source, key, i), out);
    const capp_gguf_value *v = capp_gguf_find(source->gguf, key);
    if (!v || v->kind != CAPP_GGUF_ARRAY || i >= v->count) return CAPP_ABSENT;
    if (!v->strings) return CAPP_MISFIT;
    *out = v->strings[i];
    return CAPP_FOUND;
}

size_t capp_source_count(const capp_source *source, const char *key) {
    if (!source->gguf) {
        capp_json array = config_at(source, key);
        return capp_json_kind_of(array) == CAPP_JSON_ARRAY ? capp_json_count(array) : 0;
    }
    const capp_gguf_value *v = capp_gguf_find(source->gguf, key);
    return v && v->kind == CAPP_GGUF_ARRAY ? (size_t)v->count : 0;
}

bool capp_is_adapter(const capp_source *source) {
    static const char adapter[] = "adapter";
    capp_str text;
    if (!source->gguf) return capp_source_str(source, "peft_type", &text) == CAPP_FOUND;
    return capp_source_str(source, "general.type", &text) == CAPP_FOUND && text.size == sizeof adapter - 1 &&
           !memcmp(text.data, adapter, text.size);
}
