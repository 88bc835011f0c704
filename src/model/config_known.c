/* The fields that config.json may have: fields that capp reads, fields that change nothing, and fields that must have
 * one certain value in this row. Any other field is an error that names it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/arch.h"

enum { KEY = 128 };

/* Fields that change nothing here: how the model was trained, how to run it, what transformers made of it, and what its
 * class ignores. */
static const char idle[] =
    " apply_query_key_layer_scaling architectures attention_softmax_in_fp32 attn_implementation auto_map bad_words_ids "
    "begin_suppress_tokens cache_implementation chunk_size_feed_forward cross_attention_hidden_size diversity_penalty "
    "do_sample dtype early_stopping embedding_fraction encoder_no_repeat_ngram_size expansion_ratio experts_per_token "
    "exponential_decay_length_penalty finetuning_task gradient_checkpointing id2label is_decoder is_encoder_decoder "
    "is_llama_config label2id layerdrop learned_embeddings learned_pos_emb length_penalty masked_softmax_fusion "
    "max_length max_sequence_length max_window_layers min_length model_max_length model_type n_ctx name no_bias "
    "no_repeat_ngram_size norm_type num_beam_groups num_beams num_return_sequences offset_alibi output_attentions "
    "output_hidden_states output_router_logits output_scores prefix pretraining_tp problem_type pruned_heads "
    "quantization remove_invalid_values reorder_and_upcast_attn repetition_penalty return_dict "
    "return_dict_in_generate router_aux_loss_coef router_jitter_noise scale_attention_softmax_in_fp32 skip_bias_add "
    "skip_bias_add_qkv sliding_window_size suppress_tokens task_specific_params temperature tf_legacy_loss "
    "tie_encoder_decoder top_k top_p torch_dtype torchscript transformers.js_config transformers_weights typical_p "
    "use_bfloat16 use_cache use_embedding_sharing use_parallel_embedding verbose vocab_size ";

/* Groups of fields that change nothing: "^" stands for the beginning of a name, "$" for its end. A leading "_" marks
 * what is private to transformers. The rules of a family come before these. */
static const char *const idle_kinds[] = {"^_",      "^init", "^summary_",  "^tokenizer_", "^unsloth_",
                                         "dropout", "pdrop", "_token_id$", "_token_ids$", "_version$"};

/* Fields that capp reads, through a row's keys or in config.c. */
static const char used[] =
    " _sliding_window_pattern activation activation_function add_cross_attention alibi attention_bias "
    "attention_multiplier attn_config attn_logit_softcapping bias first_k_dense_replace moe_k moe_layer_end_index "
    "moe_layer_interval moe_layer_start_index moe_num_experts moe_num_shared_experts moe_topk n_group n_routed_experts "
    "n_shared_experts num_dense_layers num_mtp_layers num_nextn_predict_layers num_shared_experts route_scale "
    "routed_scaling_factor shared_expert_intermediate_size topk_group clip_qkv d_model embedding_multiplier "
    "enable_bias ffn_dim ffn_hidden_size final_logit_softcapping head_dim hidden_act hidden_activation "
    "attention_out_bias hidden_size intermediate_size layer_norm_eps layer_norm_epsilon layer_types logit_scale "
    "logits_scaling "
    "max_position_embeddings max_seq_len mlp_bias moe_intermediate_size multi_query n_embd n_embed n_head "
    "n_head_kv n_heads n_inner n_layer n_layers n_positions new_decoder_architecture no_rope_layer_interval "
    "no_rope_layers norm_eps norm_epsilon norm_topk_prob num_attention_heads num_experts num_experts_per_tok "
    "num_hidden_layers num_key_value_heads num_kv_heads num_ln_in_parallel_attn num_local_experts "
    "original_max_position_embeddings parallel_attn partial_rotary_factor qk_layernorm qkv_bias quantization_config "
    "query_pre_attn_scalar residual_multiplier rms_norm_eps rope_local_base_freq rope_parameters rope_scaling "
    "rope_theta rotary_dim rotary_emb_base rotary_pct seq_length sliding_window sliding_window_pattern "
    "tie_word_embeddings use_bias use_parallel_residual use_qk_norm use_qkv_bias use_sliding_window "
    "word_embed_proj_dim ";

/* Fields of the object around the text_config of a multimodal model. */
static const char outer[] =
    " audio_config audio_soft_tokens_per_image boi_token_index eoa_token_index eoi_token_index image_token_index "
    "mm_tokens_per_image "
    "multimodal_projector_bias out_hidden_size projector_hidden_size "
    "projector_hidden_act quantization_config spatial_merge_size text_config tie_word_embeddings vision_config "
    "vision_feature_layer vision_soft_tokens_per_image ";

/* Fields of MPT's object attn_config. */
static const char attention[] = " alibi alibi_bias_max attn_impl attn_pdrop attn_type attn_uses_sequence_id clip_qkv "
                                "model_type prefix_lm qk_ln softmax_scale ";

/* Fields of DBRX's objects attn_config and ffn_config. */
static const char attention_of_dbrx[] = " attn_pdrop clip_qkv kv_n_heads rope_theta ";
static const char feed_of_dbrx[] = " ffn_act_fn ffn_hidden_size hidden_size moe_jitter_eps moe_loss_weight "
                                   "moe_normalize_expert_weights moe_num_experts moe_top_k ";

bool capp_is_listed(const char *list, const char *key) {
    size_t n = strlen(key);
    for (const char *at = list; n && (at = strstr(at, key)); at += n)
        if (at[-1] == ' ' && at[n] == ' ') return true;
    return false;
}

static bool is_of_kind(const char *kind, const char *key) {
    size_t n = strlen(kind), length = strlen(key);
    if (*kind == '^') return !strncmp(key, kind + 1, n - 1);
    if (kind[n - 1] == '$') return length >= n - 1 && !strncmp(key + length - (n - 1), kind, n - 1);
    return strstr(key, kind);
}

static bool is_idle(const char *key) {
    for (size_t i = 0; i < sizeof idle_kinds / sizeof *idle_kinds; i++)
        if (is_of_kind(idle_kinds[i], key)) return true;
    return capp_is_listed(idle, key);
}

static bool has_rule(const capp_arch *arch, const char *key) {
    for (const capp_rule *rule = arch->rules; rule && rule->key; rule++)
        if (!strcmp(rule->key, key)) return true;
    return false;
}

/* Copies the field of the list whose name is nearest to key. */
static void find_nearest(const char *list, const char *key, char nearest[KEY]) {
    size_t least = SIZE_MAX;
    *nearest = 0;
    for (const char *at = list + 1; *at; at = strchr(at, ' ') + 1) {
        char word[KEY] = "";
        size_t n = (size_t)(strchr(at, ' ') - at);
        memcpy(word, at, n < KEY ? n : KEY - 1);
        size_t distance = capp_name_distance(capp_str_of(key), word);
        if (distance >= least) continue;
        least = distance;
        memcpy(nearest, word, KEY);
    }
}

/* Rejects unknown fields, because they may change the arithmetic: a field that is true, a number or a text never passes
 * unnoticed. inside: "KEY." of the object, or "". known: the fields that it may have besides idle ones and those in
 * arch's rules. arch may be NULL. */
static capp_status refuse_unknown(const capp_source *s, const capp_arch *arch, capp_json object, const char *inside,
                                  const char *known, capp_error *err) {
    for (capp_json_walk w = capp_json_begin(object); capp_json_next(&w);) {
        capp_json_kind kind = capp_json_kind_of(w.value);
        char key[KEY] = "";
        bool escapes, yes = true;
        capp_str raw = capp_json_raw(w.name, &escapes);
        memcpy(key, raw.data, raw.size < KEY ? raw.size : KEY - 1);
        if (kind == CAPP_JSON_NULL || (capp_json_bool(w.value, &yes) && !yes) || capp_is_listed(known, key)) continue;
        if (is_idle(key) || (!*inside && arch && has_rule(arch, key))) continue;
        char nearest[KEY];
        find_nearest(known, key, nearest);
        return capp_fail(
            err, CAPP_EUNSUPPORTED,
            "%s: config.json: unknown field \"%s%.60s\"; the nearest name that capp knows is \"%s\"; if it does not "
            "change what the model computes, remove it",
            capp_source_path(s), inside, key, nearest);
    }
    return CAPP_OK;
}

/* Rejects fields of other families. transformers would ignore them, but the author of the file wrote them for a
 * reason. */
static capp_status refuse_foreign(const capp_source *s, const capp_arch *a, capp_error *err) {
    /* The multimodal class does not cap the logits of its text model. */
    bool capped = a->caps || a->cap_logits || (!strcmp(a->name, "gemma3") && !capp_is_multimodal(s));
    const struct {
        const char *key;
        bool known;
    } fields[] = {
        {"attn_logit_softcapping", a->caps},
        {"final_logit_softcapping", capped},
        {"query_pre_attn_scalar", a->post_norms && a->scaled_embedding},
        {"clip_qkv", a->clamps},
        {"logit_scale", a->logit_scale},
        {"logits_scaling", a->scales},
        {"attention_multiplier", a->scales},
        {"embedding_multiplier", a->scales},
        {"residual_multiplier", a->scales},
        {"sliding_window", a->window_period && strcmp(a->hf, "llama") && strcmp(a->hf, "olmo2")},
        {"rotary_dim", !strcmp(a->hf, "gptj") || !strcmp(a->hf, "minimax_m2")},
        {"rotary_emb_base", !strcmp(a->hf, "gpt_neox")},
        {"rotary_pct", !strcmp(a->hf, "gpt_neox") || !strcmp(a->hf, "cohere2")}, /* Cohere 2's files have 1 */
        {"rope_theta", strcmp(a->hf, "gptj")},
        {"n_routed_experts", a->names[CAPP_PART_ROUTER]},
        {"n_shared_experts", a->names[CAPP_PART_SHARED_UP]},
        {"num_shared_experts", a->names[CAPP_PART_SHARED_UP]},
        {"shared_expert_intermediate_size", a->names[CAPP_PART_SHARED_UP]},
        {"routed_scaling_factor", a->router_wide},
        {"n_group", a->router_wide},
        {"first_k_dense_replace", a->router_wide},
        {"num_local_experts", a->names[CAPP_PART_ROUTER]},
        {"num_experts", a->names[CAPP_PART_ROUTER]},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        double value;
        if (fields[i].known || has_rule(a, fields[i].key) || capp_source_number(s, fields[i].key, &value) != CAPP_FOUND)
            continue;
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: config.json: \"%s\" is %g, which capp does not support for %s%s",
                         capp_source_path(s), fields[i].key, value, a->name,
                         capp_is_multimodal(s) ? " in a multimodal folder" : "");
    }
    return CAPP_OK;
}

static bool obeys(capp_json value, const char *only) {
    bool truth;
    double number;
    if (capp_json_bool(value, &truth)) return !strcmp(only, truth ? "true" : "false");
    if (capp_json_f64(value, &number)) {
        char *end;
        return strtod(only, &end) == number && end > only;
    }
    return capp_json_is(value, only);
}

static capp_status check_rules(const capp_source *s, const capp_arch *arch, capp_error *err) {
    for (const capp_rule *rule = arch->rules; rule && rule->key; rule++) {
        capp_json value = capp_config_at(capp_folder_config(s->folder), rule->key);
        if (value && rule->only && !obeys(value, rule->only))
            return capp_fail(err, CAPP_EUNSUPPORTED,
                             "%s: config.json: \"%s\" must be %s; capp does not support other values",
                             capp_source_path(s), rule->key, rule->only);
    }
    return CAPP_OK;
}

capp_status capp_config_check(const capp_arch *arch, const capp_source *s, capp_error *err) {
    capp_json config = capp_folder_config(s->folder);
    capp_status st;
    if ((st = refuse_unknown(s, NULL, capp_folder_around(s->folder), "", outer, err)) != CAPP_OK) return st;
    if ((st = refuse_unknown(s, arch, config, "", used, err)) != CAPP_OK) return st;
    const char *of_attention = arch->listed_experts ? attention_of_dbrx : attention;
    if ((st = refuse_unknown(s, arch, capp_config_at(config, "attn_config"), "attn_config.", of_attention, err)))
        return st;
    if ((st = refuse_unknown(s, arch, capp_config_at(config, "ffn_config"), "ffn_config.", feed_of_dbrx, err)))
        return st;
    if ((st = refuse_foreign(s, arch, err)) != CAPP_OK) return st;
    return check_rules(s, arch, err);
}
