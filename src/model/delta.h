/* Private to the files that fit adapters: a delta made of two tensors of an adapter. */
#ifndef CAPP_MODEL_DELTA_H
#define CAPP_MODEL_DELTA_H

#include "model/binder.h"

/* How the elements of tensors become the elements of a delta's a and b. */
typedef struct capp_delta_reading {
    const capp_tensor *a, *b;
    bool a_turned; /* a is [k][rank] */
    bool b_turned; /* b is [rank][n] */
    size_t rank;
    size_t a_row;            /* of element (0, 0) of a */
    size_t b_row;            /* element (i, q) of b is read from row b_row + order(i), */
    size_t b_column, b_step; /* column b_column + q b_step */
    capp_order_fn order;     /* or NULL */
    const void *user;        /* of order */
} capp_delta_reading;

/* The rows that a delta changes: n rows of k elements from row `first` on, in the matrix whose list gets the delta. */
typedef struct capp_delta_target {
    capp_delta **list;
    size_t first, n, k;
} capp_delta_target;

/* Makes a delta of the tensors of an adapter, with b times scale, and appends it to the target's list and to w's list
 * of all deltas. path: of the adapter, for messages. */
capp_status capp_delta_make(capp_weights *w, const capp_delta_target *target, const capp_delta_reading *reading,
                            double scale, const char *path, capp_error *err);

#endif
