/* OLMo (arXiv 2402.00838): layer norms without weights. OLMo 2 (arXiv 2501.00656): norms after each part, none before;
 * norms of q and k over the whole row. OLMo 3 (arXiv 2512.13961): three layers with a window, then one global layer
 * whose rotation is stretched. OLMoE (arXiv 2409.02060): norms before, experts. */
#include "model/arch.h"

const capp_arch capp_arch_olmo = {
    .name = "olmo",
    .models = "OLMo 1",
    .gguf = "olmo",
    .hf = "olmo",
    .norm = CAPP_NORM_LAYER,
    .bare_norms = true,
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .clamps = true,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
};

const capp_arch capp_arch_olmo2 = {
    .name = "olmo2",
    .models = "OLMo 2",
    .gguf = "olmo2",
    .hf = "olmo2",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_ROW,
    .no_pre_norms = true,
    .post_norms = true,
    .window_period = 4,
    .maybe_windows = true,
    .local_rope_unscaled = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_POST_NORMS_LIKE_OLMO2},
    .prefix = "model.",
};

static const capp_default olmo3_defaults[] = {{"max_position_embeddings", 2048}, {"sliding_window", 4096}, {NULL, 0}};

/* GGUF files of OLMo 3 call themselves olmo2 and have a window. */
const capp_arch capp_arch_olmo3 = {
    .name = "olmo3",
    .models = "OLMo 3",
    .hf = "olmo3",
    .gguf_as = "olmo2",
    .hf_rope = CAPP_ROPE_HALVES,
    .local_rope_unscaled = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_ROW,
    .no_pre_norms = true,
    .post_norms = true,
    .window_period = 4,
    .theta = 500000,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_POST_NORMS_LIKE_OLMO2},
    .prefix = "model.",
    .defaults = olmo3_defaults,
};

static const capp_default olmoe_defaults[] = {{"num_key_value_heads", 16},
                                              {"num_experts", 64},
                                              {"num_experts_per_tok", 8},
                                              {"max_position_embeddings", 4096},
                                              {NULL, 0}};

const capp_arch capp_arch_olmoe = {
    .name = "olmoe",
    .models = "OLMoE",
    .gguf = "olmoe",
    .hf = "olmoe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_ROW,
    .clamps = true,
    .experts = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_EXPERTS_LIKE_QWEN3},
    .prefix = "model.",
    .defaults = olmoe_defaults,
};
