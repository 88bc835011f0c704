/* Combines the parts of a split model, so that the caller sees one model. A split file has these keys, written by
 * llama.cpp's gguf-split: split.no (from 0), split.count, split.tensors.count (tensors of all parts). */
#include "file/gguf.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "file/gguf_part.h"

enum { SUFFIX = 20, MOST_PARTS = 99999 }; /* strlen("-00001-of-00003.gguf"); the largest number of five digits */

struct capp_gguf {
    char *path;
    uint64_t file_bytes;
    capp_gguf_part first; /* its tensors are moved to the common list */
    capp_map *maps;       /* [n_maps]; n_maps is 0 if the bytes are in memory of the caller */
    size_t n_maps, maps_capacity;
    size_t n_parts;
    capp_gguf_tensor *tensors; /* of all parts, in order */
    size_t n_tensors, tensors_capacity;
    capp_names names; /* of tensors */
};

/* ---- Names of parts ------------------------------------------------------------------------------------------ */

static bool digits(const char *p, unsigned *out) {
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (p[i] < '0' || p[i] > '9') return false;
        *out = *out * 10 + (unsigned)(p[i] - '0');
    }
    return true;
}

/* Whether path ends in -NNNNN-of-NNNNN.gguf. Sets *no (from 1) and *count to the two numbers. */
static bool part_name(const char *path, unsigned *no, unsigned *count) {
    size_t n = strlen(path);
    if (n < SUFFIX) return false;
    const char *p = path + n - SUFFIX;
    return p[0] == '-' && digits(p + 1, no) && !memcmp(p + 6, "-of-", 4) && digits(p + 10, count) &&
           !memcmp(p + 15, ".gguf", 5);
}

/* Replaces the number of the part in path, which must match part_name. */
static void set_part(char *path, unsigned no) {
    char text[12];
    snprintf(text, sizeof text, "%05u", no % (MOST_PARTS + 1));
    memcpy(path + strlen(path) - SUFFIX + 1, text, 5);
}

static char *copy_text(const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = capp_new(n, 1);
    if (copy) memcpy(copy, text, n);
    return copy;
}

/* ---- Combining parts ----------------------------------------------------------------------------------------- */

static capp_status fail_memory(const char *path, capp_error *err) {
    return capp_fail(err, CAPP_ENOMEM, "%s: out of memory for its list of tensors", path);
}

/* Moves the tensors of part to the common list. */
static bool append_tensors(capp_gguf *gguf, capp_gguf_part *part) {
    if (!capp_grow(&gguf->tensors, &gguf->tensors_capacity, gguf->n_tensors + part->n_tensors, sizeof *gguf->tensors))
        return false;
    if (part->n_tensors)
        memcpy(gguf->tensors + gguf->n_tensors, part->tensors, part->n_tensors * sizeof *part->tensors);
    gguf->n_tensors += part->n_tensors;
    capp_free(part->tensors);
    part->tensors = NULL;
    part->n_tensors = 0;
    return true;
}

static capp_status index_tensors(capp_gguf *gguf, capp_error *err) {
    int64_t duplicate;
    if (!capp_names_build(&gguf->names, gguf->tensors, sizeof *gguf->tensors, gguf->n_tensors, &duplicate))
        return fail_memory(gguf->path, err);
    if (duplicate == CAPP_NO_NAME) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: tensor %.*s occurs twice: the file is damaged; convert the model again",
                     gguf->path, GGUF_ARG(gguf->tensors[duplicate].name));
}

/* Reads the number of a split.* key. Sets *out to `instead` if the key is missing. */
static capp_status split_key(const capp_gguf_part *part, const char *path, const char *key, uint64_t instead,
                             uint64_t *out, capp_error *err) {
    const capp_gguf_value *v = capp_gguf_part_find(part, key);
    *out = instead;
    if (!v || capp_gguf_value_u64(v, out)) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: metadata key %s is not an integer of at least 0; split the model again",
                     path, key);
}

static capp_status fail_not_first(const char *path, const char *first, capp_error *err) {
    if (first) return capp_fail(err, CAPP_EINVAL, "%s: not the first file of a split model; open %s", path, first);
    return capp_fail(err, CAPP_EINVAL,
                     "%s: not the first file of a split model; open the file that ends in -00001-of-...gguf", path);
}

/* Checks that the metadata of part no (from 1) matches the numbers in the file names. */
static capp_status check_split(const capp_gguf_part *part, const char *path, unsigned no, unsigned count,
                               capp_error *err) {
    uint64_t key_no, key_count;
    capp_status st;
    if ((st = split_key(part, path, "split.no", no - 1, &key_no, err)) != CAPP_OK) return st;
    if ((st = split_key(part, path, "split.count", 0, &key_count, err)) != CAPP_OK) return st;
    if (count > 1 && !key_count)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: the name says part %u of %u, but the file has no metadata key split.count; if it is a "
                         "whole model, rename it; if it was split by bytes, join the parts with cat",
                         path, no, count);
    if (key_count && key_count != count)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: the name says part %u of %u, but the file says that the model has %llu parts; restore "
                         "the original names of the parts",
                         path, no, count, (unsigned long long)key_count);
    if (key_no != no - 1)
        return capp_fail(
            err, CAPP_EFORMAT,
            "%s: the name says part %u, but the file says part %llu; restore the original names of the parts", path, no,
            (unsigned long long)key_no + 1);
    return CAPP_OK;
}

/* Checks that a file whose name is not a part's name is a whole model. */
static capp_status check_whole(const capp_gguf_part *part, const char *path, capp_error *err) {
    uint64_t no, count;
    capp_status st;
    if ((st = split_key(part, path, "split.no", 0, &no, err)) != CAPP_OK) return st;
    if ((st = split_key(part, path, "split.count", 1, &count, err)) != CAPP_OK) return st;
    if (no) return fail_not_first(path, NULL, err);
    if (count <= 1) return CAPP_OK;
    return capp_fail(err, CAPP_EINVAL,
                     "%s: this is part 1 of %llu of a split model, but its name does not end in -00001-of-%05llu.gguf; "
                     "rename the parts this way and put them into one folder",
                     path, (unsigned long long)count, (unsigned long long)count);
}

static capp_status map_part(capp_gguf *gguf, capp_map *map, const char *path, capp_error *err) {
    if (!capp_grow(&gguf->maps, &gguf->maps_capacity, gguf->n_maps + 1, sizeof *gguf->maps))
        return fail_memory(path, err);
    capp_status st = capp_map_open(map, path, err);
    if (st != CAPP_OK) return st;
    gguf->maps[gguf->n_maps++] = *map;
    gguf->file_bytes += map->size;
    return CAPP_OK;
}

/* path: the path of the part. */
static capp_status add_part(capp_gguf *gguf, const char *path, unsigned no, unsigned count, capp_error *err) {
    capp_map map = {.data = NULL};
    capp_gguf_part part;
    capp_status st;
    if ((st = map_part(gguf, &map, path, err)) != CAPP_OK) return st;
    if ((st = capp_gguf_part_read(&part, map.data, map.size, path, err)) != CAPP_OK) return st;
    st = check_split(&part, path, no, count, err);
    if (st == CAPP_OK && !append_tensors(gguf, &part)) st = fail_memory(path, err);
    capp_gguf_part_free(&part);
    gguf->n_parts++;
    return st;
}

static capp_status missing_part(unsigned no, unsigned count, capp_error *err) {
    if (!err) return CAPP_EIO;
    char why[sizeof err->message];
    memcpy(why, err->message, sizeof why);
    return capp_fail(err, CAPP_EIO, "%s (this is part %u of %u of the model; all parts must be in one folder)", why, no,
                     count);
}

static capp_status add_other_parts(capp_gguf *gguf, unsigned count, capp_error *err) {
    capp_status st;
    uint64_t tensors;
    if ((st = split_key(&gguf->first, gguf->path, "split.tensors.count", UINT64_MAX, &tensors, err)) != CAPP_OK)
        return st;
    char *path = copy_text(gguf->path);
    if (!path) return fail_memory(gguf->path, err);
    for (unsigned no = 2; no <= count && st == CAPP_OK; no++) {
        set_part(path, no);
        st = add_part(gguf, path, no, count, err);
        if (st == CAPP_EIO) st = missing_part(no, count, err);
    }
    capp_free(path);
    if (st == CAPP_OK && tensors != UINT64_MAX && tensors != gguf->n_tensors)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: the file says that the model has %llu tensors, but its %u parts have %zu: a part belongs "
                         "to another model; download all parts again",
                         gguf->path, (unsigned long long)tensors, count, gguf->n_tensors);
    return st;
}

/* Returns NULL and fills *err if there is not enough memory. */
static capp_gguf *new_gguf(const char *path, capp_error *err) {
    capp_gguf *gguf = capp_new0(1, sizeof *gguf);
    if (gguf) gguf->path = copy_text(path);
    if (gguf && gguf->path) {
        gguf->n_parts = 1;
        return gguf;
    }
    capp_free(gguf);
    capp_fail(err, CAPP_ENOMEM, "%s: out of memory", path);
    return NULL;
}

static capp_status open_path(capp_gguf *gguf, capp_error *err) {
    unsigned no = 1, count = 1;
    bool named = part_name(gguf->path, &no, &count);
    capp_map map = {.data = NULL};
    capp_status st;
    if (named && (!no || no > count)) named = false; /* not valid numbers of a part */
    if (named && no != 1) {
        char *first = copy_text(gguf->path);
        if (first) set_part(first, 1);
        st = fail_not_first(gguf->path, first, err);
        capp_free(first);
        return st;
    }
    if ((st = map_part(gguf, &map, gguf->path, err)) != CAPP_OK) return st;
    if ((st = capp_gguf_part_read(&gguf->first, map.data, map.size, gguf->path, err)) != CAPP_OK) return st;
    st = named ? check_split(&gguf->first, gguf->path, no, count, err) : check_whole(&gguf->first, gguf->path, err);
    if (st != CAPP_OK) return st;
    if (!append_tensors(gguf, &gguf->first)) return fail_memory(gguf->path, err);
    if (named && (st = add_other_parts(gguf, count, err)) != CAPP_OK) return st;
    return index_tensors(gguf, err);
}

static capp_status open_bytes(capp_gguf *gguf, const void *data, size_t size, capp_error *err) {
    capp_status st;
    if (!size)
        return capp_fail(err, CAPP_EFORMAT, "%s: empty file (0 bytes); download or convert it again", gguf->path);
    gguf->file_bytes = size;
    if ((st = capp_gguf_part_read(&gguf->first, data, size, gguf->path, err)) != CAPP_OK) return st;
    if ((st = check_whole(&gguf->first, gguf->path, err)) != CAPP_OK) return st;
    return append_tensors(gguf, &gguf->first) ? index_tensors(gguf, err) : fail_memory(gguf->path, err);
}

/* ---- Public -------------------------------------------------------------------------------------------------- */

static capp_status finish(capp_gguf **out, capp_gguf *gguf, capp_status st) {
    if (st == CAPP_OK)
        *out = gguf;
    else
        capp_gguf_free(gguf);
    return st;
}

capp_status capp_gguf_open(capp_gguf **gguf, const char *path, capp_error *err) {
    *gguf = NULL;
    capp_gguf *made = new_gguf(path, err);
    return made ? finish(gguf, made, open_path(made, err)) : CAPP_ENOMEM;
}

capp_status capp_gguf_parse(capp_gguf **gguf, const void *data, size_t size, const char *name, capp_error *err) {
    *gguf = NULL;
    capp_gguf *made = new_gguf(name, err);
    return made ? finish(gguf, made, open_bytes(made, data, size, err)) : CAPP_ENOMEM;
}

void capp_gguf_free(capp_gguf *gguf) {
    if (!gguf) return;
    capp_gguf_part_free(&gguf->first);
    capp_names_free(&gguf->names);
    capp_free(gguf->tensors);
    for (size_t i = 0; i < gguf->n_maps; i++) capp_map_close(&gguf->maps[i]);
    capp_free(gguf->maps);
    capp_free(gguf->path);
    capp_free(gguf);
}

const capp_map *capp_gguf_maps(const capp_gguf *gguf, size_t *n) {
    *n = gguf->n_maps;
    return gguf->maps;
}

const char *capp_gguf_path(const capp_gguf *gguf) {
    return gguf->path;
}
uint32_t capp_gguf_version(const capp_gguf *gguf) {
    return gguf->first.version;
}
uint64_t capp_gguf_file_bytes(const capp_gguf *gguf) {
    return gguf->file_bytes;
}
size_t capp_gguf_parts(const capp_gguf *gguf) {
    return gguf->n_parts;
}

size_t capp_gguf_n_values(const capp_gguf *gguf) {
    return gguf->first.n_items;
}
const capp_gguf_value *capp_gguf_value_at(const capp_gguf *gguf, size_t i) {
    return i < gguf->first.n_items ? &gguf->first.items[i].value : NULL;
}

size_t capp_gguf_n_tensors(const capp_gguf *gguf) {
    return gguf->n_tensors;
}
const capp_gguf_tensor *capp_gguf_tensor_at(const capp_gguf *gguf, size_t i) {
    return i < gguf->n_tensors ? &gguf->tensors[i] : NULL;
}

const capp_gguf_value *capp_gguf_find(const capp_gguf *gguf, const char *key) {
    return capp_gguf_part_find(&gguf->first, key);
}

const capp_gguf_tensor *capp_gguf_find_tensor(const capp_gguf *gguf, const char *name) {
    int64_t i = capp_names_find(&gguf->names, capp_str_of(name));
    return i == CAPP_NO_NAME ? NULL : &gguf->tensors[i];
}

bool capp_gguf_u64(const capp_gguf *gguf, const char *key, uint64_t *out) {
    return capp_gguf_value_u64(capp_gguf_find(gguf, key), out);
}

bool capp_gguf_u32(const capp_gguf *gguf, const char *key, uint32_t *out) {
    uint64_t wide;
    if (!capp_gguf_u64(gguf, key, &wide) || wide > UINT32_MAX) return false;
    *out = (uint32_t)wide;
    return true;
}

bool capp_gguf_f64(const capp_gguf *gguf, const char *key, double *out) {
    return capp_gguf_value_f64(capp_gguf_find(gguf, key), out);
}

bool capp_gguf_bool(const capp_gguf *gguf, const char *key, bool *out) {
    const capp_gguf_value *v = capp_gguf_find(gguf, key);
    if (!v || v->kind != CAPP_GGUF_BOOL) return false;
    *out = *(const unsigned char *)v->bytes != 0;
    return true;
}

bool capp_gguf_str(const capp_gguf *gguf, const char *key, capp_str *out) {
    const capp_gguf_value *v = capp_gguf_find(gguf, key);
    if (!v || v->kind != CAPP_GGUF_STRING) return false;
    *out = v->strings[0];
    return true;
}
