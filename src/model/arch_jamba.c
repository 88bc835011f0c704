/* Models with Mamba-1 (Gu and Dao, arXiv 2312.00752). Mamba and Falcon Mamba (arXiv 2410.05355): every layer has
 * Mamba-1 and nothing else. Jamba (arXiv 2403.19887): most layers have Mamba-1 instead of attention, and some have
 * experts. Positions are not encoded. */
#include "model/arch.h"

static const capp_default mamba_defaults[] = {{"max_position_embeddings", 1 << 20}, {NULL, 0}};

static const capp_rule mamba_rules[] = {{"hidden_act", "silu"},
                                        {"use_bias", "false"},
                                        {"conv_kernel", NULL},
                                        {"d_inner", NULL},
                                        {"expand", NULL},
                                        {"fused_add_norm", NULL},
                                        {"mixer_rms_eps", NULL},
                                        {"pad_vocab_size_multiple", NULL},
                                        {"rescale_prenorm_residual", NULL},
                                        {"residual_in_fp32", NULL},
                                        {"rms_norm", "true"},
                                        {"ssm_cfg", NULL},
                                        {"state_size", NULL},
                                        {"time_step_floor", NULL},
                                        {"time_step_init_scheme", NULL},
                                        {"time_step_max", NULL},
                                        {"time_step_min", NULL},
                                        {"time_step_rank", NULL},
                                        {"time_step_scale", NULL},
                                        {"use_associative_scan", NULL},
                                        {"use_conv_bias", NULL},
                                        {"use_falcon_mambapy", NULL},
                                        {"use_mambapy", NULL},
                                        {NULL, NULL}};

#define BACKBONE(name) "model.backbone." name

#define MAMBA                                                                                                          \
    .mixer = CAPP_MIX_SELECT, .part_alone = true, .mixes_only = true, .tied = true, .eps = 1e-5,                       \
    .names = {[CAPP_PART_TOKENS] = BACKBONE("embeddings"),                                                             \
              [CAPP_PART_OUTPUT_NORM] = BACKBONE("norm_f"),                                                            \
              [CAPP_PART_HEAD] = "model.lm_head",                                                                      \
              [CAPP_PART_ATTENTION_NORM] = BACKBONE("layers.%u.norm"),                                                 \
              [CAPP_PART_MIX_IN] = BACKBONE("layers.%u.mixer.in_proj"),                                                \
              [CAPP_PART_MIX_TAPS] = BACKBONE("layers.%u.mixer.conv1d"),                                               \
              [CAPP_PART_MIX_SELECT] = BACKBONE("layers.%u.mixer.x_proj"),                                             \
              [CAPP_PART_MIX_STEP] = BACKBONE("layers.%u.mixer.dt_proj"),                                              \
              [CAPP_PART_MIX_DECAY] = BACKBONE("layers.%u.mixer.A_log"),                                               \
              [CAPP_PART_MIX_SKIP] = BACKBONE("layers.%u.mixer.D"),                                                    \
              [CAPP_PART_MIX_OUT] = BACKBONE("layers.%u.mixer.out_proj")},                                             \
    .prefix = "model.", .rules = mamba_rules, .defaults = mamba_defaults

const capp_arch capp_arch_mamba = {.name = "mamba", .models = "Mamba", .gguf = "mamba", .hf = "mamba", MAMBA};

const capp_arch capp_arch_falcon_mamba = {
    .name = "falcon_mamba",
    .models = "Falcon Mamba",
    .hf = "falcon_mamba",
    .gguf_as = "mamba",
    MAMBA,
};

static const capp_default jamba_defaults[] = {{"attn_layer_offset", 4},
                                              {"attn_layer_period", 8},
                                              {"expert_layer_offset", 1},
                                              {"expert_layer_period", 2},
                                              {"intermediate_size", 14336},
                                              {"max_position_embeddings", 262144},
                                              {"num_attention_heads", 32},
                                              {"num_experts", 16},
                                              {"num_experts_per_tok", 2},
                                              {"num_key_value_heads", 8},
                                              {NULL, 0}};

static const capp_rule jamba_rules[] = {
    {"attn_layer_offset", NULL},   {"attn_layer_period", NULL},   {"calc_logits_for_entire_prompt", NULL},
    {"expert_layer_offset", NULL}, {"expert_layer_period", NULL}, {"layers_block_type", NULL},
    {"mamba_conv_bias", NULL},     {"mamba_d_conv", NULL},        {"mamba_d_state", NULL},
    {"mamba_dt_rank", NULL},       {"mamba_expand", NULL},        {"mamba_inner_layernorms", "true"},
    {"mamba_proj_bias", "false"},  {"num_logits_to_keep", NULL},  {"use_associative_scan", NULL},
    {"use_mamba_kernels", NULL},   {"use_mambapy", NULL},         {NULL, NULL}};

const capp_arch capp_arch_jamba = {
    .name = "jamba",
    .models = "Jamba",
    .gguf = "jamba",
    .hf = "jamba",
    .mixer = CAPP_MIX_SELECT,
    .experts = true,
    .eps = 1e-6,
    .names = {[CAPP_PART_TOKENS] = "model.embed_tokens",
              [CAPP_PART_OUTPUT_NORM] = "model.final_layernorm",
              [CAPP_PART_HEAD] = "lm_head",
              CAPP_ATTENTION_LIKE_LLAMA,
              [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm",
              [CAPP_PART_FEED_NORM] = "model.layers.%u.pre_ff_layernorm",
              [CAPP_PART_GATE] = "model.layers.%u.feed_forward.gate_proj",
              [CAPP_PART_UP] = "model.layers.%u.feed_forward.up_proj",
              [CAPP_PART_DOWN] = "model.layers.%u.feed_forward.down_proj",
              [CAPP_PART_ROUTER] = "model.layers.%u.feed_forward.router",
              [CAPP_PART_EXPERT_GATE] = "model.layers.%u.feed_forward.experts.%u.gate_proj",
              [CAPP_PART_EXPERT_UP] = "model.layers.%u.feed_forward.experts.%u.up_proj",
              [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.feed_forward.experts.%u.down_proj",
              [CAPP_PART_MIX_IN] = "model.layers.%u.mamba.in_proj",
              [CAPP_PART_MIX_TAPS] = "model.layers.%u.mamba.conv1d",
              [CAPP_PART_MIX_SELECT] = "model.layers.%u.mamba.x_proj",
              [CAPP_PART_MIX_STEP] = "model.layers.%u.mamba.dt_proj",
              [CAPP_PART_MIX_STEP_NORM] = "model.layers.%u.mamba.dt_layernorm",
              [CAPP_PART_MIX_B_NORM] = "model.layers.%u.mamba.b_layernorm",
              [CAPP_PART_MIX_C_NORM] = "model.layers.%u.mamba.c_layernorm",
              [CAPP_PART_MIX_DECAY] = "model.layers.%u.mamba.A_log",
              [CAPP_PART_MIX_SKIP] = "model.layers.%u.mamba.D",
              [CAPP_PART_MIX_OUT] = "model.layers.%u.mamba.out_proj"},
    .prefix = "model.",
    .rules = jamba_rules,
    .defaults = jamba_defaults,
};
