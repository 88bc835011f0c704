/* What precision auto computes with on each instruction set, and its margins. */
#include <unistd.h>

#include "base/cpu.h"
#include "capp.h"
#include "decide/decide.h"
#include "engine/handles.h"
#include "engine/precision.h"
#include "test.h"
#include "tiny.h"
#include "units.h"

static bool same_arithmetic(const capp_arithmetic *a, const capp_arithmetic *b) {
    return a->floats == b->floats && a->integers == b->integers && a->share == b->share;
}

/* The exact lane depends on the model alone: i16 or float32, alone or behind a fast lane. Tried on instruction sets
 * that this machine may lack. */
TEST(the_exact_lane_depends_on_the_model_alone) {
    for (size_t i = 0; capp_kernels_at(i); i++)
        for (unsigned features = 0; features <= CAPP_CPU_FAST_BF16; features += CAPP_CPU_FAST_BF16)
            for (int whole = 0; whole < 2; whole++) {
                const capp_kernels *k = capp_kernels_at(i);
                const capp_precision reference = whole ? CAPP_PRECISION_I16 : CAPP_PRECISION_F32;
                capp_lanes lanes = capp_lanes_choose(CAPP_PRECISION_AUTO, k, features, whole);
                const capp_lanes exact = capp_lanes_choose(reference, k, features, whole);
                CHECK(lanes.fast.floats && !exact.exact.floats);
                CHECK(same_arithmetic(lanes.exact.floats ? &lanes.exact : &lanes.fast, &exact.fast));
            }
}

typedef struct choice {
    const char *isa;
    unsigned features;
    capp_precision integers, floats; /* AUTO: bf16, and close rows again */
} choice;

TEST(the_fast_lane_follows_the_table) {
    static const choice choices[] = {
        {"avx2", 0, CAPP_PRECISION_MIXED, CAPP_PRECISION_F32},
        {"avxvnni", 0, CAPP_PRECISION_MIXED, CAPP_PRECISION_F32},
        {"avx512", 0, CAPP_PRECISION_F32, CAPP_PRECISION_F32},
        {"avx512vnni", 0, CAPP_PRECISION_MIXED, CAPP_PRECISION_F32},
        {"avx512bf16", 0, CAPP_PRECISION_MIXED, CAPP_PRECISION_F32},
        {"avx512bf16", CAPP_CPU_FAST_BF16, CAPP_PRECISION_BF16, CAPP_PRECISION_BF16},
        {"amx", 0, CAPP_PRECISION_BF16, CAPP_PRECISION_BF16},
        {"amx", CAPP_CPU_FAST_BF16, CAPP_PRECISION_BF16, CAPP_PRECISION_BF16},
        {"neon", 0, CAPP_PRECISION_F32, CAPP_PRECISION_F32},
        {"neondot", 0, CAPP_PRECISION_I16, CAPP_PRECISION_F32},
        {"neoni8mm", 0, CAPP_PRECISION_I16, CAPP_PRECISION_F32},
        {"neonbf16", 0, CAPP_PRECISION_BF16, CAPP_PRECISION_BF16},
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        for (int whole = 0; whole < 2; whole++) {
            const choice *c = &choices[i];
            const capp_kernels *k = capp_kernels_named(c->isa);
            if (!k) continue; /* another family of processors */
            const capp_lanes lanes = capp_lanes_choose(CAPP_PRECISION_AUTO, k, c->features, whole);
            const capp_lanes fast = capp_lanes_choose(whole ? c->integers : c->floats, k, 0, whole);
            CHECK(same_arithmetic(&lanes.fast, &fast.fast));
        }
}

static capp_status open_model(capp_model **model, const char *path, const char *isa, capp_precision precision,
                              capp_error *err) {
    capp_model_options options;
    capp_model_options_init(&options);
    options.threads = 1;
    options.isa = isa;
    options.precision = precision;
    return capp_model_open(model, path, &options, err);
}

/* A model opened under auto has these lanes, and tells the precision of a single one. */
TEST(opened_models_have_the_lanes) {
    static const char *const archs[] = {"llama", "llama_integers", "gpt2_integers"};
    for (size_t a = 0; a < sizeof archs / sizeof *archs; a++) {
        char path[64];
        tiny_model_file(archs[a], 4, path);
        for (size_t i = 0; capp_kernels_at(i); i++) {
            const capp_kernels *k = capp_kernels_at(i);
            capp_model *model;
            capp_model_info info;
            capp_error err;
            if (!capp_cpu_request(k->needs)) continue;
            CHECK_OK(open_model(&model, path, k->name, CAPP_PRECISION_AUTO, &err), err);
            capp_model_get_info(model, &info);
            const capp_weights *exact = model->exact ? model->exact : model->weights;
            CHECK(exact->integers == (a ? k->i16 : NULL) && exact->products == k->f32 && !(exact->share > 0));
            CHECK_INT(info.precision, model->exact ? CAPP_PRECISION_AUTO : a ? CAPP_PRECISION_I16 : CAPP_PRECISION_F32);
            CHECK_INT(info.deciding, a ? CAPP_PRECISION_I16 : CAPP_PRECISION_F32);
            CHECK((info.scoring == info.deciding) == !model->exact && info.scoring != CAPP_PRECISION_AUTO);
            if (model->exact) CHECK(capp_lanes_margin(model->weights, model->exact) > 0);
            capp_model_free(model);
        }
        unlink(path);
    }
}

TEST(a_model_of_floats_has_nothing_for_i16) {
    capp_model *model;
    capp_error err;
    char path[64];
    tiny_model_file("llama", 4, path);
    CHECK_INT(open_model(&model, path, NULL, CAPP_PRECISION_I16, &err), CAPP_EUNSUPPORTED);
    CHECK_CONTAINS(err.message, "no weight matrix is stored as integers");
    CHECK_CONTAINS(err.message, "compressed-tensors with 2, 4 or 8 bits");
    CHECK_CONTAINS(err.message, "precision i16");
    CHECK_CONTAINS(err.message, path);
    unlink(path);
}

/* ---- Margins ----------------------------------------------------------------------------------------------------- */

enum { ROWS = 300, TEXT = 8 };

/* Rows of two completions, with priors that bring their scores close together in the fast lane. */
typedef struct rows {
    char text[ROWS][3][TEXT];
    capp_str completions[ROWS][2];
    double prior[ROWS][2];
    capp_example examples[ROWS];
} rows;

typedef struct outcome {
    size_t prediction[ROWS];
    double logs[ROWS][2], share[ROWS]; /* share: the row's margin relative to that of one token */
    uint64_t rescored;
} outcome;

static bool take(void *user, const capp_result *r) {
    outcome *o = user;
    o->prediction[r->row] = r->prediction;
    o->share[r->row] = capp_decide_margin(CAPP_AGGREGATE_MEAN, 1, r->offset, 2);
    for (size_t i = 0; i < 2; i++) o->logs[r->row][i] = log(r->likelihood[i]);
    return true;
}

static void begin_rows(rows *r) {
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(r->text[i][0], TEXT, "%zu", i * 7919 % 99991);
        for (size_t j = 0; j < 2; j++) {
            snprintf(r->text[i][1 + j], TEXT, "%c%c", (char)('a' + (i + 11 * j) % 26), (char)('a' + 7 * i % 23));
            r->completions[i][j] = capp_str_of(r->text[i][1 + j]);
        }
        r->examples[i] = (capp_example){capp_str_of(r->text[i][0]), r->completions[i], 2, NULL, "", false};
    }
}

/* The scores of row i differ by i / ROWS times twice its margin, in either direction. */
static void set_priors(rows *r, const outcome *fast, double margin) {
    for (size_t i = 0; i < ROWS; i++) {
        const double most = 2 * margin * fast->share[i];
        const double gap = (i % 2 ? most : -most) * (double)i / ROWS;
        const double odds = exp(fast->logs[i][1] - fast->logs[i][0] + gap);
        r->prior[i][0] = odds / (1 + odds);
        r->prior[i][1] = 1 / (1 + odds);
        r->examples[i].prior = r->prior[i];
    }
}

typedef enum lanes { BOTH, FAST, EXACT } lanes;

static outcome *decide(const capp_model *model, lanes used, const rows *r) {
    capp_session *session;
    capp_error err;
    outcome *o = calloc(1, sizeof *o);
    CHECK(o);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    if (used == EXACT) session->fast.weights = session->exact.weights;
    if (used != BOTH) session->exact.weights = NULL;
    CHECK_OK(capp_score(session, r->examples, ROWS, NULL, take, o, &err), err);
    o->rescored = session->stats.rows_rescored;
    capp_session_free(session);
    return o;
}

static size_t count_different(const outcome *a, const outcome *b) {
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++) n += a->prediction[i] != b->prediction[i];
    return n;
}

/* Without a margin, which is the fast lane alone, many decisions are not the exact lane's. With it, at most a part of
 * them, 1 / `fewer`, is not. */
static void check_margin(const char *unit, const char *arch, size_t fewer) {
    char path[64];
    rows *r = calloc(1, sizeof *r);
    CHECK(r);
    need_unit(unit);
    tiny_model_file(arch, 3, path);
    capp_model *model = open_unit(path, unit, 1, 0);
    const double margin = capp_lanes_margin(model->weights, model->exact);
    begin_rows(r);
    outcome *first = decide(model, FAST, r);
    set_priors(r, first, margin);
    outcome *both = decide(model, BOTH, r), *fast = decide(model, FAST, r), *exact = decide(model, EXACT, r);
    const size_t flips = count_different(fast, exact), wrong = count_different(both, exact);
    if (flips < 3 || wrong * fewer > flips) FAIL("%s: %zu flips, of which %zu stay", unit, flips, wrong);
    CHECK(both->rescored > ROWS / 3 && both->rescored < 2 * ROWS / 3);
    free(first), free(both), free(fast), free(exact), free(r);
    capp_model_free(model);
    unlink(path);
}

/* Tiny random models are rounded worse than real ones in bfloat16: bench/works/decisions.py counts those. */
/* Small models, and with AVX2 alone those of wide numbers, are computed in i16 alone. */
TEST(mixed_pays_for_large_models) {
    capp_kernels avx2 = capp_kernels_ref, vnni = capp_kernels_ref;
    avx2.name = "avx2", vnni.name = "avxvnni";
    capp_weights w = {.kernels = &vnni, .products = capp_kernels_ref.f32, .integers = capp_kernels_ref.i16};
    w.share = 0.05F, w.wide = 1, w.parameters = 1000000000;
    CHECK(capp_lanes_pay(&w));
    w.kernels = &avx2;
    CHECK(!capp_lanes_pay(&w));
    w.wide = 0.4;
    CHECK(capp_lanes_pay(&w));
    w.parameters--;
    CHECK(!capp_lanes_pay(&w));
    w.integers = NULL, w.share = 0;
    CHECK(capp_lanes_pay(&w));
}

TEST(margin_f32_i16) {
    check_margin("avx2_f32_i16", "llama_integers", ROWS);
}
TEST(margin_mixed_i16) {
    check_margin("avx2_mixed_i16", "llama_integers", 3);
}
TEST(margin_bf16_i16) {
    check_margin("avx512bf16_bf16_i16", "llama_integers", 3);
}
TEST(margin_bf16_f32) {
    check_margin("avx512bf16_auto", "llama", 3);
}
TEST(margin_bfmmla_i16) {
    check_margin("neonbf16_bf16_i16", "llama_integers", 3);
}
TEST(slow_margin_bf16_i16_emulated) {
    check_margin("tiles_emulated_i16", "llama_integers", 3);
}
