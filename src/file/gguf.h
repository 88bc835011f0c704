/* GGUF, versions 2 and 3 (ggml/docs/gguf.md): bytes to typed metadata and named tensors, all bounds checked.
 *
 *   header     "GGUF", u32 version, u64 tensors, u64 key-values
 *   key-value  string key, u32 type, value        string = u64 length, bytes
 *   array      u32 element type, u64 count, elements
 *   tensor     string name, u32 n_dims, u64 dims[n_dims] (fastest first), u32 type, u64 offset
 *   padding to general.alignment (32), then the tensors' data at their offsets from here
 */
#ifndef CAPP_FILE_GGUF_H
#define CAPP_FILE_GGUF_H

#include "base/tensor.h"
#include "file/gguf_value.h"
#include "file/map.h"

typedef struct capp_gguf capp_gguf;

typedef capp_tensor capp_gguf_tensor;

/* Opens and maps path. A name that ends in -00001-of-0000N.gguf opens all N parts: the metadata is the first part's,
 * the tensors are everybody's. Every length is checked against the bytes left before it is used, every tensor against
 * the size of its file, names for being unique. The data of tensors is not read. On success the caller owns *g; on
 * failure it is NULL. Errors, whose messages begin with the path (of the part to blame): CAPP_EIO, CAPP_EFORMAT,
 * CAPP_EUNSUPPORTED (a type number, version or byte order that is not known), CAPP_EINVAL (a part of a split model
 * other than the first, or under a name of its own), CAPP_ENOMEM. The files must not change while *g lives. Once open
 * it is immutable: any number of threads may use it. */
capp_status capp_gguf_open(capp_gguf **gguf, const char *path, capp_error *err);

/* The same from memory, which must outlive *g: for tests and fuzzing. name stands for the path in messages. A part
 * of a split model is CAPP_EINVAL. */
capp_status capp_gguf_parse(capp_gguf **gguf, const void *data, size_t size, const char *name, capp_error *err);

/* g may be NULL. */
void capp_gguf_free(capp_gguf *gguf);

/* The files, [*n]; none where *g was parsed from memory. */
const capp_map *capp_gguf_maps(const capp_gguf *gguf, size_t *n);

const char *capp_gguf_path(const capp_gguf *gguf);
uint32_t capp_gguf_version(const capp_gguf *gguf);
uint64_t capp_gguf_file_bytes(const capp_gguf *gguf); /* all parts */
size_t capp_gguf_parts(const capp_gguf *gguf);

size_t capp_gguf_n_values(const capp_gguf *gguf);
const capp_gguf_value *capp_gguf_value_at(const capp_gguf *gguf, size_t i);
size_t capp_gguf_n_tensors(const capp_gguf *gguf);
const capp_gguf_tensor *capp_gguf_tensor_at(const capp_gguf *gguf, size_t i);

/* NULL where there is none. By hash: constant time. */
const capp_gguf_value *capp_gguf_find(const capp_gguf *gguf, const char *key);
const capp_gguf_tensor *capp_gguf_find_tensor(const capp_gguf *gguf, const char *name);

/* Typed values: true and *out set where the key exists with a kind that converts without loss (integers to integers in
 * range, F32 and F64 and integers to double); false and *out untouched where there is no such key. A key of a wrong
 * kind is also false: use capp_gguf_find to tell. */
bool capp_gguf_u64(const capp_gguf *gguf, const char *key, uint64_t *out);
bool capp_gguf_u32(const capp_gguf *gguf, const char *key, uint32_t *out);
bool capp_gguf_f64(const capp_gguf *gguf, const char *key, double *out);
bool capp_gguf_bool(const capp_gguf *gguf, const char *key, bool *out);
bool capp_gguf_str(const capp_gguf *gguf, const char *key, capp_str *out);

#endif
