/* PLaMo of Preferred Networks, from GGUF files alone: transformers does not have it. PLaMo 1 is a Llama whose parts
 * read one norm. Most layers of PLaMo 2 have Mamba instead of attention. PLaMo 3 has windows. Their norms after a part
 * have weights of their own size, to which files have added what the model adds.
 *
 * The authors of PLaMo 2 limit attention to a window, which files do not have. llama.cpp takes the number of rotating
 * dimensions from the heads of the first layer. Published models have Mamba there, for which files list no heads; capp
 * rotates all dimensions, as the authors do. */
#include "model/arch.h"

const capp_arch capp_arch_plamo = {
    .name = "plamo",
    .models = "PLaMo 13B",
    .gguf = "plamo",
    .rope = CAPP_ROPE_HALVES,
    .parallel = CAPP_PARALLEL_SHARED,
    .eps = 1e-6,
};

const capp_arch capp_arch_plamo2 = {
    .name = "plamo2",
    .models = "PLaMo 2, 2.1, 2.2",
    .gguf = "plamo2",
    .rope = CAPP_ROPE_HALVES,
    .qk_norm = CAPP_QK_OWN,
    .post_norms = true,
    .fused_gate = true,
    .mixer = CAPP_MIX_PLAMO,
    .eps = 1e-6,
    .names = {[CAPP_PART_MIX_STEP_NORM] = "", [CAPP_PART_MIX_B_NORM] = "", [CAPP_PART_MIX_C_NORM] = ""},
    .bare_parts = (const capp_part[]){CAPP_PART_ATTENTION_POST_NORM, CAPP_PART_FEED_POST_NORM, CAPP_PART_MIX_STEP_NORM,
                                      CAPP_PART_MIX_B_NORM, CAPP_PART_MIX_C_NORM, CAPP_PARTS},
};

const capp_arch capp_arch_plamo3 = {
    .name = "plamo3",
    .models = "PLaMo 3",
    .gguf = "plamo3",
    .rope = CAPP_ROPE_HALVES,
    .rope_untruncated = true,
    .local_rope_base = 10000,
    .qk_norm = CAPP_QK_HEAD,
    .post_norms = true,
    .fused_gate = true,
    .window_period = 8,
    .maybe_windows = true,
    .eps = 1e-6,
    .bare_parts = (const capp_part[]){CAPP_PART_ATTENTION_POST_NORM, CAPP_PART_FEED_POST_NORM, CAPP_PARTS},
};
