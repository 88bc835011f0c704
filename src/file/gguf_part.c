/* Reads one GGUF file from bytes to values and tensors (ggml/docs/gguf.md; gguf.h shows the layout). Does not trust the
 * file: compares each count with the bytes that are left before it allocates memory, and checks each size before it
 * multiplies. */
#include "file/gguf_part.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"

enum {
    MOST_NAME = 65535,           /* bytes of a key or of the name of a tensor; the limit of gguf.md for keys */
    MOST_ENTRIES = 65536,        /* keys or tensors of one file; the largest models known have a few thousand */
    LEAST_VALUE = 8 + 1 + 4 + 1, /* bytes of the shortest key-value */
    LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8,
    DEFAULT_ALIGNMENT = 32,
    MOST_ALIGNMENT = 1 << 20
};

typedef struct reader {
    capp_cursor c;
    const char *path;
    capp_error *err;
} reader;

int capp_gguf_shown(capp_str name) {
    size_t n = name.size < GGUF_NAME_SHOWN ? name.size : GGUF_NAME_SHOWN;
    while (n && n < name.size && ((unsigned char)name.data[n] & 0xc0) == 0x80) n--; /* do not cut inside a character */
    return (int)n;
}

static capp_status fail_truncated(const reader *r, const char *what, size_t i, uint64_t n) {
    return capp_fail(
        r->err, CAPP_EFORMAT,
        "%s: the file ends inside %s %zu of %llu: it is truncated or damaged (%zu bytes); download or convert it again",
        r->path, what, i + 1, (unsigned long long)n, r->c.size);
}

/* Shows the first four bytes as text, those that are not printable in hexadecimal. */
static capp_status fail_magic(const reader *r) {
    char shown[4 * 4 + 1] = "";
    size_t n = r->c.size < 4 ? r->c.size : 4, at = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char b = r->c.data[i];
        bool plain = b >= ' ' && b <= '~' && b != '"' && b != '\\';
        at += (size_t)snprintf(shown + at, sizeof shown - at, plain ? "%c" : "\\x%02x", b);
    }
    const char *pointer = "version https://git-lfs";
    bool lfs = r->c.size >= strlen(pointer) && !memcmp(r->c.data, pointer, strlen(pointer));
    return capp_fail(r->err, CAPP_EFORMAT, "%s: not a GGUF file: it begins with \"%s\"; %s", r->path, shown,
                     lfs ? "it is a Git LFS pointer; run `git lfs pull` to download the model"
                         : "use a model in GGUF format");
}

/* ---- Header -------------------------------------------------------------------------------------------------- */

static capp_status check_count(const reader *r, const char *what, uint64_t n, size_t least) {
    if (n > r->c.size / least)
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: the file says that it has %llu %s, more than fit its %zu bytes: it is truncated or "
                         "damaged; download it again",
                         r->path, (unsigned long long)n, what, r->c.size);
    if (n > MOST_ENTRIES)
        return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: the file has %llu %s; capp reads at most %d", r->path,
                         (unsigned long long)n, what, MOST_ENTRIES);
    return CAPP_OK;
}

static capp_status fail_short_header(const reader *r) {
    return capp_fail(r->err, CAPP_EFORMAT,
                     "%s: the file ends inside its header, after %zu bytes: it is truncated; download it again",
                     r->path, r->c.size);
}

static capp_status read_header(reader *r, capp_gguf_part *part) {
    const char *magic = capp_cursor_take(&r->c, 4);
    if (!magic || memcmp(magic, "GGUF", 4)) return fail_magic(r);
    part->version = capp_cursor_u32(&r->c);
    if (r->c.failed) return fail_short_header(r);
    if (part->version && !(part->version & 0xffff))
        return capp_fail(r->err, CAPP_EUNSUPPORTED,
                         "%s: the file is big-endian; convert the model again as little-endian", r->path);
    if (part->version != 2 && part->version != 3)
        return capp_fail(r->err, CAPP_EUNSUPPORTED,
                         "%s: GGUF version %u is not supported; convert the model again to version 2 or 3", r->path,
                         part->version);
    uint64_t n_tensors = capp_cursor_u64(&r->c), n_items = capp_cursor_u64(&r->c);
    if (r->c.failed) return fail_short_header(r);
    capp_status st;
    if ((st = check_count(r, "tensors", n_tensors, LEAST_TENSOR)) != CAPP_OK) return st;
    if ((st = check_count(r, "metadata keys", n_items, LEAST_VALUE)) != CAPP_OK) return st;
    part->n_tensors = (size_t)n_tensors;
    part->n_items = (size_t)n_items;
    return CAPP_OK;
}

/* ---- Names --------------------------------------------------------------------------------------------------- */

/* Number of bytes of the UTF-8 character at p (The Unicode Standard, table 3-7); 0 if it is invalid. */
static size_t character(const unsigned char *p, size_t left) {
    if (p[0] < 0x80) return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > left) return 0;
    unsigned low = p[0] == 0xe0   ? 0xa0
                   : p[0] == 0xf0 ? 0x90
                                  : 0x80,
             high = p[0] == 0xed   ? 0x9f
                    : p[0] == 0xf4 ? 0x8f
                                   : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n;
}

/* Whether s is UTF-8 without control characters. Names appear in messages and are compared as C strings. */
static bool printable(capp_str s) {
    const unsigned char *p = (const unsigned char *)s.data;
    for (size_t i = 0, n; i < s.size; i += n)
        if (p[i] < ' ' || p[i] == 0x7f || !(n = character(p + i, s.size - i))) return false;
    return true;
}

static capp_str read_string(reader *r) {
    uint64_t size = capp_cursor_u64(&r->c);
    const char *data = capp_cursor_take(&r->c, size);
    return (capp_str){data, data ? (size_t)size : 0};
}

/* what: "metadata key" or "tensor"; it is number i of n. */
static capp_status read_name(reader *r, capp_str *out, const char *what, size_t i, size_t n) {
    capp_str name = read_string(r);
    if (r->c.failed) return fail_truncated(r, what, i, n);
    if (!name.size || name.size > MOST_NAME)
        return capp_fail(
            r->err, CAPP_EFORMAT,
            "%s: the name of %s %zu of %zu has %zu bytes, expected 1 to %d: the file is damaged; download it again",
            r->path, what, i + 1, n, name.size, MOST_NAME);
    if (!printable(name))
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: the name of %s %zu of %zu is not printable UTF-8: the file is damaged; download it again",
                         r->path, what, i + 1, n);
    *out = name;
    return CAPP_OK;
}

/* what: "tensor" or "metadata key". */
static capp_status fail_named(const reader *r, capp_status st, const char *what, capp_str name, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
static capp_status fail_named(const reader *r, capp_status st, const char *what, capp_str name, const char *format,
                              ...) {
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return capp_fail(r->err, st, "%s: %s %.*s %s", r->path, what, GGUF_ARG(name), text);
}

/* ---- Metadata ------------------------------------------------------------------------------------------------ */

static capp_status fail_cut_value(const reader *r, capp_str key) {
    return fail_named(r, CAPP_EFORMAT, "metadata key", key,
                      "has a value that extends beyond the end of the file (%zu bytes): the file is truncated or "
                      "damaged; download it again",
                      r->c.size);
}

static capp_status fail_kind(const reader *r, capp_str key, uint32_t kind) {
    return fail_named(r, CAPP_EUNSUPPORTED, "metadata key", key,
                      "has unknown value type %u: the file is damaged, or newer than this version of capp", kind);
}

static capp_status read_string_array(reader *r, capp_gguf_value *v) {
    if (v->count > capp_cursor_left(&r->c) / sizeof(uint64_t)) return fail_cut_value(r, v->key);
    capp_str *strings = capp_new((size_t)v->count, sizeof *strings);
    if (!strings) return capp_fail(r->err, CAPP_ENOMEM, "%s: out of memory for its metadata", r->path);
    v->strings = strings;
    for (size_t i = 0; i < v->count; i++) strings[i] = read_string(r);
    return r->c.failed ? fail_cut_value(r, v->key) : CAPP_OK;
}

static capp_status read_array(reader *r, capp_gguf_value *v) {
    uint32_t element = capp_cursor_u32(&r->c);
    v->count = capp_cursor_u64(&r->c);
    if (r->c.failed) return fail_cut_value(r, v->key);
    v->element = (capp_gguf_kind)element;
    v->bytes = r->c.data + r->c.at;
    if (element == CAPP_GGUF_ARRAY)
        return fail_named(r, CAPP_EUNSUPPORTED, "metadata key", v->key,
                          "is an array of arrays, which capp does not support");
    if (element == CAPP_GGUF_STRING) return read_string_array(r, v);
    size_t bytes = capp_gguf_kind_bytes(element);
    if (!bytes) return fail_kind(r, v->key, element);
    if (v->count > capp_cursor_left(&r->c) / bytes) return fail_cut_value(r, v->key);
    capp_cursor_take(&r->c, v->count * bytes);
    return CAPP_OK;
}

static capp_status read_value(reader *r, capp_gguf_item *item) {
    capp_gguf_value *v = &item->value;
    uint32_t kind = capp_cursor_u32(&r->c);
    if (r->c.failed) return fail_cut_value(r, v->key);
    v->kind = v->element = (capp_gguf_kind)kind;
    v->count = 1;
    v->bytes = r->c.data + r->c.at;
    if (kind == CAPP_GGUF_ARRAY) return read_array(r, v);
    if (kind == CAPP_GGUF_STRING) {
        item->single = read_string(r);
        v->strings = &item->single;
    } else {
        size_t bytes = capp_gguf_kind_bytes(kind);
        if (!bytes) return fail_kind(r, v->key, kind);
        const unsigned char *p = capp_cursor_take(&r->c, bytes);
        if (p && kind == CAPP_GGUF_BOOL && *p > 1)
            return fail_named(r, CAPP_EFORMAT, "metadata key", v->key,
                              "is %u, expected true or false (1 or 0): the file is damaged; download it again", *p);
    }
    return r->c.failed ? fail_cut_value(r, v->key) : CAPP_OK;
}

static capp_status read_metadata(reader *r, capp_gguf_part *part) {
    size_t n = part->n_items;
    part->n_items = 0; /* counts the items to free */
    part->items = capp_new0(n, sizeof *part->items);
    if (!part->items) return capp_fail(r->err, CAPP_ENOMEM, "%s: out of memory for its metadata", r->path);
    for (size_t i = 0; i < n; i++) {
        capp_gguf_item *item = &part->items[part->n_items++];
        capp_status st;
        if ((st = read_name(r, &item->value.key, "metadata key", i, n)) != CAPP_OK) return st;
        if ((st = read_value(r, item)) != CAPP_OK) return st;
    }
    int64_t duplicate;
    if (!capp_names_build(&part->keys, part->items, sizeof *part->items, n, &duplicate))
        return capp_fail(r->err, CAPP_ENOMEM, "%s: out of memory for its metadata", r->path);
    if (duplicate != CAPP_NO_NAME)
        return fail_named(r, CAPP_EFORMAT, "metadata key", part->items[duplicate].value.key,
                          "occurs twice: the file is damaged; convert the model again");
    return CAPP_OK;
}

/* ---- Tensors ------------------------------------------------------------------------------------------------- */

static capp_status read_alignment(const reader *r, const capp_gguf_part *part, uint64_t *alignment) {
    const capp_gguf_value *v = capp_gguf_part_find(part, "general.alignment");
    *alignment = DEFAULT_ALIGNMENT;
    if (!v) return CAPP_OK;
    if (!capp_gguf_value_u64(v, alignment) || !*alignment || *alignment & (*alignment - 1) ||
        *alignment > MOST_ALIGNMENT)
        return fail_named(r, CAPP_EFORMAT, "metadata key", v->key,
                          "is not a power of two from 1 to %d: the file is damaged; download it again", MOST_ALIGNMENT);
    return CAPP_OK;
}

/* Computes elements and bytes from dims and type. */
static capp_status measure_tensor(const reader *r, capp_tensor *t) {
    capp_type_info type = capp_type_get(t->type);
    if (!type.name || t->type >= CAPP_FIRST_FOREIGN_TYPE)
        return fail_named(r, CAPP_EUNSUPPORTED, "tensor", t->name,
                          "has unknown type %u; convert the model to another type, such as Q8_0", t->type);
    t->elements = 1;
    for (uint32_t d = 0; d < t->n_dims; d++) {
        if (!t->dims[d])
            return fail_named(r, CAPP_EFORMAT, "tensor", t->name,
                              "has a dimension of 0: the file is damaged; download it again");
        if (__builtin_mul_overflow(t->elements, t->dims[d], &t->elements) || t->elements > INT64_MAX)
            return fail_named(r, CAPP_EFORMAT, "tensor", t->name,
                              "has more than 2^63 elements: the file is damaged; download it again");
    }
    if (t->dims[0] % type.block_elems)
        return fail_named(r, CAPP_EFORMAT, "tensor", t->name,
                          "has rows of %llu elements, which is not a multiple of %zu, the block size of %s: the file "
                          "is damaged; convert the model again",
                          (unsigned long long)t->dims[0], type.block_elems, type.name);
    if (__builtin_mul_overflow(t->elements / type.block_elems, (uint64_t)type.block_bytes, &t->bytes))
        return fail_named(r, CAPP_EFORMAT, "tensor", t->name,
                          "has more than 2^64 bytes: the file is damaged; download it again");
    return CAPP_OK;
}

static capp_status read_tensor(reader *r, capp_tensor *t, uint64_t *offset, size_t i, size_t n) {
    capp_status st = read_name(r, &t->name, "tensor", i, n);
    if (st != CAPP_OK) return st;
    t->n_dims = capp_cursor_u32(&r->c);
    if (!r->c.failed && (t->n_dims < 1 || t->n_dims > 4))
        return fail_named(r, CAPP_EFORMAT, "tensor", t->name,
                          "has %u dimensions, expected 1 to 4: the file is damaged; download it again", t->n_dims);
    for (uint32_t d = 0; d < 4; d++) t->dims[d] = d < t->n_dims ? capp_cursor_u64(&r->c) : 1;
    t->type = capp_cursor_u32(&r->c);
    *offset = capp_cursor_u64(&r->c);
    return r->c.failed ? fail_truncated(r, "tensor", i, n) : measure_tensor(r, t);
}

/* offset: where t begins, counted from the beginning of the data of all tensors. */
static capp_status place_tensor(const reader *r, capp_tensor *t, uint64_t begin, uint64_t offset, uint64_t alignment) {
    if (offset % alignment)
        return fail_named(r, CAPP_EFORMAT, "tensor", t->name,
                          "begins at %llu, which is not a multiple of the file's alignment %llu: the file is damaged; "
                          "download it again",
                          (unsigned long long)offset, (unsigned long long)alignment);
    uint64_t size = r->c.size;
    if (begin > size || offset > size - begin || t->bytes > size - begin - offset)
        return fail_named(r, CAPP_EFORMAT, "tensor", t->name,
                          "has %llu bytes of data at offset %llu, beyond the end of the file (%llu bytes): the file "
                          "is truncated or damaged; download it again",
                          (unsigned long long)t->bytes, (unsigned long long)(begin + offset), (unsigned long long)size);
    t->data = r->c.data + begin + offset;
    return CAPP_OK;
}

static int by_place(const void *a, const void *b) {
    const capp_tensor *const *x = a, *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

/* Some programs use the number of a type for another type. Then block sizes are wrong and tensors overlap. order
 * [n_tensors]: scratch. */
static capp_status check_apart(const reader *r, const capp_gguf_part *part, const capp_tensor **order) {
    for (size_t i = 0; i < part->n_tensors; i++) order[i] = &part->tensors[i];
    qsort(order, part->n_tensors, sizeof *order, by_place);
    for (size_t i = 0; i + 1 < part->n_tensors; i++) {
        const capp_tensor *t = order[i], *next = order[i + 1];
        if ((uint64_t)((const char *)next->data - (const char *)t->data) < t->bytes)
            return fail_named(
                r, CAPP_EFORMAT, "tensor", next->name,
                "begins inside tensor %.*s of type %s: the file is damaged, or a program wrote it that uses another "
                "number for this type; download it again, or convert the model with llama.cpp's tools",
                (int)t->name.size, t->name.data, capp_type_get(t->type).name);
    }
    return CAPP_OK;
}

static capp_status read_tensors(reader *r, capp_gguf_part *part, uint64_t alignment) {
    size_t n = part->n_tensors;
    uint64_t *offsets = capp_new(n, sizeof *offsets);
    const capp_tensor **order = capp_new(n, sizeof *order);
    part->tensors = capp_new0(n, sizeof *part->tensors);
    if (!offsets || !order || !part->tensors) {
        capp_free(offsets);
        capp_free(order);
        return capp_fail(r->err, CAPP_ENOMEM, "%s: out of memory for its list of tensors", r->path);
    }
    capp_status st = CAPP_OK;
    for (size_t i = 0; i < n && st == CAPP_OK; i++) st = read_tensor(r, &part->tensors[i], &offsets[i], i, n);
    uint64_t begin = (r->c.at + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < n && st == CAPP_OK; i++)
        st = place_tensor(r, &part->tensors[i], begin, offsets[i], alignment);
    if (st == CAPP_OK) st = check_apart(r, part, order);
    capp_free(offsets);
    capp_free(order);
    return st;
}

/* ---- The whole file ------------------------------------------------------------------------------------------ */

static capp_status read_all(reader *r, capp_gguf_part *part) {
    capp_status st;
    uint64_t alignment;
    if ((st = read_header(r, part)) != CAPP_OK) return st;
    if ((st = read_metadata(r, part)) != CAPP_OK) return st;
    if ((st = read_alignment(r, part, &alignment)) != CAPP_OK) return st;
    return read_tensors(r, part, alignment);
}

capp_status capp_gguf_part_read(capp_gguf_part *part, const void *data, size_t size, const char *path,
                                capp_error *err) {
    reader r = {capp_cursor_of(data, size), path, err};
    *part = (capp_gguf_part){0};
    capp_status st = read_all(&r, part);
    if (st != CAPP_OK) capp_gguf_part_free(part);
    return st;
}

void capp_gguf_part_free(capp_gguf_part *part) {
    for (size_t i = 0; i < part->n_items; i++)
        if (part->items[i].value.kind == CAPP_GGUF_ARRAY) capp_free((void *)(uintptr_t)part->items[i].value.strings);
    capp_free(part->items);
    capp_free(part->tensors);
    capp_names_free(&part->keys);
    *part = (capp_gguf_part){0};
}

const capp_gguf_value *capp_gguf_part_find(const capp_gguf_part *part, const char *key) {
    int64_t i = capp_names_find(&part->keys, capp_str_of(key));
    return i == CAPP_NO_NAME ? NULL : &part->items[i].value;
}
