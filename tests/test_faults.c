/* Every allocation of a whole run fails in turn: each failure is CAPP_ENOMEM with a message, and nothing leaks. (After
 * Lua's testes/memerr.lua.) */
#define _GNU_SOURCE
#include <dirent.h>
#include <unistd.h>

#include "capp_queue.h"
#include "counted.h"
#include "test.h"
#include "tiny.h"
#include "token/vocab.h"

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
    if ((st = capp_predict_early(session, examples, 2, NULL, take_decision, NULL, err)) != CAPP_OK) return st;
    if ((st = capp_token_logprobs(session, texts, 2, CAPP_TOKENIZE_BOS, NULL, take_text, NULL, err)) != CAPP_OK)
        return st;
    return capp_generate(session, texts, 2, &options, take_generation, NULL, err);
}

typedef struct ended {
    capp_status status;
    capp_error *err;
} ended;

static void take_end(void *user, capp_status status, const capp_error *err) {
    ended *e = user;
    if (status == CAPP_OK) return;
    e->status = status;
    if (e->err) *e->err = *err;
}

static bool take_token(void *user, const capp_token *token) {
    (void)user, (void)token;
    return true;
}

static capp_status add_jobs(capp_queue *queue, const capp_example *example, ended *e, capp_error *err) {
    const int32_t ids[] = {3, 4, 5};
    capp_continuation c;
    capp_job *job;
    capp_continuation_init(&c);
    c.ids = ids;
    c.n_ids = 3;
    c.score = c.ignore_eos = true;
    c.top = c.max_tokens = 2;
    c.temperature = 1;
    capp_status st = capp_queue_score(queue, example, 1, NULL, take_result, take_end, e, &job, err);
    return st == CAPP_OK ? capp_queue_continue(queue, &c, take_token, take_end, e, &job, err) : st;
}

static capp_status use_queue(capp_session *session, capp_error *err) {
    capp_str completions[] = {capp_str_of("aeon"), capp_str_of("be")};
    const capp_example example = {capp_str_of("the code"), completions, 2, NULL, NULL, true};
    ended e = {CAPP_OK, err};
    capp_queue *queue;
    capp_status st;
    if ((st = capp_queue_open(&queue, session, NULL, err)) != CAPP_OK) return st;
    st = add_jobs(queue, &example, &e, err);
    while (st == CAPP_OK && capp_queue_step(queue)) continue;
    if (st != CAPP_OK) e.err = NULL; /* the jobs that were added end as cancelled */
    capp_queue_free(queue);
    return st != CAPP_OK ? st : e.status;
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
    if (st == CAPP_OK) st = use_queue(session, err);
    capp_session_free(session);
    return st;
}

static capp_status open_and(capp_status (*use)(const capp_model *model, capp_error *err), const char *path,
                            capp_error *err) {
    capp_model_options options;
    capp_model *model;
    capp_status st;
    capp_model_options_init(&options);
    options.threads = 1;
    options.memory = 8 << 20;
    if ((st = capp_describe(path, take_fact, NULL, err)) != CAPP_OK) return st;
    if ((st = capp_model_open(&model, path, &options, err)) != CAPP_OK) return st;
    st = use ? use(model, err) : CAPP_OK;
    capp_model_free(model);
    return st;
}

static capp_status whole_run(const char *path, capp_error *err) {
    return open_and(use_model, path, err);
}

static capp_status open_only(const char *path, capp_error *err) {
    return open_and(NULL, path, err);
}

/* least: fewer failures than these would mean that the run did little. */
static void check_every_failure(capp_status (*run)(const char *path, capp_error *err), const char *path, size_t least) {
    capp_error err;
    counted_install();
    CHECK_OK(run(path, &err), err);
    CHECK_INT(counted.live, 0);
    size_t failures = 0;
    for (size_t n = 1;; n++) {
        counted_fail_after(n - 1);
        err.message[0] = 0;
        capp_status st = run(path, &err);
        if (counted.live) FAIL("%s: allocation %zu failing leaks %zu bytes", path, n, counted.live);
        if (!counted.failed) break;  /* fewer than n allocations: all have failed once */
        if (st == CAPP_OK) continue; /* an optional allocation: capp_describe states the fact */
        failures++;
        if (st != CAPP_ENOMEM)
            FAIL("%s: allocation %zu failing gives %s: %s", path, n, capp_status_name(st), err.message);
        CHECK_CONTAINS(err.message, "memory");
    }
    counted_fail_after(COUNTED_NEVER);
    if (failures < least) FAIL("%s: only %zu allocations", path, failures);
}

static void check_tiny_model(const char *arch) {
    char path[64];
    tiny_model_file(arch, 1, path);
    check_every_failure(whole_run, path, 50);
    unlink(path);
}

TEST(allocations_fail_in_turn_llama) {
    check_tiny_model("llama");
}
TEST(allocations_fail_in_turn_gemma3) {
    check_tiny_model("gemma3");
}
TEST(allocations_fail_in_turn_gpt2) {
    check_tiny_model("gpt2");
}

/* ---- Folders and tokenizer.json ---------------------------------------------------------------------------------- */

static void link_file(const char *from, const char *folder, const char *name) {
    char path[512], *whole = realpath(from, NULL);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!whole || symlink(whole, path)) FAIL("cannot link %s to %s", path, from);
    free(whole);
}

/* Calls fn with each name in the folder. */
static void each_file(const char *folder, void (*fn)(const char *folder, const char *name, const char *user),
                      const char *user) {
    DIR *dir = opendir(folder);
    if (!dir) FAIL("cannot read %s; tests run at the top of the checkout", folder);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') fn(folder, entry->d_name, user);
    closedir(dir);
}

static void link_one(const char *folder, const char *name, const char *to) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    link_file(path, to, name);
}

static void write_text(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) FAIL("cannot write %s", path);
}

static void remove_one(const char *folder, const char *name, const char *user) {
    char path[512];
    (void)user;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

/* A model of tests/fixtures/tiny with a tokenizer of few enough tokens. The test only opens it; its use after that is
 * the same as above. */
static void check_folder(const char *family) {
    char from[128], path[] = "/tmp/capp-folder-XXXXXX";
    snprintf(from, sizeof from, "tests/fixtures/tiny/%s", family);
    if (!mkdtemp(path)) FAIL("cannot make %s", path);
    each_file(from, link_one, path);
    link_file("tests/fixtures/tokenizers/suffix.json", path, "tokenizer.json");
    write_text(path, "tokenizer_config.json", "{\"bos_token\": \"\\u0061\", \"eos_token\": {\"content\": \"b\"}}");
    check_every_failure(open_only, path, 60);
    each_file(path, remove_one, NULL);
    rmdir(path);
}

TEST(allocations_fail_in_turn_folder) {
    check_folder("llama");
}
TEST(allocations_fail_in_turn_folder_sharded) {
    check_folder("qwen3");
}
TEST(allocations_fail_in_turn_folder_transposed) {
    check_folder("gpt2");
}
TEST(allocations_fail_in_turn_folder_grouped) {
    check_folder("falcon-40b");
}
TEST(allocations_fail_in_turn_folder_of_experts) {
    check_folder("gptoss-mxfp4");
}

static capp_status tokenize(const char *path, capp_error *err) {
    static const char text[] = "ab  abé a▁<|end|><s>\n123 😀 don't aaaaaaaaaaaaaaaaaaaaaaab";
    capp_vocab *vocab;
    capp_ids ids = {0};
    capp_status st = capp_vocab_open_folder(&vocab, path, err);
    if (st != CAPP_OK) return st;
    st = capp_vocab_encode(vocab, capp_str_of(text), CAPP_TOKENIZE_BOS, &ids, err);
    if (st == CAPP_OK) st = capp_vocab_encode(vocab, capp_str_of(text), CAPP_TOKENIZE_SPECIAL, &ids, err);
    capp_ids_free(&ids);
    capp_vocab_free(vocab);
    return st;
}

static void check_tokenizer(const char *folder, const char *name, const char *user) {
    char path[512];
    (void)user;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    check_every_failure(tokenize, path, 15);
}

TEST(allocations_fail_in_turn_tokenizers) {
    each_file("tests/fixtures/tokenizers", check_tokenizer, NULL);
}

TEST(allocators_come_whole) {
    CHECK_INT(capp_set_allocator(malloc, NULL, free), CAPP_EINVAL);
    CHECK_INT(capp_set_allocator(NULL, NULL, NULL), CAPP_OK);
}
