/* Precisions: the lanes of each one, and whether it is available. */
#include "engine/precision.h"

#include <float.h>
#include <string.h>

#include "base/cpu.h"

/* The kinds of arithmetic of a lane. */
typedef enum arithmetic { F32, BF16, I16, MIXED, I8 } arithmetic;

/* Precision mixed keeps the low digits of blocks whose step in 8 bits is larger than this share of their row's root
 * mean square: see coarsen in kernel.h. docs/design.md says how it was chosen. */
static const float mixed_share = 0.05F;

/* The fast lane of precision auto: for a model whose matrices are all integers, and for any other. An instruction set
 * that is not in the list computes in float32. The choices follow measured rates and, for ARM, counted instructions
 * (docs/performance.md): where the processor multiplies bytes, i16 is faster than float32, and than VDPBF16PS unless
 * that is fast; mixed is faster than i16, except on ARM; tiles and BFMMLA are faster than all of these. The first
 * entry with the name and the features counts. */
static const struct choice {
    const char *isa;
    unsigned features;
    arithmetic integers, floats;
} choices[] = {
    {"avx2", 0, MIXED, F32},       {"avxvnni", 0, MIXED, F32},
    {"avx512vnni", 0, MIXED, F32}, {"avx512bf16", CAPP_CPU_FAST_BF16, BF16, BF16},
    {"avx512bf16", 0, MIXED, F32}, {"amx", 0, BF16, BF16},
    {"neondot", 0, I16, F32},      {"neoni8mm", 0, I16, F32},
    {"neonbf16", 0, BF16, BF16},
};

/* The margin of each pair of lanes, for completions of one token: capp_decide_margin makes the row's of it. The numbers
 * follow from measured changes of the difference of a row's two best scores, as one token (docs/design.md): on COPA and
 * Banking77 with two models up to 0.217 from mixed to i16, all within the margin, and 0.002 from float32 to i16. From
 * bfloat16 to i16 they were up to 0.153, and 97 % of them or more are within the margin. */
static const struct margin {
    arithmetic fast, exact;
    double token;
} margins[] = {{F32, I16, 0.006}, {MIXED, I16, 0.22}, {BF16, F32, 0.08}, {BF16, I16, 0.08}};

static arithmetic fast_of(const capp_kernels *k, unsigned features, bool whole) {
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (!strcmp(choices[i].isa, k->name) && !(choices[i].features & ~features))
            return whole ? choices[i].integers : choices[i].floats;
    return F32;
}

static capp_arithmetic arithmetic_of(arithmetic kind, const capp_kernels *k) {
    switch (kind) {
    case F32: break;
    case BF16: return (capp_arithmetic){.floats = k->bf16};
    case I16: return (capp_arithmetic){.floats = k->f32, .integers = k->i16};
    case MIXED: return (capp_arithmetic){.floats = k->f32, .integers = k->i16, .share = mixed_share};
    case I8: return (capp_arithmetic){.floats = k->f32, .integers = k->i16, .share = FLT_MAX};
    }
    return (capp_arithmetic){.floats = k->f32};
}

capp_lanes capp_lanes_choose(capp_precision precision, const capp_kernels *k, unsigned features, bool whole) {
    switch (precision) {
    case CAPP_PRECISION_F32: return (capp_lanes){.fast = arithmetic_of(F32, k)};
    case CAPP_PRECISION_BF16: return (capp_lanes){.fast = arithmetic_of(BF16, k)};
    case CAPP_PRECISION_I16: return (capp_lanes){.fast = arithmetic_of(I16, k)};
    case CAPP_PRECISION_I8: return (capp_lanes){.fast = arithmetic_of(I8, k)};
    case CAPP_PRECISION_MIXED: return (capp_lanes){.fast = arithmetic_of(MIXED, k)};
    case CAPP_PRECISION_AUTO: break;
    }
    const arithmetic fast = fast_of(k, features, whole), exact = whole ? I16 : F32;
    capp_lanes lanes = {.fast = arithmetic_of(fast, k)};
    if (fast != exact) lanes.exact = arithmetic_of(exact, k);
    return lanes;
}

/* The kind of arithmetic that the weights are made for. */
static arithmetic kind_of(const capp_weights *w) {
    if (w->integers) return !(w->share > 0) ? I16 : w->share < FLT_MAX ? MIXED : I8;
    return strcmp(w->products->name, "bf16") != 0 ? F32 : BF16;
}

/* Precision mixed is for models with at least so many parameters. In small ones it saves little. */
enum { MIXED_PARAMETERS = 1000000000 };

/* With AVX2 alone, numbers of more than 6 bits are multiplied in 16 bits in any case (kernel/integers_avx2.c). */
bool capp_lanes_pay(const capp_weights *w) {
    if (kind_of(w) != MIXED) return true;
    return w->parameters >= MIXED_PARAMETERS && (strcmp(w->kernels->name, "avx2") != 0 || w->wide < 0.5);
}

static capp_precision precision_of(arithmetic kind) {
    static const capp_precision precisions[] = {[F32] = CAPP_PRECISION_F32,
                                                [BF16] = CAPP_PRECISION_BF16,
                                                [I16] = CAPP_PRECISION_I16,
                                                [MIXED] = CAPP_PRECISION_MIXED,
                                                [I8] = CAPP_PRECISION_I8};
    return precisions[kind];
}

capp_precision capp_lanes_deciding(capp_precision precision, const capp_weights *exact) {
    return exact ? precision_of(kind_of(exact)) : precision;
}

capp_precision capp_lanes_scoring(capp_precision precision, const capp_weights *fast) {
    return precision == CAPP_PRECISION_AUTO && fast ? precision_of(kind_of(fast)) : precision;
}

double capp_lanes_margin(const capp_weights *fast, const capp_weights *exact) {
    for (size_t i = 0; i < sizeof margins / sizeof *margins; i++)
        if (margins[i].fast == kind_of(fast) && margins[i].exact == kind_of(exact)) return margins[i].token;
    return 0;
}

capp_status capp_precision_check(capp_precision precision, const capp_kernels *kernels, capp_error *err) {
    if ((unsigned)precision > CAPP_PRECISION_MIXED)
        return capp_fail(err, CAPP_EINVAL, "precision %d is unknown; use a capp_precision", (int)precision);
    if (precision == CAPP_PRECISION_BF16 && !kernels->bf16)
        return capp_fail(
            err, CAPP_EUNSUPPORTED,
            "precision bf16 needs AVX-512 BF16, AMX or ARM's BF16, and instruction set \"%s\" is in use; ask "
            "for f32",
            kernels->name);
    return CAPP_OK;
}

capp_status capp_precision_check_weights(capp_precision precision, const capp_weights *w, capp_error *err) {
    static const char *const names[] = {
        [CAPP_PRECISION_I16] = "i16", [CAPP_PRECISION_I8] = "i8", [CAPP_PRECISION_MIXED] = "mixed"};
    const char *name = names[precision];
    if (!name || w->n_integers) return CAPP_OK;
    return capp_fail(
        err, CAPP_EUNSUPPORTED,
        "%s: no weight matrix is stored as integers (Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4; in folders "
        "GPTQ with 2, 3, 4 or 8 bits, AWQ, and compressed-tensors with 2, 4 or 8 bits, in groups of a multiple of 32 "
        "inputs, with scales of 16 bits)%s, so precision %s has nothing to compute with; ask for f32 or auto",
        capp_source_path(w->source), w->deltas ? ", except experts that an adapter changes" : "", name);
}
