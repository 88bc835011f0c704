/* Llama (Touvron et al., arXiv 2302.13971): RMS norms, rotary positions, SiLU-gated feed-forward, grouped key-value
 * heads. GGUF stores q and k rows permuted, so that a rotation turns neighbours. */
#include "model/arch.h"

const capp_arch capp_arch_llama = {
    .name = "llama",
    .norm = CAPP_NORM_RMS,
    .rope = CAPP_ROPE_PAIRS,
    .activation = CAPP_SILU_GATED,
};
