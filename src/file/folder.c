#include "file/folder.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "file/names.h"
#include "file/safetensors.h"

enum { MOST_PARTS = 9999, MOST_PATH = 4096, MOST_NAME = 1024 };
static const uint64_t MOST_JSON = 64 << 20; /* most bytes of config.json or of an index */

struct capp_folder {
    char *path;
    capp_map config_map; /* not mapped if config.json is in the caller's memory */
    capp_json config;    /* of the text model */
    capp_json around;    /* the object that contains config, or NULL */
    capp_map quant_map;  /* not mapped if there is no hf_quant_config.json */
    capp_json quant;     /* the object in it, or NULL */
    uint64_t bytes;
    capp_map *maps; /* [n_maps]; none if the bytes are in the caller's memory */
    size_t n_maps, maps_capacity;
    capp_safetensors *parts; /* [n_parts]; tensors are moved to the common list, names stay here */
    size_t n_parts, parts_capacity;
    capp_tensor *tensors; /* tensors of all parts */
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
static capp_status join(const capp_folder *folder, const char *name, char *out, capp_error *err) {
    int n = snprintf(out, MOST_PATH, "%s/%s", folder->path, name);
    if (n > 0 && n < MOST_PATH) return CAPP_OK;
    return capp_fail(err, CAPP_EIO, "%.200s...: path longer than %d bytes; use a shorter one", folder->path, MOST_PATH);
}

static capp_status fail_memory(const capp_folder *folder, capp_error *err) {
    return capp_fail(err, CAPP_ENOMEM, "%s: out of memory for its list of tensors", folder->path);
}

/* Parses text, which must be an object. */
static capp_status check_json(capp_json *object, capp_str text, const char *path, capp_error *err) {
    capp_status st = capp_json_check(text, object, err);
    if (st != CAPP_OK) {
        capp_error_prefix(err, path);
        return st;
    }
    if (capp_json_kind_of(*object) == CAPP_JSON_OBJECT) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: not a JSON object: the file is damaged; download it again", path);
}

/* The text is in *map. The caller closes *map, also after a failure. */
static capp_status read_json(capp_json *object, capp_map *map, const char *path, capp_error *err) {
    capp_status st = capp_map_open(map, path, err);
    if (st != CAPP_OK) return st;
    if (map->size > MOST_JSON)
        return capp_fail(err, CAPP_EFORMAT, "%s: too large: %zu bytes, capp reads at most %llu", path, map->size,
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

static void enter_text_config(capp_folder *folder) {
    capp_json text = capp_config_at(folder->config, "text_config");
    if (capp_json_kind_of(text) != CAPP_JSON_OBJECT) return;
    folder->around = folder->config;
    folder->config = text;
}

/* ---- Tensors ------------------------------------------------------------------------------------------------------
 */

static capp_status add_bytes(capp_folder *folder, const void *data, size_t size, const char *path, capp_error *err) {
    capp_status st;
    if (!capp_grow(&folder->parts, &folder->parts_capacity, folder->n_parts + 1, sizeof *folder->parts))
        return fail_memory(folder, err);
    capp_safetensors *part = &folder->parts[folder->n_parts];
    if ((st = capp_safetensors_read(part, data, size, path, err)) != CAPP_OK) return st;
    folder->n_parts++;
    folder->bytes += size;
    if (!capp_grow(&folder->tensors, &folder->tensors_capacity, folder->n_tensors + part->n, sizeof *folder->tensors))
        return fail_memory(folder, err);
    if (part->n) memcpy(folder->tensors + folder->n_tensors, part->tensors, part->n * sizeof *part->tensors);
    folder->n_tensors += part->n;
    capp_free(part->tensors);
    part->tensors = NULL;
    return CAPP_OK;
}

static capp_status add_file(capp_folder *folder, const char *path, capp_error *err) {
    capp_map map;
    capp_status st;
    if (!capp_grow(&folder->maps, &folder->maps_capacity, folder->n_maps + 1, sizeof *folder->maps))
        return fail_memory(folder, err);
    if ((st = capp_map_open(&map, path, err)) != CAPP_OK) return st;
    folder->maps[folder->n_maps++] = map;
    return add_bytes(folder, map.data, map.size, path, err);
}

static capp_status index_tensors(capp_folder *folder, capp_error *err) {
    int64_t duplicate;
    if (!capp_names_build(&folder->names, folder->tensors, sizeof *folder->tensors, folder->n_tensors, &duplicate))
        return fail_memory(folder, err);
    if (duplicate == CAPP_NO_NAME) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT,
                     "%s: tensor %.100s occurs in two files: the folder is damaged; download it again", folder->path,
                     folder->tensors[duplicate].name.data);
}

/* ---- Index of parts ------------------------------------------------------------------------------------------------
 */

/* Copies a string to out [NAME] and adds a NUL. Returns false if it is not a string, too long, or contains NUL. */
static bool name_of(capp_json string, char *out) {
    bool escapes;
    capp_str raw = capp_json_raw(string, &escapes);
    if (!raw.data || raw.size >= MOST_NAME) return false;
    size_t n = capp_json_decode(raw, out);
    out[n] = 0;
    return strlen(out) == n;
}

/* Whether this is the name of a file in the folder of the index. capp never opens files outside the folder. */
static bool is_part_name(const char *name) {
    size_t n = strlen(name);
    return n > 12 && n < 256 && !strchr(name, '/') && !strcmp(name + n - 12, ".safetensors");
}

/* Whether the index names this file before the item at `until`. Then the file is already open. */
static bool named_before(capp_json map, const char *name, capp_json until) {
    for (capp_json_walk w = capp_json_begin(map); capp_json_next(&w) && w.value != until;)
        if (capp_json_is(w.value, name)) return true;
    return false;
}

/* Opens each file that the index names once. Adjacent items usually name the same file. */
static capp_status open_parts(capp_folder *folder, const char *path, capp_json map, capp_error *err) {
    char part[MOST_PATH], name[MOST_NAME], last[MOST_NAME] = "";
    capp_status st;
    for (capp_json_walk w = capp_json_begin(map); capp_json_next(&w);) {
        if (!name_of(w.value, name) || !is_part_name(name))
            return capp_fail(
                err, CAPP_EFORMAT,
                "%s: a tensor has an invalid file name; expected NAME.safetensors, a file in the same folder", path);
        if (!strcmp(name, last)) continue;
        memcpy(last, name, strlen(name) + 1);
        if (named_before(map, name, w.value)) continue;
        if (folder->n_parts == MOST_PARTS)
            return capp_fail(err, CAPP_EFORMAT, "%s: more than %d files in the index, which capp does not support",
                             path, MOST_PARTS);
        if ((st = join(folder, name, part, err)) != CAPP_OK) return st;
        if ((st = add_file(folder, part, err)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* The files and the index must contain the same tensors. Otherwise a file may belong to another model. */
static capp_status check_index(const capp_folder *folder, const char *path, capp_json map, capp_error *err) {
    char name[MOST_NAME];
    for (capp_json_walk w = capp_json_begin(map); capp_json_next(&w);)
        if (!name_of(w.name, name) || !capp_folder_find_tensor(folder, name))
            return capp_fail(
                err, CAPP_EFORMAT,
                "%s: tensor %.100s is in the index but not in any file: the folder is incomplete; download it again",
                path, name);
    for (size_t i = 0; i < folder->n_tensors && capp_json_count(map) != folder->n_tensors; i++)
        if (!capp_json_get(map, folder->tensors[i].name.data))
            return capp_fail(err, CAPP_EFORMAT,
                             "%s: tensor %.100s is in a file but not in the index: the folder has files of different "
                             "models; download it again",
                             path, folder->tensors[i].name.data);
    return CAPP_OK;
}

static capp_status open_index(capp_folder *folder, const char *path, capp_error *err) {
    capp_map text;
    capp_json index = NULL;
    capp_status st = read_json(&index, &text, path, err);
    capp_json map = st == CAPP_OK ? capp_json_get(index, "weight_map") : NULL;
    if (st == CAPP_OK && capp_json_kind_of(map) != CAPP_JSON_OBJECT)
        st = capp_fail(err, CAPP_EFORMAT, "%s: no weight_map: the file is damaged; download it again", path);
    if (st == CAPP_OK) st = open_parts(folder, path, map, err);
    if (st == CAPP_OK) st = index_tensors(folder, err);
    if (st == CAPP_OK) st = check_index(folder, path, map, err);
    capp_map_close(&text);
    return st;
}

/* Sets *there to whether the folder has this file. If it does, its tensors are added to the list. */
static capp_status open_whole(capp_folder *folder, const char *name, bool *there, capp_error *err) {
    char path[MOST_PATH];
    capp_status st = join(folder, name, path, err);
    *there = st == CAPP_OK && exists(path);
    if (!*there) return st;
    return (st = add_file(folder, path, err)) == CAPP_OK ? index_tensors(folder, err) : st;
}

static capp_status open_tensors(capp_folder *folder, capp_error *err) {
    char path[MOST_PATH];
    bool there;
    capp_status st = open_whole(folder, "model.safetensors", &there, err);
    if (st != CAPP_OK || there) return st;
    if ((st = join(folder, "model.safetensors.index.json", path, err)) != CAPP_OK) return st;
    if (exists(path)) return open_index(folder, path, err);
    return capp_fail(err, CAPP_EIO,
                     "%s: no model.safetensors or model.safetensors.index.json in the folder; if it has "
                     "pytorch_model.bin, save the model again with safe_serialization",
                     folder->path);
}

/* ---- Public --------------------------------------------------------------------------------------------------------
 */

/* Returns NULL and fills *err if there is not enough memory. */
static capp_folder *new_folder(const char *path, capp_error *err) {
    capp_folder *folder = capp_new0(1, sizeof *folder);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    if (folder) folder->path = capp_new(n + 1, 1);
    if (folder && folder->path) {
        memcpy(folder->path, path, n);
        folder->path[n] = 0;
        return folder;
    }
    capp_free(folder);
    capp_fail(err, CAPP_ENOMEM, "%s: out of memory", path);
    return NULL;
}

static capp_status finish(capp_folder **out, capp_folder *folder, capp_status st) {
    if (st == CAPP_OK)
        *out = folder;
    else
        capp_folder_free(folder);
    return st;
}

/* Reads hf_quant_config.json, if there is one. */
static capp_status read_quant(capp_folder *folder, capp_error *err) {
    char path[MOST_PATH];
    capp_status st = join(folder, "hf_quant_config.json", path, err);
    return st != CAPP_OK || !exists(path) ? st : read_json(&folder->quant, &folder->quant_map, path, err);
}

capp_status capp_folder_open(capp_folder **out, const char *path, capp_error *err) {
    char config[MOST_PATH];
    capp_status st;
    *out = NULL;
    capp_folder *folder = new_folder(path, err);
    if (!folder) return CAPP_ENOMEM;
    if ((st = join(folder, "config.json", config, err)) != CAPP_OK) return finish(out, folder, st);
    if (capp_is_adapter_folder(path))
        return finish(out, folder,
                      capp_fail(err, CAPP_EINVAL,
                                "%s: this is a LoRA adapter, not a model; open the model that it was trained for and "
                                "add the adapter with --lora",
                                folder->path));
    if (!exists(config))
        return finish(
            out, folder,
            capp_fail(
                err, CAPP_EIO,
                "%s: no config.json in the folder; use a GGUF file or a folder with config.json and *.safetensors",
                folder->path));
    st = read_json(&folder->config, &folder->config_map, config, err);
    if (st == CAPP_OK) enter_text_config(folder);
    if (st == CAPP_OK) st = open_tensors(folder, err);
    if (st == CAPP_OK) st = read_quant(folder, err);
    return finish(out, folder, st);
}

capp_status capp_folder_open_adapter(capp_folder **out, const char *path, capp_error *err) {
    char config[MOST_PATH];
    capp_status st;
    bool there = false;
    *out = NULL;
    capp_folder *folder = new_folder(path, err);
    if (!folder) return CAPP_ENOMEM;
    if (capp_is_adapter_file(path)) {
        char *slash = strrchr(folder->path, '/');
        if (slash)
            slash[slash == folder->path] = 0;
        else
            memcpy(folder->path, ".", sizeof ".");
    }
    if ((st = join(folder, adapter_config, config, err)) != CAPP_OK) return finish(out, folder, st);
    if (!exists(config))
        return finish(
            out, folder,
            capp_fail(
                err, CAPP_EIO,
                "%s: no adapter_config.json in the folder; use an adapter folder saved by PEFT, or a GGUF adapter",
                folder->path));
    st = read_json(&folder->config, &folder->config_map, config, err);
    if (st == CAPP_OK) st = open_whole(folder, adapter_tensors, &there, err);
    if (st == CAPP_OK && !there)
        st = capp_fail(err, CAPP_EIO,
                       "%s: no adapter_model.safetensors in the folder; if it has adapter_model.bin, save the adapter "
                       "again with safe_serialization",
                       folder->path);
    return finish(out, folder, st);
}

capp_status capp_folder_parse(capp_folder **out, const void *config, size_t config_size, const void *tensors,
                              size_t tensors_size, const char *name, capp_error *err) {
    *out = NULL;
    capp_folder *folder = new_folder(name, err);
    if (!folder) return CAPP_ENOMEM;
    capp_status st = check_json(&folder->config, (capp_str){config, config_size}, folder->path, err);
    if (st == CAPP_OK) enter_text_config(folder);
    if (st == CAPP_OK) st = add_bytes(folder, tensors, tensors_size, folder->path, err);
    if (st == CAPP_OK) st = index_tensors(folder, err);
    return finish(out, folder, st);
}

void capp_folder_free(capp_folder *folder) {
    if (!folder) return;
    for (size_t i = 0; i < folder->n_parts; i++) capp_safetensors_free(&folder->parts[i]);
    capp_free(folder->parts);
    for (size_t i = 0; i < folder->n_maps; i++) capp_map_close(&folder->maps[i]);
    capp_free(folder->maps);
    capp_names_free(&folder->names);
    capp_free(folder->tensors);
    capp_map_close(&folder->config_map);
    capp_map_close(&folder->quant_map);
    capp_free(folder->path);
    capp_free(folder);
}

const capp_map *capp_folder_maps(const capp_folder *folder, size_t *n) {
    *n = folder->n_maps;
    return folder->maps;
}

const char *capp_folder_path(const capp_folder *folder) {
    return folder->path;
}
uint64_t capp_folder_bytes(const capp_folder *folder) {
    return folder->bytes;
}
size_t capp_folder_parts(const capp_folder *folder) {
    return folder->n_parts;
}
capp_json capp_folder_config(const capp_folder *folder) {
    return folder->config;
}
capp_json capp_folder_around(const capp_folder *folder) {
    return folder->around;
}
capp_json capp_folder_quant(const capp_folder *folder) {
    return folder->quant;
}
size_t capp_folder_n_tensors(const capp_folder *folder) {
    return folder->n_tensors;
}
const capp_tensor *capp_folder_tensor_at(const capp_folder *folder, size_t i) {
    return i < folder->n_tensors ? &folder->tensors[i] : NULL;
}

const capp_tensor *capp_folder_find_tensor(const capp_folder *folder, const char *name) {
    int64_t i = capp_names_find(&folder->names, capp_str_of(name));
    return i == CAPP_NO_NAME ? NULL : &folder->tensors[i];
}
