/* Puts the pairs of an adapter into their places in a model. This visits each part of the model once and looks up the
 * pair with the part's name. It does not matter how the model's file groups tensors or orders their rows: a delta has
 * the order of the packed matrix. A pair that belongs to no part is an error. */
#include <stdio.h>
#include <string.h>

#include "model/adapter.h"
#include "model/delta.h"

typedef struct fitter {
    capp_adapter *a;
    const capp_source *s;       /* the model's */
    const capp_arch *arch;      /* */
    const capp_arch *gguf_arch; /* GGUF files use its names and rows: the model's or the adapter's; or NULL */
    const capp_hparams *h;
    capp_weights *w; /* NULL: only check */
    capp_error *err;
} fitter;

typedef capp_delta_reading reading;
typedef capp_delta_target target;

static bool from_gguf(const fitter *f) {
    return f->a->source.gguf != NULL;
}

static const char *path_of(const fitter *f) {
    return capp_source_path(&f->a->source);
}

static capp_status add(fitter *f, const char *module, const reading *r, const target *t) {
    double scale;
    capp_status st = capp_adapter_scale(f->a, module, r->rank, &scale, f->err);
    if (st != CAPP_OK || !f->w || f->a->weight == 0) return st;
    return capp_delta_make(f->w, t, r, scale, path_of(f), f->err);
}

/* ---- Names ---------------------------------------------------------------------------------------------------------
 */

static capp_pair *pair_named(const fitter *f, const char *name) {
    int64_t i = capp_names_find(&f->a->names, capp_str_of(name));
    return i == CAPP_NO_NAME ? NULL : &f->a->pairs[i];
}

/* Finds a module by the names in an architecture's row. PEFT's names are those of the class that was trained: either
 * the text model alone, or the multimodal model. */
static capp_pair *pair_by_row(const fitter *f, const capp_arch *arch, const place *p, const char *suffix) {
    char buffer[MOST_NAME], own[MOST_NAME], name[MOST_NAME];
    capp_pair *pair = NULL;
    for (const char *at = capp_place_template(arch, from_gguf(f), p->part, buffer); at && !pair;
         at = capp_place_next(at)) {
        capp_place_expand(at, p, suffix, own);
        if (from_gguf(f))
            pair = pair_named(f, own);
        else
            for (size_t way = 0; !pair && capp_next_spelling(arch, own, CAPP_ALONE | CAPP_INSIDE, &way, name);)
                pair = pair_named(f, name);
    }
    return pair;
}

/* Row i of the possible architectures of the adapter; NULL after the last one. If the model is a GGUF file and the
 * adapter is a folder, there may be several: GGUF files of Mistral and Mixtral also call themselves llama. */
static const capp_arch *row_at(const fitter *f, size_t i) {
    if (from_gguf(f)) return i ? NULL : f->gguf_arch;
    if (!f->s->gguf) return i ? NULL : f->arch;
    for (size_t at = 0; capp_arch_at(at); at++) {
        const capp_arch *arch = capp_arch_at(at);
        const char *gguf = arch->gguf ? arch->gguf : arch->gguf_as;
        if (gguf && !strcmp(gguf, f->arch->gguf) && arch->hf && !i--) return arch;
    }
    return NULL;
}

static capp_pair *find_pair(const fitter *f, const place *p, const char *suffix) {
    capp_pair *pair = NULL;
    const capp_arch *arch;
    for (size_t i = 0; !pair && (arch = row_at(f, i)); i++) pair = pair_by_row(f, arch, p, suffix);
    if (pair) pair->used = true;
    return pair;
}

/* ---- Orders of rows ------------------------------------------------------------------------------------------------
 */

/* Folders store a head's rows as halves, GGUF files as pairs of neighbors. The first function gives the row among the
 * pairs for row i of the halves, the second does the opposite. user: head_dim. */
static uint64_t pairs_of_halves(const void *user, uint64_t i) {
    uint64_t d = *(const uint32_t *)user, at = i % d;
    return i - at + 2 * (at % (d / 2)) + at / (d / 2);
}

static uint64_t halves_of_pairs(const void *user, uint64_t i) {
    uint64_t d = *(const uint32_t *)user, at = i % d;
    return i - at + at % 2 * (d / 2) + at / 2;
}

/* Sets the order that gives the row of b for row i of the matrix. */
static void set_order(const fitter *f, capp_part part, reading *r) {
    const capp_arch *gguf = f->gguf_arch;
    bool q_or_k = part == CAPP_PART_Q || part == CAPP_PART_K, base = f->s->gguf != NULL;
    bool permuted = gguf && gguf->rope == CAPP_ROPE_PAIRS && gguf->hf_rope == CAPP_ROPE_HALVES;
    if (q_or_k && permuted && from_gguf(f) != base && f->h->head_dim % 2 == 0) {
        r->order = base ? halves_of_pairs : pairs_of_halves;
        r->user = &f->h->head_dim;
    }
    capp_order_fn order = capp_order_of(f->arch, f->h, from_gguf(f), part);
    if (!order) return;
    r->order = order;
    r->user = f->h;
}

/* ---- Pairs to targets ----------------------------------------------------------------------------------------------
 */

static capp_status fail_shape(const fitter *f, const capp_pair *pair, const target *t) {
    const uint64_t *a = pair->a->dims, *b = pair->b ? pair->b->dims : NULL;
    char shapes[120];
    int n = snprintf(shapes, sizeof shapes, "%llu x %llu", (unsigned long long)a[0], (unsigned long long)a[1]);
    if (b)
        snprintf(shapes + n, sizeof shapes - (size_t)n, " and %llu x %llu", (unsigned long long)b[0],
                 (unsigned long long)b[1]);
    bool exchanged = b && !pair->table && a[0] == t->n && b[1] == t->k;
    return capp_fail(
        f->err, CAPP_EINVAL,
        "%s: the tensors of module %.200s are %s, but in %s this module has %zu inputs and %zu outputs: %s", path_of(f),
        pair->name.data, shapes, capp_source_path(f->s), t->k, t->n,
        exchanged ? "inputs and outputs are exchanged, as a conversion of GPT-2 to GGUF leaves them; use the folder "
                    "saved by PEFT"
                  : "the adapter was trained for another model");
}

/* Whether the dimensions of t are d0, d1, d2 and 1. */
static bool is_shape(const capp_tensor *t, uint64_t d0, uint64_t d1, uint64_t d2) {
    return t->dims[0] == d0 && t->dims[1] == d1 && t->dims[2] == d2 && t->dims[3] == 1;
}

/* Fits a pair to rows of a matrix. */
static capp_status fit_rows(fitter *f, place p, const target *t) {
    capp_pair *pair = find_pair(f, &p, "");
    if (!pair) return CAPP_OK;
    bool stacked = from_gguf(f) && (p.part == CAPP_PART_EXPERT_GATE || p.part == CAPP_PART_EXPERT_UP ||
                                    p.part == CAPP_PART_EXPERT_DOWN);
    uint64_t rank = pair->a->dims[1], experts = stacked ? f->h->experts : 1;
    if (pair->table || pair->copy || !is_shape(pair->a, t->k, rank, experts) || !is_shape(pair->b, rank, t->n, experts))
        return fail_shape(f, pair, t);
    reading r = {.a = pair->a, .b = pair->b, .rank = (size_t)rank, .b_step = 1};
    if (stacked) {
        r.a_row = p.index * r.rank;
        r.b_row = p.index * t->n;
    }
    set_order(f, p.part, &r);
    return add(f, pair->name.data, &r, t);
}

/* If the embedding has a pair, PEFT also saves the whole embedding in the folder, as it was before training. */
static capp_status fit_copy(fitter *f, place p, const target *t) {
    capp_pair *copy = from_gguf(f) ? NULL : find_pair(f, &p, ".base_layer");
    if (!copy) return CAPP_OK;
    return copy->copy && is_shape(copy->a, t->k, t->n, 1) ? CAPP_OK : fail_shape(f, copy, t);
}

/* Fits a pair to a table, from which one row is read for each token. */
static capp_status fit_table(fitter *f, place p, const target *t) {
    capp_pair *pair = find_pair(f, &p, "");
    if (!pair) return CAPP_OK;
    bool gguf = from_gguf(f);
    uint64_t rank = pair->a->dims[gguf ? 0 : 1];
    if (pair->copy || pair->table == gguf || !is_shape(pair->a, gguf ? rank : t->n, gguf ? t->n : rank, 1) ||
        !is_shape(pair->b, rank, t->k, 1))
        return fail_shape(f, pair, t);
    if (f->a->tied && f->h->tied)
        return capp_fail(f->err, CAPP_EUNSUPPORTED,
                         "%s: adapter_config.json: \"ensure_weight_tying\" makes the head share module %.200s, which "
                         "capp does not support; merge the adapter into its model and open the result",
                         path_of(f), pair->name.data);
    reading r = {.a = pair->b, .b = pair->a, .a_turned = true, .b_turned = !gguf, .rank = (size_t)rank, .b_step = 1};
    return add(f, pair->name.data, &r, t);
}

/* ---- Experts in one parameter --------------------------------------------------------------------------------------
 */

/* Fits a pair for gate and up of all experts, or for down of all experts. The shapes show which it is. */
static capp_status fit_parameter(fitter *f, capp_pair *pair, const char *module, capp_matrix *up, capp_matrix *down) {
    const capp_hparams *h = f->h;
    char name[MOST_NAME + 16];
    uint64_t ranks = pair->a->dims[1];
    target t = {NULL, 0, 2 * (size_t)h->feed, h->width};
    bool second = pair->b && pair->a->dims[0] == h->feed && pair->b->dims[1] == h->width;
    if (second) t = (target){NULL, 0, h->width, h->feed};
    pair->used = true;
    if (pair->table || pair->copy || ranks % h->experts || !is_shape(pair->a, t.k, ranks, 1) ||
        !is_shape(pair->b, ranks, t.n, 1))
        return fail_shape(f, pair, &t);
    snprintf(name, sizeof name, "%s.%s", module, second ? "down_proj" : "gate_up_proj");
    reading r = {.a = pair->a, .b = pair->b, .rank = (size_t)(ranks / h->experts), .b_step = h->experts};
    if (!second && h->activation == CAPP_CLAMPED_GATED) {
        r.order = capp_row_in_turn;
        r.user = &h->feed;
    }
    for (uint32_t e = 0; e < h->experts; e++) {
        capp_matrix *m = second ? down : up;
        capp_status st;
        r.a_row = e * r.rank;
        r.b_column = e;
        t.list = &m[f->w ? e : 0].deltas;
        if ((st = add(f, name, &r, &t)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* module is a name like "model.layers.1.mlp.experts". If two parameters have pairs, PEFT wraps one in the other. */
static capp_status fit_parameters_of(fitter *f, const char *module, capp_matrix *up, capp_matrix *down) {
    static const char *const wraps[] = {"", ".base_layer"};
    for (size_t i = 0; i < 2; i++) {
        char name[MOST_NAME + 16];
        capp_status st;
        snprintf(name, sizeof name, "%s%s", module, wraps[i]);
        capp_pair *pair = pair_named(f, name);
        if (pair && (st = fit_parameter(f, pair, module, up, down)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

static capp_status fit_parameters(fitter *f, uint32_t layer, capp_matrix *up, capp_matrix *down) {
    static const char end[] = ".experts";
    const capp_arch *arch;
    for (size_t i = 0; !from_gguf(f) && (arch = row_at(f, i)); i++) {
        char module[MOST_NAME], newer[MOST_NAME];
        capp_status st;
        place p = {CAPP_PART_EXPERT_UP, layer, 0};
        if (!arch->names[p.part]) continue;
        capp_place_expand(arch->names[p.part], &p, "", module);
        char *at = strstr(module, end);
        if (!at) continue;
        at[sizeof end - 1] = 0;
        if ((st = fit_parameters_of(f, module, up, down)) != CAPP_OK) return st;
        /* transformers 5 gives Mixtral's part the same name as in other models. */
        snprintf(newer, sizeof newer, "model.layers.%u.mlp%s", layer, end);
        if (strcmp(module, newer) && (st = fit_parameters_of(f, newer, up, down)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* ---- The model -----------------------------------------------------------------------------------------------------
 */

static capp_status fit_latent(fitter *f, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = f->h;
    size_t q = (size_t)h->heads * (h->still + h->rope_dims), first = h->q_latent ? h->q_latent : q;
    size_t kv = (size_t)h->latent + h->rope_dims, outputs = (size_t)h->heads * h->latent_value;
    const struct {
        capp_part part;
        target rows;
    } parts[] = {{h->q_latent ? CAPP_PART_Q_A : CAPP_PART_Q, {&layer->qkv.deltas, 0, first, h->width}},
                 {CAPP_PART_KV_A, {&layer->qkv.deltas, first, kv, h->width}},
                 {CAPP_PART_OUT, {&layer->out.deltas, 0, h->width, outputs}},
                 {CAPP_PART_Q_B, {&layer->latent.q_b.deltas, 0, q, h->q_latent}}};
    for (size_t x = 0; x < (h->q_latent ? 4 : 3); x++) {
        capp_status st = fit_rows(f, (place){parts[x].part, i, 0}, &parts[x].rows);
        if (st != CAPP_OK) return st;
    }
    return CAPP_OK;
}

static capp_status fit_attention(fitter *f, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = f->h;
    if (h->latent) return fit_latent(f, i, layer);
    const capp_shape *shape = &h->shapes[i];
    size_t q = (size_t)shape->heads * shape->key, k = (size_t)shape->kv_heads * shape->key;
    size_t v = (size_t)shape->kv_heads * shape->value, mixed = (size_t)shape->heads * shape->value;
    bool apart = capp_gate_apart(f->arch);
    size_t gate = apart ? q : 0, own = h->attention_gate && !apart ? 2 * q : q;
    q = own + gate;
    capp_delta **qkv = &layer->qkv.deltas;
    const struct {
        capp_part part;
        target rows;
    } parts[] = {
        {CAPP_PART_QKV, {qkv, 0, q + k + v, h->width}},   {CAPP_PART_Q, {qkv, 0, own, h->width}},
        {CAPP_PART_MIX_GATE, {qkv, own, gate, h->width}}, {CAPP_PART_K, {qkv, q, k, h->width}},
        {CAPP_PART_V, {qkv, q + k, v, h->width}},         {CAPP_PART_OUT, {&layer->out.deltas, 0, h->width, mixed}}};
    for (size_t x = 0; x < sizeof parts / sizeof *parts; x++) {
        if (!parts[x].rows.n) continue;
        capp_status st = fit_rows(f, (place){parts[x].part, i, 0}, &parts[x].rows);
        if (st != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* Fits the products of the layer's capp_mix. */
static capp_status fit_mix(fitter *f, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = f->h;
    const capp_mix *m = &h->mix;
    size_t heads = m->heads, outputs = capp_mix_outputs(h), channels = capp_mix_channels(h);
    size_t all = capp_mix_rows_in(h) - (m->kind == CAPP_MIX_DELTA ? 2 * heads : 0);
    capp_delta **in = &layer->mix_in.deltas, **rates = &layer->mix_rates.deltas;
    const unsigned delta = 1u << CAPP_MIX_DELTA, kimi = 1u << CAPP_MIX_KIMI, wkv = 1u << CAPP_MIX_WKV;
    const unsigned select = 1u << CAPP_MIX_SELECT | 1u << CAPP_MIX_PLAMO;
    size_t v = m->values, latent = 3 * outputs, steps = m->kind == CAPP_MIX_PLAMO ? heads : outputs;
    const struct {
        capp_part part;
        unsigned kinds; /* the mixers that have it */
        target rows;
    } parts[] = {
        {CAPP_PART_Q, kimi | wkv, {in, 0, outputs, h->width}},
        {CAPP_PART_K, wkv, {&layer->mix_inner[CAPP_WKV_K].deltas, 0, outputs, h->width}},
        {CAPP_PART_V, wkv, {&layer->mix_inner[CAPP_WKV_V].deltas, 0, outputs, h->width}},
        {CAPP_PART_K, kimi, {in, outputs, outputs, h->width}},
        {CAPP_PART_V, kimi, {in, 2 * outputs, outputs, h->width}},
        {CAPP_PART_MIX_F_A, kimi, {in, latent, v, h->width}},
        {CAPP_PART_MIX_G_A, kimi, {in, latent + v, v, h->width}},
        {CAPP_PART_MIX_BETA, kimi, {in, latent + 2 * v, heads, h->width}},
        {CAPP_PART_MIX_F_B, kimi, {&layer->mix_inner[0].deltas, 0, outputs, v}},
        {CAPP_PART_MIX_G_B, kimi, {&layer->mix_inner[1].deltas, 0, outputs, v}},
        {CAPP_PART_MIX_IN, ~(kimi | wkv), {in, 0, all, h->width}},
        {CAPP_PART_MIX_OUT, ~0u, {&layer->mix_out.deltas, 0, h->width, outputs}},
        {CAPP_PART_MIX_SELECT, select, {&layer->mix_inner[0].deltas, 0, m->rank + 2 * (size_t)m->keys, outputs}},
        {CAPP_PART_MIX_STEP, select, {&layer->mix_inner[1].deltas, 0, steps, m->rank}},
        {CAPP_PART_QKV, delta, {in, 0, channels, h->width}},
        {CAPP_PART_MIX_GATE, delta, {in, channels, outputs, h->width}},
        {CAPP_PART_MIX_RATES, delta, {rates, 0, 2 * heads, h->width}},
        {CAPP_PART_MIX_BETA, delta, {rates, 0, heads, h->width}},
        {CAPP_PART_MIX_ALPHA, delta, {rates, heads, heads, h->width}}};
    for (size_t x = 0; x < sizeof parts / sizeof *parts; x++) {
        if (!(parts[x].kinds >> m->kind & 1)) continue;
        place p = {parts[x].part, i, 0};
        capp_pair *pair = find_pair(f, &p, "");
        if (pair && f->arch->mixer_in_turn && from_gguf(f) != (f->s->gguf != NULL))
            return capp_fail(f->err, CAPP_EUNSUPPORTED,
                             "%s: GGUF files store the heads of module %.200s in another order than folders; use the "
                             "adapter with a model of its own format",
                             path_of(f), pair->name.data);
        capp_status st = fit_rows(f, p, &parts[x].rows);
        if (st != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* Whether folders have no tensor for the gate alone. */
static bool is_joint(const fitter *f, capp_part gate) {
    const capp_arch *arch;
    bool apart = false;
    for (size_t i = 0; (arch = row_at(f, i)); i++) apart |= arch->names[gate] != NULL;
    return !from_gguf(f) && !apart;
}

/* Fits gate, up and down of a feed-forward part or of expert e by their names. */
static capp_status fit_products(fitter *f, const capp_part parts[3], place p, size_t feed, size_t width,
                                capp_matrix *up, capp_matrix *down) {
    const capp_hparams *h = f->h;
    bool gated = capp_is_gated(h->activation), fused = gated && (f->arch->fused_gate || is_joint(f, parts[0]));
    const target gate = {&up->deltas, 0, feed, width}, second = {&down->deltas, 0, width, feed};
    const target rest = {&up->deltas, gated && !fused ? feed : 0, fused ? 2 * feed : feed, width};
    capp_status st = CAPP_OK;
    if (gated) st = fit_rows(f, (place){parts[0], p.layer, p.index}, &gate);
    if (st == CAPP_OK) st = fit_rows(f, (place){parts[1], p.layer, p.index}, &rest);
    if (st == CAPP_OK) st = fit_rows(f, (place){parts[2], p.layer, p.index}, &second);
    return st;
}

/* Fits a pair of products of layer i: from the model's width to `inner` numbers, and back. inner is 0 if there is none.
 */
static capp_status fit_round(fitter *f, uint32_t i, const capp_part parts[2], size_t inner, capp_matrix *in,
                             capp_matrix *out) {
    const target to = {&in->deltas, 0, inner, f->h->width}, back = {&out->deltas, 0, f->h->width, inner};
    if (!inner) return CAPP_OK;
    capp_status st = fit_rows(f, (place){parts[0], i, 0}, &to);
    return st == CAPP_OK ? fit_rows(f, (place){parts[1], i, 0}, &back) : st;
}

static capp_status fit_side(fitter *f, uint32_t i, capp_layer *layer) {
    static const capp_part side[] = {CAPP_PART_SIDE_GATE, CAPP_PART_SIDE_OUT};
    static const capp_part laurel[] = {CAPP_PART_LAUREL_LEFT, CAPP_PART_LAUREL_RIGHT};
    const capp_hparams *h = f->h;
    capp_status st = fit_round(f, i, side, h->side, &layer->side.gate, &layer->side.out);
    if (st != CAPP_OK) return st;
    return fit_round(f, i, laurel, h->streams ? h->laurel : 0, &layer->altup.left, &layer->altup.right);
}

static capp_status fit_feed(fitter *f, uint32_t i, capp_layer *layer) {
    static const capp_part dense[] = {CAPP_PART_GATE, CAPP_PART_UP, CAPP_PART_DOWN};
    static const capp_part shared[] = {CAPP_PART_SHARED_GATE, CAPP_PART_SHARED_UP, CAPP_PART_SHARED_DOWN};
    static const capp_part expert[] = {CAPP_PART_EXPERT_GATE, CAPP_PART_EXPERT_UP, CAPP_PART_EXPERT_DOWN};
    static const capp_part latent[] = {CAPP_PART_EXPERT_IN, CAPP_PART_EXPERT_OUT};
    const capp_hparams *h = f->h;
    capp_matrix none = {0}; /* used if there is no model to change */
    capp_status st;
    if (!capp_has_experts(h, i))
        return fit_products(f, dense, (place){.layer = i}, h->shapes[i].feed, h->width, &layer->up, &layer->down);
    const target router = {&layer->router.deltas, 0, h->experts, h->width},
                 weight = {&layer->shared_router.deltas, 0, 1, h->width};
    if ((st = fit_rows(f, (place){CAPP_PART_ROUTER, i, 0}, &router)) != CAPP_OK) return st;
    if (h->shared_feed) {
        if ((st = fit_products(f, shared, (place){.layer = i}, h->shared_feed, h->width, &layer->up, &layer->down)))
            return st;
        if ((st = fit_rows(f, (place){CAPP_PART_SHARED_ROUTER, i, 0}, &weight)) != CAPP_OK) return st;
    }
    if ((st = fit_round(f, i, latent, h->expert_latent, &layer->expert_in, &layer->expert_out)) != CAPP_OK) return st;
    for (uint32_t e = 0; e < h->experts; e++) {
        capp_matrix *up = f->w ? &layer->expert_up[e] : &none, *down = f->w ? &layer->expert_down[e] : &none;
        if ((st = fit_products(f, expert, (place){.layer = i, .index = e}, h->feed, capp_expert_width(h), up, down)) !=
            CAPP_OK)
            return st;
    }
    return fit_parameters(f, i, f->w ? layer->expert_up : &none, f->w ? layer->expert_down : &none);
}

static capp_status fit_ends(fitter *f) {
    const capp_hparams *h = f->h;
    capp_weights none = {0}, *w = f->w ? f->w : &none;
    const place tokens = {CAPP_PART_TOKENS, 0, 0}, head = {CAPP_PART_HEAD, 0, 0};
    const target table = {&w->tokens_delta, 0, h->vocabulary, h->embedded};
    const target positions = {&w->positions_delta, 0, h->context, h->width};
    const target out = {&w->head.deltas, 0, h->vocabulary, h->embedded};
    const target project_in = {&w->project_in.deltas, 0, h->width, h->embedded};
    const target project_out = {&w->project_out.deltas, 0, h->embedded, h->width};
    capp_status st;
    if (h->embedded != h->width && ((st = fit_rows(f, (place){CAPP_PART_PROJECT_IN, 0, 0}, &project_in)) != CAPP_OK ||
                                    (st = fit_rows(f, (place){CAPP_PART_PROJECT_OUT, 0, 0}, &project_out)) != CAPP_OK))
        return st;
    for (uint32_t i = 0; i + 1 < h->streams && !from_gguf(f); i++) {
        const target spread = {&w->spread[i].deltas, 0, h->width, h->width};
        const target merge = {&w->merge[i].deltas, 0, h->width, h->width};
        if ((st = fit_rows(f, (place){CAPP_PART_SPREAD, i, 0}, &spread)) != CAPP_OK) return st;
        if ((st = fit_rows(f, (place){CAPP_PART_MERGE, i, 0}, &merge)) != CAPP_OK) return st;
    }
    if ((st = fit_table(f, tokens, &table)) != CAPP_OK) return st;
    if ((st = fit_copy(f, tokens, &table)) != CAPP_OK) return st;
    if ((st = fit_rows(f, head, &out)) != CAPP_OK) return st;
    if ((st = fit_copy(f, head, &out)) != CAPP_OK) return st;
    if (from_gguf(f) || !f->arch->learned_positions || f->arch->position_offset) return CAPP_OK;
    if ((st = fit_table(f, (place){CAPP_PART_POSITIONS, 0, 0}, &positions)) != CAPP_OK) return st;
    return fit_copy(f, (place){CAPP_PART_POSITIONS, 0, 0}, &positions);
}

/* A pair without a place would be a part of the adapter that capp ignores, so it is an error. The pairs of a multimodal
 * model's image part are allowed: capp ignores that part too. */
static capp_status check_all_used(const fitter *f) {
    bool any = false;
    for (size_t i = 0; i < f->a->n_pairs; i++) {
        const capp_pair *pair = &f->a->pairs[i];
        any |= pair->used;
        if (pair->used || capp_is_vision(pair->name)) continue;
        return capp_fail(f->err, CAPP_EINVAL,
                         "%s: no place for tensor %.*s in %s, a %s with %u layers: the adapter was trained for another "
                         "model, or changes a part that capp cannot change",
                         path_of(f), (int)(pair->a->name.size < 200 ? pair->a->name.size : 200), pair->a->name.data,
                         capp_source_path(f->s), f->arch->name, f->h->layers);
    }
    if (any) return CAPP_OK;
    return capp_fail(f->err, CAPP_EINVAL,
                     "%s: the adapter changes only the image part of the model; capp runs only the text part",
                     path_of(f));
}

/* GGUF adapters name the architecture that the model's GGUF file has, or would have. */
static capp_status set_gguf_arch(fitter *f) {
    const char *own = f->arch->gguf ? f->arch->gguf : f->arch->gguf_as;
    capp_str name = {"", 0};
    if (f->s->gguf) f->gguf_arch = f->arch;
    if (!from_gguf(f)) return CAPP_OK;
    (void)capp_source_str(&f->a->source, "general.architecture", &name);
    if (own && capp_str_is(name, own)) {
        f->gguf_arch = capp_arch_find(name, true);
        return CAPP_OK;
    }
    return capp_fail(f->err, CAPP_EINVAL,
                     "%s: this adapter is for the architecture \"%.*s\", but %s is \"%s\"; use the model for which the "
                     "adapter was trained",
                     path_of(f), (int)(name.size < 60 ? name.size : 60), name.data, capp_source_path(f->s),
                     own ? own : f->arch->name);
}

/* GGUF files have the model's factors in their tensors; adapters for them have the factors, too. */
static capp_status check_factors(const fitter *f) {
    if (!f->arch->multipliers || from_gguf(f) == (f->s->gguf != NULL)) return CAPP_OK;
    return capp_fail(f->err, CAPP_EUNSUPPORTED,
                     "%s: GGUF files have the multipliers of %s in their tensors; use a model of the adapter's format",
                     path_of(f), f->arch->name);
}

capp_status capp_adapter_fit(capp_adapter *a, const capp_source *s, const capp_arch *arch, const capp_hparams *h,
                             capp_weights *w, capp_error *err) {
    fitter f = {.a = a, .s = s, .arch = arch, .h = h, .w = w, .err = err};
    capp_status st;
    if ((st = set_gguf_arch(&f)) != CAPP_OK || (st = check_factors(&f)) != CAPP_OK) return st;
    for (size_t i = 0; i < a->n_pairs; i++) a->pairs[i].used = false;
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_layer none = {0}, *layer = w ? &w->layers[i] : &none;
        if (capp_has_attention(h, i) && (st = fit_attention(&f, i, layer)) != CAPP_OK) return st;
        if (h->kinds[i] & CAPP_MIXES && (st = fit_mix(&f, i, layer)) != CAPP_OK) return st;
        if (!(h->kinds[i] & CAPP_BARE) && (st = fit_feed(&f, i, layer)) != CAPP_OK) return st;
        if ((st = fit_side(&f, i, layer)) != CAPP_OK) return st;
    }
    if ((st = fit_ends(&f)) != CAPP_OK) return st;
    return check_all_used(&f);
}
