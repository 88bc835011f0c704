/* Hyperparameters from GGUF metadata: keys "NAME.key", where NAME is the name of the architecture, as in
 * ggml/docs/gguf.md and llama.cpp. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "kernel/plain.h"
#include "model/arch.h"

/* Limits far above the sizes of any model. The product of two sizes then easily fits in 64 bits. */
enum { MOST_WIDTH = 1 << 20, MOST_HEADS = 1 << 14, MOST_CONTEXT = 1 << 28, MOST_LATENT = 4096, KEY = 128 };

typedef struct reader {
    const capp_source *s;
    const capp_arch *arch;
    capp_error *err;
} reader;

static const char *full(const reader *r, const char *key, char *out) {
    snprintf(out, KEY, "%s.%s", r->arch->gguf, key);
    return out;
}

static bool has(const reader *r, const char *key) {
    char name[KEY];
    return capp_gguf_find(r->s->gguf, full(r, key, name));
}

static bool has_tensor(const reader *r, const char *name) {
    return capp_source_find_tensor(r->s, name);
}

/* Reads the file's "ARCH.key". If it is missing and not required, the value is 0 and the result is CAPP_OK. */
static capp_status read_u32(const reader *r, const char *key, bool required, uint32_t most, uint32_t *out) {
    char name[KEY];
    *out = 0;
    if (!has(r, key)) {
        if (!required) return CAPP_OK;
        return capp_fail(r->err, CAPP_EFORMAT, "%s: metadata key %s is missing; convert the model again",
                         capp_source_path(r->s), full(r, key, name));
    }
    if (!capp_gguf_u32(r->s->gguf, full(r, key, name), out))
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: metadata key %s must be an integer from 0 to 4294967295; convert the model again",
                         capp_source_path(r->s), name);
    if (*out > most || (required && !*out))
        return capp_fail(r->err, CAPP_EFORMAT, "%s: metadata key %s is %u; expected 1 to %u", capp_source_path(r->s),
                         name, *out, most);
    return CAPP_OK;
}

static capp_status read_f64(const reader *r, const char *key, double missing, double *out) {
    char name[KEY];
    *out = missing;
    if (!has(r, key)) return CAPP_OK;
    if (capp_source_number(r->s, full(r, key, name), out) != CAPP_FOUND || !isfinite(*out) || *out <= 0)
        return capp_fail(r->err, CAPP_EFORMAT, "%s: metadata key %s must be a positive number; convert the model again",
                         capp_source_path(r->s), name);
    return CAPP_OK;
}

/* Like read_f64, for a key whose value 0 means none. */
static capp_status read_f32(const reader *r, const char *key, double missing, float *out) {
    double value;
    char name[KEY];
    *out = (float)missing;
    if (capp_source_number(r->s, full(r, key, name), &value) == CAPP_FOUND && value == 0) return CAPP_OK;
    capp_status st = read_f64(r, key, missing, &value);
    *out = (float)value;
    return st;
}

/* The list with a number for each layer that a key may have instead of a number; NULL if it is none. */
static const capp_gguf_value *list_of(const reader *r, const char *key) {
    char name[KEY];
    const capp_gguf_value *value = capp_gguf_find(r->s->gguf, full(r, key, name));
    return value && value->kind == CAPP_GGUF_ARRAY ? value : NULL;
}

/* Reads the number of layer i from a list; 0 if the key has no list. */
static capp_status read_at(const reader *r, const char *key, uint32_t i, uint32_t most, uint32_t *out) {
    char name[KEY];
    double value;
    const capp_gguf_value *list = list_of(r, key);
    *out = 0;
    if (!list) return CAPP_OK;
    if (!capp_gguf_array_f64(list, i, &value) || value != floor(value) || value < 0 || value > most)
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: metadata key %s must be a list of %u integers from 0 to %u; convert the model again",
                         capp_source_path(r->s), full(r, key, name), i + 1, most);
    *out = (uint32_t)value;
    return CAPP_OK;
}

/* Like read_u32, but the key may have a list with a number for each layer. Then *out is the largest number. */
static capp_status read_largest(const reader *r, const char *key, bool required, uint32_t most, const capp_hparams *h,
                                uint32_t *out) {
    uint32_t number;
    capp_status st;
    if (!list_of(r, key)) return read_u32(r, key, required, most, out);
    *out = 0;
    for (uint32_t i = 0; i < h->layers; i++) {
        if ((st = read_at(r, key, i, most, &number)) != CAPP_OK) return st;
        if (number > *out) *out = number;
    }
    return CAPP_OK;
}

/* In a list of key-value heads, 0 stands for a layer that has the architecture's capp_mix instead of attention. If
 * layers have one part each, a list of widths has 0 for all that have no feed-forward part. */
static capp_status read_silent(const reader *r, capp_hparams *h) {
    uint32_t n, feed;
    capp_status st;
    for (uint32_t i = 0; i < h->layers && r->arch->mixer && list_of(r, "attention.head_count_kv"); i++) {
        if ((st = read_at(r, "attention.head_count_kv", i, MOST_HEADS, &n)) != CAPP_OK) return st;
        if ((st = read_at(r, "feed_forward_length", i, MOST_WIDTH, &feed)) != CAPP_OK) return st;
        bool feeds = r->arch->part_alone && feed;
        if (!n && !feeds) h->kinds[i] |= CAPP_MIXES;
        if (r->arch->part_alone) h->kinds[i] |= feeds ? CAPP_FEEDS : CAPP_BARE | CAPP_DENSE;
    }
    return CAPP_OK;
}

/* DeciLM: no heads: no attention; no key-value heads: the last product of attention alone; no width: no feed-forward
 * part. */
static capp_status read_varied(const reader *r, capp_hparams *h) {
    static const struct {
        const char *key;
        unsigned char kind;
    } keys[] = {{"attention.head_count", CAPP_FEEDS},
                {"attention.head_count_kv", CAPP_STRAIGHT},
                {"feed_forward_length", CAPP_BARE}};
    for (uint32_t i = 0; i < h->layers && r->arch->varied; i++)
        for (size_t k = 0; k < 3; k++) {
            uint32_t n;
            if (!list_of(r, keys[k].key)) continue;
            capp_status st = read_at(r, keys[k].key, i, MOST_WIDTH, &n);
            if (st != CAPP_OK) return st;
            if (!n && !(h->kinds[i] & CAPP_FEEDS && k == 1)) h->kinds[i] |= keys[k].kind;
        }
    return CAPP_OK;
}

static capp_status read_sizes(const reader *r, capp_hparams *h) {
    capp_status st;
    if ((st = read_u32(r, "context_length", true, MOST_CONTEXT, &h->context)) != CAPP_OK) return st;
    if ((st = read_u32(r, "embedding_length", true, MOST_WIDTH, &h->width)) != CAPP_OK) return st;
    if ((st = read_u32(r, "block_count", true, CAPP_MOST_LAYERS, &h->layers)) != CAPP_OK) return st;
    if ((st = read_u32(r, "nextn_predict_layers", false, h->layers - 1, &h->skipped_layers)) != CAPP_OK) return st;
    h->layers -= h->skipped_layers;
    if (r->arch->mixes_only) {
        capp_mix_only(h, r->arch->part_alone);
        return CAPP_OK;
    }
    if ((st = read_largest(r, "attention.head_count", true, MOST_HEADS, h, &h->heads)) != CAPP_OK) return st;
    if (!h->heads)
        return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: the model has no attention; capp supports only models with it",
                         capp_source_path(r->s));
    if ((st = read_largest(r, "attention.head_count_kv", false, MOST_HEADS, h, &h->kv_heads)) != CAPP_OK) return st;
    if ((st = read_silent(r, h)) != CAPP_OK) return st;
    if ((st = read_varied(r, h)) != CAPP_OK) return st;
    if ((st = read_u32(r, "attention.key_length", false, MOST_WIDTH, &h->head_dim)) != CAPP_OK) return st;
    if (!h->head_dim) h->head_dim = h->width / h->heads;
    return CAPP_OK;
}

/* Reads how experts are chosen, and which layers have no experts. */
static capp_status read_router(const reader *r, capp_hparams *h) {
    uint32_t function, dense, step;
    capp_status st;
    if ((st = read_u32(r, "expert_gating_func", false, 4, &function)) != CAPP_OK) return st;
    if (function > 2)
        return capp_fail(r->err, CAPP_EUNSUPPORTED,
                         "%s: metadata key %s.expert_gating_func is %u; capp supports 1 and 2", capp_source_path(r->s),
                         r->arch->gguf, function);
    if (function) h->router_sigmoid = function == 2;
    /* Early files of GLM-4.7-Flash do not say it; llama.cpp recognizes them by these numbers. */
    const capp_tensor *tokens = capp_source_find_tensor(r->s, "token_embd.weight");
    if (!function && r->arch->latent && (h->layers == 47 || h->layers == 48) && tokens && tokens->dims[1] == 154880)
        h->router_sigmoid = true;
    if ((st = read_f32(r, "expert_weights_scale", 1, &h->router_scale)) != CAPP_OK) return st;
    if (h->router_scale == 0) h->router_scale = 1;
    if ((st = read_u32(r, "expert_group_count", false, CAPP_MOST_GROUPS, &h->expert_groups)) != CAPP_OK) return st;
    if ((st = read_u32(r, "expert_group_used_count", false, CAPP_MOST_GROUPS, &h->expert_groups_used))) return st;
    if ((st = read_u32(r, "leading_dense_block_count", false, CAPP_MOST_LAYERS, &dense)) != CAPP_OK) return st;
    if ((st = read_u32(r, "interleave_moe_layer_step", false, CAPP_MOST_LAYERS, &step)) != CAPP_OK) return st;
    for (uint32_t i = 0; i < h->layers; i++)
        if (i < dense || (step && (i + 1) % step)) h->kinds[i] |= CAPP_DENSE;
    return read_largest(r, "feed_forward_length", false, MOST_WIDTH, h, &h->dense_feed);
}

static capp_status read_feed(const reader *r, capp_hparams *h) {
    capp_status st;
    char name[KEY];
    if (r->arch->experts) {
        if ((st = read_u32(r, "expert_count", false, CAPP_MOST_EXPERTS, &h->experts)) != CAPP_OK) return st;
        if ((st = read_u32(r, "expert_used_count", h->experts, CAPP_MOST_EXPERTS, &h->experts_used)) != CAPP_OK)
            return st;
        if ((st = read_u32(r, "expert_feed_forward_length", false, MOST_WIDTH, &h->feed)) != CAPP_OK) return st;
        if ((st = read_u32(r, "moe_latent_size", false, h->width, &h->expert_latent)) != CAPP_OK) return st;
        (void)capp_source_bool(r->s, full(r, "expert_weights_norm", name), &h->router_norm);
        if (h->experts && r->arch->router_wide && (st = read_router(r, h)) != CAPP_OK) return st;
        for (uint32_t i = 0; i < h->layers && h->experts && !h->shared_feed; i++) {
            snprintf(name, sizeof name, "blk.%u.ffn_up_shexp.weight", i);
            const capp_tensor *t = capp_source_find_tensor(r->s, name);
            if (t && t->dims[1] <= MOST_WIDTH) h->shared_feed = (uint32_t)t->dims[1];
        }
        if (h->experts && r->arch->dense_beside)
            return read_u32(r, "feed_forward_length", true, MOST_WIDTH, &h->shared_feed);
        if (h->feed) return CAPP_OK;
    }
    if (r->arch->mixes_only && r->arch->part_alone) return CAPP_OK;
    if ((st = read_largest(r, "feed_forward_length", true, MOST_WIDTH, h, &h->feed)) != CAPP_OK) return st;
    if (h->experts && r->arch->mixer == CAPP_MIX_SELECT) h->dense_feed = h->feed;
    return CAPP_OK;
}

/* ---- Rotations ----------------------------------------------------------------------------------------------------
 */

static double mscale_of(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * capp_log(factor) + 1;
}

static capp_status read_scaling(const reader *r, capp_hparams *h) {
    capp_rope *rope = &h->ropes[0];
    capp_str type = capp_str_of(r->arch->rope_yarn ? "yarn" : "linear");
    char name[KEY];
    double attention;
    uint32_t original;
    capp_status st;
    (void)capp_source_str(r->s, full(r, "rope.scaling.type", name), &type);
    if ((st = read_f64(r, "rope.scaling.factor", 1, &rope->factor)) != CAPP_OK) return st;
    if (!has(r, "rope.scaling.factor") && (st = read_f64(r, "rope.scale_linear", 1, &rope->factor)) != CAPP_OK)
        return st;
    if ((st = read_u32(r, "rope.scaling.original_context_length", false, MOST_CONTEXT, &original)) != CAPP_OK)
        return st;
    if ((st = read_f64(r, "rope.scaling.attn_factor", 1, &attention)) != CAPP_OK) return st;
    if ((st = read_f64(r, "rope.scaling.yarn_beta_fast", 32, &rope->high)) != CAPP_OK) return st;
    if ((st = read_f64(r, "rope.scaling.yarn_beta_slow", 1, &rope->low)) != CAPP_OK) return st;
    rope->original = original ? original : h->context;
    rope->untruncated = r->arch->rope_untruncated;
    rope->magnitude = attention;
    if (capp_str_is(type, "yarn")) {
        double all = 0;
        if ((st = read_f64(r, "rope.scaling.yarn_log_multiplier", 0, &all)) != CAPP_OK) return st;
        rope->scaling = CAPP_SCALING_YARN;
        rope->magnitude *= mscale_of(rope->factor, 1) / (all > 0 ? mscale_of(rope->factor, all) : 1);
    } else if (capp_str_is(type, "linear") && rope->factor != 1)
        rope->scaling = CAPP_SCALING_LINEAR;
    else if (!capp_str_is(type, "linear") && !capp_str_is(type, "none") && !capp_str_is(type, "longrope"))
        return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: rope scaling \"%.*s\" is not supported",
                         capp_source_path(r->s), (int)(type.size < 40 ? type.size : 40), type.data);
    bool factors = has_tensor(r, "rope_freqs.weight"), choice = has_tensor(r, "rope_factors_long.weight");
    if ((factors || choice) && rope->scaling != CAPP_SCALING_NONE)
        return capp_fail(
            r->err, CAPP_EUNSUPPORTED,
            "%s: the model has both rope scaling \"%.*s\" and a tensor of rope factors; capp supports only one of them",
            capp_source_path(r->s), (int)(type.size < 40 ? type.size : 40), type.data);
    if (factors || choice) rope->scaling = CAPP_SCALING_FACTORS;
    if (choice) h->short_context = (uint32_t)rope->original;
    return CAPP_OK;
}

static capp_status read_rope(const reader *r, capp_hparams *h) {
    capp_status st;
    if (r->arch->alibi_layers && h->layers == r->arch->alibi_layers) {
        h->rope = CAPP_ROPE_NONE;
        h->alibi = 8;
    }
    if (h->rope == CAPP_ROPE_NONE) return CAPP_OK;
    if ((st = read_u32(r, "rope.dimension_count", false, h->head_dim, &h->rope_dims)) != CAPP_OK) return st;
    if (!h->rope_dims) h->rope_dims = h->head_dim;
    if ((st = read_f64(r, "rope.freq_base", 10000, &h->ropes[0].base)) != CAPP_OK) return st;
    h->n_ropes = 1;
    if (r->arch->local_rope_base > 0) {
        if ((st = read_f64(r, "rope.freq_base_swa", r->arch->local_rope_base, &h->ropes[1].base)) != CAPP_OK) return st;
        h->n_ropes = 2;
    }
    if (r->arch->local_rope_unscaled && has(r, "attention.sliding_window")) {
        if ((st = read_f64(r, "rope.freq_base_swa", h->ropes[0].base, &h->ropes[1].base)) != CAPP_OK) return st;
        h->n_ropes = 2;
    }
    return read_scaling(r, h);
}

/* Llama 4's files do not have these numbers. */
static void set_chunks(capp_hparams *h) {
    h->window = 8192, h->chunks = true;
    h->growth = 0.1F, h->growth_span = 8192, h->growth_still = true;
}

/* Reads which layers have an attention window, and which do not rotate. */
static capp_status read_kinds(const reader *r, capp_hparams *h) {
    capp_status st;
    char name[KEY];
    bool windowed = r->arch->window_period && r->arch->window_period != CAPP_ALL_LOCAL;
    uint32_t period = windowed ? r->arch->window_period : CAPP_ALL_LOCAL;
    bool needed = windowed && !r->arch->maybe_windows;
    if ((st = read_u32(r, "attention.sliding_window", needed && !r->arch->chunks, MOST_CONTEXT, &h->window))) return st;
    if (r->arch->chunks && has(r, "attention.sliding_window") && !h->window) return CAPP_OK; /* all layers are alike */
    if (r->arch->chunks) set_chunks(h);
    const capp_gguf_value *pattern = capp_gguf_find(r->s->gguf, full(r, "attention.sliding_window_pattern", name));
    bool listed = pattern && pattern->kind == CAPP_GGUF_ARRAY;
    if (listed && (pattern->element != CAPP_GGUF_BOOL || pattern->count < h->layers))
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: metadata key %s must be a list of %u booleans; convert the model again",
                         capp_source_path(r->s), name, h->layers);
    if (pattern && !listed && (st = read_u32(r, "attention.sliding_window_pattern", true, CAPP_MOST_LAYERS, &period)))
        return st;
    for (uint32_t i = 0; i < h->layers; i++) {
        uint32_t at = r->arch->global_first ? i : r->arch->global_last ? h->layers - 1 - i : i + 1;
        bool local = listed ? ((const unsigned char *)pattern->bytes)[i] != 0 : period && at % period != 0;
        if (h->window && local) h->kinds[i] |= CAPP_LOCAL;
        if (r->arch->nope_period && (i + 1) % r->arch->nope_period == 0) h->kinds[i] |= CAPP_STILL;
        bool still = r->arch->nope_global && (h->window || !r->arch->maybe_windows);
        if (still && !(h->kinds[i] & CAPP_LOCAL)) h->kinds[i] |= CAPP_STILL;
    }
    return CAPP_OK;
}

/* ---- Layers that differ --------------------------------------------------------------------------------------------
 */

/* Layers with a window have heads of their own size; the last layers read the keys and values of the last layer of
 * their kind before them; values may be the keys. */
static capp_status read_local_heads(const reader *r, capp_hparams *h) {
    uint32_t dims, values, rotating, shared, full = h->head_dim;
    char name[KEY];
    capp_status st;
    if ((st = read_u32(r, "attention.key_length_swa", false, MOST_WIDTH, &dims)) != CAPP_OK) return st;
    if ((st = read_u32(r, "attention.value_length_swa", false, MOST_WIDTH, &values)) != CAPP_OK) return st;
    if ((st = read_u32(r, "rope.dimension_count_swa", false, MOST_WIDTH, &rotating)) != CAPP_OK) return st;
    if ((st = read_u32(r, "attention.shared_kv_layers", false, h->layers - 1, &shared)) != CAPP_OK) return st;
    if ((st = read_u32(r, "embedding_length_per_layer_input", false, MOST_WIDTH, &h->side)) != CAPP_OK) return st;
    if (!dims) dims = full;
    h->ropes[1].dims = rotating ? rotating : dims;
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_shape *shape = &h->shapes[i];
        bool local = h->kinds[i] & CAPP_LOCAL;
        uint32_t from = h->layers - shared;
        shape->key = (uint16_t)(local ? dims : full);
        if (local && values) shape->value = (uint16_t)values;
        snprintf(name, sizeof name, "blk.%u.attn_qkv.weight", i);
        bool fused = has_tensor(r, name);
        snprintf(name, sizeof name, "blk.%u.attn_v.weight", i);
        shape->keys_as_values = !fused && !has_tensor(r, name);
        while (i >= h->layers - shared && from > 0 && ((h->kinds[from - 1] ^ h->kinds[i]) & CAPP_LOCAL)) from--;
        if (i >= h->layers - shared && from) shape->back = (uint16_t)(i - (from - 1));
        if (!from)
            return capp_fail(r->err, CAPP_EFORMAT,
                             "%s: no layer has keys and values that layer %u could share; convert the model again",
                             capp_source_path(r->s), i);
    }
    h->layer_scale = r->arch->layer_scale && has_tensor(r, "blk.0.layer_output_scale.weight");
    return CAPP_OK;
}

/* Several streams. A list has the cutoffs of sparse gates; that of other layers is -inf. Without it, llama.cpp's number
 * counts: ten layers are sparse. */
static capp_status read_streams(const reader *r, capp_hparams *h) {
    char name[KEY];
    uint32_t active;
    double cutoff;
    capp_status st;
    const capp_tensor *left = capp_source_find_tensor(r->s, "blk.0.laurel_l.weight");
    if ((st = read_u32(r, "altup.active_idx", false, 0, &active)) != CAPP_OK) return st;
    if ((st = read_u32(r, "altup.num_inputs", true, CAPP_MOST_STREAMS, &h->streams)) != CAPP_OK) return st;
    if (left && left->dims[1] <= MOST_WIDTH) h->laurel = (uint32_t)left->dims[1];
    h->altup_scale = true;
    const capp_gguf_value *list = list_of(r, "activation_sparsity_scale");
    for (uint32_t i = 0; i < h->layers; i++) {
        if (!list) cutoff = i < 10 ? 1.6448533535003662 : -INFINITY;
        if (list && (!capp_gguf_array_f64(list, i, &cutoff) || isnan(cutoff) || cutoff > 100))
            return capp_fail(r->err, CAPP_EFORMAT,
                             "%s: metadata key %s must be a list of %u numbers; convert the model again",
                             capp_source_path(r->s), full(r, "activation_sparsity_scale", name), h->layers);
        h->shapes[i].sparse = isfinite(cutoff);
        h->shapes[i].cutoff = (float)cutoff;
    }
    if (h->side && h->streams > 1 && h->laurel) return CAPP_OK;
    return capp_fail(r->err, CAPP_EFORMAT,
                     "%s: side embeddings, streams or blk.0.laurel_l.weight are missing; convert the model again",
                     capp_source_path(r->s));
}

/* Latent attention: older files have the sizes of a head's keys and values as those of the model. */
static capp_status read_latent(const reader *r, capp_hparams *h) {
    uint32_t key, value;
    double all = 0;
    capp_status st;
    if ((st = read_u32(r, "attention.kv_lora_rank", true, MOST_LATENT, &h->latent)) != CAPP_OK) return st;
    if ((st = read_u32(r, "attention.q_lora_rank", false, MOST_LATENT, &h->q_latent)) != CAPP_OK) return st;
    if ((st = read_u32(r, "rope.dimension_count", true, MOST_LATENT, &h->rope_dims)) != CAPP_OK) return st;
    bool newer = has(r, "attention.key_length_mla");
    const char *keys = newer ? "attention.key_length_mla" : "attention.key_length";
    const char *values = newer ? "attention.value_length_mla" : "attention.value_length";
    if ((st = read_u32(r, keys, true, MOST_LATENT, &key)) != CAPP_OK) return st;
    /* MiniCPM 3's files do not say it. */
    if (!has(r, values))
        value = h->width / h->heads;
    else if ((st = read_u32(r, values, true, MOST_LATENT, &value)) != CAPP_OK)
        return st;
    if (key <= h->rope_dims)
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: keys have %u dimensions, of which %u rotate; convert the model again",
                         capp_source_path(r->s), key, h->rope_dims);
    h->still = key - h->rope_dims;
    h->latent_value = value;
    h->score_scale = (float)(1 / sqrt((double)key));
    /* The converter writes a tenth of the number that config.json has. */
    if (h->ropes[0].scaling == CAPP_SCALING_YARN && has(r, "rope.scaling.yarn_log_multiplier")) {
        if ((st = read_f64(r, "rope.scaling.yarn_log_multiplier", 0, &all)) != CAPP_OK) return st;
        double m = mscale_of(h->ropes[0].factor, 10 * all);
        h->score_scale *= (float)(m * m);
        h->ropes[0].magnitude = r->arch->query_growth ? mscale_of(h->ropes[0].factor, 1) / m : 1;
    }
    capp_latent_shapes(h);
    return CAPP_OK;
}

/* Reads lists with a number for each layer. */
static capp_status read_shapes(const reader *r, capp_hparams *h) {
    uint32_t heads, kv_heads, value;
    capp_status st;
    if (r->arch->latent) return read_latent(r, h);
    if (r->arch->mixes_only) return CAPP_OK;
    if ((st = read_u32(r, "attention.value_length", false, MOST_WIDTH, &value)) != CAPP_OK) return st;
    for (uint32_t i = 0; i < h->layers; i++) {
        if ((st = read_at(r, "attention.head_count", i, MOST_HEADS, &heads)) != CAPP_OK) return st;
        if ((st = read_at(r, "attention.head_count_kv", i, MOST_HEADS, &kv_heads)) != CAPP_OK) return st;
        if ((st = read_at(r, "feed_forward_length", i, MOST_WIDTH, &h->shapes[i].feed)) != CAPP_OK) return st;
        h->shapes[i].heads = (uint16_t)heads, h->shapes[i].kv_heads = (uint16_t)kv_heads;
        if (!r->arch->local_heads) h->shapes[i].value = (uint16_t)(value < 1 << 15 ? value : 1 << 15);
    }
    bool shared = r->arch->local_heads || r->arch->streams;
    if (shared && (st = read_local_heads(r, h)) != CAPP_OK) return st;
    return r->arch->streams ? read_streams(r, h) : CAPP_OK;
}

/* ---- Other numbers ------------------------------------------------------------------------------------------------
 */

static capp_status read_scales(const reader *r, capp_hparams *h) {
    const capp_arch *arch = r->arch;
    capp_status st;
    if (!arch->latent && (st = read_f32(r, "attention.scale", 0, &h->score_scale)) != CAPP_OK) return st;
    /* The largest Gemma models scale by width / heads, but their files do not say so. llama.cpp recognizes them by the
     * number of layers. */
    if (h->score_scale == 0 &&
        ((!strcmp(arch->name, "gemma2") && h->layers == 46) || (!strcmp(arch->name, "gemma3") && h->layers == 62)))
        h->score_scale = (float)(1 / sqrt((double)h->width / h->heads));
    if (arch->scales) {
        bool minicpm = !strcmp(arch->name, "minicpm"); /* its older files do not have the scales */
        double embedding = minicpm ? 12 : 1, logits = minicpm ? 256.0 / h->width : 1;
        double residual = minicpm ? 1.4 / sqrt(h->layers) : 1;
        if ((st = read_f32(r, "embedding_scale", embedding, &h->embedding_scale)) != CAPP_OK) return st;
        if ((st = read_f32(r, "residual_scale", residual, &h->residual_scale)) != CAPP_OK) return st;
        if ((st = read_f32(r, "logit_scale", logits, &h->logit_scale)) != CAPP_OK) return st;
        if (h->embedding_scale == 0) h->embedding_scale = 1;
        if (h->residual_scale == 0) h->residual_scale = 1;
        h->logit_scale = h->logit_scale == 0 ? 1 : 1 / h->logit_scale;
    }
    if (!strcmp(arch->name, "minicpm3")) {
        h->embedding_scale = 12, h->logit_scale = 256 / (float)h->width;
        h->residual_scale = (float)(1.4 / sqrt(h->layers));
    }
    if (!strcmp(arch->name, "afmoe")) h->embedding_scale = sqrtf((float)h->width);
    if (arch->logit_scale && (st = read_f32(r, "logit_scale", 1, &h->logit_scale)) != CAPP_OK) return st;
    if (arch->caps) {
        if ((st = read_f32(r, "attn_logit_softcapping", 50, &h->score_cap)) != CAPP_OK) return st;
        if ((st = read_f32(r, "final_logit_softcapping", 30, &h->logit_cap)) != CAPP_OK) return st;
    }
    if (arch->cap_logits && (st = read_f32(r, "final_logit_softcapping", 0, &h->logit_cap)) != CAPP_OK) return st;
    if (arch->clamps && (st = read_f32(r, "attention.clamp_kqv", 0, &h->clamp)) != CAPP_OK) return st;
    if (arch->alibi && (st = read_f32(r, "attention.max_alibi_bias", 8, &h->alibi)) != CAPP_OK) return st;
    if (arch->query_growth && (st = read_f32(r, "attention.temperature_scale", 0, &h->growth)) != CAPP_OK) return st;
    if (arch->query_growth) h->growth_span = h->ropes[0].original;
    return CAPP_OK;
}

/* Whether the first layer that has this part (CAPP_FEEDS: a feed-forward part; 0: attention) has a tensor with this
 * name. */
static bool has_part_tensor(const reader *r, const capp_hparams *h, unsigned part, const char *name) {
    char full_name[KEY];
    uint32_t i = 0;
    while (i + 1 < h->layers && (part ? h->kinds[i] & CAPP_BARE : !capp_has_attention(h, i))) i++;
    snprintf(full_name, sizeof full_name, "blk.%u.%s", i, name);
    return has_tensor(r, full_name);
}

static bool has_attention_tensor(const reader *r, const capp_hparams *h, const char *name) {
    return has_part_tensor(r, h, 0, name);
}

/* Properties that the tensors of a file show. */
static void read_presence(const reader *r, capp_hparams *h) {
    const capp_arch *arch = r->arch;
    char name[KEY];
    bool parallel;
    h->tied = !has_tensor(r, "output.weight");
    h->qkv_bias = arch->qkv_bias.key
                      ? has_attention_tensor(r, h, "attn_qkv.bias") || has_attention_tensor(r, h, "attn_q.bias")
                      : arch->qkv_bias.by_default;
    h->out_bias = arch->out_bias.key
                      ? has_attention_tensor(r, h, "attn_output.bias") || has_attention_tensor(r, h, "attn_out.bias")
                      : arch->out_bias.by_default;
    h->feed_bias = arch->feed_bias.key ? has_part_tensor(r, h, CAPP_FEEDS, "ffn_up.bias") : arch->feed_bias.by_default;
    if (arch->head_bias_key) h->head_bias = has_tensor(r, "output.bias");
    if (arch->qk_norm_bare && h->experts == 128) h->qk_norm = CAPP_QK_NONE; /* as llama.cpp recognizes Maverick */
    if (arch->qk_norm_key && !arch->qk_norm_bare && !has_attention_tensor(r, h, "attn_q_norm.weight"))
        h->qk_norm = CAPP_QK_NONE;
    if (h->parallel == CAPP_PARALLEL_SHARED && has_tensor(r, "blk.0.attn_norm_2.weight"))
        h->parallel = CAPP_PARALLEL_OWN;
    if (arch->maybe_parallel && !has_tensor(r, "blk.0.ffn_norm.weight")) h->parallel = CAPP_PARALLEL_SHARED;
    if (capp_source_bool(r->s, full(r, "use_parallel_residual", name), &parallel) == CAPP_FOUND && !parallel)
        h->parallel = CAPP_SEQUENTIAL;
}

/* Rejects metadata that changes the arithmetic in a way that the architecture does not support. Each key has a value
 * that changes nothing; 0 never changes anything. */
static capp_status refuse_foreign_keys(const reader *r) {
    const capp_arch *a = r->arch;
    const struct {
        const char *key;
        bool known;
        double neutral;
    } keys[] = {
        {"expert_count", a->experts, 0},
        {"moe_latent_size", a->names[CAPP_PART_EXPERT_IN], 0},
        {"attention.sliding_window", a->window_period != 0, 0},
        {"expert_shared_count", a->names[CAPP_PART_SHARED_UP], 0},
        {"expert_weights_scale", a->router_wide, 1},
        {"expert_gating_func", a->router_wide, 1},
        {"expert_group_count", a->router_wide, 1},
        {"leading_dense_block_count", a->router_wide, 0},
        {"logit_scale", a->logit_scale || a->scales, 1},
        {"residual_scale", a->scales, 1},
        {"embedding_scale", a->scales, 1},
        {"attn_logit_softcapping", a->caps, 0},
        {"final_logit_softcapping", a->caps || a->cap_logits, 0},
        {"attention.clamp_kqv", a->clamps, 0},
        {"attention.max_alibi_bias", a->alibi, 0},
        {"attention.temperature_scale", a->query_growth, 0},
        {"rope.scaling.yarn_log_multiplier", a->query_growth || a->latent, 0},
        {"rope.scaling.yarn_ext_factor", false, 1},
        {"rope.scaling.yarn_attn_factor", false, 1},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char name[KEY];
        double value;
        if (keys[i].known || capp_source_number(r->s, full(r, keys[i].key, name), &value) != CAPP_FOUND || value == 0 ||
            value == keys[i].neutral)
            continue;
        /* GPT-OSS: a softmax over the chosen experts. This equals a softmax over all experts, with the shares of the
         * chosen ones then divided by their sum. */
        if (!strcmp(keys[i].key, "expert_gating_func") && a->sinks && value == 3) continue;
        return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: %s is %g, which capp does not support", capp_source_path(r->s),
                         name, value);
    }
    return CAPP_OK;
}

capp_status capp_metadata_read(capp_hparams *h, const capp_arch *arch, const capp_source *s, capp_error *err) {
    reader r = {s, arch, err};
    capp_status st;
    if ((st = refuse_foreign_keys(&r)) != CAPP_OK) return st;
    if ((st = read_sizes(&r, h)) != CAPP_OK) return st;
    if ((st = capp_metadata_mix(h, arch, s, err)) != CAPP_OK) return st;
    if ((st = read_feed(&r, h)) != CAPP_OK) return st;
    if ((st = read_rope(&r, h)) != CAPP_OK) return st;
    if ((st = read_kinds(&r, h)) != CAPP_OK) return st;
    if ((st = read_shapes(&r, h)) != CAPP_OK) return st;
    if ((st = read_scales(&r, h)) != CAPP_OK) return st;
    read_presence(&r, h);
    double eps;
    const char *key = "attention.layer_norm_rms_epsilon";
    if ((arch->norm == CAPP_NORM_LAYER && !has(&r, key)) || (arch->part_alone && !has(&r, key)))
        key = "attention.layer_norm_epsilon";
    if ((st = read_f64(&r, key, 1e-5, &eps)) != CAPP_OK) return st;
    h->norm_eps = (float)eps;
    return CAPP_OK;
}
