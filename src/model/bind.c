/* Tensors to their places. Binding walks the layers once and notes, for every matrix, the tensors that its rows come
 * from; what a file stores otherwise is derived first. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/binder.h"

static bool in_folder(const binder *b) {
    return !b->s->gguf;
}

static const char *weight_suffix(const binder *b, capp_part part) {
    bool bare = part == CAPP_PART_SINKS || (b->w->hparams.activation == CAPP_CLAMPED_GATED &&
                                            (part == CAPP_PART_EXPERT_UP || part == CAPP_PART_EXPERT_DOWN));
    return in_folder(b) && bare ? "" : ".weight";
}

/* ---- Checks -------------------------------------------------------------------------------------------------------
 */

static capp_status check_type(binder *b, const char *name, const capp_tensor *t) {
    if (!t)
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensor %s is missing: the file is incomplete; download or convert it again",
                         capp_source_path(b->s), name);
    if (!capp_dequant(t->type))
        return capp_fail(b->err, CAPP_EUNSUPPORTED, "%s: tensor %s has type %s, which capp does not support; %s",
                         capp_source_path(b->s), name, capp_type_get(t->type).name,
                         in_folder(b) ? "save the model in another type" : "quantize the model to another type");
    return CAPP_OK;
}

static capp_status fail_shape(binder *b, const char *name, const capp_tensor *t, uint64_t k, uint64_t n) {
    return capp_fail(
        b->err, CAPP_EFORMAT,
        "%s: tensor %s is %llu x %llu, but the hyperparameters say %llu x %llu; download or convert the model again",
        capp_source_path(b->s), name, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
        (unsigned long long)k, (unsigned long long)n);
}

static capp_status check_tensor(binder *b, const char *name, const capp_tensor *t, uint64_t k, uint64_t n) {
    capp_status st = check_type(b, name, t);
    if (st != CAPP_OK) return st;
    if (t->dims[0] != k || t->dims[1] != n || t->dims[2] != 1 || t->dims[3] != 1) return fail_shape(b, name, t, k, n);
    return CAPP_OK;
}

static capp_status fail_memory(binder *b) {
    return capp_fail_memory(b->err, "the weights");
}

/* ---- Numbers that stay float32 --------------------------------------------------------------------------------------
 */

/* [n] floats that live as long as the weights; NULL where memory is short. */
static float *new_floats(binder *b, size_t n) {
    capp_weights *w = b->w;
    if (!capp_grow(&w->floats, &w->floats_capacity, w->n_floats + 1, sizeof *w->floats)) return NULL;
    float *floats = capp_new(n, sizeof *floats);
    if (floats) w->floats[w->n_floats++] = floats;
    return floats;
}

/* A tensor of n numbers in out, whatever its number of dimensions. */
static capp_status read_floats(binder *b, place p, const char *suffix, size_t n, float *out) {
    char name[MOST_NAME];
    const capp_tensor *t = capp_find(b, p, suffix, name);
    capp_status st = check_type(b, name, t);
    if (st != CAPP_OK) return st;
    if (t->elements != n) return fail_shape(b, name, t, n, 1);
    capp_dequant(t->type)(out, t->data, n);
    return CAPP_OK;
}

static capp_status bind_floats(binder *b, place p, const char *suffix, size_t n, const float **out) {
    float *floats = new_floats(b, n);
    if (!floats) return fail_memory(b);
    capp_status st = read_floats(b, p, suffix, n, floats);
    if (st == CAPP_OK) *out = floats;
    return st;
}

/* rows > 1: a norm for each head. */
static capp_status bind_norm(binder *b, place p, size_t rows, size_t n, bool bias, capp_norm *norm) {
    const capp_arch *arch = b->w->arch;
    char buffer[MOST_NAME];
    const char *template = capp_place_template(b->w->arch, b->s->gguf, p.part, buffer),
               *number = template ? strstr(template, "%u") : NULL;
    bool each_head = number && strstr(number + 1, "%u");
    capp_status st = CAPP_OK;
    float *weight = new_floats(b, rows * n);
    if (!weight) return fail_memory(b);
    if (b->w->hparams.bare_norms)
        for (size_t i = 0; i < n; i++) weight[i] = 1;
    else if (rows > 1 && each_head) /* a tensor each */
        for (p.index = 0; p.index < rows && st == CAPP_OK; p.index++)
            st = read_floats(b, p, ".weight", n, weight + p.index * n);
    else
        st = read_floats(b, p, ".weight", rows * n, weight);
    if (arch->norm_plus_one && in_folder(b))
        for (size_t i = 0; i < rows * n && st == CAPP_OK; i++) weight[i] += 1;
    norm->weight = weight;
    if (st != CAPP_OK || !bias || !arch->norm_bias || b->w->hparams.bare_norms) return st;
    return bind_floats(b, p, ".bias", n, &norm->bias);
}

/* ---- Matrices ------------------------------------------------------------------------------------------------------
 */

/* The rows of one tensor that go into a matrix. */
typedef struct piece {
    place place;
    size_t rows;
} piece;

static bool is_grouped(const binder *b, capp_part part) {
    return part == CAPP_PART_QKV && in_folder(b) && b->w->arch->grouped_qkv;
}

/* Beside NVFP4 llama.cpp keeps a factor for the tensor, or n for n experts. (And one for what it is multiplied by,
 * which here is not rounded to 4 bits.) */
static capp_status scale_rows(binder *b, place p, size_t n, const capp_tensor **t) {
    char name[MOST_NAME];
    if ((*t)->type != CAPP_TYPE_NVFP4) return CAPP_OK;
    (void)capp_find(b, p, ".input_scale", name);
    const capp_tensor *scales = capp_find(b, p, ".scale", name);
    if (!scales) return CAPP_OK;
    if (scales->elements != n || scales->type != CAPP_TYPE_F32)
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensor %s must have %zu element(s) of type F32; convert the model again",
                         capp_source_path(b->s), name, n);
    *t = capp_derive_scaled(b, *t, (const char *)scales->data + p.index * sizeof(float));
    return *t ? CAPP_OK : fail_memory(b);
}

/* The piece's tensor as rows of k. */
static capp_status find_rows(binder *b, const piece *x, size_t k, const capp_tensor **out) {
    char name[MOST_NAME];
    capp_order_fn order = is_grouped(b, x->place.part) ? capp_grouped_row : NULL;
    capp_status st = capp_bind_quantised(b, x->place, x->rows, k, order, &b->w->hparams, out);
    if (st != CAPP_OK || *out) return st;
    bool ends = x->place.part < CAPP_FIRST_LAYER_PART;
    const capp_tensor *t = capp_find(b, x->place, weight_suffix(b, x->place.part), name);
    bool turned = in_folder(b) && b->w->arch->transposed && !ends;
    if ((st = check_tensor(b, name, t, turned ? x->rows : k, turned ? k : x->rows)) != CAPP_OK) return st;
    if (turned) t = capp_derive_transposed(b, t);
    if (t && order) t = capp_derive_rows(b, t, x->rows, order, &b->w->hparams);
    *out = t;
    return t ? scale_rows(b, x->place, 1, out) : fail_memory(b);
}

static capp_status bind_bias(binder *b, const piece *pieces, size_t n, capp_matrix *m) {
    float *bias = new_floats(b, m->n), *at = bias;
    capp_status st;
    if (!bias) return fail_memory(b);
    for (size_t i = 0; i < n; at += pieces[i++].rows)
        if ((st = read_floats(b, pieces[i].place, ".bias", pieces[i].rows, at)) != CAPP_OK) return st;
    m->bias = bias;
    if (!is_grouped(b, pieces[0].place.part)) return CAPP_OK;
    float *ordered = new_floats(b, m->n);
    if (!ordered) return fail_memory(b);
    for (size_t i = 0; i < m->n; i++) ordered[i] = bias[capp_grouped_row(&b->w->hparams, i)];
    m->bias = ordered;
    return CAPP_OK;
}

/* A job for a matrix of n rows of k in `parts` parts of as many, without sources yet. */
static void new_job(binder *b, capp_matrix *m, size_t n, size_t parts, size_t k) {
    job *j = &b->jobs[b->n_jobs++];
    m->n = n;
    m->k = k;
    m->parts = parts;
    m->columns = n / parts;
    j->matrix = m;
}

/* Floats that the quantised ones of its sources need. */
static size_t most_scratch(const capp_matrix *m) {
    size_t most = 0;
    for (size_t i = 0; i < m->n_sources; i++) {
        size_t n = m->source[i]->type == CAPP_TYPE_QUANTISED ? capp_quant_scratch(m->source[i]->data) : 0;
        if (n > most) most = n;
    }
    return most;
}

static capp_status bind_matrix(binder *b, const piece *pieces, size_t n, size_t parts, size_t k, bool bias,
                               capp_matrix *m) {
    capp_status st;
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) rows += pieces[i].rows;
    new_job(b, m, rows, parts, k);
    for (size_t i = 0; i < n; i++)
        if ((st = find_rows(b, &pieces[i], k, &m->source[m->n_sources++])) != CAPP_OK) return st;
    m->extra = most_scratch(m);
    return bias ? bind_bias(b, pieces, n, m) : CAPP_OK;
}

/* ---- Experts -------------------------------------------------------------------------------------------------------
 */

/* Expert p.index's rows of two tensors of MXFP4: [experts][n][k / 32][16] blocks, [experts][n][k / 32] scales. */
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
    *out = t ? capp_derive_quantised(b, t, &q, order, &b->w->hparams.feed, NULL) : NULL;
    return *out ? CAPP_OK : fail_memory(b);
}

/* Expert e's rows of a tensor of all experts: [experts][n][k], or [experts][k][n] where turned. */
static capp_status expert_rows(binder *b, place p, size_t n, size_t k, bool turned, const capp_tensor **out) {
    char name[MOST_NAME];
    capp_status st;
    const capp_hparams *h = &b->w->hparams;
    if (h->mxfp4) return mxfp4_rows(b, p, n, k, out);
    const capp_tensor *t = capp_find(b, p, weight_suffix(b, p.part), name);
    uint64_t width = turned ? n : k, rows = turned ? k : n;
    if ((st = check_type(b, name, t)) != CAPP_OK) return st;
    if (t->dims[0] != width || t->dims[1] != rows || t->dims[2] != h->experts || t->dims[3] != 1)
        return fail_shape(b, name, t, width, rows);
    t = capp_derive_slice(b, t, p.index * rows, rows);
    if (t && turned) t = capp_derive_transposed(b, t);
    if (t && turned && p.part == CAPP_PART_EXPERT_UP) t = capp_derive_rows(b, t, n, capp_row_in_turn, &h->feed);
    *out = t;
    return t ? scale_rows(b, p, h->experts, out) : fail_memory(b);
}

/* Expert p.index's n numbers of a tensor of all experts. */
static capp_status expert_bias(binder *b, place p, size_t n, float *out) {
    char name[MOST_NAME];
    capp_status st;
    const capp_tensor *t = capp_find(b, p, in_folder(b) ? "_bias" : ".bias", name);
    if ((st = check_tensor(b, name, t, n, b->w->hparams.experts)) != CAPP_OK) return st;
    t = capp_derive_slice(b, t, p.index, 1);
    if (!t) return fail_memory(b);
    capp_dequant(t->type)(out, t->data, n);
    return CAPP_OK;
}

static capp_status bind_expert_biases(binder *b, uint32_t layer, uint32_t e, capp_matrix *up, capp_matrix *down) {
    size_t feed = b->w->hparams.feed;
    float *first = new_floats(b, 2 * feed), *second = new_floats(b, down->n), *turn = new_floats(b, 2 * feed);
    capp_status st;
    if (!first || !second || !turn) return fail_memory(b);
    up->bias = first;
    down->bias = second;
    if ((st = expert_bias(b, (place){CAPP_PART_EXPERT_DOWN, layer, e}, down->n, second)) != CAPP_OK) return st;
    if (!in_folder(b)) {
        if ((st = expert_bias(b, (place){CAPP_PART_EXPERT_GATE, layer, e}, feed, first)) != CAPP_OK) return st;
        return expert_bias(b, (place){CAPP_PART_EXPERT_UP, layer, e}, feed, first + feed);
    }
    if ((st = expert_bias(b, (place){CAPP_PART_EXPERT_UP, layer, e}, 2 * feed, turn)) != CAPP_OK) return st;
    for (size_t i = 0; i < 2 * feed; i++) first[i] = turn[capp_row_in_turn(&b->w->hparams.feed, i)];
    return CAPP_OK;
}

static capp_status bind_expert(binder *b, uint32_t layer, uint32_t e, capp_matrix *up, capp_matrix *down) {
    const capp_hparams *h = &b->w->hparams;
    bool turned = in_folder(b) && h->activation == CAPP_CLAMPED_GATED;
    capp_status st;
    if (in_folder(b) && !turned) {
        const piece ups[] = {{{CAPP_PART_EXPERT_GATE, layer, e}, h->feed}, {{CAPP_PART_EXPERT_UP, layer, e}, h->feed}};
        const piece downs[] = {{{CAPP_PART_EXPERT_DOWN, layer, e}, h->width}};
        if ((st = bind_matrix(b, ups, 2, 2, h->width, false, up)) != CAPP_OK) return st;
        return bind_matrix(b, downs, 1, 1, h->feed, false, down);
    }
    new_job(b, up, 2 * (size_t)h->feed, 2, h->width);
    place gate = {CAPP_PART_EXPERT_GATE, layer, e}, second = {CAPP_PART_EXPERT_UP, layer, e};
    if (turned) {
        st = expert_rows(b, second, up->n, h->width, true, &up->source[up->n_sources++]);
        if (st != CAPP_OK) return st;
    } else {
        if ((st = expert_rows(b, gate, h->feed, h->width, false, &up->source[up->n_sources++])) != CAPP_OK) return st;
        if ((st = expert_rows(b, second, h->feed, h->width, false, &up->source[up->n_sources++])) != CAPP_OK) return st;
    }
    new_job(b, down, h->width, 1, h->feed);
    st = expert_rows(b, (place){CAPP_PART_EXPERT_DOWN, layer, e}, h->width, h->feed, turned,
                     &down->source[down->n_sources++]);
    if (st != CAPP_OK || !h->feed_bias) return st;
    return bind_expert_biases(b, layer, e, up, down);
}

static capp_status bind_experts(binder *b, uint32_t index) {
    const capp_hparams *h = &b->w->hparams;
    capp_layer *layer = &b->w->layers[index];
    capp_status st;
    layer->expert_up = b->w->expert_matrices + (size_t)index * 2 * h->experts;
    layer->expert_down = layer->expert_up + h->experts;
    const piece router = {{CAPP_PART_ROUTER, index, 0}, h->experts};
    if ((st = bind_matrix(b, &router, 1, 1, h->width, h->feed_bias, &layer->router)) != CAPP_OK) return st;
    for (uint32_t e = 0; e < h->experts; e++)
        if ((st = bind_expert(b, index, e, &layer->expert_up[e], &layer->expert_down[e])) != CAPP_OK) return st;
    return CAPP_OK;
}

/* ---- Layers --------------------------------------------------------------------------------------------------------
 */

static capp_status bind_norms(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const capp_arch *arch = b->w->arch;
    size_t w = h->width, d = h->head_dim;
    bool own = h->qk_norm == CAPP_QK_OWN, row = h->qk_norm == CAPP_QK_ROW;
    capp_status st;
    if (h->norm_after) {
        /* What is after a part is before the next one. */
        capp_norm *next = i + 1 < h->layers ? &layer[1].attention_norm : &b->w->output_norm;
        if ((st = bind_norm(b, (place){CAPP_PART_ATTENTION_NORM, i, 0}, 1, w, true, &layer->feed_norm))) return st;
        if ((st = bind_norm(b, (place){CAPP_PART_FEED_NORM, i, 0}, 1, w, true, next)) != CAPP_OK) return st;
    } else if (!arch->no_pre_norms) {
        if ((st = bind_norm(b, (place){CAPP_PART_ATTENTION_NORM, i, 0}, 1, w, true, &layer->attention_norm))) return st;
        layer->feed_norm = layer->attention_norm;
        if (h->parallel != CAPP_PARALLEL_SHARED &&
            (st = bind_norm(b, (place){CAPP_PART_FEED_NORM, i, 0}, 1, w, true, &layer->feed_norm)))
            return st;
    }
    if (h->qk_norm != CAPP_QK_NONE) {
        size_t q_rows = own ? h->heads : 1, k_rows = own ? h->kv_heads : 1;
        size_t q_width = row ? h->heads * d : d, k_width = row ? h->kv_heads * d : d;
        bool bias = arch->qk_norm_bias;
        if ((st = bind_norm(b, (place){CAPP_PART_Q_NORM, i, 0}, q_rows, q_width, bias, &layer->q_norm))) return st;
        if ((st = bind_norm(b, (place){CAPP_PART_K_NORM, i, 0}, k_rows, k_width, bias, &layer->k_norm))) return st;
    }
    if (!arch->post_norms) return CAPP_OK;
    if ((st = bind_norm(b, (place){CAPP_PART_ATTENTION_POST_NORM, i, 0}, 1, w, true, &layer->attention_post_norm)))
        return st;
    return bind_norm(b, (place){CAPP_PART_FEED_POST_NORM, i, 0}, 1, w, true, &layer->feed_post_norm);
}

static capp_status bind_attention(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    size_t q = (size_t)h->heads * h->head_dim, kv = (size_t)h->kv_heads * h->head_dim;
    const piece fused = {{CAPP_PART_QKV, i, 0}, q + 2 * kv}, out = {{CAPP_PART_OUT, i, 0}, h->width};
    const piece split[] = {{{CAPP_PART_Q, i, 0}, q}, {{CAPP_PART_K, i, 0}, kv}, {{CAPP_PART_V, i, 0}, kv}};
    char name[MOST_NAME], buffer[MOST_NAME];
    capp_status st;
    bool all =
        capp_find(b, fused.place, ".weight", name) || !capp_place_template(b->w->arch, b->s->gguf, CAPP_PART_Q, buffer);
    if (!in_folder(b) && !all && b->w->arch->learned_positions) all = true; /* GPT-2's are always fused */
    st = all ? bind_matrix(b, &fused, 1, 1, h->width, h->qkv_bias, &layer->qkv)
             : bind_matrix(b, split, 3, 1, h->width, h->qkv_bias, &layer->qkv);
    if (st != CAPP_OK) return st;
    if ((st = bind_matrix(b, &out, 1, 1, q, h->out_bias, &layer->out)) != CAPP_OK) return st;
    if (!b->w->arch->sinks) return CAPP_OK;
    place sinks = {CAPP_PART_SINKS, i, 0};
    return bind_floats(b, sinks, weight_suffix(b, CAPP_PART_SINKS), h->heads, &layer->sinks);
}

static capp_status bind_feed(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    bool gated = capp_is_gated(h->activation), fused = b->w->arch->fused_gate;
    size_t feed = h->experts ? h->dense_feed : h->feed;
    const piece single = {{CAPP_PART_UP, i, 0}, fused ? 2 * feed : feed};
    const piece pair[] = {{{CAPP_PART_GATE, i, 0}, feed}, {{CAPP_PART_UP, i, 0}, feed}};
    const piece down = {{CAPP_PART_DOWN, i, 0}, h->width};
    if (capp_has_experts(h, i)) return bind_experts(b, i);
    capp_status st = gated && !fused ? bind_matrix(b, pair, 2, 2, h->width, h->feed_bias, &layer->up)
                                     : bind_matrix(b, &single, 1, gated ? 2 : 1, h->width, h->feed_bias, &layer->up);
    return st == CAPP_OK ? bind_matrix(b, &down, 1, 1, feed, h->feed_bias, &layer->down) : st;
}

static capp_status bind_layer(binder *b, uint32_t i) {
    const capp_hparams *h = &b->w->hparams;
    capp_layer *layer = &b->w->layers[i];
    capp_status st;
    bool local = h->kinds[i] & CAPP_LOCAL;
    layer->rope = local && h->n_ropes == 2;
    layer->window = local ? h->window : 0;
    layer->score_scale = h->score_scale / (h->scale_by_layer ? (float)i + 1 : 1);
    layer->still = h->kinds[i] & CAPP_STILL;
    if ((st = bind_norms(b, i, layer)) != CAPP_OK) return st;
    if ((st = bind_attention(b, i, layer)) != CAPP_OK) return st;
    return bind_feed(b, i, layer);
}

/* ---- Ends ----------------------------------------------------------------------------------------------------------
 */

static capp_status bind_tables(binder *b) {
    capp_weights *w = b->w;
    const capp_hparams *h = &w->hparams;
    char name[MOST_NAME];
    capp_status st;
    double vocabulary;
    w->tokens = capp_find(b, (place){CAPP_PART_TOKENS, 0, 0}, ".weight", name);
    if (w->tokens) w->hparams.vocabulary = w->tokens->dims[1] < (1u << 30) ? (uint32_t)w->tokens->dims[1] : 0;
    if ((st = check_tensor(b, name, w->tokens, h->embedded, h->vocabulary)) != CAPP_OK) return st;
    if (in_folder(b) && capp_source_number(b->s, "vocab_size", &vocabulary) == CAPP_FOUND &&
        vocabulary != (double)h->vocabulary)
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensor %s has %u rows, but vocab_size in config.json is %g; download the model again",
                         capp_source_path(b->s), name, h->vocabulary, vocabulary);
    w->tokens_dequant = capp_dequant(w->tokens->type);
    const piece in = {{CAPP_PART_PROJECT_IN, 0, 0}, h->width}, out = {{CAPP_PART_PROJECT_OUT, 0, 0}, h->embedded};
    if (h->embedded != h->width && ((st = bind_matrix(b, &in, 1, 1, h->embedded, false, &w->project_in)) != CAPP_OK ||
                                    (st = bind_matrix(b, &out, 1, 1, h->width, false, &w->project_out)) != CAPP_OK))
        return st;
    if (!w->arch->learned_positions) return CAPP_OK;
    w->position_offset = in_folder(b) ? w->arch->position_offset : 0;
    w->positions = capp_find(b, (place){CAPP_PART_POSITIONS, 0, 0}, ".weight", name);
    st = check_tensor(b, name, w->positions, h->width, (uint64_t)h->context + w->position_offset);
    if (st == CAPP_OK) w->positions_dequant = capp_dequant(w->positions->type);
    return st;
}

/* The scale of logits goes into the norm before the head. */
static void scale_norm(const capp_weights *w, float scale) {
    float *weight = (float *)(uintptr_t)w->output_norm.weight, *bias = (float *)(uintptr_t)w->output_norm.bias;
    for (size_t i = 0; i < w->hparams.width && scale != 1; i++) {
        weight[i] *= scale;
        if (bias) bias[i] *= scale;
    }
}

static capp_status bind_head(binder *b) {
    capp_weights *w = b->w;
    const capp_hparams *h = &w->hparams;
    char name[MOST_NAME];
    capp_status st;
    if (!h->no_output_norm &&
        (st = bind_norm(b, (place){CAPP_PART_OUTPUT_NORM, 0, 0}, 1, h->width, true, &w->output_norm)) != CAPP_OK)
        return st;
    scale_norm(w, h->logit_scale);
    /* A tied head that is stored all the same is the embedding again. */
    uint64_t before = w->parameters;
    if (h->tied) (void)capp_find(b, (place){CAPP_PART_HEAD, 0, 0}, ".weight", name);
    w->parameters = before;
    const piece head = {{h->tied ? CAPP_PART_TOKENS : CAPP_PART_HEAD, 0, 0}, h->vocabulary};
    st = bind_matrix(b, &head, 1, 1, h->embedded, false, &w->head);
    if (st != CAPP_OK || !w->arch->head_bias) return st;
    return bind_floats(b, (place){CAPP_PART_HEAD, 0, 0}, ".bias", h->vocabulary, &w->head.bias);
}

/* ---- Positions -----------------------------------------------------------------------------------------------------
 */

/* The divisors of frequencies under a key of rope_scaling in config.json, wherever that is. */
static capp_status config_factors(binder *b, const char *field, size_t n, float *out) {
    static const char *const places[] = {"rope_scaling", "rope_parameters.full_attention", "rope_parameters"};
    char key[MOST_NAME];
    for (size_t p = 0; p < 3; p++) {
        snprintf(key, sizeof key, "%s.%s", places[p], field);
        if (capp_source_count(b->s, key) != n) continue;
        size_t i = 0;
        for (double value; i < n && capp_source_number_at(b->s, key, i, &value) == CAPP_FOUND && value > 0; i++)
            out[i] = (float)value;
        if (i == n) return CAPP_OK;
    }
    return capp_fail(b->err, CAPP_EFORMAT,
                     "%s: config.json: \"rope_scaling.%s\" must be a list of %zu positive numbers",
                     capp_source_path(b->s), field, n);
}

static capp_status rope_factors(binder *b, bool longer, float *out) {
    const capp_hparams *h = &b->w->hparams;
    size_t n = h->rope_dims / 2;
    if (in_folder(b)) return config_factors(b, longer ? "long_factor" : "short_factor", n, out);
    capp_part part = !h->short_context ? CAPP_PART_ROPE_FACTORS : longer ? CAPP_PART_ROPE_LONG : CAPP_PART_ROPE_SHORT;
    capp_status st = read_floats(b, (place){part, 0, 0}, ".weight", n, out);
    for (size_t i = 0; i < n && st == CAPP_OK; i++)
        if (!(out[i] > 0))
            return capp_fail(
                b->err, CAPP_EFORMAT,
                "%s: a rope factor is not greater than 0: the file is damaged; download or convert it again",
                capp_source_path(b->s));
    return st;
}

static capp_status bind_positions(binder *b) {
    capp_weights *w = b->w;
    const capp_hparams *h = &w->hparams;
    size_t half = h->rope_dims / 2;
    capp_status st;
    w->frequencies = capp_new0(2 * h->n_ropes * half, sizeof *w->frequencies);
    float *factors = new_floats(b, half), *slopes = new_floats(b, h->heads);
    if (!w->frequencies || !factors || !slopes) return fail_memory(b);
    for (size_t i = 0; i < 2 * (size_t)h->n_ropes; i++) {
        bool longer = i >= h->n_ropes;
        const capp_rope *rope = &h->ropes[longer ? i - h->n_ropes : i];
        if (rope->scaling == CAPP_SCALING_FACTORS && (st = rope_factors(b, longer, factors)) != CAPP_OK) return st;
        capp_rope_frequencies(w->frequencies + i * half, rope, h->rope_dims, factors);
    }
    if (h->alibi == 0) return CAPP_OK;
    capp_alibi_slopes(slopes, h->heads, (double)h->alibi);
    w->alibi = slopes;
    return CAPP_OK;
}

void capp_weights_set_context(capp_weights *w, uint32_t context) {
    const capp_hparams *h = &w->hparams;
    size_t n = h->n_ropes * (h->rope_dims / 2);
    if (h->short_context && context > h->short_context)
        memcpy(w->frequencies, w->frequencies + n, n * sizeof *w->frequencies);
}

/* ---- All -----------------------------------------------------------------------------------------------------------
 */

/* Buffers of old folders that hold no weights: masks, and frequencies that config.json has. */
static bool is_buffer(const capp_source *s, const capp_tensor *t) {
    static const char *const ends[] = {".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias",
                                       ".rotary_emb.inv_freq"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !s->gguf; i++) {
        size_t n = strlen(ends[i]);
        if (t->name.size > n && !memcmp(t->name.data + t->name.size - n, ends[i], n)) return true;
    }
    return false;
}

/* A tensor that nothing reads would be part of the model that we leave out: a wrong answer with a straight face. */
static capp_status check_all_bound(binder *b) {
    for (size_t i = 0; i < capp_source_n_tensors(b->s); i++) {
        const capp_tensor *t = capp_source_tensor_at(b->s, i);
        if (b->bound[i] || is_buffer(b->s, t) || (capp_is_multimodal(b->s) && capp_is_vision(t->name)) ||
            capp_quant_idle(&b->w->hparams, t))
            continue;
        return capp_fail(
            b->err, CAPP_EUNSUPPORTED,
            "%s: unexpected tensor %.*s in a model of architecture %s: the model has a part that capp does not support",
            capp_source_path(b->s), (int)(t->name.size < 100 ? t->name.size : 100), t->name.data, b->w->arch->name);
    }
    return CAPP_OK;
}

size_t capp_bind_jobs(const capp_hparams *h) {
    return (5 + 2 * (size_t)h->experts) * h->layers + 3;
}

capp_status capp_bind(binder *b) {
    capp_status st;
    if ((st = bind_tables(b)) != CAPP_OK) return st;
    if (b->w->arch->tokens_norm &&
        (st = bind_norm(b, (place){CAPP_PART_TOKENS_NORM, 0, 0}, 1, b->w->hparams.width, true, &b->w->tokens_norm)))
        return st;
    for (uint32_t i = 0; i < b->w->hparams.layers; i++)
        if ((st = bind_layer(b, i)) != CAPP_OK) return st;
    if ((st = bind_head(b)) != CAPP_OK) return st;
    if ((st = bind_positions(b)) != CAPP_OK) return st;
    return check_all_bound(b);
}
