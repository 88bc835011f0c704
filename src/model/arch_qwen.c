/* Qwen 2, 2.5 (arXiv 2412.15115): biases of q, k and v. Qwen 3 (arXiv 2505.09388): norms of q and k instead; some have
 * experts. */
#include "model/arch.h"

static const capp_default qwen2_defaults[] = {{"num_key_value_heads", 32},
                                              {"max_position_embeddings", 32768},
                                              {"sliding_window", 4096},
                                              {"max_window_layers", 28},
                                              {NULL, 0}};

const capp_arch capp_arch_qwen2 = {
    .name = "qwen2",
    .models = "Qwen 2, 2.5",
    .gguf = "qwen2",
    .hf = "qwen2",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {true, NULL},
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA},
    .prefix = "model.",
    .defaults = qwen2_defaults,
};

static const capp_default qwen3_defaults[] = {{"num_key_value_heads", 32},        {"head_dim", 128},
                                              {"max_position_embeddings", 32768}, {"sliding_window", 4096},
                                              {"max_window_layers", 28},          {NULL, 0}};

const capp_arch capp_arch_qwen3 = {
    .name = "qwen3",
    .models = "Qwen 3",
    .gguf = "qwen3",
    .hf = "qwen3",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3},
    .prefix = "model.",
    .defaults = qwen3_defaults,
};

/* With decoder_sparse_step above 1 some layers would have no experts. */
static const capp_rule qwen3moe_rules[] = {{"decoder_sparse_step", NULL}, {"mlp_only_layers", NULL}, {NULL, NULL}};

static const capp_default qwen3moe_defaults[] = {{"num_key_value_heads", 4},
                                                 {"num_experts", 128},
                                                 {"num_experts_per_tok", 8},
                                                 {"moe_intermediate_size", 768},
                                                 {"max_position_embeddings", 32768},
                                                 {"sliding_window", 4096},
                                                 {NULL, 0}};

const capp_arch capp_arch_qwen3moe = {
    .name = "qwen3moe",
    .models = "Qwen 3 MoE",
    .gguf = "qwen3moe",
    .hf = "qwen3_moe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .qk_norm = CAPP_QK_HEAD,
    .experts = true,
    .router_norm = true,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_FEED_LIKE_LLAMA, CAPP_EXPERTS_LIKE_QWEN3},
    .prefix = "model.",
    .rules = qwen3moe_rules,
    .defaults = qwen3moe_defaults,
};

static const capp_default qwen2moe_defaults[] = {{"num_key_value_heads", 16},
                                                 {"num_experts", 60},
                                                 {"num_experts_per_tok", 4},
                                                 {"moe_intermediate_size", 1408},
                                                 {"shared_expert_intermediate_size", 5632},
                                                 {"max_position_embeddings", 32768},
                                                 {"sliding_window", 4096},
                                                 {"max_window_layers", 28},
                                                 {NULL, 0}};

static const capp_rule qwen2moe_rules[] = {
    {"use_sliding_window", "false"}, {"decoder_sparse_step", NULL}, {"mlp_only_layers", NULL}, {NULL, NULL}};

/* Qwen 1.5 and 2 MoE: beside the others, a shared expert for all rows, weighted by its own router. */
const capp_arch capp_arch_qwen2moe = {
    .name = "qwen2moe",
    .models = "Qwen 1.5 MoE, Qwen 2 MoE",
    .gguf = "qwen2moe",
    .hf = "qwen2_moe",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .qkv_bias = {true, "qkv_bias"},
    .experts = true,
    .window_period = CAPP_ALL_LOCAL,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA,
              CAPP_EXPERTS_LIKE_QWEN3, [CAPP_PART_SHARED_ROUTER] = "model.layers.%u.mlp.shared_expert_gate",
              [CAPP_PART_SHARED_GATE] = "model.layers.%u.mlp.shared_expert.gate_proj",
              [CAPP_PART_SHARED_UP] = "model.layers.%u.mlp.shared_expert.up_proj",
              [CAPP_PART_SHARED_DOWN] = "model.layers.%u.mlp.shared_expert.down_proj"},
    .prefix = "model.",
    .rules = qwen2moe_rules,
    .defaults = qwen2moe_defaults,
};

static const capp_default qwen2vl_defaults[] = {{"num_key_value_heads", 8},
                                                {"max_position_embeddings", 32768},
                                                {"sliding_window", 4096},
                                                {"max_window_layers", 80},
                                                {NULL, 0}};

/* The first folders have the fields of the text model beside this one. */
static const capp_rule qwen2vl_rules[] = {{"vision_config", NULL}, {NULL, NULL}};

/* The text parts of Qwen2-VL, 2.5-VL and 3-VL. For text alone, the three axes of positions are the same. */
#define LIKE_QWEN2VL                                                                                                   \
    .hf_rope = CAPP_ROPE_HALVES, .rope_axes = true, .qkv_bias = {true, NULL}, .window_period = CAPP_ALL_LOCAL,         \
    .theta = 1000000, .eps = 1e-5, .names = {CAPP_NAMES_LIKE_LLAMA}, .prefix = "model.", .rules = qwen2vl_rules,       \
    .defaults = qwen2vl_defaults

const capp_arch capp_arch_qwen2vl = {
    .name = "qwen2vl",
    .models = "Qwen2-VL (text); in GGUF also Qwen2.5-VL",
    .gguf = "qwen2vl",
    .hf = "qwen2_vl_text",
    .rope = CAPP_ROPE_HALVES,
    LIKE_QWEN2VL,
};

const capp_arch capp_arch_qwen25vl = {
    .name = "qwen25vl",
    .models = "Qwen2.5-VL (text)",
    .hf = "qwen2_5_vl_text",
    LIKE_QWEN2VL,
};

/* Folders have a tensor of each expert, or of all. */
#define JOINT_EXPERTS                                                                                                  \
    [CAPP_PART_ROUTER] = "model.layers.%u.mlp.gate",                                                                   \
    [CAPP_PART_EXPERT_GATE] = "model.layers.%u.mlp.experts.%u.gate_proj",                                              \
    [CAPP_PART_EXPERT_UP] = "model.layers.%u.mlp.experts.%u.up_proj|model.layers.%u.mlp.experts.gate_up_proj",         \
    [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.mlp.experts.%u.down_proj|model.layers.%u.mlp.experts.down_proj"

static const capp_default qwen3vl_defaults[] = {
    {"num_key_value_heads", 32}, {"head_dim", 128}, {"max_position_embeddings", 128000}, {NULL, 0}};

const capp_arch capp_arch_qwen3vl = {
    .name = "qwen3vl",
    .models = "Qwen3-VL (text)",
    .gguf = "qwen3vl",
    .hf = "qwen3_vl_text",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rope_axes = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .theta = 500000,
    .qk_norm = CAPP_QK_HEAD,
    .eps = 1e-6,
    .names = {CAPP_NAMES_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3},
    .prefix = "model.",
    .defaults = qwen3vl_defaults,
};

static const capp_default qwen3vlmoe_defaults[] = {{"num_key_value_heads", 16},         {"num_experts", 60},
                                                   {"num_experts_per_tok", 4},          {"moe_intermediate_size", 1408},
                                                   {"max_position_embeddings", 128000}, {NULL, 0}};

static const capp_rule qwen3vlmoe_rules[] = {
    {"decoder_sparse_step", NULL}, {"mlp_only_layers", NULL}, {"norm_topk_prob", "true"}, {NULL, NULL}};

const capp_arch capp_arch_qwen3vlmoe = {
    .name = "qwen3vlmoe",
    .models = "Qwen3-VL MoE (text)",
    .gguf = "qwen3vlmoe",
    .hf = "qwen3_vl_moe_text",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .rope_axes = true,
    .qkv_bias = {false, "attention_bias"},
    .out_bias = {false, "attention_bias"},
    .theta = 500000,
    .qk_norm = CAPP_QK_HEAD,
    .experts = true,
    .router_norm = true,
    .joint_experts = true,
    .maybe_turned_experts = true,
    .tied = true,
    .eps = 1e-6,
    .names = {CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA, CAPP_QK_NORMS_LIKE_QWEN3,
              CAPP_FEED_LIKE_LLAMA, JOINT_EXPERTS},
    .prefix = "model.",
    .rules = qwen3vlmoe_rules,
    .defaults = qwen3vlmoe_defaults,
};

/* Qwen 3.5, 3.6 and 3-Next: most layers have gated DeltaNet instead of attention, whose output has a gate. */
#define DELTA_NAMES                                                                                                    \
    CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA,                                            \
        CAPP_QK_NORMS_LIKE_QWEN3, [CAPP_PART_MIX_TAPS] = "model.layers.%u.linear_attn.conv1d",                         \
                                  [CAPP_PART_MIX_DECAY] = "model.layers.%u.linear_attn.A_log",                         \
                                  [CAPP_PART_MIX_STEP] = "model.layers.%u.linear_attn.dt_bias",                        \
                                  [CAPP_PART_MIX_NORM] = "model.layers.%u.linear_attn.norm",                           \
                                  [CAPP_PART_MIX_OUT] = "model.layers.%u.linear_attn.out_proj"
#define SPLIT_DELTA_NAMES                                                                                              \
    [CAPP_PART_QKV] = "model.layers.%u.linear_attn.in_proj_qkv",                                                       \
    [CAPP_PART_MIX_GATE] = "model.layers.%u.linear_attn.in_proj_z",                                                    \
    [CAPP_PART_MIX_BETA] = "model.layers.%u.linear_attn.in_proj_b",                                                    \
    [CAPP_PART_MIX_ALPHA] = "model.layers.%u.linear_attn.in_proj_a"
#define SHARED_NAMES                                                                                                   \
    [CAPP_PART_SHARED_ROUTER] = "model.layers.%u.mlp.shared_expert_gate",                                              \
    [CAPP_PART_SHARED_GATE] = "model.layers.%u.mlp.shared_expert.gate_proj",                                           \
    [CAPP_PART_SHARED_UP] = "model.layers.%u.mlp.shared_expert.up_proj",                                               \
    [CAPP_PART_SHARED_DOWN] = "model.layers.%u.mlp.shared_expert.down_proj"

#define DELTA_DEFAULTS                                                                                                 \
    {"head_dim", 256}, {"linear_conv_kernel_dim", 4}, {"linear_key_head_dim", 128}, {"linear_value_head_dim", 128},    \
        {"linear_num_key_heads", 16}, {"linear_num_value_heads", 32}, {                                                \
        "max_position_embeddings", 32768                                                                               \
    }

#define DELTA_RULES                                                                                                    \
    {"attn_output_gate", "true"}, {"full_attention_interval", NULL}, {"linear_conv_kernel_dim", NULL},                 \
        {"linear_key_head_dim", NULL}, {"linear_value_head_dim", NULL}, {"linear_num_key_heads", NULL},                \
        {"linear_num_value_heads", NULL}, {"mamba_ssm_dtype", NULL}, {"mtp_num_hidden_layers", NULL},                  \
        {"mtp_use_dedicated_embeddings", NULL}, {"output_gate_type", "swish"}, {"decoder_sparse_step", NULL}, {        \
        "mlp_only_layers", NULL                                                                                        \
    }

/* What these architectures share. */
#define DELTA_ROW                                                                                                      \
    .norm_plus_one = true, .rope = CAPP_ROPE_HALVES, .hf_rope = CAPP_ROPE_HALVES, .rotary = 0.25,                      \
    .qkv_bias = {false, "attention_bias"}, .out_bias = {false, "attention_bias"}, .qk_norm = CAPP_QK_HEAD,             \
    .attention_gate = true, .mixer = CAPP_MIX_DELTA

static const capp_default qwen35_defaults[] = {{"num_key_value_heads", 4}, DELTA_DEFAULTS, {NULL, 0}};
static const capp_rule qwen35_rules[] = {DELTA_RULES, {NULL, NULL}};

const capp_arch capp_arch_qwen35 = {
    DELTA_ROW,
    .name = "qwen35",
    .models = "Qwen 3.5, 3.6, 3.8 (text)",
    .gguf = "qwen35",
    .hf = "qwen3_5_text",
    .rope_axes = true,
    .mixer_in_turn = true,
    .further = "mtp.",
    .eps = 1e-6,
    .gguf_names = {[CAPP_PART_FEED_NORM] = "blk.%u.post_attention_norm"},
    .names = {DELTA_NAMES, SPLIT_DELTA_NAMES, CAPP_FEED_LIKE_LLAMA},
    .prefix = "model.",
    .rules = qwen35_rules,
    .defaults = qwen35_defaults,
};

static const capp_default qwen35moe_defaults[] = {{"num_key_value_heads", 2},
                                                  DELTA_DEFAULTS,
                                                  {"num_experts", 256},
                                                  {"num_experts_per_tok", 8},
                                                  {"moe_intermediate_size", 512},
                                                  {"shared_expert_intermediate_size", 512},
                                                  {NULL, 0}};

const capp_arch capp_arch_qwen35moe = {
    DELTA_ROW,
    .name = "qwen35moe",
    .models = "Qwen 3.5, 3.6 MoE (text)",
    .gguf = "qwen35moe",
    .hf = "qwen3_5_moe_text",
    .rope_axes = true,
    .mixer_in_turn = true,
    .experts = true,
    .router_norm = true,
    .joint_experts = true,
    .further = "mtp.",
    .eps = 1e-6,
    .gguf_names = {[CAPP_PART_FEED_NORM] = "blk.%u.post_attention_norm"},
    .names = {DELTA_NAMES, SPLIT_DELTA_NAMES, SHARED_NAMES, JOINT_EXPERTS},
    .prefix = "model.",
    .rules = qwen35_rules,
    .defaults = qwen35moe_defaults,
};

static const capp_default qwen3next_defaults[] = {{"num_key_value_heads", 2},
                                                  DELTA_DEFAULTS,
                                                  {"num_experts", 512},
                                                  {"num_experts_per_tok", 10},
                                                  {"moe_intermediate_size", 512},
                                                  {"shared_expert_intermediate_size", 512},
                                                  {NULL, 0}};

const capp_arch capp_arch_qwen3next = {
    DELTA_ROW,
    .name = "qwen3next",
    .models = "Qwen3-Next",
    .gguf = "qwen3next",
    .hf = "qwen3_next",
    .experts = true,
    .router_norm = true,
    .further = "mtp.",
    .eps = 1e-6,
    .gguf_names = {[CAPP_PART_FEED_NORM] = "blk.%u.post_attention_norm"},
    .names = {DELTA_NAMES, CAPP_FEED_LIKE_LLAMA, SHARED_NAMES,
              CAPP_EXPERTS_LIKE_QWEN3, [CAPP_PART_MIX_IN] = "model.layers.%u.linear_attn.in_proj_qkvz",
              [CAPP_PART_MIX_RATES] = "model.layers.%u.linear_attn.in_proj_ba"},
    .prefix = "model.",
    .rules = qwen35_rules,
    .defaults = qwen3next_defaults,
};
