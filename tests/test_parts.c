/* Products over a long k are computed in parts and give the bits of the whole, with weights packed or unpacked when
 * used. The models here are narrow, so the tests make the parts short. */
#include <stdatomic.h>
#include <unistd.h>

#include "emulated.h"
#include "engine/handles.h"
#include "packed.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"
#include "units.h"

enum { ROWS = 20, PART = CAPP_MAX_STEP };

/* How a model computes its products. TAILS: parts of which the last may be longer, and strips of as many rows as tiles
 * have. */
typedef enum how {
    WHOLE,
    PACKED_PARTS,
    PACKED_TAILS,
    UNPACKED,
    UNPACKED_PARTS,
    UNPACKED_TAILS,
    WAYS,
    ROUNDED_PARTS = WAYS
} how;

enum { STRIP_OF_TILES = 256 };

static capp_products cut;
static const capp_products *uncut;
static atomic_bool long_part; /* some part was longer than the others */

static void watched_matmul_on(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                              size_t k) {
    if (k > PART) long_part = true;
    uncut->matmul_on(c, ldc, a, lda, panel, m, n, k);
}

/* Rounds once more at the end of each part. */
static void rounding_matmul_on(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                               size_t k) {
    cut.matmul(c, ldc, a, lda, panel, m, n, k, true);
}

/* The model's weights for products in parts, bound again or, where none are kept, unchanged. */
static void cut_products(capp_model *model, how way) {
    capp_weights *w = model->weights;
    capp_error err;
    uncut = w->products, cut = *uncut;
    cut.block = PART, cut.tail = 0;
    if (way == PACKED_TAILS || way == UNPACKED_TAILS)
        cut.tail = PART, cut.strip = STRIP_OF_TILES, cut.matmul_on = watched_matmul_on;
    w->products = &cut;
    if (way != PACKED_PARTS && way != PACKED_TAILS) return;
    const capp_kernels *kernels = w->kernels;
    capp_weights_free(w);
    CHECK_OK(capp_weights_open(&model->weights, &model->source, kernels, &cut, &err), err);
}

static scores *score(const char *path, const row *rows, const char *isa, capp_precision precision, how way) {
    capp_error err;
    capp_model_options options;
    capp_model *model;
    capp_session *session;
    capp_example examples[ROWS];
    scores *s = calloc(ROWS, sizeof *s);
    CHECK(s);
    capp_model_options_init(&options);
    options.isa = isa;
    options.precision = precision;
    options.threads = 2;
    options.weights_memory = way >= UNPACKED ? CAPP_WEIGHTS_NONE : CAPP_WEIGHTS_ALL;
    CHECK_OK(capp_model_open(&model, path, &options, &err), err);
    if (way != WHOLE && way != UNPACKED) cut_products(model, way);
    if (way == ROUNDED_PARTS) cut.matmul_on = rounding_matmul_on;
    keep_from_now(model->weights);
    for (size_t i = 0; i < ROWS; i++) examples[i] = rows[i].example;
    CHECK_OK(capp_session_open(&session, model, &err), err);
    CHECK_OK(capp_score(session, examples, ROWS, NULL, keep, s, &err), err);
    capp_session_free(session);
    capp_model_free(model);
    return s;
}

static bool same_bits(const scores *a, const scores *b) {
    for (size_t i = 0; i < ROWS; i++)
        if (a[i].n != b[i].n || memcmp(a[i].logprobs, b[i].logprobs, a[i].n * sizeof(float)) != 0) return false;
    return true;
}

static bool all_ways_agree(const char *arch, const char *isa, capp_precision precision) {
    char path[64];
    bool agree = true;
    row *rows = make_rows(23, ROWS);
    tiny_model_file(arch, 8, path);
    scores *want = score(path, rows, isa, precision, WHOLE);
    for (how way = WHOLE + 1; way < WAYS; way++) {
        long_part = false;
        scores *got = score(path, rows, isa, precision, way);
        agree = agree && same_bits(want, got);
        agree = agree && long_part == (way == PACKED_TAILS || way == UNPACKED_TAILS);
        free_scores(got, ROWS);
    }
    free_scores(want, ROWS);
    free(rows);
    unlink(path);
    return agree;
}

#define UNIT(isa, precision)                                                                                           \
    TEST(parts_have_the_bits_of_the_whole_##isa##_##precision) {                                                       \
        need_unit(#isa);                                                                                               \
        CHECK(all_ways_agree("llama", #isa, CAPP_PRECISION_##precision));                                              \
        CHECK(all_ways_agree("gemma3", #isa, CAPP_PRECISION_##precision));                                             \
        CHECK(all_ways_agree("gpt2", #isa, CAPP_PRECISION_##precision));                                               \
    }

UNIT(ref, F32)
UNIT(avx2, F32)
UNIT(avx512, F32)
UNIT(neon, F32)
UNIT(avx512bf16, BF16)
UNIT(amx, BF16)
UNIT(neonbf16, BF16)

TEST(parts_that_round_are_seen) {
    char path[64];
    row *rows = make_rows(23, ROWS);
    tiny_model_file("llama", 8, path);
    scores *want = score(path, rows, "ref", CAPP_PRECISION_F32, WHOLE);
    scores *got = score(path, rows, "ref", CAPP_PRECISION_F32, ROUNDED_PARTS);
    CHECK(!same_bits(want, got));
    free_scores(want, ROWS);
    free_scores(got, ROWS);
    free(rows);
    unlink(path);
}

/* Threads whose tiles are still configured after a model has scored rows over emulated tiles. */
static size_t tiles_left(const char *arch, bool rests) {
    char path[64];
    capp_error err;
    capp_session *session;
    capp_example examples[ROWS];
    row *rows = make_rows(23, ROWS);
    tiny_model_file(arch, 8, path);
    capp_model *model = open_unit(path, "tiles_emulated", 2, 0);
    scores *s = calloc(ROWS, sizeof *s);
    CHECK(s && model->weights->products == &emulated_tiles);
    cut = emulated_tiles;
    if (!rests) cut.rest = NULL;
    model->weights->products = &cut;
    for (size_t i = 0; i < ROWS; i++) examples[i] = rows[i].example;
    emulated_tiles_reset();
    CHECK_OK(capp_session_open(&session, model, &err), err);
    CHECK_OK(capp_score(session, examples, ROWS, NULL, keep, s, &err), err);
    const tile_counts counts = emulated_tile_counts();
    CHECK(counts.dots > 0 && counts.configurations > 0);
    capp_session_free(session);
    capp_model_free(model);
    free_scores(s, ROWS);
    free(rows);
    unlink(path);
    return counts.open;
}

/* No task leaves tiles configured, which would cost time whenever the system switches threads. */
TEST(tasks_release_their_tiles) {
    static const char *const archs[] = {"llama", "gpt2", "gemma3", "qwen35", "rwkv7"};
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) CHECK(tiles_left(archs[i], true) == 0);
    CHECK(tiles_left("llama", false) > 0);
}
