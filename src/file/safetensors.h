/* safetensors (github.com/huggingface/safetensors): bytes to named tensors, all bounds checked.
 *
 *   u64 n, little-endian; n bytes of JSON; then the data
 *   JSON: {"NAME": {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [begin, end]}, ..., "__metadata__": {}}
 *   offsets count from the end of the JSON; tensors fill the data without holes and do not overlap
 */
#ifndef CAPP_FILE_SAFETENSORS_H
#define CAPP_FILE_SAFETENSORS_H

#include "base/error.h"
#include "base/tensor.h"

/* One file. The data of tensors points into its bytes; names are in a separate block. */
typedef struct capp_safetensors {
    capp_tensor *tensors; /* [n] */
    size_t n;
    char *names;
} capp_safetensors;

/* Reads all of a file except the data of tensors. data must outlive *s. On failure *s is empty. Messages begin with
 * path. Errors: CAPP_EFORMAT; CAPP_EUNSUPPORTED (unknown element type, too many dimensions); CAPP_ENOMEM. */
capp_status capp_safetensors_read(capp_safetensors *file, const void *data, size_t size, const char *path,
                                  capp_error *err);

/* Frees the contents of *s and empties it. */
void capp_safetensors_free(capp_safetensors *file);

#endif
