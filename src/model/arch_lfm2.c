/* LFM2 (Liquid AI, arXiv 2511.23404): most layers have a short convolution instead of attention. */
#include "model/arch.h"

#define LFM2_GGUF_NAMES                                                                                                \
    [CAPP_PART_OUTPUT_NORM] = "token_embd_norm", [CAPP_PART_MIX_IN] = "blk.%u.shortconv.in_proj",                      \
    [CAPP_PART_MIX_TAPS] = "blk.%u.shortconv.conv", [CAPP_PART_MIX_OUT] = "blk.%u.shortconv.out_proj"
#define LFM2_NAMES                                                                                                     \
    [CAPP_PART_TOKENS] = "model.embed_tokens", [CAPP_PART_OUTPUT_NORM] = "model.embedding_norm",                       \
    [CAPP_PART_HEAD] = "lm_head", [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.operator_norm",                        \
    [CAPP_PART_Q] = "model.layers.%u.self_attn.q_proj", [CAPP_PART_K] = "model.layers.%u.self_attn.k_proj",            \
    [CAPP_PART_V] = "model.layers.%u.self_attn.v_proj", [CAPP_PART_Q_NORM] = "model.layers.%u.self_attn.q_layernorm",  \
    [CAPP_PART_K_NORM] = "model.layers.%u.self_attn.k_layernorm",                                                      \
    [CAPP_PART_OUT] = "model.layers.%u.self_attn.out_proj", [CAPP_PART_FEED_NORM] = "model.layers.%u.ffn_norm",        \
    [CAPP_PART_GATE] = "model.layers.%u.feed_forward.w1", [CAPP_PART_UP] = "model.layers.%u.feed_forward.w3",          \
    [CAPP_PART_DOWN] = "model.layers.%u.feed_forward.w2", [CAPP_PART_MIX_IN] = "model.layers.%u.conv.in_proj",         \
    [CAPP_PART_MIX_TAPS] = "model.layers.%u.conv.conv", [CAPP_PART_MIX_OUT] = "model.layers.%u.conv.out_proj"

static const capp_default lfm2_defaults[] = {
    {"num_key_value_heads", 8}, {"intermediate_size", 12288}, {"max_position_embeddings", 128000}, {NULL, 0}};

/* The width of the feed-forward part follows from its tensors. */
static const capp_rule lfm2_rules[] = {{"conv_bias", "false"},
                                       {"conv_L_cache", NULL},
                                       {"conv_dim", NULL},
                                       {"conv_dim_out", NULL},
                                       {"conv_use_xavier_init", NULL},
                                       {"full_attn_idxs", NULL},
                                       {"block_dim", NULL},
                                       {"block_ff_dim", NULL},
                                       {"block_auto_adjust_ff_dim", NULL},
                                       {"block_ffn_dim_multiplier", NULL},
                                       {"block_mlp_init_scale", NULL},
                                       {"block_multiple_of", NULL},
                                       {"block_norm_eps", NULL},
                                       {"block_out_init_scale", NULL},
                                       {"block_use_swiglu", "true"},
                                       {"block_use_xavier_init", NULL},
                                       {"theta", NULL},
                                       {"use_pos_enc", "true"},
                                       {"num_heads", NULL},
                                       {NULL, NULL}};

const capp_arch capp_arch_lfm2 = {
    .name = "lfm2",
    .models = "LFM2, LFM2.5",
    .gguf = "lfm2",
    .hf = "lfm2",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qk_norm = CAPP_QK_HEAD,
    .mixer = CAPP_MIX_SHORT,
    .theta = 1000000,
    .tied = true,
    .eps = 1e-5,
    .gguf_names = {LFM2_GGUF_NAMES},
    .names = {LFM2_NAMES},
    .prefix = "model.",
    .rules = lfm2_rules,
    .defaults = lfm2_defaults,
};

static const capp_default lfm2moe_defaults[] = {{"num_key_value_heads", 8},
                                                {"intermediate_size", 7168},
                                                {"moe_intermediate_size", 1792},
                                                {"num_dense_layers", 2},
                                                {"num_experts", 32},
                                                {"num_experts_per_tok", 4},
                                                {"max_position_embeddings", 128000},
                                                {NULL, 0}};

static const capp_rule lfm2moe_rules[] = {{"conv_bias", "false"},
                                          {"conv_L_cache", NULL},
                                          {"use_expert_bias", "true"},
                                          {"full_attn_idxs", NULL},
                                          {NULL, NULL}};

const capp_arch capp_arch_lfm2moe = {
    .name = "lfm2moe",
    .models = "LFM2 MoE",
    .gguf = "lfm2moe",
    .hf = "lfm2_moe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qk_norm = CAPP_QK_HEAD,
    .mixer = CAPP_MIX_SHORT,
    .experts = true,
    .router_norm = true,
    .router_sigmoid = true,
    .router_wide = true,
    .choice_bias = true,
    .theta = 1000000,
    .tied = true,
    .eps = 1e-5,
    .gguf_names = {LFM2_GGUF_NAMES},
    .names = {LFM2_NAMES, [CAPP_PART_ROUTER] = "model.layers.%u.feed_forward.gate",
              [CAPP_PART_CHOICE_BIAS] = "model.layers.%u.feed_forward.expert_bias",
              [CAPP_PART_EXPERT_GATE] = "model.layers.%u.feed_forward.experts.%u.w1",
              [CAPP_PART_EXPERT_UP] = "model.layers.%u.feed_forward.experts.%u.w3",
              [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.feed_forward.experts.%u.w2"},
    .prefix = "model.",
    .rules = lfm2moe_rules,
    .defaults = lfm2moe_defaults,
};
