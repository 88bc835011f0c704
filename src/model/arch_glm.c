/* GLM-4 of 2025 (Zhipu AI): norms before and after each part, gate and up fused, half of the dimensions rotate. */
#include "model/arch.h"

static const capp_default glm4_defaults[] = {
    {"num_key_value_heads", 2}, {"head_dim", 128}, {"max_position_embeddings", 131072}, {NULL, 0}};

const capp_arch capp_arch_glm4 = {
    .name = "glm4",
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
