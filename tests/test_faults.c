/* Every allocation of a whole run made to fail in turn: each failure is CAPP_ENOMEM with a message, and nothing leaks.
 * (After Lua's testes/memerr.lua.) */
#include <unistd.h>

#include "capp.h"
#include "counted.h"
#include "test.h"
#include "tiny.h"

static bool take_result(void *user, const capp_result *result) {
    (void)user;
    return result->n_completions > 0;
}

static bool take_decision(void *user, const capp_decision *decision) {
    (void)user;
    return decision->prediction < 3;
}

static bool take_text(void *user, const capp_text_result *result) {
    (void)user;
    return result->n > 0;
}

static bool take_generation(void *user, const capp_generation *result) {
    (void)user;
    return result->n > 0;
}

static bool take_fact(void *user, const char *section, const char *key, const char *value) {
    (void)user;
    return section && key && value;
}

/* Prefixes, classes, and marginals of both kinds. */
static capp_status use_scoring(capp_session *session, const capp_model *model, capp_error *err) {
    capp_str completions[] = {capp_str_of("aeon"), capp_str_of("be"), capp_str_of("be a doe")};
    size_t class_of[] = {0, 1, 1};
    capp_example examples[] = {{capp_str_of("the code"), completions, 3, NULL, NULL, true},
                               {capp_str_of("the ode of"), completions, 3, NULL, "", true}};
    capp_prefix *outer, *inner = NULL;
    capp_run_options options;
    capp_scoring scoring;
    capp_run_options_init(&options);
    capp_scoring_init(&scoring);
    capp_status st = capp_prefix_open(&outer, model, NULL, capp_str_of("bade"), 0, err);
    if (st == CAPP_OK) st = capp_prefix_open(&inner, model, outer, capp_str_of("me do"), 0, err);
    options.prefixes = (const capp_prefix *const[]){outer, inner};
    options.n_prefixes = 2;
    options.scoring = &scoring;
    scoring.discount = 1;
    if (st == CAPP_OK) st = capp_score(session, examples, 2, &options, take_result, NULL, err);
    scoring.domain = capp_str_of("aeon");
    scoring.class_of = class_of;
    scoring.n_phrasings = 3;
    scoring.n_classes = 2;
    if (st == CAPP_OK) st = capp_score(session, examples, 2, &options, take_result, NULL, err);
    capp_prefix_free(inner);
    capp_prefix_free(outer);
    return st;
}

static capp_status use_session(capp_session *session, capp_error *err) {
    capp_status st;
    capp_str completions[] = {capp_str_of("aeon"), capp_str_of("be"), capp_str_of("be a doe")};
    capp_example examples[] = {{capp_str_of("the code"), completions, 3, NULL, NULL, true},
                               {capp_str_of("the ode of"), completions, 3, NULL, "", true}};
    capp_str texts[] = {capp_str_of("bade me"), capp_str_of("a")};
    capp_generate_options options;
    capp_generate_options_init(&options);
    options.stop = completions;
    options.n_stop = 1;
    options.ignore_eos = true;
    options.max_tokens = 3;
    if ((st = capp_score(session, examples, 2, NULL, take_result, NULL, err)) != CAPP_OK) return st;
    if ((st = capp_decide(session, examples, 2, NULL, take_decision, NULL, err)) != CAPP_OK) return st;
    if ((st = capp_token_logprobs(session, texts, 2, CAPP_TOKENIZE_BOS, NULL, take_text, NULL, err)) != CAPP_OK)
        return st;
    return capp_generate(session, texts, 2, &options, take_generation, NULL, err);
}

static capp_status use_model(const capp_model *model, capp_error *err) {
    int32_t *ids;
    char *text;
    size_t n, size;
    capp_session *session;
    capp_status st;
    if ((st = capp_tokenize(model, capp_str_of("a <s> code"), CAPP_TOKENIZE_SPECIAL, &ids, &n, err)) != CAPP_OK)
        return st;
    st = capp_detokenize(model, ids, n, &text, &size, err);
    capp_free(ids);
    if (st != CAPP_OK) return st;
    capp_free(text);
    if ((st = capp_session_open(&session, model, err)) != CAPP_OK) return st;
    st = use_session(session, err);
    if (st == CAPP_OK) st = use_scoring(session, model, err);
    capp_session_free(session);
    return st;
}

static capp_status whole_run(const char *path, capp_error *err) {
    capp_model_options options;
    capp_model *model;
    capp_status st;
    capp_model_options_init(&options);
    options.threads = 1;
    options.memory = 8 << 20;
    if ((st = capp_describe(path, take_fact, NULL, err)) != CAPP_OK) return st;
    if ((st = capp_model_open(&model, path, &options, err)) != CAPP_OK) return st;
    st = use_model(model, err);
    capp_model_free(model);
    return st;
}

static void check_every_failure(const char *arch) {
    char path[64];
    capp_error err;
    tiny_model_file(arch, 1, path);
    counted_install();
    CHECK_OK(whole_run(path, &err), err);
    CHECK_INT(counted.live, 0);
    size_t failures = 0;
    for (size_t n = 1;; n++) {
        counted_fail_after(n - 1);
        err.message[0] = 0;
        capp_status st = whole_run(path, &err);
        if (counted.live) FAIL("allocation %zu failing leaks %zu bytes", n, counted.live);
        if (!counted.failed) break;  /* fewer than n allocations: all have had their turn */
        if (st == CAPP_OK) continue; /* one that can be done without: capp_describe says so as a fact */
        failures++;
        if (st != CAPP_ENOMEM) FAIL("allocation %zu failing gives %s: %s", n, capp_status_name(st), err.message);
        CHECK_CONTAINS(err.message, "memory");
    }
    CHECK(failures > 50);
    unlink(path);
}

TEST(allocations_fail_in_turn_llama) {
    check_every_failure("llama");
}
TEST(allocations_fail_in_turn_gemma3) {
    check_every_failure("gemma3");
}
TEST(allocations_fail_in_turn_gpt2) {
    check_every_failure("gpt2");
}

TEST(allocators_come_whole) {
    CHECK_INT(capp_set_allocator(malloc, NULL, free), CAPP_EINVAL);
    CHECK_INT(capp_set_allocator(NULL, NULL, NULL), CAPP_OK);
}
