/* The weights of a model: binds tensors to matrices (bind.c), fits adapters to them (adapter_fit.c), and plans the
 * cache of packed panels (cache.c). Also makes the twin for other products. */
#include <string.h>

#include "base/mem.h"
#include "file/map.h"
#include "kernel/integers.h"
#include "model/adapter.h"
#include "model/binder.h"

/* The number of expert matrices in all layers. */
static size_t n_expert_matrices(const capp_weights *w) {
    return (size_t)w->hparams.layers * 2 * w->hparams.experts;
}

/* The number of matrices of single heads in all layers. */
static size_t n_head_matrices(const capp_weights *w) {
    return w->hparams.latent ? (size_t)w->hparams.layers * 2 * w->hparams.heads : 0;
}

/* Binding reads norms and biases. These are a few pages each, spread over the whole file. This prefetches only them,
 * all at once. */
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
                              const capp_products *products, capp_error *err) {
    return capp_weights_open_adapted(out, s, kernels, products, NULL, 0, err);
}

capp_status capp_weights_open_adapted(capp_weights **out, const capp_source *s, const capp_kernels *kernels,
                                      const capp_products *products, capp_adapter *const *adapters, size_t n,
                                      capp_error *err) {
    const capp_arithmetic floats = {.floats = products};
    return capp_weights_bind(out, s, kernels, &floats, &floats, adapters, n, (capp_cache){SIZE_MAX, false}, err);
}

/* Whether outputs can be written in the order of the next matrix's inputs. */
static bool can_order(const binder *b, const capp_matrix *up) {
    return capp_can_reorder(up) && !b->w->hparams.streams;
}

/* The inputs of `down` are the outputs of `up`, which are written in the order that `down` needs. */
static capp_status order_outputs(binder *b, capp_matrix *up, capp_matrix *down) {
    const uint32_t *order = down->gather;
    down->gather = NULL;
    if (!order) return CAPP_OK;
    if (!can_order(b, up)) {
        down->integers = false;
        return CAPP_OK;
    }
    up->outputs = order;
    if (!up->bias) return CAPP_OK;
    float *bias = capp_bind_new_floats(b, up->n);
    if (!bias) return capp_bind_memory(b);
    for (size_t i = 0; i < up->n; i++) bias[i] = up->bias[i / up->columns * up->columns + order[i % up->columns]];
    up->outputs_bias = bias;
    return CAPP_OK;
}

/* Whether experts may have orders of inputs of their own. Then the inputs of each are made from the stream again. */
static bool may_order(const capp_weights *w, const capp_layer *layer) {
    const capp_hparams *h = &w->hparams;
    return !layer->expert_in.parts && !w->arch->scaled_inputs && h->parallel == CAPP_SEQUENTIAL && !h->norm_after;
}

static void set_integers(capp_matrix *m, size_t n, bool integers) {
    for (size_t i = 0; i < n; i++) {
        m[i].integers = integers;
        if (!integers) m[i].gather = NULL;
    }
}

/* Experts that an adapter changes run in floats. */
static bool can_choose(const capp_matrix *expert) {
    return expert->integers && !expert->deltas;
}

/* Makes all experts of a layer agree: all are integers or none are, because one product runs over all of them, and the
 * shared expert reads the same rows. Adds the number of routers. */
static capp_status of_experts(binder *b, capp_layer *layer, size_t *routers) {
    const size_t n = b->w->hparams.experts, shared = layer->up.parts != 0;
    capp_matrix *up = layer->expert_up, *down = layer->expert_down;
    const bool ordered = may_order(b->w, layer);
    capp_status st = CAPP_OK;
    if (layer->expert_out.deltas) set_integers(&layer->expert_out, 1, false); /* its inputs are where experts' are */
    layer->router.integers = layer->shared_router.integers = false;
    *routers += layer->shared_router.parts ? 2 : 1;
    bool ups = !shared || (layer->up.integers && (ordered || !layer->up.gather)), downs = true;
    for (size_t e = 0; e < n; e++) ups = ups && can_choose(&up[e]) && (ordered || !up[e].gather);
    set_integers(up, n, ups);
    set_integers(&layer->up, shared, ups);
    for (size_t e = 0; e < n; e++) downs = downs && can_choose(&down[e]) && (!down[e].gather || can_order(b, &up[e]));
    set_integers(down, n, downs);
    for (size_t e = 0; e < n && st == CAPP_OK; e++) st = order_outputs(b, &up[e], &down[e]);
    return st;
}

static void find_matrix(capp_matrix *m) {
    m->integers = capp_has_integers(m);
    m->gather = m->integers ? capp_integer_inputs(m) : NULL;
}

static size_t is_left(const capp_matrix *m) {
    return m->parts && !m->integers;
}

/* The number of matrices of floats that are usual beside integers: in folders the head; in GGUF files what lies between
 * the stream and side embeddings or other streams. */
static size_t count_left(const capp_weights *w) {
    size_t n = is_left(&w->head);
    for (size_t i = 0; i < w->hparams.layers; i++) {
        const capp_layer *layer = &w->layers[i];
        n += is_left(&layer->side.context) + is_left(&layer->altup.left) + is_left(&layer->altup.right);
    }
    for (size_t i = 0; i + 1 < w->hparams.streams; i++) n += is_left(&w->spread[i]) + is_left(&w->merge[i]);
    return n;
}

/* Chooses the matrices that are integers. Routers are always floats: they are so small that they are hardly ever
 * quantized, and their numbers decide which experts run; so are products of low rank. */
static capp_status find_integers(binder *b) {
    capp_weights *w = b->w;
    capp_status st;
    size_t routers = 0;
    for (size_t i = 0; i < b->n_jobs; i++) find_matrix(b->jobs[i]);
    for (size_t i = 0; i < w->hparams.layers; i++) {
        capp_layer *layer = &w->layers[i];
        layer->mix_rates.integers = false;
        routers += layer->mix_rates.parts;
        for (size_t j = CAPP_WKV_FIRST; j < CAPP_MOST_INNER; j++) {
            layer->mix_inner[j].integers = false;
            routers += layer->mix_inner[j].parts;
        }
        if (layer->expert_up && (st = of_experts(b, layer, &routers)) != CAPP_OK) return st;
        if ((st = order_outputs(b, &layer->up, &layer->down)) != CAPP_OK) return st;
    }
    for (size_t i = 0; i < b->n_jobs; i++) w->n_integers += b->jobs[i]->integers;
    w->n_floats_only = b->n_jobs - w->n_integers - routers - count_left(w);
    return CAPP_OK;
}

/* The share of the weights stored as integers whose numbers have more than 6 bits. */
static double share_of_wide(const binder *b) {
    double all = 0, wide = 0;
    for (size_t i = 0; i < b->n_jobs; i++) {
        const capp_matrix *m = b->jobs[i];
        for (size_t s = 0; m->integers && s < m->n_sources; s++) {
            const double weights = (double)m->source[s]->dims[1] * (double)m->k;
            all += weights;
            if (capp_integer_form_of(capp_integer_type(m->source[s]))->most > 32) wide += weights;
        }
    }
    return all > 0 ? wide / all : 0;
}

/* Sets the place of a layer with attention in the KV store. */
static void place_layer(capp_weights *w, capp_layer *layer) {
    const capp_shape *shape = &layer->shape;
    if (shape->back) {
        layer->keys = (layer - shape->back)->keys, layer->values = (layer - shape->back)->values;
        return;
    }
    layer->keys = w->key_elements, layer->values = w->value_elements;
    w->key_elements += shape->kv_heads * capp_padded(w->products, shape->key);
    w->value_elements += shape->kv_heads * capp_padded(w->products, shape->value);
}

static void set_arithmetic(capp_weights *w, const capp_arithmetic *arithmetic) {
    w->products = arithmetic->floats;
    w->integers = arithmetic->integers;
    w->share = arithmetic->share;
    w->key_elements = w->value_elements = 0;
    for (uint32_t i = 0; i < w->hparams.layers; i++)
        if (capp_has_attention(&w->hparams, i)) place_layer(w, &w->layers[i]);
}

capp_status capp_weights_bind(capp_weights **out, const capp_source *s, const capp_kernels *kernels,
                              const capp_arithmetic *whole, const capp_arithmetic *other, capp_adapter *const *adapters,
                              size_t n, capp_cache cache, capp_error *err) {
    capp_status st;
    capp_weights *w = capp_new0(1, sizeof *w);
    binder b = {.w = w, .s = s, .err = err};
    *out = NULL;
    if (!w) {
        st = capp_fail_memory(err, "the weights");
        goto done;
    }
    w->kernels = kernels;
    w->source = s;
    w->resident_layers = SIZE_MAX;
    if ((st = capp_hparams_read(&w->hparams, &w->arch, s, err)) != CAPP_OK) goto done;
    w->layers = capp_new0(w->hparams.layers, sizeof *w->layers);
    b.jobs = capp_new0(capp_bind_jobs(&w->hparams), sizeof *b.jobs);
    b.bound = capp_new0(capp_source_n_tensors(s), sizeof *b.bound);
    w->expert_matrices = capp_new0(n_expert_matrices(w), sizeof *w->expert_matrices);
    w->head_matrices = capp_new0(n_head_matrices(w), sizeof *w->head_matrices);
    if (!w->layers || !b.jobs || !b.bound || !w->expert_matrices || !w->head_matrices) {
        st = capp_fail_memory(err, "the weights");
        goto done;
    }
    if ((st = bind_scattered(&b)) != CAPP_OK) goto done;
    for (size_t i = 0; i < n; i++)
        if ((st = capp_adapter_fit(adapters[i], s, w->arch, &w->hparams, w, err)) != CAPP_OK) goto done;
    if ((st = find_integers(&b)) != CAPP_OK) goto done;
    set_arithmetic(w, w->n_floats_only ? other : whole);
    for (size_t i = 0; i < b.n_jobs; i++) {
        capp_set_panels(w, b.jobs[i]);
        if ((st = capp_change_make(w, b.jobs[i], err)) != CAPP_OK) goto done;
    }
    w->wide = share_of_wide(&b);
    st = capp_cache_plan(&b, cache);
done:
    capp_free(b.bound);
    capp_free(b.jobs);
    if (st == CAPP_OK)
        *out = w;
    else
        capp_weights_free(w);
    return st;
}

/* A twin of w that is being made. */
typedef struct twins {
    capp_weights *twin;
    const capp_weights *w;
    capp_status st;
    capp_error *err;
} twins;

static void set_twin(twins *t, capp_matrix *m) {
    if (!m->parts || t->st != CAPP_OK) return; /* this model does not have it */
    if (capp_products_of(t->twin, m) == capp_products_of(t->w, m)) return;
    m->kept = NULL;
    capp_set_panels(t->twin, m);
    t->st = capp_change_make(t->twin, m, t->err);
}

static void set_layer(twins *t, uint32_t index) {
    const capp_weights *twin = t->twin;
    capp_layer *layer = &twin->layers[index];
    set_twin(t, &layer->qkv);
    set_twin(t, &layer->out);
    set_twin(t, &layer->mix_in);
    set_twin(t, &layer->mix_rates);
    set_twin(t, &layer->mix_out);
    for (size_t i = 0; i < CAPP_MOST_INNER; i++) set_twin(t, &layer->mix_inner[i]);
    set_twin(t, &layer->up);
    set_twin(t, &layer->down);
    set_twin(t, &layer->router);
    set_twin(t, &layer->shared_router);
    set_twin(t, &layer->expert_in);
    set_twin(t, &layer->expert_out);
    set_twin(t, &layer->latent.q_b);
    set_twin(t, &layer->side.gate);
    set_twin(t, &layer->side.context);
    set_twin(t, &layer->side.out);
    set_twin(t, &layer->altup.left);
    set_twin(t, &layer->altup.right);
    size_t heads = twin->hparams.heads, experts = twin->hparams.experts;
    if (layer->latent.k_b) {
        layer->latent.k_b = twin->head_matrices + index * 2 * heads;
        layer->latent.v_b = layer->latent.k_b + heads;
        for (size_t e = 0; e < 2 * heads; e++) set_twin(t, &layer->latent.k_b[e]);
    }
    if (!layer->expert_up) return;
    layer->expert_up = twin->expert_matrices + index * 2 * experts;
    layer->expert_down = layer->expert_up + experts;
    for (size_t e = 0; e < 2 * experts; e++) set_twin(t, &layer->expert_up[e]);
}

capp_status capp_weights_twin(capp_weights **out, const capp_weights *w, const capp_arithmetic *arithmetic,
                              capp_error *err) {
    *out = NULL;
    capp_weights *twin = capp_new(1, sizeof *twin);
    capp_layer *layers = capp_new(w->hparams.layers, sizeof *layers);
    capp_matrix *experts = capp_new(n_expert_matrices(w), sizeof *experts);
    capp_matrix *heads = capp_new(n_head_matrices(w), sizeof *heads);
    if (!twin || !layers || !experts || !heads) {
        capp_free(twin);
        capp_free(layers);
        capp_free(experts);
        capp_free(heads);
        return capp_fail_memory(err, "the weights");
    }
    *twin = *w;
    memcpy(layers, w->layers, w->hparams.layers * sizeof *layers);
    memcpy(experts, w->expert_matrices, n_expert_matrices(w) * sizeof *experts);
    twin->layers = layers;
    twin->expert_matrices = experts;
    memcpy(heads, w->head_matrices, n_head_matrices(w) * sizeof *heads);
    twin->head_matrices = heads;
    set_arithmetic(twin, arithmetic);
    twin->borrows = true;
    twin->changes = NULL;
    twins t = {twin, w, CAPP_OK, err};
    for (uint32_t i = 0; i < w->hparams.layers; i++) set_layer(&t, i);
    set_twin(&t, &twin->head);
    set_twin(&t, &twin->project_in);
    set_twin(&t, &twin->project_out);
    for (size_t i = 0; i + 1 < w->hparams.streams; i++) set_twin(&t, &twin->spread[i]), set_twin(&t, &twin->merge[i]);
    if (t.st == CAPP_OK)
        *out = twin;
    else
        capp_weights_free(twin);
    return t.st;
}

void capp_weights_free(capp_weights *w) {
    if (!w) return;
    if (!w->borrows) {
        for (size_t i = 0; i < w->n_floats; i++) capp_free(w->floats[i]);
        capp_free(w->floats);
        capp_free(w->frequencies);
        capp_derived_free(w);
        capp_deltas_free(w);
        capp_cache_free(w);
    }
    capp_changes_free(w);
    capp_free(w->expert_matrices);
    capp_free(w->head_matrices);
    capp_free(w->layers);
    capp_free(w);
}
