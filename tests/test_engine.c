/* The engine against the oracle, and against itself: the same bits in every arrangement. */
#include <unistd.h>

#include "base/cpu.h"
#include "capp.h"
#include "engine/handles.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"
#include "units.h"

enum { ROWS = 40 };

static const uint64_t seeds[] = {11, 12};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SEEDS = 1 }; /* sanitizers are slow, and check other things */
#else
enum { SEEDS = 2 };
#endif

typedef struct arrangement {
    int threads;
    uint64_t memory;
    const char *isa; /* a name that open_unit knows */
    size_t step;     /* rows per call */
    size_t begin;    /* rows are taken cyclically from here, with this stride */
    size_t stride;
    bool warm; /* scored twice in one session, whose second results count */
} arrangement;

static capp_model *open_model(const char *path, const arrangement *a) {
    return open_unit(path, a->isa, a->threads, a->memory);
}

/* Memory as the session reports it: planned before it is used, within the budget. */
static void check_memory(const capp_session *session, uint64_t budget) {
    capp_stats stats;
    capp_session_get_stats(session, &stats);
    CHECK(stats.used_bytes && stats.used_bytes <= stats.planned_bytes);
    if (budget) CHECK(stats.planned_bytes <= budget);
}

/* Scores rows in the given arrangement into out; its element i belongs to rows[i]. */
static capp_status try_rows(const char *path, const row *rows, size_t n, const arrangement *a, scores *out,
                            capp_error *err) {
    capp_model *model = open_model(path, a);
    capp_session *session;
    capp_status st = CAPP_OK;
    capp_example *examples = malloc(n * sizeof *examples);
    scores *in_order = calloc(n, sizeof *in_order);
    size_t *source = malloc(n * sizeof *source);
    CHECK(examples && in_order && source);
    for (size_t i = 0; i < n; i++) {
        source[i] = (a->begin + i * a->stride) % n;
        examples[i] = rows[source[i]].example;
    }
    CHECK_OK(capp_session_open(&session, model, err), *err);
    for (int pass = a->warm ? 0 : 1; pass < 2; pass++)
        for (size_t i = 0; i < n && st == CAPP_OK; i += a->step) {
            size_t count = n - i < a->step ? n - i : a->step;
            scores *unused = calloc(count, sizeof *unused);
            CHECK(unused);
            st = capp_score(session, examples + i, count, NULL, keep, pass ? in_order + i : unused, err);
            free_scores(unused, count);
        }
    for (size_t i = 0; i < n; i++) out[source[i]] = in_order[i];
    if (st == CAPP_OK) check_memory(session, a->memory);
    capp_session_free(session);
    capp_model_free(model);
    free(examples), free(in_order), free(source);
    return st;
}

static scores *score_rows(const char *path, const row *rows, size_t n, const arrangement *a) {
    capp_error err;
    scores *out = calloc(n, sizeof *out);
    CHECK(out);
    CHECK_OK(try_rows(path, rows, n, a, out, &err), err);
    return out;
}

/* The least memory, to within 2 %, that is enough for each single row. */
static uint64_t least_memory(const char *path, const row *rows, size_t n, arrangement a) {
    uint64_t low = 0, high = (uint64_t)64 << 10; /* KiB */
    while (high - low > 1 + high / 50) {
        capp_error err;
        scores *out = calloc(n, sizeof *out);
        CHECK(out);
        a.memory = (low + high) / 2 << 10;
        capp_status st = try_rows(path, rows, n, &a, out, &err);
        free_scores(out, n);
        if (st == CAPP_OK)
            high = (low + high) / 2;
        else if (st == CAPP_EBUDGET)
            low = (low + high) / 2;
        else
            FAIL("%s", err.message);
    }
    return high << 10;
}

static bool same_bits(const scores *a, const scores *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (a[i].n != b[i].n || memcmp(a[i].logprobs, b[i].logprobs, a[i].n * sizeof(float)) ||
            memcmp(a[i].ids, b[i].ids, a[i].n * sizeof(int32_t)))
            return false;
    return true;
}

static void check_seed(const char *path, const char *isa, uint64_t seed) {
    const size_t n = ROWS;
    row *rows = make_rows(seed, n);
    const arrangement plain = {1, 0, isa, n, 0, 1, false};
    const uint64_t least = least_memory(path, rows, n, plain);
    const arrangement others[] = {
        {2, 0, isa, n, 0, 1, false},             /* threads */
        {3, 0, isa, n, 5, 7, false},             /* order */
        {1, 0, isa, 1, 0, 1, false},             /* one row per call: prefixes warm */
        {2, 0, isa, 7, 3, 13, true},             /* everything warm */
        {1, least, isa, n, 0, 1, false},         /* just enough memory */
        {1, least, isa, n, 0, 17, true},         /* and nothing stays warm */
        {1, least + least / 9, isa, n, 0, 1, 0}, /* a little more: other waves */
        {2, 2 * least, isa, 9, 2, 11, true},
        {3, 9 * least, isa, n, 1, 23, false},
    };
    scores *expected = score_rows(path, rows, n, &plain);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        scores *got = score_rows(path, rows, n, &others[i]);
        if (!same_bits(expected, got, n)) FAIL("seed %d: arrangement %zu gives other bits", (int)seed, i);
        free_scores(got, n);
    }
    for (size_t i = 0; i < n; i += 9) { /* alone, in a new session */
        const arrangement alone = {1, 0, isa, 1, 0, 1, false};
        scores *got = score_rows(path, rows + i, 1, &alone);
        if (!same_bits(expected + i, got, 1)) FAIL("seed %d: row %zu alone gives other bits", (int)seed, i);
        free_scores(got, 1);
    }
    free_scores(expected, n);
    free(rows);
}

static void check_arrangements(const char *arch, const char *isa, size_t n_seeds) {
    char path[64];
    tiny_model_file(arch, 7, path);
    for (size_t i = 0; i < n_seeds; i++) check_seed(path, isa, seeds[i]);
    unlink(path);
}

static void check_oracle(const char *arch, const char *isa) {
    char path[64];
    const size_t n = ROWS;
    capp_gguf *g;
    capp_error err;
    tiny_model_file(arch, 21, path);
    CHECK_OK(capp_gguf_open(&g, path, &err), err);
    for (size_t i = 0; i < SEEDS; i++) {
        row *rows = make_rows(seeds[i], n);
        const arrangement plain = {2, 0, isa, n, 0, 1, false};
        scores *got = score_rows(path, rows, n, &plain);
        double worst = worst_difference(g, got, n);
        if (!(worst <= 1e-4)) FAIL("%s on %s: off by %g from the oracle", arch, isa, worst);
        free_scores(got, n);
        free(rows);
    }
    capp_gguf_free(g);
    unlink(path);
}

/* The properties of a seed's rows, counted in tokens. */
enum {
    ONE_COMPLETION,
    ALL_COMPLETIONS,
    SINGLE_TOKEN,
    EQUAL_COMPLETIONS,
    ONE_BEGINS_ANOTHER,
    SHARED_PREFIX,
    CONTEXT_FULL,
    PROMPT_BELOW_WINDOW,
    PROMPT_FILLS_WINDOW,
    PROMPT_ABOVE_WINDOW,
    KINDS
};

static void count_completions(const scores *s, size_t *found) {
    found[ONE_COMPLETION] += s->n_completions == 1;
    found[ALL_COMPLETIONS] += s->n_completions == MOST_COMPLETIONS;
    for (size_t c = 0; c < s->n_completions; c++) {
        const size_t *o = s->offset + c, size = o[1] - o[0];
        found[SINGLE_TOKEN] += size == 1;
        found[CONTEXT_FULL] += s->n_prompt + size == TINY_CONTEXT;
        if (!c) continue;
        size_t before = o[0] - o[-1], common = size < before ? size : before;
        if (memcmp(s->ids + o[0], s->ids + o[-1], common * sizeof *s->ids)) continue;
        found[size == before ? EQUAL_COMPLETIONS : ONE_BEGINS_ANOTHER]++;
    }
}

/* The generator keeps its promises; otherwise the tests above would be weaker than they claim. */
TEST(random_rows_are_of_each_kind) {
    char path[64];
    tiny_model_file("gemma3", 7, path);
    for (size_t k = 0; k < SEEDS; k++) {
        size_t found[KINDS] = {0};
        row *rows = make_rows(seeds[k], ROWS);
        const arrangement plain = {2, 0, NULL, ROWS, 0, 1, false};
        scores *s = score_rows(path, rows, ROWS, &plain);
        for (size_t i = 0; i < ROWS; i++) {
            count_completions(&s[i], found);
            found[PROMPT_BELOW_WINDOW] += s[i].n_prompt == TINY_WINDOW - 1;
            found[PROMPT_FILLS_WINDOW] += s[i].n_prompt == TINY_WINDOW;
            found[PROMPT_ABOVE_WINDOW] += s[i].n_prompt == TINY_WINDOW + 1;
            for (size_t j = 0; j < i; j++)
                found[SHARED_PREFIX] += s[i].n_prompt > 6 && s[j].n_prompt > 6 &&
                                        !memcmp(s[i].prompt, s[j].prompt, 6 * sizeof *s[i].prompt);
        }
        for (size_t kind = 0; kind < KINDS; kind++)
            if (!found[kind]) FAIL("seed %d has no rows of kind %zu", (int)seeds[k], kind);
        free_scores(s, ROWS);
        free(rows);
    }
    unlink(path);
}

#define FOR_EACH(arch, isa)                                                                                            \
    TEST(oracle_##arch##_##isa) {                                                                                      \
        need_unit(#isa);                                                                                               \
        check_oracle(#arch, #isa);                                                                                     \
    }                                                                                                                  \
    TEST(same_bits_##arch##_##isa) {                                                                                   \
        need_unit(#isa);                                                                                               \
        check_arrangements(#arch, #isa, SEEDS);                                                                        \
    }

FOR_EACH(llama, ref)
FOR_EACH(llama, avx2)
FOR_EACH(llama, avx512)
FOR_EACH(llama, neon)
FOR_EACH(gemma3, ref)
FOR_EACH(gemma3, avx2)
FOR_EACH(gemma3, avx512)
FOR_EACH(gemma3, neon)
FOR_EACH(gpt2, ref)
FOR_EACH(gpt2, avx2)
FOR_EACH(gpt2, avx512)
FOR_EACH(gpt2, neon)

/* The oracle cannot check products of bfloat16 and of integers: test_products.c and test_integers.c check them,
 * test_golden.py the decisions. Here only the equality of bits is checked. With two lanes many rows of these models are
 * close and go through both. */
#define SAME_BITS(arch, unit)                                                                                          \
    TEST(same_bits_##arch##_##unit) {                                                                                  \
        need_unit(#unit);                                                                                              \
        check_arrangements(#arch, #unit, SEEDS);                                                                       \
    }

SAME_BITS(llama, avx512bf16_bf16)
SAME_BITS(llama, avx512bf16_auto)
SAME_BITS(llama, amx_bf16)
SAME_BITS(llama, amx_auto)
SAME_BITS(gemma3, avx512bf16_auto)
SAME_BITS(gemma3, amx_auto)
SAME_BITS(gpt2, avx512bf16_auto)
SAME_BITS(gpt2, amx_auto)
SAME_BITS(llama, neonbf16_bf16)
SAME_BITS(gpt2, neonbf16_auto)
SAME_BITS(llama_integers, neonbf16_bf16_i16)
SAME_BITS(llama_integers, avxvnni_i16)
SAME_BITS(llama_integers, avx512vnni_i16)
SAME_BITS(gemma3_integers, avx512vnni_i16)
SAME_BITS(gpt2_integers, avx2_i16)
SAME_BITS(llama_integers, avx512vnni_i8)
SAME_BITS(llama_integers, avx2_mixed_i16)
SAME_BITS(gpt2_integers, avxvnni_mixed)
SAME_BITS(gemma3_integers, avx512vnni_mixed_i16)
SAME_BITS(llama_integers, avx2_f32_i16)
SAME_BITS(llama_integers, avx512bf16_bf16_i16)

/* Every instruction set gives the same bits on integers, in each arrangement of the first. */
static void check_units(const char *arch, const char *const *units, size_t n_units) {
    char path[64];
    tiny_model_file(arch, 9, path);
    row *rows = make_rows(13, ROWS);
    scores *expected = NULL;
    for (size_t i = 0; i < n_units; i++) {
        if (!has_unit(units[i])) continue;
        const arrangement plain = {2, 0, units[i], ROWS, i, 7, false};
        scores *got = score_rows(path, rows, ROWS, &plain);
        if (expected && !same_bits(expected, got, ROWS)) FAIL("%s: %s gives other bits", arch, units[i]);
        if (expected) free_scores(got, ROWS);
        if (!expected) expected = got;
    }
    CHECK(expected);
    free_scores(expected, ROWS);
    free(rows);
    unlink(path);
}

TEST(integers_give_the_same_bits_on_every_instruction_set) {
    static const char *const i16[] = {"ref_i16", "avx2_i16", "avxvnni_i16", "avx512vnni_i16"};
    static const char *const mixed[] = {"ref_mixed", "avx2_mixed", "avxvnni_mixed", "avx512vnni_mixed"};
    static const char *const i8[] = {"avx2_i8", "avxvnni_i8", "avx512vnni_i8"};
    check_units("llama_integers", i16, sizeof i16 / sizeof *i16);
    check_units("gemma3_integers", i16 + 1, sizeof i16 / sizeof *i16 - 1);
    check_units("llama_integers", mixed, sizeof mixed / sizeof *mixed);
    check_units("llama_integers", i8, sizeof i8 / sizeof *i8);
}

/* tests/test_tiny_models.py checks the numbers of models with recurrent states. */
SAME_BITS(lfm2, ref)
SAME_BITS(lfm2, avx2)
SAME_BITS(lfm2, avx512)
SAME_BITS(lfm2, avx512bf16_auto)
SAME_BITS(qwen35, ref)
SAME_BITS(qwen35, avx2)
SAME_BITS(qwen35, avx512)
SAME_BITS(qwen35, avx512bf16_auto)
SAME_BITS(nemotron_h, ref)
SAME_BITS(nemotron_h, avx512bf16_auto)
SAME_BITS(mamba2, avx2)
SAME_BITS(mamba2, avx512bf16_auto)
TEST(same_bits_mamba_avx2) {
    need_unit("avx2");
    check_arrangements("mamba", "avx2", 1);
}
TEST(same_bits_plamo2_avx2) {
    need_unit("avx2");
    check_arrangements("plamo2", "avx2", 1);
}
TEST(same_bits_falcon_h1_avx2) {
    need_unit("avx2");
    check_arrangements("falcon-h1", "avx2", 1);
}
TEST(same_bits_rwkv7_avx2) {
    need_unit("avx2");
    check_arrangements("rwkv7", "avx2", 1);
}
TEST(same_bits_rwkv7_avx512bf16_auto) {
    need_unit("avx512bf16_auto");
    check_arrangements("rwkv7", "avx512bf16_auto", 1);
}

TEST(slow_same_bits_vdpbf16ps_emulated) {
    check_arrangements("llama", "vdpbf16ps_emulated", 1);
}
TEST(slow_same_bits_tiles_emulated) {
    check_arrangements("llama", "tiles_emulated", 1);
}

static void score_one(const capp_example *e, uint64_t memory, capp_status expected, const char *message) {
    char path[64];
    capp_session *session;
    capp_error err;
    tiny_model_file("llama", 3, path);
    const arrangement a = {1, memory, NULL, 1, 0, 1, false};
    capp_model *model = open_model(path, &a);
    scores *s = calloc(1, sizeof *s);
    CHECK(s);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    CHECK_INT(capp_score(session, e, 1, NULL, keep, s, &err), expected);
    CHECK_CONTAINS(err.message, message);
    free_scores(s, 1);
    capp_session_free(session);
    capp_model_free(model);
    unlink(path);
}

TEST(budget_too_small_says_how_much) {
    row *rows = make_rows(5, 1);
    score_one(&rows->example, 100 * 1024, CAPP_EBUDGET, "MiB, but the memory budget is 0 MiB (");
    score_one(&rows->example, 1, CAPP_EBUDGET, "MiB, but the memory budget is 0 MiB (");
    free(rows);
}

/* The memory that the message names is enough, and a MiB less is not. */
TEST(the_budget_that_is_asked_for_is_enough) {
    enum { MANY = 30000 };
    char path[64], (*text)[8] = malloc(MANY * sizeof *text);
    capp_str *many = malloc(MANY * sizeof *many);
    CHECK(text && many);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "%zu", i);
        many[i] = capp_str_of(text[i]);
    }
    row r = {.example = {capp_str_of("code"), many, 0, NULL, NULL, true}};
    tiny_model_file("llama", 3, path);
    for (size_t n = 100; n <= MANY; n *= n < 10000 ? 10 : 3) {
        capp_error err;
        scores s = {0};
        arrangement a = {1, 1, NULL, 1, 0, 1, false};
        r.example.n_completions = n;
        CHECK_INT(try_rows(path, &r, 1, &a, &s, &err), CAPP_EBUDGET);
        const char *need = strstr(err.message, " need ");
        CHECK(need);
        a.memory = (uint64_t)strtoul(need + 6, NULL, 10) << 20;
        if (a.memory > 1 << 20) {
            a.memory -= 1 << 20;
            CHECK_INT(try_rows(path, &r, 1, &a, &s, &err), CAPP_EBUDGET);
            a.memory += 1 << 20;
        }
        scores *got = score_rows(path, &r, 1, &a);
        free_scores(got, 1);
    }
    free(text), free(many);
    unlink(path);
}

/* A session that has processed thousands of rows, a few at a time, holds no more memory than one that has processed
 * few. */
TEST(memory_does_not_grow_with_the_number_of_rows) {
    enum { CALLS = 3000, AT = 300 };
    char path[64], text[40];
    uint64_t used = 0;
    capp_session *session;
    capp_error err;
    capp_stats stats;
    test_random r = {8};
    tiny_model_file("llama", 3, path);
    const arrangement a = {1, 4 << 20, NULL, 1, 0, 1, false};
    capp_model *model = open_model(path, &a);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    capp_str pair[] = {capp_str_of("a bed"), capp_str_of("a bee")};
    for (size_t i = 0; i < CALLS; i++) {
        snprintf(text, sizeof text, "%d text %d", (int)test_random_below(&r, 100000), (int)i);
        double probability[2];
        capp_example e = {capp_str_of(text), pair, 2, NULL, NULL, true};
        CHECK_OK(capp_predict_proba(session, &e, 1, NULL, probability, &err), err);
        capp_session_get_stats(session, &stats);
        if (i == AT) used = stats.used_bytes;
    }
    check_memory(session, a.memory);
    CHECK_INT(stats.used_bytes, used);
    capp_session_free(session);
    capp_model_free(model);
    unlink(path);
}

TEST(prompt_too_long_names_both_numbers) {
    char long_text[400];
    memset(long_text, 'q', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    capp_str completions[] = {capp_str_of("a"), capp_str_of("b")};
    capp_example e = {capp_str_of(long_text), completions, 2, NULL, NULL, true};
    score_one(&e, 0, CAPP_ETOOLONG, "the context is 96");
}

TEST(bad_examples_are_named) {
    capp_str pair[] = {capp_str_of("a"), capp_str_of("b")}, hollow[] = {capp_str_of("a"), {NULL, 0}};
    double heavy[] = {0.7, 0.7}, negative[] = {-0.5, 1.5};
    capp_str prompt = capp_str_of("p");
    score_one(&(capp_example){{NULL, 0}, pair, 2, NULL, NULL, true}, 0, CAPP_EINVAL, "prompt is empty");
    score_one(&(capp_example){prompt, hollow, 2, NULL, NULL, true}, 0, CAPP_EINVAL, "completion 1 is empty");
    score_one(&(capp_example){prompt, pair, 0, NULL, NULL, true}, 0, CAPP_EINVAL, "no completions");
    score_one(&(capp_example){prompt, pair, 1, NULL, NULL, true}, 0, CAPP_EINVAL,
              "normalize needs at least two completions");
    score_one(&(capp_example){prompt, pair, 2, heavy, NULL, true}, 0, CAPP_EINVAL, "sums to 1.4");
    score_one(&(capp_example){prompt, pair, 2, negative, NULL, true}, 0, CAPP_EINVAL, "prior of completion 0");
    score_one(&(capp_example){prompt, pair, 2, NULL, "-", true}, 0, CAPP_EINVAL, "end_of_prompt");
    score_one(&(capp_example){{"\xff", 1}, pair, 2, NULL, NULL, true}, 0, CAPP_EINVAL, "UTF-8");
}

/* Rows before a bad one are handed over; the error names it. */
TEST(a_bad_row_loses_nothing) {
    char path[64];
    capp_session *session;
    capp_error err;
    row *rows = make_rows(9, 3);
    tiny_model_file("llama", 3, path);
    const arrangement a = {1, 0, NULL, 1, 0, 1, false};
    capp_model *model = open_model(path, &a);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    capp_example examples[3] = {rows[0].example, rows[1].example, rows[2].example};
    examples[2].prompt.size = 0;
    scores *s = calloc(3, sizeof *s);
    CHECK(s);
    CHECK_INT(capp_score(session, examples, 3, NULL, keep, s, &err), CAPP_EINVAL);
    CHECK_INT(err.row, 2);
    CHECK(s[0].n && s[1].n && !s[2].n);
    free_scores(s, 3);
    capp_session_free(session);
    capp_model_free(model);
    unlink(path);
    free(rows);
}

static bool count_down(void *user, const capp_result *result) {
    (void)result;
    return --*(int *)user > 0;
}

TEST(a_callback_cancels_and_the_session_goes_on) {
    char path[64];
    capp_session *session;
    capp_error err;
    row *rows = make_rows(10, 4);
    tiny_model_file("gpt2", 3, path);
    const arrangement a = {2, 0, NULL, 1, 0, 1, false};
    capp_model *model = open_model(path, &a);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    capp_example examples[4];
    for (int i = 0; i < 4; i++) examples[i] = rows[i].example;
    int left = 2;
    CHECK_INT(capp_score(session, examples, 4, NULL, count_down, &left, &err), CAPP_ECANCELLED);
    left = 100;
    CHECK_OK(capp_score(session, examples, 4, NULL, count_down, &left, &err), err);
    CHECK_INT(left, 96);
    capp_session_free(session);
    capp_model_free(model);
    unlink(path);
    free(rows);
}

/* Counts nodes with children in the trie of all paths independently, as sorted distinct prefixes. */
static int by_ids(const void *a, const void *b) {
    const int32_t *x = *(int32_t *const *)a, *y = *(int32_t *const *)b;
    for (int32_t i = 0;; i++) {
        if (i == x[0] || i == y[0]) return (x[0] > y[0]) - (x[0] < y[0]);
        if (x[i + 1] != y[i + 1]) return x[i + 1] < y[i + 1] ? -1 : 1;
    }
}

/* All tokens of a path except its last are run once each: counts the distinct proper prefixes of all paths. */
static size_t count_prefixes(const scores *s, size_t n) {
    size_t n_paths = 0, total = 0;
    for (size_t i = 0; i < n; i++) n_paths += s[i].n_completions;
    int32_t **paths = malloc(n_paths * sizeof *paths);
    CHECK(paths);
    n_paths = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < s[i].n_completions; c++) {
            size_t count = s[i].offset[c + 1] - s[i].offset[c], length = s[i].n_prompt + count - 1;
            int32_t *p = paths[n_paths++] = malloc((length + 2) * sizeof *p);
            CHECK(p);
            p[0] = (int32_t)length;
            memcpy(p + 1, s[i].prompt, s[i].n_prompt * sizeof *p);
            memcpy(p + 1 + s[i].n_prompt, s[i].ids + s[i].offset[c], (count - 1) * sizeof *p);
        }
    qsort(paths, n_paths, sizeof *paths, by_ids);
    for (size_t i = 0; i < n_paths; i++) {
        int32_t common = 0;
        while (i && common < paths[i][0] && common < paths[i - 1][0] &&
               paths[i][common + 1] == paths[i - 1][common + 1])
            common++;
        total += (size_t)(paths[i][0] - common);
    }
    for (size_t i = 0; i < n_paths; i++) free(paths[i]);
    free(paths);
    return total;
}

TEST(tokens_computed_are_the_trees) {
    char path[64];
    capp_session *session;
    capp_error err;
    capp_stats stats;
    const size_t n = ROWS;
    row *rows = make_rows(31, n);
    tiny_model_file("gemma3", 3, path);
    const arrangement a = {2, 0, NULL, 1, 0, 1, false};
    capp_model *model = open_model(path, &a);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    capp_example *examples = malloc(n * sizeof *examples);
    scores *s = calloc(n, sizeof *s);
    CHECK(examples && s);
    for (size_t i = 0; i < n; i++) examples[i] = rows[i].example;
    CHECK_OK(capp_score(session, examples, n, NULL, keep, s, &err), err);
    capp_session_get_stats(session, &stats);
    CHECK_INT(stats.tokens_computed, count_prefixes(s, n));
    CHECK_INT(stats.rows, n);
    free_scores(s, n);
    free(examples), free(rows);
    capp_session_free(session);
    capp_model_free(model);
    unlink(path);
}
