/* Deltas: what an adapter adds to rows of a matrix, in float32. */
#include "model/delta.h"

#include <math.h>

#include "base/mem.h"
#include "model/adapter.h"

/* Reads n elements of row `row` of t: every `step`th element from `column` on. If step is 1, reads whole rows. */
static void read_row(const capp_tensor *t, size_t row, size_t column, size_t step, size_t n, float *out) {
    size_t width = (size_t)t->dims[0], bytes = (size_t)(t->bytes / (t->elements / width));
    const char *at = (const char *)t->data + row * bytes;
    if (step == 1) {
        capp_dequant(t->type)(out, at, n);
        return;
    }
    size_t element = bytes / width; /* safetensors have no blocks */
    for (size_t i = 0; i < n; i++) capp_dequant(t->type)(out + i, at + (column + i * step) * element, 1);
}

/* Writes the transpose of t [m][n] to out [n][m]. Uses scratch [n]. */
static void read_turned(const capp_tensor *t, size_t m, size_t n, float *out, float *scratch) {
    for (size_t i = 0; i < m; i++) {
        read_row(t, i, 0, 1, n, scratch);
        for (size_t j = 0; j < n; j++) out[j * m + i] = scratch[j];
    }
}

static bool all_finite(const float *numbers, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(numbers[i])) return false;
    return true;
}

static capp_status fill(const capp_delta_reading *r, const capp_delta_target *t, double scale, capp_delta *d,
                        const char *path, capp_error *err) {
    float *scratch = capp_new(t->n > r->rank ? t->n : r->rank, sizeof *scratch);
    if (!scratch) return capp_fail_memory(err, "an adapter");
    if (r->a_turned)
        read_turned(r->a, t->k, r->rank, d->a, scratch);
    else
        for (size_t q = 0; q < r->rank; q++) read_row(r->a, r->a_row + q, 0, 1, t->k, d->a + q * t->k);
    if (r->b_turned)
        read_turned(r->b, r->rank, t->n, d->b, scratch);
    else
        for (size_t i = 0; i < t->n; i++)
            read_row(r->b, r->b_row + (size_t)(r->order ? r->order(r->user, i) : i), r->b_column, r->b_step, r->rank,
                     d->b + i * r->rank);
    capp_free(scratch);
    for (size_t i = 0; i < t->n * r->rank; i++) d->b[i] = (float)(scale * (double)d->b[i]);
    const capp_tensor *wrong = !all_finite(d->a, r->rank * t->k)   ? r->a
                               : !all_finite(d->b, t->n * r->rank) ? r->b
                                                                   : NULL;
    if (!wrong) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT,
                     "%s: tensor %.*s multiplied by its scale has elements that are not finite; use a smaller weight",
                     path, (int)(wrong->name.size < 200 ? wrong->name.size : 200), wrong->name.data);
}

/* Appends a new delta to the list; returns NULL if there is not enough memory. */
static capp_delta *new_delta(capp_weights *w, const capp_delta_target *t, size_t rank) {
    size_t numbers, b_numbers, bytes;
    if (!capp_mul(rank, t->k, &numbers) || !capp_mul(rank, t->n, &b_numbers) ||
        __builtin_add_overflow(numbers, b_numbers, &bytes) || !capp_mul(bytes, sizeof(float), &bytes) ||
        __builtin_add_overflow(bytes, sizeof(capp_delta), &bytes))
        return NULL;
    capp_delta *d = capp_new(bytes, 1);
    if (!d) return NULL;
    *d = (capp_delta){.owned = w->deltas, .first = t->first, .n = t->n, .rank = rank};
    d->a = d->numbers;
    d->b = d->numbers + numbers;
    w->deltas = d;
    w->adapter_bytes += bytes;
    capp_delta **end = t->list;
    while (*end) end = &(*end)->next;
    *end = d;
    return d;
}

capp_status capp_delta_make(capp_weights *w, const capp_delta_target *t, const capp_delta_reading *r, double scale,
                            const char *path, capp_error *err) {
    capp_delta *d = new_delta(w, t, r->rank);
    return d ? fill(r, t, scale, d, path, err) : capp_fail_memory(err, "an adapter");
}

void capp_delta_add(const capp_weights *w, const capp_delta *deltas, size_t row, size_t n, float *rows, size_t k) {
    for (const capp_delta *d = deltas; d; d = d->next) {
        size_t from = row > d->first ? row : d->first, end = d->first + d->n, to = row + n < end ? row + n : end;
        if (from < to)
            w->kernels->values(rows + (from - row) * k, k, d->b + (from - d->first) * d->rank, d->rank, to - from, d->a,
                               k, k, d->rank);
    }
}

void capp_deltas_free(capp_weights *w) {
    while (w->deltas) {
        capp_delta *next = w->deltas->owned;
        capp_free(w->deltas);
        w->deltas = next;
    }
}
