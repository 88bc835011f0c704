/* Private to gguf*.c: the contents of one GGUF file, and lookup by name. */
#ifndef CAPP_FILE_GGUF_PART_H
#define CAPP_FILE_GGUF_PART_H

#include "file/gguf.h"

/* Names to indices of an array whose elements begin with a capp_str, their name. Open addressing; at most half full, so
 * that every search ends. */
typedef struct gguf_table {
    struct gguf_slot {
        uint32_t hash;
        uint32_t index; /* 1 + index in the array; 0: free */
    } * slots;          /* [mask + 1], or NULL: an empty table */
    size_t mask;
    const char *names; /* first element; borrowed */
    size_t stride;     /* bytes of an element */
} gguf_table;

enum { GGUF_NONE = -1 };

/* Makes *table over n elements of stride bytes at names. *duplicate: index of the first element whose name came before,
 * or GGUF_NONE. False: out of memory, and *table is empty. */
bool gguf_table_build(gguf_table *table, const void *names, size_t stride, size_t n, int64_t *duplicate);
void gguf_table_free(gguf_table *table);

/* Index of the element of that name, or GGUF_NONE. */
int64_t gguf_table_find(const gguf_table *table, capp_str name);

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
    gguf_table keys;
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
