#include "file/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "file/json.h"

enum { MOST_HEADER = 32 << 20 }; /* bytes; some 300,000 tensors */

typedef struct reader {
    const char *path;
    capp_error *err;
    const char *data; /* of the tensors */
    uint64_t size;
} reader;

static capp_status fail_tensor(const reader *r, capp_status st, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static capp_status fail_tensor(const reader *r, capp_status st, const char *name, const char *format, ...) {
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return capp_fail(r->err, st, "%s: tensor %.100s %s", r->path, name, text);
}

static bool type_of(const char *name, uint32_t *type) {
    static const struct {
        const char *name;
        uint32_t type;
    } types[] = {
        {"F32", CAPP_TYPE_F32},   {"F16", CAPP_TYPE_F16},         {"BF16", CAPP_TYPE_BF16},
        {"F64", CAPP_TYPE_F64},   {"I8", CAPP_TYPE_I8},           {"I16", CAPP_TYPE_I16},
        {"I32", CAPP_TYPE_I32},   {"I64", CAPP_TYPE_I64},         {"U8", CAPP_TYPE_U8},
        {"U16", CAPP_TYPE_U16},   {"U32", CAPP_TYPE_U32},         {"U64", CAPP_TYPE_U64},
        {"BOOL", CAPP_TYPE_BOOL}, {"F8_E4M3", CAPP_TYPE_F8_E4M3}, {"F8_E5M2", CAPP_TYPE_F8_E5M2},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(name, types[i].name)) {
            *type = types[i].type;
            return true;
        }
    return false;
}

/* dims, elements and bytes from type and shape, whose order is the other way round: slowest first. */
static capp_status measure(const reader *r, const char *name, const json_t *shape, capp_tensor *t) {
    size_t n = json_array_size(shape);
    if (!json_is_array(shape)) return fail_tensor(r, CAPP_EFORMAT, name, "has no shape: the file is damaged");
    if (n > 4) return fail_tensor(r, CAPP_EUNSUPPORTED, name, "has %zu dimensions; capp knows up to 4", n);
    t->n_dims = n ? (uint32_t)n : 1;
    t->elements = 1;
    for (size_t d = 0; d < 4; d++) t->dims[d] = 1;
    for (size_t d = 0; d < n; d++) {
        const json_t *size = json_array_get(shape, n - 1 - d);
        if (!json_is_integer(size) || json_integer_value(size) <= 0)
            return fail_tensor(r, CAPP_EFORMAT, name,
                               "has a dimension that is not a number from 1 up: the file is "
                               "damaged; fetch it again");
        t->dims[d] = (uint64_t)json_integer_value(size);
        if (__builtin_mul_overflow(t->elements, t->dims[d], &t->elements) || t->elements > INT64_MAX)
            return fail_tensor(r, CAPP_EFORMAT, name, "has more than 2^63 elements: the file is damaged");
    }
    if (__builtin_mul_overflow(t->elements, (uint64_t)capp_type_get(t->type).block_bytes, &t->bytes))
        return fail_tensor(r, CAPP_EFORMAT, name, "has more than 2^64 bytes: the file is damaged");
    return CAPP_OK;
}

/* Sets data; offsets: [begin, end] from the start of the data. */
static capp_status place(const reader *r, const char *name, const json_t *offsets, capp_tensor *t) {
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
        json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
        return fail_tensor(r, CAPP_EFORMAT, name,
                           "has no data_offsets of two rising numbers: the file is damaged; fetch it again");
    uint64_t begin = (uint64_t)json_integer_value(first), end = (uint64_t)json_integer_value(last);
    if (end > r->size)
        return fail_tensor(r, CAPP_EFORMAT, name,
                           "ends at byte %llu of %llu of data: the file is cut short or damaged; fetch it again",
                           (unsigned long long)end, (unsigned long long)r->size);
    if (end - begin != t->bytes)
        return fail_tensor(r, CAPP_EFORMAT, name,
                           "has %llu bytes of data where its shape and type need %llu: the file is damaged",
                           (unsigned long long)(end - begin), (unsigned long long)t->bytes);
    t->data = r->data + begin;
    return CAPP_OK;
}

static capp_status read_tensor(const reader *r, const char *name, const json_t *entry, capp_tensor *t) {
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    capp_status st;
    if (!type) return fail_tensor(r, CAPP_EFORMAT, name, "has no dtype: the file is damaged; fetch it again");
    if (!type_of(type, &t->type))
        return fail_tensor(r, CAPP_EUNSUPPORTED, name, "has type %.20s, which capp does not know", type);
    if ((st = measure(r, name, json_object_get(entry, "shape"), t)) != CAPP_OK) return st;
    return place(r, name, json_object_get(entry, "data_offsets"), t);
}

static int by_place(const void *a, const void *b) {
    const capp_tensor *x = a, *y = b;
    const char *p = x->data, *q = y->data;
    return (p > q) - (p < q);
}

/* Sorts the tensors by place, which is also the order in which a disk reads them fastest. */
static capp_status check_no_holes(const reader *r, capp_safetensors *s) {
    qsort(s->tensors, s->n, sizeof *s->tensors, by_place);
    const char *at = r->data;
    for (size_t i = 0; i < s->n; i++) {
        if (s->tensors[i].data != at)
            return fail_tensor(r, CAPP_EFORMAT, s->tensors[i].name.data,
                               "overlaps another one or leaves a hole: the file is damaged; fetch it again");
        at += s->tensors[i].bytes;
    }
    if (at != r->data + r->size)
        return capp_fail(r->err, CAPP_EFORMAT, "%s: has bytes after its last tensor: the file is damaged", r->path);
    return CAPP_OK;
}

/* Names and tensors of the header's object. */
static capp_status read_header(const reader *r, capp_safetensors *s, json_t *header) {
    const char *key;
    json_t *entry;
    size_t names = 0, at = 0;
    capp_status st;
    json_object_foreach(header, key, entry) names += strlen(key) + 1;
    s->names = capp_new(names, 1);
    s->tensors = capp_new0(json_object_size(header), sizeof *s->tensors);
    if (!s->names || !s->tensors)
        return capp_fail(r->err, CAPP_ENOMEM, "%s: out of memory for its list of tensors", r->path);
    json_object_foreach(header, key, entry) {
        if (!strcmp(key, "__metadata__")) continue;
        size_t n = strlen(key);
        memcpy(s->names + at, key, n + 1);
        s->tensors[s->n].name = (capp_str){s->names + at, n};
        at += n + 1;
        if ((st = read_tensor(r, key, entry, &s->tensors[s->n++])) != CAPP_OK) return st;
    }
    return check_no_holes(r, s);
}

capp_status capp_safetensors_read(capp_safetensors *s, const void *data, size_t size, const char *path,
                                  capp_error *err) {
    json_t *header;
    capp_status st;
    capp_cursor c = capp_cursor_of(data, size);
    *s = (capp_safetensors){0};
    uint64_t n = capp_cursor_u64(&c);
    if (n > MOST_HEADER && n <= size)
        return capp_fail(err, CAPP_EFORMAT, "%s: has a header of %llu bytes; capp reads up to %d", path,
                         (unsigned long long)n, MOST_HEADER);
    const char *text = capp_cursor_take(&c, n);
    if (!text) return capp_fail(err, CAPP_EFORMAT, "%s: is cut short or no safetensors file; fetch it again", path);
    reader r = {path, err, text + n, size - sizeof n - n};
    if ((st = capp_json_parse(&header, text, (size_t)n, JSON_REJECT_DUPLICATES, path, err)) != CAPP_OK) return st;
    st = read_header(&r, s, header);
    json_decref(header);
    if (st != CAPP_OK) capp_safetensors_free(s);
    return st;
}

void capp_safetensors_free(capp_safetensors *s) {
    capp_free(s->tensors);
    capp_free(s->names);
    *s = (capp_safetensors){0};
}
