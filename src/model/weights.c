/* Tensors to packed weights. Binding walks the layers once and notes, for every matrix, the tensors that its rows come
 * from. A panel is made of them, nr rows dequantised and packed: into the cache when the model is opened (cache.c), or
 * into a worker's scratch whenever a product uses it. */
#include <string.h>

#include "base/mem.h"
#include "file/map.h"
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

void capp_pack_panel(const capp_weights *w, const capp_matrix *m, size_t panel, void *packed, float *rows) {
    size_t nr = w->products->nr, column = panel / m->parts * nr;
    size_t n = m->columns - column < nr ? m->columns - column : nr, row = panel % m->parts * m->columns + column;
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

/* Of all layers. */
static size_t n_expert_matrices(const capp_weights *w) {
    return (size_t)w->hparams.layers * 2 * w->hparams.experts;
}

/* Binding reads norms and biases, a few pages each all over the file: the disk is asked for them alone, and at once. */
static capp_status bind_scattered(binder *b) {
    enum { SMALL = 1 << 20 };
    capp_source_scatter(b->s, true);
    for (size_t i = 0; i < capp_source_n_tensors(b->s); i++) {
        const capp_tensor *t = capp_source_tensor_at(b->s, i);
        if (t->bytes <= SMALL) capp_map_prefetch(t->data, (size_t)t->bytes);
    }
    capp_status st = capp_bind(b);
    capp_source_scatter(b->s, false);
    return st;
}

capp_status capp_weights_open(capp_weights **out, const capp_source *s, const capp_kernels *kernels,
                              const capp_products *products, capp_pool *pool, capp_error *err) {
    return capp_weights_open_adapted(out, s, kernels, products, NULL, 0, pool, err);
}

capp_status capp_weights_open_adapted(capp_weights **out, const capp_source *s, const capp_kernels *kernels,
                                      const capp_products *products, capp_adapter *const *adapters, size_t n,
                                      capp_pool *pool, capp_error *err) {
    capp_packer *packer;
    capp_status st = capp_weights_bind(out, &packer, s, kernels, products, adapters, n, (capp_cache){SIZE_MAX, false},
                                       capp_pool_threads(pool), err);
    if (st == CAPP_OK) capp_packer_run(packer, pool, NULL);
    capp_packer_free(packer);
    return st;
}

capp_status capp_weights_bind(capp_weights **out, capp_packer **packer, const capp_source *s,
                              const capp_kernels *kernels, const capp_products *products, capp_adapter *const *adapters,
                              size_t n, capp_cache cache, int threads, capp_error *err) {
    capp_status st;
    capp_weights *w = capp_new0(1, sizeof *w);
    binder b = {.w = w, .s = s, .err = err};
    *out = NULL;
    *packer = NULL;
    if (!w) {
        st = capp_fail_memory(err, "the weights");
        goto done;
    }
    w->kernels = kernels;
    w->products = products;
    w->source = s;
    w->resident_layers = SIZE_MAX;
    if ((st = capp_hparams_read(&w->hparams, &w->arch, s, err)) != CAPP_OK) goto done;
    w->layers = capp_new0(w->hparams.layers, sizeof *w->layers);
    b.jobs = capp_new0(capp_bind_jobs(&w->hparams), sizeof *b.jobs);
    b.bound = capp_new0(capp_source_n_tensors(s), sizeof *b.bound);
    w->expert_matrices = capp_new0(n_expert_matrices(w), sizeof *w->expert_matrices);
    if (!w->layers || !b.jobs || !b.bound || !w->expert_matrices) {
        st = capp_fail_memory(err, "the weights");
        goto done;
    }
    if ((st = bind_scattered(&b)) != CAPP_OK) goto done;
    for (size_t i = 0; i < n; i++)
        if ((st = capp_adapter_fit(adapters[i], s, w->arch, &w->hparams, w, err)) != CAPP_OK) goto done;
    st = capp_packer_make(packer, &b, cache, threads);
done:
    capp_free(b.bound);
    capp_free(b.jobs);
    if (st == CAPP_OK)
        *out = w;
    else
        capp_weights_free(w);
    return st;
}

static void unpack(capp_matrix *m, const capp_products *products) {
    if (!m->parts) return; /* not of this model */
    m->packed = NULL;
    capp_set_panels(m, products);
}

static void unpack_layer(const capp_weights *twin, uint32_t index) {
    capp_layer *layer = &twin->layers[index];
    const capp_products *products = twin->products;
    unpack(&layer->qkv, products);
    unpack(&layer->out, products);
    unpack(&layer->up, products);
    unpack(&layer->down, products);
    unpack(&layer->router, products);
    if (!layer->expert_up) return;
    size_t experts = twin->hparams.experts;
    layer->expert_up = twin->expert_matrices + index * 2 * experts;
    layer->expert_down = layer->expert_up + experts;
    for (size_t e = 0; e < 2 * experts; e++) unpack(&layer->expert_up[e], products);
}

capp_status capp_weights_twin(capp_weights **out, const capp_weights *w, const capp_products *products,
                              capp_error *err) {
    *out = NULL;
    capp_weights *twin = capp_new(1, sizeof *twin);
    capp_layer *layers = capp_new(w->hparams.layers, sizeof *layers);
    capp_matrix *experts = capp_new(n_expert_matrices(w), sizeof *experts);
    if (!twin || !layers || !experts) {
        capp_free(twin);
        capp_free(layers);
        capp_free(experts);
        return capp_fail_memory(err, "the weights");
    }
    *twin = *w;
    memcpy(layers, w->layers, w->hparams.layers * sizeof *layers);
    memcpy(experts, w->expert_matrices, n_expert_matrices(w) * sizeof *experts);
    twin->layers = layers;
    twin->expert_matrices = experts;
    twin->products = products;
    twin->borrows = true;
    twin->block = NULL;
    for (uint32_t i = 0; i < w->hparams.layers; i++) unpack_layer(twin, i);
    unpack(&twin->head, products);
    unpack(&twin->project_in, products);
    unpack(&twin->project_out, products);
    *out = twin;
    return CAPP_OK;
}

void capp_weights_free(capp_weights *w) {
    if (!w) return;
    if (!w->borrows) {
        for (size_t i = 0; i < w->n_floats; i++) capp_free(w->floats[i]);
        capp_free(w->floats);
        capp_free(w->frequencies);
        capp_derived_free(w);
        capp_deltas_free(w);
        capp_aligned_delete(w->block);
    }
    capp_free(w->expert_matrices);
    capp_free(w->layers);
    capp_free(w);
}
