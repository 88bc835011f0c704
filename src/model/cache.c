/* The cache of packed weights. When a model is opened, this chooses the matrices that have a place in it and reserves
 * the memory. The fourth product that uses a matrix packs its panels into their places (panel.c), where later products
 * and other sessions find them. The other matrices stay in the file, and their panels are packed each time they are
 * used. The bits of a panel do not depend on whether it is kept. */
#include <stdatomic.h>

#include "base/mem.h"
#include "base/platform.h"
#include "model/binder.h"

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

/* Sets w->whole_bytes. */
static capp_status add_sizes(const binder *b) {
    capp_weights *w = b->w;
    for (size_t i = 0; i < b->n_jobs; i++) {
        size_t bytes;
        const capp_matrix *m = b->jobs[i];
        if (!capp_mul(m->panels, m->panel_bytes, &bytes) ||
            __builtin_add_overflow(w->whole_bytes, bytes_of(w, m), &w->whole_bytes) || w->whole_bytes > SIZE_MAX / 2)
            return capp_fail(b->err, CAPP_EFORMAT, "%s: the weights do not fit the address space",
                             capp_source_path(b->s));
    }
    return CAPP_OK;
}

/* Chooses matrices that fit in `bytes` bytes; returns how many panels they have. */
static size_t choose(const binder *b, uint64_t bytes, bool *chosen) {
    capp_weights *w = b->w;
    size_t panels = 0;
    for (unsigned rank = LAYERS; rank < RANKS; rank++)
        for (size_t i = 0; i < b->n_jobs; i++) {
            size_t own = bytes_of(w, b->jobs[i]);
            if (rank_of(w, b->jobs[i]) != rank || own > bytes - w->packed_bytes) continue;
            chosen[i] = true;
            w->packed_bytes += own;
            w->n_kept++;
            panels += b->jobs[i]->panels;
        }
    return panels;
}

/* The memory is not touched, so it costs nothing yet. */
static capp_status reserve(capp_weights *w, size_t panels, capp_error *err) {
    w->kept = capp_new0(w->n_kept, sizeof *w->kept);
    w->states = capp_new0(panels, sizeof *w->states);
    w->block = capp_aligned_new(w->packed_bytes, 1);
    if (!w->kept || !w->states || !w->block)
        return capp_fail(err, CAPP_ENOMEM,
                         "%s: out of memory for %llu MiB of packed weights; cache less of them (--weights-memory 0: "
                         "none)",
                         capp_source_path(w->source), (unsigned long long)w->packed_bytes >> 20);
    /* Huge pages save a hundred thousand page faults. */
    capp_advise(w->block, w->packed_bytes, CAPP_PAGES_HUGE);
    capp_cache_reserve(w->packed_bytes);
    w->reserved = true;
    return CAPP_OK;
}

/* Gives the chosen matrices their places, in the order of the file. */
static void set_places(const binder *b, const bool *chosen) {
    capp_weights *w = b->w;
    char *at = w->block;
    atomic_uchar *states = w->states;
    capp_kept *kept = w->kept;
    for (size_t i = 0; i < b->n_jobs; i++) {
        capp_matrix *m = b->jobs[i];
        if (!chosen[i]) continue;
        kept->panels = at, kept->whole = bytes_of(w, m), kept->states = states;
        at += kept->whole, states += m->panels;
        m->kept = kept++;
    }
}

size_t capp_cache_bytes(const capp_weights *w) {
    size_t bytes = 0;
    for (size_t i = 0; w->reserved && i < w->n_kept; i++)
        bytes += atomic_load_explicit(&w->kept[i].bytes, memory_order_relaxed);
    return bytes;
}

void capp_cache_free(capp_weights *w) {
    if (w->reserved) capp_cache_return(w->packed_bytes - capp_cache_bytes(w));
    capp_free(w->states);
    capp_free(w->kept);
    capp_aligned_delete(w->block);
    w->states = NULL, w->kept = NULL, w->block = NULL;
    w->n_kept = w->packed_bytes = 0;
    w->reserved = false;
}

capp_status capp_cache_plan(binder *b, capp_cache cache) {
    capp_weights *w = b->w;
    capp_status st = add_sizes(b);
    if (st != CAPP_OK || !(cache.parts || w->whole_bytes <= cache.bytes)) return st;
    bool *chosen = capp_new0(b->n_jobs, sizeof *chosen);
    if (!chosen) return capp_fail_memory(b->err, "the weights");
    size_t panels = choose(b, cache.bytes, chosen);
    if (w->packed_bytes) st = reserve(w, panels, b->err);
    if (st == CAPP_OK)
        set_places(b, chosen);
    else if (!cache.parts)
        capp_cache_free(w), st = CAPP_OK;
    capp_free(chosen);
    return st;
}
