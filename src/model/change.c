/* Changes: the deltas of a matrix that is computed in integers, in the order of its inputs and outputs. */
#include "base/mem.h"
#include "model/adapter.h"
#include "model/binder.h"

/* The sizes do not overflow: the numbers of the deltas are in memory. */
static capp_delta_product *new_change(capp_weights *w, const capp_matrix *m) {
    size_t rank = 0, b_numbers = 0;
    for (const capp_delta *d = m->deltas; d; d = d->next) rank += d->rank, b_numbers += d->rank * d->n;
    const size_t bytes = sizeof(capp_delta_product) + (rank * m->k + b_numbers) * sizeof(float);
    capp_delta_product *c = capp_new(bytes, 1);
    if (!c) return NULL;
    *c = (capp_delta_product){.owned = w->changes, .rank = rank};
    c->a = c->numbers;
    c->b = c->numbers + rank * m->k;
    w->changes = c;
    w->adapter_bytes += bytes;
    return c;
}

/* inputs: the order of the inputs, or NULL. */
static void fill_a(capp_delta_product *c, const capp_matrix *m, const uint32_t *inputs) {
    size_t at = 0;
    for (const capp_delta *d = m->deltas; d; at += d->rank, d = d->next)
        for (size_t i = 0; i < m->k; i++)
            for (size_t q = 0; q < d->rank; q++) c->a[i * c->rank + at + q] = d->a[q * m->k + (inputs ? inputs[i] : i)];
}

/* Deltas of outputs that have an order change whole parts (capp_can_reorder). */
static void fill_b(capp_delta_product *c, const capp_matrix *m) {
    float *b = c->b;
    for (const capp_delta *d = m->deltas; d; b += d->rank * d->n, d = d->next)
        for (size_t i = 0; i < d->n; i++) {
            const size_t at = i % m->columns, row = m->outputs ? i - at + m->outputs[at] : i;
            for (size_t q = 0; q < d->rank; q++) b[q * d->n + i] = d->b[row * d->rank + q];
        }
}

capp_status capp_change_make(capp_weights *w, capp_matrix *m, capp_error *err) {
    if (!m->deltas || m->change || !m->integers || !w->integers) return CAPP_OK;
    capp_delta_product *c = new_change(w, m);
    if (!c) return capp_fail_memory(err, "an adapter");
    /* Inputs that are not gathered are the outputs of a matrix that writes them in order. */
    fill_a(c, m, m->gather ? NULL : capp_integer_inputs(m));
    fill_b(c, m);
    m->change = c;
    return CAPP_OK;
}

void capp_changes_free(capp_weights *w) {
    while (w->changes) {
        capp_delta_product *next = w->changes->owned;
        capp_free(w->changes);
        w->changes = next;
    }
}
