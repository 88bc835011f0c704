/* A panel of a matrix: nr rows, from whichever tensors they come, dequantised and packed. This happens when the model
 * is opened, into the cache (cache.c), or whenever a product uses the panel, into a worker's scratch. */
#include "model/adapter.h"
#include "model/binder.h"

void capp_set_panels(capp_matrix *m, const capp_products *products) {
    m->panels = m->parts * ((m->columns + products->nr - 1) / products->nr);
    m->panel_bytes = products->panel_bytes(m->k);
}

static size_t whole_vectors(size_t floats) {
    return (floats + CAPP_LANES - 1) / CAPP_LANES * CAPP_LANES;
}

size_t capp_row_floats(const capp_weights *w, const capp_matrix *m) {
    return whole_vectors(w->products->nr * m->k) + whole_vectors(m->extra);
}

/* Where row i stands in data. */
static size_t row_at(const capp_tensor *t, size_t i) {
    return t->order ? t->order[i] : i;
}

/* As read_rows, of a tensor whose rows are the columns of its data: run by run of neighbours of one column. */
static void read_turned(const capp_tensor *t, size_t first, size_t n, size_t k, float *rows) {
    enum { RUN = 64 };
    float values[RUN];
    size_t size = (size_t)(t->bytes / t->elements), length;
    for (size_t column = 0; column < k; column++) {
        const char *data = (const char *)t->data + column * t->turned * size;
        for (size_t i = 0; i < n; i += length) {
            length = t->order ? 1 : n - i < RUN ? n - i : RUN;
            capp_dequant(t->type)(values, data + row_at(t, first + i) * size, length);
            for (size_t j = 0; j < length; j++) rows[(i + j) * k + column] = values[j];
        }
    }
}

/* Rows first .. first + n - 1 of k of a tensor. */
static void read_rows(const capp_tensor *t, size_t first, size_t n, size_t k, float *rows, float *extra) {
    size_t bytes = (size_t)(t->bytes / t->dims[1]), run = t->order ? 1 : n;
    if (t->type == CAPP_TYPE_QUANTISED)
        capp_quant_rows(rows, t->data, first, n, extra);
    else if (t->turned)
        read_turned(t, first, n, k, rows);
    else
        for (size_t i = 0; i < n; i += run)
            capp_dequant(t->type)(rows + i * k, (const char *)t->data + row_at(t, first + i) * bytes, run * k);
    for (size_t i = 0; t->scale && i < n * k; i++) rows[i] *= *t->scale;
}

/* Where rows row .. row + n - 1 of a matrix stand in the file, stored [n]; the way from there to a panel, or NULL where
 * they are not rows of one such type as it is. */
static capp_unpack_fn find_stored(const capp_weights *w, const capp_matrix *m, size_t row, size_t n,
                                  const char **stored) {
    size_t begin = 0;
    uint32_t type = CAPP_TYPE_QUANTISED;
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_tensor *t = m->source[s];
        size_t end = begin + (size_t)t->dims[1], bytes = (size_t)(t->bytes / t->dims[1]);
        size_t from = row > begin ? row : begin, to = row + n < end ? row + n : end;
        if (from < to && (t->turned || t->scale || (from > row && t->type != type))) return NULL;
        for (size_t i = from; i < to; i++) stored[i - row] = (const char *)t->data + row_at(t, i - begin) * bytes;
        if (from < to) type = t->type;
        begin = end;
    }
    return m->deltas ? NULL : w->products->unpack(type);
}

void capp_pack_panel(const capp_weights *w, const capp_matrix *m, size_t panel, void *packed, float *rows) {
    const char *stored[CAPP_MAX_NR];
    size_t nr = w->products->nr, column = panel / m->parts * nr;
    size_t n = m->columns - column < nr ? m->columns - column : nr, row = panel % m->parts * m->columns + column;
    capp_unpack_fn unpack = find_stored(w, m, row, n, stored);
    if (unpack) {
        unpack(packed, stored, n, m->k);
        return;
    }
    size_t begin = 0; /* of the source, among the matrix's rows */
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_tensor *t = m->source[s];
        size_t end = begin + (size_t)t->dims[1];
        size_t from = row > begin ? row : begin, to = row + n < end ? row + n : end;
        if (from < to)
            read_rows(t, from - begin, to - from, m->k, rows + (from - row) * m->k, rows + whole_vectors(nr * m->k));
        begin = end;
    }
    capp_delta_add(w, m->deltas, row, n, rows, m->k);
    w->products->pack(packed, rows, m->k, n, m->k);
}

size_t capp_matrix_scratch(const capp_weights *w, const capp_matrix *m, size_t n) {
    if (m->packed) return 0;
    return n * m->panel_bytes / sizeof(float) + capp_row_floats(w, m);
}

const char *capp_matrix_panels(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, float *scratch) {
    if (m->packed) return m->packed + first * m->panel_bytes;
    char *panels = (char *)scratch;
    float *rows = scratch + n * m->panel_bytes / sizeof(float);
    for (size_t i = 0; i < n; i++) capp_pack_panel(w, m, first + i, panels + i * m->panel_bytes, rows);
    return panels;
}
