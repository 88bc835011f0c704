/* Gemma 3 (Gemma Team, arXiv 2503.19786): five layers with a sliding window to one global layer, each kind with its own
 * rope base; norms of q and k; norms before and after each part. GGUF stores norm weights with their 1 added. */
#include "model/arch.h"

const capp_arch capp_arch_gemma3 = {
    .name = "gemma3",
    .norm = CAPP_NORM_RMS,
    .rope = CAPP_ROPE_HALVES,
    .activation = CAPP_GELU_GATED,
    .qk_norms = true,
    .post_norms = true,
    .scaled_embedding = true,
    .window_period = 6,
    .local_rope_base = 10000,
};
