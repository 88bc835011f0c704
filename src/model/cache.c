/* The cache of packed weights: chooses the matrices for it, and packs them. The panels of all these matrices are one
 * list of tasks. Each task dequantizes nr rows into scratch and packs them. The other matrices stay in the file, and
 * their panels are packed when they are used. The bits of a panel do not depend on whether its matrix is cached. */
#include <stdatomic.h>

#include "base/mem.h"
#include "base/platform.h"
#include "model/binder.h"

struct capp_packer {
    const capp_weights *w;
    job *jobs; /* [n_jobs] of the cached matrices */
    size_t n_jobs, n_tasks;
    atomic_size_t n_done;
    size_t first;   /* first task of the slice */
    float *scratch; /* [workers][scratch_size] */
    size_t scratch_size;
};

/* ---- Choosing -------------------------------------------------------------------------------------------------------
 */

/* The matrices that save the most time come first. A wave unpacks each matrix once for all its rows, so a cached byte
 * saves about the same time in every matrix, each time the matrix is used. Every wave uses the products of the layers;
 * waves with only prompts do not use the head; waves use only the experts that their rows choose. Within each kind,
 * quantized matrices come first, because copying floats is cheap. */
enum { LAYERS = 0, HEAD = 2, EXPERTS = 4, RANKS = 6 };

static bool is_plain(const capp_matrix *m) {
    for (size_t i = 0; i < m->n_sources; i++)
        if (capp_type_get(m->source[i]->type).block_elems > 1 || m->source[i]->type == CAPP_TYPE_QUANTIZED)
            return false;
    return true;
}

static unsigned rank_of(const capp_weights *w, const capp_matrix *m) {
    size_t experts = (size_t)w->hparams.layers * 2 * w->hparams.experts;
    bool expert = m >= w->expert_matrices && m < w->expert_matrices + experts;
    unsigned kind = expert ? EXPERTS : m == &w->head ? HEAD : LAYERS;
    return is_plain(m) ? kind + 1 : kind;
}

static size_t bytes_of(const capp_weights *w, const capp_matrix *m) {
    return capp_panel_place(w, m, m->panels);
}

/* Chooses jobs whose matrices fit in `bytes` bytes and sets the place of each: packed is an offset until the block is
 * allocated. Returns the total size in bytes. */
static size_t choose(const capp_weights *w, job *jobs, size_t n, uint64_t bytes, bool *chosen) {
    size_t taken = 0;
    for (unsigned rank = LAYERS; rank < RANKS; rank++)
        for (size_t i = 0; i < n; i++) {
            size_t own = bytes_of(w, jobs[i].matrix);
            if (rank_of(w, jobs[i].matrix) != rank || own > bytes - taken) continue;
            chosen[i] = true;
            taken += own;
        }
    return taken;
}

/* Keeps only the chosen jobs, in the order of the file, and numbers their tasks. */
static void keep_chosen(capp_packer *p, size_t n, const bool *chosen) {
    for (size_t i = 0; i < n; i++) {
        if (!chosen[i]) continue;
        job *j = &p->jobs[p->n_jobs++];
        *j = p->jobs[i];
        j->first_task = p->n_tasks;
        p->n_tasks += j->matrix->panels;
        if (capp_row_floats(p->w, j->matrix) > p->scratch_size) p->scratch_size = capp_row_floats(p->w, j->matrix);
    }
}

static capp_status fail_size(const binder *b) {
    return capp_fail(b->err, CAPP_EFORMAT, "%s: the weights do not fit the address space", capp_source_path(b->s));
}

static capp_status make_room(capp_packer *p, capp_weights *w, int threads, capp_error *err) {
    if (!w->packed_bytes) return CAPP_OK;
    w->block = capp_aligned_new((size_t)w->packed_bytes, 1);
    p->scratch = capp_aligned_new((size_t)threads * p->scratch_size, sizeof *p->scratch);
    if (!w->block || !p->scratch)
        return capp_fail(err, CAPP_ENOMEM,
                         "%s: out of memory for %llu MiB of packed weights; cache less of them (--weights-memory 0: "
                         "none)",
                         capp_source_path(w->source), (unsigned long long)w->packed_bytes >> 20);
    /* Huge pages save a hundred thousand page faults. */
    capp_advise(w->block, (size_t)w->packed_bytes, CAPP_PAGES_HUGE);
    size_t at = 0;
    for (size_t i = 0; i < p->n_jobs; at += bytes_of(w, p->jobs[i++].matrix)) p->jobs[i].matrix->packed = w->block + at;
    return CAPP_OK;
}

capp_status capp_packer_make(capp_packer **out, binder *b, capp_cache cache, int threads) {
    capp_weights *w = b->w;
    *out = NULL;
    for (size_t i = 0; i < b->n_jobs; i++) {
        size_t bytes;
        const capp_matrix *m = b->jobs[i].matrix;
        if (!capp_mul(m->panels, m->panel_bytes, &bytes) ||
            __builtin_add_overflow(w->whole_bytes, bytes_of(w, m), &w->whole_bytes) || w->whole_bytes > SIZE_MAX / 2)
            return fail_size(b);
    }
    capp_packer *p = capp_new0(1, sizeof *p);
    bool *chosen = capp_new0(b->n_jobs, sizeof *chosen);
    capp_status st = p && chosen ? CAPP_OK : capp_fail_memory(b->err, "the weights");
    if (st == CAPP_OK) {
        p->w = w;
        p->jobs = b->jobs;
        b->jobs = NULL;
        if (cache.parts || w->whole_bytes <= cache.bytes)
            w->packed_bytes = choose(w, p->jobs, b->n_jobs, cache.bytes, chosen);
        keep_chosen(p, b->n_jobs, chosen);
        st = make_room(p, w, threads, b->err);
    }
    capp_free(chosen);
    if (st == CAPP_OK)
        *out = p;
    else
        capp_packer_free(p);
    return st;
}

/* ---- Packing --------------------------------------------------------------------------------------------------------
 */

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
    capp_pack_panel(p->w, m, panel, m->packed + capp_panel_place(p->w, m, panel),
                    p->scratch + (size_t)worker * p->scratch_size);
    atomic_fetch_add_explicit(&p->n_done, 1, memory_order_relaxed);
}

/* Prefetches the data that tasks first .. end - 1 read. */
static void prefetch(const capp_packer *p, size_t first, size_t end) {
    for (size_t i = 0; i < p->n_jobs; i++) {
        const capp_matrix *m = p->jobs[i].matrix;
        size_t begin = p->jobs[i].first_task, from = first > begin ? first - begin : 0,
               to = end < begin               ? 0
                    : end - begin < m->panels ? end - begin
                                              : m->panels;
        if (from < to) capp_prefetch_panels(m, capp_products_of(p->w, m)->nr, from, to);
    }
}

/* Packs in slices and gives the file's pages back after each slice. So only the packed weights and one slice of the
 * file are in memory, not both completely. While one slice is packed, the disk reads the next ones. */
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
