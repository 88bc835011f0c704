/* What a model is read from: a GGUF file or a folder. Named tensors and typed values, the same for both; the names and
 * keys are the format's own. */
#ifndef CAPP_FILE_SOURCE_H
#define CAPP_FILE_SOURCE_H

#include "file/folder.h"
#include "file/gguf.h"

/* One is not NULL. */
typedef struct capp_source {
    capp_gguf *gguf;
    capp_folder *folder;
} capp_source;

/* Opens path, a GGUF file or a folder; ended by capp_source_close. On failure both are NULL. */
capp_status capp_source_open(capp_source *s, const char *path, capp_error *err);
/* The same for a LoRA adapter: PEFT's folder or a file of it, or a GGUF file, of which nothing but its form is checked.
 */
capp_status capp_source_open_adapter(capp_source *s, const char *path, capp_error *err);
void capp_source_close(capp_source *s);

/* Of all files, as map.h has them. */
void capp_source_scatter(const capp_source *s, bool scattered);
void capp_source_release(const capp_source *s);
void capp_source_drop(const capp_source *s, const void *data, size_t bytes);
uint64_t capp_source_resident(const capp_source *s);

/* CAPP_EIO, with the file and the tensor, where a file was cut short, written to or replaced since it was opened, or
 * could not be read. */
capp_status capp_source_check(const capp_source *s, capp_error *err);

/* Whether a guarded read failed: some of what was read since is zeros. */
bool capp_source_failed(const capp_source *s);

/* Whether a source, opened as a model or as an adapter, is a LoRA adapter by what it says: general.type = adapter, or
 * a peft_type. */
bool capp_is_adapter(const capp_source *s);

const char *capp_source_path(const capp_source *s);
uint64_t capp_source_bytes(const capp_source *s);

size_t capp_source_n_tensors(const capp_source *s);
const capp_tensor *capp_source_tensor_at(const capp_source *s, size_t i);
const capp_tensor *capp_source_find_tensor(const capp_source *s, const char *name);

/* A value under a key of the metadata, "llama.rope.freq_base", or of config.json, "rope_scaling.factor". */
typedef enum capp_found {
    CAPP_ABSENT = 0, /* no such key, or null */
    CAPP_FOUND,      /* and *out is set */
    CAPP_MISFIT      /* of another kind */
} capp_found;

capp_found capp_source_number(const capp_source *s, const char *key, double *out);
capp_found capp_source_bool(const capp_source *s, const char *key, bool *out);
capp_found capp_source_str(const capp_source *s, const char *key, capp_str *out);

/* Element i of an array. CAPP_ABSENT also where the array ends before it. */
capp_found capp_source_number_at(const capp_source *s, const char *key, size_t i, double *out);
capp_found capp_source_str_at(const capp_source *s, const char *key, size_t i, capp_str *out);

/* Elements of an array; 0 where there is none. */
size_t capp_source_count(const capp_source *s, const char *key);

#endif
