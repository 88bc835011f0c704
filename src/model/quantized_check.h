/* For quantized*.c: a weight of several tensors that is being bound, the checks of its tensors, and the layouts. */
#ifndef CAPP_MODEL_QUANTIZED_CHECK_H
#define CAPP_MODEL_QUANTIZED_CHECK_H

#include "model/binder.h"

/* A weight: n rows of k elements. Row i is stored row order(user, i). */
typedef struct capp_quantized {
    binder *b;
    place place;
    size_t n, k;
    capp_order_fn order;
    const void *user;
} capp_quantized;

/* Binds a weight whose main tensor is t: makes *out of it. name [MOST_NAME]: the name of t. */
typedef capp_status capp_quantized_fn(const capp_quantized *p, const capp_tensor *t, char *name,
                                      const capp_tensor **out);
capp_quantized_fn capp_quantized_columns; /* GPTQ, AWQ */
capp_quantized_fn capp_quantized_float8, capp_quantized_nvfp4, capp_quantized_mxfp4;
capp_quantized_fn capp_quantized_packed, capp_quantized_int8, capp_quantized_int8_127, capp_quantized_levels;

/* The name of a method, for people. */
const char *capp_quantized_method(capp_quant_method method);

capp_status capp_quantized_fail(const capp_quantized *p, capp_status st, const char *name, const char *what);

/* Fails because t is not a tensor of columns x rows of these types. */
capp_status capp_quantized_wrong(const capp_quantized *p, const char *name, const capp_tensor *t, size_t columns,
                                 size_t rows, const char *types);

/* Whether t is a matrix of columns x rows; whether it has floats that can be scales; whether it has integers of 32
 * bits.
 */
bool capp_quantized_has_shape(const capp_tensor *t, size_t columns, size_t rows);
bool capp_quantized_is_scale(const capp_tensor *t);
bool capp_quantized_is_words(const capp_tensor *t);

/* Finds the tensor with a suffix; name [MOST_NAME] receives its name. Fails if there is none. */
capp_status capp_quantized_need(const capp_quantized *p, const char *suffix, const capp_tensor **t, char *name);

/* The groups of inputs that a tensor stores. Fails unless it has one group below `groups` for each input. */
capp_status capp_quantized_groups(const capp_quantized *p, const capp_tensor *t, const char *name, size_t groups,
                                  uint32_t *group);

/* Makes the tensor that represents q. *group: [k] for the groups of inputs; NULL: q has none. */
capp_status capp_quantized_finish(const capp_quantized *p, const capp_tensor *t, const capp_quant *q, uint32_t **group,
                                  const capp_tensor **out);

#endif
