/* What adapters add to products of integers: products of low rank, in float32, of inputs that are not rounded to
 * digits. A chain of additions makes each element from the inputs of its own row, so its bits depend on nothing else.
 */
#include <string.h>

#include "forward/wave.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

void capp_change_keep(const capp_forward *f, const char *inputs, size_t row, size_t from, const float *x, size_t n) {
    if (!f->low_stride || !f->weights->integers) return;
    if (inputs == f->h)
        memcpy(f->h_floats + row * f->h_stride + from, x, n * sizeof *x);
    else if (inputs == f->g && f->fed_change)
        memcpy(f->g_floats + row * f->g_stride + from, x, n * sizeof *x);
}

typedef struct lowering {
    capp_forward *f;
    const capp_matrix *m;
    const float *x; /* [rows][ldx] */
    size_t ldx, rows;
} lowering;

enum { LOW_ROWS = 24 };

/* Part by part along k, so that the parts of rows and matrix stay in the cache. */
static void low_task(void *user, size_t task, int worker) {
    const lowering *l = user;
    const capp_delta_product *c = l->m->change;
    const size_t row = task * LOW_ROWS, rows = least(l->rows - row, LOW_ROWS), ld = l->f->low_stride;
    float *low = l->f->low + row * ld;
    (void)worker;
    for (size_t r = 0; r < rows; r++) memset(low + r * ld, 0, c->rank * sizeof *low);
    for (size_t from = 0, part; from < l->m->k; from += part) {
        part = least(l->m->k - from, CAPP_BLOCK_K);
        l->f->weights->kernels->values(low, ld, l->x + row * l->ldx + from, l->ldx, rows, c->a + from * c->rank,
                                       c->rank, c->rank, part);
    }
}

void capp_change_begin(capp_forward *f, const capp_matrix *m, const char *inputs, size_t rows) {
    if (!capp_is_changed(f->weights, m)) return;
    const bool fed = inputs == f->g;
    lowering l = {f, m, fed ? f->g_floats : f->h_floats, fed ? f->g_stride : f->h_stride, rows};
    capp_pool_run(f->pool, low_task, &l, (rows + LOW_ROWS - 1) / LOW_ROWS);
}

void capp_change_add(const capp_forward *f, const capp_matrix *m, float *c, size_t ldc, size_t row, size_t rows,
                     size_t first, size_t n) {
    if (!capp_is_changed(f->weights, m)) return;
    const float *low = f->low + row * f->low_stride, *b = m->change->b;
    for (const capp_delta *d = m->deltas; d; low += d->rank, b += d->rank * d->n, d = d->next) {
        const size_t from = first > d->first ? first : d->first, to = least(first + n, d->first + d->n);
        if (from < to)
            f->weights->kernels->values(c + (from - first), ldc, low, f->low_stride, rows, b + (from - d->first), d->n,
                                        to - from, d->rank);
    }
}
