/* Precision auto: which completions are scored again in float32, by the scores that the call asked for, and with which
 * marginals. The results are compared with the two lanes run separately and scores computed here. The float32 lane gets
 * the weights of another model, so the lanes differ by much more than the margin. */
#include <unistd.h>

#include "capp_arrays.h"
#include "counted.h"
#include "engine/handles.h"
#include "test.h"
#include "tiny.h"
#include "units.h"

enum { ROWS = 48, MOST = 13, CLASSES = 3, MOST_TOKENS = 64, FEW = 12 };

static const char *const words[MOST] = {"aeon", "be",   "ode",  "do", "a",  "me",  "doe",
                                        "code", "bade", "zone", "ma", "no", "aeon"};
static const size_t class_of[MOST] = {0, 1, 1, 2, 0, 2, 2, 1, 0, 0, 1, 2, 0};

/* The options of a call. */
typedef struct manner {
    capp_aggregate aggregate;
    double discount;
    bool domain, classes;
    double margin; /* relative to that of a session, before tokens count */
} manner;

static const manner manners[] = {
    {CAPP_AGGREGATE_MEAN, 0, false, false, 1},      {CAPP_AGGREGATE_SUM, 0, false, false, 1},
    {CAPP_AGGREGATE_BYTES, 0, false, false, 0.25},  {CAPP_AGGREGATE_CALLER, 0, false, false, 1},
    {CAPP_AGGREGATE_MEAN, -0.5, false, false, 1.5}, {CAPP_AGGREGATE_SUM, -1, true, false, 2},
    {CAPP_AGGREGATE_MEAN, 0, false, true, 1},
};

/* All results of a call. */
typedef struct outcome {
    size_t offset[MOST + 1];
    float logprobs[ROWS][MOST_TOKENS], first[ROWS][MOST_TOKENS];
    bool rescored[ROWS][MOST];
    double marginals[MOST_TOKENS];
    double likelihood[ROWS][MOST];
    size_t prediction[ROWS], rows;
} outcome;

static bool take(void *user, const capp_result *r) {
    outcome *o = user;
    CHECK_INT(r->row, o->rows++);
    CHECK(r->offset[r->n_completions] <= MOST_TOKENS);
    memcpy(o->offset, r->offset, sizeof o->offset);
    memcpy(o->logprobs[r->row], r->logprobs, r->offset[r->n_completions] * sizeof(float));
    bool again = r->rescored != NULL;
    CHECK_INT(again, r->first_logprobs != NULL);
    memcpy(o->first[r->row], again ? r->first_logprobs : r->logprobs, r->offset[r->n_completions] * sizeof(float));
    for (size_t i = 0; i < r->n_completions; i++) o->rescored[r->row][i] = again && r->rescored[i];
    if (r->marginals) memcpy(o->marginals, r->marginals, r->offset[r->n_completions] * sizeof(double));
    memcpy(o->likelihood[r->row], r->likelihood, r->n_classes * sizeof(double));
    o->prediction[r->row] = r->prediction;
    return true;
}

static double least(void *user, const double *logprobs, size_t n, capp_str completion) {
    double found = 0;
    (void)user, (void)completion;
    for (size_t i = 0; i < n; i++)
        if (logprobs[i] < found) found = logprobs[i];
    return found;
}

typedef struct fixture {
    char path[64], other_path[64], prompts[ROWS][40];
    capp_model *model, *other;
    capp_session *both, *fast, *exact;
    capp_str completions[MOST];
    capp_example examples[ROWS];
    size_t cancel_at;
    capp_error err;
} fixture;

static void open_fixture(fixture *f, const char *unit, uint64_t seed, bool other) {
    test_random r = {seed};
    f->other = NULL;
    tiny_model_file("llama", seed, f->path);
    f->model = open_unit(f->path, unit, 1, 2 << 20); /* several waves */
    CHECK_OK(capp_session_open(&f->both, f->model, &f->err), f->err);
    CHECK_OK(capp_session_open(&f->fast, f->model, &f->err), f->err);
    CHECK_OK(capp_session_open(&f->exact, f->model, &f->err), f->err);
    CHECK(f->both->exact.weights);
    if (other) {
        tiny_model_file("llama", seed + 100, f->other_path);
        f->other = open_unit(f->other_path, unit, 1, 0);
        f->both->exact.weights = f->exact->exact.weights = f->other->exact;
    }
    f->exact->fast.weights = f->exact->exact.weights;
    f->fast->exact.weights = f->exact->exact.weights = NULL;
    for (size_t i = 0; i < MOST; i++) f->completions[i] = capp_str_of(words[i]);
    for (size_t i = 0; i < ROWS; i++) {
        snprintf(f->prompts[i], sizeof f->prompts[i], "%s %s", words[test_random_below(&r, MOST - 1)],
                 words[test_random_below(&r, MOST - 1)]);
        f->examples[i] = (capp_example){capp_str_of(f->prompts[i]), f->completions, MOST, NULL, NULL, false};
    }
}

static void close_fixture(fixture *f) {
    capp_session_free(f->both);
    capp_session_free(f->fast);
    capp_session_free(f->exact);
    capp_model_free(f->model);
    unlink(f->path);
    if (!f->other) return;
    capp_model_free(f->other);
    unlink(f->other_path);
}

static void set_options(const manner *m, capp_run_options *options, capp_scoring *scoring) {
    capp_run_options_init(options);
    capp_scoring_init(scoring);
    options->aggregate = m->aggregate;
    options->scoring = scoring;
    scoring->aggregate_fn = least;
    scoring->discount = m->discount;
    if (m->domain) scoring->domain = capp_str_of("a zone");
    if (m->classes) {
        scoring->class_of = class_of;
        scoring->n_phrasings = MOST;
        scoring->n_classes = CLASSES;
    }
}

static outcome run(fixture *f, capp_session *session, const manner *m) {
    outcome o = {.rows = 0};
    capp_run_options options;
    capp_scoring scoring;
    set_options(m, &options, &scoring);
    CHECK_OK(capp_score(session, f->examples, ROWS, &options, take, &o, &f->err), f->err);
    CHECK_INT(o.rows, ROWS);
    return o;
}

static bool take_text(void *user, const capp_text_result *r) {
    double **marginals = user;
    for (size_t i = 0; i < r->n; i++) *(*marginals)++ = i ? (double)r->logprobs[i] : 0;
    return true;
}

/* Of all tokens, in float32. */
static void find_marginals(fixture *f, const manner *m, double *marginals) {
    if (m->domain) {
        outcome *o = calloc(1, sizeof *o);
        CHECK(o);
        capp_example domain = f->examples[0];
        domain.prompt = capp_str_of("a zone");
        CHECK_OK(capp_score(f->exact, &domain, 1, NULL, take, o, &f->err), f->err);
        for (size_t i = 0; i < o->offset[MOST]; i++) marginals[i] = (double)o->logprobs[0][i];
        free(o);
        return;
    }
    char spaced[MOST][20];
    capp_str texts[MOST];
    for (size_t i = 0; i < MOST; i++) {
        snprintf(spaced[i], sizeof spaced[i], " %s", words[i]);
        texts[i] = capp_str_of(spaced[i]);
    }
    CHECK_OK(capp_token_logprobs(f->exact, texts, MOST, 0, NULL, take_text, &marginals, &f->err), f->err);
}

/* Log-likelihoods of a row's classes. Returns their number. */
static size_t weigh(const manner *m, const outcome *o, size_t row, const double *marginals, double *scores) {
    double likelihood[MOST] = {0};
    for (size_t c = 0; c < MOST; c++) {
        double sum = 0, low = 0, n = (double)(o->offset[c + 1] - o->offset[c]);
        for (size_t t = o->offset[c]; t < o->offset[c + 1]; t++) {
            double logprob = (double)o->logprobs[row][t] + m->discount * marginals[t];
            sum += logprob;
            if (logprob < low) low = logprob;
        }
        scores[c] = m->aggregate == CAPP_AGGREGATE_MEAN    ? sum / n
                    : m->aggregate == CAPP_AGGREGATE_SUM   ? sum
                    : m->aggregate == CAPP_AGGREGATE_BYTES ? sum / (double)strlen(words[c])
                                                           : low;
        likelihood[m->classes ? class_of[c] : c] += exp(scores[c]);
    }
    for (size_t k = 0; k < CLASSES && m->classes; k++) scores[k] = log(likelihood[k]);
    return m->classes ? CLASSES : MOST;
}

static bool equals_an_earlier(size_t i) {
    for (size_t j = 0; j < i; j++)
        if (!strcmp(words[i], words[j])) return true;
    return false;
}

/* Finds the completions within the margin of the best of n classes; none if no other class, or no class with another
 * text, is within it. Returns the best score. */
static double find_contenders(const manner *m, const double *scores, size_t n, double margin, bool *again) {
    double top = -INFINITY;
    size_t n_near = 0;
    for (size_t i = 0; i < n; i++) top = scores[i] > top ? scores[i] : top;
    for (size_t i = 0; i < n; i++) n_near += scores[i] > top - margin && (m->classes || !equals_an_earlier(i));
    for (size_t i = 0; i < MOST; i++) again[i] = n_near > 1 && scores[m->classes ? class_of[i] : i] > top - margin;
    return top;
}

/* The log-probabilities of a row; completions that are scored again have those of the exact lane. */
static void mix(outcome *mixed, const outcome *fast, const outcome *exact, size_t row, const bool *again) {
    *mixed = *fast;
    for (size_t c = 0; c < MOST; c++)
        for (size_t t = fast->offset[c]; again[c] && t < fast->offset[c + 1]; t++)
            mixed->logprobs[row][t] = exact->logprobs[row][t];
}

/* The margin of a row whose completions end at `offset`. */
static double margin_of(const fixture *f, const manner *m, const size_t *offset) {
    double sum = 0;
    for (size_t i = 0; i < MOST; i++) {
        double n = (double)(offset[i + 1] - offset[i]);
        sum += m->aggregate == CAPP_AGGREGATE_SUM ? n : m->aggregate == CAPP_AGGREGATE_CALLER ? 1 : 1 / n;
    }
    return capp_session_margin(f->both) * m->margin * sqrt(sum / MOST);
}

typedef struct counts {
    size_t rows, close, whole; /* whole: the ones scored again all fell below others */
} counts;

static void check_manner(fixture *f, const manner *m, counts *found) {
    double marginals[MOST_TOKENS], scores[MOST];
    uint64_t before = f->both->stats.rows_rescored, rows = f->both->stats.rows;
    outcome both = run(f, f->both, m), fast = run(f, f->fast, m), exact = run(f, f->exact, m);
    static outcome mixed;
    const double margin = margin_of(f, m, fast.offset);
    size_t n_close = 0;
    CHECK_INT(f->both->stats.rows - rows, ROWS);
    find_marginals(f, m, marginals);
    for (size_t i = 0; i < ROWS; i++) {
        size_t bytes = both.offset[MOST] * sizeof(float);
        size_t n = weigh(m, &fast, i, marginals, scores);
        bool again[MOST], close = false;
        double top = find_contenders(m, scores, n, margin, again), best = -INFINITY;
        CHECK(memcmp(fast.logprobs[i], exact.logprobs[i], bytes));
        mix(&mixed, &fast, &exact, i, again);
        weigh(m, &mixed, i, marginals, scores);
        for (size_t c = 0; c < MOST; c++) {
            double score = scores[m->classes ? class_of[c] : c];
            if (again[c] && score > best) best = score;
            close |= again[c];
        }
        bool whole = close && best + margin < top;
        CHECK(!memcmp(both.logprobs[i], whole ? exact.logprobs[i] : mixed.logprobs[i], bytes));
        weigh(m, &both, i, marginals, scores);
        for (size_t k = 0; k < n; k++) {
            CHECK_NEAR(both.likelihood[i][k] / exp(scores[k]), 1, 1e-9);
            CHECK(scores[k] <= scores[both.prediction[i]] + 1e-9);
        }
        n_close += (size_t)close;
        found->whole += whole;
    }
    CHECK_INT(f->both->stats.rows_rescored - before, n_close);
    found->rows += ROWS;
    found->close += n_close;
}

/* capp_decide makes the results of the call from what it delivered, bit for bit. Without the scores of the exact lane,
 * it says which rows it cannot decide. */
static size_t check_stored(fixture *f, const manner *m) {
    static float first[ROWS * MOST_TOKENS], exact[ROWS * MOST_TOKENS];
    static double likelihood[ROWS * MOST];
    outcome both = run(f, f->both, m);
    size_t tokens = both.offset[MOST], n = m->classes ? CLASSES : MOST, prediction[ROWS], n_undecided = 0;
    bool undecided[ROWS], rescored[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        memcpy(first + i * tokens, both.first[i], tokens * sizeof *first);
        memcpy(exact + i * tokens, both.logprobs[i], tokens * sizeof *exact);
        rescored[i] = false;
        for (size_t c = 0; c < MOST; c++) rescored[i] |= both.rescored[i][c];
    }
    int32_t ids[MOST_TOKENS];
    for (size_t c = 0; c < MOST; c++) /* one id for each text and place: only equal texts have equal tokens */
        for (size_t t = both.offset[c]; t < both.offset[c + 1]; t++)
            ids[t] = (int32_t)(100 * (c == MOST - 1 ? 0 : c) + t - both.offset[c]);
    capp_run_options options;
    capp_scoring scoring;
    set_options(m, &options, &scoring);
    scoring.domain = (capp_str){NULL, 0};
    if (m->discount != 0) {
        CHECK_INT(capp_decide(&(capp_logprobs){.offset = both.offset}, &f->examples[0], &options, &(capp_decided){0},
                              &f->err),
                  CAPP_EINVAL);
        scoring.marginals = both.marginals;
        scoring.marginal_offset = both.offset;
        scoring.n_marginals = MOST;
    }
    capp_model_info info;
    capp_model_get_info(f->model, &info);
    capp_logprobs given = {.n = ROWS,
                           .offset = both.offset,
                           .logprobs = first,
                           .exact = exact,
                           .rescored = &both.rescored[0][0],
                           .ids = ids,
                           .margin = info.margin};
    const capp_decided decided = {.posterior = likelihood, .prediction = prediction, .undecided = undecided};
    CHECK_OK(capp_decide(&given, &f->examples[0], &options, &decided, &f->err), f->err);
    for (size_t i = 0; i < ROWS; i++) {
        CHECK(!memcmp(likelihood + i * n, both.likelihood[i], n * sizeof *likelihood) && !undecided[i]);
        CHECK_INT(prediction[i], both.prediction[i]);
    }
    given.rescored = NULL;
    CHECK_OK(capp_decide(&given, &f->examples[0], &options, &decided, &f->err), f->err);
    for (size_t i = 0; i < ROWS; i++) {
        CHECK_INT(undecided[i], rescored[i]);
        n_undecided += undecided[i];
    }
    return n_undecided;
}

static bool take_decision(void *user, const capp_decision *d) {
    ((size_t *)user)[d->row] = d->prediction;
    return true;
}

/* Deciding without finishing gives the same decisions, where it supports the options. */
static void check_decisions(fixture *f, const manner *m) {
    size_t prediction[ROWS];
    capp_run_options options;
    if (m->aggregate == CAPP_AGGREGATE_CALLER || m->discount != 0 || m->classes) return;
    capp_run_options_init(&options);
    options.aggregate = m->aggregate;
    outcome both = run(f, f->both, m);
    CHECK_OK(capp_predict_early(f->both, f->examples, ROWS, &options, take_decision, prediction, &f->err), f->err);
    CHECK(!memcmp(prediction, both.prediction, sizeof prediction));
}

static bool cancel_at(void *user, const capp_result *r) {
    fixture *f = user;
    if (r->row == f->cancel_at) capp_session_cancel(f->both);
    return true;
}

/* A call that is cancelled after any row, whichever lane is running then, leaves a session that still works. */
static void check_cancelling(fixture *f) {
    outcome before = run(f, f->both, &manners[0]);
    size_t n_cancelled = 0;
    for (f->cancel_at = 0; f->cancel_at < ROWS; f->cancel_at++) {
        capp_status st = capp_score(f->both, f->examples, ROWS, NULL, cancel_at, f, &f->err);
        n_cancelled += st == CAPP_ECANCELLED;
        CHECK(st == CAPP_OK || st == CAPP_ECANCELLED);
    }
    CHECK(n_cancelled > 0);
    outcome after = run(f, f->both, &manners[0]);
    CHECK(!memcmp(&before, &after, sizeof before));
}

/* FEW rows, half of them close if there are enough: indices into examples. Returns the number of close rows. */
static size_t choose_rows(fixture *f, size_t *rows) {
    size_t n = 0, n_close = 0;
    for (int close = 1; close >= 0; close--)
        for (size_t i = 0; i < ROWS && n < (close ? FEW / 2 : FEW); i++) {
            uint64_t before = f->both->stats.rows_rescored;
            outcome *o = calloc(1, sizeof *o);
            CHECK(o);
            CHECK_OK(capp_score(f->both, &f->examples[i], 1, NULL, take, o, &f->err), f->err);
            if (f->both->stats.rows_rescored - before == (uint64_t)close) rows[n++] = i, n_close += (size_t)close;
            free(o);
        }
    CHECK_INT(n, FEW);
    return n_close;
}

/* Each allocation of a call fails in turn, including those of the exact lane inside the other lane's run. Each failure
 * is an error with a message, and leaves a session that still works. False: no row is close, nothing was tried. */
static bool check_failures(fixture *f) {
    outcome before = run(f, f->both, &manners[0]);
    size_t rows[FEW];
    capp_example examples[FEW];
    if (!choose_rows(f, rows)) return false;
    for (size_t i = 0; i < FEW; i++) examples[i] = f->examples[rows[i]];
    uint64_t n_again = 0;
    for (uint64_t n = 0;; n++) {
        capp_session *session;
        CHECK_OK(capp_session_open(&session, f->model, &f->err), f->err);
        outcome *o = calloc(1, sizeof *o);
        CHECK(o);
        counted_fail_after(n);
        capp_status st = capp_score(session, examples, FEW, NULL, take, o, &f->err);
        bool failed = counted.failed;
        counted_fail_after(COUNTED_NEVER);
        CHECK_INT(st, failed ? CAPP_ENOMEM : CAPP_OK);
        if (failed) CHECK_CONTAINS(f->err.message, "memory");
        memset(o, 0, sizeof *o);
        CHECK_OK(capp_score(session, examples, FEW, NULL, take, o, &f->err), f->err);
        for (size_t i = 0; i < FEW; i++)
            CHECK(!memcmp(o->logprobs[i], before.logprobs[rows[i]], before.offset[MOST] * sizeof(float)));
        n_again += session->stats.rows_rescored;
        capp_session_free(session);
        free(o);
        if (!failed) break;
    }
    CHECK(n_again > 0);
    return true;
}

static void check_unit(const char *unit) {
    counts far = {0};
    size_t n_undecided = 0;
    bool failed = false;
    need_unit(unit);
    counted_install();
    for (size_t i = 0; i < sizeof manners / sizeof *manners; i++) {
        counts n = {0};
        for (uint64_t seed = 1; seed <= 4; seed++) {
            fixture f;
            for (int other = 0; other < 2; other++) {
                open_fixture(&f, unit, seed, other);
                check_manner(&f, &manners[i], other ? &far : &n);
                check_decisions(&f, &manners[i]);
                n_undecided += check_stored(&f, &manners[i]);
                if (!i && !failed) check_cancelling(&f), failed = check_failures(&f);
                close_fixture(&f);
            }
        }
        if (!n.close || n.close == n.rows)
            FAIL("manner %zu: %zu of %zu rows are close, which shows nothing", i, n.close, n.rows);
    }
    CHECK(failed && n_undecided > 0);
    if (!far.whole || far.whole == far.close) FAIL("%zu of %zu close rows are whole", far.whole, far.close);
}

TEST(close_rows_avx512bf16) {
    check_unit("avx512bf16_auto");
}
TEST(close_rows_amx) {
    check_unit("amx_auto");
}
TEST(close_rows_neonbf16) {
    check_unit("neonbf16_auto");
}
TEST(slow_close_rows_emulated) {
    check_unit("tiles_emulated");
}
