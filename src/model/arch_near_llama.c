/* Models that differ from Llama in one or two details: Arcee AFM (a feed-forward part without a gate, ReLU squared),
 * Seed-OSS (ByteDance; biases of q, k and v), ERNIE 4.5 (Baidu; neighboring dimensions rotate), Hunyuan (Tencent; q
 * and k are normalized after they rotate), Apertus (Swiss AI, arXiv 2509.14233; the activation xIELU), EXAONE 4 (LG AI,
 * arXiv 2507.11407; norms after each part, layers without a window do not rotate). */
#include "model/arch.h"

static const capp_default arcee_defaults[] = {{"max_position_embeddings", 4096}, {NULL, 0}};

const capp_arch capp_arch_arcee = {
    .name = "arcee",
    .models = "Arcee AFM",
    .gguf = "arcee",
    .hf = "arcee",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .activation = CAPP_RELU2,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .feed_bias = {false, "mlp_bias"},
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA,
              [CAPP_PART_UP] = "model.layers.%u.mlp.up_proj", [CAPP_PART_DOWN] = "model.layers.%u.mlp.down_proj"},
    .prefix = "model.",
    .defaults = arcee_defaults,
};

static const capp_default seed_oss_defaults[] = {
    {"num_key_value_heads", 8}, {"head_dim", 128}, {"max_position_embeddings", 524288}, {NULL, 0}};

const capp_arch capp_arch_seed_oss = {
    .name = "seed_oss",
    .models = "Seed-OSS",
    .gguf = "seed_oss",
    .hf = "seed_oss",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {true, "attention_bias"},
    .out_bias = {false, "attention_out_bias"},
    .feed_bias = {false, "mlp_bias"},
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .gguf_names = {[CAPP_PART_FEED_NORM] = "blk.%u.post_attention_norm"},
    .prefix = "model.",
    .defaults = seed_oss_defaults,
};

static const capp_default ernie4_5_defaults[] = {
    {"num_key_value_heads", 2}, {"head_dim", 128}, {"max_position_embeddings", 131072}, {NULL, 0}};

const capp_arch capp_arch_ernie4_5 = {
    .name = "ernie4_5",
    .models = "ERNIE 4.5 (dense)",
    .gguf = "ernie4_5",
    .hf = "ernie4_5",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_PAIRS,
    .qkv_bias = {false, "use_bias"},
    .out_bias = {false, "use_bias"},
    .feed_bias = {false, "use_bias"},
    .theta = 500000,
    .tied = true,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
    .defaults = ernie4_5_defaults,
};

const capp_arch capp_arch_hunyuan_dense = {
    .name = "hunyuan-dense",
    .models = "Hunyuan (dense)",
    .gguf = "hunyuan-dense",
    .hf = "hunyuan_v1_dense",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rope_alpha = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .qk_norm_rotated = true,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_LLAMA, [CAPP_PART_Q_NORM] = "model.layers.%u.self_attn.query_layernorm",
              [CAPP_PART_K_NORM] = "model.layers.%u.self_attn.key_layernorm"},
    .prefix = "model.",
};

static const capp_default apertus_defaults[] = {{"max_position_embeddings", 65536}, {NULL, 0}};

const capp_arch capp_arch_apertus = {
    .name = "apertus",
    .models = "Apertus",
    .gguf = "apertus",
    .hf = "apertus",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .activation = CAPP_XIELU,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .theta = 12000000,
    .rope_required = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,
              CAPP_QK_NORMS_LIKE_QWEN3, [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.attention_layernorm",
              [CAPP_PART_FEED_NORM] = "model.layers.%u.feedforward_layernorm",
              [CAPP_PART_UP] = "model.layers.%u.mlp.up_proj", [CAPP_PART_DOWN] = "model.layers.%u.mlp.down_proj",
              [CAPP_PART_CURVE] = "model.layers.%u.mlp.act_fn"},
    .prefix = "model.",
    .defaults = apertus_defaults,
};

static const capp_default exaone4_defaults[] = {
    {"num_key_value_heads", 32}, {"max_position_embeddings", 2048}, {"sliding_window", 4096}, {NULL, 0}};

const capp_arch capp_arch_exaone4 = {
    .name = "exaone4",
    .models = "EXAONE 4",
    .gguf = "exaone4",
    .hf = "exaone4",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .nope_global = true,
    .qk_norm = CAPP_QK_HEAD,
    .no_pre_norms = true,
    .post_norms = true,
    .window_period = 4,
    .maybe_windows = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_POST_NORMS_LIKE_OLMO2},
    .prefix = "model.",
    .defaults = exaone4_defaults,
};
