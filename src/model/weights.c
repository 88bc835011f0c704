/* Tensors to packed weights. Binding walks the layers once and notes, for every matrix, the tensors that its rows come
 * from; then all panels of all matrices are one list of tasks: dequantise nr rows into scratch, pack them. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "model/arch.h"

/* A matrix to be packed. */
typedef struct job {
    capp_matrix *matrix;
    size_t first_task; /* its panels are tasks first_task .. first_task + panels - 1 */
} job;

typedef struct binder {
    capp_weights *w;
    const capp_gguf *g;
    capp_error *err;
    job *jobs;
    size_t n_jobs, n_tasks;
    bool *bound; /* [tensors of g] */
} binder;

typedef struct packer {
    const capp_weights *w;
    const job *jobs;
    size_t n_jobs;
    size_t first;   /* of the tasks */
    float *scratch; /* [workers][scratch_size] */
    size_t scratch_size;
} packer;

static void set_panels(capp_matrix *m, const capp_products *products) {
    m->panels = m->parts * ((m->columns + products->nr - 1) / products->nr);
    m->panel_bytes = products->panel_bytes(m->k);
}

static const capp_gguf_tensor *optional_tensor(binder *b, const char *name) {
    const capp_gguf_tensor *t = capp_gguf_find_tensor(b->g, name);
    if (!t) return NULL;
    b->w->parameters += t->elements;
    b->bound[t - capp_gguf_tensor_at(b->g, 0)] = true;
    return t;
}

static capp_status check_tensor(binder *b, const char *name, const capp_gguf_tensor *t, uint64_t k, uint64_t n) {
    const char *path = capp_gguf_path(b->g);
    if (!t) return capp_fail(b->err, CAPP_EFORMAT, "%s: tensor %s is missing; the file is incomplete", path, name);
    if (!capp_dequant(t->type))
        return capp_fail(b->err, CAPP_EUNSUPPORTED,
                         "%s: tensor %s has type %s, which capp cannot read; quantise to another", path, name,
                         capp_type_get(t->type).name);
    if (t->dims[0] != k || t->dims[1] != n || t->dims[2] != 1 || t->dims[3] != 1)
        return capp_fail(b->err, CAPP_EFORMAT, "%s: tensor %s is %llu x %llu; the hyperparameters say %llu x %llu",
                         path, name, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
                         (unsigned long long)k, (unsigned long long)n);
    return CAPP_OK;
}

/* A tensor of n numbers as float32 that lives as long as the weights. NULL in *out where it is missing, optional. */
static capp_status bind_floats(binder *b, const char *name, size_t n, bool required, const float **out) {
    capp_status st;
    *out = NULL;
    const capp_gguf_tensor *t = optional_tensor(b, name);
    if (!t && !required) return CAPP_OK;
    if ((st = check_tensor(b, name, t, n, 1)) != CAPP_OK) return st;
    capp_weights *w = b->w;
    if (!capp_grow(&w->floats, &w->floats_capacity, w->n_floats + 1, sizeof *w->floats))
        return capp_fail_memory(b->err, "the weights");
    float *copy = capp_new(n, sizeof *copy);
    if (!copy) return capp_fail_memory(b->err, "the weights");
    w->floats[w->n_floats++] = copy;
    capp_dequant(t->type)(copy, t->data, n);
    *out = copy;
    return CAPP_OK;
}

static capp_status bind_norm(binder *b, const char *prefix, const char *name, size_t n, capp_norm *norm) {
    char full[96];
    capp_status st;
    snprintf(full, sizeof full, "%s%s.weight", prefix, name);
    if ((st = bind_floats(b, full, n, true, &norm->weight)) != CAPP_OK) return st;
    if (b->w->arch->norm == CAPP_NORM_RMS) return CAPP_OK;
    snprintf(full, sizeof full, "%s%s.bias", prefix, name);
    return bind_floats(b, full, n, true, &norm->bias);
}

/* One matrix of the rows of one to three tensors; rows[i] of names[i] ("attn_q"), k columns each, in `parts` parts of
 * as many rows. Architectures with biases have one matrix a tensor; no head has one. */
static capp_status bind_matrix(binder *b, const char *prefix, const char *const *names, const size_t *rows,
                               size_t n_sources, size_t parts, size_t k, capp_matrix *m) {
    char full[96];
    capp_status st;
    job *j = &b->jobs[b->n_jobs++];
    m->n = m->n_sources = 0;
    m->k = k;
    m->parts = parts;
    j->matrix = m;
    for (size_t i = 0; i < n_sources; i++) {
        snprintf(full, sizeof full, "%s%s.weight", prefix, names[i]);
        const capp_gguf_tensor *t = optional_tensor(b, full);
        if ((st = check_tensor(b, full, t, k, rows[i])) != CAPP_OK) return st;
        m->source[m->n_sources++] = t;
        m->n += rows[i];
    }
    m->columns = m->n / m->parts;
    set_panels(m, b->w->products);
    j->first_task = b->n_tasks;
    b->n_tasks += m->panels;
    if (!b->w->arch->biases || m == &b->w->head) return CAPP_OK;
    snprintf(full, sizeof full, "%s%s.bias", prefix, names[0]);
    return bind_floats(b, full, m->n, true, &m->bias);
}

static capp_status bind_layer(binder *b, uint32_t index) {
    const capp_hparams *h = &b->w->hparams;
    const capp_arch *arch = b->w->arch;
    capp_layer *layer = &b->w->layers[index];
    size_t q = (size_t)h->heads * h->head_dim, kv = (size_t)h->kv_heads * h->head_dim;
    char prefix[32];
    capp_status st;
    snprintf(prefix, sizeof prefix, "blk.%u.", index);
    if ((st = bind_norm(b, prefix, "attn_norm", h->width, &layer->attention_norm)) != CAPP_OK) return st;
    if ((st = bind_norm(b, prefix, "ffn_norm", h->width, &layer->feed_norm)) != CAPP_OK) return st;
    if (arch->qk_norms) {
        if ((st = bind_norm(b, prefix, "attn_q_norm", h->head_dim, &layer->q_norm)) != CAPP_OK) return st;
        if ((st = bind_norm(b, prefix, "attn_k_norm", h->head_dim, &layer->k_norm)) != CAPP_OK) return st;
    }
    if (arch->post_norms) {
        if ((st = bind_norm(b, prefix, "post_attention_norm", h->width, &layer->attention_post_norm)) != CAPP_OK)
            return st;
        if ((st = bind_norm(b, prefix, "post_ffw_norm", h->width, &layer->feed_post_norm)) != CAPP_OK) return st;
    }
    if (arch->fused_qkv)
        st = bind_matrix(b, prefix, (const char *[]){"attn_qkv"}, (size_t[]){q + 2 * kv}, 1, 1, h->width, &layer->qkv);
    else
        st = bind_matrix(b, prefix, (const char *[]){"attn_q", "attn_k", "attn_v"}, (size_t[]){q, kv, kv}, 3, 1,
                         h->width, &layer->qkv);
    if (st != CAPP_OK) return st;
    if ((st = bind_matrix(b, prefix, (const char *[]){"attn_output"}, (size_t[]){h->width}, 1, 1, q, &layer->out)) !=
        CAPP_OK)
        return st;
    if (arch->activation == CAPP_GELU)
        st = bind_matrix(b, prefix, (const char *[]){"ffn_up"}, (size_t[]){h->feed}, 1, 1, h->width, &layer->up);
    else
        st = bind_matrix(b, prefix, (const char *[]){"ffn_gate", "ffn_up"}, (size_t[]){h->feed, h->feed}, 2, 2,
                         h->width, &layer->up);
    if (st != CAPP_OK) return st;
    if ((st = bind_matrix(b, prefix, (const char *[]){"ffn_down"}, (size_t[]){h->width}, 1, 1, h->feed,
                          &layer->down)) != CAPP_OK)
        return st;
    bool local = arch->window_period && (index + 1) % arch->window_period;
    layer->rope = local;
    layer->window = 0;
    if (local) {
        char key[64];
        snprintf(key, sizeof key, "%s.attention.sliding_window", arch->name);
        if (!capp_gguf_u32(b->g, key, &layer->window) || !layer->window)
            return capp_fail(b->err, CAPP_EFORMAT, "%s: metadata key %s is missing or 0", capp_gguf_path(b->g), key);
    }
    return CAPP_OK;
}

static capp_status bind_ends(binder *b) {
    capp_weights *w = b->w;
    const capp_hparams *h = &w->hparams;
    capp_status st;
    w->tokens = optional_tensor(b, "token_embd.weight");
    if (w->tokens) w->hparams.vocabulary = w->tokens->dims[1] < (1u << 30) ? (uint32_t)w->tokens->dims[1] : 0;
    if ((st = check_tensor(b, "token_embd.weight", w->tokens, h->width, h->vocabulary)) != CAPP_OK) return st;
    w->tokens_dequant = capp_dequant(w->tokens->type);
    if (w->arch->learned_positions) {
        w->positions = optional_tensor(b, "position_embd.weight");
        if ((st = check_tensor(b, "position_embd.weight", w->positions, h->width, h->context)) != CAPP_OK) return st;
        w->positions_dequant = capp_dequant(w->positions->type);
    }
    if ((st = bind_norm(b, "", "output_norm", h->width, &w->output_norm)) != CAPP_OK) return st;
    /* Tied where the file has no head of its own; then it counts once as a parameter. */
    bool tied = !capp_gguf_find_tensor(b->g, "output.weight");
    uint64_t before = w->parameters;
    const char *name = tied ? "token_embd" : "output";
    st = bind_matrix(b, "", &name, (size_t[]){h->vocabulary}, 1, 1, h->width, &w->head);
    if (tied) w->parameters = before;
    return st;
}

/* A tensor that nothing reads would be part of the model that we leave out: a wrong answer with a straight face. */
static capp_status check_all_bound(binder *b) {
    for (size_t i = 0; i < capp_gguf_n_tensors(b->g); i++) {
        capp_str name = capp_gguf_tensor_at(b->g, i)->name;
        if (!b->bound[i])
            return capp_fail(b->err, CAPP_EUNSUPPORTED,
                             "%s: tensor %.*s has no place in capp's %s; the model has a part that capp does not know",
                             capp_gguf_path(b->g), (int)(name.size < 100 ? name.size : 100), name.data,
                             b->w->arch->name);
    }
    return CAPP_OK;
}

/* Dequantises the rows of a panel into rows [nr][k] and packs them. */
static void pack_panel(const capp_weights *w, const capp_matrix *m, size_t panel, void *packed, float *rows) {
    size_t nr = w->products->nr, column = panel / m->parts * nr;
    size_t n = m->columns - column < nr ? m->columns - column : nr, row = panel % m->parts * m->columns + column;
    size_t begin = 0; /* of the source, among the matrix's rows */
    for (size_t s = 0; s < m->n_sources; s++) {
        const capp_gguf_tensor *t = m->source[s];
        size_t end = begin + (size_t)t->dims[1], row_bytes = (size_t)(t->bytes / t->dims[1]);
        size_t from = row > begin ? row : begin, to = row + n < end ? row + n : end;
        if (from < to)
            capp_dequant(t->type)(rows + (from - row) * m->k, (const char *)t->data + (from - begin) * row_bytes,
                                  (to - from) * m->k);
        begin = end;
    }
    w->products->pack(packed, rows, m->k, n, m->k);
}

static void pack_task(void *user, size_t task, int worker) {
    const packer *p = user;
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
}

static size_t whole_vectors(size_t floats) {
    return (floats + CAPP_LANES - 1) / CAPP_LANES * CAPP_LANES;
}

size_t capp_matrix_scratch(const capp_weights *w, const capp_matrix *m, size_t n) {
    if (w->block) return 0;
    return n * m->panel_bytes / sizeof(float) + whole_vectors(w->products->nr * m->k);
}

const char *capp_matrix_panels(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, float *scratch) {
    if (m->packed) return m->packed + first * m->panel_bytes;
    char *panels = (char *)scratch;
    float *rows = scratch + n * m->panel_bytes / sizeof(float);
    for (size_t i = 0; i < n; i++) pack_panel(w, m, first + i, panels + i * m->panel_bytes, rows);
    return panels;
}

/* In slices, after each of which the file's pages are given back: what is resident meanwhile is the packed weights and
 * a slice of the file, not both whole. */
static void pack_slices(packer *p, const capp_gguf *g, capp_pool *pool, size_t n_tasks) {
    enum { SLICES = 16 };
    for (size_t i = 0; i < SLICES; i++) {
        p->first = n_tasks * i / SLICES;
        capp_pool_run(pool, pack_task, p, n_tasks * (i + 1) / SLICES - p->first);
        capp_gguf_release(g);
    }
}

static capp_status pack_all(binder *b, capp_pool *pool) {
    capp_weights *w = b->w;
    size_t total = 0, widest = 0;
    for (size_t i = 0; i < b->n_jobs; i++) {
        size_t bytes;
        capp_matrix *m = b->jobs[i].matrix;
        if (!capp_mul(m->panels, m->panel_bytes, &bytes) || __builtin_add_overflow(total, bytes, &total))
            return capp_fail(b->err, CAPP_EFORMAT, "%s: the weights do not fit the address space",
                             capp_gguf_path(b->g));
        if (m->k > widest) widest = m->k;
    }
    packer p = {w, b->jobs, b->n_jobs, 0, NULL, whole_vectors(widest * w->products->nr)};
    w->block = capp_aligned_new(total, 1);
    p.scratch = capp_aligned_new((size_t)capp_pool_threads(pool) * p.scratch_size, sizeof *p.scratch);
    if (!w->block || !p.scratch) {
        capp_aligned_delete(p.scratch);
        return capp_fail(b->err, CAPP_ENOMEM, "%s: out of memory for %zu MiB of packed weights", capp_gguf_path(b->g),
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
    pack_slices(&p, b->g, pool, b->n_tasks);
    capp_aligned_delete(p.scratch);
    return CAPP_OK;
}

capp_status capp_weights_open(capp_weights **out, const capp_gguf *g, const capp_kernels *kernels,
                              const capp_products *products, capp_pool *pool, capp_error *err) {
    *out = NULL;
    capp_status st;
    capp_weights *w = capp_new0(1, sizeof *w);
    if (!w) return capp_fail_memory(err, "the weights");
    binder b = {.w = w, .g = g, .err = err};
    w->kernels = kernels;
    w->products = products;
    if ((st = capp_hparams_read(&w->hparams, &w->arch, g, err)) != CAPP_OK) goto done;
    w->layers = capp_new0(w->hparams.layers, sizeof *w->layers);
    b.jobs = capp_new0(4 * (size_t)w->hparams.layers + 1, sizeof *b.jobs);
    b.bound = capp_new0(capp_gguf_n_tensors(g), sizeof *b.bound);
    if (!w->layers || !b.jobs || !b.bound) {
        st = capp_fail_memory(err, "the weights");
        goto done;
    }
    for (uint32_t i = 0; i < w->hparams.layers; i++)
        if ((st = bind_layer(&b, i)) != CAPP_OK) goto done;
    if ((st = bind_ends(&b)) != CAPP_OK) goto done;
    if ((st = check_all_bound(&b)) != CAPP_OK) goto done;
    st = pack_all(&b, pool);
done:
    capp_free(b.jobs);
    capp_free(b.bound);
    if (st == CAPP_OK)
        *out = w;
    else
        capp_weights_free(w);
    return st;
}

static void unpack(capp_matrix *m, const capp_products *products) {
    m->packed = NULL;
    set_panels(m, products);
}

capp_status capp_weights_twin(capp_weights **out, const capp_weights *w, const capp_products *products,
                              capp_error *err) {
    *out = NULL;
    capp_weights *twin = capp_new(1, sizeof *twin);
    capp_layer *layers = capp_new(w->hparams.layers, sizeof *layers);
    if (!twin || !layers) {
        capp_free(twin);
        capp_free(layers);
        return capp_fail_memory(err, "the weights");
    }
    *twin = *w;
    memcpy(layers, w->layers, w->hparams.layers * sizeof *layers);
    twin->layers = layers;
    twin->products = products;
    twin->block = NULL;
    twin->floats = NULL;
    twin->n_floats = 0;
    for (uint32_t i = 0; i < w->hparams.layers; i++) {
        unpack(&layers[i].qkv, products);
        unpack(&layers[i].out, products);
        unpack(&layers[i].up, products);
        unpack(&layers[i].down, products);
    }
    unpack(&twin->head, products);
    *out = twin;
    return CAPP_OK;
}

void capp_weights_free(capp_weights *w) {
    if (!w) return;
    for (size_t i = 0; i < w->n_floats; i++) capp_free(w->floats[i]);
    capp_free(w->floats);
    capp_free(w->layers);
    capp_aligned_delete(w->block);
    capp_free(w);
}
