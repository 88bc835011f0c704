/* Muse Glimmer (text; Meta, 2026). Three of four layers rotate and have a window; counted from the last layer, every
 * fourth sees all positions without a rotation. The embedding is normed, and so are q, with a factor, and k; a gate
 * multiplies attention's output; norms before and after each part. */
#include "model/arch.h"

static const capp_default muse_glimmer_defaults[] = {{"num_attention_heads", 32},
                                                     {"num_key_value_heads", 2},
                                                     {"head_dim", 128},
                                                     {"max_position_embeddings", 131072},
                                                     {"hidden_size", 6656},
                                                     {"num_hidden_layers", 52},
                                                     {"intermediate_size", 19968},
                                                     {"sliding_window", 2048},
                                                     {"final_logit_softcapping", 20},
                                                     {"output_multiplier", 0.19611613513818404},
                                                     {"qk_scale_factor", 3.87},
                                                     {"post_norm_eps", 1e-8},
                                                     {NULL, 0}};

static const capp_rule muse_glimmer_rules[] = {{"output_multiplier", NULL},
                                               {"qk_scale_factor", NULL},
                                               {"post_norm_eps", NULL},
                                               {"layer_rope_theta", NULL},
                                               {NULL, NULL}};

const capp_arch capp_arch_muse_glimmer = {
    .name = "muse-glimmer",
    .models = "Muse Glimmer (text)",
    .gguf = "muse-glimmer",
    .hf = "muse_glimmer_text",
    .norm_plus_one = true,
    .plain_output_norm = true,
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .nope_global = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .attention_gate = true,
    .qk_norm = CAPP_QK_HEAD,
    .bare_tokens_norm = true,
    .post_norms = true,
    .post_eps = 1e-8,
    .logit_scale = true,
    .cap_logits = true,
    .window_period = 4,
    .global_last = true,
    .theta = 10000,
    .eps = 1e-5,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,
              CAPP_FEED_LIKE_LLAMA, [CAPP_PART_MIX_GATE] = "model.layers.%u.self_attn.gate_proj",
              [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm",
              [CAPP_PART_ATTENTION_POST_NORM] = "model.layers.%u.post_attention_layernorm",
              [CAPP_PART_FEED_NORM] = "model.layers.%u.pre_feedforward_layernorm",
              [CAPP_PART_FEED_POST_NORM] = "model.layers.%u.post_feedforward_layernorm"},
    .prefix = "model.",
    .rules = muse_glimmer_rules,
    .defaults = muse_glimmer_defaults,
};
