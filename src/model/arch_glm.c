/* GLM-4 of 2025 (Zhipu AI): norms before and after each part, gate and up fused, half of the dimensions rotate. */
#include "model/arch.h"

static const capp_default glm4_defaults[] = {
    {"num_key_value_heads", 2}, {"head_dim", 128}, {"max_position_embeddings", 131072}, {NULL, 0}};

const capp_arch capp_arch_glm4 = {
    .name = "glm4",
    .models = "GLM-4 0414",
    .gguf = "glm4",
    .hf = "glm4",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_PAIRS,
    .rotary = 0.5,
    .qkv_bias = {true, "attention_bias"},
    .post_norms = true,
    .fused_gate = true,
    .eps = 1.5625e-7,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,
              CAPP_NORMS_LIKE_LLAMA, [CAPP_PART_ATTENTION_POST_NORM] = "model.layers.%u.post_self_attn_layernorm",
              [CAPP_PART_FEED_POST_NORM] = "model.layers.%u.post_mlp_layernorm",
              [CAPP_PART_UP] = "model.layers.%u.mlp.gate_up_proj", [CAPP_PART_DOWN] = "model.layers.%u.mlp.down_proj"},
    .prefix = "model.",
    .defaults = glm4_defaults,
};

static const capp_default glm4_moe_defaults[] = {{"num_key_value_heads", 8},
                                                 {"n_group", 1},
                                                 {"topk_group", 1},
                                                 {"n_routed_experts", 128},
                                                 {"num_experts_per_tok", 8},
                                                 {"moe_intermediate_size", 1408},
                                                 {"n_shared_experts", 1},
                                                 {"first_k_dense_replace", 1},
                                                 {"max_position_embeddings", 131072},
                                                 {NULL, 0}};

/* GLM-4.5 to 4.7 (arXiv 2508.06471): experts, and norms of q and k in the largest. */
const capp_arch capp_arch_glm4_moe = {
    .name = "glm4moe",
    .models = "GLM-4.5 to 4.7",
    .gguf = "glm4moe",
    .hf = "glm4_moe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rotary = 0.5,
    .qkv_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .qk_norm_key = "use_qk_norm",
    .experts = true,
    .router_norm = true,
    .router_sigmoid = true,
    .router_wide = true,
    .choice_bias = true,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3, CAPP_EXPERTS_LIKE_QWEN3,
              CAPP_SHARED_LIKE_DEEPSEEK, [CAPP_PART_CHOICE_BIAS] = "model.layers.%u.mlp.gate.e_score_correction_bias"},
    .gguf_names = {[CAPP_PART_FEED_NORM] = "blk.%u.post_attention_norm"},
    .prefix = "model.",
    .defaults = glm4_moe_defaults,
};
