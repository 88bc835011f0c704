/* Models with Mamba-2 (Dao and Gu, arXiv 2405.21060). Granite 4: most layers have Mamba-2 instead of attention;
 * positions are usually not encoded. */
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
