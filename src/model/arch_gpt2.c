/* GPT-2 (Radford et al. 2019): learned positions, layer norms, one fused product for q, k and v, biases everywhere. */
#include "model/arch.h"

const capp_arch capp_arch_gpt2 = {
    .name = "gpt2",
    .norm = CAPP_NORM_LAYER,
    .rope = CAPP_ROPE_NONE,
    .activation = CAPP_GELU,
    .fused_qkv = true,
    .biases = true,
    .learned_positions = true,
};
