/* Gemma 1 (arXiv 2403.08295): GELU-gated, embedding times sqrt(width). Gemma 2 (arXiv 2408.00118): norms before and
 * after each part, soft caps, every second layer with a window. Gemma 3 (arXiv 2503.19786): five layers with a window,
 * then one global layer, each kind with its own rope base; norms of q and k; no caps. GGUF files store norm weights
 * with 1 already added; folders store them without it. */
#include "model/arch.h"

#define POST_NORMS                                                                                                     \
    [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm",                                                    \
    [CAPP_PART_ATTENTION_POST_NORM] = "model.layers.%u.post_attention_layernorm",                                      \
    [CAPP_PART_FEED_NORM] = "model.layers.%u.pre_feedforward_layernorm",                                               \
    [CAPP_PART_FEED_POST_NORM] = "model.layers.%u.post_feedforward_layernorm"

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
