/* The reference kernels for any processor: the fused multiply-add is computed in double precision. */
#include "kernel/kernel.h"

#include "base/math.h"
#include "kernel/fused.h"
#include "kernel/integers.h"
#include "kernel/plain.h"
#include "kernel/quad.h"

static __attribute__((noinline)) quad fused_one_by_one(quad a, quad b, quad c) {
    return (quad){fused_exactly(a[0], b[0], c[0]), fused_exactly(a[1], b[1], c[1]), fused_exactly(a[2], b[2], c[2]),
                  fused_exactly(a[3], b[3], c[3])};
}

/* True where rounding x a second time, to float, may give a wrong result: x is exactly halfway between two floats, or
 * the float is below the normal range, where floats have fewer bits. */
static inline capp_pair_bits doubtful(capp_pair x) {
    const capp_pair size = (capp_pair)((capp_pair_bits)x & INT64_MAX);
    return (capp_pair_bits)(((capp_pair_bits)x & 0x1fffffff) == 0x10000000) |
           ((capp_pair_bits)(size < 0x1p-126) & (capp_pair_bits)(size > 0));
}

static inline quad fused(quad a, quad b, quad c) {
    const capp_pair low = (capp_pair){a[0], a[1]} * (capp_pair){b[0], b[1]} + (capp_pair){c[0], c[1]};
    const capp_pair high = (capp_pair){a[2], a[3]} * (capp_pair){b[2], b[3]} + (capp_pair){c[2], c[3]};
    const capp_pair_bits doubt = doubtful(low) | doubtful(high);
    if (__builtin_expect((doubt[0] | doubt[1]) != 0, 0)) return fused_one_by_one(a, b, c);
    return (quad){(float)low[0], (float)low[1], (float)high[0], (float)high[1]};
}

#include "kernel/ref.inc"

const capp_kernels capp_kernels_ref = {.name = "ref",
                                       .needs = 0,
                                       .f32 = &products,
                                       .i16 = &capp_integers_ref,
#define X(name, type, parameters) .name = name,
                                       CAPP_OP_MAP(X)
#undef X
};
