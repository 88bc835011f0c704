/* Reads rows of a tensor as float32, in the order and the form that the matrix needs. */
#include "model/binder.h"

size_t capp_tensor_row(const capp_tensor *t, size_t i) {
    return t->order ? t->order[i] : i;
}

/* Like capp_tensor_rows, for a tensor whose rows are the columns of its data: reads runs of neighbors of one column. */
static void read_turned(const capp_tensor *t, size_t first, size_t n, size_t k, float *rows) {
    enum { RUN = 64 };
    float values[RUN];
    size_t size = (size_t)(t->bytes / t->elements), length;
    for (size_t column = 0; column < k; column++) {
        const char *data = (const char *)t->data + column * t->turned * size;
        for (size_t i = 0; i < n; i += length) {
            length = t->order ? 1 : n - i < RUN ? n - i : RUN;
            capp_dequant(t->type)(values, data + capp_tensor_row(t, first + i) * size, length);
            for (size_t j = 0; j < length; j++) rows[(i + j) * k + column] = values[j];
        }
    }
}

size_t capp_tensor_scratch(const capp_tensor *t) {
    return t->type == CAPP_TYPE_QUANTIZED ? capp_quant_scratch(t->data) : 0;
}

void capp_tensor_rows(const capp_tensor *t, size_t first, size_t n, size_t k, float *rows, float *extra) {
    size_t bytes = (size_t)(t->bytes / t->dims[1]), run = t->order ? 1 : n;
    if (t->type == CAPP_TYPE_QUANTIZED)
        capp_quant_rows(rows, t->data, first, n, extra);
    else if (t->turned)
        read_turned(t, first, n, k, rows);
    else
        for (size_t i = 0; i < n; i += run)
            capp_dequant(t->type)(rows + i * k, (const char *)t->data + capp_tensor_row(t, first + i) * bytes, run * k);
    for (size_t i = 0; t->scale && i < n * k; i++) rows[i] *= *t->scale;
}
