/* Private to gguf*.c: the contents of one GGUF file, and lookup by name. */
#ifndef CAPP_FILE_GGUF_PART_H
#define CAPP_FILE_GGUF_PART_H

#include "file/gguf.h"
#include "file/names.h"

/* A value with room for the one string that it may be. */
typedef struct gguf_item {
    capp_gguf_value value; /* begins with the key */
    capp_str single;       /* what value.strings points at, for a string */
} gguf_item;

/* One file. Everything points into its bytes but the arrays here and value.strings of arrays of strings. */
typedef struct gguf_part {
    uint32_t version;
    gguf_item *items;
    size_t n_items;
    capp_names keys;
    capp_gguf_tensor *tensors;
    size_t n_tensors;
} gguf_part;

/* Reads all of a file but the tensors' data. On failure *part is empty; messages begin with path. */
capp_status gguf_part_read(gguf_part *part, const void *data, size_t size, const char *path, capp_error *err);

/* Frees what *part holds and empties it. */
void gguf_part_free(gguf_part *part);

/* NULL where there is none. */
const capp_gguf_value *gguf_part_find(const gguf_part *part, const char *key);

/* The unsigned integer that an integer value or element is; false for other kinds and negative ones. */
bool gguf_value_u64(const capp_gguf_value *v, uint64_t *out);

/* Bytes of one element of a kind of fixed size, 0 for the others and for numbers that are no kind. */
size_t gguf_kind_bytes(uint32_t kind);

/* name for a message: at most 100 bytes of it. "%.*s" takes it as GGUF_ARG(name). */
enum { GGUF_NAME_SHOWN = 100 };
int gguf_shown(capp_str name);
#define GGUF_ARG(name) gguf_shown(name), (name).data

#endif
