/* Private to gguf*.c: the contents of one GGUF file, and lookup by name. */
#ifndef CAPP_FILE_GGUF_PART_H
#define CAPP_FILE_GGUF_PART_H

#include "file/gguf.h"
#include "file/names.h"

/* A value, and space for its string if it is a single string. */
typedef struct gguf_item {
    capp_gguf_value value; /* begins with the key */
    capp_str single;       /* value.strings points here if the value is a string */
} gguf_item;

/* One file. All pointers point into its bytes, except the arrays below and value.strings of arrays of strings. */
typedef struct gguf_part {
    uint32_t version;
    gguf_item *items;
    size_t n_items;
    capp_names keys;
    capp_gguf_tensor *tensors;
    size_t n_tensors;
} gguf_part;

/* Reads all of a file except the data of tensors. On failure *part is empty. Messages begin with path. */
capp_status gguf_part_read(gguf_part *part, const void *data, size_t size, const char *path, capp_error *err);

/* Frees the contents of *part and empties it. */
void gguf_part_free(gguf_part *part);

/* Returns NULL if there is none. */
const capp_gguf_value *gguf_part_find(const gguf_part *part, const char *key);

/* Converts an integer value or element to an unsigned integer. Returns false for other kinds and negative integers. */
bool gguf_value_u64(const capp_gguf_value *v, uint64_t *out);

/* Number of bytes of an element; 0 for kinds without a fixed size and for unknown kinds. */
size_t gguf_kind_bytes(uint32_t kind);

/* Shortens name to at most 100 bytes for a message. Use "%.*s" with GGUF_ARG(name). */
enum { GGUF_NAME_SHOWN = 100 };
int gguf_shown(capp_str name);
#define GGUF_ARG(name) gguf_shown(name), (name).data

#endif
