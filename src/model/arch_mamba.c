/* Models with Mamba-2 (Dao and Gu, arXiv 2405.21060). Granite 4: most layers have Mamba-2 instead of attention;
 * positions are usually not encoded. Nemotron-H (arXiv 2504.03624): a layer has Mamba-2, attention or a feed-forward
 * part. transformers raises the steps of Nemotron-H's Mamba-2 to time_step_min, usually 0.001. The code of the
 * authors and llama.cpp do not, nor does capp. Mamba-2: every layer has Mamba-2 and nothing else. Falcon-H1 (arXiv
 * 2507.22448): every layer has attention and Mamba-2 side by side. */
#include "model/arch.h"

static const capp_default granitehybrid_defaults[] = {
    {"intermediate_size", 11008},       {"num_local_experts", 8},          {"num_experts_per_tok", 2},
    {"shared_intermediate_size", 1024}, {"max_position_embeddings", 2048}, {NULL, 0}};

static const capp_rule granitehybrid_rules[] = {{"shared_intermediate_size", NULL},
                                                {"layers_block_type", NULL},
                                                {"position_embedding_type", NULL},
                                                {"normalization_function", "rmsnorm"},
                                                {"mamba_chunk_size", NULL},
                                                {"mamba_conv_bias", NULL},
                                                {"mamba_d_conv", NULL},
                                                {"mamba_d_head", NULL},
                                                {"mamba_d_state", NULL},
                                                {"mamba_expand", NULL},
                                                {"mamba_n_groups", NULL},
                                                {"mamba_n_heads", NULL},
                                                {"mamba_proj_bias", "false"},
                                                {"time_step_limit", NULL},
                                                {NULL, NULL}};

const capp_arch capp_arch_granitehybrid = {
    .name = "granitehybrid",
    .models = "Granite 4",
    .gguf = "granitehybrid",
    .hf = "granitemoehybrid",
    .rope = CAPP_ROPE_PAIRS,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .scales = true,
    .mixer = CAPP_MIX_SCAN,
    .experts = true,
    .router_norm = true,
    .eps = 1e-6,
    .names =
        {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,
         CAPP_NORMS_LIKE_LLAMA, [CAPP_PART_UP] = "model.layers.%u.shared_mlp.input_linear",
         [CAPP_PART_DOWN] = "model.layers.%u.shared_mlp.output_linear",
         [CAPP_PART_ROUTER] = "model.layers.%u.block_sparse_moe.router.layer",
         [CAPP_PART_EXPERT_UP] = "model.layers.%u.block_sparse_moe.input_linear",
         [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.block_sparse_moe.output_linear",
         [CAPP_PART_SHARED_UP] = "model.layers.%u.shared_mlp.input_linear",
         [CAPP_PART_SHARED_DOWN] = "model.layers.%u.shared_mlp.output_linear",
         [CAPP_PART_MIX_IN] = "model.layers.%u.mamba.in_proj", [CAPP_PART_MIX_TAPS] = "model.layers.%u.mamba.conv1d",
         [CAPP_PART_MIX_DECAY] = "model.layers.%u.mamba.A_log", [CAPP_PART_MIX_STEP] = "model.layers.%u.mamba.dt_bias",
         [CAPP_PART_MIX_SKIP] = "model.layers.%u.mamba.D", [CAPP_PART_MIX_NORM] = "model.layers.%u.mamba.norm",
         [CAPP_PART_MIX_OUT] = "model.layers.%u.mamba.out_proj"},
    .prefix = "model.",
    .rules = granitehybrid_rules,
    .defaults = granitehybrid_defaults,
};

static const capp_default nemotron_h_defaults[] = {{"ssm_state_size", 128},
                                                   {"mamba_num_heads", 128},
                                                   {"n_groups", 8},
                                                   {"num_key_value_heads", 8},
                                                   {"head_dim", 128},
                                                   {"max_position_embeddings", 4096},
                                                   {"intermediate_size", 21504},
                                                   {"n_routed_experts", 8},
                                                   {"num_experts_per_tok", 2},
                                                   {"moe_intermediate_size", 7688},
                                                   {"moe_shared_expert_intermediate_size", 7688},
                                                   {"n_group", 1},
                                                   {"topk_group", 1},
                                                   {NULL, 0}};

static const capp_rule nemotron_h_rules[] = {{"layers_block_type", NULL},
                                             {"hybrid_override_pattern", NULL},
                                             {"mtp_layers_block_type", NULL},
                                             {"mtp_hybrid_override_pattern", NULL},
                                             {"mlp_hidden_act", "relu2"},
                                             {"mamba_hidden_act", "silu"},
                                             {"mamba_proj_bias", "false"},
                                             {"use_bias", "false"},
                                             {"attention_head_dim", NULL},
                                             {"chunk_size", NULL},
                                             {"conv_kernel", NULL},
                                             {"expand", NULL},
                                             {"mamba_head_dim", NULL},
                                             {"mamba_num_heads", NULL},
                                             {"mamba_ssm_cache_dtype", NULL},
                                             {"n_groups", NULL},
                                             {"ssm_state_size", NULL},
                                             {"time_step_floor", NULL},
                                             {"time_step_limit", NULL},
                                             {"time_step_max", NULL},
                                             {"time_step_min", NULL},
                                             {"time_step_rank", NULL},
                                             {"use_conv_bias", NULL},
                                             {"use_mamba_kernels", NULL},
                                             {"num_logits_to_keep", NULL},
                                             {"rescale_prenorm_residual", NULL},
                                             {"residual_in_fp32", NULL},
                                             {"moe_latent_size", NULL},
                                             {"moe_shared_expert_intermediate_size", NULL},
                                             {"moe_shared_expert_overlap", NULL},
                                             {NULL, NULL}};

#define EITHER(name) "backbone." name "|model." name
#define MIXER(name)  EITHER("layers.%u.mixer." name)

/* In folders, models with experts have the same name as those without. */
#define NEMOTRON_H                                                                                                     \
    .activation = CAPP_RELU2, .qkv_bias = {false, "attention_bias"}, .out_bias = {false, "attention_bias"},            \
    .feed_bias = {false, "mlp_bias"}, .mixer = CAPP_MIX_SCAN, .part_alone = true, .experts = true,                     \
    .router_norm = true, .router_sigmoid = true, .router_wide = true, .choice_bias = true, .eps = 1e-5,                \
    .names = {[CAPP_PART_TOKENS] = EITHER("embeddings"),                                                               \
              [CAPP_PART_OUTPUT_NORM] = EITHER("norm_f"),                                                              \
              [CAPP_PART_HEAD] = "lm_head",                                                                            \
              [CAPP_PART_ATTENTION_NORM] = EITHER("layers.%u.norm"),                                                   \
              [CAPP_PART_Q] = MIXER("q_proj"),                                                                         \
              [CAPP_PART_K] = MIXER("k_proj"),                                                                         \
              [CAPP_PART_V] = MIXER("v_proj"),                                                                         \
              [CAPP_PART_OUT] = MIXER("o_proj"),                                                                       \
              [CAPP_PART_UP] = MIXER("up_proj"),                                                                       \
              [CAPP_PART_DOWN] = MIXER("down_proj"),                                                                   \
              [CAPP_PART_ROUTER] = MIXER("gate"),                                                                      \
              [CAPP_PART_CHOICE_BIAS] = MIXER("gate.e_score_correction_bias"),                                         \
              [CAPP_PART_EXPERT_IN] = MIXER("fc1_latent_proj"),                                                        \
              [CAPP_PART_EXPERT_OUT] = MIXER("fc2_latent_proj"),                                                       \
              [CAPP_PART_EXPERT_UP] = MIXER("experts.%u.up_proj"),                                                     \
              [CAPP_PART_EXPERT_DOWN] = MIXER("experts.%u.down_proj"),                                                 \
              [CAPP_PART_SHARED_UP] = MIXER("shared_experts.up_proj"),                                                 \
              [CAPP_PART_SHARED_DOWN] = MIXER("shared_experts.down_proj"),                                             \
              [CAPP_PART_MIX_IN] = MIXER("in_proj"),                                                                   \
              [CAPP_PART_MIX_TAPS] = MIXER("conv1d"),                                                                  \
              [CAPP_PART_MIX_DECAY] = MIXER("A_log"),                                                                  \
              [CAPP_PART_MIX_STEP] = MIXER("dt_bias"),                                                                 \
              [CAPP_PART_MIX_SKIP] = MIXER("D"),                                                                       \
              [CAPP_PART_MIX_NORM] = MIXER("norm"),                                                                    \
              [CAPP_PART_MIX_OUT] = MIXER("out_proj")},                                                                \
    .prefix = "model.", .further = "mtp.", .rules = nemotron_h_rules, .defaults = nemotron_h_defaults

const capp_arch capp_arch_nemotron_h = {
    .name = "nemotron_h",
    .models = "Nemotron-H, Nemotron Nano 2 and 3, Nemotron 3 Super",
    .gguf = "nemotron_h",
    .hf = "nemotron_h",
    NEMOTRON_H,
};

const capp_arch capp_arch_nemotron_h_moe = {
    .name = "nemotron_h_moe",
    .models = "Nemotron Nano 3, Nemotron 3 Super",
    .gguf = "nemotron_h_moe",
    NEMOTRON_H,
};

static const capp_default mamba2_defaults[] = {
    {"state_size", 128}, {"n_groups", 8}, {"max_position_embeddings", 1 << 20}, {NULL, 0}};

static const capp_rule mamba2_rules[] = {{"hidden_act", "silu"},
                                         {"use_bias", "false"},
                                         {"chunk_size", NULL},
                                         {"conv_kernel", NULL},
                                         {"expand", NULL},
                                         {"norm_before_gate", NULL}, /* the class in transformers ignores it */
                                         {"n_groups", NULL},
                                         {"num_heads", NULL},
                                         {"rms_norm", "true"},
                                         {"rescale_prenorm_residual", NULL},
                                         {"residual_in_fp32", NULL},
                                         {"state_size", NULL},
                                         {"time_step_floor", NULL},
                                         {"time_step_limit", NULL},
                                         {"time_step_max", NULL},
                                         {"time_step_min", NULL},
                                         {"time_step_rank", NULL},
                                         {"use_conv_bias", NULL},
                                         {NULL, NULL}};

#define BACKBONE(name) "model.backbone." name

const capp_arch capp_arch_mamba2 = {
    .name = "mamba2",
    .models = "Mamba-2, Mamba Codestral",
    .gguf = "mamba2",
    .hf = "mamba2",
    .mixer = CAPP_MIX_SCAN,
    .part_alone = true,
    .mixes_only = true,
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = BACKBONE("embeddings"),
              [CAPP_PART_OUTPUT_NORM] = BACKBONE("norm_f"),
              [CAPP_PART_HEAD] = "model.lm_head",
              [CAPP_PART_ATTENTION_NORM] = BACKBONE("layers.%u.norm"),
              [CAPP_PART_MIX_IN] = BACKBONE("layers.%u.mixer.in_proj"),
              [CAPP_PART_MIX_TAPS] = BACKBONE("layers.%u.mixer.conv1d"),
              [CAPP_PART_MIX_DECAY] = BACKBONE("layers.%u.mixer.A_log"),
              [CAPP_PART_MIX_STEP] = BACKBONE("layers.%u.mixer.dt_bias"),
              [CAPP_PART_MIX_SKIP] = BACKBONE("layers.%u.mixer.D"),
              [CAPP_PART_MIX_NORM] = BACKBONE("layers.%u.mixer.norm"),
              [CAPP_PART_MIX_OUT] = BACKBONE("layers.%u.mixer.out_proj")},
    .prefix = "model.",
    .rules = mamba2_rules,
    .defaults = mamba2_defaults,
};

static const capp_default falcon_h1_defaults[] = {{"max_position_embeddings", 8192},
                                                  {"intermediate_size", 14336},
                                                  {"num_key_value_heads", 8},
                                                  {"mamba_d_ssm", 1024},
                                                  {NULL, 0}};

static const capp_rule falcon_h1_rules[] = {{"attention_bias", "false"},
                                            {"mamba_proj_bias", "false"},
                                            {"projectors_bias", "false"},
                                            {"attention_in_multiplier", NULL},
                                            {"attention_out_multiplier", NULL},
                                            {"embedding_multiplier", NULL},
                                            {"key_multiplier", NULL},
                                            {"lm_head_multiplier", NULL},
                                            {"mlp_multipliers", NULL},
                                            {"ssm_in_multiplier", NULL},
                                            {"ssm_multipliers", NULL},
                                            {"ssm_out_multiplier", NULL},
                                            {"mlp_expansion_factor", NULL},
                                            {"mamba_chunk_size", NULL},
                                            {"mamba_conv_bias", NULL},
                                            {"mamba_d_conv", NULL},
                                            {"mamba_d_head", NULL},
                                            {"mamba_d_ssm", NULL},
                                            {"mamba_d_state", NULL},
                                            {"mamba_expand", NULL},
                                            {"mamba_n_groups", NULL},
                                            {"mamba_n_heads", NULL},
                                            {"mamba_norm_before_gate", NULL},
                                            {"mamba_rms_norm", NULL},
                                            {"mamba_use_mlp", "true"},
                                            {"num_logits_to_keep", NULL},
                                            {"time_step_limit", NULL},
                                            {NULL, NULL}};

const capp_arch capp_arch_falcon_h1 = {
    .name = "falcon_h1",
    .models = "Falcon-H1",
    .gguf = "falcon-h1",
    .hf = "falcon_h1",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .feed_bias = {false, "mlp_bias"},
    .mixer = CAPP_MIX_SCAN,
    .mixes_beside = true,
    .multipliers = true,
    .bare_parts = (const capp_part[]){CAPP_PART_FEED_NORM, CAPP_PARTS},
    .eps = 1e-5,
    .names = {[CAPP_PART_TOKENS] = "model.embed_tokens",
              [CAPP_PART_OUTPUT_NORM] = "model.final_layernorm",
              [CAPP_PART_HEAD] = "lm_head",
              CAPP_ATTENTION_LIKE_LLAMA,
              [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm",
              [CAPP_PART_FEED_NORM] = "model.layers.%u.pre_ff_layernorm",
              [CAPP_PART_GATE] = "model.layers.%u.feed_forward.gate_proj",
              [CAPP_PART_UP] = "model.layers.%u.feed_forward.up_proj",
              [CAPP_PART_DOWN] = "model.layers.%u.feed_forward.down_proj",
              [CAPP_PART_MIX_IN] = "model.layers.%u.mamba.in_proj",
              [CAPP_PART_MIX_TAPS] = "model.layers.%u.mamba.conv1d",
              [CAPP_PART_MIX_DECAY] = "model.layers.%u.mamba.A_log",
              [CAPP_PART_MIX_STEP] = "model.layers.%u.mamba.dt_bias",
              [CAPP_PART_MIX_SKIP] = "model.layers.%u.mamba.D",
              [CAPP_PART_MIX_NORM] = "model.layers.%u.mamba.norm",
              [CAPP_PART_MIX_OUT] = "model.layers.%u.mamba.out_proj"},
    .prefix = "model.",
    .rules = falcon_h1_rules,
    .defaults = falcon_h1_defaults,
};
