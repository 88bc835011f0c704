/* Bloom (arXiv 2211.05100) and MPT (MosaicML 2023): no positions, but linear biases of attention scores (ALiBi, arXiv
 * 2108.12409). Falcon (arXiv 2311.16867): rotary positions; attention and feed-forward in parallel after one norm (7B)
 * or two (40B). */
#include "model/arch.h"

static const capp_rule bloom_rules[] = {
    {"apply_residual_connection_post_layernorm", "false"}, {"slow_but_exact", "false"}, {NULL, NULL}};

const capp_arch capp_arch_bloom = {
    .name = "bloom",
    .models = "BLOOM",
    .gguf = "bloom",
    .hf = "bloom",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .activation = CAPP_GELU,
    .qkv_bias = {true, NULL},
    .out_bias = {true, NULL},
    .feed_bias = {true, NULL},
    .tokens_norm = true,
    .alibi = true,
    .tied = true,
    .grouped_qkv = true,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "transformer.word_embeddings",
              [CAPP_PART_TOKENS_NORM] = "transformer.word_embeddings_layernorm",
              [CAPP_PART_OUTPUT_NORM] = "transformer.ln_f",
              [CAPP_PART_HEAD] = "lm_head",
              [CAPP_PART_ATTENTION_NORM] = "transformer.h.%u.input_layernorm",
              [CAPP_PART_QKV] = "transformer.h.%u.self_attention.query_key_value",
              [CAPP_PART_OUT] = "transformer.h.%u.self_attention.dense",
              [CAPP_PART_FEED_NORM] = "transformer.h.%u.post_attention_layernorm",
              [CAPP_PART_UP] = "transformer.h.%u.mlp.dense_h_to_4h",
              [CAPP_PART_DOWN] = "transformer.h.%u.mlp.dense_4h_to_h"},
    .prefix = "transformer.",
    .rules = bloom_rules,
};

/* transformers always uses 8 for alibi_bias_max, whatever the file says. MPT's own code uses the file's value. So capp
 * rejects other values: no single answer is right. */
static const capp_rule mpt_rules[] = {{"logit_scale", "null"},
                                      {"attn_config.alibi_bias_max", "8"},
                                      {"attn_config.alibi", "true"},
                                      {"attn_config.attn_type", "multihead_attention"},
                                      {"attn_config.qk_ln", "false"},
                                      {"attn_config.prefix_lm", "false"},
                                      {NULL, NULL}};

const capp_arch capp_arch_mpt = {
    .name = "mpt",
    .models = "MPT",
    .gguf = "mpt",
    .hf = "mpt",
    .norm = CAPP_NORM_LAYER,
    .activation = CAPP_GELU_ERF,
    .alibi = true,
    .clamps = true,
    .tied = true,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "transformer.wte",
              [CAPP_PART_OUTPUT_NORM] = "transformer.norm_f",
              [CAPP_PART_HEAD] = "lm_head",
              [CAPP_PART_ATTENTION_NORM] = "transformer.blocks.%u.norm_1",
              [CAPP_PART_QKV] = "transformer.blocks.%u.attn.Wqkv",
              [CAPP_PART_OUT] = "transformer.blocks.%u.attn.out_proj",
              [CAPP_PART_FEED_NORM] = "transformer.blocks.%u.norm_2",
              [CAPP_PART_UP] = "transformer.blocks.%u.ffn.up_proj",
              [CAPP_PART_DOWN] = "transformer.blocks.%u.ffn.down_proj"},
    .prefix = "transformer.",
    .rules = mpt_rules,
};

static const capp_rule falcon_rules[] = {
    {"apply_residual_connection_post_layernorm", "false"}, {"ff_factor", "4"}, {NULL, NULL}};

const capp_arch capp_arch_falcon = {
    .name = "falcon",
    .models = "Falcon 7B, 40B",
    .gguf = "falcon",
    .hf = "falcon",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .activation = CAPP_GELU_ERF,
    .qkv_bias = {false, "bias"},
    .out_bias = {false, "bias"},
    .feed_bias = {false, "bias"},
    .parallel = CAPP_PARALLEL_SHARED,
    .tied = true,
    .grouped_qkv = true,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "transformer.word_embeddings",
              [CAPP_PART_OUTPUT_NORM] = "transformer.ln_f",
              [CAPP_PART_HEAD] = "lm_head",
              [CAPP_PART_ATTENTION_NORM] = "transformer.h.%u.ln_attn|transformer.h.%u.input_layernorm",
              [CAPP_PART_QKV] = "transformer.h.%u.self_attention.query_key_value",
              [CAPP_PART_OUT] = "transformer.h.%u.self_attention.dense",
              [CAPP_PART_FEED_NORM] = "transformer.h.%u.ln_mlp|transformer.h.%u.post_attention_layernorm",
              [CAPP_PART_UP] = "transformer.h.%u.mlp.dense_h_to_4h",
              [CAPP_PART_DOWN] = "transformer.h.%u.mlp.dense_4h_to_h"},
    .gguf_names = {[CAPP_PART_ATTENTION_NORM] = "blk.%u.attn_norm_2|blk.%u.attn_norm",
                   [CAPP_PART_FEED_NORM] = "blk.%u.attn_norm"},
    .prefix = "transformer.",
    .rules = falcon_rules,
};
