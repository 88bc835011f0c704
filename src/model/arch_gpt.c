/* GPT-2 (Radford et al. 2019): learned positions, layer norms, biases everywhere; folders store its products
 * transposed. GPT-J (Wang and Komatsuzaki 2021): attention and feed-forward in parallel after one norm; some dimensions
 * rotate, in pairs of neighbors. GPT-NeoX (arXiv 2204.06745; Pythia): in parallel, each after its own norm. OPT (arXiv
 * 2205.01068): learned positions that begin at row 2, ReLU. */
#include "model/arch.h"

#define CAPP_NAMES_LIKE_GPT2                                                                                           \
    [CAPP_PART_TOKENS] = "transformer.wte", [CAPP_PART_POSITIONS] = "transformer.wpe",                                 \
    [CAPP_PART_OUTPUT_NORM] = "transformer.ln_f", [CAPP_PART_HEAD] = "lm_head",                                        \
    [CAPP_PART_ATTENTION_NORM] = "transformer.h.%u.ln_1", [CAPP_PART_QKV] = "transformer.h.%u.attn.c_attn",            \
    [CAPP_PART_OUT] = "transformer.h.%u.attn.c_proj", [CAPP_PART_FEED_NORM] = "transformer.h.%u.ln_2",                 \
    [CAPP_PART_UP] = "transformer.h.%u.mlp.c_fc", [CAPP_PART_DOWN] = "transformer.h.%u.mlp.c_proj"

static const capp_rule gpt2_rules[] = {{"scale_attn_weights", NULL},
                                       {"scale_attn_by_inverse_layer_idx", NULL},
                                       {"add_cross_attention", "false"},
                                       {NULL, NULL}};

static const capp_default gpt2_defaults[] = {{"n_positions", 1024}, {"n_head", 12}, {NULL, 0}};

const capp_arch capp_arch_gpt2 = {
    .name = "gpt2",
    .models = "GPT-2",
    .gguf = "gpt2",
    .hf = "gpt2",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .activation = CAPP_GELU,
    .qkv_bias = {true, NULL},
    .out_bias = {true, NULL},
    .feed_bias = {true, NULL},
    .learned_positions = true,
    .tied = true,
    .transposed = true,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_GPT2},
    .prefix = "transformer.",
    .rules = gpt2_rules,
    .defaults = gpt2_defaults,
};

static const capp_default gpt_bigcode_defaults[] = {{"n_positions", 1024}, {"n_head", 12}, {NULL, 0}};

static const capp_rule gpt_bigcode_rules[] = {
    {"scale_attn_weights", NULL}, {"multi_query", NULL}, {"add_cross_attention", "false"}, {NULL, NULL}};

/* StarCoder 1 and SantaCoder (arXiv 2305.06161): GPT-2 with one key-value head. */
const capp_arch capp_arch_gpt_bigcode = {
    .name = "starcoder",
    .models = "StarCoder 1, SantaCoder",
    .gguf = "starcoder",
    .hf = "gpt_bigcode",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .activation = CAPP_GELU,
    .qkv_bias = {true, NULL},
    .out_bias = {true, NULL},
    .feed_bias = {true, NULL},
    .learned_positions = true,
    .tied = true,
    .grouped_qkv = true,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_GPT2},
    .prefix = "transformer.",
    .rules = gpt_bigcode_rules,
    .defaults = gpt_bigcode_defaults,
};

static const capp_default gptj_defaults[] = {{"n_positions", 2048}, {"rotary_dim", 64}, {NULL, 0}};

static const capp_rule gptj_rules[] = {{"rotary", "true"}, {"scale_attn_weights", "true"}, {NULL, NULL}};

const capp_arch capp_arch_gptj = {
    .name = "gptj",
    .models = "GPT-J",
    .gguf = "gptj",
    .hf = "gptj",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_PAIRS,
    .activation = CAPP_GELU,
    .feed_bias = {true, NULL},
    .head_bias = true,
    .parallel = CAPP_PARALLEL_SHARED,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "transformer.wte",
              [CAPP_PART_OUTPUT_NORM] = "transformer.ln_f",
              [CAPP_PART_HEAD] = "lm_head",
              [CAPP_PART_ATTENTION_NORM] = "transformer.h.%u.ln_1",
              [CAPP_PART_Q] = "transformer.h.%u.attn.q_proj",
              [CAPP_PART_K] = "transformer.h.%u.attn.k_proj",
              [CAPP_PART_V] = "transformer.h.%u.attn.v_proj",
              [CAPP_PART_OUT] = "transformer.h.%u.attn.out_proj",
              [CAPP_PART_UP] = "transformer.h.%u.mlp.fc_in",
              [CAPP_PART_DOWN] = "transformer.h.%u.mlp.fc_out"},
    .prefix = "transformer.",
    .defaults = gptj_defaults,
    .rules = gptj_rules,
};

const capp_arch capp_arch_gptneox = {
    .name = "gptneox",
    .models = "GPT-NeoX, Pythia",
    .gguf = "gptneox",
    .hf = "gpt_neox",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rotary = 0.25,
    .activation = CAPP_GELU_ERF,
    .qkv_bias = {true, "attention_bias"},
    .out_bias = {true, "attention_bias"},
    .feed_bias = {true, NULL},
    .parallel = CAPP_PARALLEL_OWN,
    .grouped_qkv = true,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "gpt_neox.embed_in",
              [CAPP_PART_OUTPUT_NORM] = "gpt_neox.final_layer_norm",
              [CAPP_PART_HEAD] = "embed_out",
              [CAPP_PART_ATTENTION_NORM] = "gpt_neox.layers.%u.input_layernorm",
              [CAPP_PART_QKV] = "gpt_neox.layers.%u.attention.query_key_value",
              [CAPP_PART_OUT] = "gpt_neox.layers.%u.attention.dense",
              [CAPP_PART_FEED_NORM] = "gpt_neox.layers.%u.post_attention_layernorm",
              [CAPP_PART_UP] = "gpt_neox.layers.%u.mlp.dense_h_to_4h",
              [CAPP_PART_DOWN] = "gpt_neox.layers.%u.mlp.dense_4h_to_h"},
    .prefix = "gpt_neox.",
};

static const capp_rule opt_rules[] = {{"do_layer_norm_before", NULL},
                                      {"layer_norm_elementwise_affine", NULL},
                                      {"_remove_final_layer_norm", NULL},
                                      {NULL, NULL}};

static const capp_default opt_defaults[] = {{"max_position_embeddings", 2048}, {"num_attention_heads", 12}, {NULL, 0}};

const capp_arch capp_arch_opt = {
    .name = "opt",
    .models = "OPT",
    .hf = "opt",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .activation = CAPP_RELU,
    .qkv_bias = {true, "enable_bias"},
    .out_bias = {true, "enable_bias"},
    .feed_bias = {true, "enable_bias"},
    .learned_positions = true,
    .position_offset = 2,
    .tied = true,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "model.decoder.embed_tokens",
              [CAPP_PART_POSITIONS] = "model.decoder.embed_positions",
              [CAPP_PART_PROJECT_IN] = "model.decoder.project_in",
              [CAPP_PART_PROJECT_OUT] = "model.decoder.project_out",
              [CAPP_PART_OUTPUT_NORM] = "model.decoder.final_layer_norm",
              [CAPP_PART_HEAD] = "lm_head",
              [CAPP_PART_ATTENTION_NORM] = "model.decoder.layers.%u.self_attn_layer_norm",
              [CAPP_PART_Q] = "model.decoder.layers.%u.self_attn.q_proj",
              [CAPP_PART_K] = "model.decoder.layers.%u.self_attn.k_proj",
              [CAPP_PART_V] = "model.decoder.layers.%u.self_attn.v_proj",
              [CAPP_PART_OUT] = "model.decoder.layers.%u.self_attn.out_proj",
              [CAPP_PART_FEED_NORM] = "model.decoder.layers.%u.final_layer_norm",
              [CAPP_PART_UP] = "model.decoder.layers.%u.fc1",
              [CAPP_PART_DOWN] = "model.decoder.layers.%u.fc2"},
    .prefix = "model.",
    .rules = opt_rules,
    .defaults = opt_defaults,
};
