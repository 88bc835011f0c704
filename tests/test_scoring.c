/* What the library computes from log-probabilities: aggregates, discounts, classes, prefixes. Compared with plain calls
 * and sums made here. */
#include <unistd.h>

#include "capp.h"
#include "decide/decide.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"

enum { MOST = 8 };

static const char *const words[MOST] = {"aeon", "be", "be a doe", "ode", "code", "bade me", "do", "zone"};

typedef struct fixture {
    char path[64];
    capp_model *model;
    capp_session *session;
    capp_run_options options;
    capp_scoring scoring;
    capp_str completions[MOST];
    capp_example examples[3]; /* all have the same completions */
    capp_error err;
} fixture;

static void open_fixture(fixture *f, const char *arch) {
    static const char *const prompts[] = {"the code", "a doe bade me", "q"};
    capp_model_options options;
    capp_model_options_init(&options);
    options.threads = 1;
    options.precision = CAPP_PRECISION_F32; /* sums and means have different close rows */
    tiny_model_file(arch, 5, f->path);
    CHECK_OK(capp_model_open(&f->model, f->path, &options, &f->err), f->err);
    CHECK_OK(capp_session_open(&f->session, f->model, &f->err), f->err);
    capp_run_options_init(&f->options);
    capp_scoring_init(&f->scoring);
    f->options.scoring = &f->scoring;
    for (size_t i = 0; i < MOST; i++) f->completions[i] = capp_str_of(words[i]);
    for (size_t i = 0; i < 3; i++)
        f->examples[i] = (capp_example){capp_str_of(prompts[i]), f->completions, MOST, NULL, NULL, true};
}

static void close_fixture(fixture *f) {
    capp_session_free(f->session);
    capp_model_free(f->model);
    unlink(f->path);
}

/* All results of a call, with at most MOST classes per row. */
typedef struct outcome {
    double likelihood[3][MOST], posterior[3][MOST];
    size_t prediction[3], rows, n_classes;
} outcome;

static bool take(void *user, const capp_result *r) {
    outcome *o = user;
    CHECK_INT(r->row, o->rows);
    memcpy(o->likelihood[r->row], r->likelihood, r->n_classes * sizeof(double));
    memcpy(o->posterior[r->row], r->posterior, r->n_classes * sizeof(double));
    o->prediction[r->row] = r->prediction;
    o->n_classes = r->n_classes;
    o->rows++;
    return true;
}

static outcome run(fixture *f) {
    outcome o = {0};
    CHECK_OK(capp_score(f->session, f->examples, 3, &f->options, take, &o, &f->err), f->err);
    CHECK_INT(o.rows, 3);
    return o;
}

static scores *plain(fixture *f, const capp_example *examples, size_t n) {
    scores *s = calloc(n, sizeof *s);
    CHECK(s);
    CHECK_OK(capp_score(f->session, examples, n, NULL, keep, s, &f->err), f->err);
    return s;
}

/* The log-likelihood of completion c: the sum of log-probabilities and discount times marginals, divided by `by`. */
static double log_likelihood(const scores *s, size_t c, double discount, const scores *marginals, double by) {
    double sum = 0;
    for (size_t t = s->offset[c]; t < s->offset[c + 1]; t++)
        sum += (double)s->logprobs[t] + (marginals ? discount * (double)marginals->logprobs[t] : 0);
    return sum / by;
}

static double count(const scores *s, size_t c) {
    return (double)(s->offset[c + 1] - s->offset[c]);
}

static double by_tokens(void *user, const double *logprobs, size_t n, capp_str completion) {
    double least = 0;
    for (size_t i = 0; i < n; i++)
        if (logprobs[i] < least) least = logprobs[i];
    ++*(size_t *)user;
    return least - (double)completion.size;
}

TEST(aggregates) {
    fixture f;
    open_fixture(&f, "llama");
    scores *s = plain(&f, f.examples, 3);
    for (int how = CAPP_AGGREGATE_MEAN; how <= CAPP_AGGREGATE_BYTES; how++) {
        f.options.aggregate = (capp_aggregate)how;
        f.options.scoring = how == CAPP_AGGREGATE_BYTES ? NULL : &f.scoring; /* it is optional */
        outcome o = run(&f);
        for (size_t i = 0; i < 3; i++) {
            double sum = 0;
            for (size_t c = 0; c < MOST; c++) {
                double by = how == CAPP_AGGREGATE_MEAN  ? count(&s[i], c)
                            : how == CAPP_AGGREGATE_SUM ? 1
                                                        : (double)strlen(words[c]);
                CHECK_NEAR(o.likelihood[i][c], exp(log_likelihood(&s[i], c, 0, NULL, by)), 1e-12);
                sum += o.likelihood[i][c];
            }
            for (size_t c = 0; c < MOST; c++) CHECK_NEAR(o.posterior[i][c], o.likelihood[i][c] / sum, 1e-12);
        }
    }
    free_scores(s, 3);
    close_fixture(&f);
}

TEST(a_callers_aggregate) {
    fixture f;
    size_t calls = 0;
    open_fixture(&f, "gpt2");
    scores *s = plain(&f, f.examples, 3);
    f.options.aggregate = CAPP_AGGREGATE_CALLER;
    for (int given = 0; given < 2; given++) {
        f.options.scoring = given ? &f.scoring : NULL;
        CHECK_INT(capp_score(f.session, f.examples, 3, &f.options, take, NULL, &f.err), CAPP_EINVAL);
        CHECK_CONTAINS(f.err.message, "aggregate_fn");
    }
    f.scoring.aggregate_fn = by_tokens;
    f.scoring.aggregate_user = &calls;
    outcome o = run(&f);
    CHECK_INT(calls, 3 * MOST);
    for (size_t c = 0; c < MOST; c++) {
        double least = 0;
        for (size_t t = s[1].offset[c]; t < s[1].offset[c + 1]; t++)
            if ((double)s[1].logprobs[t] < least) least = (double)s[1].logprobs[t];
        CHECK_NEAR(o.likelihood[1][c], exp(least - (double)strlen(words[c])), 1e-12);
    }
    free_scores(s, 3);
    close_fixture(&f);
}

/* The defaults written out give the results of no capp_scoring, to the bit. */
TEST(defaults_are_the_defaults) {
    fixture f;
    double prior[MOST] = {0.5, 0.25, 0.25}, with[3 * MOST], without[3 * MOST];
    size_t prediction[3];
    open_fixture(&f, "gemma3");
    f.examples[1].prior = prior;
    f.examples[2].normalize = false;
    CHECK_OK(capp_predict_proba(f.session, f.examples, 3, &f.options, with, &f.err), f.err);
    CHECK_OK(capp_predict_proba(f.session, f.examples, 3, NULL, without, &f.err), f.err);
    CHECK(!memcmp(with, without, sizeof with));
    CHECK_OK(capp_predict(f.session, f.examples, 3, &f.options, prediction, &f.err), f.err);
    for (size_t i = 0; i < 3; i++)
        for (size_t c = 0; c < MOST; c++) CHECK(with[i * MOST + c] <= with[i * MOST + prediction[i]]);
    close_fixture(&f);
}

/* Without a prior nothing is multiplied: the values before normalization are likelihoods. */
TEST(not_normalized_is_the_likelihood) {
    fixture f;
    open_fixture(&f, "llama");
    f.options.scoring = NULL;
    f.examples[1].normalize = false;
    outcome o = run(&f);
    CHECK(!memcmp(o.posterior[1], o.likelihood[1], sizeof o.posterior[1]));
    CHECK(memcmp(o.posterior[0], o.likelihood[0], sizeof o.posterior[0]));
    close_fixture(&f);
}

typedef struct texts {
    double *marginals;
    size_t n;
} texts;

static bool take_text(void *user, const capp_text_result *r) {
    texts *t = user;
    CHECK(isnan(r->logprobs[0]));
    for (size_t i = 0; i < r->n; i++) t->marginals[t->n++] = (double)r->logprobs[i];
    return true;
}

/* Discounts by the engine's marginals, and by the same ones given. */
static void check_discount(const char *arch, bool space) {
    fixture f;
    double marginals[200];
    texts t = {marginals, 0};
    char text[MOST][40];
    capp_str list[MOST];
    open_fixture(&f, arch);
    for (size_t i = 0; i < MOST; i++) {
        snprintf(text[i], sizeof text[i], "%s%s", space ? " " : "", words[i]);
        list[i] = capp_str_of(text[i]);
    }
    CHECK_OK(capp_token_logprobs(f.session, list, MOST, 0, NULL, take_text, &t, &f.err), f.err);
    scores *s = plain(&f, f.examples, 3);
    CHECK_INT(t.n, s[0].n);
    f.scoring.discount = -0.7;
    outcome o = run(&f), given;
    for (size_t i = 0; i < 3; i++)
        for (size_t c = 0; c < MOST; c++) {
            double sum = 0;
            for (size_t k = s[i].offset[c]; k < s[i].offset[c + 1]; k++)
                sum += (double)s[i].logprobs[k] + (isnan(marginals[k]) ? 0 : -0.7 * marginals[k]);
            CHECK_NEAR(o.likelihood[i][c], exp(sum / count(&s[i], c)), 1e-12);
        }
    f.scoring.marginals = marginals;
    f.scoring.marginal_offset = s[0].offset;
    f.scoring.n_marginals = MOST;
    given = run(&f);
    CHECK(!memcmp(&o, &given, sizeof o));
    f.scoring.n_marginals--;
    CHECK_INT(capp_score(f.session, f.examples, 3, &f.options, take, &given, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "marginals for 7 completions, but the example has ");
    f.scoring.n_marginals++;
    s[0].offset[2]++;
    CHECK_INT(capp_score(f.session, f.examples, 3, &f.options, take, &given, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "tokens");
    free_scores(s, 3);
    close_fixture(&f);
}

TEST(discounts_byte_level) {
    check_discount("llama", true);
}
TEST(discounts_gpt2) {
    check_discount("gpt2", true);
}

TEST(mutual_information_with_a_domain_prompt) {
    fixture f;
    open_fixture(&f, "gemma3");
    scores *s = plain(&f, f.examples, 3);
    capp_example domain = f.examples[0];
    domain.prompt = capp_str_of("a zone");
    scores *d = plain(&f, &domain, 1);
    f.options.aggregate = CAPP_AGGREGATE_SUM;
    f.scoring.discount = -1;
    f.scoring.domain = domain.prompt;
    outcome o = run(&f);
    for (size_t i = 0; i < 3; i++)
        for (size_t c = 0; c < MOST; c++) {
            double expected = exp(log_likelihood(&s[i], c, -1, d, 1));
            CHECK_NEAR(o.likelihood[i][c] / expected, 1, 1e-9);
        }
    free_scores(s, 3);
    free_scores(d, 1);
    close_fixture(&f);
}

TEST(phrasings_add) {
    fixture f;
    size_t class_of[MOST] = {0, 1, 1, 2, 0, 2, 2, 1};
    double prior[3] = {0.5, 0.4, 0.1};
    open_fixture(&f, "llama");
    f.options.scoring = NULL;
    outcome alone = run(&f);
    f.options.scoring = &f.scoring;
    f.scoring.class_of = class_of;
    f.scoring.n_phrasings = MOST;
    f.scoring.n_classes = 3;
    f.examples[1].prior = prior;
    f.examples[2].normalize = false;
    outcome o = run(&f);
    CHECK_INT(o.n_classes, 3);
    for (size_t i = 0; i < 3; i++) {
        double sums[3] = {0}, total = 0, best = 0;
        for (size_t c = 0; c < MOST; c++) sums[class_of[c]] += alone.likelihood[i][c];
        for (size_t k = 0; k < 3; k++) {
            CHECK_NEAR(o.likelihood[i][k] / sums[k], 1, 1e-12);
            if (i == 1) sums[k] *= prior[k];
            total += sums[k];
            if (sums[k] > best) best = sums[k];
        }
        for (size_t k = 0; k < 3; k++) CHECK_NEAR(o.posterior[i][k], i == 2 ? sums[k] : sums[k] / total, 1e-12);
        CHECK_NEAR(sums[o.prediction[i]], best, 0);
    }
    double proba[9];
    CHECK_OK(capp_predict_proba(f.session, f.examples, 3, &f.options, proba, &f.err), f.err);
    CHECK_NEAR(proba[8], o.posterior[2][2], 0);
    close_fixture(&f);
}

TEST(phrasings_too_improbable_for_a_double_still_add) {
    double aggregate[] = {-2000, -2000 - 0.5, -2001, -INFINITY}, classes[3];
    capp_decide_classes(aggregate, (size_t[]){0, 0, 1, 2}, 4, classes, 3);
    CHECK_NEAR(classes[0], -2000 + log(1 + exp(-0.5)), 1e-9);
    CHECK_NEAR(classes[1], -2001, 0);
    CHECK(isinf(classes[2]));
}

TEST(margin_by_tokens) {
    static const size_t offset[] = {0, 1, 5}; /* completions of one and of four tokens */
    CHECK_NEAR(capp_decide_margin(CAPP_AGGREGATE_MEAN, 0.2, offset, 2), 0.2 * sqrt((1 + 0.25) / 2), 1e-15);
    CHECK_NEAR(capp_decide_margin(CAPP_AGGREGATE_SUM, 0.2, offset, 2), 0.2 * sqrt((1 + 4.0) / 2), 1e-15);
    CHECK_NEAR(capp_decide_margin(CAPP_AGGREGATE_BYTES, 0.2, offset, 2), 0.05 * sqrt((1 + 0.25) / 2), 1e-15);
    CHECK_NEAR(capp_decide_margin(CAPP_AGGREGATE_CALLER, 0.2, offset, 2), 0.2, 1e-15);
    for (int aggregate = 0; aggregate <= CAPP_AGGREGATE_CALLER; aggregate++)
        CHECK_NEAR(capp_decide_margin((capp_aggregate)aggregate, 0.2, offset, 1),
                   aggregate == CAPP_AGGREGATE_BYTES ? 0.05 : 0.2, 1e-15);
}

static void refuse(fixture *f, const char *message) {
    outcome o = {0};
    CHECK_INT(capp_score(f->session, f->examples, 3, &f->options, take, &o, &f->err), CAPP_EINVAL);
    CHECK_CONTAINS(f->err.message, message);
}

TEST(bad_scorings_are_named) {
    fixture f;
    size_t class_of[MOST] = {0, 1, 1, 2, 0, 2, 2, 1};
    double some[2] = {0};
    size_t prediction[3];
    open_fixture(&f, "llama");
    f.options.aggregate = (capp_aggregate)9;
    refuse(&f, "invalid capp_aggregate 9");
    f.options.aggregate = CAPP_AGGREGATE_MEAN;
    capp_scoring_init(&f.scoring);
    f.scoring.marginals = some;
    refuse(&f, "without a discount");
    f.scoring.marginals = NULL;
    f.scoring.domain = capp_str_of("a");
    refuse(&f, "without a discount");
    f.scoring.discount = (double)NAN;
    refuse(&f, "discount is");
    f.scoring.discount = 1;
    f.scoring.marginals = some;
    refuse(&f, "marginal_offset");
    f.scoring.marginal_offset = class_of;
    refuse(&f, "use one of the two");
    capp_scoring_init(&f.scoring);
    f.scoring.class_of = class_of;
    refuse(&f, "no classes");
    f.scoring.n_classes = 2;
    f.scoring.n_phrasings = MOST;
    refuse(&f, "phrasing 3 is of class 2, but there are 2 classes; count classes from 0");
    f.scoring.n_classes = 4;
    refuse(&f, "class 3 has no phrasing");
    f.scoring.n_classes = SIZE_MAX;
    refuse(&f, "class 3 has no phrasing");
    f.scoring.n_classes = 3;
    f.scoring.n_phrasings = MOST - 1;
    refuse(&f, "the classes have 7 phrasings");
    f.scoring.n_phrasings = MOST;
    memset(class_of, 0, sizeof class_of);
    f.scoring.n_classes = 1;
    refuse(&f, "at least two classes");
    CHECK_INT(capp_predict(f.session, f.examples, 3, &f.options, prediction, &f.err), CAPP_EINVAL);
    close_fixture(&f);
}

/* Rows before an invalid row, or a row whose completions have no marginals, are handed over. */
TEST(a_bad_row_loses_nothing_of_a_scoring) {
    fixture f;
    outcome o = {0};
    capp_str bad[] = {capp_str_of("a"), {"\xff", 1}};
    open_fixture(&f, "llama");
    f.scoring.discount = 1;
    f.examples[2].completions = bad;
    f.examples[2].n_completions = 2;
    CHECK_INT(capp_score(f.session, f.examples, 3, &f.options, take, &o, &f.err), CAPP_EINVAL);
    CHECK_INT(f.err.row, 2);
    CHECK_INT(o.rows, 2);
    f.examples[1].prompt.size = 0;
    o.rows = 0;
    CHECK_INT(capp_score(f.session, f.examples, 3, &f.options, take, &o, &f.err), CAPP_EINVAL);
    CHECK_INT(f.err.row, 1);
    CHECK_INT(o.rows, 1);
    close_fixture(&f);
}

static bool stop_at_one(void *user, const capp_result *r) {
    outcome *o = user;
    o->rows++;
    return r->row < 1;
}

TEST(a_scoring_is_cancelled_and_the_session_goes_on) {
    fixture f;
    outcome o = {0};
    open_fixture(&f, "llama");
    f.scoring.discount = 1;
    CHECK_INT(capp_score(f.session, f.examples, 3, &f.options, stop_at_one, &o, &f.err), CAPP_ECANCELLED);
    CHECK_INT(o.rows, 2);
    run(&f);
    close_fixture(&f);
}

static int32_t *ids_of(fixture *f, const char *text, unsigned flags, size_t *n) {
    int32_t *ids;
    CHECK_OK(capp_tokenize(f->model, capp_str_of(text), flags, &ids, n, &f->err), f->err);
    return ids;
}

static void check_ids(fixture *f, const int32_t *ids, size_t n, const char *const *parts, size_t n_parts) {
    size_t at = 0, count;
    for (size_t i = 0; i < n_parts; i++) {
        int32_t *part = ids_of(f, parts[i], i ? 0 : CAPP_TOKENIZE_BOS, &count);
        CHECK(at + count <= n && !memcmp(ids + at, part, count * sizeof *ids));
        capp_free(part);
        at += count;
    }
    CHECK_INT(at, n);
}

/* Prompts after a prefix: the tokens of both, joined by one space, with the log-probabilities of the whole path. */
TEST(prefixes_nest_and_are_joined_by_one_space) {
    fixture f;
    capp_prefix *outer, *inner, *spaced;
    size_t n;
    open_fixture(&f, "llama");
    CHECK_OK(capp_prefix_open(&outer, f.model, NULL, capp_str_of("code me"), 0, &f.err), f.err);
    CHECK_OK(capp_prefix_open(&inner, f.model, outer, capp_str_of("a doe"), 0, &f.err), f.err);
    CHECK_OK(capp_prefix_open(&spaced, f.model, outer, capp_str_of(" a doe"), 0, &f.err), f.err);
    const char *const nested[] = {"code me", " a doe", " the code"};
    const int32_t *ids = capp_prefix_ids(inner, &n);
    check_ids(&f, ids, n, nested, 2);
    ids = capp_prefix_ids(spaced, &n);
    check_ids(&f, ids, n, nested, 2);
    f.options.prefixes = (const capp_prefix *const[]){inner, outer};
    f.options.n_prefixes = 2;
    f.options.scoring = NULL;
    scores *s = calloc(3, sizeof *s);
    CHECK(s);
    CHECK_OK(capp_score(f.session, f.examples, 3, &f.options, keep, s, &f.err), f.err);
    check_ids(&f, s[0].prompt, s[0].n_prompt, nested, 3);
    check_ids(&f, s[1].prompt, s[1].n_prompt, (const char *const[]){"code me", " a doe bade me"}, 2);
    check_ids(&f, s[2].prompt, s[2].n_prompt, (const char *const[]){"code me", " a doe", " q"}, 3);
    capp_gguf *g;
    CHECK_OK(capp_gguf_open(&g, f.path, &f.err), f.err);
    CHECK(worst_difference(g, s, 3) <= 1e-4);
    capp_gguf_free(g);
    free_scores(s, 3);
    capp_prefix_free(outer);
    capp_prefix_free(inner);
    capp_prefix_free(spaced);
    close_fixture(&f);
}

typedef struct text_row {
    size_t n;
    float logprobs[60];
} text_row;

static bool keep_text(void *user, const capp_text_result *r) {
    text_row *t = user;
    t->n = r->n;
    memcpy(t->logprobs, r->logprobs, r->n * sizeof *t->logprobs);
    return true;
}

/* A text after a prefix has its log-probabilities in the whole text, except for its first token. */
TEST(texts_after_a_prefix) {
    fixture f;
    capp_prefix *prefix;
    text_row part, whole;
    size_t n;
    open_fixture(&f, "llama");
    capp_str text = capp_str_of(" a doe bade me"), both = capp_str_of("code me a doe bade me");
    CHECK_OK(capp_prefix_open(&prefix, f.model, NULL, capp_str_of("code me"), 0, &f.err), f.err);
    f.options.prefixes = (const capp_prefix *const[]){prefix};
    f.options.n_prefixes = 1;
    CHECK_OK(capp_token_logprobs(f.session, &text, 1, CAPP_TOKENIZE_BOS, &f.options, keep_text, &part, &f.err), f.err);
    CHECK_OK(capp_token_logprobs(f.session, &both, 1, CAPP_TOKENIZE_BOS, NULL, keep_text, &whole, &f.err), f.err);
    capp_prefix_ids(prefix, &n);
    CHECK_INT(part.n + n, whole.n);
    CHECK(isnan(part.logprobs[0]));
    CHECK(!memcmp(part.logprobs + 1, whole.logprobs + n + 1, (part.n - 1) * sizeof(float)));
    capp_prefix_free(prefix);
    close_fixture(&f);
}

TEST(bad_prefixes_are_named) {
    fixture f;
    capp_prefix *prefix;
    char text[4 * TINY_CONTEXT];
    open_fixture(&f, "llama");
    CHECK_INT(capp_prefix_open(&prefix, f.model, NULL, (capp_str){NULL, 0}, 0, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "the prefix is empty");
    CHECK_INT(capp_prefix_open(&prefix, f.model, NULL, (capp_str){"\xff", 1}, 0, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "UTF-8");
    memset(text, 'q', sizeof text);
    CHECK_INT(capp_prefix_open(&prefix, f.model, NULL, (capp_str){text, sizeof text}, 0, &f.err), CAPP_ETOOLONG);
    CHECK(!prefix);
    close_fixture(&f);
}

/* ---- Windows at a pace ------------------------------------------------------------------------------------------ */

enum { PACED = 200 };

typedef struct paced {
    scores *scores;
    capp_session *session;
    uint64_t first; /* tokens computed before the first result */
    size_t done;    /* rows in the last progress report */
} paced;

static bool keep_paced(void *user, const capp_result *result) {
    paced *p = user;
    capp_stats stats;
    capp_session_get_stats(p->session, &stats);
    if (!result->row) p->first = stats.tokens_computed;
    return keep(p->scores, result);
}

static bool rows_rise(void *user, size_t done, size_t total) {
    paced *p = user;
    CHECK(done >= p->done && done <= total);
    p->done = done;
    return true;
}

/* Results come after a few rows each, with the bits of one window, whatever the pace; progress counts up to the end. */
TEST(windows_at_a_pace_give_the_same_bits) {
    static const double paces[] = {0, 1e-9, 0.01, 1000};
    fixture f;
    open_fixture(&f, "llama");
    capp_example examples[PACED];
    scores *first = NULL;
    uint64_t whole = 0;
    char prompts[PACED][40];
    for (size_t i = 0; i < PACED; i++) {
        snprintf(prompts[i], sizeof prompts[i], "%s a doe %zu bade me", words[i % MOST], i);
        examples[i] = (capp_example){capp_str_of(prompts[i]), f.completions, MOST, NULL, NULL, true};
    }
    for (size_t i = 0; i < sizeof paces / sizeof *paces; i++) {
        capp_session *session;
        CHECK_OK(capp_session_open(&session, f.model, &f.err), f.err);
        paced p = {.scores = calloc(PACED, sizeof *p.scores), .session = session};
        capp_run_options options;
        capp_run_options_init(&options);
        options.window_seconds = paces[i];
        options.progress = rows_rise;
        options.progress_user = &p;
        /* Twice: a call starts at the pace at which the one before ended. */
        for (int turn = 0; turn < 2; turn++) {
            if (turn) free_scores(p.scores, PACED);
            if (turn) p.scores = calloc(PACED, sizeof *p.scores);
            p.done = 0;
            uint64_t seen = turn ? p.first : 0;
            CHECK_OK(capp_score(session, examples, PACED, &options, keep_paced, &p, &f.err), f.err);
            CHECK_INT(p.done, PACED);
            if (!turn && !i) whole = p.first;
            if (!turn && i) CHECK(p.first < whole / 2);
            if (turn) p.first = seen;
        }
        if (!i) first = p.scores;
        for (size_t j = 0; j < PACED && i; j++) {
            CHECK_INT(p.scores[j].n, first[j].n);
            CHECK(!memcmp(p.scores[j].logprobs, first[j].logprobs, first[j].n * sizeof *first[j].logprobs));
        }
        if (i) free_scores(p.scores, PACED);
        capp_session_free(session);
    }
    free_scores(first, PACED);
    close_fixture(&f);
}
