/* Tensors to packed weights. Binding walks the layers once and notes, for every matrix, the tensors that its rows come
 * from; then all panels of all matrices are one list of tasks: dequantise nr rows into scratch, pack them. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "file/map.h"
#include "model/adapter.h"
#include "model/binder.h"

struct capp_packer {
    const capp_weights *w;
    job *jobs;
    size_t n_jobs, n_tasks;
    atomic_size_t n_done;
    size_t first;   /* of the tasks of a slice */
    float *scratch; /* [workers][scratch_size] */
    size_t scratch_size;
};

void capp_set_panels(capp_matrix *m, const capp_products *products) {
    m->panels = m->parts * ((m->columns + products->nr - 1) / products->nr);
    m->panel_bytes = products->panel_bytes(m->k);
}

static size_t whole_vectors(size_t floats) {
    return (floats + CAPP_LANES - 1) / CAPP_LANES * CAPP_LANES;
}

/* Floats that the rows of a panel of m take, with what reading them takes beside. */
static size_t row_floats(const capp_weights *w, const capp_matrix *m) {
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

/* Dequantises the rows of a panel into rows [row_floats] and packs them. */
static void pack_panel(const capp_weights *w, const capp_matrix *m, size_t panel, void *packed, float *rows) {
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

static void pack_task(void *user, size_t task, int worker) {
    capp_packer *p = user;
    size_t low = 0, high = p->n_jobs;
    task += p->first;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (p->jobs[middle].first_task <= task)
            low = middle;
        else
            high = middle;
    }
    const capp_matrix *m = p->jobs[low].matrix;
    size_t panel = task - p->jobs[low].first_task;
    pack_panel(p->w, m, panel, m->packed + panel * m->panel_bytes, p->scratch + (size_t)worker * p->scratch_size);
    atomic_fetch_add_explicit(&p->n_done, 1, memory_order_relaxed);
}

void capp_weights_release(const capp_weights *w) {
    if (!w->block) capp_source_release(w->source);
}

size_t capp_matrix_scratch(const capp_weights *w, const capp_matrix *m, size_t n) {
    if (w->block) return 0;
    return n * m->panel_bytes / sizeof(float) + row_floats(w, m);
}

const char *capp_matrix_panels(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, float *scratch) {
    if (m->packed) return m->packed + first * m->panel_bytes;
    char *panels = (char *)scratch;
    float *rows = scratch + n * m->panel_bytes / sizeof(float);
    for (size_t i = 0; i < n; i++) pack_panel(w, m, first + i, panels + i * m->panel_bytes, rows);
    return panels;
}

/* Asks for what panels from .. to - 1 of a matrix are read from: their rows or, where rows lie all over a tensor, all
 * of that with the first. */
static void prefetch_panels(const capp_matrix *m, size_t nr, size_t from, size_t to) {
    size_t begin = 0, column = from / m->parts * nr, last = (to + m->parts - 1) / m->parts * nr;
    if (last > m->columns) last = m->columns;
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_tensor *t = m->source[s];
        size_t end = begin + (size_t)t->dims[1], row = (size_t)(t->bytes / t->dims[1]);
        bool quantised = t->type == CAPP_TYPE_QUANTISED, whole = quantised || t->turned || t->order;
        const char *data = quantised ? ((const capp_quant *)t->data)->weights : t->data;
        if (whole && !from) capp_map_prefetch(data, (size_t)t->bytes);
        for (size_t i = 0; !whole && i < m->parts; i++) {
            size_t first = i * m->columns + column, stop = i * m->columns + last;
            if (first < begin) first = begin;
            if (stop > end) stop = end;
            if (first < stop) capp_map_prefetch(data + (first - begin) * row, (stop - first) * row);
        }
        begin = end;
    }
}

/* Asks for what tasks first .. end - 1 read. */
static void prefetch(const capp_packer *p, size_t first, size_t end) {
    for (size_t i = 0; i < p->n_jobs; i++) {
        const capp_matrix *m = p->jobs[i].matrix;
        size_t begin = p->jobs[i].first_task, from = first > begin ? first - begin : 0,
               to = end < begin               ? 0
                    : end - begin < m->panels ? end - begin
                                              : m->panels;
        if (from < to) prefetch_panels(m, p->w->products->nr, from, to);
    }
}

/* In slices, after each of which the file's pages are given back: what is resident meanwhile is the packed weights and
 * a slice of the file, not both whole. While a slice is packed the disk reads those ahead. */
void capp_packer_run(capp_packer *p, capp_pool *pool, const atomic_bool *stop) {
    enum { SLICES = 16, AHEAD = 2 };
    capp_pool_set_stop(pool, stop);
    prefetch(p, 0, p->n_tasks * AHEAD / SLICES);
    for (size_t i = 0; i < SLICES && !(stop && atomic_load(stop)); i++) {
        p->first = p->n_tasks * i / SLICES;
        prefetch(p, p->n_tasks * (i + AHEAD) / SLICES, p->n_tasks * (i + AHEAD + 1) / SLICES);
        capp_pool_run(pool, pack_task, p, p->n_tasks * (i + 1) / SLICES - p->first);
        capp_source_release(p->w->source);
    }
}

void capp_packer_progress(const capp_packer *p, size_t *done, size_t *total) {
    *done = atomic_load_explicit(&p->n_done, memory_order_relaxed);
    *total = p->n_tasks;
}

void capp_packer_free(capp_packer *p) {
    if (!p) return;
    capp_aligned_delete(p->scratch);
    capp_free(p->jobs);
    capp_free(p);
}

/* Room for the packed weights of b's jobs, and for packing them. */
static capp_status make_room(binder *b, capp_packer *p, int threads) {
    capp_weights *w = b->w;
    size_t total = 0, most = 0;
    for (size_t i = 0; i < b->n_jobs; i++) {
        size_t bytes;
        capp_matrix *m = b->jobs[i].matrix;
        if (!capp_mul(m->panels, m->panel_bytes, &bytes) || __builtin_add_overflow(total, bytes, &total))
            return capp_fail(b->err, CAPP_EFORMAT, "%s: the weights do not fit the address space",
                             capp_source_path(b->s));
        if (row_floats(w, m) > most) most = row_floats(w, m);
    }
    p->scratch_size = most;
    w->block = capp_aligned_new(total, 1);
    p->scratch = capp_aligned_new((size_t)threads * most, sizeof *p->scratch);
    if (!w->block || !p->scratch)
        return capp_fail(b->err, CAPP_ENOMEM, "%s: out of memory for %zu MiB of packed weights", capp_source_path(b->s),
                         total >> 20);
    w->packed_bytes = total;
    /* Huge pages where the system gives them: a hundred thousand faults fewer. A hint: failing is fine. */
    enum { PAGE = 4096 };
    uintptr_t first = ((uintptr_t)w->block + PAGE - 1) / PAGE * PAGE,
              last = ((uintptr_t)w->block + total) / PAGE * PAGE;
    if (last > first) (void)madvise((void *)first, last - first, MADV_HUGEPAGE);
    size_t at = 0;
    for (size_t i = 0; i < b->n_jobs; i++) {
        b->jobs[i].matrix->packed = w->block + at;
        at += b->jobs[i].matrix->panels * b->jobs[i].matrix->panel_bytes;
    }
    return CAPP_OK;
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
    capp_status st = capp_weights_bind(out, &packer, s, kernels, products, adapters, n, capp_pool_threads(pool), err);
    if (st == CAPP_OK) capp_packer_run(packer, pool, NULL);
    capp_packer_free(packer);
    return st;
}

capp_status capp_weights_bind(capp_weights **out, capp_packer **packer, const capp_source *s,
                              const capp_kernels *kernels, const capp_products *products, capp_adapter *const *adapters,
                              size_t n, int threads, capp_error *err) {
    capp_status st;
    capp_weights *w = capp_new0(1, sizeof *w);
    capp_packer *p = capp_new0(1, sizeof *p);
    binder b = {.w = w, .s = s, .err = err};
    *out = NULL;
    *packer = NULL;
    if (!w || !p) {
        st = capp_fail_memory(err, "the weights");
        goto done;
    }
    w->kernels = kernels;
    w->products = products;
    w->source = s;
    if ((st = capp_hparams_read(&w->hparams, &w->arch, s, err)) != CAPP_OK) goto done;
    w->layers = capp_new0(w->hparams.layers, sizeof *w->layers);
    b.jobs = p->jobs = capp_new0(capp_bind_jobs(&w->hparams), sizeof *b.jobs);
    b.bound = capp_new0(capp_source_n_tensors(s), sizeof *b.bound);
    w->expert_matrices = capp_new0(n_expert_matrices(w), sizeof *w->expert_matrices);
    if (!w->layers || !b.jobs || !b.bound || !w->expert_matrices) {
        st = capp_fail_memory(err, "the weights");
        goto done;
    }
    if ((st = bind_scattered(&b)) != CAPP_OK) goto done;
    for (size_t i = 0; i < n; i++)
        if ((st = capp_adapter_fit(adapters[i], s, w->arch, &w->hparams, w, err)) != CAPP_OK) goto done;
    p->w = w;
    p->n_jobs = b.n_jobs;
    p->n_tasks = b.n_tasks;
    st = make_room(&b, p, threads);
done:
    capp_free(b.bound);
    if (st == CAPP_OK) {
        *out = w;
        *packer = p;
    } else {
        capp_weights_free(w);
        capp_packer_free(p);
    }
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
