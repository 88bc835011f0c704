/* Tensors in a form that the file does not have: views of the tensors that it has. */
#include <string.h>

#include "base/mem.h"
#include "kernel/quant_blocks.h"
#include "model/binder.h"

/* A view of t as n rows of k elements, with `own` additional bytes; NULL if there is not enough memory. */
static capp_derived *view(binder *b, const capp_tensor *t, uint64_t k, uint64_t n, uint64_t own) {
    capp_derived *d = own < SIZE_MAX - sizeof *d ? capp_new(sizeof *d + (size_t)own, 1) : NULL;
    if (!d) return NULL;
    d->next = b->w->derived;
    b->w->derived = d;
    d->tensor = *t;
    d->tensor.n_dims = 2;
    memcpy(d->tensor.dims, (uint64_t[]){k, n, 1, 1}, sizeof d->tensor.dims);
    d->tensor.elements = k * n;
    return d;
}

static uint64_t rows_of(const capp_tensor *t) {
    return t->elements / t->dims[0];
}

const capp_tensor *capp_derive_slice(binder *b, const capp_tensor *t, uint64_t first, uint64_t n) {
    uint64_t row = t->bytes / rows_of(t);
    capp_derived *d = view(b, t, t->dims[0], n, 0);
    if (!d) return NULL;
    d->tensor.bytes = row * n;
    d->tensor.data = (const char *)t->data + first * row;
    return &d->tensor;
}

const capp_tensor *capp_derive_scaled(binder *b, const capp_tensor *t, const void *scale) {
    capp_derived *d = view(b, t, t->dims[0], rows_of(t), sizeof(float));
    if (!d) return NULL;
    memcpy(d->own, scale, sizeof(float));
    d->tensor.scale = (const float *)(const void *)d->own;
    return &d->tensor;
}

const capp_tensor *capp_derive_rows(binder *b, const capp_tensor *t, uint64_t n, capp_order_fn order,
                                    const void *user) {
    capp_derived *d = view(b, t, t->dims[0], n, n * sizeof(uint32_t));
    if (!d) return NULL;
    uint32_t *rows = (uint32_t *)(void *)d->own;
    for (uint64_t i = 0; i < n; i++) rows[i] = (uint32_t)order(user, i);
    d->tensor.bytes = t->bytes / rows_of(t) * n;
    d->tensor.order = rows;
    return &d->tensor;
}

const capp_tensor *capp_derive_floats(binder *b, uint64_t n, uint64_t k, float **floats) {
    const capp_tensor empty = {.type = CAPP_TYPE_F32};
    if (n > UINT64_MAX / sizeof(float) / k) return NULL;
    capp_derived *d = view(b, &empty, k, n, n * k * sizeof(float));
    if (!d) return NULL;
    *floats = (float *)(void *)d->own;
    d->tensor.dims[2] = d->tensor.dims[3] = 1;
    d->tensor.bytes = n * k * sizeof(float);
    d->tensor.data = d->own;
    return &d->tensor;
}

const capp_tensor *capp_derive_transposed(binder *b, const capp_tensor *t) {
    capp_derived *d = view(b, t, t->dims[1], t->dims[0], 0);
    if (!d) return NULL;
    d->tensor.turned = t->dims[0];
    return &d->tensor;
}

const capp_tensor *capp_derive_quantized(binder *b, const capp_tensor *t, const capp_quant *q, capp_order_fn order,
                                         const void *user, uint32_t **numbers) {
    size_t groups = numbers ? q->k : 0, n = order ? q->n : 0;
    capp_derived *d = view(b, t, q->k, q->n, sizeof *q + (3 * groups + n) * sizeof(uint32_t));
    if (!d) return NULL;
    capp_quant *made = (capp_quant *)(void *)d->own;
    uint32_t *group = (uint32_t *)(void *)(made + 1), *rows = group + 3 * groups;
    *made = *q;
    if (numbers) made->group = *numbers = group;
    for (size_t i = 0; i < n; i++) rows[i] = (uint32_t)order(user, i);
    if (order) made->order = rows;
    d->tensor.type = CAPP_TYPE_QUANTIZED;
    d->tensor.data = made;
    return &d->tensor;
}

void capp_derive_blocks(const capp_tensor *t) {
    capp_quant *q = (capp_quant *)(uintptr_t)t->data;
    capp_quant_find_blocks(q, (uint32_t *)(void *)(q + 1) + q->k);
}

void capp_derived_free(capp_weights *w) {
    while (w->derived) {
        capp_derived *next = w->derived->next;
        capp_free(w->derived);
        w->derived = next;
    }
}
