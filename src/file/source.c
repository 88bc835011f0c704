#include "file/source.h"

capp_status capp_source_open(capp_source *s, const char *path, capp_error *err) {
    *s = (capp_source){NULL, NULL};
    return capp_is_folder(path) ? capp_folder_open(&s->folder, path, err) : capp_gguf_open(&s->gguf, path, err);
}

void capp_source_close(capp_source *s) {
    capp_gguf_free(s->gguf);
    capp_folder_free(s->folder);
    *s = (capp_source){NULL, NULL};
}

void capp_source_release(const capp_source *s) {
    if (s->gguf)
        capp_gguf_release(s->gguf);
    else
        capp_folder_release(s->folder);
}

const char *capp_source_path(const capp_source *s) {
    return s->gguf ? capp_gguf_path(s->gguf) : capp_folder_path(s->folder);
}

uint64_t capp_source_bytes(const capp_source *s) {
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

static capp_found number_of(const json_t *v, double *out) {
    if (!v) return CAPP_ABSENT;
    if (!json_is_number(v)) return CAPP_MISFIT;
    *out = json_number_value(v);
    return CAPP_FOUND;
}

static capp_found str_of(const json_t *v, capp_str *out) {
    if (!v) return CAPP_ABSENT;
    if (!json_is_string(v)) return CAPP_MISFIT;
    *out = (capp_str){json_string_value(v), json_string_length(v)};
    return CAPP_FOUND;
}

static const json_t *config_at(const capp_source *s, const char *key) {
    return capp_json_at(capp_folder_config(s->folder), key);
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
    const json_t *v = config_at(s, key);
    if (!v) return CAPP_ABSENT;
    if (!json_is_boolean(v)) return CAPP_MISFIT;
    *out = json_is_true(v);
    return CAPP_FOUND;
}

capp_found capp_source_str(const capp_source *s, const char *key, capp_str *out) {
    if (!s->gguf) return str_of(config_at(s, key), out);
    return capp_gguf_str(s->gguf, key, out) ? CAPP_FOUND : missed(s, key);
}

static const json_t *config_element(const capp_source *s, const char *key, size_t i) {
    const json_t *v = json_array_get(config_at(s, key), i);
    return json_is_null(v) ? NULL : v;
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
    if (!s->gguf) return json_array_size(config_at(s, key));
    const capp_gguf_value *v = capp_gguf_find(s->gguf, key);
    return v && v->kind == CAPP_GGUF_ARRAY ? (size_t)v->count : 0;
}
