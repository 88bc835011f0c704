/* StableLM (Stability AI): layer norms, a quarter of the dimensions rotates. StarCoder 2 (arXiv 2402.19173): biases,
 * GELU. Command-R (Cohere): attention and feed-forward in parallel after one norm without bias, neighbors rotate,
 * scaled logits. Command-R7B: three layers with a window, then one global layer that does not rotate. GPT-OSS (arXiv
 * 2508.10925): attention sinks, experts with biases. */
#include "model/arch.h"

static const capp_default stablelm_defaults[] = {
    {"num_key_value_heads", 32}, {"max_position_embeddings", 4096}, {NULL, 0}};

const capp_arch capp_arch_stablelm = {
    .name = "stablelm",
    .models = "StableLM",
    .gguf = "stablelm",
    .hf = "stablelm",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rotary = 0.25,
    .qkv_bias = {false, "use_qkv_bias"},
    .qk_norm = CAPP_QK_OWN,
    .qk_norm_key = "qk_layernorm",
    .maybe_parallel = true,
    .eps = 1e-5,
    .names = {CAPP_NAMES_LIKE_LLAMA, [CAPP_PART_Q_NORM] = "model.layers.%u.self_attn.q_layernorm.norms.%u",
              [CAPP_PART_K_NORM] = "model.layers.%u.self_attn.k_layernorm.norms.%u"},
    .prefix = "model.",
    .defaults = stablelm_defaults,
};

static const capp_default starcoder2_defaults[] = {
    {"num_key_value_heads", 2}, {"max_position_embeddings", 4096}, {NULL, 0}};

static const capp_rule starcoder2_rules[] = {{"scale_attn_weights", "true"}, {"mlp_type", "default"}, {NULL, NULL}};

const capp_arch capp_arch_starcoder2 = {
    .name = "starcoder2",
    .models = "StarCoder 2",
    .gguf = "starcoder2",
    .hf = "starcoder2",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .activation = CAPP_GELU,
    .qkv_bias = {true, "use_bias"},
    .out_bias = {true, "use_bias"},
    .feed_bias = {true, "use_bias"},
    .window_period = CAPP_ALL_LOCAL,
    .tied = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA,
              [CAPP_PART_UP] = "model.layers.%u.mlp.c_fc", [CAPP_PART_DOWN] = "model.layers.%u.mlp.c_proj"},
    .prefix = "model.",
    .defaults = starcoder2_defaults,
    .rules = starcoder2_rules,
};

static const capp_default cohere_defaults[] = {{"max_position_embeddings", 8192}, {NULL, 0}};

const capp_arch capp_arch_cohere = {
    .name = "command-r",
    .models = "Command R, Aya 23",
    .gguf = "command-r",
    .hf = "cohere",
    .norm = CAPP_NORM_LAYER,
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_PAIRS,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_OWN,
    .qk_norm_key = "use_qk_norm",
    .parallel = CAPP_PARALLEL_SHARED,
    .logit_scale = true,
    .tied = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA,
              CAPP_QK_NORMS_LIKE_QWEN3, [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm"},
    .prefix = "model.",
    .defaults = cohere_defaults,
};

static const capp_default cohere2_defaults[] = {{"sliding_window", 4096}, {"max_position_embeddings", 8192}, {NULL, 0}};

static const capp_rule cohere2_rules[] = {{"layer_switch", "4"},
                                          {"order_of_interleaved_layers", "local_attn_first"},
                                          {"position_embedding_type", "rope_gptj"},
                                          {"use_gated_activation", "true"},
                                          {"use_parallel_block", "true"},
                                          {NULL, NULL}};

const capp_arch capp_arch_cohere2 = {
    .name = "cohere2",
    .models = "Command R7B, Command A",
    .gguf = "cohere2",
    .hf = "cohere2",
    .norm = CAPP_NORM_LAYER,
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_PAIRS,
    .nope_global = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .parallel = CAPP_PARALLEL_SHARED,
    .logit_scale = true,
    .window_period = 4,
    .tied = true,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,
              CAPP_FEED_LIKE_LLAMA, [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm"},
    .prefix = "model.",
    .defaults = cohere2_defaults,
    .rules = cohere2_rules,
};

static const capp_default gptoss_defaults[] = {{"num_key_value_heads", 8},
                                               {"head_dim", 64},
                                               {"sliding_window", 128},
                                               {"num_local_experts", 128},
                                               {"num_experts_per_tok", 4},
                                               {"max_position_embeddings", 131072},
                                               {NULL, 0}};

static const capp_rule gptoss_rules[] = {{"swiglu_limit", "7"}, {"swiglu_alpha", "1.702"}, {NULL, NULL}};

#define GPTOSS                                                                                                         \
    .rope = CAPP_ROPE_HALVES, .hf_rope = CAPP_ROPE_HALVES, .activation = CAPP_CLAMPED_GATED, .bare_experts = true,     \
    .qkv_bias = {true, "attention_bias"}, .out_bias = {true, "attention_bias"}, .feed_bias = {true, NULL},             \
    .sinks = true, .window_period = 2, .experts = true, .router_norm = true, .rope_untruncated = true,                 \
    .theta = 150000, .eps = 1e-5,                                                                                      \
    .names = {CAPP_ENDS_LIKE_LLAMA,                                                                                    \
              CAPP_ATTENTION_LIKE_LLAMA,                                                                               \
              CAPP_NORMS_LIKE_LLAMA,                                                                                   \
              [CAPP_PART_SINKS] = "model.layers.%u.self_attn.sinks",                                                   \
              [CAPP_PART_ROUTER] = "model.layers.%u.mlp.router",                                                       \
              [CAPP_PART_EXPERT_UP] = "model.layers.%u.mlp.experts.gate_up_proj",                                      \
              [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.mlp.experts.down_proj"},                                      \
    .prefix = "model.", .defaults = gptoss_defaults, .rules = gptoss_rules

const capp_arch capp_arch_gptoss = {
    .name = "gpt-oss",
    .models = "GPT-OSS",
    .gguf = "gpt-oss",
    .hf = "gpt_oss",
    .gguf_names = {[CAPP_PART_FEED_NORM] = "blk.%u.post_attention_norm"},
    GPTOSS,
};

/* Ollama's files of 2025. They do not say that rotations are scaled as in YaRN. The first ones, of August, have gate
 * and up in one tensor, and blocks of MXFP4_PAIRS. */
const capp_arch capp_arch_gptoss_ollama = {
    .name = "gptoss",
    .models = "GPT-OSS, as Ollama stores it",
    .gguf = "gptoss",
    .gguf_names = {[CAPP_PART_OUT] = "blk.%u.attn_out"},
    .bare_parts = (const capp_part[]){CAPP_PART_SINKS, CAPP_PARTS},
    .rope_yarn = true,
    .experts_in_turn = true,
    GPTOSS,
};

static const capp_default nemotron_defaults[] = {{"max_position_embeddings", 4096}, {NULL, 0}};

/* Nemotron-4 and Minitron (NVIDIA, arXiv 2402.16819): layer norms, whose weights the files store minus 1; ReLU
 * squared. */
const capp_arch capp_arch_nemotron = {
    .name = "nemotron",
    .models = "Nemotron-4, Minitron",
    .gguf = "nemotron",
    .hf = "nemotron",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .norm_plus_one = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rotary = 0.5,
    .activation = CAPP_RELU2,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .feed_bias = {false, "mlp_bias"},
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA,
              [CAPP_PART_UP] = "model.layers.%u.mlp.up_proj", [CAPP_PART_DOWN] = "model.layers.%u.mlp.down_proj"},
    .prefix = "model.",
    .defaults = nemotron_defaults,
};
