/* Gemma 1 (arXiv 2403.08295): GELU-gated, embedding times sqrt(width). Gemma 2 (arXiv 2408.00118): norms before and
 * after each part, soft caps, every second layer with a window. Gemma 3 (arXiv 2503.19786): five layers with a window,
 * then one global layer, each kind with its own rope base; norms of q and k; no caps. GGUF files store norm weights
 * with 1 already added; folders store them without it. Gemma 3n: several streams, side embeddings, sparse gates, and
 * the last layers share keys and values; norms are stored as they are. Gemma 4: global layers have larger heads than
 * the others, and may use their keys as values; small models have side embeddings and share the last layers' keys and
 * values; one has experts beside the feed-forward part. Norms are stored as they are. */
#include "model/arch.h"

#define POST_NORMS                                                                                                     \
    [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm",                                                    \
    [CAPP_PART_ATTENTION_POST_NORM] = "model.layers.%u.post_attention_layernorm",                                      \
    [CAPP_PART_FEED_NORM] = "model.layers.%u.pre_feedforward_layernorm",                                               \
    [CAPP_PART_FEED_POST_NORM] = "model.layers.%u.post_feedforward_layernorm"

#define SIDE_NAMES                                                                                                     \
    [CAPP_PART_SIDE_TOKENS] = "model.embed_tokens_per_layer",                                                          \
    [CAPP_PART_SIDE_CONTEXT] = "model.per_layer_model_projection",                                                     \
    [CAPP_PART_SIDE_NORM] = "model.per_layer_projection_norm",                                                         \
    [CAPP_PART_SIDE_GATE] = "model.layers.%u.per_layer_input_gate",                                                    \
    [CAPP_PART_SIDE_OUT] = "model.layers.%u.per_layer_projection",                                                     \
    [CAPP_PART_SIDE_POST_NORM] = "model.layers.%u.post_per_layer_input_norm"

static const capp_default gemma_defaults[] = {
    {"num_key_value_heads", 16}, {"head_dim", 256}, {"max_position_embeddings", 8192}, {NULL, 0}};

const capp_arch capp_arch_gemma = {
    .name = "gemma",
    .models = "Gemma 1",
    .gguf = "gemma",
    .hf = "gemma",
    .norm_plus_one = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .activation = CAPP_GELU_GATED,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .scaled_embedding = true,
    .tied = true,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
    .defaults = gemma_defaults,
};

static const capp_default gemma2_defaults[] = {{"num_key_value_heads", 4},        {"head_dim", 256},
                                               {"query_pre_attn_scalar", 256},    {"sliding_window", 4096},
                                               {"attn_logit_softcapping", 50},    {"final_logit_softcapping", 30},
                                               {"max_position_embeddings", 8192}, {NULL, 0}};

const capp_arch capp_arch_gemma2 = {
    .name = "gemma2",
    .models = "Gemma 2",
    .gguf = "gemma2",
    .hf = "gemma2",
    .norm_plus_one = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .activation = CAPP_GELU_GATED,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .post_norms = true,
    .scaled_embedding = true,
    .caps = true,
    .window_period = 2,
    .tied = true,
    .eps = 1e-6,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, POST_NORMS},
    .prefix = "model.",
    .defaults = gemma2_defaults,
};

static const capp_rule gemma3_rules[] = {{"use_bidirectional_attention", "false"}, {NULL, NULL}};

static const capp_default gemma3_defaults[] = {{"num_attention_heads", 8},  {"num_key_value_heads", 4},
                                               {"head_dim", 256},           {"query_pre_attn_scalar", 256},
                                               {"sliding_window", 4096},    {"max_position_embeddings", 131072},
                                               {"hidden_size", 2304},       {"num_hidden_layers", 26},
                                               {"intermediate_size", 9216}, {NULL, 0}};

const capp_arch capp_arch_gemma3 = {
    .name = "gemma3",
    .models = "Gemma 3 (text)",
    .gguf = "gemma3",
    .hf = "gemma3_text",
    .norm_plus_one = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .activation = CAPP_GELU_GATED,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .post_norms = true,
    .scaled_embedding = true,
    .window_period = 6,
    .local_rope_base = 10000,
    .tied = true,
    .theta = 1000000,
    .eps = 1e-6,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, POST_NORMS,
              CAPP_QK_NORMS_LIKE_QWEN3},
    .prefix = "model.",
    .rules = gemma3_rules,
    .defaults = gemma3_defaults,
};

static const capp_default gemma3n_defaults[] = {{"num_attention_heads", 8},
                                                {"num_key_value_heads", 2},
                                                {"head_dim", 256},
                                                {"sliding_window", 512},
                                                {"max_position_embeddings", 32768},
                                                {"hidden_size", 2048},
                                                {"num_hidden_layers", 35},
                                                {"intermediate_size", 16384},
                                                {"hidden_size_per_layer_input", 256},
                                                {"altup_num_inputs", 4},
                                                {"num_kv_shared_layers", 15},
                                                {"laurel_rank", 64},
                                                {"final_logit_softcapping", 30},
                                                {NULL, 0}};

/* The clip is for training. */
static const capp_rule gemma3n_rules[] = {{"attention_bias", "false"},
                                          {"vocab_size_per_layer_input", NULL},
                                          {"hidden_size_per_layer_input", NULL},
                                          {"num_kv_shared_layers", NULL},
                                          {"altup_active_idx", "0"},
                                          {"altup_coef_clip", NULL},
                                          {"altup_correct_scale", NULL},
                                          {"altup_lr_multiplier", NULL},
                                          {"altup_num_inputs", NULL},
                                          {"laurel_rank", NULL},
                                          {"activation_sparsity_pattern", NULL},
                                          {NULL, NULL}};

const capp_arch capp_arch_gemma3n = {
    .name = "gemma3n",
    .models = "Gemma 3n (text)",
    .gguf = "gemma3n",
    .hf = "gemma3n_text",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .activation = CAPP_GELU_GATED,
    .qk_norm = CAPP_QK_HEAD,
    .value_norm = true,
    .unit_scores = true,
    .side = true,
    .streams = true,
    .cap_logits = true,
    .post_norms = true,
    .scaled_embedding = true,
    .window_period = 5,
    .local_rope_base = 10000,
    .tied = true,
    .theta = 1000000,
    .eps = 1e-6,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, POST_NORMS,
              CAPP_QK_NORMS_LIKE_QWEN3, SIDE_NAMES, [CAPP_PART_SPREAD] = "model.altup_projections.%u",
              [CAPP_PART_MERGE] = "model.altup_unembed_projections.%u",
              [CAPP_PART_ALTUP_ROUTER] = "model.layers.%u.altup.modality_router",
              [CAPP_PART_ALTUP_NORM] = "model.layers.%u.altup.router_norm",
              [CAPP_PART_ALTUP_PREDICT] = "model.layers.%u.altup.prediction_coefs",
              [CAPP_PART_ALTUP_CORRECT] = "model.layers.%u.altup.correction_coefs",
              [CAPP_PART_ALTUP_SCALE] = "model.layers.%u.altup.correct_output_scale",
              [CAPP_PART_LAUREL_LEFT] = "model.layers.%u.laurel.linear_left",
              [CAPP_PART_LAUREL_RIGHT] = "model.layers.%u.laurel.linear_right",
              [CAPP_PART_LAUREL_NORM] = "model.layers.%u.laurel.post_laurel_norm"},
    .prefix = "model.",
    .rules = gemma3n_rules,
    .defaults = gemma3n_defaults,
};

static const capp_default gemma4_defaults[] = {{"num_attention_heads", 8},
                                               {"num_key_value_heads", 4},
                                               {"head_dim", 256},
                                               {"sliding_window", 512},
                                               {"max_position_embeddings", 131072},
                                               {"hidden_size", 2304},
                                               {"num_hidden_layers", 30},
                                               {"intermediate_size", 9216},
                                               {"hidden_size_per_layer_input", 256},
                                               {NULL, 0}};

static const capp_rule gemma4_rules[] = {{"use_bidirectional_attention", "vision"},
                                         {"attention_bias", "false"},
                                         {"vocab_size_per_layer_input", NULL},
                                         {"hidden_size_per_layer_input", NULL},
                                         {"global_head_dim", NULL},
                                         {"num_global_key_value_heads", NULL},
                                         {"per_layer_config", NULL},
                                         {"attention_k_eq_v", NULL},
                                         {"num_kv_shared_layers", NULL},
                                         {"use_double_wide_mlp", NULL},
                                         {"enable_moe_block", NULL},
                                         {"top_k_experts", NULL},
                                         {NULL, NULL}};

/* What both classes have. */
#define GEMMA4_ROW                                                                                                     \
    .rope = CAPP_ROPE_HALVES, .hf_rope = CAPP_ROPE_HALVES, .activation = CAPP_GELU_GATED, .qk_norm = CAPP_QK_HEAD,     \
    .value_norm = true, .unit_scores = true, .local_heads = true, .layer_scale = true, .cap_logits = true,             \
    .post_norms = true, .scaled_embedding = true, .window_period = 6, .local_rope_base = 10000, .tied = true,          \
    .theta = 1000000, .eps = 1e-6, .prefix = "model."
#define GEMMA4_NAMES                                                                                                   \
    CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, POST_NORMS,                                 \
        CAPP_QK_NORMS_LIKE_QWEN3, [CAPP_PART_LAYER_SCALE] = "model.layers.%u.layer_scalar"

const capp_arch capp_arch_gemma4 = {
    GEMMA4_ROW,
    .name = "gemma4",
    .models = "Gemma 4 (text)",
    .gguf = "gemma4",
    .hf = "gemma4_text",
    .side = true,
    .dense_beside = true,
    .bare_experts = true,
    .experts = true,
    .router_norm = true,
    .names = {GEMMA4_NAMES, SIDE_NAMES, [CAPP_PART_ROUTER] = "model.layers.%u.router.proj",
              [CAPP_PART_ROUTER_SCALE] = "model.layers.%u.router.scale",
              [CAPP_PART_EXPERT_SCALE] = "model.layers.%u.router.per_expert_scale",
              [CAPP_PART_EXPERT_UP] = "model.layers.%u.experts.gate_up_proj",
              [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.experts.down_proj",
              [CAPP_PART_EXPERT_NORM] = "model.layers.%u.pre_feedforward_layernorm_2",
              [CAPP_PART_EXPERT_POST_NORM] = "model.layers.%u.post_feedforward_layernorm_2",
              [CAPP_PART_SHARED_POST_NORM] = "model.layers.%u.post_feedforward_layernorm_1",
              [CAPP_PART_SHARED_GATE] = "model.layers.%u.mlp.gate_proj",
              [CAPP_PART_SHARED_UP] = "model.layers.%u.mlp.up_proj",
              [CAPP_PART_SHARED_DOWN] = "model.layers.%u.mlp.down_proj"},
    .gguf_names = {[CAPP_PART_SHARED_GATE] = "blk.%u.ffn_gate",
                   [CAPP_PART_SHARED_UP] = "blk.%u.ffn_up",
                   [CAPP_PART_SHARED_DOWN] = "blk.%u.ffn_down"},
    .rules = gemma4_rules,
    .defaults = gemma4_defaults,
};

static const capp_rule unified_rules[] = {{"use_bidirectional_attention", "vision"},
                                          {"attention_bias", "false"},
                                          {"global_head_dim", NULL},
                                          {"num_global_key_value_heads", NULL},
                                          {"per_layer_config", NULL},
                                          {"attention_k_eq_v", NULL},
                                          {"num_kv_shared_layers", NULL},
                                          {"use_double_wide_mlp", NULL},
                                          {NULL, NULL}};

static const capp_default unified_defaults[] = {
    {"num_attention_heads", 8}, {"num_key_value_heads", 4},          {"head_dim", 256},
    {"sliding_window", 1024},   {"max_position_embeddings", 262144}, {"hidden_size", 2304},
    {"num_hidden_layers", 30},  {"intermediate_size", 9216},         {NULL, 0}};

const capp_arch capp_arch_gemma4_unified = {
    GEMMA4_ROW,          .name = "gemma4_unified", .models = "Gemma 4 12B (text)", .hf = "gemma4_unified_text",
    .gguf_as = "gemma4", .names = {GEMMA4_NAMES},  .rules = unified_rules,         .defaults = unified_defaults,
};
