/* Phi-1.5 and 2 (arXiv 2309.05463): attention and feed-forward in parallel after one norm, half of the dimensions
 * rotate, biases everywhere, also on the head. Phi-3 and 4 (arXiv 2404.14219, 2412.08905): a Llama with fused products
 * and LongRoPE (arXiv 2402.13753). */
#include "model/arch.h"

const capp_arch capp_arch_phi = {
    .name = "phi2",
    .models = "Phi 1.5, Phi 2",
    .gguf = "phi2",
    .hf = "phi",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rotary = 0.5,
    .activation = CAPP_GELU,
    .qkv_bias = {true, NULL},
    .out_bias = {true, NULL},
    .feed_bias = {true, NULL},
    .head_bias = true,
    .qk_norm = CAPP_QK_HEAD,
    .qk_norm_key = "qk_layernorm",
    .qk_norm_bias = true,
    .parallel = CAPP_PARALLEL_SHARED,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "model.embed_tokens",
              [CAPP_PART_OUTPUT_NORM] = "model.final_layernorm",
              [CAPP_PART_HEAD] = "lm_head",
              [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm",
              [CAPP_PART_Q] = "model.layers.%u.self_attn.q_proj",
              [CAPP_PART_K] = "model.layers.%u.self_attn.k_proj",
              [CAPP_PART_V] = "model.layers.%u.self_attn.v_proj",
              [CAPP_PART_Q_NORM] = "model.layers.%u.self_attn.q_layernorm",
              [CAPP_PART_K_NORM] = "model.layers.%u.self_attn.k_layernorm",
              [CAPP_PART_OUT] = "model.layers.%u.self_attn.dense",
              [CAPP_PART_UP] = "model.layers.%u.mlp.fc1",
              [CAPP_PART_DOWN] = "model.layers.%u.mlp.fc2"},
    .prefix = "model.",
};

static const capp_default phi3_defaults[] = {
    {"max_position_embeddings", 4096}, {"original_max_position_embeddings", 4096}, {NULL, 0}};

static const capp_rule phi3_rules[] = {{"full_attn_mod", "1"}, {"interpolate_factor", "1"}, {NULL, NULL}};

const capp_arch capp_arch_phi3 = {
    .name = "phi3",
    .models = "Phi 3, Phi 4",
    .gguf = "phi3",
    .hf = "phi3",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .window_period = CAPP_ALL_LOCAL,
    .fused_gate = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA, [CAPP_PART_QKV] = "model.layers.%u.self_attn.qkv_proj",
              [CAPP_PART_OUT] = "model.layers.%u.self_attn.o_proj", [CAPP_PART_UP] = "model.layers.%u.mlp.gate_up_proj",
              [CAPP_PART_DOWN] = "model.layers.%u.mlp.down_proj"},
    .prefix = "model.",
    .defaults = phi3_defaults,
    .rules = phi3_rules,
};

static const capp_default phimoe_defaults[] = {{"num_key_value_heads", 8},
                                               {"num_local_experts", 16},
                                               {"num_experts_per_tok", 2},
                                               {"max_position_embeddings", 131072},
                                               {NULL, 0}};

static const capp_rule phimoe_rules[] = {{"num_experts_per_tok", "2"},
                                         {"router_jitter_noise", NULL},
                                         {"input_jitter_noise", NULL},
                                         {"lm_head_bias", NULL},
                                         {NULL, NULL}};

/* Phi-3.5-MoE (arXiv 2404.14219). llama.cpp divides by the root mean square where these layer norms also subtract the
 * mean, and takes a softmax over all experts; capp computes what the model was trained with, from both kinds of file.
 */
const capp_arch capp_arch_phimoe = {
    .name = "phimoe",
    .models = "Phi 3.5 MoE",
    .gguf = "phimoe",
    .hf = "phimoe",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rope_mscales = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .head_bias = false,
    .head_bias_key = "lm_head_bias",
    .window_period = CAPP_ALL_LOCAL,
    .experts = true,
    .near_best = true,
    .theta = 1000000,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA, CAPP_EXPERTS_LIKE_MIXTRAL},
    .prefix = "model.",
    .rules = phimoe_rules,
    .defaults = phimoe_defaults,
};
