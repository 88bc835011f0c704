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

/* One file. Tensors' data points into its bytes; names are in a block of their own. */
typedef struct capp_safetensors {
    capp_tensor *tensors; /* [n] */
    size_t n;
    char *names;
} capp_safetensors;

/* Reads all of a file but the tensors' data. data must outlive *s. On failure *s is empty; messages begin with path:
 * CAPP_EFORMAT; CAPP_EUNSUPPORTED (an element type or a number of dimensions that capp does not know); CAPP_ENOMEM. */
capp_status capp_safetensors_read(capp_safetensors *s, const void *data, size_t size, const char *path,
                                  capp_error *err);

/* Frees what *s holds and empties it. */
void capp_safetensors_free(capp_safetensors *s);

#endif
