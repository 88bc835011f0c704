/* Tensors to packed weights. Once bound, all panels of all matrices are one list of tasks: dequantise nr rows into
 * scratch, pack them. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "model/binder.h"

typedef struct packer {
    const capp_products *products;
    const job *jobs;
    size_t n_jobs;
    float *scratch; /* [workers][scratch_size] */
    size_t scratch_size;
} packer;

static void pack_panel(void *user, size_t task, int worker) {
    const packer *p = user;
    size_t low = 0, high = p->n_jobs;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (p->jobs[middle].first_task <= task)
            low = middle;
        else
            high = middle;
    }
    const job *j = &p->jobs[low];
    const capp_matrix *m = j->matrix;
    size_t panel = task - j->first_task, nr = p->products->nr, column = panel / m->parts * nr,
           rows = m->columns - column < nr ? m->columns - column : nr, row = panel % m->parts * m->columns + column;
    float *scratch = p->scratch + (size_t)worker * p->scratch_size;
    size_t begin = 0; /* of the source, among the matrix's rows */
    for (size_t s = 0; s < j->n_sources; s++) {
        const capp_tensor *t = j->source[s];
        size_t end = begin + (size_t)t->dims[1], row_bytes = (size_t)(t->bytes / t->dims[1]);
        size_t from = row > begin ? row : begin, to = row + rows < end ? row + rows : end;
        if (from < to)
            capp_dequant(t->type)(scratch + (from - row) * m->k, (const char *)t->data + (from - begin) * row_bytes,
                                  (to - from) * m->k);
        begin = end;
    }
    p->products->pack(m->packed + panel * m->panel_bytes, scratch, m->k, rows, m->k);
}

static capp_status pack_all(binder *b, capp_pool *pool) {
    capp_weights *w = b->w;
    size_t total = 0, widest = 0;
    for (size_t i = 0; i < b->n_jobs; i++) {
        size_t bytes;
        capp_matrix *m = b->jobs[i].matrix;
        if (!capp_mul(m->panels, m->panel_bytes, &bytes) || __builtin_add_overflow(total, bytes, &total))
            return capp_fail(b->err, CAPP_EFORMAT, "%s: the weights do not fit the address space",
                             capp_source_path(b->s));
        if (m->k > widest) widest = m->k;
    }
    packer p = {w->products, b->jobs, b->n_jobs, NULL, widest * w->products->nr};
    w->block = capp_aligned_new(total, 1);
    p.scratch = capp_aligned_new((size_t)capp_pool_threads(pool) * p.scratch_size, sizeof *p.scratch);
    if (!w->block || !p.scratch) {
        capp_aligned_delete(p.scratch);
        return capp_fail(b->err, CAPP_ENOMEM, "%s: out of memory for %zu MiB of packed weights", capp_source_path(b->s),
                         total >> 20);
    }
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
    capp_pool_run(pool, pack_panel, &p, b->n_tasks);
    capp_aligned_delete(p.scratch);
    return CAPP_OK;
}

capp_status capp_weights_open(capp_weights **out, const capp_source *s, const capp_kernels *kernels,
                              const capp_products *products, capp_pool *pool, capp_error *err) {
    *out = NULL;
    capp_status st;
    capp_weights *w = capp_new0(1, sizeof *w);
    if (!w) return capp_fail_memory(err, "the weights");
    binder b = {.w = w, .s = s, .err = err};
    w->kernels = kernels;
    w->products = products;
    if ((st = capp_hparams_read(&w->hparams, &w->arch, s, err)) != CAPP_OK) goto done;
    w->layers = capp_new0(w->hparams.layers, sizeof *w->layers);
    b.jobs = capp_new0(capp_bind_jobs(&w->hparams), sizeof *b.jobs);
    b.bound = capp_new0(capp_source_n_tensors(s), sizeof *b.bound);
    w->expert_matrices = capp_new0((size_t)w->hparams.layers * 2 * w->hparams.experts, sizeof *w->expert_matrices);
    if (!w->layers || !b.jobs || !b.bound || !w->expert_matrices) {
        st = capp_fail_memory(err, "the weights");
        goto done;
    }
    if ((st = capp_bind(&b)) != CAPP_OK) goto done;
    st = pack_all(&b, pool);
    capp_source_release(s);
done:
    capp_derived_free(&b);
    capp_free(b.jobs);
    capp_free(b.bound);
    if (st == CAPP_OK)
        *out = w;
    else
        capp_weights_free(w);
    return st;
}

void capp_weights_free(capp_weights *w) {
    if (!w) return;
    for (size_t i = 0; i < w->n_floats; i++) capp_free(w->floats[i]);
    capp_free(w->floats);
    capp_free(w->frequencies);
    capp_free(w->expert_matrices);
    capp_free(w->layers);
    capp_aligned_delete(w->block);
    capp_free(w);
}
