/* Precisions: the lanes of each one, and whether it is available. */
#include "engine/precision.h"

#include <float.h>

capp_lanes capp_lanes_choose(capp_precision precision, const capp_kernels *k, bool whole) {
    const capp_arithmetic f32 = {.floats = k->f32}, bf16 = {.floats = k->bf16},
                          i16 = {.floats = k->f32, .integers = k->i16},
                          i8 = {.floats = k->f32, .integers = k->i16, .share = FLT_MAX};
    (void)whole;
    switch (precision) {
    case CAPP_PRECISION_F32: return (capp_lanes){.fast = f32};
    case CAPP_PRECISION_BF16: return (capp_lanes){.fast = bf16};
    case CAPP_PRECISION_I16: return (capp_lanes){.fast = i16};
    case CAPP_PRECISION_I8: return (capp_lanes){.fast = i8};
    case CAPP_PRECISION_AUTO: break;
    }
    return k->bf16 ? (capp_lanes){.fast = bf16, .exact = f32} : (capp_lanes){.fast = f32};
}

capp_status capp_precision_check(capp_precision precision, const capp_kernels *kernels, capp_error *err) {
    if ((unsigned)precision > CAPP_PRECISION_I8)
        return capp_fail(err, CAPP_EINVAL, "precision %d is unknown; use a capp_precision", (int)precision);
    if (precision == CAPP_PRECISION_BF16 && !kernels->bf16)
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "precision bf16 needs AVX-512 BF16 or AMX, and instruction set \"%s\" is in use; ask for f32",
                         kernels->name);
    return CAPP_OK;
}

capp_status capp_precision_check_weights(capp_precision precision, const capp_weights *w, capp_error *err) {
    bool integers = precision == CAPP_PRECISION_I16 || precision == CAPP_PRECISION_I8;
    if (!integers || w->n_integers) return CAPP_OK;
    return capp_fail(
        err, CAPP_EUNSUPPORTED,
        "%s: no weight matrix is stored as integers (Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4)%s, "
        "so precision %s has nothing to compute with; ask for f32 or auto",
        capp_source_path(w->source), w->deltas ? " without an adapter" : "",
        precision == CAPP_PRECISION_I16 ? "i16" : "i8");
}
