#include "units.h"

#include "base/cpu.h"
#include "emulated.h"
#include "test.h"

/* A name, the way its model opens, and an emulated unit for its products of bfloat16. */
typedef struct unit {
    const char *name, *isa;
    capp_precision precision;
    const capp_products *emulated;
} unit;

static const unit units[] = {
    {"avx512bf16_bf16", "avx512bf16", CAPP_PRECISION_BF16, NULL},
    {"avx512bf16_auto", "avx512bf16", CAPP_PRECISION_AUTO, NULL},
    {"amx_bf16", "amx", CAPP_PRECISION_BF16, NULL},
    {"amx_auto", "amx", CAPP_PRECISION_AUTO, NULL},
    {"vdpbf16ps_emulated", "ref", CAPP_PRECISION_F32, &emulated_dpbf16},
    {"tiles_emulated", "ref", CAPP_PRECISION_F32, &emulated_tiles},
};

static unit unit_of(const char *name) {
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (name && !strcmp(units[i].name, name)) return units[i];
    return (unit){name, name, CAPP_PRECISION_F32, NULL};
}

/* Packs the model's weights again for the emulated unit, with float32 for close decisions: precision auto. */
static void emulate(capp_model *model, const capp_products *products) {
    static capp_kernels kernels;
    capp_pool *pool;
    capp_error err;
    kernels = *model->weights->kernels;
    kernels.bf16 = products;
    capp_weights_free(model->weights);
    CHECK_OK(capp_pool_open(&pool, 1, &err), err);
    CHECK_OK(capp_weights_open(&model->weights, &model->source, &kernels, products, pool, &err), err);
    CHECK_OK(capp_weights_twin(&model->exact, model->weights, &(capp_arithmetic){.floats = kernels.f32}, &err), err);
    capp_pool_free(pool);
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
    options.precision = u.precision;
    CHECK_OK(capp_model_open(&model, path, &options, &err), err);
    if (u.emulated) emulate(model, u.emulated);
    return model;
}

void need_unit(const char *name) {
    (void)need_isa(unit_of(name).isa);
}

/* The names of all families: a name with a slip does not skip a test everywhere. */
static const char *const isas[] = {"ref",        "avx2", "avxvnni", "avx512",  "avx512vnni",
                                   "avx512bf16", "amx",  "neon",    "neondot", "neoni8mm"};

const capp_kernels *need_isa(const char *isa) {
    const capp_kernels *k = capp_kernels_named(isa);
    bool known = false;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) known = known || !strcmp(isas[i], isa);
    CHECK(known);
    if (!k || !capp_cpu_request(k->needs)) SKIP("this machine lacks %s", isa);
    return k;
}
