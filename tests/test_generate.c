/* Greedy generation against the oracle, and the same tokens in every arrangement. */
#include <unistd.h>

#include "capp.h"
#include "oracle.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"

static const capp_model_options f32 = {.precision = CAPP_PRECISION_F32}; /* like the oracle */

enum { PROMPTS = 24, TOKENS = 10, MOST_TOKENS = TINY_CONTEXT };

typedef struct text {
    size_t n;
    int32_t ids[MOST_TOKENS];
    float logprobs[MOST_TOKENS];
} text;

static bool keep_text(void *user, const capp_generation *result) {
    text *t = (text *)user + result->row;
    CHECK(result->n <= MOST_TOKENS);
    t->n = result->n;
    memcpy(t->ids, result->ids, result->n * sizeof *t->ids);
    memcpy(t->logprobs, result->logprobs, result->n * sizeof *t->logprobs);
    return true;
}

/* Prompts with common beginnings that leave room for TOKENS; out[i] belongs to prompt i. step: prompts per call. */
static capp_status generate(const char *path, int threads, uint64_t memory, size_t step, text *out, capp_error *err) {
    capp_model_options how;
    capp_generate_options options;
    capp_model *model;
    capp_session *session;
    capp_stats stats;
    capp_str prompts[PROMPTS];
    capp_status st = CAPP_OK;
    row *rows = make_rows(4, PROMPTS);
    for (size_t i = 0; i < PROMPTS; i++) {
        prompts[i] = rows[i].example.prompt;
        if (prompts[i].size > TINY_CONTEXT - TOKENS) prompts[i].size = TINY_CONTEXT - TOKENS;
    }
    capp_model_options_init(&how);
    how.precision = CAPP_PRECISION_F32;
    how.threads = threads;
    how.memory = memory;
    capp_generate_options_init(&options);
    options.max_tokens = TOKENS;
    options.ignore_eos = true;
    CHECK_OK(capp_model_open(&model, path, &how, err), *err);
    CHECK_OK(capp_session_open(&session, model, err), *err);
    for (size_t i = 0; i < PROMPTS && st == CAPP_OK; i += step)
        st = capp_generate(session, prompts + i, step, &options, keep_text, out + i, err);
    capp_session_get_stats(session, &stats);
    CHECK(stats.used_bytes <= stats.planned_bytes && (!memory || stats.planned_bytes <= memory));
    capp_session_free(session);
    capp_model_free(model);
    free(rows);
    return st;
}

static void check_arrangements(const char *arch) {
    static text expected[PROMPTS], got[PROMPTS];
    char path[64];
    capp_error err;
    uint64_t low = 0, least = 16 << 10; /* KiB in which each prompt fits alone */
    tiny_model_file(arch, 5, path);
    CHECK_OK(generate(path, 1, 0, PROMPTS, expected, &err), err);
    while (least - low > 1 + least / 50) {
        uint64_t middle = (low + least) / 2;
        if (generate(path, 1, middle << 10, 1, got, &err) == CAPP_OK)
            least = middle;
        else
            low = middle;
    }
    least <<= 10;
    const struct {
        int threads;
        uint64_t memory;
        size_t step;
    } others[] = {{2, 0, PROMPTS}, {3, 0, 1}, {1, least, PROMPTS}, {1, least, 4}, {1, least + least / 5, PROMPTS}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        memset(got, 0, sizeof got);
        CHECK_OK(generate(path, others[i].threads, others[i].memory, others[i].step, got, &err), err);
        for (size_t j = 0; j < PROMPTS; j++)
            if (got[j].n != TOKENS || memcmp(got[j].ids, expected[j].ids, sizeof got[j].ids) ||
                memcmp(got[j].logprobs, expected[j].logprobs, sizeof got[j].logprobs))
                FAIL("%s: arrangement %zu generates something else from prompt %zu", arch, i, j);
    }
    unlink(path);
}

TEST(same_tokens_llama) {
    check_arrangements("llama");
}
TEST(same_tokens_gemma3) {
    check_arrangements("gemma3");
}
TEST(same_tokens_gpt2) {
    check_arrangements("gpt2");
}
TEST(same_tokens_lfm2) {
    check_arrangements("lfm2");
}
TEST(same_tokens_qwen35) {
    check_arrangements("qwen35");
}
TEST(same_tokens_rwkv7) {
    check_arrangements("rwkv7");
}

/* Each token is the most probable one, and its log-probability is the oracle's. */
static void check_greedy(const char *arch) {
    enum { STEPS = 3 };
    char path[64];
    capp_error err;
    capp_gguf *g;
    capp_model *model;
    capp_session *session;
    capp_generate_options options;
    capp_str prompt = capp_str_of("the code of a bee");
    int32_t *ids, path_ids[64];
    size_t n;
    text t = {0};
    double logprobs[64];
    tiny_model_file(arch, 6, path);
    CHECK_OK(capp_gguf_open(&g, path, &err), err);
    CHECK_OK(capp_model_open(&model, path, &f32, &err), err);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    capp_generate_options_init(&options);
    options.max_tokens = STEPS;
    options.ignore_eos = true;
    CHECK_OK(capp_generate(session, &prompt, 1, &options, keep_text, &t, &err), err);
    CHECK_INT(t.n, STEPS);
    CHECK_OK(capp_tokenize(model, prompt, CAPP_TOKENIZE_BOS, &ids, &n, &err), err);
    memcpy(path_ids, ids, n * sizeof *ids);
    for (size_t step = 0; step < STEPS; step++, n++) {
        path_ids[n] = t.ids[step];
        oracle_logprobs(g, path_ids, n + 1, logprobs);
        double best = logprobs[n];
        CHECK_NEAR(t.logprobs[step], best, 1e-4);
        for (path_ids[n] = 0; path_ids[n] < TINY_VOCABULARY; path_ids[n]++) {
            oracle_logprobs(g, path_ids, n + 1, logprobs);
            if (logprobs[n] > best + 1e-4) FAIL("step %zu: token %d is more probable", step, path_ids[n]);
        }
        path_ids[n] = t.ids[step];
    }
    capp_free(ids);
    capp_session_free(session);
    capp_model_free(model);
    capp_gguf_free(g);
    unlink(path);
}

TEST(greedy_llama) {
    check_greedy("llama");
}
TEST(greedy_gemma3) {
    check_greedy("gemma3");
}
TEST(greedy_gpt2) {
    check_greedy("gpt2");
}

typedef struct watch {
    size_t calls, inside, done, results;
} watch;

static bool watch_progress(void *user, size_t done, size_t total) {
    watch *w = user;
    CHECK(done >= w->done && done <= total && total == PROMPTS);
    w->done = done;
    w->calls++;
    w->inside += done && done < total && !w->results;
    return true;
}

static bool watch_result(void *user, const capp_generation *result) {
    ((watch *)user)->results += result->n > 0;
    return true;
}

/* Prompts generate together, some up to an early stop: progress reports those while the others continue. */
TEST(progress_within_a_group) {
    char path[64];
    capp_error err;
    capp_model *model;
    capp_session *session;
    capp_generate_options options;
    capp_str prompts[PROMPTS], stop[] = {capp_str_of("e"), capp_str_of("o"), capp_str_of("\xc3"), capp_str_of("a")};
    watch w = {0};
    row *rows = make_rows(4, PROMPTS);
    for (size_t i = 0; i < PROMPTS; i++) {
        prompts[i] = rows[i].example.prompt;
        if (prompts[i].size > 20) prompts[i].size = 20;
    }
    tiny_model_file("llama", 6, path);
    CHECK_OK(capp_model_open(&model, path, &f32, &err), err);
    CHECK_OK(capp_session_open(&session, model, &err), err);
    capp_generate_options_init(&options);
    options.max_tokens = 40;
    options.stop = stop;
    options.n_stop = sizeof stop / sizeof *stop;
    options.progress = watch_progress;
    options.progress_user = &w;
    CHECK_OK(capp_generate(session, prompts, PROMPTS, &options, watch_result, &w, &err), err);
    CHECK_INT(w.done, PROMPTS);
    CHECK(w.inside > 1);
    capp_session_free(session);
    capp_model_free(model);
    free(rows);
    unlink(path);
}
