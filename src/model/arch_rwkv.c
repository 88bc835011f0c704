/* RWKV-7 (Peng et al., arXiv 2503.14456), from GGUF files alone: transformers has no class for its folders. A layer has
 * a matrix state instead of attention, and a feed-forward part; both read the token before, too. Positions are not
 * encoded. ARWKV is a Qwen 2 whose attention was replaced: it has RMS norms and Qwen's feed-forward part. */
#include "model/arch.h"

#define TIME_MIX                                                                                                       \
    [CAPP_PART_Q] = "blk.%u.time_mix_receptance", [CAPP_PART_K] = "blk.%u.time_mix_key",                               \
    [CAPP_PART_V] = "blk.%u.time_mix_value", [CAPP_PART_MIX_NORM] = "blk.%u.time_mix_ln",                              \
    [CAPP_PART_MIX_OUT] = "blk.%u.time_mix_output"

const capp_arch capp_arch_rwkv7 = {
    .name = "rwkv7",
    .models = "RWKV-7 Goose",
    .gguf = "rwkv7",
    .norm = CAPP_NORM_LAYER,
    .norm_bias = true,
    .activation = CAPP_RELU2,
    .tokens_norm = true,
    .mixer = CAPP_MIX_WKV,
    .mixes_only = true,
    .feed_shift = true,
    .eps = 1e-5,
    .gguf_names = {TIME_MIX, [CAPP_PART_FEED_NORM] = "blk.%u.attn_norm_2", [CAPP_PART_UP] = "blk.%u.channel_mix_key",
                   [CAPP_PART_DOWN] = "blk.%u.channel_mix_value"},
};

const capp_arch capp_arch_arwkv7 = {
    .name = "arwkv7",
    .models = "ARWKV-7",
    .gguf = "arwkv7",
    .mixer = CAPP_MIX_WKV,
    .mixes_only = true,
    .eps = 1e-6,
    .gguf_names = {TIME_MIX},
};
