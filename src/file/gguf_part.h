/* Private to gguf.c and gguf_part.c: the contents of one GGUF file, and lookup by name. */
#ifndef CAPP_FILE_GGUF_PART_H
#define CAPP_FILE_GGUF_PART_H

#include "base/tensor.h"
#include "file/gguf_value.h"
#include "file/names.h"

/* A value and, if the value is a string, the storage of this string. */
typedef struct capp_gguf_item {
    capp_gguf_value value; /* begins with the key */
    capp_str single;       /* for a string: value.strings points here */
} capp_gguf_item;

/* One file. Everything points into its bytes, except the arrays here and value.strings of arrays of strings. */
typedef struct capp_gguf_part {
    uint32_t version;
    capp_gguf_item *items;
    size_t n_items;
    capp_names keys;
    capp_tensor *tensors;
    size_t n_tensors;
} capp_gguf_part;

/* Reads a whole file except the data of tensors. On failure *part is empty; messages begin with path. */
capp_status capp_gguf_part_read(capp_gguf_part *part, const void *data, size_t size, const char *path, capp_error *err);

/* Frees what *part holds and empties it. */
void capp_gguf_part_free(capp_gguf_part *part);

/* NULL if there is none. */
const capp_gguf_value *capp_gguf_part_find(const capp_gguf_part *part, const char *key);

/* A name for a message, at most 100 bytes. Pass it to "%.*s" as GGUF_ARG(name). */
enum { GGUF_NAME_SHOWN = 100 };
int capp_gguf_shown(capp_str name);
#define GGUF_ARG(name) capp_gguf_shown(name), (name).data

#endif
