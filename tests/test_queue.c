/* Queues: jobs of many kinds at the same time give the bits of capp_score, capp_token_logprobs and capp_generate, in
 * steps of any size. */
#include "queues.h"
#include "test.h"
#include "units.h"

enum { ROWS = 24, TEXTS = 6 };

/* Between steps every resident is idle: one that stays busy would never give its slot back. */
static void check_residents(const fixture *f) {
    const capp_tree *tree = capp_lane_tree(capp_session_fast(f->session));
    size_t idle = 0;
    for (uint32_t node = tree->oldest; node != CAPP_NO_NODE; node = tree->nodes[node].newer) idle++;
    CHECK_INT(idle, tree->residents);
}

/* A step, which must not run many more token rows than it has room for. */
static bool step(fixture *f, size_t room) {
    uint64_t before = capp_session_stats(f->session)->tokens_computed;
    bool left = capp_queue_step(f->queue);
    CHECK(capp_session_stats(f->session)->tokens_computed - before < room + TINY_CONTEXT);
    return left;
}

/* Jobs of 1, 2, 3 ... rows; another one is added after each step. unit: of two lanes, or NULL. */
static uint64_t score_like_alone(const char *unit, size_t step_tokens, uint64_t seed) {
    fixture f;
    const capp_queue_options how = {.wave_seconds = 1e-9, .least_tokens = step_tokens, .keep_tokens = 200};
    if (unit)
        open_lanes(&f, unit, &how);
    else
        open_model(&f, "llama", 0, &how);
    row *rows = make_rows(seed, ROWS);
    capp_example examples[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        examples[i] = rows[i].example;
        examples[i].normalize = examples[i].n_completions > 1;
    }
    caller alone = new_caller(ROWS), jobs[ROWS];
    capp_run_options options;
    capp_run_options_init(&options);
    options.aggregate = seed % 4 ? CAPP_AGGREGATE_MEAN : CAPP_AGGREGATE_SUM; /* more means are close */
    CHECK_OK(capp_score(f.other, examples, ROWS, &options, on_result, &alone, &f.err), f.err);
    size_t n = 0, at = 0, steps = 0;
    while (at < ROWS || step(&f, step_tokens)) {
        CHECK(steps++ < 100000);
        check_residents(&f);
        if (at == ROWS) continue;
        capp_job *job;
        size_t count = n + 1 < ROWS - at ? n + 1 : ROWS - at;
        jobs[n] = new_caller(count);
        jobs[n].first = at;
        CHECK_OK(capp_queue_score(f.queue, examples + at, count, &options, on_result, on_done, &jobs[n], &job, &f.err),
                 f.err);
        at += count;
        n++;
        step(&f, step_tokens);
    }
    CHECK(n > 4);
    if (step_tokens < 20) CHECK(steps > 100); /* rows were cut into pieces */
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(jobs[i].status, jobs[i].err);
        CHECK_INT(jobs[i].ended, 1);
        for (size_t k = 0; k < jobs[i].n_rows; k++) {
            check_row(&jobs[i].rows[k], &alone.rows[jobs[i].first + k]);
            CHECK(jobs[i].posterior[k] == alone.posterior[jobs[i].first + k]);
            CHECK(jobs[i].again[k] == alone.again[jobs[i].first + k]);
        }
        at -= jobs[i].n_rows;
        free_caller(&jobs[i]);
    }
    CHECK_INT(at, 0);
    capp_stats mine, theirs;
    capp_session_get_stats(f.session, &mine);
    capp_session_get_stats(f.other, &theirs);
    CHECK_INT(mine.rows, theirs.rows);
    CHECK_INT(mine.rows_rescored, theirs.rows_rescored);
    free_caller(&alone);
    free(rows);
    close_fixture(&f);
    return mine.rows_rescored;
}

TEST(rows_have_the_same_bits_in_steps_of_any_size) {
    const size_t sizes[] = {1, 7, 64, 5000};
    for (size_t i = 0; i < 4; i++) CHECK_INT(score_like_alone(NULL, sizes[i], i), 0);
}

/* Close rows go through the same steps, piece by piece. */
static void rescore_like_alone(const char *unit, uint64_t seeds) {
    uint64_t rescored = 0;
    for (uint64_t seed = 0; seed < seeds; seed++) rescored += score_like_alone(unit, seed ? 9 + 15 * seed : 1, seed);
    CHECK(rescored >= seeds / 2);
}

TEST(close_rows_are_rescored_avx512bf16) {
    need_unit("avx512bf16_auto");
    rescore_like_alone("avx512bf16_auto", 8);
    rescore_like_alone("avx512bf16_bf16_i16", 8);
}

TEST(slow_close_rows_are_rescored_emulated) {
    rescore_like_alone("tiles_emulated", 4);
}

/* Beside long jobs: a step of the exact lane at most, its own, and one of the exact lane if it is close itself. */
static void wait_beside_long_jobs(fixture *f, const capp_example *example, bool is_close) {
    caller mine = new_caller(1);
    capp_job *job;
    size_t steps = 0;
    CHECK_OK(capp_queue_score(f->queue, example, 1, NULL, on_result, on_done, &mine, &job, &f->err), f->err);
    while (!mine.ended) capp_queue_step(f->queue), steps++;
    CHECK_OK(mine.status, mine.err);
    CHECK_INT(mine.again[0] != 0, is_close);
    CHECK(steps <= (is_close ? 3 : 2));
    free_caller(&mine);
}

static void wait_beside_close_rows(const char *unit) {
    enum { WORDS = 12, LONG = 12, SHORT = 16, PROMPTS = WORDS * WORDS };
    static const char *const words[WORDS] = {"aeon", "be", "ode",  "do",   "a",    "me",
                                             "doe",  "ma", "code", "bade", "zone", "no"};
    static char prompts[PROMPTS][20];
    fixture f;
    const capp_queue_options how = {.wave_seconds = 1e-9, .least_tokens = 48, .keep_tokens = 200};
    open_lanes(&f, unit, &how);
    f.session->exact.weights = f.other->exact.weights = f.model->exact; /* no row is scored three times */
    row *rows = make_rows(11, ROWS);
    capp_str completions[WORDS];
    capp_example longs[ROWS], shorts[PROMPTS];
    caller jobs[LONG], alone = new_caller(PROMPTS);
    for (size_t i = 0; i < WORDS; i++) completions[i] = capp_str_of(words[i]);
    for (size_t i = 0; i < PROMPTS; i++) {
        snprintf(prompts[i], sizeof prompts[i], "%s %s", words[i % WORDS], words[i / WORDS]);
        shorts[i] = (capp_example){capp_str_of(prompts[i]), completions, WORDS / 2, NULL, NULL, false};
    }
    CHECK_OK(capp_score(f.other, shorts, PROMPTS, NULL, on_result, &alone, &f.err), f.err);
    for (size_t i = 0; i < ROWS; i++) longs[i] = rows[i].example;
    for (size_t i = 0; i < LONG; i++) {
        capp_job *job;
        jobs[i] = new_caller(ROWS);
        CHECK_OK(capp_queue_score(f.queue, longs, ROWS, NULL, on_result, on_done, &jobs[i], &job, &f.err), f.err);
    }
    size_t n[2] = {0};
    for (size_t i = 0; i < PROMPTS; i++) {
        bool is_close = alone.again[i] != 0;
        if (n[is_close] == SHORT / 2) continue;
        if (n[is_close]++ % 2) capp_queue_step(f.queue);
        wait_beside_long_jobs(&f, &shorts[i], is_close);
    }
    CHECK(n[0] == SHORT / 2 && n[1] > 1);
    for (size_t i = 0; i < LONG; i++) CHECK_INT(jobs[i].ended, 0);
    drain(f.queue);
    for (size_t i = 0; i < LONG; i++) free_caller(&jobs[i]);
    free_caller(&alone);
    free(rows);
    close_fixture(&f);
}

TEST(a_short_job_does_not_wait_for_close_rows_avx512bf16) {
    need_unit("avx512bf16_auto");
    wait_beside_close_rows("avx512bf16_auto");
}

TEST(slow_a_short_job_does_not_wait_for_close_rows_emulated) {
    wait_beside_close_rows("tiles_emulated");
}

static bool keep_text(void *user, const capp_text_result *r) {
    caller *c = user;
    c->n = r->n;
    memcpy(c->ids, r->ids, r->n * sizeof *r->ids);
    memcpy(c->logprobs, r->logprobs, r->n * sizeof *r->logprobs);
    return true;
}

static bool keep_generation(void *user, const capp_generation *g) {
    caller *c = user;
    c->n_generated = g->n;
    if (!g->n) return true;
    memcpy(c->ids + c->n, g->ids, g->n * sizeof *g->ids);
    memcpy(c->logprobs + c->n, g->logprobs, g->n * sizeof *g->logprobs);
    c->n += g->n;
    return true;
}

/* Texts are scored with the most probable tokens and continued. Meanwhile rows are scored. */
static void continue_like_alone(size_t step_tokens, size_t top) {
    static const char *const texts[TEXTS] = {"a doe", "the code bade me do", "be", "a doe bade",
                                             "zone",  "the code bade"};
    fixture f;
    const capp_queue_options how = {.wave_seconds = 1e-9, .least_tokens = step_tokens, .keep_tokens = 200};
    open_model(&f, "llama", 0, &how);
    row *rows = make_rows(3, 4);
    caller jobs[TEXTS], noise = new_caller(4);
    capp_example examples[4];
    capp_job *job;
    for (size_t i = 0; i < 4; i++) examples[i] = rows[i].example;
    CHECK_OK(capp_queue_score(f.queue, examples, 4, NULL, on_result, on_done, &noise, &job, &f.err), f.err);
    for (size_t i = 0; i < TEXTS; i++) {
        capp_continuation c;
        int32_t *ids;
        capp_continuation_init(&c);
        CHECK_OK(capp_tokenize(f.model, capp_str_of(texts[i]), CAPP_TOKENIZE_BOS, &ids, &c.n_ids, &f.err), f.err);
        c.ids = ids;
        c.score = true;
        c.top = top;
        c.max_tokens = i;
        c.ignore_eos = true;
        jobs[i] = new_caller(0);
        CHECK_OK(capp_queue_continue(f.queue, &c, on_token, on_done, &jobs[i], &job, &f.err), f.err);
        capp_free(ids);
    }
    drain(f.queue);
    CHECK_OK(noise.status, noise.err);
    for (size_t i = 0; i < TEXTS; i++) {
        caller alone = new_caller(0);
        const capp_str text = capp_str_of(texts[i]);
        capp_generate_options options;
        capp_generate_options_init(&options);
        options.max_tokens = i;
        options.ignore_eos = true;
        CHECK_OK(capp_token_logprobs(f.other, &text, 1, CAPP_TOKENIZE_BOS, NULL, keep_text, &alone, &f.err), f.err);
        CHECK_OK(capp_generate(f.other, &text, 1, &options, keep_generation, &alone, &f.err), f.err);
        CHECK_OK(jobs[i].status, jobs[i].err);
        CHECK_INT(jobs[i].n, alone.n);
        CHECK_INT(jobs[i].n_generated, i);
        CHECK(!memcmp(jobs[i].ids, alone.ids, alone.n * sizeof *alone.ids));
        CHECK(!memcmp(jobs[i].logprobs + 1, alone.logprobs + 1, (alone.n - 1) * sizeof *alone.logprobs));
        CHECK(isnan(jobs[i].logprobs[0]));
        if (i) CHECK_STR(jobs[i].finish, "length");
        for (size_t k = 1; top && k < alone.n; k++) {
            for (size_t t = 1; t < TOP; t++) CHECK(jobs[i].top_logprobs[k][t - 1] >= jobs[i].top_logprobs[k][t]);
            for (size_t t = 0; t < TOP; t++)
                if (jobs[i].top[k][t] == jobs[i].ids[k]) CHECK(jobs[i].top_logprobs[k][t] == jobs[i].logprobs[k]);
            if (k >= jobs[i].n - i) CHECK_INT(jobs[i].top[k][0], jobs[i].ids[k]); /* generated: the most probable one */
        }
        free_caller(&alone);
        free_caller(&jobs[i]);
    }
    free_caller(&noise);
    free(rows);
    close_fixture(&f);
}

TEST(texts_have_the_same_bits) {
    continue_like_alone(1, TOP);
    continue_like_alone(5, 0);
    continue_like_alone(40, TOP);
}

/* A small job that comes after long ones is done within two steps. */
TEST(a_short_job_does_not_wait_for_long_ones) {
    fixture f;
    const capp_queue_options how = {.wave_seconds = 1e-9, .least_tokens = 48, .keep_tokens = 200};
    open_model(&f, "llama", 0, &how);
    row *rows = make_rows(11, ROWS);
    capp_example examples[ROWS];
    for (size_t i = 0; i < ROWS; i++) examples[i] = rows[i].example;
    caller jobs[4];
    capp_job *job;
    for (size_t i = 0; i < 4; i++) {
        jobs[i] = new_caller(ROWS);
        CHECK_OK(capp_queue_score(f.queue, examples, ROWS, NULL, on_result, on_done, &jobs[i], &job, &f.err), f.err);
    }
    for (size_t i = 0; i < 3; i++) capp_queue_step(f.queue);
    capp_str completions[] = {capp_str_of("be"), capp_str_of("do")};
    const capp_example small = {.prompt = capp_str_of("ode"), .completions = completions, .n_completions = 2};
    caller short_job = new_caller(1);
    CHECK_OK(capp_queue_score(f.queue, &small, 1, NULL, on_result, on_done, &short_job, &job, &f.err), f.err);
    capp_queue_step(f.queue);
    capp_queue_step(f.queue);
    CHECK_INT(short_job.ended, 1);
    for (size_t i = 0; i < 4; i++) CHECK_INT(jobs[i].ended, 0);
    drain(f.queue);
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(jobs[i].status, jobs[i].err);
        free_caller(&jobs[i]);
    }
    free_caller(&short_job);
    free(rows);
    close_fixture(&f);
}

/* ---- A store that is too small for all texts ---- */

enum { LONG_TEXTS = 40, LONG_IDS = 60, LONG_MORE = 12 };

/* Texts that have the first `shared` tokens in common. */
static void long_text(int32_t *ids, size_t i, size_t shared) {
    for (size_t k = 0; k < LONG_IDS; k++) ids[k] = (int32_t)(3 + (k < shared ? k * 7 : k * 7 + i * 31 + i * k) % 250);
}

static capp_job *add_text(fixture *f, caller *c, const int32_t *ids, size_t n, size_t max_tokens) {
    capp_job *job;
    capp_continuation how;
    capp_continuation_init(&how);
    how.ids = ids;
    how.n_ids = n;
    how.max_tokens = max_tokens;
    how.ignore_eos = true;
    *c = new_caller(0);
    CHECK_OK(capp_queue_continue(f->queue, &how, on_token, on_done, c, &job, &f->err), f->err);
    return job;
}

/* Runs all texts at once. Returns the token rows that ran. */
static double run_long_texts(fixture *f, caller *jobs, size_t shared) {
    for (size_t i = 0; i < LONG_TEXTS; i++) {
        int32_t ids[LONG_IDS];
        long_text(ids, i, shared);
        add_text(f, &jobs[i], ids, LONG_IDS, LONG_MORE);
    }
    drain(f->queue);
    return (double)capp_session_stats(f->session)->tokens_computed;
}

/* In a small budget the texts need a multiple of the slots. Still no token runs much more often than once, and all
 * have the bits that they have in a large one. */
static void wait_for_seats(const char *arch, uint64_t memory, size_t shared, double most) {
    const capp_queue_options how = {.wave_seconds = 1e-9, .least_tokens = 24, .keep_tokens = 16384};
    fixture small, large;
    caller found[LONG_TEXTS], expected[LONG_TEXTS];
    double needed = (double)(shared + LONG_TEXTS * (LONG_IDS - shared + LONG_MORE - 1));
    open_model(&small, arch, memory, &how);
    open_model(&large, arch, (uint64_t)1 << 30, &how);
    double computed = run_long_texts(&small, found, shared);
    run_long_texts(&large, expected, shared);
    size_t slots = capp_lane_slots(capp_session_fast(small.session));
    CHECK(slots < LONG_TEXTS * (LONG_IDS - shared) / 2);
    CHECK(computed >= needed && computed < needed * most);
    for (size_t i = 0; i < LONG_TEXTS; i++) {
        CHECK_OK(found[i].status, found[i].err);
        CHECK_INT(found[i].n, LONG_MORE);
        CHECK(!memcmp(found[i].ids, expected[i].ids, LONG_MORE * sizeof *found[i].ids));
        CHECK(!memcmp(found[i].logprobs, expected[i].logprobs, LONG_MORE * sizeof *found[i].logprobs));
        free_caller(&found[i]);
        free_caller(&expected[i]);
    }
    close_fixture(&small);
    close_fixture(&large);
}

TEST(texts_that_do_not_fit_together_wait) {
    wait_for_seats("llama", 1 << 20, 0, 1.01);
    wait_for_seats("llama", 2 << 20, 20, 1.01);
    wait_for_seats("lfm2", 1 << 20, 0, 1.2);
    wait_for_seats("qwen35", 2 << 20, 0, 1.2);
}

/* ---- Fairness ---- */

/* Steps until a text that asks for max_tokens tokens has ended, beside n texts of `callers` callers that have run for
 * some steps. */
static size_t steps_beside(size_t n, size_t callers, size_t n_ids, size_t max_tokens) {
    const capp_queue_options how = {.wave_seconds = 1e-9, .least_tokens = 48, .keep_tokens = 16384};
    fixture f;
    size_t steps = 0;
    caller *others = calloc(n, sizeof *others), mine;
    int32_t ids[LONG_IDS];
    open_model(&f, "llama", 0, &how);
    for (size_t i = 0; i < n; i++) {
        long_text(ids, i, 0);
        capp_job *job = add_text(&f, &others[i], ids, LONG_IDS, LONG_MORE);
        capp_job_set_caller(job, &others[i * callers / n]);
    }
    for (size_t i = 0; i < 7; i++) CHECK(capp_queue_step(f.queue) == n);
    long_text(ids, n + 1, 0);
    add_text(&f, &mine, ids, n_ids, max_tokens);
    while (!mine.ended) capp_queue_step(f.queue), steps++;
    CHECK_OK(mine.status, mine.err);
    capp_queue_free(f.queue);
    f.queue = NULL;
    for (size_t i = 0; i < n; i++) free_caller(&others[i]);
    free_caller(&mine);
    free(others);
    close_fixture(&f);
    return steps;
}

/* A step has room for 48 token rows. */
TEST(a_text_does_not_wait_for_a_thousand_others) {
    const size_t callers[] = {1, 3, 1000};
    for (size_t i = 0; i < 3; i++) {
        CHECK_INT(steps_beside(1000, callers[i], 20, 1), 1);
        CHECK_INT(steps_beside(1000, callers[i], 10, 5), 5); /* the first one with the text */
    }
    /* A long one gets an even share. */
    CHECK(steps_beside(1000, 1, 60, 1) <= 4);
    CHECK(steps_beside(1000, 3, 60, 1) <= 8);
}

TEST(what_a_queue_refuses) {
    fixture f;
    open_model(&f, "llama", 0, NULL);
    capp_job *job;
    capp_run_options options;
    capp_run_options_init(&options);
    options.window_seconds = 1;
    CHECK_INT(capp_queue_score(f.queue, NULL, 0, &options, on_result, on_done, NULL, &job, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "window_seconds");
    const int32_t ids[] = {1, TINY_VOCABULARY};
    capp_continuation c;
    capp_continuation_init(&c);
    CHECK_INT(capp_queue_continue(f.queue, &c, on_token, on_done, NULL, &job, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "no tokens");
    c.ids = ids;
    c.n_ids = 2;
    CHECK_INT(capp_queue_continue(f.queue, &c, on_token, on_done, NULL, &job, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "invalid token id 300 at index 1");
    c.n_ids = 1;
    c.max_tokens = TINY_CONTEXT;
    CHECK_INT(capp_queue_continue(f.queue, &c, on_token, on_done, NULL, &job, &f.err), CAPP_ETOOLONG);
    c.max_tokens = 1;
    c.temperature = -1;
    CHECK_INT(capp_queue_continue(f.queue, &c, on_token, on_done, NULL, &job, &f.err), CAPP_EINVAL);
    c.temperature = 1;
    c.top_p = 0;
    CHECK_INT(capp_queue_continue(f.queue, &c, on_token, on_done, NULL, &job, &f.err), CAPP_EINVAL);
    c.top_p = 1;
    c.top = CAPP_MOST_TOP + 1;
    CHECK_INT(capp_queue_continue(f.queue, &c, on_token, on_done, NULL, &job, &f.err), CAPP_EINVAL);
    CHECK_INT(capp_queue_step(f.queue), 0);
    const capp_queue_options never = {.wave_seconds = 0};
    capp_queue *queue;
    CHECK_INT(capp_queue_open(&queue, f.session, &never, &f.err), CAPP_EINVAL);
    CHECK(!queue);
    close_fixture(&f);
}
