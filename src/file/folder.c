#include "file/folder.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "file/names.h"
#include "file/safetensors.h"

enum { MOST_PARTS = 9999, MOST_PATH = 4096, MOST_NAME = 1024 };
static const uint64_t MOST_JSON = 64 << 20; /* bytes of config.json or of an index */

struct capp_folder {
    char *path;
    capp_map config_map; /* nothing where config.json is the caller's bytes */
    capp_json config;    /* of the text model */
    capp_json around;    /* what config is in, or NULL */
    uint64_t bytes;
    capp_map *maps; /* [n_maps]; none for bytes that are the caller's */
    size_t n_maps, maps_capacity;
    capp_safetensors *parts; /* [n_parts]; their tensors are moved to the list of all, the names stay */
    size_t n_parts, parts_capacity;
    capp_tensor *tensors; /* of all parts */
    size_t n_tensors, tensors_capacity;
    capp_names names; /* of tensors */
};

bool capp_is_folder(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static bool exists(const char *path) {
    struct stat st;
    return !stat(path, &st);
}

bool capp_is_adapter_folder(const char *path) {
    char config[MOST_PATH], adapter[MOST_PATH];
    int n = snprintf(config, sizeof config, "%s/config.json", path);
    int m = snprintf(adapter, sizeof adapter, "%s/adapter_config.json", path);
    return n > 0 && m > 0 && m < MOST_PATH && !exists(config) && exists(adapter);
}

static const char adapter_config[] = "adapter_config.json", adapter_tensors[] = "adapter_model.safetensors";

bool capp_is_adapter_file(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return (!strcmp(name, adapter_config) || !strcmp(name, adapter_tensors)) && exists(path) && !capp_is_folder(path);
}

/* FOLDER/NAME in out [MOST_PATH]. */
static capp_status join(const capp_folder *f, const char *name, char *out, capp_error *err) {
    int n = snprintf(out, MOST_PATH, "%s/%s", f->path, name);
    if (n > 0 && n < MOST_PATH) return CAPP_OK;
    return capp_fail(err, CAPP_EIO, "%.200s...: the path is longer than %d bytes", f->path, MOST_PATH);
}

static capp_status fail_memory(const capp_folder *f, capp_error *err) {
    return capp_fail(err, CAPP_ENOMEM, "%s: out of memory for its list of tensors", f->path);
}

/* The object that text holds. */
static capp_status check_json(capp_json *object, capp_str text, const char *path, capp_error *err) {
    capp_status st = capp_json_check(text, object, err);
    if (st != CAPP_OK) {
        capp_error_prefix(err, path);
        return st;
    }
    if (capp_json_kind_of(*object) == CAPP_JSON_OBJECT) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: is no JSON object: the file is damaged; fetch it again", path);
}

/* *map, which holds the text, is to be closed whatever comes back. */
static capp_status read_json(capp_json *object, capp_map *map, const char *path, capp_error *err) {
    capp_status st = capp_map_open(map, path, err);
    if (st != CAPP_OK) return st;
    if (map->size > MOST_JSON)
        return capp_fail(err, CAPP_EFORMAT, "%s: has %zu bytes; capp reads up to %llu", path, map->size,
                         (unsigned long long)MOST_JSON);
    return check_json(object, (capp_str){map->data, map->size}, path, err);
}

capp_json capp_config_at(capp_json object, const char *keys) {
    char key[128];
    while (object) {
        size_t n = strcspn(keys, ".");
        if (n >= sizeof key) return NULL;
        memcpy(key, keys, n);
        key[n] = 0;
        object = capp_json_get(object, key);
        if (!keys[n]) break;
        keys += n + 1;
    }
    return capp_json_kind_of(object) == CAPP_JSON_NULL ? NULL : object;
}

static void enter_text_config(capp_folder *f) {
    capp_json text = capp_config_at(f->config, "text_config");
    if (capp_json_kind_of(text) != CAPP_JSON_OBJECT) return;
    f->around = f->config;
    f->config = text;
}

/* ---- Tensors ------------------------------------------------------------------------------------------------------
 */

static capp_status add_bytes(capp_folder *f, const void *data, size_t size, const char *path, capp_error *err) {
    capp_status st;
    if (!capp_grow(&f->parts, &f->parts_capacity, f->n_parts + 1, sizeof *f->parts)) return fail_memory(f, err);
    capp_safetensors *part = &f->parts[f->n_parts];
    if ((st = capp_safetensors_read(part, data, size, path, err)) != CAPP_OK) return st;
    f->n_parts++;
    f->bytes += size;
    if (!capp_grow(&f->tensors, &f->tensors_capacity, f->n_tensors + part->n, sizeof *f->tensors))
        return fail_memory(f, err);
    if (part->n) memcpy(f->tensors + f->n_tensors, part->tensors, part->n * sizeof *part->tensors);
    f->n_tensors += part->n;
    capp_free(part->tensors);
    part->tensors = NULL;
    return CAPP_OK;
}

static capp_status add_file(capp_folder *f, const char *path, capp_error *err) {
    capp_map map;
    capp_status st;
    if (!capp_grow(&f->maps, &f->maps_capacity, f->n_maps + 1, sizeof *f->maps)) return fail_memory(f, err);
    if ((st = capp_map_open(&map, path, err)) != CAPP_OK) return st;
    f->maps[f->n_maps++] = map;
    return add_bytes(f, map.data, map.size, path, err);
}

static capp_status index_tensors(capp_folder *f, capp_error *err) {
    int64_t duplicate;
    if (!capp_names_build(&f->names, f->tensors, sizeof *f->tensors, f->n_tensors, &duplicate))
        return fail_memory(f, err);
    if (duplicate == CAPP_NO_NAME) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: tensor %.100s occurs in two files: fetch the folder again", f->path,
                     f->tensors[duplicate].name.data);
}

/* ---- Index of parts ------------------------------------------------------------------------------------------------
 */

/* The text of a string, in out [NAME] with a NUL; false for another kind, one that is too long or holds a NUL. */
static bool name_of(capp_json string, char *out) {
    bool escapes;
    capp_str raw = capp_json_raw(string, &escapes);
    if (!raw.data || raw.size >= MOST_NAME) return false;
    size_t n = capp_json_decode(raw, out);
    out[n] = 0;
    return strlen(out) == n;
}

/* A plain name beside the index: nothing outside the folder is ever opened. */
static bool is_part_name(const char *name) {
    size_t n = strlen(name);
    return n > 12 && n < 256 && !strchr(name, '/') && !strcmp(name + n - 12, ".safetensors");
}

/* Whether the index names that file before the item at `until`: then it is open. */
static bool named_before(capp_json map, const char *name, capp_json until) {
    for (capp_json_walk w = capp_json_begin(map); capp_json_next(&w) && w.value != until;)
        if (capp_json_is(w.value, name)) return true;
    return false;
}

/* Opens every file that the index names, each once. Neighbours mostly name the same. */
static capp_status open_parts(capp_folder *f, const char *path, capp_json map, capp_error *err) {
    char part[MOST_PATH], name[MOST_NAME], last[MOST_NAME] = "";
    capp_status st;
    for (capp_json_walk w = capp_json_begin(map); capp_json_next(&w);) {
        if (!name_of(w.value, name) || !is_part_name(name))
            return capp_fail(err, CAPP_EFORMAT, "%s: has a tensor that is in no file NAME.safetensors of the folder",
                             path);
        if (!strcmp(name, last)) continue;
        memcpy(last, name, strlen(name) + 1);
        if (named_before(map, name, w.value)) continue;
        if (f->n_parts == MOST_PARTS)
            return capp_fail(err, CAPP_EFORMAT, "%s: names more than %d files", path, MOST_PARTS);
        if ((st = join(f, name, part, err)) != CAPP_OK) return st;
        if ((st = add_file(f, part, err)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* Tensors and index must name the same: a tensor in a file of which the index knows nothing may be of another model. */
static capp_status check_index(const capp_folder *f, const char *path, capp_json map, capp_error *err) {
    char name[MOST_NAME];
    for (capp_json_walk w = capp_json_begin(map); capp_json_next(&w);)
        if (!name_of(w.name, name) || !capp_folder_find_tensor(f, name))
            return capp_fail(err, CAPP_EFORMAT, "%s: tensor %.100s is in none of its files: fetch the folder again",
                             path, name);
    for (size_t i = 0; i < f->n_tensors && capp_json_count(map) != f->n_tensors; i++)
        if (!capp_json_get(map, f->tensors[i].name.data))
            return capp_fail(err, CAPP_EFORMAT, "%s: does not name tensor %.100s, which is in its files", path,
                             f->tensors[i].name.data);
    return CAPP_OK;
}

static capp_status open_index(capp_folder *f, const char *path, capp_error *err) {
    capp_map text;
    capp_json index = NULL;
    capp_status st = read_json(&index, &text, path, err);
    capp_json map = st == CAPP_OK ? capp_json_get(index, "weight_map") : NULL;
    if (st == CAPP_OK && capp_json_kind_of(map) != CAPP_JSON_OBJECT)
        st = capp_fail(err, CAPP_EFORMAT, "%s: has no weight_map; fetch it again", path);
    if (st == CAPP_OK) st = open_parts(f, path, map, err);
    if (st == CAPP_OK) st = index_tensors(f, err);
    if (st == CAPP_OK) st = check_index(f, path, map, err);
    capp_map_close(&text);
    return st;
}

/* *there: whether the folder has that file; then its tensors are in the list. */
static capp_status open_whole(capp_folder *f, const char *name, bool *there, capp_error *err) {
    char path[MOST_PATH];
    capp_status st = join(f, name, path, err);
    *there = st == CAPP_OK && exists(path);
    if (!*there) return st;
    return (st = add_file(f, path, err)) == CAPP_OK ? index_tensors(f, err) : st;
}

static capp_status open_tensors(capp_folder *f, capp_error *err) {
    char path[MOST_PATH];
    bool there;
    capp_status st = open_whole(f, "model.safetensors", &there, err);
    if (st != CAPP_OK || there) return st;
    if ((st = join(f, "model.safetensors.index.json", path, err)) != CAPP_OK) return st;
    if (exists(path)) return open_index(f, path, err);
    return capp_fail(err, CAPP_EIO,
                     "%s: has neither model.safetensors nor model.safetensors.index.json; if it has pytorch_model.bin, "
                     "save the model again with safe_serialization",
                     f->path);
}

/* ---- Public --------------------------------------------------------------------------------------------------------
 */

/* NULL: out of memory, said so in *err. */
static capp_folder *new_folder(const char *path, capp_error *err) {
    capp_folder *f = capp_new0(1, sizeof *f);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    if (f) f->path = capp_new(n + 1, 1);
    if (f && f->path) {
        memcpy(f->path, path, n);
        f->path[n] = 0;
        return f;
    }
    capp_free(f);
    capp_fail(err, CAPP_ENOMEM, "%s: out of memory", path);
    return NULL;
}

static capp_status finish(capp_folder **out, capp_folder *f, capp_status st) {
    if (st == CAPP_OK)
        *out = f;
    else
        capp_folder_free(f);
    return st;
}

capp_status capp_folder_open(capp_folder **out, const char *path, capp_error *err) {
    char config[MOST_PATH];
    capp_status st;
    *out = NULL;
    capp_folder *f = new_folder(path, err);
    if (!f) return CAPP_ENOMEM;
    if ((st = join(f, "config.json", config, err)) != CAPP_OK) return finish(out, f, st);
    if (capp_is_adapter_folder(path))
        return finish(out, f,
                      capp_fail(err, CAPP_EINVAL,
                                "%s: is a LoRA adapter, not a model; open the model that it was made for and give the "
                                "adapter as one (--lora)",
                                f->path));
    if (!exists(config))
        return finish(out, f,
                      capp_fail(err, CAPP_EIO,
                                "%s: is a folder without a config.json; give a GGUF file or a folder of "
                                "a model with config.json and *.safetensors",
                                f->path));
    st = read_json(&f->config, &f->config_map, config, err);
    if (st == CAPP_OK) enter_text_config(f);
    if (st == CAPP_OK) st = open_tensors(f, err);
    return finish(out, f, st);
}

capp_status capp_folder_open_adapter(capp_folder **out, const char *path, capp_error *err) {
    char config[MOST_PATH];
    capp_status st;
    bool there = false;
    *out = NULL;
    capp_folder *f = new_folder(path, err);
    if (!f) return CAPP_ENOMEM;
    if (capp_is_adapter_file(path)) {
        char *slash = strrchr(f->path, '/');
        if (slash)
            slash[slash == f->path] = 0;
        else
            memcpy(f->path, ".", sizeof ".");
    }
    if ((st = join(f, adapter_config, config, err)) != CAPP_OK) return finish(out, f, st);
    if (!exists(config))
        return finish(out, f,
                      capp_fail(err, CAPP_EIO,
                                "%s: is a folder without an adapter_config.json; give an adapter's folder as PEFT "
                                "saves it, or a GGUF adapter",
                                f->path));
    st = read_json(&f->config, &f->config_map, config, err);
    if (st == CAPP_OK) st = open_whole(f, adapter_tensors, &there, err);
    if (st == CAPP_OK && !there)
        st = capp_fail(err, CAPP_EIO,
                       "%s: has no adapter_model.safetensors; if it has adapter_model.bin, save the adapter again with "
                       "safe_serialization",
                       f->path);
    return finish(out, f, st);
}

capp_status capp_folder_parse(capp_folder **out, const void *config, size_t config_size, const void *tensors,
                              size_t tensors_size, const char *name, capp_error *err) {
    *out = NULL;
    capp_folder *f = new_folder(name, err);
    if (!f) return CAPP_ENOMEM;
    capp_status st = check_json(&f->config, (capp_str){config, config_size}, f->path, err);
    if (st == CAPP_OK) enter_text_config(f);
    if (st == CAPP_OK) st = add_bytes(f, tensors, tensors_size, f->path, err);
    if (st == CAPP_OK) st = index_tensors(f, err);
    return finish(out, f, st);
}

void capp_folder_free(capp_folder *f) {
    if (!f) return;
    for (size_t i = 0; i < f->n_parts; i++) capp_safetensors_free(&f->parts[i]);
    capp_free(f->parts);
    for (size_t i = 0; i < f->n_maps; i++) capp_map_close(&f->maps[i]);
    capp_free(f->maps);
    capp_names_free(&f->names);
    capp_free(f->tensors);
    capp_map_close(&f->config_map);
    capp_free(f->path);
    capp_free(f);
}

const capp_map *capp_folder_maps(const capp_folder *f, size_t *n) {
    *n = f->n_maps;
    return f->maps;
}

const char *capp_folder_path(const capp_folder *f) {
    return f->path;
}
uint64_t capp_folder_bytes(const capp_folder *f) {
    return f->bytes;
}
size_t capp_folder_parts(const capp_folder *f) {
    return f->n_parts;
}
capp_json capp_folder_config(const capp_folder *f) {
    return f->config;
}
capp_json capp_folder_around(const capp_folder *f) {
    return f->around;
}
size_t capp_folder_n_tensors(const capp_folder *f) {
    return f->n_tensors;
}
const capp_tensor *capp_folder_tensor_at(const capp_folder *f, size_t i) {
    return i < f->n_tensors ? &f->tensors[i] : NULL;
}

const capp_tensor *capp_folder_find_tensor(const capp_folder *f, const char *name) {
    int64_t i = capp_names_find(&f->names, capp_str_of(name));
    return i == CAPP_NO_NAME ? NULL : &f->tensors[i];
}
