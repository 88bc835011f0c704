/* A panel of a matrix: nr rows, which may come from several tensors, dequantized and packed. The fourth product that
 * uses a matrix packs its panels into the cache, if they have a place there (cache.c). Before that, and without a
 * place, they are packed into a worker's scratch each time a product uses them. */
#include <string.h>

#include "kernel/integers.h"
#include "kernel/quant_blocks.h"
#include "model/adapter.h"
#include "model/binder.h"

uint32_t capp_integer_type(const capp_tensor *t) {
    return t->type == CAPP_TYPE_QUANTIZED ? ((const capp_quant *)t->data)->blocks : t->type;
}

/* As capp_panel_offset, in a panel of a source of the matrix. */
static size_t offset_in(const capp_weights *w, const capp_matrix *m, const capp_tensor *source, size_t from) {
    const capp_products *products = capp_products_of(w, m);
    size_t offset = 0;
    for (size_t at = 0, part; at < from; at += part) {
        part = capp_part_of(products, m->k, at);
        offset += products->panel_bytes(capp_integer_type(source), part);
    }
    return offset;
}

/* The source in which a panel begins. Only panels of integers depend on it, and all rows of such a panel have one type.
 */
static const capp_tensor *source_of(const capp_weights *w, const capp_matrix *m, size_t panel) {
    size_t row = panel % m->parts * m->columns + panel / m->parts * capp_products_of(w, m)->nr, s = 0;
    for (size_t end = 0; s + 1 < m->n_sources; s++)
        if (row < (end += (size_t)m->source[s]->dims[1])) break;
    return m->source[s];
}

size_t capp_panel_offset(const capp_weights *w, const capp_matrix *m, size_t panel, size_t from) {
    return offset_in(w, m, m->mixed ? source_of(w, m, panel) : m->source[0], from);
}

/* Panels with a first row in [begin, end) of the rows of a part, of its first n panels. */
static size_t panels_within(size_t begin, size_t end, size_t nr, size_t n) {
    size_t first = (begin + nr - 1) / nr, last = (end + nr - 1) / nr;
    if (last > n) last = n;
    return first < last ? last - first : 0;
}

size_t capp_panel_place(const capp_weights *w, const capp_matrix *m, size_t panel) {
    size_t begin = 0, bytes = 0, nr = capp_products_of(w, m)->nr;
    if (!m->mixed) return panel * m->panel_bytes;
    for (size_t s = 0; s < m->n_sources; s++) {
        size_t end = begin + (size_t)m->source[s]->dims[1], n = 0;
        for (size_t part = 0; part < m->parts; part++) {
            size_t low = part * m->columns, high = low + m->columns;
            size_t from = begin > low ? begin : low, to = end < high ? end : high;
            if (from < to) n += panels_within(from - low, to - low, nr, panel / m->parts + (part < panel % m->parts));
        }
        bytes += n * offset_in(w, m, m->source[s], m->k);
        begin = end;
    }
    return bytes;
}

void capp_set_panels(const capp_weights *w, capp_matrix *m) {
    const capp_products *products = capp_products_of(w, m);
    m->panels = m->parts * ((m->columns + products->nr - 1) / products->nr);
    m->panel_bytes = 0;
    m->mixed = false;
    for (size_t s = 0; s < m->n_sources; s++) {
        size_t bytes = offset_in(w, m, m->source[s], m->k);
        m->mixed = m->mixed || (s && bytes != m->panel_bytes);
        if (bytes > m->panel_bytes) m->panel_bytes = bytes;
    }
}

static const uint32_t *inputs_of(const capp_tensor *t) {
    return t->type == CAPP_TYPE_QUANTIZED ? ((const capp_quant *)t->data)->inputs : NULL;
}

static bool same_inputs(const capp_tensor *a, const capp_tensor *b, size_t k) {
    const uint32_t *x = inputs_of(a), *y = inputs_of(b);
    return x == y || (x && y && !memcmp(x, y, k * sizeof *x));
}

const uint32_t *capp_integer_inputs(const capp_matrix *m) {
    return inputs_of(m->source[0]);
}

bool capp_can_reorder(const capp_matrix *m) {
    if (!m->integers || m->n_sources != m->parts) return false;
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_tensor *t = m->source[s];
        if (t->type != CAPP_TYPE_QUANTIZED || ((const capp_quant *)t->data)->order || t->dims[1] != m->columns)
            return false;
    }
    for (const capp_delta *d = m->deltas; d; d = d->next)
        if (d->first % m->columns || d->n % m->columns) return false;
    return true;
}

/* All rows of a panel have one type, so the rows of each type must fill whole panels. All rows have one order of
 * inputs.
 */
bool capp_has_integers(const capp_matrix *m) {
    size_t begin = 0;
    if (m->factors) return false;
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_tensor *t = m->source[s];
        if (!capp_integer_form_of(capp_integer_type(t)) || t->turned || t->scale) return false;
        if (!same_inputs(t, m->source[0], m->k)) return false;
        if (s && capp_integer_type(t) != capp_integer_type(m->source[s - 1]) &&
            begin % m->columns % CAPP_INTEGER_COLUMNS)
            return false;
        begin += (size_t)t->dims[1];
    }
    return true;
}

static size_t whole_vectors(size_t floats) {
    return (floats + CAPP_LANES - 1) / CAPP_LANES * CAPP_LANES;
}

/* The number of floats that the rows of a panel of m need, with the space to read them. */
static size_t row_floats(const capp_weights *w, const capp_matrix *m) {
    return whole_vectors(capp_products_of(w, m)->nr * m->k) + whole_vectors(m->extra);
}

/* A panel: n rows of the matrix from `row` on. */
typedef struct panel_rows {
    size_t row, n;
} panel_rows;

static panel_rows rows_of(const capp_weights *w, const capp_matrix *m, size_t panel) {
    size_t nr = capp_products_of(w, m)->nr, column = panel / m->parts * nr;
    return (panel_rows){panel % m->parts * m->columns + column, m->columns - column < nr ? m->columns - column : nr};
}

/* The stored rows of a panel, and the function that unpacks them to a panel. unpack is NULL if the rows have different
 * types, or if the file does not have them in the form that the matrix needs. */
typedef struct stored_rows {
    const char *at[CAPP_MAX_NR];
    capp_unpack_fn unpack;
    uint32_t type_id;
    capp_type_info type;
} stored_rows;

static stored_rows find_stored(const capp_weights *w, const capp_matrix *m, panel_rows r) {
    const capp_products *products = capp_products_of(w, m);
    stored_rows stored = {.unpack = NULL};
    size_t begin = 0;
    uint32_t type = CAPP_TYPE_QUANTIZED;
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_tensor *t = m->source[s];
        size_t end = begin + (size_t)t->dims[1], bytes = (size_t)(t->bytes / t->dims[1]);
        size_t from = r.row > begin ? r.row : begin, to = r.row + r.n < end ? r.row + r.n : end;
        if (from < to && (t->turned || t->scale || (from > r.row && t->type != type))) return stored;
        for (size_t i = from; i < to; i++)
            stored.at[i - r.row] = (const char *)t->data + capp_tensor_row(t, i - begin) * bytes;
        if (from < to) type = t->type;
        begin = end;
    }
    stored.type_id = type;
    stored.type = capp_type_get(type);
    if ((!m->deltas || products == w->integers) && !m->factors && products->block % stored.type.block_elems == 0)
        stored.unpack = products->unpack(type);
    return stored;
}

/* Unpacks the part of a panel that begins at `from` along k. */
static void unpack_part(const stored_rows *stored, size_t n, size_t from, size_t k, void *panel) {
    const char *at[CAPP_MAX_NR];
    for (size_t i = 0; i < n; i++) at[i] = stored->at[i] + from / stored->type.block_elems * stored->type.block_bytes;
    stored->unpack(panel, at, n, k);
}

bool capp_matrix_few(const capp_weights *w, const capp_matrix *m, size_t panel, float *c, size_t ldc, const float *x,
                     size_t ldx, size_t rows) {
    const capp_products *products = capp_products_of(w, m);
    if (capp_matrix_keeps(m) || !products->few || rows > CAPP_FEW_ROWS) return false;
    panel_rows r = rows_of(w, m, panel);
    stored_rows stored = find_stored(w, m, r);
    const capp_few_fn few = stored.unpack ? products->few(stored.type_id) : NULL;
    if (few) few(c, ldc, x, ldx, stored.at, rows, r.n, m->k);
    return few != NULL;
}

/* Dequantizes the rows of a panel. */
static void read_panel(const capp_weights *w, const capp_matrix *m, panel_rows r, float *rows) {
    size_t begin = 0; /* row of the matrix at which the source begins */
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_tensor *t = m->source[s];
        size_t end = begin + (size_t)t->dims[1];
        size_t from = r.row > begin ? r.row : begin, to = r.row + r.n < end ? r.row + r.n : end;
        if (from < to)
            capp_tensor_rows(t, from - begin, to - from, m->k, rows + (from - r.row) * m->k,
                             rows + whole_vectors(capp_products_of(w, m)->nr * m->k));
        begin = end;
    }
    capp_delta_add(w, m->deltas, r.row, r.n, rows, m->k);
    for (size_t i = 0; i < r.n && m->factors; i++) w->kernels->scale(rows + i * m->k, m->factors[r.row + i], m->k);
}

/* Makes blocks of the rows of a panel whose sources are quantized folders. rows: as for read_panel. */
static stored_rows make_blocks(const capp_weights *w, const capp_matrix *m, panel_rows r, float *rows) {
    const capp_products *products = capp_products_of(w, m);
    stored_rows made = {.unpack = NULL};
    size_t begin = 0;
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_tensor *t = m->source[s];
        size_t end = begin + (size_t)t->dims[1];
        size_t from = r.row > begin ? r.row : begin, to = r.row + r.n < end ? r.row + r.n : end;
        if (from < to) {
            capp_quant q = *(const capp_quant *)t->data;
            if (m->outputs) q.order = m->outputs;
            capp_quant_blocks(rows + (from - r.row) * m->k, &q, from - begin, to - from,
                              rows + whole_vectors(products->nr * m->k));
            made.type = capp_type_get(capp_integer_type(t));
            made.unpack = products->unpack(capp_integer_type(t));
        }
        begin = end;
    }
    for (size_t i = 0; i < r.n; i++) made.at[i] = (const char *)(rows + i * m->k);
    return made;
}

/* Unpacks a whole panel of a quantized folder that is in one source. False: it must be dequantized and packed. */
static bool unpack_quantized(const capp_weights *w, const capp_matrix *m, panel_rows r, void *packed) {
    const capp_products *products = capp_products_of(w, m);
    size_t begin = 0, s = 0;
    while (s + 1 < m->n_sources && r.row >= begin + m->source[s]->dims[1]) begin += (size_t)m->source[s++]->dims[1];
    const capp_tensor *t = m->source[s];
    if (t->type != CAPP_TYPE_QUANTIZED || t->scale || m->deltas || m->factors || !products->unpack_quant) return false;
    if (r.n < products->nr || r.row + r.n > begin + t->dims[1]) return false;
    for (size_t from = 0, part; from < m->k; from += part) {
        part = capp_part_of(products, m->k, from);
        if (!products->unpack_quant((char *)packed + offset_in(w, m, t, from), t->data, r.row - begin, from, part))
            return false;
    }
    return true;
}

/* Packs a panel block by block along k; each block is a panel of its own. rows: [row_floats] scratch. */
static void pack_panel(const capp_weights *w, const capp_matrix *m, size_t panel, void *packed, float *rows) {
    const capp_products *products = capp_products_of(w, m);
    panel_rows r = rows_of(w, m, panel);
    stored_rows stored = find_stored(w, m, r);
    if (!stored.unpack && !products->pack)
        stored = make_blocks(w, m, r, rows);
    else if (!stored.unpack && unpack_quantized(w, m, r, packed))
        return;
    else if (!stored.unpack)
        read_panel(w, m, r, rows);
    for (size_t from = 0, part; from < m->k; from += part) {
        char *to = (char *)packed + capp_panel_offset(w, m, panel, from);
        part = capp_part_of(products, m->k, from);
        if (stored.unpack)
            unpack_part(&stored, r.n, from, part, to);
        else
            /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): make_blocks sets stored.unpack */
            products->pack(to, rows + from, m->k, r.n, part);
    }
}

/* Bytes that the caches of this process have reserved and do not use yet. */
static atomic_size_t unused;

size_t capp_cache_unused(void) {
    return atomic_load_explicit(&unused, memory_order_relaxed);
}

void capp_cache_reserve(size_t bytes) {
    atomic_fetch_add_explicit(&unused, bytes, memory_order_relaxed);
}

void capp_cache_return(size_t bytes) {
    atomic_fetch_sub_explicit(&unused, bytes, memory_order_relaxed);
}

/* A panel that a failed read spoils stays BUSY, so it is never used. */
static bool make_kept(const capp_weights *w, const capp_matrix *m, size_t panel, float *rows) {
    capp_kept *kept = m->kept;
    const size_t bytes = capp_panel_offset(w, m, panel, m->k);
    pack_panel(w, m, panel, kept->panels + capp_panel_place(w, m, panel), rows);
    if (capp_source_failed(w->source)) return false;
    atomic_store_explicit(&kept->states[panel], CAPP_PANEL_READY, memory_order_release);
    capp_cache_return(bytes);
    if (atomic_fetch_add_explicit(&kept->bytes, bytes, memory_order_relaxed) + bytes == kept->whole)
        capp_matrix_unmap(w, m);
    return true;
}

void capp_matrix_use(const capp_matrix *m) {
    if (m->kept && !capp_matrix_keeps(m)) atomic_fetch_add_explicit(&m->kept->uses, 1, memory_order_relaxed);
}

/* Makes a panel and keeps it in the cache, unless it is there already. False: it is not to be kept, another thread is
 * making it, or a read of the file failed. rows: as for pack_panel. */
static bool keep_panel(const capp_weights *w, const capp_matrix *m, size_t panel, float *rows) {
    if (!capp_matrix_keeps(m)) return false;
    atomic_uchar *state = &m->kept->states[panel];
    unsigned char seen = atomic_load_explicit(state, memory_order_acquire);
    if (seen != CAPP_PANEL_EMPTY) return seen == CAPP_PANEL_READY;
    return atomic_compare_exchange_strong_explicit(state, &seen, CAPP_PANEL_BUSY, memory_order_acquire,
                                                   memory_order_acquire)
               ? make_kept(w, m, panel, rows)
               : seen == CAPP_PANEL_READY;
}

size_t capp_part_of(const capp_products *products, size_t k, size_t from) {
    return products->block && products->block + products->tail < k - from ? products->block : k - from;
}

size_t capp_matrix_scratch(const capp_weights *w, const capp_matrix *m, size_t n) {
    return n * m->panel_bytes / sizeof(float) + row_floats(w, m);
}

const char *capp_matrix_panels(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, float *scratch) {
    char *panels = (char *)scratch;
    float *rows = scratch + n * m->panel_bytes / sizeof(float);
    size_t kept = 0;
    while (kept < n && keep_panel(w, m, first + kept, rows)) kept++;
    if (kept == n) return m->kept->panels + first * m->panel_bytes;
    for (size_t i = 0; i < n; i++) pack_panel(w, m, first + i, panels + i * m->panel_bytes, rows);
    return panels;
}

void capp_matrix_parts(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, size_t from, float *scratch,
                       const char **parts) {
    float *rows = scratch + n * m->panel_bytes / sizeof(float);
    const capp_products *products = capp_products_of(w, m);
    for (size_t i = 0; i < n; i++) {
        bool kept = keep_panel(w, m, first + i, rows);
        char *room = kept ? m->kept->panels + capp_panel_place(w, m, first + i) : (char *)scratch + i * m->panel_bytes;
        panel_rows r = rows_of(w, m, first + i);
        stored_rows stored = {.unpack = NULL};
        if (!kept) stored = find_stored(w, m, r);
        if (stored.unpack)
            unpack_part(&stored, r.n, from, capp_part_of(products, m->k, from), room);
        else if (!kept && !from)
            pack_panel(w, m, first + i, room, rows);
        parts[i] = stored.unpack ? room : room + capp_panel_offset(w, m, first + i, from);
    }
}
