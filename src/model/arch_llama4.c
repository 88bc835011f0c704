/* Llama 4 (text; Meta, 2025). Three of four layers rotate and attend within a chunk of positions; the others see all
 * positions without a rotation, and their queries grow with the logarithm of the position. Each token goes through one
 * of many experts, whose inputs are multiplied by the share, and through a shared expert. In Maverick, every second
 * layer has no experts. */
#include "model/arch.h"

static const capp_default llama4_defaults[] = {{"num_attention_heads", 40},
                                               {"num_key_value_heads", 8},
                                               {"head_dim", 128},
                                               {"max_position_embeddings", 131072},
                                               {"hidden_size", 5120},
                                               {"num_hidden_layers", 48},
                                               {"intermediate_size", 8192},
                                               {"intermediate_size_mlp", 16384},
                                               {"num_local_experts", 16},
                                               {"num_experts_per_tok", 1},
                                               {"attention_chunk_size", 8192},
                                               {NULL, 0}};

static const capp_rule llama4_rules[] = {
    {"attention_chunk_size", NULL},  {"attn_scale", NULL},         {"attn_temperature_tuning", NULL},
    {"floor_scale", NULL},           {"for_llm_compressor", NULL}, {"interleave_moe_layer_step", NULL},
    {"intermediate_size_mlp", NULL}, {"moe_layers", NULL},         {NULL, NULL}};

const capp_arch capp_arch_llama4 = {
    .name = "llama4",
    .models = "Llama 4 (text)",
    .gguf = "llama4",
    .hf = "llama4_text",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_PAIRS,
    .nope_period = 4,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .qk_norm_key = "use_qk_norm",
    .qk_norm_bare = true,
    .window_period = 4,
    .chunks = true,
    .experts = true,
    .router_sigmoid = true,
    .router_wide = true,
    .bare_experts = true,
    .turned_experts = true,
    .scaled_inputs = true,
    .theta = 500000,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,
              CAPP_NORMS_LIKE_LLAMA, [CAPP_PART_GATE] = "model.layers.%u.feed_forward.gate_proj",
              [CAPP_PART_UP] = "model.layers.%u.feed_forward.up_proj",
              [CAPP_PART_DOWN] = "model.layers.%u.feed_forward.down_proj",
              [CAPP_PART_ROUTER] = "model.layers.%u.feed_forward.router",
              [CAPP_PART_EXPERT_UP] = "model.layers.%u.feed_forward.experts.gate_up_proj",
              [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.feed_forward.experts.down_proj",
              [CAPP_PART_SHARED_GATE] = "model.layers.%u.feed_forward.shared_expert.gate_proj",
              [CAPP_PART_SHARED_UP] = "model.layers.%u.feed_forward.shared_expert.up_proj",
              [CAPP_PART_SHARED_DOWN] = "model.layers.%u.feed_forward.shared_expert.down_proj"},
    .prefix = "model.",
    .rules = llama4_rules,
    .defaults = llama4_defaults,
};
