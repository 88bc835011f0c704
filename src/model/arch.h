/* The architectures that capp supports, one file for each family, and functions that the files of this directory
 * share. */
#ifndef CAPP_MODEL_ARCH_H
#define CAPP_MODEL_ARCH_H

#include <string.h>

#include "model/model.h"

/* The architectures, in the order in which capp searches and lists them. */
#define CAPP_ARCH_MAP(X)                                                                                               \
    X(afmoe)                                                                                                           \
    X(apertus)                                                                                                         \
    X(arcee)                                                                                                           \
    X(arwkv7)                                                                                                          \
    X(baichuan)                                                                                                        \
    X(bailingmoe2)                                                                                                     \
    X(bloom)                                                                                                           \
    X(chatglm)                                                                                                         \
    X(codeshell)                                                                                                       \
    X(cohere)                                                                                                          \
    X(cohere2)                                                                                                         \
    X(dbrx)                                                                                                            \
    X(deci)                                                                                                            \
    X(deepseek)                                                                                                        \
    X(deepseek2)                                                                                                       \
    X(deepseek3)                                                                                                       \
    X(dots1)                                                                                                           \
    X(ernie4_5)                                                                                                        \
    X(ernie4_5_moe)                                                                                                    \
    X(exaone4)                                                                                                         \
    X(falcon)                                                                                                          \
    X(falcon_h1)                                                                                                       \
    X(falcon_mamba)                                                                                                    \
    X(gemma)                                                                                                           \
    X(gemma2)                                                                                                          \
    X(gemma3)                                                                                                          \
    X(gemma3n)                                                                                                         \
    X(gemma4)                                                                                                          \
    X(gemma4_unified)                                                                                                  \
    X(glm4)                                                                                                            \
    X(glm4_moe)                                                                                                        \
    X(glm4_moe_lite)                                                                                                   \
    X(gpt2)                                                                                                            \
    X(gpt_bigcode)                                                                                                     \
    X(gptj)                                                                                                            \
    X(gptneox)                                                                                                         \
    X(gptoss)                                                                                                          \
    X(gptoss_ollama)                                                                                                   \
    X(granite)                                                                                                         \
    X(granitehybrid)                                                                                                   \
    X(granitemoe)                                                                                                      \
    X(granitemoeshared)                                                                                                \
    X(hunyuan_dense)                                                                                                   \
    X(hunyuan_moe)                                                                                                     \
    X(internlm2)                                                                                                       \
    X(kimi_k2)                                                                                                         \
    X(kimi_linear)                                                                                                     \
    X(jamba)                                                                                                           \
    X(lfm2)                                                                                                            \
    X(lfm2moe)                                                                                                         \
    X(llama)                                                                                                           \
    X(llama4)                                                                                                          \
    X(mamba)                                                                                                           \
    X(mamba2)                                                                                                          \
    X(minicpm)                                                                                                         \
    X(minicpm3)                                                                                                        \
    X(minimax_m2)                                                                                                      \
    X(ministral)                                                                                                       \
    X(ministral3)                                                                                                      \
    X(mistral)                                                                                                         \
    X(mistral4)                                                                                                        \
    X(mixtral)                                                                                                         \
    X(mpt)                                                                                                             \
    X(muse_glimmer)                                                                                                    \
    X(nemotron)                                                                                                        \
    X(nemotron_h)                                                                                                      \
    X(nemotron_h_moe)                                                                                                  \
    X(olmo)                                                                                                            \
    X(olmo2)                                                                                                           \
    X(olmo3)                                                                                                           \
    X(olmoe)                                                                                                           \
    X(opt)                                                                                                             \
    X(orion)                                                                                                           \
    X(phi)                                                                                                             \
    X(phi3)                                                                                                            \
    X(phimoe)                                                                                                          \
    X(plamo)                                                                                                           \
    X(plamo2)                                                                                                          \
    X(plamo3)                                                                                                          \
    X(qwen2)                                                                                                           \
    X(qwen2moe)                                                                                                        \
    X(qwen2vl)                                                                                                         \
    X(qwen25vl)                                                                                                        \
    X(qwen3)                                                                                                           \
    X(qwen35)                                                                                                          \
    X(qwen35moe)                                                                                                       \
    X(qwen3moe)                                                                                                        \
    X(qwen3next)                                                                                                       \
    X(qwen3vl)                                                                                                         \
    X(qwen3vlmoe)                                                                                                      \
    X(refact)                                                                                                          \
    X(rwkv7)                                                                                                           \
    X(seed_oss)                                                                                                        \
    X(smallthinker)                                                                                                    \
    X(smollm3)                                                                                                         \
    X(stablelm)                                                                                                        \
    X(starcoder2)                                                                                                      \
    X(xverse)

#define X(name) extern const capp_arch capp_arch_##name;
CAPP_ARCH_MAP(X)
#undef X

/* Names of tensors that most families share. */
#define CAPP_ENDS_LIKE_LLAMA                                                                                           \
    [CAPP_PART_TOKENS] = "model.embed_tokens", [CAPP_PART_OUTPUT_NORM] = "model.norm", [CAPP_PART_HEAD] = "lm_head"
#define CAPP_ATTENTION_LIKE_LLAMA                                                                                      \
    [CAPP_PART_Q] = "model.layers.%u.self_attn.q_proj", [CAPP_PART_K] = "model.layers.%u.self_attn.k_proj",            \
    [CAPP_PART_V] = "model.layers.%u.self_attn.v_proj", [CAPP_PART_OUT] = "model.layers.%u.self_attn.o_proj"
#define CAPP_FEED_LIKE_LLAMA                                                                                           \
    [CAPP_PART_GATE] = "model.layers.%u.mlp.gate_proj", [CAPP_PART_UP] = "model.layers.%u.mlp.up_proj",                \
    [CAPP_PART_DOWN] = "model.layers.%u.mlp.down_proj"
#define CAPP_NORMS_LIKE_LLAMA                                                                                          \
    [CAPP_PART_ATTENTION_NORM] = "model.layers.%u.input_layernorm", [CAPP_PART_FEED_NORM] =                            \
                                                                        "model.layers.%u.post_attention_layernorm"
#define CAPP_QK_NORMS_LIKE_QWEN3                                                                                       \
    [CAPP_PART_Q_NORM] = "model.layers.%u.self_attn.q_norm", [CAPP_PART_K_NORM] = "model.layers.%u.self_attn.k_norm"
#define CAPP_POST_NORMS_LIKE_OLMO2                                                                                     \
    [CAPP_PART_ATTENTION_POST_NORM] = "model.layers.%u.post_attention_layernorm",                                      \
    [CAPP_PART_FEED_POST_NORM] = "model.layers.%u.post_feedforward_layernorm"
#define CAPP_EXPERTS_LIKE_QWEN3                                                                                        \
    [CAPP_PART_ROUTER] = "model.layers.%u.mlp.gate",                                                                   \
    [CAPP_PART_EXPERT_GATE] = "model.layers.%u.mlp.experts.%u.gate_proj",                                              \
    [CAPP_PART_EXPERT_UP] = "model.layers.%u.mlp.experts.%u.up_proj",                                                  \
    [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.mlp.experts.%u.down_proj"
#define CAPP_EXPERTS_LIKE_MIXTRAL                                                                                      \
    [CAPP_PART_ROUTER] = "model.layers.%u.block_sparse_moe.gate",                                                      \
    [CAPP_PART_EXPERT_GATE] = "model.layers.%u.block_sparse_moe.experts.%u.w1",                                        \
    [CAPP_PART_EXPERT_UP] = "model.layers.%u.block_sparse_moe.experts.%u.w3",                                          \
    [CAPP_PART_EXPERT_DOWN] = "model.layers.%u.block_sparse_moe.experts.%u.w2"
#define CAPP_SHARED_LIKE_DEEPSEEK                                                                                      \
    [CAPP_PART_SHARED_GATE] = "model.layers.%u.mlp.shared_experts.gate_proj",                                          \
    [CAPP_PART_SHARED_UP] = "model.layers.%u.mlp.shared_experts.up_proj",                                              \
    [CAPP_PART_SHARED_DOWN] = "model.layers.%u.mlp.shared_experts.down_proj"
#define CAPP_NAMES_LIKE_LLAMA                                                                                          \
    CAPP_ENDS_LIKE_LLAMA, CAPP_ATTENTION_LIKE_LLAMA, CAPP_FEED_LIKE_LLAMA, CAPP_NORMS_LIKE_LLAMA

static inline bool capp_str_is(capp_str s, const char *text) {
    return s.size == strlen(text) && !memcmp(s.data, text, s.size);
}

/* Whether the gate of attention's output has a tensor of its own. */
static inline bool capp_gate_apart(const capp_arch *arch) {
    return arch->attention_gate && arch->mixer == CAPP_MIX_NONE;
}

/* The number of letters to insert, delete or replace that turns one name into the other. */
size_t capp_name_distance(capp_str a, const char *b);

/* Fails for a folder of a multimodal model whose text part capp does not run. */
capp_status capp_multimodal_check(const capp_source *source, capp_error *err);

/* Reads hyperparameters from config.json. On entry *h is all zeros; arch is the row of the architecture. */
capp_status capp_config_read(capp_hparams *h, const capp_arch *arch, const capp_source *source, capp_error *err);

/* Checks that config.json has only fields that capp knows, with values that the row allows. */
capp_status capp_config_check(const capp_arch *arch, const capp_source *source, capp_error *err);

/* Whether key is a word of list. A list has the form " WORD ... WORD ". */
bool capp_is_listed(const char *list, const char *key);

/* Reads the sizes of the layers' capp_mix from GGUF metadata. */
capp_status capp_metadata_mix(capp_hparams *h, const capp_arch *arch, const capp_source *source, capp_error *err);

/* Reads quantization_config of config.json. */
capp_status capp_quant_read(capp_hparams *h, const capp_arch *arch, const capp_source *source, capp_error *err);

/* Reads hyperparameters from GGUF metadata, like capp_config_read. */
capp_status capp_metadata_read(capp_hparams *h, const capp_arch *arch, const capp_source *source, capp_error *err);

/* Sets the shapes of layers with latent attention: all heads share one head of keys and values. */
static inline void capp_latent_shapes(capp_hparams *h) {
    h->kv_heads = 1;
    h->head_dim = h->latent + h->rope_dims;
    for (uint32_t i = 0; i < h->layers; i++) {
        h->shapes[i].heads = (uint16_t)h->heads, h->shapes[i].kv_heads = 1;
        h->shapes[i].key = (uint16_t)h->head_dim, h->shapes[i].value = (uint16_t)h->latent;
    }
    for (uint32_t kind = 0; kind < 2; kind++) h->ropes[kind].dims = h->rope_dims;
}

/* Computes the frequencies of a rotation of dims dimensions into out [dims / 2]. factors: the divisors for
 * CAPP_SCALING_FACTORS. */
void capp_rope_frequencies(double *out, const capp_rope *rope, uint32_t dims, const float *factors);

/* Computes the slopes of ALiBi into out [heads]. */
void capp_alibi_slopes(float *out, uint32_t heads, double largest);

#endif
