/* Values of GGUF metadata: their kinds, and typed reading without loss. */
#ifndef CAPP_FILE_GGUF_VALUE_H
#define CAPP_FILE_GGUF_VALUE_H

#include "base/error.h"

typedef enum capp_gguf_kind {
    CAPP_GGUF_U8 = 0,
    CAPP_GGUF_I8 = 1,
    CAPP_GGUF_U16 = 2,
    CAPP_GGUF_I16 = 3,
    CAPP_GGUF_U32 = 4,
    CAPP_GGUF_I32 = 5,
    CAPP_GGUF_F32 = 6,
    CAPP_GGUF_BOOL = 7,
    CAPP_GGUF_STRING = 8,
    CAPP_GGUF_ARRAY = 9,
    CAPP_GGUF_U64 = 10,
    CAPP_GGUF_I64 = 11,
    CAPP_GGUF_F64 = 12
} capp_gguf_kind;

/* One key and its value. Everything is borrowed from the capp_gguf. */
typedef struct capp_gguf_value {
    capp_str key;
    capp_gguf_kind kind;
    capp_gguf_kind element;  /* kind of an array's elements; arrays of arrays are CAPP_EUNSUPPORTED */
    uint64_t count;          /* number of elements of an array, else 1 */
    const void *bytes;       /* elements as stored (unaligned, little-endian); strings: length and bytes each */
    const capp_str *strings; /* [count] for a string or an array of strings, else NULL */
} capp_gguf_value;

/* Bytes of one element of a kind of fixed size; 0 for other kinds and for unknown kind numbers. */
size_t capp_gguf_kind_bytes(uint32_t kind);

/* Reads a value. Returns true and sets *out if its kind converts without loss (integers to integers in range; F32, F64
 * and integers to double); otherwise returns false and does not change *out. If v is NULL: false. */
bool capp_gguf_value_u64(const capp_gguf_value *value, uint64_t *out);
bool capp_gguf_value_f64(const capp_gguf_value *value, double *out);

/* Reads element i of an array value, converted as above. Returns false if it does not convert or i is out of range. */
bool capp_gguf_array_u64(const capp_gguf_value *value, uint64_t i, uint64_t *out);
bool capp_gguf_array_i64(const capp_gguf_value *value, uint64_t i, int64_t *out);
bool capp_gguf_array_f64(const capp_gguf_value *value, uint64_t i, double *out);

#endif
