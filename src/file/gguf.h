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

/* Opens and maps path. A name that ends in -00001-of-0000N.gguf opens all N parts: the metadata comes from the first
 * part, the tensors from all parts. Checks every length against the bytes that are left before it uses the length,
 * every tensor against the size of its file, and that names are unique. Does not read the data of tensors. On success
 * the caller owns *g; on failure it is NULL. Errors, whose messages begin with the path (of the part that caused the
 * error): CAPP_EIO, CAPP_EFORMAT, CAPP_EUNSUPPORTED (unknown type number, version or byte order), CAPP_EINVAL (a part
 * of a split model other than the first, or a part with a changed name), CAPP_ENOMEM. The files must not change while
 * *g lives. An open *g is immutable: any number of threads may use it. */
capp_status capp_gguf_open(capp_gguf **gguf, const char *path, capp_error *err);

/* The same from memory, which must outlive *g; for tests and fuzzing. Messages use name instead of a path. A part of a
 * split model is CAPP_EINVAL. */
capp_status capp_gguf_parse(capp_gguf **gguf, const void *data, size_t size, const char *name, capp_error *err);

/* g may be NULL. */
void capp_gguf_free(capp_gguf *gguf);

/* The files, [*n]; none if *g was parsed from memory. */
const capp_map *capp_gguf_maps(const capp_gguf *gguf, size_t *n);

const char *capp_gguf_path(const capp_gguf *gguf);
uint32_t capp_gguf_version(const capp_gguf *gguf);
uint64_t capp_gguf_file_bytes(const capp_gguf *gguf); /* all parts */
size_t capp_gguf_parts(const capp_gguf *gguf);

size_t capp_gguf_n_values(const capp_gguf *gguf);
const capp_gguf_value *capp_gguf_value_at(const capp_gguf *gguf, size_t i);
size_t capp_gguf_n_tensors(const capp_gguf *gguf);
const capp_gguf_tensor *capp_gguf_tensor_at(const capp_gguf *gguf, size_t i);

/* NULL if there is no such key or tensor. A hash lookup: constant time. */
const capp_gguf_value *capp_gguf_find(const capp_gguf *gguf, const char *key);
const capp_gguf_tensor *capp_gguf_find_tensor(const capp_gguf *gguf, const char *name);

/* Typed values. Return true and set *out if the key exists and its kind converts without loss (integers to integers in
 * range; F32, F64 and integers to double). Return false and do not change *out if there is no such key. A key of a
 * wrong kind also gives false: capp_gguf_find tells the difference. */
bool capp_gguf_u64(const capp_gguf *gguf, const char *key, uint64_t *out);
bool capp_gguf_u32(const capp_gguf *gguf, const char *key, uint32_t *out);
bool capp_gguf_f64(const capp_gguf *gguf, const char *key, double *out);
bool capp_gguf_bool(const capp_gguf *gguf, const char *key, bool *out);
bool capp_gguf_str(const capp_gguf *gguf, const char *key, capp_str *out);

#endif
