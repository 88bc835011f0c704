/* Qwen 2, 2.5 (arXiv 2412.15115): biases of q, k and v. Qwen 3 (arXiv 2505.09388): norms of q and k instead; some have
 * experts. */
#include "model/arch.h"

static const capp_default qwen2_defaults[] = {{"num_key_value_heads", 32},
                                              {"max_position_embeddings", 32768},
                                              {"sliding_window", 4096},
                                              {"max_window_layers", 28},
                                              {NULL, 0}};

const capp_arch capp_arch_qwen2 = {
    .name = "qwen2",
    .models = "Qwen 2, 2.5",
    .gguf = "qwen2",
    .hf = "qwen2",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {true, NULL},
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
    .defaults = qwen2_defaults,
};

static const capp_default qwen3_defaults[] = {{"num_key_value_heads", 32},        {"head_dim", 128},
                                              {"max_position_embeddings", 32768}, {"sliding_window", 4096},
                                              {"max_window_layers", 28},          {NULL, 0}};

const capp_arch capp_arch_qwen3 = {
    .name = "qwen3",
    .models = "Qwen 3",
    .gguf = "qwen3",
    .hf = "qwen3",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3},
    .prefix = "model.",
    .defaults = qwen3_defaults,
};

/* With decoder_sparse_step above 1 some layers would have no experts. */
static const capp_rule qwen3moe_rules[] = {{"decoder_sparse_step", NULL}, {"mlp_only_layers", NULL}, {NULL, NULL}};

static const capp_default qwen3moe_defaults[] = {{"num_key_value_heads", 4},
                                                 {"num_experts", 128},
                                                 {"num_experts_per_tok", 8},
                                                 {"moe_intermediate_size", 768},
                                                 {"max_position_embeddings", 32768},
                                                 {"sliding_window", 4096},
                                                 {NULL, 0}};

const capp_arch capp_arch_qwen3moe = {
    .name = "qwen3moe",
    .models = "Qwen 3 MoE",
    .gguf = "qwen3moe",
    .hf = "qwen3_moe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .experts = true,
    .router_norm = true,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_FEED_LIKE_LLAMA, CAPP_EXPERTS_LIKE_QWEN3},
    .prefix = "model.",
    .rules = qwen3moe_rules,
    .defaults = qwen3moe_defaults,
};

static const capp_default qwen2moe_defaults[] = {{"num_key_value_heads", 16},
                                                 {"num_experts", 60},
                                                 {"num_experts_per_tok", 4},
                                                 {"moe_intermediate_size", 1408},
                                                 {"shared_expert_intermediate_size", 5632},
                                                 {"max_position_embeddings", 32768},
                                                 {"sliding_window", 4096},
                                                 {"max_window_layers", 28},
                                                 {NULL, 0}};

static const capp_rule qwen2moe_rules[] = {
    {"use_sliding_window", "false"}, {"decoder_sparse_step", NULL}, {"mlp_only_layers", NULL}, {NULL, NULL}};

/* Qwen 1.5 and 2 MoE: beside the others, a shared expert for all rows, weighted by its own router. */
const capp_arch capp_arch_qwen2moe = {
    .name = "qwen2moe",
    .models = "Qwen 1.5 MoE, Qwen 2 MoE",
    .gguf = "qwen2moe",
    .hf = "qwen2_moe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {true, "qkv_bias"},
    .experts = true,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA,
              CAPP_EXPERTS_LIKE_QWEN3, [CAPP_PART_SHARED_ROUTER] = "model.layers.%u.mlp.shared_expert_gate",
              [CAPP_PART_SHARED_GATE] = "model.layers.%u.mlp.shared_expert.gate_proj",
              [CAPP_PART_SHARED_UP] = "model.layers.%u.mlp.shared_expert.up_proj",
              [CAPP_PART_SHARED_DOWN] = "model.layers.%u.mlp.shared_expert.down_proj"},
    .prefix = "model.",
    .rules = qwen2moe_rules,
    .defaults = qwen2moe_defaults,
};

/* The text parts of Qwen2-VL, 2.5-VL and 3-VL. For text alone, the three axes of positions are the same. */
const capp_arch capp_arch_qwen2vl = {
    .name = "qwen2vl",
    .models = "Qwen2-VL, Qwen2.5-VL (text)",
    .gguf = "qwen2vl",
    .rope = CAPP_ROPE_HALVES,
    .window_period = CAPP_ALL_LOCAL,
    .qkv_bias = {true, NULL},
    .eps = 1e-6,
};

static const capp_default qwen3vl_defaults[] = {
    {"num_key_value_heads", 32}, {"head_dim", 128}, {"max_position_embeddings", 128000}, {NULL, 0}};

const capp_arch capp_arch_qwen3vl = {
    .name = "qwen3vl",
    .models = "Qwen3-VL (text)",
    .gguf = "qwen3vl",
    .hf = "qwen3_vl_text",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rope_axes = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .theta = 500000,
    .qk_norm = CAPP_QK_HEAD,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3},
    .prefix = "model.",
    .defaults = qwen3vl_defaults,
};

const capp_arch capp_arch_qwen3vlmoe = {
    .name = "qwen3vlmoe",
    .models = "Qwen3-VL MoE (text)",
    .gguf = "qwen3vlmoe",
    .rope = CAPP_ROPE_HALVES,
    .qk_norm = CAPP_QK_HEAD,
    .experts = true,
    .router_norm = true,
    .eps = 1e-6,
};
