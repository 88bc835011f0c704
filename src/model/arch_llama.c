/* Llama (Touvron et al., arXiv 2302.13971): RMS norms, rotary positions, SiLU-gated feed-forward, grouped key-value
 * heads; and models that changed little. GGUF files store Llama's q and k rows permuted, so that a rotation turns
 * neighbors. */
#include "model/arch.h"

/* GGUF files of Mistral and Mixtral call themselves llama too. */
const capp_arch capp_arch_llama = {
    .name = "llama",
    .models = "Llama 1 to 3, SmolLM 2 and others of this form",
    .gguf = "llama",
    .hf = "llama",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .feed_bias = {false, "mlp_bias"},
    .experts = true,
    .router_norm = true,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
};

static const capp_default mistral_defaults[] = {{"num_attention_heads", 32},  {"num_key_value_heads", 8},
                                                {"sliding_window", 4096},     {"max_position_embeddings", 131072},
                                                {"hidden_size", 4096},        {"num_hidden_layers", 32},
                                                {"intermediate_size", 14336}, {NULL, 0}};

/* Mistral (Jiang et al., arXiv 2310.06825): every layer may have a window. */
const capp_arch capp_arch_mistral = {
    .name = "mistral",
    .models = "Mistral",
    .hf = "mistral",
    .gguf_as = "llama",
    .hf_rope = CAPP_ROPE_HALVES,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
    .defaults = mistral_defaults,
};

/* Ministral: layer_types names the layers that have a window. */
const capp_arch capp_arch_ministral = {
    .name = "ministral",
    .models = "Ministral",
    .hf = "ministral",
    .hf_rope = CAPP_ROPE_HALVES,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
    .defaults = mistral_defaults,
};

static const capp_default mixtral_defaults[] = {{"num_key_value_heads", 8},
                                                {"num_local_experts", 8},
                                                {"num_experts_per_tok", 2},
                                                {"max_position_embeddings", 131072},
                                                {NULL, 0}};

static const capp_default ministral3_defaults[] = {{"num_attention_heads", 32},
                                                   {"num_key_value_heads", 8},
                                                   {"head_dim", 128},
                                                   {"max_position_embeddings", 262144},
                                                   {"hidden_size", 4096},
                                                   {"num_hidden_layers", 34},
                                                   {"intermediate_size", 14336},
                                                   {NULL, 0}};

/* Ministral 3: queries grow with the logarithm of their position, as in Llama 4. */
const capp_arch capp_arch_ministral3 = {
    .name = "ministral3",
    .models = "Ministral 3",
    .gguf = "mistral3",
    .hf = "ministral3",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .query_growth = true,
    .rope_required = true,
    .window_period = CAPP_ALL_LOCAL,
    .theta = 10000,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
    .defaults = ministral3_defaults,
};

/* Mixtral (Jiang et al., arXiv 2401.04088): experts instead of the feed-forward part. */
const capp_arch capp_arch_mixtral = {
    .name = "mixtral",
    .models = "Mixtral",
    .hf = "mixtral",
    .gguf_as = "llama",
    .hf_rope = CAPP_ROPE_HALVES,
    .window_period = CAPP_ALL_LOCAL,
    .experts = true,
    .router_norm = true,
    .theta = 1000000,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA, CAPP_EXPERTS_LIKE_MIXTRAL},
    .prefix = "model.",
    .defaults = mixtral_defaults,
};

static const capp_default smollm3_defaults[] = {
    {"num_key_value_heads", 4}, {"max_position_embeddings", 32768}, {NULL, 0}};

/* SmolLM3: every fourth layer does not rotate (Yang et al., arXiv 2501.18795). */
const capp_arch capp_arch_smollm3 = {
    .name = "smollm3",
    .models = "SmolLM 3",
    .gguf = "smollm3",
    .hf = "smollm3",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .nope_period = 4,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .feed_bias = {false, "mlp_bias"},
    .tied = true,
    .theta = 2000000,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
    .defaults = smollm3_defaults,
};

/* Granite (IBM): scales of embedding, residuals, scores and logits. */
const capp_arch capp_arch_granite = {
    .name = "granite",
    .models = "Granite 3 (dense)",
    .gguf = "granite",
    .hf = "granite",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .feed_bias = {false, "mlp_bias"},
    .scales = true,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
};
