/* AFMoE (Arcee Trinity): three layers with a window, then one without, which does not rotate; a gate of attention's
 * output; norms before and after each part; a sigmoid router with a bias for the choice, and shared experts. */
#include "model/arch.h"

static const capp_default defaults[] = {{"hidden_size", 2048},
                                        {"intermediate_size", 6144},
                                        {"moe_intermediate_size", 1408},
                                        {"num_hidden_layers", 32},
                                        {"num_dense_layers", 1},
                                        {"num_attention_heads", 16},
                                        {"head_dim", 128},
                                        {"num_experts", 64},
                                        {"num_experts_per_tok", 6},
                                        {"num_shared_experts", 2},
                                        {"sliding_window", 1024},
                                        {"max_position_embeddings", 16384},
                                        {NULL, 0}};

static const capp_rule rules[] = {
    {"mup_enabled", NULL},      {"global_attn_every_n_layers", NULL}, {"score_func", "sigmoid"},
    {"route_norm", "true"},     {"load_balance_coeff", NULL},         {"use_grouped_mm", NULL},
    {"num_expert_groups", "1"}, {"num_limited_groups", "1"},          {NULL, NULL}};

const capp_arch capp_arch_afmoe = {
    .name = "afmoe",
    .models = "Arcee Trinity",
    .gguf = "afmoe",
    .hf = "afmoe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .nope_global = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .attention_gate = true,
    .post_norms = true,
    .window_period = 4,
    .experts = true,
    .router_norm = true,
    .router_sigmoid = true,
    .router_wide = true,
    .choice_bias = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_SHARED_LIKE_DEEPSEEK, [CAPP_PART_EXPERT_GATE] = "model.layers.%u.mlp.experts.%u.gate_proj",
              [CAPP_PART_EXPERT_UP] = "model.layers.%u.mlp.experts.%u.up_proj",
              [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.mlp.experts.%u.down_proj",
              [CAPP_PART_MIX_GATE] = "model.layers.%u.self_attn.gate_proj",
              [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm",
              [CAPP_PART_ATTENTION_POST_NORM] = "model.layers.%u.post_attention_layernorm",
              [CAPP_PART_FEED_NORM] = "model.layers.%u.pre_mlp_layernorm",
              [CAPP_PART_FEED_POST_NORM] = "model.layers.%u.post_mlp_layernorm",
              [CAPP_PART_ROUTER] = "model.layers.%u.mlp.router.gate",
              [CAPP_PART_CHOICE_BIAS] = "model.layers.%u.mlp.expert_bias"},
    .prefix = "model.",
    .rules = rules,
    .defaults = defaults,
};
