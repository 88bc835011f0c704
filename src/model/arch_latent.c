/* Models with multi-head latent attention: DeepSeek-V2 (arXiv 2405.04434) with a softmax router, DeepSeek-V3 (arXiv
 * 2412.19437), Kimi K2 and GLM-4.7-Flash with a sigmoid router and a bias for the choice, Mistral 4 with a temperature
 * that grows with the position, Kimi Linear with Kimi Delta Attention in most layers and no positions. GGUF files name
 * all of them deepseek2, except Mistral 4. */
#include "model/arch.h"

#define LATENT_ATTENTION                                                                                               \
    CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA,                                                                   \
        CAPP_NORMS_LIKE_LLAMA, [CAPP_PART_Q_A] = "model.layers.%u.self_attn.q_a_proj",                                 \
                               [CAPP_PART_Q_A_NORM] = "model.layers.%u.self_attn.q_a_layernorm",                       \
                               [CAPP_PART_Q_B] = "model.layers.%u.self_attn.q_b_proj",                                 \
                               [CAPP_PART_KV_A] = "model.layers.%u.self_attn.kv_a_proj_with_mqa",                      \
                               [CAPP_PART_KV_A_NORM] = "model.layers.%u.self_attn.kv_a_layernorm",                     \
                               [CAPP_PART_KV_B] = "model.layers.%u.self_attn.kv_b_proj"

#define LATENT_NAMES LATENT_ATTENTION, CAPP_FEED_LIKE_LLAMA, CAPP_SHARED_LIKE_DEEPSEEK

#define LATENT_RULES                                                                                                   \
    {"attention_bias", "false"}, {"rope_interleave", "true"}, {"moe_layer_freq", "1"}, {"ep_size", NULL},              \
        {"seq_aux", NULL}, {"aux_loss_alpha", NULL}, {"kv_lora_rank", NULL}, {"q_lora_rank", NULL},                    \
        {"qk_nope_head_dim", NULL}, {"qk_rope_head_dim", NULL}, {"qk_head_dim", NULL}, {                               \
        "v_head_dim", NULL                                                                                             \
    }

#define LATENT_ROW                                                                                                     \
    .rope = CAPP_ROPE_PAIRS, .hf_rope = CAPP_ROPE_PAIRS, .latent = true, .experts = true, .router_wide = true,         \
    .prefix = "model."

static const capp_default deepseek2_defaults[] = {{"kv_lora_rank", 512},
                                                  {"q_lora_rank", 1536},
                                                  {"qk_nope_head_dim", 128},
                                                  {"qk_rope_head_dim", 64},
                                                  {"v_head_dim", 128},
                                                  {"n_shared_experts", 2},
                                                  {"n_routed_experts", 64},
                                                  {"num_hidden_layers", 32},
                                                  {"num_attention_heads", 32},
                                                  {"hidden_size", 4096},
                                                  {"moe_intermediate_size", 1407},
                                                  {"intermediate_size", 11008},
                                                  {"n_group", 0},
                                                  {"topk_group", 0},
                                                  {"max_position_embeddings", 2048},
                                                  {NULL, 0}};

static const capp_rule deepseek2_rules[] = {
    LATENT_RULES,          {"mlp_bias", "false"}, {"norm_topk_prob", "false"}, {"scoring_func", "softmax"},
    {"topk_method", NULL}, {NULL, NULL}};

const capp_arch capp_arch_deepseek2 = {
    LATENT_ROW,
    .name = "deepseek2",
    .models = "DeepSeek V2; in GGUF also V3, R1, Kimi K2, GLM-4.7-Flash",
    .gguf = "deepseek2",
    .hf = "deepseek_v2",
    .groups_by_best = true,
    .choice_bias = true,
    .eps = 1e-6,
    .names = {LATENT_NAMES, CAPP_EXPERTS_LIKE_QWEN3},
    .rules = deepseek2_rules,
    .defaults = deepseek2_defaults,
};

#define SIGMOID_NAMES                                                                                                  \
    LATENT_NAMES, CAPP_EXPERTS_LIKE_QWEN3, [CAPP_PART_CHOICE_BIAS] = "model.layers.%u.mlp.gate.e_score_correction_bias"

static const capp_rule deepseek3_rules[] = {
    LATENT_RULES, {"scoring_func", "sigmoid"}, {"topk_method", "noaux_tc"}, {NULL, NULL}};

static const capp_default deepseek3_defaults[] = {{"kv_lora_rank", 512},
                                                  {"q_lora_rank", 1536},
                                                  {"qk_nope_head_dim", 128},
                                                  {"qk_rope_head_dim", 64},
                                                  {"v_head_dim", 128},
                                                  {"n_shared_experts", 1},
                                                  {"n_routed_experts", 256},
                                                  {"num_hidden_layers", 61},
                                                  {"num_attention_heads", 128},
                                                  {"hidden_size", 7168},
                                                  {"moe_intermediate_size", 2048},
                                                  {"intermediate_size", 18432},
                                                  {"n_group", 8},
                                                  {"topk_group", 4},
                                                  {"num_experts_per_tok", 8},
                                                  {"first_k_dense_replace", 3},
                                                  {"routed_scaling_factor", 2.5},
                                                  {"max_position_embeddings", 4096},
                                                  {NULL, 0}};

#define DEEPSEEK3_ROW                                                                                                  \
    LATENT_ROW, .router_norm = true, .router_sigmoid = true, .choice_bias = true, .eps = 1e-6,                         \
                .names = {SIGMOID_NAMES}, .rules = deepseek3_rules, .defaults = deepseek3_defaults

const capp_arch capp_arch_deepseek3 = {DEEPSEEK3_ROW, .name = "deepseek3", .models = "DeepSeek V3, R1",
                                       .hf = "deepseek_v3", .gguf_as = "deepseek2"};

const capp_arch capp_arch_kimi_k2 = {DEEPSEEK3_ROW, .name = "kimi_k2", .models = "Kimi K2, Moonlight", .hf = "kimi_k2",
                                     .gguf_as = "deepseek2"};

static const capp_rule glm4_lite_rules[] = {
    LATENT_RULES, {"topk_method", "noaux_tc"}, {"mlp_layer_types", NULL}, {NULL, NULL}};

static const capp_default glm4_lite_defaults[] = {{"kv_lora_rank", 512},
                                                  {"q_lora_rank", 768},
                                                  {"qk_nope_head_dim", 192},
                                                  {"qk_rope_head_dim", 64},
                                                  {"v_head_dim", 256},
                                                  {"n_shared_experts", 1},
                                                  {"n_routed_experts", 64},
                                                  {"num_hidden_layers", 47},
                                                  {"num_attention_heads", 20},
                                                  {"hidden_size", 2048},
                                                  {"moe_intermediate_size", 1536},
                                                  {"intermediate_size", 10240},
                                                  {"n_group", 1},
                                                  {"topk_group", 1},
                                                  {"num_experts_per_tok", 4},
                                                  {"first_k_dense_replace", 1},
                                                  {"routed_scaling_factor", 1.8},
                                                  {"max_position_embeddings", 202752},
                                                  {NULL, 0}};

const capp_arch capp_arch_glm4_moe_lite = {
    LATENT_ROW,
    .name = "glm4_moe_lite",
    .models = "GLM-4.7-Flash",
    .hf = "glm4_moe_lite",
    .gguf_as = "deepseek2",
    .router_norm = true,
    .router_sigmoid = true,
    .choice_bias = true,
    .eps = 1e-5,
    .names = {SIGMOID_NAMES},
    .rules = glm4_lite_rules,
    .defaults = glm4_lite_defaults,
};

static const capp_default mistral4_defaults[] = {{"kv_lora_rank", 256},
                                                 {"q_lora_rank", 1024},
                                                 {"qk_nope_head_dim", 64},
                                                 {"qk_rope_head_dim", 64},
                                                 {"v_head_dim", 128},
                                                 {"n_shared_experts", 1},
                                                 {"n_routed_experts", 128},
                                                 {"num_hidden_layers", 36},
                                                 {"num_attention_heads", 32},
                                                 {"hidden_size", 4096},
                                                 {"moe_intermediate_size", 2048},
                                                 {"intermediate_size", 12288},
                                                 {"n_group", 1},
                                                 {"topk_group", 1},
                                                 {"num_experts_per_tok", 4},
                                                 {"first_k_dense_replace", 0},
                                                 {"max_position_embeddings", 1048576},
                                                 {NULL, 0}};

static const capp_rule mistral4_rules[] = {LATENT_RULES, {NULL, NULL}};

const capp_arch capp_arch_mistral4 = {
    LATENT_ROW,
    .name = "mistral4",
    .models = "Mistral 4",
    .gguf = "mistral4",
    .hf = "mistral4",
    .query_growth = true,
    .rope_required = true,
    .router_norm = true,
    .eps = 1e-6,
    .bare_experts = true,
    .names = {LATENT_NAMES, [CAPP_PART_ROUTER] = "model.layers.%u.mlp.gate",
              [CAPP_PART_EXPERT_UP] = "model.layers.%u.mlp.experts.gate_up_proj",
              [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.mlp.experts.down_proj"},
    .rules = mistral4_rules,
    .defaults = mistral4_defaults,
};

static const capp_rule minicpm3_rules[] = {
    LATENT_RULES, {"scale_emb", NULL}, {"scale_depth", NULL}, {"dim_model_base", NULL}, {NULL, NULL}};

static const capp_default minicpm3_defaults[] = {{"kv_lora_rank", 256},
                                                 {"q_lora_rank", 768},
                                                 {"qk_nope_head_dim", 64},
                                                 {"qk_rope_head_dim", 32},
                                                 {"num_hidden_layers", 62},
                                                 {"num_attention_heads", 40},
                                                 {"hidden_size", 2560},
                                                 {"intermediate_size", 6400},
                                                 {"max_position_embeddings", 32768},
                                                 {NULL, 0}};

/* MiniCPM 3 (arXiv 2404.06395): latent attention without experts, and scales as in MiniCPM 1. */
const capp_arch capp_arch_minicpm3 = {
    .name = "minicpm3",
    .models = "MiniCPM 3",
    .gguf = "minicpm3",
    .hf = "minicpm3",
    .rope = CAPP_ROPE_HALVES,
    .hf_rope = CAPP_ROPE_HALVES,
    .latent = true,
    .tied = true,
    .eps = 1e-5,
    .names = {LATENT_NAMES},
    .prefix = "model.",
    .rules = minicpm3_rules,
    .defaults = minicpm3_defaults,
};

#define EITHER_FEED(name) "model.layers.%u.mlp." name "|model.layers.%u.block_sparse_moe." name
#define KIMI_FEED(name)   "model.layers.%u.block_sparse_moe." name
#define KIMI_MIX(name)    "model.layers.%u.self_attn." name

static const capp_rule kimi_linear_rules[] = {LATENT_RULES,
                                              {"layer_types", NULL},
                                              {"linear_attn_config", NULL},
                                              {"linear_conv_kernel_dim", NULL},
                                              {"linear_head_dim", NULL},
                                              {"linear_num_heads", NULL},
                                              {"mla_use_nope", "true"},
                                              {"mlp_layer_types", NULL},
                                              {"moe_renormalize", "true"},
                                              {"moe_router_activation_func", "sigmoid"},
                                              {"num_expert_group", "1"},
                                              {"num_experts_per_token", NULL},
                                              {"use_grouped_topk", NULL},
                                              {NULL, NULL}};

static const capp_default kimi_linear_defaults[] = {{"first_k_dense_replace", 1},
                                                    {"hidden_size", 2304},
                                                    {"intermediate_size", 9216},
                                                    {"kv_lora_rank", 512},
                                                    {"max_position_embeddings", 1048576},
                                                    {"moe_intermediate_size", 1024},
                                                    {"num_attention_heads", 32},
                                                    {"num_experts", 256},
                                                    {"num_experts_per_tok", 8},
                                                    {"num_hidden_layers", 27},
                                                    {"num_shared_experts", 1},
                                                    {"qk_nope_head_dim", 128},
                                                    {"qk_rope_head_dim", 64},
                                                    {"routed_scaling_factor", 2.446},
                                                    {"v_head_dim", 128},
                                                    {NULL, 0}};

const capp_arch capp_arch_kimi_linear = {
    LATENT_ROW,
    .name = "kimi_linear",
    .models = "Kimi Linear",
    .gguf = "kimi-linear",
    .hf = "kimi_linear",
    .nope_period = 1,
    .mixer = CAPP_MIX_KIMI,
    .router_norm = true,
    .router_sigmoid = true,
    .choice_bias = true,
    .eps = 1e-5,
    .names = {LATENT_ATTENTION,
              CAPP_EXPERTS_LIKE_MIXTRAL,
              [CAPP_PART_GATE] = EITHER_FEED("gate_proj"),
              [CAPP_PART_UP] = EITHER_FEED("up_proj"),
              [CAPP_PART_DOWN] = EITHER_FEED("down_proj"),
              [CAPP_PART_CHOICE_BIAS] = KIMI_FEED("gate.e_score_correction_bias"),
              [CAPP_PART_SHARED_GATE] = KIMI_FEED("shared_experts.gate_proj"),
              [CAPP_PART_SHARED_UP] = KIMI_FEED("shared_experts.up_proj"),
              [CAPP_PART_SHARED_DOWN] = KIMI_FEED("shared_experts.down_proj"),
              [CAPP_PART_MIX_TAPS_Q] = KIMI_MIX("q_conv1d"),
              [CAPP_PART_MIX_TAPS_K] = KIMI_MIX("k_conv1d"),
              [CAPP_PART_MIX_TAPS_V] = KIMI_MIX("v_conv1d"),
              [CAPP_PART_MIX_F_A] = KIMI_MIX("f_a_proj"),
              [CAPP_PART_MIX_F_B] = KIMI_MIX("f_b_proj"),
              [CAPP_PART_MIX_G_A] = KIMI_MIX("g_a_proj"),
              [CAPP_PART_MIX_G_B] = KIMI_MIX("g_b_proj"),
              [CAPP_PART_MIX_BETA] = KIMI_MIX("b_proj"),
              [CAPP_PART_MIX_DECAY] = KIMI_MIX("A_log"),
              [CAPP_PART_MIX_STEP] = KIMI_MIX("dt_bias"),
              [CAPP_PART_MIX_NORM] = KIMI_MIX("o_norm"),
              [CAPP_PART_MIX_OUT] = KIMI_MIX("o_proj")},
    .gguf_names = {[CAPP_PART_MIX_OUT] = "blk.%u.attn_output"},
    .rules = kimi_linear_rules,
    .defaults = kimi_linear_defaults,
};
