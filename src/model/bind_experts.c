/* Binds experts to their places. A tensor has a product of one expert, or of all experts. */
#include <math.h>
#include <stdio.h>

#include "model/binder.h"

/* The rows of expert p.index from two MXFP4 tensors: blocks [experts][n][k / 32][16], scales [experts][n][k / 32]. */
static capp_status mxfp4_rows(binder *b, place p, size_t n, size_t k, const capp_tensor **out) {
    char name[MOST_NAME], second[MOST_NAME];
    const uint32_t experts = b->w->hparams.experts;
    const capp_tensor *blocks = capp_find(b, p, "_blocks", name), *scales = capp_find(b, p, "_scales", second);
    if (!blocks || !scales)
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensor %s is missing: the file is incomplete; download or convert it again",
                         capp_source_path(b->s), blocks ? second : name);
    if (blocks->type != CAPP_TYPE_U8 || scales->type != CAPP_TYPE_U8 || k % 32 || blocks->dims[0] != 16 ||
        blocks->dims[1] != k / 32 || blocks->dims[2] != n || blocks->dims[3] != experts || scales->dims[0] != k / 32 ||
        scales->dims[1] != n || scales->dims[2] != experts || scales->dims[3] != 1)
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensors %s and %s have wrong shapes for the blocks and scales of a matrix of %zu x %zu; "
                         "download the model again",
                         capp_source_path(b->s), name, second, k, n);
    const capp_tensor *t = capp_derive_slice(b, blocks, p.index * n * (k / 32), n * (k / 32));
    capp_quant q = {.layout = CAPP_QUANT_MXFP4,
                    .n = n,
                    .k = k,
                    .weights = t ? t->data : NULL,
                    .scales = (const char *)scales->data + p.index * n * (k / 32)};
    capp_order_fn order = p.part == CAPP_PART_EXPERT_UP ? capp_row_in_turn : NULL;
    *out = t ? capp_derive_quantized(b, t, &q, order, &b->w->hparams.feed, NULL) : NULL;
    return *out ? CAPP_OK : capp_bind_memory(b);
}

/* Whether a layer's products of all experts are stored as [experts][inputs][outputs]: what the shape of one of them
 * says that is not square. */
static bool has_turned(const binder *b, uint32_t layer) {
    const capp_hparams *h = &b->w->hparams;
    const bool square = capp_expert_width(h) == h->feed;
    const place p = {square ? CAPP_PART_EXPERT_UP : CAPP_PART_EXPERT_DOWN, layer, 0};
    char name[MOST_NAME];
    const capp_tensor *t = capp_place_find(b->s, b->w->arch, p, "", name);
    return t && t->dims[0] != h->feed;
}

/* Whether the product of expert p.index is stored as [inputs][outputs]. */
static bool is_turned(const binder *b, place p) {
    const capp_arch *arch = b->w->arch;
    if (!capp_in_folder(b)) return false;
    return b->w->hparams.activation == CAPP_CLAMPED_GATED || arch->turned_experts ||
           (arch->maybe_turned_experts && has_turned(b, p.layer)) ||
           (arch->listed_experts && p.part == CAPP_PART_EXPERT_DOWN);
}

/* The rows of expert e from a tensor of all experts: [experts][n][k], or [experts][k][n] if turned. */
static capp_status expert_rows(binder *b, place p, size_t n, size_t k, const capp_tensor **out) {
    char name[MOST_NAME];
    capp_status st;
    const capp_hparams *h = &b->w->hparams;
    if (h->mxfp4) return mxfp4_rows(b, p, n, k, out);
    const capp_tensor *t = capp_find(b, p, capp_weight_suffix(b, p.part), name);
    if (!t && b->w->arch->joint_experts) t = capp_find(b, p, "", name);
    if ((st = capp_bind_type(b, name, t)) != CAPP_OK) return st;
    bool turned = is_turned(b, p);
    uint64_t width = turned ? n : k, rows = turned ? k : n;
    bool listed = b->w->arch->listed_experts && capp_in_folder(b);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): capp_bind_type fails if it is NULL */
    if (t->dims[0] != width || t->dims[1] != (listed ? rows * h->experts : rows) ||
        t->dims[2] != (listed ? 1 : h->experts) || t->dims[3] != 1)
        return capp_bind_wrong_shape(b, name, t, width, rows);
    t = capp_derive_slice(b, t, p.index * rows, rows);
    if (t && turned) t = capp_derive_transposed(b, t);
    bool in_turn = capp_in_folder(b) ? turned && h->activation == CAPP_CLAMPED_GATED && p.part == CAPP_PART_EXPERT_UP
                                     : b->w->arch->experts_in_turn && p.part == CAPP_PART_EXPERT_BOTH;
    if (t && in_turn) t = capp_derive_rows(b, t, n, capp_row_in_turn, &h->feed);
    *out = t;
    return t ? capp_bind_scale(b, p, h->experts, out) : capp_bind_memory(b);
}

/* The n numbers of expert p.index from a tensor of all experts. */
static capp_status expert_bias(binder *b, place p, size_t n, float *out) {
    char name[MOST_NAME];
    capp_status st;
    const capp_tensor *t = capp_find(b, p, capp_in_folder(b) ? "_bias" : ".bias", name);
    if ((st = capp_bind_shape(b, name, t, n, b->w->hparams.experts)) != CAPP_OK) return st;
    t = capp_derive_slice(b, t, p.index, 1);
    if (!t) return capp_bind_memory(b);
    capp_dequant(t->type)(out, t->data, n);
    return CAPP_OK;
}

/* GGUF: whether gate and up are one tensor. */
static bool has_both(const binder *b, uint32_t layer) {
    char name[MOST_NAME];
    return capp_place_find(b->s, b->w->arch, (place){CAPP_PART_EXPERT_BOTH, layer, 0}, ".weight", name);
}

static capp_status bind_expert_biases(binder *b, uint32_t layer, uint32_t e, capp_matrix *up, capp_matrix *down) {
    size_t feed = b->w->hparams.feed;
    float *first = capp_bind_new_floats(b, 2 * feed), *second = capp_bind_new_floats(b, down->n),
          *turn = capp_bind_new_floats(b, 2 * feed);
    capp_status st;
    if (!first || !second || !turn) return capp_bind_memory(b);
    up->bias = first;
    down->bias = second;
    if ((st = expert_bias(b, (place){CAPP_PART_EXPERT_DOWN, layer, e}, down->n, second)) != CAPP_OK) return st;
    if (!capp_in_folder(b) && !(b->w->arch->experts_in_turn && has_both(b, layer))) {
        if ((st = expert_bias(b, (place){CAPP_PART_EXPERT_GATE, layer, e}, feed, first)) != CAPP_OK) return st;
        return expert_bias(b, (place){CAPP_PART_EXPERT_UP, layer, e}, feed, first + feed);
    }
    const capp_part part = capp_in_folder(b) ? CAPP_PART_EXPERT_UP : CAPP_PART_EXPERT_BOTH;
    if ((st = expert_bias(b, (place){part, layer, e}, 2 * feed, turn)) != CAPP_OK) return st;
    for (size_t i = 0; i < 2 * feed; i++) first[i] = turn[capp_row_in_turn(&b->w->hparams.feed, i)];
    return CAPP_OK;
}

/* Whether gate is a tensor of its own. */
static bool has_gate(const binder *b, place p) {
    const capp_arch *arch = b->w->arch;
    char name[MOST_NAME];
    bool joint = arch->joint_experts && !capp_place_find(b->s, arch, p, ".weight", name);
    return arch->names[p.part] && !joint;
}

/* An expert without a gate. */
static capp_status bind_plain_expert(binder *b, uint32_t layer, uint32_t e, capp_matrix *up, capp_matrix *down) {
    const capp_hparams *h = &b->w->hparams;
    const size_t width = capp_expert_width(h);
    const capp_piece first = {{CAPP_PART_EXPERT_UP, layer, e}, h->feed};
    const capp_piece second = {{CAPP_PART_EXPERT_DOWN, layer, e}, width};
    capp_status st;
    if (capp_in_folder(b)) {
        if ((st = capp_bind_matrix(b, &first, 1, 1, width, false, up)) != CAPP_OK) return st;
        return capp_bind_matrix(b, &second, 1, 1, h->feed, false, down);
    }
    capp_bind_job(b, up, h->feed, 1, width);
    st = expert_rows(b, first.place, h->feed, width, &up->source[up->n_sources++]);
    if (st != CAPP_OK) return st;
    capp_bind_job(b, down, width, 1, h->feed);
    return expert_rows(b, second.place, width, h->feed, &down->source[down->n_sources++]);
}

static capp_status bind_expert(binder *b, uint32_t layer, uint32_t e, capp_matrix *up, capp_matrix *down) {
    const capp_hparams *h = &b->w->hparams;
    const size_t width = capp_expert_width(h);
    place gate = {CAPP_PART_EXPERT_GATE, layer, e}, second = {CAPP_PART_EXPERT_UP, layer, e};
    bool fused = capp_in_folder(b) ? !has_gate(b, gate) : has_both(b, layer);
    if (fused && !capp_in_folder(b)) second.part = CAPP_PART_EXPERT_BOTH;
    capp_status st;
    if (!capp_is_gated(h->activation)) return bind_plain_expert(b, layer, e, up, down);
    const bool listed = capp_in_folder(b) && b->w->arch->listed_experts;
    if (capp_in_folder(b) && !fused && !listed) {
        const capp_piece ups[] = {{{CAPP_PART_EXPERT_GATE, layer, e}, h->feed},
                                  {{CAPP_PART_EXPERT_UP, layer, e}, h->feed}};
        const capp_piece downs[] = {{{CAPP_PART_EXPERT_DOWN, layer, e}, width}};
        if ((st = capp_bind_matrix(b, ups, 2, 2, width, false, up)) != CAPP_OK) return st;
        return capp_bind_matrix(b, downs, 1, 1, h->feed, false, down);
    }
    capp_bind_job(b, up, 2 * (size_t)h->feed, 2, width);
    if (fused) {
        st = expert_rows(b, second, up->n, width, &up->source[up->n_sources++]);
        if (st != CAPP_OK) return st;
    } else {
        if ((st = expert_rows(b, gate, h->feed, width, &up->source[up->n_sources++])) != CAPP_OK) return st;
        if ((st = expert_rows(b, second, h->feed, width, &up->source[up->n_sources++])) != CAPP_OK) return st;
    }
    capp_bind_job(b, down, width, 1, h->feed);
    st = expert_rows(b, (place){CAPP_PART_EXPERT_DOWN, layer, e}, width, h->feed, &down->source[down->n_sources++]);
    if (st != CAPP_OK || !h->feed_bias) return st;
    return bind_expert_biases(b, layer, e, up, down);
}

/* Binds the bias for the choice of experts. In GGUF files the tensor may be missing. */
static capp_status bind_choice_bias(binder *b, uint32_t index, capp_layer *layer) {
    const place p = {CAPP_PART_CHOICE_BIAS, index, 0};
    const char *suffix = capp_in_folder(b) ? "" : ".bias";
    char name[MOST_NAME];
    if (!b->w->arch->choice_bias || (capp_in_folder(b) && !b->w->arch->names[CAPP_PART_CHOICE_BIAS])) return CAPP_OK;
    if (!capp_in_folder(b) && !capp_place_find(b->s, b->w->arch, p, suffix, name)) return CAPP_OK;
    return capp_bind_floats(b, p, suffix, b->w->hparams.experts, &layer->choice_bias);
}

/* Binds the shared expert, which all rows use. */
static capp_status bind_shared(binder *b, uint32_t index, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const size_t feed = h->shared_feed;
    const capp_piece ups[] = {{{CAPP_PART_SHARED_GATE, index, 0}, feed}, {{CAPP_PART_SHARED_UP, index, 0}, feed}};
    const capp_piece fused = {{CAPP_PART_SHARED_UP, index, 0}, 2 * feed},
                     plain = {{CAPP_PART_SHARED_UP, index, 0}, feed};
    const capp_piece down = {{CAPP_PART_SHARED_DOWN, index, 0}, h->width};
    const capp_piece router = {{CAPP_PART_SHARED_ROUTER, index, 0}, 1};
    capp_status st;
    if (!feed) return CAPP_OK;
    if (!capp_is_gated(h->activation))
        st = capp_bind_matrix(b, &plain, 1, 1, h->width, h->feed_bias, &layer->up);
    else if (capp_in_folder(b) && !b->w->arch->names[CAPP_PART_SHARED_GATE])
        st = capp_bind_matrix(b, &fused, 1, 2, h->width, false, &layer->up);
    else
        st = capp_bind_matrix(b, ups, 2, 2, h->width, h->feed_bias, &layer->up);
    if (st != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &down, 1, 1, feed, h->feed_bias, &layer->down)) != CAPP_OK) return st;
    if (!b->w->arch->names[CAPP_PART_SHARED_ROUTER]) return CAPP_OK;
    return capp_bind_matrix(b, &router, 1, 1, h->width, false, &layer->shared_router);
}

/* Binds the norms and factors of a layer whose experts run beside its feed-forward part. The router's norm has a
 * weight, which is divided by the root of the width. */
static capp_status bind_beside(binder *b, uint32_t index, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const char *bare = capp_in_folder(b) ? "" : ".scale";
    const size_t w = h->width;
    capp_status st;
    char name[MOST_NAME];
    float *weight = capp_bind_new_floats(b, w);
    if (!weight) return capp_bind_memory(b);
    if ((st = capp_bind_read(b, (place){CAPP_PART_ROUTER_SCALE, index, 0}, bare, w, weight)) != CAPP_OK) return st;
    for (size_t i = 0; i < w; i++) weight[i] *= (float)(1 / sqrt((double)w));
    layer->router_norm.weight = weight;
    const struct {
        capp_part part;
        capp_norm *norm;
    } norms[] = {{CAPP_PART_EXPERT_NORM, &layer->expert_norm},
                 {CAPP_PART_EXPERT_POST_NORM, &layer->expert_post_norm},
                 {CAPP_PART_SHARED_POST_NORM, &layer->shared_post_norm}};
    for (size_t i = 0; i < 3; i++)
        if ((st = capp_bind_norm(b, (place){norms[i].part, index, 0}, 1, w, false, norms[i].norm)) != CAPP_OK)
            return st;
    /* The factors of experts in NVFP4 already have these factors. */
    const capp_tensor *down =
        capp_place_find(b->s, b->w->arch, (place){CAPP_PART_EXPERT_DOWN, index, 0}, ".weight", name);
    if (down && down->type == CAPP_TYPE_NVFP4) return CAPP_OK;
    return capp_bind_floats(b, (place){CAPP_PART_EXPERT_SCALE, index, 0}, bare, h->experts, &layer->expert_scale);
}

/* Binds the products to and from the latent vectors that the experts read and write. */
static capp_status bind_latent_experts(binder *b, uint32_t index, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const capp_piece in = {{CAPP_PART_EXPERT_IN, index, 0}, h->expert_latent};
    const capp_piece out = {{CAPP_PART_EXPERT_OUT, index, 0}, h->width};
    capp_status st = capp_bind_matrix(b, &in, 1, 1, h->width, h->feed_bias, &layer->expert_in);
    return st == CAPP_OK ? capp_bind_matrix(b, &out, 1, 1, h->expert_latent, h->feed_bias, &layer->expert_out) : st;
}

capp_status capp_bind_experts(binder *b, uint32_t index) {
    const capp_hparams *h = &b->w->hparams;
    capp_layer *layer = &b->w->layers[index];
    capp_status st;
    layer->expert_up = b->w->expert_matrices + (size_t)index * 2 * h->experts;
    layer->expert_down = layer->expert_up + h->experts;
    const capp_piece router = {{CAPP_PART_ROUTER, index, 0}, h->experts};
    if ((st = capp_bind_matrix(b, &router, 1, 1, h->width, h->feed_bias, &layer->router)) != CAPP_OK) return st;
    if ((st = bind_choice_bias(b, index, layer)) != CAPP_OK) return st;
    if ((st = bind_shared(b, index, layer)) != CAPP_OK) return st;
    if (b->w->arch->dense_beside && (st = bind_beside(b, index, layer)) != CAPP_OK) return st;
    if (h->expert_latent && (st = bind_latent_experts(b, index, layer)) != CAPP_OK) return st;
    for (uint32_t e = 0; e < h->experts; e++)
        if ((st = bind_expert(b, index, e, &layer->expert_up[e], &layer->expert_down[e])) != CAPP_OK) return st;
    return CAPP_OK;
}
