/* Families of models with experts that have much in common: a shared expert for all rows beside the chosen experts,
 * first layers without experts, a sigmoid router with a bias for the choice (DeepSeek-V3, arXiv 2412.19437). dots.llm1
 * (arXiv 2506.05767), ERNIE 4.5, Hunyuan-A13B, MiniMax-M2, Granite 3 MoE; DBRX, whose experts are joined. */
#include "model/arch.h"

static const capp_default dots1_defaults[] = {{"num_key_value_heads", 32},
                                              {"n_group", 1},
                                              {"topk_group", 1},
                                              {"max_position_embeddings", 2048},
                                              {"sliding_window", 4096},
                                              {"max_window_layers", 62},
                                              {NULL, 0}};

static const capp_rule dots1_rules[] = {{"scoring_func", "noaux_tc"}, {NULL, NULL}};

const capp_arch capp_arch_dots1 = {
    .name = "dots1",
    .models = "dots.llm1",
    .gguf = "dots1",
    .hf = "dots1",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .window_period = CAPP_ALL_LOCAL,
    .experts = true,
    .router_sigmoid = true,
    .router_wide = true,
    .choice_bias = true,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3, CAPP_EXPERTS_LIKE_QWEN3,
              CAPP_SHARED_LIKE_DEEPSEEK, [CAPP_PART_CHOICE_BIAS] = "model.layers.%u.mlp.gate.e_score_correction_bias"},
    .prefix = "model.",
    .rules = dots1_rules,
    .defaults = dots1_defaults,
};

static const capp_default ernie4_5_moe_defaults[] = {{"num_key_value_heads", 4},
                                                     {"moe_num_experts", 64},
                                                     {"moe_k", 6},
                                                     {"moe_intermediate_size", 1536},
                                                     {"moe_num_shared_experts", 2},
                                                     {"moe_layer_start_index", 1},
                                                     {"max_position_embeddings", 131072},
                                                     {NULL, 0}};

static const capp_rule ernie4_5_moe_rules[] = {{"use_bias", "false"},  {"moe_norm_min", NULL},
                                               {"moe_gate", "topk"},   {"moe_use_aux_free", "true"},
                                               {"moe_capacity", NULL}, {NULL, NULL}};

const capp_arch capp_arch_ernie4_5_moe = {
    .name = "ernie4_5-moe",
    .models = "ERNIE 4.5 MoE",
    .gguf = "ernie4_5-moe",
    .hf = "ernie4_5_moe",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_PAIRS,
    .experts = true,
    .router_norm = true,
    .router_wide = true,
    .choice_bias = true,
    .theta = 500000,
    .tied = true,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_LLAMA, CAPP_EXPERTS_LIKE_QWEN3, CAPP_SHARED_LIKE_DEEPSEEK,
              [CAPP_PART_CHOICE_BIAS] = "model.layers.%u.mlp.moe_statics.e_score_correction_bias"},
    .prefix = "model.",
    .rules = ernie4_5_moe_rules,
    .defaults = ernie4_5_moe_defaults,
};

static const capp_default hunyuan_moe_defaults[] = {
    {"num_shared_expert", 1}, {"num_experts", 1}, {"moe_topk", 1}, {"max_position_embeddings", 2048}, {NULL, 0}};

static const capp_rule hunyuan_moe_rules[] = {
    {"use_qk_norm", "true"}, {"use_mixed_mlp_moe", "true"}, {"use_mla", "false"},        {"use_cla", "false"},
    {"norm_type", "rms"},    {"attention_head_dim", NULL},  {"num_shared_expert", NULL}, {NULL, NULL}};

const capp_arch capp_arch_hunyuan_moe = {
    .name = "hunyuan-moe",
    .models = "Hunyuan A13B",
    .gguf = "hunyuan-moe",
    .hf = "hunyuan_v1_moe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rope_alpha = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .qk_norm_rotated = true,
    .experts = true,
    .router_norm = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,
              CAPP_NORMS_LIKE_LLAMA, [CAPP_PART_Q_NORM] = "model.layers.%u.self_attn.query_layernorm",
              [CAPP_PART_K_NORM] = "model.layers.%u.self_attn.key_layernorm",
              [CAPP_PART_ROUTER] = "model.layers.%u.mlp.gate.wg",
              [CAPP_PART_EXPERT_GATE] = "model.layers.%u.mlp.experts.%u.gate_proj",
              [CAPP_PART_EXPERT_UP] = "model.layers.%u.mlp.experts.%u.up_proj",
              [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.mlp.experts.%u.down_proj",
              [CAPP_PART_SHARED_GATE] = "model.layers.%u.mlp.shared_mlp.gate_proj",
              [CAPP_PART_SHARED_UP] = "model.layers.%u.mlp.shared_mlp.up_proj",
              [CAPP_PART_SHARED_DOWN] = "model.layers.%u.mlp.shared_mlp.down_proj"},
    .prefix = "model.",
    .rules = hunyuan_moe_rules,
    .defaults = hunyuan_moe_defaults,
};

static const capp_default minimax_m2_defaults[] = {{"num_key_value_heads", 8},          {"head_dim", 128},
                                                   {"num_local_experts", 256},          {"num_experts_per_tok", 8},
                                                   {"max_position_embeddings", 196608}, {NULL, 0}};

/* The config.json of these folders also names parts for training or for predicting further tokens. */
static const capp_rule minimax_m2_rules[] = {{"scoring_func", "sigmoid"},
                                             {"use_qk_norm", "true"},
                                             {"qk_norm_type", "per_layer"},
                                             {"use_routing_bias", "true"},
                                             {"shared_intermediate_size", "0"},
                                             {"attn_type_list", NULL},
                                             {"use_mtp", NULL},
                                             {"num_mtp_modules", NULL},
                                             {"mtp_transformer_layers", NULL},
                                             {NULL, NULL}};

const capp_arch capp_arch_minimax_m2 = {
    .name = "minimax-m2",
    .models = "MiniMax-M2",
    .gguf = "minimax-m2",
    .hf = "minimax_m2",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qk_norm = CAPP_QK_ROW,
    .experts = true,
    .router_norm = true,
    .router_sigmoid = true,
    .router_wide = true,
    .choice_bias = true,
    .theta = 5000000,
    .eps = 1e-6,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_EXPERTS_LIKE_MIXTRAL,
              [CAPP_PART_CHOICE_BIAS] = "model.layers.%u.block_sparse_moe.e_score_correction_bias"},
    .prefix = "model.",
    .rules = minimax_m2_rules,
    .defaults = minimax_m2_defaults,
};

#define GRANITE_MOE_NAMES                                                                                              \
    CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,                                                                   \
        CAPP_NORMS_LIKE_LLAMA, [CAPP_PART_ROUTER] = "model.layers.%u.block_sparse_moe.router.layer",                   \
                               [CAPP_PART_EXPERT_UP] = "model.layers.%u.block_sparse_moe.input_linear",                \
                               [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.block_sparse_moe.output_linear",             \
                               [CAPP_PART_SHARED_UP] = "model.layers.%u.shared_mlp.input_linear",                      \
                               [CAPP_PART_SHARED_DOWN] = "model.layers.%u.shared_mlp.output_linear"

static const capp_default granitemoe_defaults[] = {
    {"num_local_experts", 8}, {"num_experts_per_tok", 2}, {"max_position_embeddings", 2048}, {NULL, 0}};

const capp_arch capp_arch_granitemoe = {
    .name = "granitemoe",
    .models = "Granite 3 MoE",
    .gguf = "granitemoe",
    .hf = "granitemoe",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .scales = true,
    .experts = true,
    .router_norm = true,
    .eps = 1e-6,
    .names = {GRANITE_MOE_NAMES},
    .prefix = "model.",
    .defaults = granitemoe_defaults,
};

static const capp_default granitemoeshared_defaults[] = {{"num_local_experts", 8},
                                                         {"num_experts_per_tok", 2},
                                                         {"shared_intermediate_size", 1024},
                                                         {"max_position_embeddings", 2048},
                                                         {NULL, 0}};

static const capp_rule granitemoeshared_rules[] = {{"shared_intermediate_size", NULL}, {NULL, NULL}};

const capp_arch capp_arch_granitemoeshared = {
    .name = "granitemoeshared",
    .models = "Granite MoE with a shared expert",
    .hf = "granitemoeshared",
    .gguf_as = "granitemoe",
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .scales = true,
    .experts = true,
    .router_norm = true,
    .eps = 1e-6,
    .names = {GRANITE_MOE_NAMES},
    .prefix = "model.",
    .rules = granitemoeshared_rules,
    .defaults = granitemoeshared_defaults,
};

static const capp_default dbrx_defaults[] = {{"d_model", 2048},
                                             {"n_heads", 16},
                                             {"n_layers", 24},
                                             {"max_seq_len", 2048},
                                             {"attn_config.kv_n_heads", 1},
                                             {"ffn_config.ffn_hidden_size", 3584},
                                             {"ffn_config.moe_num_experts", 4},
                                             {"ffn_config.moe_top_k", 1},
                                             {NULL, 0}};

static const capp_rule dbrx_rules[] = {{"ffn_config", NULL}, {NULL, NULL}};

const capp_arch capp_arch_dbrx = {
    .name = "dbrx",
    .models = "DBRX",
    .gguf = "dbrx",
    .hf = "dbrx",
    .norm = CAPP_NORM_LAYER,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .clamps = true,
    .experts = true,
    .router_norm = true,
    .bare_experts = true,
    .listed_experts = true,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "transformer.wte",
              [CAPP_PART_OUTPUT_NORM] = "transformer.norm_f",
              [CAPP_PART_HEAD] = "lm_head",
              [CAPP_PART_ATTENTION_NORM] = "transformer.blocks.%u.norm_attn_norm.norm_1",
              [CAPP_PART_FEED_NORM] = "transformer.blocks.%u.norm_attn_norm.norm_2",
              [CAPP_PART_QKV] = "transformer.blocks.%u.norm_attn_norm.attn.Wqkv",
              [CAPP_PART_OUT] = "transformer.blocks.%u.norm_attn_norm.attn.out_proj",
              [CAPP_PART_ROUTER] = "transformer.blocks.%u.ffn.router.layer",
              [CAPP_PART_EXPERT_GATE] = "transformer.blocks.%u.ffn.experts.mlp.w1",
              [CAPP_PART_EXPERT_UP] = "transformer.blocks.%u.ffn.experts.mlp.v1",
              [CAPP_PART_EXPERT_DOWN] = "transformer.blocks.%u.ffn.experts.mlp.w2"},
    .gguf_names = {[CAPP_PART_FEED_NORM] = "blk.%u.attn_output_norm"},
    .prefix = "transformer.",
    .rules = dbrx_rules,
    .defaults = dbrx_defaults,
};
