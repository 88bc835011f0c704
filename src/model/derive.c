/* Tensors made of others. */
#include <string.h>

#include "base/mem.h"
#include "model/binder.h"

capp_derived *capp_derive(binder *b, const capp_tensor *t, uint64_t k, uint64_t n, uint64_t bytes) {
    capp_derived *d = bytes < SIZE_MAX - sizeof *d ? capp_new(sizeof *d + (size_t)bytes, 1) : NULL;
    if (!d) return NULL;
    d->next = b->w->derived;
    b->w->derived = d;
    d->tensor = (capp_tensor){.name = t->name,
                              .n_dims = 2,
                              .dims = {k, n, 1, 1},
                              .type = t->type,
                              .elements = k * n,
                              .bytes = bytes,
                              .data = d->bytes};
    return d;
}

static uint64_t rows_of(const capp_tensor *t) {
    return t->elements / t->dims[0];
}

const capp_tensor *capp_derive_slice(binder *b, const capp_tensor *t, uint64_t first, uint64_t n) {
    uint64_t row = t->bytes / rows_of(t);
    capp_derived *d = capp_derive(b, t, t->dims[0], n, 0);
    if (!d) return NULL;
    d->tensor.bytes = row * n;
    d->tensor.data = (const char *)t->data + first * row;
    return &d->tensor;
}

const capp_tensor *capp_derive_scaled(binder *b, const capp_tensor *t, const void *scale) {
    capp_derived *d = capp_derive(b, t, t->dims[0], rows_of(t), sizeof(float));
    if (!d) return NULL;
    memcpy(d->bytes, scale, sizeof(float));
    d->tensor.scale = (const float *)(const void *)d->bytes;
    d->tensor.bytes = t->bytes;
    d->tensor.data = t->data;
    d->tensor.turned = t->turned;
    d->tensor.order = t->order;
    return &d->tensor;
}

const capp_tensor *capp_derive_rows(binder *b, const capp_tensor *t, uint64_t n, capp_order_fn order,
                                    const void *user) {
    capp_derived *d = capp_derive(b, t, t->dims[0], n, n * sizeof(uint32_t));
    if (!d) return NULL;
    uint32_t *rows = (uint32_t *)(void *)d->bytes;
    for (uint64_t i = 0; i < n; i++) rows[i] = (uint32_t)order(user, i);
    d->tensor.bytes = t->bytes / rows_of(t) * n;
    d->tensor.data = t->data;
    d->tensor.turned = t->turned;
    d->tensor.order = rows;
    return &d->tensor;
}

const capp_tensor *capp_derive_transposed(binder *b, const capp_tensor *t) {
    capp_derived *d = capp_derive(b, t, t->dims[1], t->dims[0], 0);
    if (!d) return NULL;
    d->tensor.bytes = t->bytes;
    d->tensor.data = t->data;
    d->tensor.turned = t->dims[0];
    return &d->tensor;
}

const capp_tensor *capp_derive_mxfp4(binder *b, const capp_tensor *blocks, const capp_tensor *scales, uint64_t first,
                                     uint64_t n, uint64_t k) {
    enum { HALF = 16, BLOCK = 17, ELEMENTS = 32 };
    uint64_t groups = k / ELEMENTS;
    capp_derived *d = capp_derive(b, blocks, k, n, n * groups * BLOCK);
    if (!d) return NULL;
    d->tensor.type = CAPP_TYPE_MXFP4;
    const unsigned char *from = (const unsigned char *)blocks->data + first * groups * HALF,
                        *scale = (const unsigned char *)scales->data + first * groups;
    unsigned char *out = (unsigned char *)d->bytes;
    for (uint64_t g = 0; g < n * groups; g++, from += HALF, out += BLOCK) {
        out[0] = scale[g];
        /* Elements i and i + 16 share a byte, instead of 2i and 2i + 1. */
        for (int i = 0; i < HALF; i++) {
            unsigned low = from[i / 2] >> (i % 2 * 4) & 15, high = from[(i + HALF) / 2] >> (i % 2 * 4) & 15;
            out[1 + i] = (unsigned char)(low | high << 4);
        }
    }
    return &d->tensor;
}

void capp_derived_free(capp_weights *w) {
    while (w->derived) {
        capp_derived *next = w->derived->next;
        capp_free(w->derived);
        w->derived = next;
    }
}
