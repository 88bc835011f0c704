/* Families that capp runs only from GGUF files. Their own code is not in transformers, and their folders name classes
 * of that code. InternLM 2 (arXiv 2403.17297), XVERSE and Baichuan 7B (arXiv 2309.10305) are Llamas. MiniCPM (arXiv
 * 2404.06395) is a Granite. Orion is a Llama with layer norms. DeepSeek 1 (arXiv 2401.06066) and Ling 2 have
 * experts. */
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
