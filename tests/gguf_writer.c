#include "gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/gguf.h"

typedef struct buffer {
    unsigned char *data;
    size_t size, capacity;
} buffer;

struct gguf_writer {
    uint32_t version;
    uint32_t alignment;
    uint64_t n_keys, n_tensors;
    buffer keys, tensors, data; /* in the form of the file */
};

static void put(buffer *b, const void *bytes, size_t n) {
    if (b->size + n > b->capacity) {
        b->capacity = 2 * (b->size + n);
        b->data = realloc(b->data, b->capacity);
        if (!b->data) abort();
    }
    if (n && bytes) memcpy(b->data + b->size, bytes, n);
    if (n && !bytes) memset(b->data + b->size, 0, n);
    b->size += n;
}

static void put_u32(buffer *b, uint32_t v) {
    put(b, &v, sizeof v);
}
static void put_u64(buffer *b, uint64_t v) {
    put(b, &v, sizeof v);
}

static void put_string(buffer *b, const char *text, size_t n) {
    put_u64(b, n);
    put(b, text, n);
}

static void pad(buffer *b, size_t alignment) {
    put(b, NULL, (alignment - b->size % alignment) % alignment);
}

gguf_writer *gguf_writer_new(void) {
    gguf_writer *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->version = 3;
    w->alignment = 32;
    return w;
}

void gguf_writer_version(gguf_writer *w, uint32_t version) {
    w->version = version;
}

void gguf_writer_alignment(gguf_writer *w, uint32_t alignment) {
    w->alignment = alignment;
    gguf_writer_u32(w, "general.alignment", alignment);
}

void gguf_writer_raw(gguf_writer *w, const char *key, uint32_t kind, const void *bytes, size_t size) {
    put_string(&w->keys, key, strlen(key));
    put_u32(&w->keys, kind);
    put(&w->keys, bytes, size);
    w->n_keys++;
}

#define SCALAR(name, type, kind)                                                                                       \
    void gguf_writer_##name(gguf_writer *w, const char *key, type v) {                                                 \
        gguf_writer_raw(w, key, CAPP_GGUF_##kind, &v, sizeof v);                                                       \
    }
SCALAR(u8, uint8_t, U8)
SCALAR(i8, int8_t, I8)
SCALAR(u16, uint16_t, U16)
SCALAR(i16, int16_t, I16)
SCALAR(u32, uint32_t, U32)
SCALAR(i32, int32_t, I32)
SCALAR(u64, uint64_t, U64)
SCALAR(i64, int64_t, I64)
SCALAR(f32, float, F32)
SCALAR(f64, double, F64)

void gguf_writer_bool(gguf_writer *w, const char *key, bool v) {
    uint8_t byte = v;
    gguf_writer_raw(w, key, CAPP_GGUF_BOOL, &byte, 1);
}

void gguf_writer_str(gguf_writer *w, const char *key, const char *v) {
    gguf_writer_raw(w, key, CAPP_GGUF_STRING, NULL, 0);
    put_string(&w->keys, v, strlen(v));
}

static void array(gguf_writer *w, const char *key, uint32_t element, const void *bytes, size_t n, size_t size) {
    gguf_writer_raw(w, key, CAPP_GGUF_ARRAY, NULL, 0);
    put_u32(&w->keys, element);
    put_u64(&w->keys, n);
    put(&w->keys, bytes, n * size);
}

void gguf_writer_str_array(gguf_writer *w, const char *key, const char *const *v, const size_t *sizes, size_t n) {
    array(w, key, CAPP_GGUF_STRING, NULL, n, 0);
    for (size_t i = 0; i < n; i++) put_string(&w->keys, v[i], sizes ? sizes[i] : strlen(v[i]));
}

void gguf_writer_f32_array(gguf_writer *w, const char *key, const float *v, size_t n) {
    array(w, key, CAPP_GGUF_F32, v, n, sizeof *v);
}

void gguf_writer_i32_array(gguf_writer *w, const char *key, const int32_t *v, size_t n) {
    array(w, key, CAPP_GGUF_I32, v, n, sizeof *v);
}

void gguf_writer_tensor(gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
                        const void *data, size_t bytes) {
    pad(&w->data, w->alignment);
    put_string(&w->tensors, name, strlen(name));
    put_u32(&w->tensors, n_dims);
    for (uint32_t d = 0; d < n_dims; d++) put_u64(&w->tensors, dims[d]);
    put_u32(&w->tensors, type);
    put_u64(&w->tensors, w->data.size);
    put(&w->data, data, bytes);
    w->n_tensors++;
}

void *gguf_writer_finish(gguf_writer *w, size_t *size) {
    buffer out = {0};
    put(&out, "GGUF", 4);
    put_u32(&out, w->version);
    put_u64(&out, w->n_tensors);
    put_u64(&out, w->n_keys);
    put(&out, w->keys.data, w->keys.size);
    put(&out, w->tensors.data, w->tensors.size);
    if (w->data.size) {
        pad(&out, w->alignment);
        put(&out, w->data.data, w->data.size);
    }
    free(w->keys.data);
    free(w->tensors.data);
    free(w->data.data);
    free(w);
    *size = out.size;
    return out.data;
}

bool gguf_writer_save(gguf_writer *w, const char *path) {
    size_t size;
    void *data = gguf_writer_finish(w, &size);
    FILE *f = fopen(path, "wb");
    bool done = f && fwrite(data, 1, size, f) == size;
    if (f && fclose(f)) done = false;
    free(data);
    return done;
}
