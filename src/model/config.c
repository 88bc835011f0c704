/* Hyperparameters from config.json, under the names that transformers' configuration classes use. If a field is
 * missing, the default of transformers counts. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "model/binder.h"
#include "model/fields.h"

/* ---- Sizes --------------------------------------------------------------------------------------------------------
 */

/* Reads an integer from 0 to most; 0 if there is none. */
static capp_status whole(const capp_fields *r, const char *names, uint32_t most, uint32_t *out) {
    double value;
    bool found;
    capp_status st = capp_field_number(r, names, &value, &found);
    *out = 0;
    if (st != CAPP_OK || !found || value == 0) return st;
    return capp_field_count(r, names, 0, most, out);
}

static capp_status read_kv_heads(const capp_fields *r, capp_hparams *h) {
    bool newer, shared;
    capp_status st;
    bool falcon = !strcmp(r->arch->name, "falcon");
    if (!falcon && strcmp(r->arch->name, "starcoder"))
        return capp_field_count(r, "num_key_value_heads|attn_config.kv_n_heads", h->heads, CAPP_MOST_HEADS,
                                &h->kv_heads);
    if ((st = capp_field_truth(r, "multi_query", true, &shared)) != CAPP_OK) return st;
    h->kv_heads = shared ? 1 : h->heads;
    if (!falcon) return CAPP_OK;
    if ((st = capp_field_truth(r, "new_decoder_architecture", false, &newer)) != CAPP_OK) return st;
    return newer ? capp_field_count(r, "num_kv_heads|n_head_kv", h->heads, CAPP_MOST_HEADS, &h->kv_heads) : CAPP_OK;
}

static capp_status read_router(const capp_fields *r, capp_hparams *h) {
    capp_status st;
    if (!r->arch->router_wide) return CAPP_OK;
    if ((st = capp_field_single(r, "routed_scaling_factor|route_scale", 1, &h->router_scale)) != CAPP_OK) return st;
    if ((st = whole(r, "n_group", CAPP_MOST_GROUPS, &h->expert_groups)) != CAPP_OK) return st;
    if ((st = whole(r, "topk_group", CAPP_MOST_GROUPS, &h->expert_groups_used)) != CAPP_OK) return st;
    /* DeepSeek V2: the method "greedy" ignores the groups; it is also the default. */
    capp_str method = {"greedy", 6};
    (void)capp_source_str(r->s, "topk_method", &method);
    if (r->arch->groups_by_best && capp_str_is(method, "greedy")) h->expert_groups = h->expert_groups_used = 0;
    return CAPP_OK;
}

/* DBRX: the shares of the chosen experts are divided by their sum, or not. */
static capp_status read_dbrx_router(const capp_fields *r, capp_hparams *h) {
    static const char key[] = "ffn_config.moe_normalize_expert_weights", act[] = "ffn_config.ffn_act_fn.name";
    capp_json feed = capp_config_at(capp_folder_config(r->s->folder), "ffn_config");
    capp_json value = capp_json_get(feed, "moe_normalize_expert_weights");
    capp_str name = {"silu", 4};
    double norm = 1;
    if (value && capp_json_kind_of(value) == CAPP_JSON_NULL)
        h->router_norm = false;
    else if (value && (!capp_json_f64(value, &norm) || norm != 1))
        return capp_field_fail(r, CAPP_EUNSUPPORTED, key, "must be 1 or null; capp does not support other values");
    (void)capp_source_str(r->s, act, &name);
    if (!capp_str_is(name, "silu"))
        return capp_field_fail(r, CAPP_EUNSUPPORTED, act, "must be silu; capp does not support other values");
    return CAPP_OK;
}

/* Phi-MoE: how near to the best an expert must be to count. */
static capp_status read_near(const capp_fields *r, capp_hparams *h) {
    return capp_field_single(r, "router_jitter_noise", 0.01, &h->near);
}

/* The width of the shared expert, which all rows use: config.json names the width, or the number of other experts that
 * are as wide together. */
static capp_status read_shared(const capp_fields *r, capp_hparams *h) {
    uint32_t n;
    capp_status st;
    if (!r->arch->names[CAPP_PART_SHARED_UP]) return CAPP_OK;
    if ((st = whole(r, "shared_expert_intermediate_size|shared_intermediate_size|moe_shared_expert_intermediate_size",
                    CAPP_MOST_WIDTH, &h->shared_feed)) != CAPP_OK)
        return st;
    if (h->shared_feed) return CAPP_OK;
    if ((st = whole(r, "n_shared_experts|num_shared_experts|num_shared_expert|moe_num_shared_experts",
                    CAPP_MOST_EXPERTS, &n)))
        return st;
    if ((uint64_t)n * h->feed > CAPP_MOST_WIDTH)
        return capp_field_fail(r, CAPP_EFORMAT, "moe_intermediate_size", "is too large for as many shared experts");
    h->shared_feed = n * h->feed;
    return CAPP_OK;
}

static capp_status read_feed(const capp_fields *r, capp_hparams *h) {
    capp_status st;
    if (r->arch->experts && (!r->arch->part_alone || capp_mix_has_experts(r))) {
        double experts;
        bool found;
        static const char names[] = "num_experts|num_local_experts|n_routed_experts|moe_num_experts|"
                                    "ffn_config.moe_num_experts";
        static const char used[] =
            "num_experts_per_token|num_experts_per_tok|experts_per_token|moe_k|moe_topk|top_k_experts|"
            "ffn_config.moe_top_k";
        if ((st = capp_field_number(r, names, &experts, &found)) != CAPP_OK) return st;
        if (found && experts != 0) {
            bool older = !strncmp(r->arch->hf, "qwen", 4) && !r->arch->mixer && !r->arch->joint_experts;
            bool norm = h->router_norm && !older;
            if ((st = capp_field_count(r, names, 0, CAPP_MOST_EXPERTS, &h->experts)) != CAPP_OK) return st;
            if ((st = capp_field_count(r, used, 0, CAPP_MOST_EXPERTS, &h->experts_used)) != CAPP_OK) return st;
            if ((st = capp_field_truth(r, "norm_topk_prob", norm, &h->router_norm)) != CAPP_OK) return st;
        }
        if (r->arch->listed_experts && (st = read_dbrx_router(r, h)) != CAPP_OK) return st;
        if (r->arch->near_best && (st = read_near(r, h)) != CAPP_OK) return st;
        if ((st = read_router(r, h)) != CAPP_OK) return st;
        if ((st = capp_field_number(r, "moe_intermediate_size", &experts, &found)) != CAPP_OK) return st;
        if (found) {
            if ((st = capp_field_count(r, "moe_intermediate_size", 0, CAPP_MOST_WIDTH, &h->feed)) != CAPP_OK) return st;
            if ((st = capp_field_count(r, "intermediate_size", h->feed, CAPP_MOST_WIDTH, &h->dense_feed)) != CAPP_OK)
                return st;
            if (r->arch->dense_beside) {
                h->shared_feed = h->dense_feed, h->dense_feed = 0;
                return CAPP_OK;
            }
            return read_shared(r, h);
        }
    }
    if (r->arch->scaled_inputs) {
        if ((st = capp_field_count(r, "intermediate_size", 0, CAPP_MOST_WIDTH, &h->feed)) != CAPP_OK) return st;
        h->shared_feed = h->feed;
        return capp_field_count(r, "intermediate_size_mlp", 0, CAPP_MOST_WIDTH, &h->dense_feed);
    }
    if (r->arch->streams && capp_source_count(r->s, "intermediate_size")) return capp_config_widths(r, h);
    bool four = r->arch->norm == CAPP_NORM_LAYER && !capp_is_gated(r->arch->activation);
    st = capp_field_count(r, "intermediate_size|n_inner|ffn_dim|ffn_hidden_size|ffn_config.ffn_hidden_size",
                          four ? 4 * h->width : 0, CAPP_MOST_WIDTH, &h->feed);
    return st == CAPP_OK && h->experts ? read_shared(r, h) : st;
}

static capp_status read_sizes(const capp_fields *r, capp_hparams *h) {
    capp_status st;
    bool learned = r->arch->learned_positions;
    if ((st = capp_field_count(r, "max_position_embeddings|n_positions|max_seq_len|seq_length", learned ? 0 : 2048,
                               CAPP_MOST_CONTEXT, &h->context)) != CAPP_OK)
        return st;
    if ((st = capp_field_count(r, "hidden_size|n_embd|d_model|n_embed", 0, CAPP_MOST_WIDTH, &h->width)) != CAPP_OK)
        return st;
    size_t listed = r->arch->part_alone ? capp_source_count(r->s, "layers_block_type") : 0;
    if ((st = capp_field_count(r, "num_hidden_layers|n_layer|n_layers",
                               listed < CAPP_MOST_LAYERS ? (uint32_t)listed : CAPP_MOST_LAYERS, CAPP_MOST_LAYERS,
                               &h->layers)) != CAPP_OK)
        return st;
    if (r->arch->mixes_only) {
        capp_mix_only(h, true);
        return CAPP_OK;
    }
    if ((st = capp_field_count(r, "num_attention_heads|n_head|n_heads", 0, CAPP_MOST_HEADS, &h->heads)) != CAPP_OK)
        return st;
    if ((st = read_kv_heads(r, h)) != CAPP_OK) return st;
    if ((st = whole(r, "num_nextn_predict_layers|num_mtp_layers", CAPP_MOST_LAYERS, &h->skipped_layers))) return st;
    if (!h->heads || h->width < h->heads)
        return capp_field_fail(r, CAPP_EFORMAT, "hidden_size", "must not be less than the number of heads");
    if ((st = capp_field_count(r, "head_dim|attention_head_dim", h->width / h->heads, CAPP_MOST_WIDTH, &h->head_dim)) !=
        CAPP_OK)
        return st;
    if ((st = capp_field_count(r, "word_embed_proj_dim", h->width, CAPP_MOST_WIDTH, &h->embedded)) != CAPP_OK)
        return st;
    if (h->embedded > h->width)
        return capp_field_fail(r, CAPP_EUNSUPPORTED, "word_embed_proj_dim",
                               "is greater than hidden_size, which capp does not support");
    return read_feed(r, h);
}

/* The row's activation, or the one that config.json names instead. */
static capp_status read_activation(const capp_fields *r, capp_hparams *h) {
    static const struct {
        const char *name;
        capp_activation gated, plain;
    } activations[] = {
        {"silu", CAPP_SILU_GATED, CAPP_SILU},
        {"swish", CAPP_SILU_GATED, CAPP_SILU},
        {"gelu_new", CAPP_GELU_GATED, CAPP_GELU},
        {"gelu_pytorch_tanh", CAPP_GELU_GATED, CAPP_GELU},
        {"gelu_fast", CAPP_GELU_GATED, CAPP_GELU},
        {"gelu", CAPP_GELU_ERF_GATED, CAPP_GELU_ERF},
        {"gelu_python", CAPP_GELU_ERF_GATED, CAPP_GELU_ERF},
        {"quick_gelu", CAPP_QUICK_GELU_GATED, CAPP_QUICK_GELU},
        {"relu", CAPP_RELU_GATED, CAPP_RELU},
        {"relu2", CAPP_RELU2_GATED, CAPP_RELU2},
    };
    static const char *const keys[] = {"hidden_act", "hidden_activation", "activation_function", "activation"};
    capp_str name;
    bool newer = !strncmp(r->arch->name, "gemma", 5) && r->arch->name[5];
    size_t k = newer ? 1 : 0;
    /* Gemma 2 and newer ones name it in hidden_activation, and hidden_act does not count. Gemma 1 may have both; then
     * hidden_act counts. */
    while (k < 4 && capp_source_str(r->s, keys[k], &name) != CAPP_FOUND) k++;
    if (k == 4 || h->activation == CAPP_CLAMPED_GATED) return CAPP_OK;
    if (h->activation == CAPP_XIELU && capp_str_is(name, "xielu")) return CAPP_OK;
    bool gated = capp_is_gated(h->activation);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (!capp_str_is(name, activations[i].name)) continue;
        h->activation = gated ? activations[i].gated : activations[i].plain;
        return CAPP_OK;
    }
    return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: \"%s\" is \"%.*s\", which capp does not support",
                     capp_source_path(r->s), keys[k], (int)(name.size < 40 ? name.size : 40), name.data);
}

/* ---- Kinds of layers ----------------------------------------------------------------------------------------------
 */

static capp_status read_layer_types(const capp_fields *r, capp_hparams *h) {
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_str type = {"", 0};
        (void)capp_source_str_at(r->s, "layer_types", i, &type);
        if (capp_str_is(type, "sliding_attention"))
            h->kinds[i] |= CAPP_LOCAL;
        else if (!capp_str_is(type, "full_attention"))
            return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: layer %u has type \"%.*s\"",
                             capp_source_path(r->s), i, (int)(type.size < 40 ? type.size : 40), type.data);
    }
    return CAPP_OK;
}

/* Qwen: layers from max_window_layers on have a window. */
static capp_status read_first_local(const capp_fields *r, uint32_t *first) {
    double value;
    bool found;
    capp_status st = capp_field_number(r, "max_window_layers", &value, &found);
    if (st != CAPP_OK || !found) return st;
    if (value < 0 || value != floor(value))
        return capp_field_fail(r, CAPP_EFORMAT, "max_window_layers", "must be a number of layers");
    *first = value < CAPP_MOST_LAYERS ? (uint32_t)value : CAPP_MOST_LAYERS;
    return CAPP_OK;
}

static capp_status read_windows(const capp_fields *r, capp_hparams *h) {
    bool use;
    uint32_t period, first = 0;
    capp_status st;
    double value;
    bool qwen = !strncmp(r->arch->hf, "qwen", 4), found;
    if ((st = capp_field_truth(r, "use_sliding_window", !qwen && !r->arch->nope_period, &use)) != CAPP_OK) return st;
    if ((st = capp_field_number(r, "sliding_window", &value, &found)) != CAPP_OK) return st;
    if (!use || !found || !r->arch->window_period) return CAPP_OK;
    if ((st = capp_field_count(r, "sliding_window", 0, CAPP_MOST_CONTEXT, &h->window)) != CAPP_OK) return st;
    if (capp_source_count(r->s, "layer_types")) return read_layer_types(r, h);
    if ((st = capp_field_count(r, "sliding_window_pattern|_sliding_window_pattern|global_attn_every_n_layers",
                               r->arch->window_period ? r->arch->window_period : CAPP_ALL_LOCAL, CAPP_ALL_LOCAL,
                               &period)) != CAPP_OK)
        return st;
    if (capp_field_default(r, "max_window_layers") && (st = read_first_local(r, &first)) != CAPP_OK) return st;
    for (uint32_t i = first; i < h->layers; i++)
        if ((r->arch->global_last ? h->layers - 1 - i : i + 1) % period) h->kinds[i] |= CAPP_LOCAL;
    return CAPP_OK;
}

/* Finds the layers without experts: layers that config.json names, and all layers except every step-th. */
static capp_status read_dense(const capp_fields *r, capp_hparams *h) {
    uint32_t step, first;
    double last;
    bool ends;
    capp_status st =
        capp_field_count(r, "decoder_sparse_step|moe_layer_interval|interleave_moe_layer_step", 1, UINT32_MAX, &step);
    if (st != CAPP_OK) return st;
    if ((st = whole(r, "first_k_dense_replace|num_dense_layers|moe_layer_start_index", CAPP_MOST_LAYERS, &first)))
        return st;
    if ((st = capp_field_number(r, "moe_layer_end_index", &last, &ends)) != CAPP_OK) return st;
    for (uint32_t i = 0; i < h->layers; i++)
        if ((i + 1) % step || i < first || (ends && last >= 0 && i > last)) h->kinds[i] |= CAPP_DENSE;
    for (uint32_t i = 0; i < h->layers && capp_source_count(r->s, "mlp_layer_types"); i++) {
        capp_str type = {"", 0};
        (void)capp_source_str_at(r->s, "mlp_layer_types", i, &type);
        if (!capp_str_is(type, "dense") && !capp_str_is(type, "sparse"))
            return capp_field_fail(r, CAPP_EFORMAT, "mlp_layer_types", "must be a list of \"dense\" and \"sparse\"");
        h->kinds[i] = (unsigned char)((h->kinds[i] & ~CAPP_DENSE) | (capp_str_is(type, "dense") ? CAPP_DENSE : 0));
    }
    bool listed = capp_json_kind_of(capp_config_at(capp_folder_config(r->s->folder), "moe_layers")) == CAPP_JSON_ARRAY;
    for (uint32_t i = 0; i < h->layers && listed; i++) h->kinds[i] |= CAPP_DENSE;
    for (size_t n = capp_source_count(r->s, "moe_layers"); n--;) {
        double layer;
        if (capp_source_number_at(r->s, "moe_layers", n, &layer) != CAPP_FOUND)
            return capp_field_fail(r, CAPP_EFORMAT, "moe_layers", "must be a list of layers");
        if (layer >= 0 && layer < h->layers)
            h->kinds[(uint32_t)layer] = (unsigned char)(h->kinds[(uint32_t)layer] & ~CAPP_DENSE);
    }
    for (size_t n = capp_source_count(r->s, "mlp_only_layers"); n--;) {
        double layer;
        if (capp_source_number_at(r->s, "mlp_only_layers", n, &layer) != CAPP_FOUND)
            return capp_field_fail(r, CAPP_EFORMAT, "mlp_only_layers", "must be a list of layers");
        if (layer >= 0 && layer < h->layers) h->kinds[(uint32_t)layer] |= CAPP_DENSE;
    }
    return CAPP_OK;
}

/* Llama 4: layers that attend within a chunk; by default those that rotate. */
static capp_status read_chunks(const capp_fields *r, capp_hparams *h) {
    static const char tuning[] = "attn_temperature_tuning";
    double chunk, number;
    bool found, grows = true;
    bool listed = capp_source_count(r->s, "layer_types");
    capp_status st = capp_field_number(r, "attention_chunk_size", &chunk, &found);
    if (st != CAPP_OK) return st;
    if (found && (st = capp_field_count(r, "attention_chunk_size", 0, CAPP_MOST_CONTEXT, &h->window))) return st;
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_str type = {"", 0};
        (void)capp_source_str_at(r->s, "layer_types", i, &type);
        bool local = capp_str_is(type, "chunked_attention");
        if (listed && !local && !capp_str_is(type, "full_attention"))
            return capp_field_fail(r, CAPP_EUNSUPPORTED, "layer_types",
                                   "must be a list of \"chunked_attention\" and \"full_attention\"");
        if (h->window && (listed ? local : !(h->kinds[i] & CAPP_STILL))) h->kinds[i] |= CAPP_LOCAL;
    }
    h->chunks = h->growth_still = true;
    /* Early folders have a number instead of true. */
    if (capp_source_number(r->s, tuning, &number) == CAPP_FOUND)
        grows = number != 0;
    else if ((st = capp_field_truth(r, tuning, true, &grows)) != CAPP_OK)
        return st;
    if (grows && (st = capp_field_single(r, "attn_scale", 0.1, &h->growth)) != CAPP_OK) return st;
    return capp_field_positive(r, "floor_scale", 8192, &h->growth_span);
}

/* Muse Glimmer: a list with the base of each layer's rotation; 0: the layer does not rotate. */
static capp_status read_bases(const capp_fields *r, capp_hparams *h) {
    size_t n = capp_source_count(r->s, "layer_rope_theta");
    for (uint32_t i = 0; i < h->layers && n; i++) {
        double base;
        if (capp_source_number_at(r->s, "layer_rope_theta", i, &base) != CAPP_FOUND)
            return capp_field_fail(r, CAPP_EFORMAT, "layer_rope_theta", "must have one number for each layer");
        if (base != 0 && base != h->ropes[0].base)
            return capp_field_fail(r, CAPP_EUNSUPPORTED, "layer_rope_theta",
                                   "has a base that differs from rope_theta; capp supports one base");
        h->kinds[i] = (unsigned char)((h->kinds[i] & ~CAPP_STILL) | (base == 0 ? CAPP_STILL : 0));
    }
    return CAPP_OK;
}

static capp_status read_kinds(const capp_fields *r, capp_hparams *h) {
    uint32_t period;
    capp_status st;
    if ((st = read_windows(r, h)) != CAPP_OK) return st;
    if (h->dense_feed && (st = read_dense(r, h)) != CAPP_OK) return st;
    if (r->arch->nope_global && (h->window || !r->arch->maybe_windows))
        for (uint32_t i = 0; i < h->layers; i++)
            if (!(h->kinds[i] & CAPP_LOCAL)) h->kinds[i] |= CAPP_STILL;
    if ((st = read_bases(r, h)) != CAPP_OK || !r->arch->nope_period) return st;
    if ((st = capp_field_count(r, "no_rope_layer_interval", r->arch->nope_period, CAPP_MOST_LAYERS, &period)) !=
        CAPP_OK)
        return st;
    size_t n = capp_source_count(r->s, "no_rope_layers");
    for (uint32_t i = 0; i < h->layers; i++) {
        double rotates = (i + 1) % period;
        if (n && capp_source_number_at(r->s, "no_rope_layers", i, &rotates) != CAPP_FOUND)
            return capp_field_fail(r, CAPP_EFORMAT, "no_rope_layers", "must have one number for each layer");
        if (rotates == 0) h->kinds[i] |= CAPP_STILL;
    }
    return r->arch->chunks ? read_chunks(r, h) : CAPP_OK;
}

/* ---- Other numbers ------------------------------------------------------------------------------------------------
 */

static capp_status read_gpt2_scales(const capp_fields *r, capp_hparams *h) {
    bool scaled;
    capp_status st;
    bool gpt2 = !strcmp(r->arch->name, "gpt2");
    if (!gpt2 && strcmp(r->arch->name, "starcoder")) return CAPP_OK;
    if ((st = capp_field_truth(r, "scale_attn_weights", true, &scaled)) != CAPP_OK) return st;
    if (!scaled) h->score_scale = 1;
    if (!gpt2) return CAPP_OK;
    return capp_field_truth(r, "scale_attn_by_inverse_layer_idx", false, &h->scale_by_layer);
}

static bool is_null(const capp_fields *r, const char *key) {
    capp_json value = capp_json_get(capp_folder_config(r->s->folder), key);
    return value && capp_json_kind_of(value) == CAPP_JSON_NULL;
}

/* null stands for a number that changes nothing. */
static capp_status read_minicpm3_scales(const capp_fields *r, capp_hparams *h) {
    bool no_depth = is_null(r, "scale_depth");
    bool no_base = is_null(r, "dim_model_base");
    double depth, base;
    capp_status st;
    if ((st = capp_field_single(r, "scale_emb", 12, &h->embedding_scale)) != CAPP_OK) return st;
    if ((st = capp_field_positive(r, "scale_depth", no_depth ? sqrt(h->layers) : 1.4, &depth)) != CAPP_OK) return st;
    if ((st = capp_field_positive(r, "dim_model_base", no_base ? h->width : 256, &base)) != CAPP_OK) return st;
    h->residual_scale = (float)(depth / sqrt(h->layers));
    h->logit_scale = (float)(base / h->width);
    return CAPP_OK;
}

static capp_status read_scales(const capp_fields *r, capp_hparams *h) {
    const capp_arch *arch = r->arch;
    capp_status st;
    double scalar;
    if ((st = capp_field_positive(r, "query_pre_attn_scalar", 0, &scalar)) != CAPP_OK) return st;
    if (scalar > 0) h->score_scale = (float)(1 / sqrt(scalar));
    if (arch->scales) {
        float logits;
        if ((st = capp_field_single(r, "attention_multiplier", 1, &h->score_scale)) != CAPP_OK) return st;
        if ((st = capp_field_single(r, "embedding_multiplier", 1, &h->embedding_scale)) != CAPP_OK) return st;
        if ((st = capp_field_single(r, "residual_multiplier", 1, &h->residual_scale)) != CAPP_OK) return st;
        if ((st = capp_field_single(r, "logits_scaling", 1, &logits)) != CAPP_OK) return st;
        h->logit_scale = 1 / logits;
    }
    if (arch->logit_scale &&
        (st = capp_field_single(r, "logit_scale|output_multiplier", 0.0625, &h->logit_scale)) != CAPP_OK)
        return st;
    if ((st = capp_field_single(r, "qk_scale_factor", 1, &h->query_norm)) != CAPP_OK) return st;
    if ((st = capp_field_single(r, "post_norm_eps", 0, &h->post_eps)) != CAPP_OK) return st;
    if (!strcmp(arch->name, "minicpm3") && (st = read_minicpm3_scales(r, h)) != CAPP_OK) return st;
    if ((st = capp_field_single(r, "attn_logit_softcapping", 0, &h->score_cap)) != CAPP_OK) return st;
    if ((st = capp_field_single(r, "final_logit_softcapping", 0, &h->logit_cap)) != CAPP_OK) return st;
    if (arch->clamps && (st = capp_field_single(r, "clip_qkv|attn_config.clip_qkv", 0, &h->clamp)) != CAPP_OK)
        return st;
    if ((st = read_gpt2_scales(r, h)) != CAPP_OK) return st;
    bool scaled = false;
    if (!strcmp(arch->name, "afmoe") && (st = capp_field_truth(r, "mup_enabled", false, &scaled)) != CAPP_OK) return st;
    if (scaled) h->embedding_scale = sqrtf((float)h->width);
    if (!arch->alibi) return CAPP_OK;
    if ((st = capp_field_single(r, "attn_config.softmax_scale", h->score_scale, &h->score_scale)) != CAPP_OK) return st;
    return capp_field_single(r, "attn_config.alibi_bias_max", 8, &h->alibi);
}

static capp_status read_opt_norms(const capp_fields *r, capp_hparams *h) {
    bool before, affine;
    capp_status st;
    if (strcmp(r->arch->name, "opt")) return CAPP_OK;
    if ((st = capp_field_truth(r, "do_layer_norm_before", true, &before)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, "layer_norm_elementwise_affine", true, &affine)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, "_remove_final_layer_norm", false, &h->no_output_norm)) != CAPP_OK) return st;
    h->norm_after = !before;
    h->bare_norms = !affine;
    h->no_output_norm |= !before;
    return CAPP_OK;
}

static capp_status read_parallel(const capp_fields *r, capp_hparams *h) {
    bool newer, parallel;
    uint32_t norms;
    capp_status st;
    if (!strcmp(r->arch->name, "falcon")) {
        if ((st = capp_field_truth(r, "new_decoder_architecture", false, &newer)) != CAPP_OK) return st;
        if ((st = capp_field_truth(r, "parallel_attn", true, &parallel)) != CAPP_OK) return st;
        if ((st = capp_field_count(r, "num_ln_in_parallel_attn", newer ? 2 : 1, 2, &norms)) != CAPP_OK) return st;
        h->parallel = newer && norms == 2 ? CAPP_PARALLEL_OWN : parallel ? CAPP_PARALLEL_SHARED : CAPP_SEQUENTIAL;
        return CAPP_OK;
    }
    if ((st = capp_field_truth(r, "use_parallel_residual", h->parallel != CAPP_SEQUENTIAL, &parallel)) != CAPP_OK)
        return st;
    if (r->arch->maybe_parallel && parallel) h->parallel = CAPP_PARALLEL_SHARED;
    if (!parallel) h->parallel = CAPP_SEQUENTIAL;
    return CAPP_OK;
}

/* In a multimodal model, transformers 4 reads the field in text_config. transformers 5 reads it in the object around
 * text_config, where the default is true; but if the file has a head, it uses that head. */
static capp_status read_tied(const capp_fields *r, capp_hparams *h) {
    static const char key[] = "tie_word_embeddings", *const suffixes[] = {".weight", ".qweight"};
    char name[MOST_NAME];
    bool whole = true;
    capp_status st = capp_field_truth(r, key, r->arch->tied, &h->tied);
    if (st != CAPP_OK || !capp_folder_around(r->s->folder)) return st;
    capp_json around = capp_config_at(capp_folder_around(r->s->folder), key);
    if (around && !capp_json_bool(around, &whole))
        return capp_field_fail(r, CAPP_EFORMAT, key, "must be true or false");
    h->tied |= whole;
    for (size_t i = 0; i < 2; i++)
        if (capp_place_find(r->s, r->arch, (place){CAPP_PART_HEAD, 0, 0}, suffixes[i], name)) h->tied = false;
    return CAPP_OK;
}

static capp_status read_flags(const capp_fields *r, capp_hparams *h) {
    const capp_arch *a = r->arch;
    bool norm;
    capp_status st;
    if ((st = read_tied(r, h)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, a->qkv_bias.key, a->qkv_bias.by_default, &h->qkv_bias)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, a->head_bias_key, a->head_bias, &h->head_bias)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, a->out_bias.key, a->out_bias.by_default, &h->out_bias)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, a->feed_bias.key, a->feed_bias.by_default, &h->feed_bias)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, a->qk_norm_key, !a->qk_norm_key || a->qk_norm_bare, &norm)) != CAPP_OK) return st;
    if (!norm) h->qk_norm = CAPP_QK_NONE;
    if ((st = read_opt_norms(r, h)) != CAPP_OK) return st;
    return read_parallel(r, h);
}

capp_status capp_config_read(capp_hparams *h, const capp_arch *arch, const capp_source *s, capp_error *err) {
    capp_fields r = {s, arch, err};
    capp_status st;
    if ((st = capp_config_check(arch, s, err)) != CAPP_OK) return st;
    if ((st = capp_quant_read(h, arch, s, err)) != CAPP_OK) return st;
    if ((st = read_sizes(&r, h)) != CAPP_OK) return st;
    if ((st = capp_config_mix(&r, h)) != CAPP_OK) return st;
    if ((st = read_activation(&r, h)) != CAPP_OK) return st;
    if ((st = capp_config_rope(&r, h)) != CAPP_OK) return st;
    if ((st = read_kinds(&r, h)) != CAPP_OK) return st;
    if ((st = capp_config_layers(&r, h)) != CAPP_OK) return st;
    if ((st = read_scales(&r, h)) != CAPP_OK) return st;
    if ((st = read_flags(&r, h)) != CAPP_OK) return st;
    return capp_field_single(&r, "rms_norm_eps|layer_norm_eps|layer_norm_epsilon|norm_epsilon|norm_eps", arch->eps,
                             &h->norm_eps);
}
