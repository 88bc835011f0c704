/* A model as the caller sees it: one file, or the parts of a split one put together. Keys of a split file, written by
 * llama.cpp's gguf-split: split.no (from 0), split.count, split.tensors.count (of all parts). */
#include "file/gguf.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "file/gguf_part.h"

enum { SUFFIX = 20, MOST_PARTS = 99999 }; /* strlen("-00001-of-00003.gguf"); what five digits hold */

struct capp_gguf {
    char *path;
    uint64_t file_bytes;
    gguf_part first; /* its tensors are moved to the list of all */
    capp_map *maps;  /* [n_maps]; n_maps is 0 for bytes that are the caller's */
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

/* Whether path ends in -NNNNN-of-NNNNN.gguf; the numbers are *no (from 1) of *count. */
static bool part_name(const char *path, unsigned *no, unsigned *count) {
    size_t n = strlen(path);
    if (n < SUFFIX) return false;
    const char *p = path + n - SUFFIX;
    return p[0] == '-' && digits(p + 1, no) && !memcmp(p + 6, "-of-", 4) && digits(p + 10, count) &&
           !memcmp(p + 15, ".gguf", 5);
}

/* Writes the number of a part over that in path, which part_name knows. */
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

/* ---- Putting together ---------------------------------------------------------------------------------------- */

static capp_status fail_memory(const char *path, capp_error *err) {
    return capp_fail(err, CAPP_ENOMEM, "%s: out of memory for its list of tensors", path);
}

/* Takes over the tensors of part. */
static bool append_tensors(capp_gguf *g, gguf_part *part) {
    if (!capp_grow(&g->tensors, &g->tensors_capacity, g->n_tensors + part->n_tensors, sizeof *g->tensors)) return false;
    if (part->n_tensors) memcpy(g->tensors + g->n_tensors, part->tensors, part->n_tensors * sizeof *part->tensors);
    g->n_tensors += part->n_tensors;
    capp_free(part->tensors);
    part->tensors = NULL;
    part->n_tensors = 0;
    return true;
}

static capp_status index_tensors(capp_gguf *g, capp_error *err) {
    int64_t duplicate;
    if (!capp_names_build(&g->names, g->tensors, sizeof *g->tensors, g->n_tensors, &duplicate))
        return fail_memory(g->path, err);
    if (duplicate == CAPP_NO_NAME) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: tensor %.*s occurs twice: the file is damaged; convert the model again",
                     g->path, GGUF_ARG(g->tensors[duplicate].name));
}

/* Number under a split.* key, or instead where there is none. */
static capp_status split_key(const gguf_part *part, const char *path, const char *key, uint64_t instead, uint64_t *out,
                             capp_error *err) {
    const capp_gguf_value *v = gguf_part_find(part, key);
    *out = instead;
    if (!v || gguf_value_u64(v, out)) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: metadata key %s is not a number from 0 up: split the model again", path,
                     key);
}

static capp_status fail_not_first(const char *path, const char *first, capp_error *err) {
    if (first) return capp_fail(err, CAPP_EINVAL, "%s: is not the first part of a split model; open %s", path, first);
    return capp_fail(err, CAPP_EINVAL,
                     "%s: is not the first part of a split model; open the part that ends in -00001-of-...gguf", path);
}

/* Checks what part number no (from 1) says of itself against the count of parts in the files' names. */
static capp_status check_split(const gguf_part *part, const char *path, unsigned no, unsigned count, capp_error *err) {
    uint64_t key_no, key_count;
    capp_status st;
    if ((st = split_key(part, path, "split.no", no - 1, &key_no, err)) != CAPP_OK) return st;
    if ((st = split_key(part, path, "split.count", 0, &key_count, err)) != CAPP_OK) return st;
    if (count > 1 && !key_count)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: is named as part %u of %u but has no metadata key split.count: rename it if it is whole; "
                         "if it was cut by bytes, join the parts with cat",
                         path, no, count);
    if (key_count && key_count != count)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: is named as part %u of %u but says that the model has %llu parts; "
                         "give the parts their own names again",
                         path, no, count, (unsigned long long)key_count);
    if (key_no != no - 1)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: is named as part %u but says that it is part %llu; give the parts their own names again",
                         path, no, (unsigned long long)key_no + 1);
    return CAPP_OK;
}

/* A file whose name is not that of a part must be whole. */
static capp_status check_whole(const gguf_part *part, const char *path, capp_error *err) {
    uint64_t no, count;
    capp_status st;
    if ((st = split_key(part, path, "split.no", 0, &no, err)) != CAPP_OK) return st;
    if ((st = split_key(part, path, "split.count", 1, &count, err)) != CAPP_OK) return st;
    if (no) return fail_not_first(path, NULL, err);
    if (count <= 1) return CAPP_OK;
    return capp_fail(err, CAPP_EINVAL,
                     "%s: is part 1 of %llu of a split model, but its name does not end in -00001-of-%05llu.gguf; give "
                     "the parts such names, in one folder",
                     path, (unsigned long long)count, (unsigned long long)count);
}

static capp_status map_part(capp_gguf *g, capp_map *map, const char *path, capp_error *err) {
    if (!capp_grow(&g->maps, &g->maps_capacity, g->n_maps + 1, sizeof *g->maps)) return fail_memory(path, err);
    capp_status st = capp_map_open(map, path, err);
    if (st != CAPP_OK) return st;
    g->maps[g->n_maps++] = *map;
    g->file_bytes += map->size;
    return CAPP_OK;
}

/* path: the part's own. */
static capp_status add_part(capp_gguf *g, const char *path, unsigned no, unsigned count, capp_error *err) {
    capp_map map = {.data = NULL};
    gguf_part part;
    capp_status st;
    if ((st = map_part(g, &map, path, err)) != CAPP_OK) return st;
    if ((st = gguf_part_read(&part, map.data, map.size, path, err)) != CAPP_OK) return st;
    st = check_split(&part, path, no, count, err);
    if (st == CAPP_OK && !append_tensors(g, &part)) st = fail_memory(path, err);
    gguf_part_free(&part);
    g->n_parts++;
    return st;
}

static capp_status missing_part(unsigned no, unsigned count, capp_error *err) {
    if (!err) return CAPP_EIO;
    char why[sizeof err->message];
    memcpy(why, err->message, sizeof why);
    return capp_fail(err, CAPP_EIO, "%s (part %u of %u of the model: all parts must be in one folder)", why, no, count);
}

static capp_status add_other_parts(capp_gguf *g, unsigned count, capp_error *err) {
    capp_status st;
    uint64_t tensors;
    if ((st = split_key(&g->first, g->path, "split.tensors.count", UINT64_MAX, &tensors, err)) != CAPP_OK) return st;
    char *path = copy_text(g->path);
    if (!path) return fail_memory(g->path, err);
    for (unsigned no = 2; no <= count && st == CAPP_OK; no++) {
        set_part(path, no);
        st = add_part(g, path, no, count, err);
        if (st == CAPP_EIO) st = missing_part(no, count, err);
    }
    capp_free(path);
    if (st == CAPP_OK && tensors != UINT64_MAX && tensors != g->n_tensors)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: says that the model has %llu tensors, but its %u parts have %zu: some part is of another "
                         "model; fetch them again",
                         g->path, (unsigned long long)tensors, count, g->n_tensors);
    return st;
}

/* NULL: out of memory, said so in *err. */
static capp_gguf *new_gguf(const char *path, capp_error *err) {
    capp_gguf *g = capp_new0(1, sizeof *g);
    if (g) g->path = copy_text(path);
    if (g && g->path) {
        g->n_parts = 1;
        return g;
    }
    capp_free(g);
    capp_fail(err, CAPP_ENOMEM, "%s: out of memory", path);
    return NULL;
}

static capp_status open_path(capp_gguf *g, capp_error *err) {
    unsigned no = 1, count = 1;
    bool named = part_name(g->path, &no, &count);
    capp_map map = {.data = NULL};
    capp_status st;
    if (named && (!no || no > count)) named = false; /* no numbers of a part */
    if (named && no != 1) {
        char *first = copy_text(g->path);
        if (first) set_part(first, 1);
        st = fail_not_first(g->path, first, err);
        capp_free(first);
        return st;
    }
    if ((st = map_part(g, &map, g->path, err)) != CAPP_OK) return st;
    if ((st = gguf_part_read(&g->first, map.data, map.size, g->path, err)) != CAPP_OK) return st;
    st = named ? check_split(&g->first, g->path, no, count, err) : check_whole(&g->first, g->path, err);
    if (st != CAPP_OK) return st;
    if (!append_tensors(g, &g->first)) return fail_memory(g->path, err);
    if (named && (st = add_other_parts(g, count, err)) != CAPP_OK) return st;
    return index_tensors(g, err);
}

static capp_status open_bytes(capp_gguf *g, const void *data, size_t size, capp_error *err) {
    capp_status st;
    if (!size) return capp_fail(err, CAPP_EFORMAT, "%s: is empty (0 bytes); fetch or convert it again", g->path);
    g->file_bytes = size;
    if ((st = gguf_part_read(&g->first, data, size, g->path, err)) != CAPP_OK) return st;
    if ((st = check_whole(&g->first, g->path, err)) != CAPP_OK) return st;
    return append_tensors(g, &g->first) ? index_tensors(g, err) : fail_memory(g->path, err);
}

/* ---- Public -------------------------------------------------------------------------------------------------- */

static capp_status finish(capp_gguf **out, capp_gguf *g, capp_status st) {
    if (st == CAPP_OK)
        *out = g;
    else
        capp_gguf_free(g);
    return st;
}

capp_status capp_gguf_open(capp_gguf **g, const char *path, capp_error *err) {
    *g = NULL;
    capp_gguf *made = new_gguf(path, err);
    return made ? finish(g, made, open_path(made, err)) : CAPP_ENOMEM;
}

capp_status capp_gguf_parse(capp_gguf **g, const void *data, size_t size, const char *name, capp_error *err) {
    *g = NULL;
    capp_gguf *made = new_gguf(name, err);
    return made ? finish(g, made, open_bytes(made, data, size, err)) : CAPP_ENOMEM;
}

void capp_gguf_free(capp_gguf *g) {
    if (!g) return;
    gguf_part_free(&g->first);
    capp_names_free(&g->names);
    capp_free(g->tensors);
    for (size_t i = 0; i < g->n_maps; i++) capp_map_close(&g->maps[i]);
    capp_free(g->maps);
    capp_free(g->path);
    capp_free(g);
}

const capp_map *capp_gguf_maps(const capp_gguf *g, size_t *n) {
    *n = g->n_maps;
    return g->maps;
}

const char *capp_gguf_path(const capp_gguf *g) {
    return g->path;
}
uint32_t capp_gguf_version(const capp_gguf *g) {
    return g->first.version;
}
uint64_t capp_gguf_file_bytes(const capp_gguf *g) {
    return g->file_bytes;
}
size_t capp_gguf_parts(const capp_gguf *g) {
    return g->n_parts;
}

size_t capp_gguf_n_values(const capp_gguf *g) {
    return g->first.n_items;
}
const capp_gguf_value *capp_gguf_value_at(const capp_gguf *g, size_t i) {
    return i < g->first.n_items ? &g->first.items[i].value : NULL;
}

size_t capp_gguf_n_tensors(const capp_gguf *g) {
    return g->n_tensors;
}
const capp_gguf_tensor *capp_gguf_tensor_at(const capp_gguf *g, size_t i) {
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const capp_gguf_value *capp_gguf_find(const capp_gguf *g, const char *key) {
    return gguf_part_find(&g->first, key);
}

const capp_gguf_tensor *capp_gguf_find_tensor(const capp_gguf *g, const char *name) {
    int64_t i = capp_names_find(&g->names, capp_str_of(name));
    return i == CAPP_NO_NAME ? NULL : &g->tensors[i];
}
