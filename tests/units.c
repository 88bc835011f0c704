#include "units.h"

#include <float.h>

#include "base/cpu.h"
#include "emulated.h"
#include "lent_tiles.h"
#include "test.h"

typedef enum kind { NONE, F32, BF16, I16, MIXED, I8 } kind;

/* A name, the instruction set, the arithmetic of its lanes, and an emulated unit for products of bfloat16. */
typedef struct unit {
    const char *name, *isa;
    kind fast, exact;
    const capp_products *emulated;
} unit;

static const unit units[] = {
    {"avx512bf16_bf16", "avx512bf16", BF16, NONE, NULL},
    {"avx512bf16_auto", "avx512bf16", BF16, F32, NULL},
    {"amx_bf16", "amx", BF16, NONE, NULL},
    {"amx_auto", "amx", BF16, F32, NULL},
    {"vdpbf16ps_emulated", "ref", BF16, F32, &emulated_dpbf16},
    {"tiles_emulated", "ref", BF16, F32, &emulated_tiles},
    {"neonbf16_bf16", "neonbf16", BF16, NONE, NULL},
    {"neonbf16_auto", "neonbf16", BF16, F32, NULL},
    {"bfmmla_emulated", "ref", BF16, F32, &emulated_bfmmla},
    {"ref_i16", "ref", I16, NONE, NULL},
    {"avx2_i16", "avx2", I16, NONE, NULL},
    {"avxvnni_i16", "avxvnni", I16, NONE, NULL},
    {"avx512vnni_i16", "avx512vnni", I16, NONE, NULL},
    {"ref_mixed", "ref", MIXED, NONE, NULL},
    {"avx2_mixed", "avx2", MIXED, NONE, NULL},
    {"avxvnni_mixed", "avxvnni", MIXED, NONE, NULL},
    {"avx512vnni_mixed", "avx512vnni", MIXED, NONE, NULL},
    {"avx2_mixed_i16", "avx2", MIXED, I16, NULL},
    {"avx512vnni_mixed_i16", "avx512vnni", MIXED, I16, NULL},
    {"avx2_i8", "avx2", I8, NONE, NULL},
    {"avxvnni_i8", "avxvnni", I8, NONE, NULL},
    {"avx512vnni_i8", "avx512vnni", I8, NONE, NULL},
    {"avx2_f32_i16", "avx2", F32, I16, NULL},
    {"avx512bf16_bf16_i16", "avx512bf16", BF16, I16, NULL},
    {"tiles_emulated_i16", "ref", BF16, I16, &emulated_tiles},
    {"neonbf16_bf16_i16", "neonbf16", BF16, I16, NULL},
};

static unit unit_of(const char *name) {
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (name && !strcmp(units[i].name, name)) return units[i];
    return (unit){name, name, NONE, NONE, NULL};
}

static capp_arithmetic arithmetic_of(kind own, const capp_kernels *k) {
    const float some = 0.018F; /* about half of the blocks of random rows keep their low digits */
    return (capp_arithmetic){.floats = own == BF16 ? k->bf16 : k->f32,
                             .integers = own >= I16 ? k->i16 : NULL,
                             .share = own == I8      ? FLT_MAX
                                      : own == MIXED ? some
                                                     : 0};
}

/* Binds the weights of a model in float32 again, for the lanes of the unit. */
static void set_lanes(capp_model *model, const unit *u) {
    static capp_kernels kernels;
    capp_error err;
    kernels = *model->weights->kernels;
    if (u->emulated) kernels.bf16 = u->emulated;
    const capp_arithmetic fast = arithmetic_of(u->fast, &kernels), exact = arithmetic_of(u->exact, &kernels);
    capp_weights_free(model->exact);
    capp_weights_free(model->weights);
    model->exact = NULL;
    CHECK_OK(capp_weights_bind(&model->weights, &model->source, &kernels, &fast, &fast, NULL, 0,
                               (capp_cache){SIZE_MAX, false}, &err),
             err);
    if (u->exact) CHECK_OK(capp_weights_twin(&model->exact, model->weights, &exact, &err), err);
    model->precision = CAPP_PRECISION_AUTO;
}

capp_model *open_unit(const char *path, const char *name, int threads, uint64_t memory) {
    const unit u = unit_of(name);
    capp_model_options options;
    capp_model *model;
    capp_error err;
    capp_model_options_init(&options);
    options.threads = threads;
    options.memory = memory;
    options.isa = u.isa;
    options.precision = CAPP_PRECISION_F32;
    CHECK_OK(capp_model_open(&model, path, &options, &err), err);
    if (u.fast) set_lanes(model, &u);
    return model;
}

bool has_unit(const char *name) {
    const capp_kernels *k = capp_kernels_named(unit_of(name).isa);
    return k && capp_cpu_request(k->needs);
}

/* The names of all families: a name with a slip does not skip a test everywhere. */
static const char *const isas[] = {"ref", "avx2", "avxvnni", "avx512",   "avx512vnni", "avx512bf16",
                                   "amx", "neon", "neondot", "neoni8mm", "neonbf16"};

static void check_isa(const char *isa) {
    bool known = false;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) known = known || !strcmp(isas[i], isa);
    CHECK(known);
}

void need_unit(const char *name) {
    check_isa(unit_of(name).isa);
    if (!has_unit(name)) SKIP("this machine lacks %s", unit_of(name).isa);
}

const capp_kernels *need_isa(const char *isa) {
    check_isa(isa);
    if (!strcmp(isa, "amx")) lend_tiles();
    const capp_kernels *k = capp_kernels_named(isa);
    if (!k || !capp_cpu_request(k->needs)) SKIP("this machine lacks %s", isa);
    return k;
}
