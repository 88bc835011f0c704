/* Families that capp runs only from GGUF files. Their own code is not in transformers, and their folders name classes
 * of that code. InternLM 2 (arXiv 2403.17297), XVERSE and Baichuan 7B (arXiv 2309.10305) are Llamas. MiniCPM (arXiv
 * 2404.06395) is a Granite. Orion is a Llama with layer norms. DeepSeek 1 (arXiv 2401.06066) and Ling 2 have
 * experts. SmallThinker (arXiv 2507.20984) chooses experts before attention. ChatGLM (arXiv 2406.12793), Refact and
 * CodeShell (arXiv 2403.15747) have fused products, linear biases, and layer norms with GELU. */
#include "model/arch.h"

#define LIKE_LLAMA(word, models_of)                                                                                    \
    .name = word, .models = models_of, .gguf = word, .rope = CAPP_ROPE_PAIRS, .qkv_bias = {false, "bias"},             \
    .out_bias = {false, "bias"}, .feed_bias = {false, "bias"}, .eps = 1e-5

const capp_arch capp_arch_internlm2 = {LIKE_LLAMA("internlm2", "InternLM 2")};

const capp_arch capp_arch_xverse = {LIKE_LLAMA("xverse", "XVERSE")};

/* The 13B model has linear biases instead of rotations, but its files do not say so. llama.cpp recognizes it by its 40
 * layers. */
const capp_arch capp_arch_baichuan = {LIKE_LLAMA("baichuan", "Baichuan 7B, 13B"), .alibi_layers = 40};

const capp_arch capp_arch_minicpm = {LIKE_LLAMA("minicpm", "MiniCPM 1, 2"), .scales = true};

const capp_arch capp_arch_orion = {
    .name = "orion",
    .models = "Orion",
    .gguf = "orion",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "bias"},
    .eps = 1e-5,
};

#define SHARED_NAMES .names = {[CAPP_PART_SHARED_GATE] = "", [CAPP_PART_SHARED_UP] = "", [CAPP_PART_SHARED_DOWN] = ""}

const capp_arch capp_arch_deepseek = {
    LIKE_LLAMA("deepseek", "DeepSeek 1"),
    .experts = true,
    .router_wide = true,
    SHARED_NAMES,
};

const capp_arch capp_arch_bailingmoe2 = {
    .name = "bailingmoe2",
    .models = "Ling 2",
    .gguf = "bailingmoe2",
    .rope = CAPP_ROPE_HALVES,
    .qkv_bias = {false, "bias"},
    .qk_norm = CAPP_QK_HEAD,
    .experts = true,
    .router_norm = true,
    .router_sigmoid = true,
    .router_wide = true,
    .choice_bias = true,
    .eps = 1e-6,
    SHARED_NAMES,
};

const capp_arch capp_arch_smallthinker = {
    .name = "smallthinker",
    .models = "SmallThinker",
    .gguf = "smallthinker",
    .rope = CAPP_ROPE_HALVES,
    .nope_global = true,
    .activation = CAPP_RELU_GATED,
    .qkv_bias = {false, "bias"},
    .out_bias = {false, "bias"},
    .window_period = 4,
    .global_first = true,
    .maybe_windows = true,
    .experts = true,
    .early_router = true,
    .router_norm = true,
    .router_wide = true,
    .eps = 1e-6,
};

const capp_arch capp_arch_chatglm = {
    .name = "chatglm",
    .models = "ChatGLM 2, 3, GLM-4 9B (2024)",
    .gguf = "chatglm",
    .rope = CAPP_ROPE_PAIRS,
    .qkv_bias = {false, "bias"},
    .fused_gate = true,
    .eps = 1e-5,
};

const capp_arch capp_arch_refact = {
    .name = "refact",
    .models = "Refact 1.6",
    .gguf = "refact",
    .qkv_bias = {false, "bias"},
    .out_bias = {false, "bias"},
    .feed_bias = {false, "bias"},
    .alibi = true,
    .eps = 1e-5,
};

const capp_arch capp_arch_codeshell = {
    .name = "codeshell",
    .models = "CodeShell",
    .gguf = "codeshell",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .rope = CAPP_ROPE_HALVES,
    .activation = CAPP_GELU,
    .qkv_bias = {false, "bias"},
    .out_bias = {true, NULL},
    .feed_bias = {true, NULL},
    .eps = 1e-5,
};

/* Nemotron-NAS: a search chose the heads and the width of each layer, and left out parts. */
const capp_arch capp_arch_deci = {LIKE_LLAMA("deci", "DeciLM, Llama-3.1-Nemotron 51B, Ultra"), .varied = true};
