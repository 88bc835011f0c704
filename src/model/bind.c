/* Binds tensors to their places. Binding walks through the layers once. For every matrix it notes the tensors that
 * contain its rows. If the file stores them in another form, it first makes derived tensors. */
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "model/binder.h"

/* ---- Layers --------------------------------------------------------------------------------------------------------
 */

/* Norms of q and k without a weight. */
static capp_status bind_bare_qk_norms(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const size_t d = layer->shape.key;
    if (h->qk_norm == CAPP_QK_NONE || (b->w->arch->qk_norm_bare && h->kinds[i] & CAPP_STILL)) return CAPP_OK;
    capp_status st = capp_bind_ones(b, d, &layer->k_norm);
    float *weight = capp_bind_new_floats(b, d);
    if (st != CAPP_OK || !weight) return st != CAPP_OK ? st : capp_bind_memory(b);
    for (size_t j = 0; j < d; j++) weight[j] = h->query_norm;
    layer->q_norm.weight = weight;
    return CAPP_OK;
}

static capp_status bind_norms(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const capp_arch *arch = b->w->arch;
    const capp_shape *shape = &layer->shape;
    size_t w = h->width, d = shape->key;
    bool own = h->qk_norm == CAPP_QK_OWN, row = h->qk_norm == CAPP_QK_ROW;
    capp_status st;
    if (h->norm_after) {
        /* The norm after one part is the norm before the next part. */
        capp_norm *next = i + 1 < h->layers ? &layer[1].attention_norm : &b->w->output_norm;
        if ((st = capp_bind_norm(b, (place){CAPP_PART_ATTENTION_NORM, i, 0}, 1, w, true, &layer->feed_norm))) return st;
        if ((st = capp_bind_norm(b, (place){CAPP_PART_FEED_NORM, i, 0}, 1, w, true, next)) != CAPP_OK) return st;
    } else if (!arch->no_pre_norms) {
        bool attends = !arch->varied || !(h->kinds[i] & CAPP_FEEDS),
             feeds = !arch->varied || !(h->kinds[i] & CAPP_BARE);
        if (attends &&
            (st = capp_bind_norm(b, (place){CAPP_PART_ATTENTION_NORM, i, 0}, 1, w, true, &layer->attention_norm)))
            return st;
        layer->feed_norm = layer->attention_norm;
        if (h->parallel != CAPP_PARALLEL_SHARED && !arch->part_alone && feeds &&
            (st = capp_bind_norm(b, (place){CAPP_PART_FEED_NORM, i, 0}, 1, w, true, &layer->feed_norm)))
            return st;
    }
    bool bare = arch->qk_norm_bare || (capp_in_folder(b) && !arch->names[CAPP_PART_Q_NORM]);
    if (bare && (st = bind_bare_qk_norms(b, i, layer)) != CAPP_OK) return st;
    if (h->qk_norm != CAPP_QK_NONE && !bare && capp_has_attention(h, i)) {
        size_t q_rows = own ? shape->heads : 1, k_rows = own ? shape->kv_heads : 1;
        size_t q_width = row ? shape->heads * d : d, k_width = row ? shape->kv_heads * d : d;
        bool bias = arch->qk_norm_bias;
        if (shape->back) capp_bind_ignore(b, (place){CAPP_PART_K_NORM, i, 0}, ".weight");
        if ((st = capp_bind_norm(b, (place){CAPP_PART_Q_NORM, i, 0}, q_rows, q_width, bias, &layer->q_norm))) return st;
        if (!shape->back &&
            (st = capp_bind_norm(b, (place){CAPP_PART_K_NORM, i, 0}, k_rows, k_width, bias, &layer->k_norm)) != CAPP_OK)
            return st;
    }
    if (arch->value_norm && (st = capp_bind_ones(b, shape->value, &layer->v_norm)) != CAPP_OK) return st;
    if (!arch->post_norms) return CAPP_OK;
    if ((st = capp_bind_norm(b, (place){CAPP_PART_ATTENTION_POST_NORM, i, 0}, 1, w, true, &layer->attention_post_norm)))
        return st;
    st = capp_bind_norm(b, (place){CAPP_PART_FEED_POST_NORM, i, 0}, 1, w, true, &layer->feed_post_norm);
    layer->attention_post_norm.eps = layer->feed_post_norm.eps = h->post_eps;
    return st;
}

static capp_status bind_attention(binder *b, uint32_t i, capp_layer *layer) {
    if (b->w->hparams.latent) return capp_bind_latent(b, i, layer);
    const capp_hparams *h = &b->w->hparams;
    const capp_shape *shape = &layer->shape;
    size_t q = (size_t)shape->heads * shape->key, k = (size_t)shape->kv_heads * shape->key;
    size_t v = (size_t)shape->kv_heads * shape->value;
    const capp_piece fused = {{CAPP_PART_QKV, i, 0}, q + k + v}, out = {{CAPP_PART_OUT, i, 0}, h->width};
    bool apart = capp_gate_apart(b->w->arch);
    const capp_piece keys = {{CAPP_PART_K, i, 0}, k}, values = {{CAPP_PART_V, i, 0}, v};
    capp_piece split[4] = {{{CAPP_PART_Q, i, 0}, h->attention_gate && !apart ? 2 * q : q}};
    size_t pieces = 1;
    if (apart) split[pieces++] = (capp_piece){{CAPP_PART_MIX_GATE, i, 0}, q};
    if (!shape->back) split[pieces++] = keys;
    if (!shape->back && !shape->keys_as_values) split[pieces++] = values;
    char name[MOST_NAME], buffer[MOST_NAME];
    capp_status st;
    bool all =
        capp_find(b, fused.place, ".weight", name) || !capp_place_template(b->w->arch, b->s->gguf, CAPP_PART_Q, buffer);
    if (!capp_in_folder(b) && !all && b->w->arch->learned_positions) all = true; /* GPT-2's are always fused */
    st = all ? capp_bind_matrix(b, &fused, 1, 1, h->width, h->qkv_bias, &layer->qkv)
             : capp_bind_matrix(b, split, pieces, 1, h->width, h->qkv_bias, &layer->qkv);
    if (st != CAPP_OK) return st;
    if (shape->back) capp_bind_ignore(b, keys.place, ".weight"), capp_bind_ignore(b, values.place, ".weight");
    size_t inputs = (size_t)shape->heads * shape->value;
    if ((st = capp_bind_matrix(b, &out, 1, 1, inputs, h->out_bias, &layer->out)) != CAPP_OK) return st;
    if (!b->w->arch->sinks) return CAPP_OK;
    place sinks = {CAPP_PART_SINKS, i, 0};
    return capp_bind_floats(b, sinks, capp_weight_suffix(b, CAPP_PART_SINKS), shape->heads, &layer->sinks);
}

static double softplus(double x) {
    return x > 0 ? x + capp_log1p(capp_exp(-x)) : capp_log1p(capp_exp(x));
}

/* Reads the numbers of xIELU. Folders store them as tensors, GGUF files as lists in the metadata. Two of them are
 * stored as arguments of softplus. */
static capp_status bind_curve(binder *b, uint32_t layer, capp_curve *curve) {
    static const struct {
        const char *suffix, *key;
    } names[] = {
        {".alpha_p", "xielu.alpha_p"}, {".alpha_n", "xielu.alpha_n"}, {".beta", "xielu.beta"}, {".eps", "xielu.eps"}};
    float numbers[4];
    for (size_t i = 0; i < 4; i++) {
        double number;
        capp_status st;
        if (capp_in_folder(b)) {
            st = capp_bind_read(b, (place){CAPP_PART_CURVE, layer, 0}, names[i].suffix, 1, &numbers[i]);
            if (st != CAPP_OK) return st;
            continue;
        }
        if (capp_source_number_at(b->s, names[i].key, layer, &number) != CAPP_FOUND)
            return capp_fail(b->err, CAPP_EFORMAT,
                             "%s: metadata key %s must have a number for each layer; convert the model again",
                             capp_source_path(b->s), names[i].key);
        numbers[i] = (float)number;
    }
    curve->positive = (float)softplus((double)numbers[0]);
    curve->negative = (float)((double)numbers[2] + softplus((double)numbers[1]));
    curve->beta = numbers[2];
    curve->eps = numbers[3];
    return CAPP_OK;
}

static capp_status bind_feed(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    bool gated = capp_is_gated(h->activation), joint = capp_in_folder(b) && !b->w->arch->names[CAPP_PART_GATE];
    bool fused = b->w->arch->fused_gate || (gated && joint);
    size_t feed = layer->shape.feed, parts = gated && !layer->shape.sparse ? 2 : 1;
    const capp_piece single = {{CAPP_PART_UP, i, 0}, fused ? 2 * feed : feed};
    const capp_piece pair[] = {{{CAPP_PART_GATE, i, 0}, feed}, {{CAPP_PART_UP, i, 0}, feed}};
    const capp_piece down = {{CAPP_PART_DOWN, i, 0}, h->width};
    if (capp_has_experts(h, i)) return capp_bind_experts(b, i);
    capp_status st = gated && !fused ? capp_bind_matrix(b, pair, 2, parts, h->width, h->feed_bias, &layer->up)
                                     : capp_bind_matrix(b, &single, 1, parts, h->width, h->feed_bias, &layer->up);
    if (st != CAPP_OK) return st;
    if (h->activation == CAPP_XIELU && (st = bind_curve(b, i, &layer->up.curve)) != CAPP_OK) return st;
    return capp_bind_matrix(b, &down, 1, 1, feed, h->feed_bias, &layer->down);
}

static capp_status bind_layer(binder *b, uint32_t i) {
    const capp_hparams *h = &b->w->hparams;
    capp_layer *layer = &b->w->layers[i];
    capp_status st;
    layer->shape = h->shapes[i];
    bool local = h->kinds[i] & CAPP_LOCAL;
    layer->rope = local && h->n_ropes == 2;
    layer->window = local ? h->window : 0;
    layer->score_scale = h->score_scale / (h->scale_by_layer ? (float)i + 1 : 1);
    layer->still = h->kinds[i] & CAPP_STILL;
    if ((st = bind_norms(b, i, layer)) != CAPP_OK) return st;
    layer->scale = 1;
    if (h->layer_scale &&
        (st = capp_bind_read(b, (place){CAPP_PART_LAYER_SCALE, i, 0}, capp_weight_suffix(b, CAPP_PART_LAYER_SCALE), 1,
                             &layer->scale)) != CAPP_OK)
        return st;
    const capp_piece straight = {{CAPP_PART_OUT, i, 0}, h->width};
    if (capp_has_attention(h, i) && (st = bind_attention(b, i, layer)) != CAPP_OK) return st;
    if (h->kinds[i] & CAPP_STRAIGHT &&
        (st = capp_bind_matrix(b, &straight, 1, 1, h->width, h->out_bias, &layer->out)) != CAPP_OK)
        return st;
    if (h->kinds[i] & CAPP_MIXES && (st = capp_bind_mix(b, i, layer)) != CAPP_OK) return st;
    if (!(h->kinds[i] & CAPP_BARE) && (st = bind_feed(b, i, layer)) != CAPP_OK) return st;
    if (h->streams && (st = capp_bind_altup(b, i, &layer->altup)) != CAPP_OK) return st;
    return h->side ? capp_bind_side(b, i, &layer->side) : CAPP_OK;
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
    if ((st = capp_bind_shape(b, name, w->tokens, h->embedded, h->vocabulary)) != CAPP_OK) return st;
    if (capp_in_folder(b) && capp_source_number(b->s, "vocab_size", &vocabulary) == CAPP_FOUND &&
        vocabulary != (double)h->vocabulary)
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensor %s has %u rows, but vocab_size in config.json is %g; download the model again",
                         capp_source_path(b->s), name, h->vocabulary, vocabulary);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): capp_bind_shape fails if it is NULL */
    w->tokens_dequant = capp_dequant(w->tokens->type);
    const capp_piece in = {{CAPP_PART_PROJECT_IN, 0, 0}, h->width}, out = {{CAPP_PART_PROJECT_OUT, 0, 0}, h->embedded};
    if (h->embedded != h->width &&
        ((st = capp_bind_matrix(b, &in, 1, 1, h->embedded, false, &w->project_in)) != CAPP_OK ||
         (st = capp_bind_matrix(b, &out, 1, 1, h->width, false, &w->project_out)) != CAPP_OK))
        return st;
    if (!w->arch->learned_positions) return CAPP_OK;
    w->position_offset = capp_in_folder(b) ? w->arch->position_offset : 0;
    w->positions = capp_find(b, (place){CAPP_PART_POSITIONS, 0, 0}, ".weight", name);
    st = capp_bind_shape(b, name, w->positions, h->width, (uint64_t)h->context + w->position_offset);
    if (st == CAPP_OK) w->positions_dequant = capp_dequant(w->positions->type);
    return st;
}

static capp_status bind_tokens_norm(binder *b) {
    const size_t width = b->w->hparams.width;
    if (b->w->arch->bare_tokens_norm) return capp_bind_ones(b, width, &b->w->tokens_norm);
    if (!b->w->arch->tokens_norm) return CAPP_OK;
    return capp_bind_norm(b, (place){CAPP_PART_TOKENS_NORM, 0, 0}, 1, width, true, &b->w->tokens_norm);
}

/* Multiplies the norm before the head by the scale of the logits. */
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
    capp_status st;
    if (!h->no_output_norm &&
        (st = capp_bind_norm(b, (place){CAPP_PART_OUTPUT_NORM, 0, 0}, 1, h->width, true, &w->output_norm)) != CAPP_OK)
        return st;
    scale_norm(w, h->logit_scale);
    /* If a tied head is stored anyway, it is a copy of the embedding: marks it as bound, but does not count its
     * weights. */
    if (h->tied) capp_bind_ignore(b, (place){CAPP_PART_HEAD, 0, 0}, ".weight");
    const capp_piece head = {{h->tied ? CAPP_PART_TOKENS : CAPP_PART_HEAD, 0, 0}, h->vocabulary};
    st = capp_bind_matrix(b, &head, 1, 1, h->embedded, false, &w->head);
    if (st != CAPP_OK || !h->head_bias) return st;
    return capp_bind_floats(b, (place){CAPP_PART_HEAD, 0, 0}, ".bias", h->vocabulary, &w->head.bias);
}

/* ---- Positions -----------------------------------------------------------------------------------------------------
 */

/* Reads the divisors of frequencies from a field of rope_scaling in config.json, in any of its possible places. */
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
    size_t n = h->ropes[0].dims / 2;
    if (capp_in_folder(b)) return config_factors(b, longer ? "long_factor" : "short_factor", n, out);
    capp_part part = !h->short_context ? CAPP_PART_ROPE_FACTORS : longer ? CAPP_PART_ROPE_LONG : CAPP_PART_ROPE_SHORT;
    capp_status st = capp_bind_read(b, (place){part, 0, 0}, ".weight", n, out);
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
    float *factors = capp_bind_new_floats(b, half), *slopes = capp_bind_new_floats(b, h->heads);
    if (!w->frequencies || !factors || !slopes) return capp_bind_memory(b);
    for (size_t i = 0; i < 2 * (size_t)h->n_ropes; i++) {
        bool longer = i >= h->n_ropes;
        const capp_rope *rope = &h->ropes[longer ? i - h->n_ropes : i];
        if (rope->scaling == CAPP_SCALING_FACTORS && (st = rope_factors(b, longer, factors)) != CAPP_OK) return st;
        capp_rope_frequencies(w->frequencies + i * half, rope, rope->dims, factors);
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

/* Whether t is a buffer without weights, as in old folders: a mask, or frequencies that config.json has too. */
static bool is_buffer(const capp_source *s, const capp_tensor *t) {
    static const char *const ends[] = {".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias",
                                       ".rotary_emb.inv_freq"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !s->gguf; i++) {
        size_t n = strlen(ends[i]);
        if (t->name.size > n && !memcmp(t->name.data + t->name.size - n, ends[i], n)) return true;
    }
    return false;
}

/* Whether t belongs to a layer after the model's own layers. Such a layer predicts further tokens. */
static bool is_skipped(const binder *b, const capp_tensor *t) {
    const capp_hparams *h = &b->w->hparams;
    char name[MOST_NAME];
    const char *further = capp_in_folder(b) ? b->w->arch->further : NULL;
    if (further && t->name.size > strlen(further) && !memcmp(t->name.data, further, strlen(further))) return true;
    for (uint32_t i = h->layers; i < h->layers + h->skipped_layers; i++) {
        size_t n = (size_t)snprintf(name, sizeof name, capp_in_folder(b) ? "model.layers.%u." : "blk.%u.", i);
        if (t->name.size > n && !memcmp(t->name.data, name, n)) return true;
    }
    return false;
}

/* Whether a name begins as the known name does, up to the number of the layer. */
static bool is_of_layer(capp_str name, const char *known, uint32_t layer) {
    char number[16];
    size_t n = (size_t)snprintf(number, sizeof number, ".%u.", layer);
    const char *at = strstr(known, number);
    if (at) n += (size_t)(at - known);
    return at && name.size > n && !memcmp(name.data, known, n);
}

static capp_status fail_unexpected(const binder *b, capp_str name) {
    char nearest[MOST_NAME];
    const uint32_t layers = b->w->hparams.layers + b->w->hparams.skipped_layers;
    const place p = capp_place_nearest(b->s, b->w->arch, name, nearest);
    const int size = (int)(name.size < 100 ? name.size : 100);
    if (p.part >= CAPP_FIRST_LAYER_PART && p.layer >= layers && is_of_layer(name, nearest, p.layer))
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensor %.*s is of layer %u, but the model has %u of them, from 0 on, according to "
                         "%s; download or convert the model again",
                         capp_source_path(b->s), size, name.data, p.layer, layers,
                         capp_in_folder(b) ? "config.json" : "block_count in the metadata");
    const bool same = strlen(nearest) == name.size && !memcmp(nearest, name.data, name.size);
    return capp_fail(b->err, CAPP_EUNSUPPORTED,
                     "%s: unexpected tensor %.*s in a model of architecture %s: the model has a part that capp "
                     "does not support%s%s",
                     capp_source_path(b->s), size, name.data, b->w->arch->name,
                     same || !*nearest ? "" : "; the nearest name that capp knows is ", same ? "" : nearest);
}

/* A tensor that nothing reads would be a part of the model that capp leaves out: the answer would be wrong without a
 * warning. */
static capp_status check_all_bound(binder *b) {
    for (size_t i = 0; i < capp_source_n_tensors(b->s); i++) {
        const capp_tensor *t = capp_source_tensor_at(b->s, i);
        if (b->bound[i] || is_buffer(b->s, t) || is_skipped(b, t) ||
            ((b->s->gguf || capp_is_multimodal(b->s)) && capp_is_vision(t->name)) || capp_quant_idle(&b->w->hparams, t))
            continue;
        return fail_unexpected(b, t->name);
    }
    return CAPP_OK;
}

size_t capp_bind_jobs(const capp_hparams *h) {
    return (16 + CAPP_MOST_INNER + 2 * (size_t)h->experts + (h->latent ? 2 * (size_t)h->heads : 0)) * h->layers + 3 +
           2 * h->streams;
}

capp_status capp_bind(binder *b) {
    capp_status st;
    if ((st = bind_tables(b)) != CAPP_OK) return st;
    if ((st = bind_tokens_norm(b)) != CAPP_OK) return st;
    if (b->w->hparams.side && (st = capp_bind_side_tokens(b)) != CAPP_OK) return st;
    if (b->w->hparams.streams && (st = capp_bind_streams(b)) != CAPP_OK) return st;
    size_t states = 0;
    for (uint32_t i = 0; i < b->w->hparams.layers; i++) {
        capp_layer *layer = &b->w->layers[i];
        if ((st = bind_layer(b, i)) != CAPP_OK) return st;
        if (layer->mix_in.parts) layer->state = states++;
    }
    if ((st = bind_head(b)) != CAPP_OK) return st;
    if ((st = bind_positions(b)) != CAPP_OK) return st;
    return check_all_bound(b);
}
