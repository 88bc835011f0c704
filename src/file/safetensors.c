#include "file/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/json.h"
#include "base/mem.h"

enum { MOST_HEADER = 32 << 20 }; /* most bytes of a header; about 300,000 tensors */

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

/* Reads an integer of at least 0. Offsets beyond 2^53 do not occur in real files. */
static bool whole(capp_json value, uint64_t *out) {
    double number;
    if (!capp_json_f64(value, &number) || !(number >= 0 && number <= 0x1p53)) return false;
    *out = (uint64_t)number;
    return (double)*out == number;
}

static bool type_of(capp_json name, uint32_t *type) {
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
        if (capp_json_is(name, types[i].name)) {
            *type = types[i].type;
            return true;
        }
    return false;
}

/* Computes dims, elements and bytes from type and shape. A shape lists the slowest dimension first, dims the fastest.
 * Image parts have kernels of convolutions with five dimensions: the slowest of more than four are joined. */
static capp_status measure(const reader *r, const char *name, capp_json shape, capp_tensor *t) {
    size_t n = capp_json_count(shape), d = n;
    uint64_t size;
    if (capp_json_kind_of(shape) != CAPP_JSON_ARRAY)
        return fail_tensor(r, CAPP_EFORMAT, name, "has no shape: the file is damaged; download it again");
    t->n_dims = n < 1 ? 1 : n < 4 ? (uint32_t)n : 4;
    t->elements = 1;
    for (size_t i = 0; i < 4; i++) t->dims[i] = 1;
    for (capp_json_walk w = capp_json_begin(shape); capp_json_next(&w);) {
        if (!whole(w.value, &size) || !size)
            return fail_tensor(
                r, CAPP_EFORMAT, name,
                "has a dimension that is not an integer of at least 1: the file is damaged; download it again");
        if (__builtin_mul_overflow(t->elements, size, &t->elements) || t->elements > INT64_MAX)
            return fail_tensor(r, CAPP_EFORMAT, name,
                               "has more than 2^63 elements: the file is damaged; download it again");
        t->dims[--d < 4 ? d : 3] *= size;
    }
    if (__builtin_mul_overflow(t->elements, (uint64_t)capp_type_get(t->type).block_bytes, &t->bytes))
        return fail_tensor(r, CAPP_EFORMAT, name, "has more than 2^64 bytes: the file is damaged; download it again");
    return CAPP_OK;
}

/* Sets the data pointer. offsets: [begin, end] from the start of the data. */
static capp_status place(const reader *r, const char *name, capp_json offsets, capp_tensor *t) {
    uint64_t begin, end;
    capp_json_walk w = capp_json_begin(offsets);
    bool two = capp_json_kind_of(offsets) == CAPP_JSON_ARRAY && capp_json_count(offsets) == 2;
    if (!two || !capp_json_next(&w) || !whole(w.value, &begin) || !capp_json_next(&w) || !whole(w.value, &end) ||
        end < begin)
        return fail_tensor(
            r, CAPP_EFORMAT, name,
            "has invalid data_offsets, expected two increasing integers: the file is damaged; download it again");
    if (end > r->size)
        return fail_tensor(r, CAPP_EFORMAT, name,
                           "ends at byte %llu, but the file has only %llu bytes of data: it is truncated or damaged; "
                           "download it again",
                           (unsigned long long)end, (unsigned long long)r->size);
    if (end - begin != t->bytes)
        return fail_tensor(
            r, CAPP_EFORMAT, name,
            "has %llu bytes of data, but its shape and type need %llu: the file is damaged; download it again",
            (unsigned long long)(end - begin), (unsigned long long)t->bytes);
    t->data = r->data + begin;
    return CAPP_OK;
}

static capp_status read_tensor(const reader *r, const char *name, capp_json entry, capp_tensor *t) {
    bool escapes;
    capp_json type = capp_json_get(entry, "dtype");
    capp_str raw = capp_json_raw(type, &escapes);
    capp_status st;
    if (!raw.data) return fail_tensor(r, CAPP_EFORMAT, name, "has no dtype: the file is damaged; download it again");
    if (!type_of(type, &t->type))
        return fail_tensor(r, CAPP_EUNSUPPORTED, name,
                           "has type %.*s, which capp does not support; save the model in another type",
                           (int)(raw.size < 20 ? raw.size : 20), raw.data);
    if ((st = measure(r, name, capp_json_get(entry, "shape"), t)) != CAPP_OK) return st;
    return place(r, name, capp_json_get(entry, "data_offsets"), t);
}

static int by_place(const void *a, const void *b) {
    const capp_tensor *x = a, *y = b;
    const char *p = x->data, *q = y->data;
    return (p > q) - (p < q);
}

/* Sorts the tensors by position, which is also the order in which a disk reads them fastest. */
static capp_status check_no_holes(const reader *r, capp_safetensors *file) {
    qsort(file->tensors, file->n, sizeof *file->tensors, by_place);
    const char *at = r->data;
    for (size_t i = 0; i < file->n; i++) {
        if (file->tensors[i].data != at)
            return fail_tensor(r, CAPP_EFORMAT, file->tensors[i].name.data,
                               "overlaps another tensor or leaves a gap: the file is damaged; download it again");
        at += file->tensors[i].bytes;
    }
    if (at != r->data + r->size)
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: there are bytes after the last tensor: the file is damaged; download it again", r->path);
    return CAPP_OK;
}

/* Reads the names and tensors from the header. */
static capp_status read_header(const reader *r, capp_safetensors *file, capp_json header) {
    size_t names = 1, at = 0;
    bool escapes;
    capp_status st;
    for (capp_json_walk w = capp_json_begin(header); capp_json_next(&w);)
        names += capp_json_raw(w.name, &escapes).size + 1;
    file->names = capp_new(names, 1);
    file->tensors = capp_new0(capp_json_count(header), sizeof *file->tensors);
    if (!file->names || !file->tensors)
        return capp_fail(r->err, CAPP_ENOMEM, "%s: out of memory for its list of tensors", r->path);
    for (capp_json_walk w = capp_json_begin(header); capp_json_next(&w);) {
        if (capp_json_is(w.name, "__metadata__")) continue;
        char *name = file->names + at;
        size_t n = capp_json_decode(capp_json_raw(w.name, &escapes), name);
        name[n] = 0;
        at += n + 1;
        file->tensors[file->n].name = (capp_str){name, n};
        if ((st = read_tensor(r, name, w.value, &file->tensors[file->n++])) != CAPP_OK) return st;
    }
    return check_no_holes(r, file);
}

capp_status capp_safetensors_read(capp_safetensors *file, const void *data, size_t size, const char *path,
                                  capp_error *err) {
    capp_json header;
    capp_status st;
    capp_cursor c = capp_cursor_of(data, size);
    *file = (capp_safetensors){0};
    uint64_t n = capp_cursor_u64(&c);
    if (n > MOST_HEADER && n <= size)
        return capp_fail(err, CAPP_EFORMAT, "%s: header too large: %llu bytes, capp reads at most %d", path,
                         (unsigned long long)n, MOST_HEADER);
    const char *text = capp_cursor_take(&c, n);
    if (!text) return capp_fail(err, CAPP_EFORMAT, "%s: not a safetensors file, or truncated; download it again", path);
    if ((st = capp_json_check((capp_str){text, (size_t)n}, &header, err)) != CAPP_OK) {
        capp_error_prefix(err, path);
        return st;
    }
    if (capp_json_kind_of(header) != CAPP_JSON_OBJECT)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: not a safetensors file: the header is not a JSON object; download it again", path);
    reader r = {path, err, text + n, size - sizeof n - n};
    st = read_header(&r, file, header);
    if (st != CAPP_OK) capp_safetensors_free(file);
    return st;
}

void capp_safetensors_free(capp_safetensors *file) {
    capp_free(file->tensors);
    capp_free(file->names);
    *file = (capp_safetensors){0};
}
