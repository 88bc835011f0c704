/* Deciding without finishing, on tiny models: compared with the decision over all finished completions, and with itself
 * in every arrangement. */
#include <unistd.h>

#include "decide/decide.h"
#include "prompt/prompt.h"
#include "race/race.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"
#include "units.h"

enum { ROWS = 60 };

typedef struct arrangement {
    int threads;
    uint64_t memory;
    size_t step; /* rows per call */
    size_t begin, stride;
} arrangement;

static const char *unit; /* the unit with which models are opened: see units.h */

static capp_model *open_model(const char *path, const arrangement *a) {
    return open_unit(path, unit, a->threads, a->memory);
}

/* Rows of tests/scoring.h. Two in three have a prior: random, with zeros, or all on one completion. */
typedef struct task {
    char path[64];
    row *rows;
    double (*priors)[MOST_COMPLETIONS];
    capp_example examples[ROWS];
    scores *scores;   /* [ROWS] by capp_score */
    size_t *expected; /* [ROWS] predictions of capp_score */
    capp_run_options options;
} task;

static void make_prior(test_random *r, double *prior, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += prior[i] = (double)test_random_below(r, 4);
    if (sum > 0)
        for (size_t i = 0; i < n; i++) prior[i] /= sum;
    else
        prior[test_random_below(r, n)] = 1;
}

typedef struct full {
    scores *scores;
    size_t *prediction;
} full;

static bool keep_all(void *user, const capp_result *result) {
    full *f = user;
    f->prediction[result->row] = result->prediction;
    return keep(f->scores, result);
}

static void score_task(task *t) {
    capp_session *session;
    capp_error err;
    capp_model *model = open_model(t->path, &(arrangement){1, 0, ROWS, 0, 1});
    CHECK_OK(capp_session_open(&session, model, &err), err);
    full f = {t->scores, t->expected};
    CHECK_OK(capp_score(session, t->examples, ROWS, &t->options, keep_all, &f, &err), err);
    capp_session_free(session);
    capp_model_free(model);
}

static void begin_task(task *t, const char *arch, uint64_t seed, capp_aggregate aggregate) {
    test_random r = {seed};
    memset(t, 0, sizeof *t);
    tiny_model_file(arch, seed, t->path);
    t->rows = make_rows(seed + 1, ROWS);
    t->priors = calloc(ROWS, sizeof *t->priors);
    t->scores = calloc(ROWS, sizeof *t->scores);
    t->expected = calloc(ROWS, sizeof *t->expected);
    CHECK(t->priors && t->scores && t->expected);
    capp_run_options_init(&t->options);
    t->options.aggregate = aggregate;
    for (size_t i = 0; i < ROWS; i++) {
        t->examples[i] = t->rows[i].example;
        if (!test_random_below(&r, 3)) continue;
        make_prior(&r, t->priors[i], t->examples[i].n_completions);
        t->examples[i].prior = t->priors[i];
    }
    score_task(t);
}

static void end_task(task *t) {
    unlink(t->path);
    free_scores(t->scores, ROWS);
    free(t->expected), free(t->priors), free(t->rows);
}

typedef struct choice {
    capp_decision decision;
    double second;
} choice;

static bool keep_choice(void *user, const capp_decision *decision, double second) {
    ((choice *)user)[decision->row] = (choice){*decision, second};
    return true;
}

/* Choice i of the result belongs to example i. The caller frees the result. */
static choice *choose(const task *t, const arrangement *a, double margin) {
    capp_model *model = open_model(t->path, a);
    capp_session *session;
    capp_error err;
    capp_example examples[ROWS];
    choice *in_order = calloc(ROWS, sizeof *in_order), *out = calloc(ROWS, sizeof *out);
    CHECK(in_order && out);
    for (size_t i = 0; i < ROWS; i++) examples[i] = t->examples[(a->begin + i * a->stride) % ROWS];
    CHECK_OK(capp_session_open(&session, model, &err), err);
    double own = capp_session_margin(session);
    if (margin >= 0 && margin < own) margin = own;
    for (size_t i = 0; i < ROWS; i += a->step) {
        size_t n = ROWS - i < a->step ? ROWS - i : a->step;
        CHECK_OK(capp_race_rows(session, examples + i, n, &t->options, margin, keep_choice, in_order + i, &err), err);
        for (size_t j = i; j < i + n; j++) CHECK_INT(in_order[j].decision.row, j - i);
    }
    for (size_t i = 0; i < ROWS; i++) out[(a->begin + i * a->stride) % ROWS] = in_order[i];
    capp_session_free(session);
    capp_model_free(model);
    free(in_order);
    return out;
}

/* The scores by which capp_score decides. */
static double score_of(const task *t, size_t at, size_t i) {
    const scores *s = &t->scores[at];
    size_t length = s->offset[i + 1] - s->offset[i];
    double sum = 0;
    for (size_t k = s->offset[i]; k < s->offset[i + 1]; k++) sum += (double)s->logprobs[k];
    double aggregate = capp_decide_aggregate(t->options.aggregate, sum, length, t->examples[at].completions[i].size);
    return capp_decide_score(aggregate, t->examples[at].prior, i);
}

static size_t count_wrong(const task *t, const choice *choices) {
    size_t wrong = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const capp_decision *d = &choices[i].decision;
        wrong += d->prediction != t->expected[i] || d->score != score_of(t, i, t->expected[i]);
    }
    return wrong;
}

static bool same_work(const capp_decision *a, const capp_decision *b) {
    return a->completion_tokens == b->completion_tokens && a->completion_tokens_run == b->completion_tokens_run &&
           a->completion_logprobs == b->completion_logprobs &&
           a->completion_logprobs_read == b->completion_logprobs_read;
}

static const arrangement plain = {1, 0, ROWS, 0, 1};

static void check_task(const task *t, const char *name, bool all) {
    /* Units may have two lanes: a store for each. The head's sums have more rows with tiles. */
    const uint64_t lanes = unit ? 2 : 1, each = unit && !strcmp(unit, "amx_auto") ? 1800 : 1400;
    const uint64_t enough = lanes * each * 1024;
    const arrangement others[] = {
        {2, 0, ROWS, 0, 1},      /* threads */
        {3, 0, ROWS, 5, 7},      /* order */
        {1, 0, 1, 0, 1},         /* one row per call */
        {2, enough, ROWS, 0, 1}, /* just enough memory */
        {1, enough, 9, 2, 11},
    };
    choice *expected = choose(t, &plain, 0);
    CHECK_INT(count_wrong(t, expected), 0);
    for (size_t i = 0; i < sizeof others / sizeof *others && all; i++) {
        choice *got = choose(t, &others[i], 0);
        if (count_wrong(t, got)) FAIL("%s: %zu decisions differ in arrangement %zu", name, count_wrong(t, got), i);
        for (size_t j = 0; j < ROWS; j++)
            if (!same_work(&got[j].decision, &expected[j].decision))
                FAIL("%s: other work for row %zu in arrangement %zu", name, j, i);
        free(got);
    }
    free(expected);
}

static void check_arch(const char *arch) {
    for (uint64_t seed = 1; seed <= 8; seed++) {
        task t;
        begin_task(&t, arch, seed, (capp_aggregate)(seed % CAPP_AGGREGATE_CALLER));
        check_task(&t, arch, seed <= 2);
        end_task(&t);
    }
}

/* With two lanes, the close rows race again in the exact one. */
static void check_auto(const char *name, bool integers) {
    need_unit(name);
    unit = name;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        task t;
        const char *arch = integers ? seed % 2 ? "llama_integers" : "gpt2_integers" : seed % 2 ? "llama" : "gpt2";
        begin_task(&t, arch, seed, (capp_aggregate)(seed % CAPP_AGGREGATE_CALLER));
        check_task(&t, name, seed <= 2);
        end_task(&t);
    }
}

TEST(decisions_are_the_full_ones_avx512bf16_auto) {
    check_auto("avx512bf16_auto", false);
}
TEST(decisions_are_the_full_ones_amx_auto) {
    check_auto("amx_auto", false);
}
TEST(decisions_are_the_full_ones_neonbf16_bf16_i16) {
    check_auto("neonbf16_bf16_i16", true);
}
TEST(slow_decisions_are_the_full_ones_emulated) {
    check_auto("tiles_emulated", false);
}
TEST(decisions_are_the_full_ones_i16) {
    check_auto("avx2_i16", true);
}
TEST(decisions_are_the_full_ones_f32_i16) {
    check_auto("avx2_f32_i16", true);
}
TEST(decisions_are_the_full_ones_bf16_i16) {
    check_auto("avx512bf16_bf16_i16", true);
}

TEST(decisions_are_the_full_ones_llama) {
    check_arch("llama");
}
TEST(decisions_are_the_full_ones_gemma3) {
    check_arch("gemma3");
}
TEST(decisions_are_the_full_ones_gpt2) {
    check_arch("gpt2");
}
TEST(decisions_are_the_full_ones_qwen35) {
    check_arch("qwen35");
}

static bool equal(const scores *s, size_t a, size_t b) {
    size_t n = s->offset[a + 1] - s->offset[a];
    return n == s->offset[b + 1] - s->offset[b] &&
           !memcmp(s->ids + s->offset[a], s->ids + s->offset[b], n * sizeof *s->ids);
}

/* Many models, one arrangement: the margin keeps its promise, and stopping too early would be noticed. */
TEST(margins_and_stops_too_early) {
    size_t early = 0;
    for (uint64_t seed = 20; seed < 32; seed++) {
        task t;
        begin_task(&t, seed % 3 ? "llama" : "gpt2", seed, seed % 2 ? CAPP_AGGREGATE_MEAN : CAPP_AGGREGATE_SUM);
        const double margin = 0.4;
        choice *wide = choose(&t, &plain, margin), *narrow = choose(&t, &plain, -2);
        CHECK_INT(count_wrong(&t, wide), 0);
        early += count_wrong(&t, narrow); /* as if every bound were too low */
        for (size_t i = 0; i < ROWS; i++) {
            const size_t n = t.scores[i].n_completions;
            const double wanted = capp_decide_margin(t.options.aggregate, margin, t.scores[i].offset, n);
            double second = -INFINITY;
            for (size_t c = 0; c < n; c++)
                if (!equal(&t.scores[i], c, t.expected[i]) && score_of(&t, i, c) > second) second = score_of(&t, i, c);
            if (second + wanted >= wide[i].decision.score)
                CHECK(wide[i].second == second);
            else
                CHECK(wide[i].second + wanted < wide[i].decision.score);
        }
        free(wide), free(narrow);
        end_task(&t);
    }
    CHECK(early > 5);
}

/* Counts distinct beginnings of row's completions: all of them, and those that are followed by others. */
static void count_beginnings(const scores *s, size_t *all, size_t *inner) {
    *all = *inner = 0;
    for (size_t c = 0; c < s->n_completions; c++)
        for (size_t n = 1; n <= s->offset[c + 1] - s->offset[c]; n++) {
            bool seen = false, goes_on = false;
            for (size_t d = 0; d < s->n_completions; d++) {
                size_t length = s->offset[d + 1] - s->offset[d];
                if (length < n || memcmp(s->ids + s->offset[c], s->ids + s->offset[d], n * sizeof *s->ids)) continue;
                seen |= d < c;
                goes_on |= length > n;
            }
            *all += !seen;
            *inner += !seen && goes_on;
        }
}

TEST(the_work_is_counted) {
    task t;
    capp_error err;
    capp_stats stats;
    capp_session *session;
    begin_task(&t, "llama", 40, CAPP_AGGREGATE_MEAN);
    capp_model *model = open_model(t.path, &plain);
    size_t run = 0, total = 0, all, inner;
    choice *c = calloc(ROWS, sizeof *c);
    CHECK(c);
    for (size_t i = 0; i < ROWS; i++) { /* each in a new session */
        const capp_decision *d = &c->decision;
        CHECK_OK(capp_session_open(&session, model, &err), err);
        CHECK_OK(capp_race_rows(session, &t.examples[i], 1, &t.options, 0, keep_choice, c, &err), err);
        capp_session_get_stats(session, &stats);
        count_beginnings(&t.scores[i], &all, &inner);
        CHECK_INT(d->completion_logprobs, all);
        CHECK_INT(d->completion_tokens, inner);
        CHECK(d->completion_logprobs_read <= all && d->completion_tokens_run <= inner);
        CHECK_INT(stats.tokens_computed, t.scores[i].n_prompt + d->completion_tokens_run);
        CHECK_INT(stats.rows, 1);
        CHECK_INT(stats.head_rows, 1 + d->completion_tokens_run);
        CHECK_INT(stats.tokens_computed + stats.tokens_saved,
                  t.scores[i].n_completions * (t.scores[i].n_prompt - 1) + t.scores[i].n);
        run += d->completion_tokens_run, total += inner;
        capp_session_free(session);
    }
    CHECK(run * 10 < total * 8);
    free(c);
    capp_model_free(model);
    end_task(&t);
}

/* ---- Invalid arguments, and ways to end a call ---- */

typedef struct asked {
    char path[64];
    row *rows;
    capp_model *model;
    capp_session *session;
    capp_example *examples; /* [n] */
    size_t n;
    capp_error err;
} asked;

static void begin_asked(asked *x, size_t n) {
    memset(x, 0, sizeof *x);
    x->n = n;
    x->rows = make_rows(9, n);
    x->examples = calloc(n, sizeof *x->examples);
    CHECK(x->examples);
    for (size_t i = 0; i < n; i++) x->examples[i] = x->rows[i].example;
    tiny_model_file("llama", 3, x->path);
    x->model = open_model(x->path, &plain);
    CHECK_OK(capp_session_open(&x->session, x->model, &x->err), x->err);
}

static void end_asked(asked *x) {
    capp_session_free(x->session);
    capp_model_free(x->model);
    unlink(x->path);
    free(x->rows), free(x->examples);
}

static bool count_up(void *user, const capp_decision *decision) {
    size_t *n = user;
    CHECK_INT(decision->row, *n);
    return ++*n != 3;
}

TEST(rows_before_a_bad_one_are_decided) {
    asked x;
    begin_asked(&x, 3);
    size_t n = 0;
    x.examples[2].prompt.size = 0;
    CHECK_INT(capp_predict_early(x.session, x.examples, 3, NULL, count_up, &n, &x.err), CAPP_EINVAL);
    CHECK_INT(n, 2);
    CHECK_INT(x.err.row, 2);
    CHECK_CONTAINS(x.err.message, "prompt is empty");
    CHECK_OK(capp_predict_early(x.session, NULL, 0, NULL, count_up, &n, &x.err), x.err);
    end_asked(&x);
}

static void fails(const capp_example *e, uint64_t memory, capp_aggregate aggregate, capp_status expected,
                  const char *message) {
    asked x;
    size_t n = 0;
    begin_asked(&x, 1);
    capp_run_options options;
    capp_run_options_init(&options);
    options.aggregate = aggregate;
    capp_session_free(x.session);
    capp_model_free(x.model);
    x.model = open_model(x.path, &(arrangement){.memory = memory});
    CHECK_OK(capp_session_open(&x.session, x.model, &x.err), x.err);
    CHECK_INT(capp_predict_early(x.session, e ? e : x.examples, 1, &options, count_up, &n, &x.err), expected);
    CHECK_CONTAINS(x.err.message, message);
    if (expected == CAPP_EINVAL && !e) { /* capp_score gives the same error */
        scores s = {0};
        CHECK_INT(capp_score(x.session, x.examples, 1, &options, keep, &s, &x.err), expected);
        CHECK_CONTAINS(x.err.message, message);
    }
    end_asked(&x);
}

TEST(what_is_wrong_is_named) {
    char long_text[400];
    memset(long_text, 'q', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    capp_str completions[] = {capp_str_of("a"), capp_str_of("b")}, prompt = capp_str_of("p");
    double heavy[] = {0.7, 0.7};
    fails(&(capp_example){prompt, completions, 2, heavy, NULL, true}, 0, CAPP_AGGREGATE_MEAN, CAPP_EINVAL, "sums to");
    fails(&(capp_example){prompt, completions, 2, NULL, "-", true}, 0, CAPP_AGGREGATE_SUM, CAPP_EINVAL,
          "end_of_prompt");
    fails(&(capp_example){{"\xff", 1}, completions, 2, NULL, NULL, true}, 0, CAPP_AGGREGATE_SUM, CAPP_EINVAL, "UTF-8");
    fails(&(capp_example){capp_str_of(long_text), completions, 2, NULL, NULL, true}, 0, CAPP_AGGREGATE_MEAN,
          CAPP_ETOOLONG, "the context is 96");
    fails(NULL, 100 * 1024, CAPP_AGGREGATE_MEAN, CAPP_EBUDGET, "MiB, but the memory budget is");
    fails(NULL, 0, (capp_aggregate)7, CAPP_EINVAL, "invalid capp_aggregate 7");
}

static bool stop_progress(void *user, size_t done, size_t total) {
    size_t *rows = user;
    CHECK(done <= total && done <= *rows);
    return done < 10;
}

static bool count_rows(void *user, const capp_decision *decision) {
    size_t *rows = user;
    (void)decision;
    ++*rows;
    return true;
}

static bool cancel_session(void *user, const capp_decision *decision) {
    if (!decision->row) capp_session_cancel(user);
    return true;
}

TEST(calls_are_cancelled_and_the_session_goes_on) {
    asked x;
    size_t n = 0;
    begin_asked(&x, 300);
    CHECK_INT(capp_predict_early(x.session, x.examples, x.n, NULL, count_up, &n, &x.err), CAPP_ECANCELLED);
    CHECK_INT(n, 3);
    capp_run_options options;
    capp_run_options_init(&options);
    options.progress = stop_progress;
    options.progress_user = &n;
    n = 0;
    CHECK_INT(capp_predict_early(x.session, x.examples, x.n, &options, count_rows, &n, &x.err), CAPP_ECANCELLED);
    CHECK(n >= 10 && n < x.n);
    CHECK_INT(capp_predict_early(x.session, x.examples, x.n, NULL, cancel_session, x.session, &x.err), CAPP_ECANCELLED);
    n = 0;
    CHECK_OK(capp_predict_early(x.session, x.examples, x.n, NULL, count_rows, &n, &x.err), x.err);
    CHECK_INT(n, x.n);
    end_asked(&x);
}

TEST(predictions_need_a_choice) {
    asked x;
    size_t prediction[2] = {7, 7}, n = 0;
    begin_asked(&x, 9);
    for (size_t i = 0; i < 9; i++) /* two rows with more than one completion */
        if (x.examples[i].n_completions > 1) x.examples[n++ % 2] = x.examples[i];
    CHECK(n > 1);
    n = 0;
    for (size_t i = 0; i < 2; i++) x.examples[i].n_completions = 1 + i, x.examples[i].normalize = false;
    CHECK_INT(capp_predict(x.session, x.examples, 2, NULL, prediction, &x.err), CAPP_EINVAL);
    CHECK_INT(x.err.row, 0);
    CHECK_OK(capp_predict_early(x.session, x.examples, 2, NULL, count_up, &n, &x.err),
             x.err); /* it decides for it all the same */
    CHECK_INT(n, 2);
    x.examples[0] = x.examples[1];
    CHECK_OK(capp_predict(x.session, x.examples, 2, NULL, prediction, &x.err), x.err);
    CHECK(prediction[0] < 2 && prediction[0] == prediction[1]);
    end_asked(&x);
}

static bool keep_decision(void *user, const capp_decision *decision) {
    ((size_t *)user)[decision->row] = decision->prediction;
    return true;
}

/* Prompts after prefixes are decided as they are scored, and differently from prompts without prefixes. */
TEST(prompts_behind_prefixes) {
    enum { N = 40 };
    asked x;
    capp_prefix *prefixes[2];
    capp_run_options options;
    scores *s = calloc(N, sizeof *s);
    size_t scored[N], decided[N], without[N], differ = 0;
    CHECK(s);
    begin_asked(&x, N);
    CHECK_OK(capp_prefix_open(&prefixes[0], x.model, NULL, capp_str_of("code"), 0, &x.err), x.err);
    CHECK_OK(capp_prefix_open(&prefixes[1], x.model, NULL, capp_str_of("a doe"), 0, &x.err), x.err);
    capp_run_options_init(&options);
    options.prefixes = (const capp_prefix *const *)prefixes;
    options.n_prefixes = 2;
    for (size_t i = 0; i < N; i++) x.examples[i].prompt = capp_str_of(i % 3 ? "bade me" : "q"); /* room for more */
    for (size_t i = 0; i < N; i++) x.examples[i].normalize = false;
    CHECK_OK(capp_score(x.session, x.examples, N, &options, keep_all, &(full){s, scored}, &x.err), x.err);
    CHECK_OK(capp_predict_early(x.session, x.examples, N, &options, keep_decision, decided, &x.err), x.err);
    CHECK_OK(capp_predict_early(x.session, x.examples, N, NULL, keep_decision, without, &x.err), x.err);
    for (size_t i = 0; i < N; i++) {
        CHECK_INT(decided[i], scored[i]);
        differ += decided[i] != without[i];
    }
    CHECK(differ);
    free_scores(s, N);
    capp_prefix_free(prefixes[0]);
    capp_prefix_free(prefixes[1]);
    end_asked(&x);
}

static double shortest(void *user, const double *logprobs, size_t n, capp_str completion) {
    (void)user, (void)logprobs, (void)n;
    return -(double)completion.size;
}

/* capp_predict_early refuses options that give no bounds; capp_score still predicts with them. */
TEST(what_gives_no_bounds_is_scored) {
    asked x;
    capp_run_options options;
    capp_scoring scoring;
    capp_str completions[] = {capp_str_of("code"), capp_str_of("be"), capp_str_of("aeon")};
    size_t class_of[] = {0, 1, 0}, n = 0, prediction[2];
    begin_asked(&x, 2);
    for (size_t i = 0; i < 2; i++)
        x.examples[i] = (capp_example){capp_str_of(i ? "q" : "a doe"), completions, 3, NULL, NULL, true};
    capp_run_options_init(&options);
    capp_scoring_init(&scoring);
    options.scoring = &scoring;
    CHECK_OK(capp_predict_early(x.session, x.examples, 2, &options, count_up, &n, &x.err), x.err); /* it says nothing */
    for (int kind = 0; kind < 3; kind++) {
        capp_scoring_init(&scoring);
        options.aggregate = kind ? CAPP_AGGREGATE_MEAN : CAPP_AGGREGATE_CALLER;
        scoring.aggregate_fn = shortest;
        scoring.discount = kind == 1 ? -1 : 0;
        scoring.class_of = kind == 2 ? class_of : NULL;
        scoring.n_phrasings = 3;
        scoring.n_classes = 2;
        CHECK_INT(capp_predict_early(x.session, x.examples, 2, &options, count_up, &n, &x.err), CAPP_EINVAL);
        CHECK_CONTAINS(x.err.message, "use capp_score");
        scores s[2];
        size_t scored[2];
        CHECK_OK(capp_score(x.session, x.examples, 2, &options, keep_all, &(full){s, scored}, &x.err), x.err);
        CHECK_OK(capp_predict(x.session, x.examples, 2, &options, prediction, &x.err), x.err);
        CHECK(!memcmp(prediction, scored, sizeof scored));
        if (!kind) CHECK(prediction[0] == 1 && prediction[1] == 1);
        for (size_t i = 0; i < 2; i++) free(s[i].logprobs), free(s[i].prompt), free(s[i].ids), free(s[i].offset);
    }
    end_asked(&x);
}

/* More rows than may run at once, each with its own list. */
TEST(slow_many_rows_come_in_order) {
    enum { MANY = 9000 };
    asked x;
    size_t n = 0;
    begin_asked(&x, 4);
    capp_example *examples = calloc(MANY, sizeof *examples);
    CHECK(examples);
    for (size_t i = 0; i < MANY; i++) examples[i] = x.examples[i % 4];
    CHECK_INT(capp_predict_early(x.session, examples, MANY, NULL, count_rows, &n, &x.err), CAPP_OK);
    CHECK_INT(n, MANY);
    free(examples);
    end_asked(&x);
}

TEST(choices_lie_in_order) {
    asked x;
    begin_asked(&x, 1);
    capp_str completions[] = {capp_str_of("bade"), capp_str_of("ba"), capp_str_of("bado"), capp_str_of("ba"),
                              capp_str_of("q")};
    capp_example e = {capp_str_of("p"), completions, 5, NULL, "", true};
    capp_run_options options;
    capp_run_options_init(&options);
    capp_completions *c = NULL;
    CHECK_OK(capp_completions_take(&c, capp_session_model(x.session), &e, &options, &x.err), x.err);
    const capp_completions *first = c;
    CHECK_OK(capp_completions_take(&c, capp_session_model(x.session), &e, &options, &x.err), x.err);
    CHECK(c == first); /* they are not tokenized again */
    /* Tokens: b a de, b a, b a do, b a, q. Beginnings: b, ba, bade, bado, q. */
    CHECK_INT(c->ids.n, 11);
    CHECK_INT(c->n_places, 6);
    CHECK_INT(c->n_inner, 2);
    CHECK_INT(c->longest, 3);
    CHECK_INT(c->place[c->offset[0]], c->place[c->offset[1]]);
    CHECK_INT(c->place[c->offset[0] + 1], c->place[c->offset[3] + 1]);
    CHECK(c->place[c->offset[0] + 2] != c->place[c->offset[2] + 2]);
    for (size_t i = 0; i < 5; i++)
        for (size_t t = c->offset[i]; t < c->offset[i + 1]; t++) CHECK_INT(c->depth[c->place[t]], t - c->offset[i] + 1);
    size_t at[5];
    for (size_t k = 0; k < 5; k++) at[c->order[k]] = k;
    CHECK(at[1] < at[3] && at[3] < at[0] && at[3] < at[2]); /* prefixes of others come before them */
    CHECK(at[4] == 0 || at[4] == 4);
    capp_completions_release(c);
    end_asked(&x);
}
