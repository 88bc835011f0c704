/* The source of a model: a GGUF file or a folder. Gives access to named tensors and typed values in the same way for
 * both. Names and keys are those of the format. */
#ifndef CAPP_FILE_SOURCE_H
#define CAPP_FILE_SOURCE_H

#include "file/folder.h"
#include "file/gguf.h"

/* Exactly one is not NULL. */
typedef struct capp_source {
    capp_gguf *gguf;
    capp_folder *folder;
} capp_source;

/* Opens path, a GGUF file or a folder. The caller closes it with capp_source_close. On failure both pointers are NULL.
 */
capp_status capp_source_open(capp_source *source, const char *path, capp_error *err);
/* The same for a LoRA adapter: PEFT's folder, one of its files, or a GGUF file. Of a GGUF file only the format is
 * checked. */
capp_status capp_source_open_adapter(capp_source *source, const char *path, capp_error *err);
void capp_source_close(capp_source *source);

/* The same as in map.h, for all files. */
void capp_source_scatter(const capp_source *source, bool scattered);
void capp_source_release(const capp_source *source);
void capp_source_unmap(const capp_source *source, const void *data, size_t bytes);
void capp_source_drop(const capp_source *source, const void *data, size_t bytes);
uint64_t capp_source_resident(const capp_source *source);

/* Returns CAPP_EIO, and names the file and the tensor, if a file was cut short, written to or replaced since it was
 * opened, or if it could not be read. */
capp_status capp_source_check(const capp_source *source, capp_error *err);

/* Whether a guarded read failed. If so, some of the data read since then is zeros. */
bool capp_source_failed(const capp_source *source);

/* Whether a source is a LoRA adapter: general.type is "adapter", or it has a peft_type. The source may be open as a
 * model or as an adapter. */
bool capp_is_adapter(const capp_source *source);

const char *capp_source_path(const capp_source *source);
uint64_t capp_source_bytes(const capp_source *source);

size_t capp_source_n_tensors(const capp_source *source);
const capp_tensor *capp_source_tensor_at(const capp_source *source, size_t i);
const capp_tensor *capp_source_find_tensor(const capp_source *source, const char *name);

/* The result of reading a value: of a metadata key such as "llama.rope.freq_base", or of a config.json key such as
 * "rope_scaling.factor". */
typedef enum capp_found {
    CAPP_ABSENT = 0, /* no such key, or null */
    CAPP_FOUND,      /* and *out is set */
    CAPP_MISFIT      /* a value of another kind */
} capp_found;

capp_found capp_source_number(const capp_source *source, const char *key, double *out);
capp_found capp_source_bool(const capp_source *source, const char *key, bool *out);
capp_found capp_source_str(const capp_source *source, const char *key, capp_str *out);

/* Element i of an array. CAPP_ABSENT if the array has no element i. */
capp_found capp_source_number_at(const capp_source *source, const char *key, size_t i, double *out);
capp_found capp_source_str_at(const capp_source *source, const char *key, size_t i, capp_str *out);

/* Number of elements of an array; 0 if there is none. */
size_t capp_source_count(const capp_source *source, const char *key);

#endif
