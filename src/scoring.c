/* Scoring otherwise than by the mean: marginals first, in a pass of their own over the distinct lists of completions;
 * then capp_score, whose results are weighed anew on their way to the caller. */
#include <math.h>
#include <string.h>

#include "decide/decide.h"
#include "session.h"

/* A list of completions that neighbouring rows share. */
typedef struct list {
    size_t row;   /* the first with it */
    size_t first; /* of its marginals */
} list;

typedef struct scorer {
    capp_session *session;
    const capp_example *examples; /* the caller's */
    const capp_scoring *scoring;
    const capp_run_options *options;
    capp_result_fn fn;
    void *user;
    size_t *list_of; /* [n] the list of a row */
    list *lists;
    size_t n_lists, lists_capacity;
    double *marginals; /* of all lists */
    size_t n_marginals, marginals_capacity;
    double *doubles; /* of one result */
    size_t doubles_capacity;
    capp_error err; /* of a callback */
    capp_status status;
} scorer;

void capp_scoring_init(capp_scoring *scoring) {
    memset(scoring, 0, sizeof *scoring);
}

static bool fails(scorer *s, capp_status status) {
    s->status = status;
    return false;
}

/* ---- Checks ---- */

static capp_status check_scoring(const capp_scoring *o, capp_error *err) {
    if ((unsigned)o->aggregate > CAPP_AGGREGATE_CALLER)
        return capp_fail(err, CAPP_EINVAL, "%d is no capp_aggregate", (int)o->aggregate);
    if (o->aggregate == CAPP_AGGREGATE_CALLER && !o->aggregate_fn)
        return capp_fail(err, CAPP_EINVAL, "CAPP_AGGREGATE_CALLER needs an aggregate_fn");
    if (!isfinite(o->discount)) return capp_fail(err, CAPP_EINVAL, "the discount is %g; give a number", o->discount);
    if (o->discount == 0 && o->marginals)
        return capp_fail(err, CAPP_EINVAL, "marginals are given, but without a discount they would not be used");
    if (o->marginals && !o->marginal_offset) return capp_fail(err, CAPP_EINVAL, "marginals need a marginal_offset");
    if (o->discount == 0 && o->domain.size)
        return capp_fail(err, CAPP_EINVAL, "a domain prompt is given, but without a discount it would not be used");
    if (o->marginals && o->domain.size)
        return capp_fail(err, CAPP_EINVAL, "marginals and a domain prompt are given; give one of them");
    if (!o->class_of) return CAPP_OK;
    if (!o->n_classes) return capp_fail(err, CAPP_EINVAL, "there are no classes");
    for (size_t i = 0; i < o->n_phrasings; i++)
        if (o->class_of[i] >= o->n_classes)
            return capp_fail(err, CAPP_EINVAL, "phrasing %zu is of class %zu, but there are %zu classes", i,
                             o->class_of[i], o->n_classes);
    for (size_t k = 0; k < o->n_classes; k++) {
        size_t i = 0;
        while (i < o->n_phrasings && o->class_of[i] != k) i++;
        if (i == o->n_phrasings) return capp_fail(err, CAPP_EINVAL, "class %zu has no phrasing", k);
    }
    return CAPP_OK;
}

static capp_status check_example(const scorer *s, const capp_example *e, capp_error *err) {
    const capp_scoring *o = s->scoring;
    if (!o->class_of) return capp_example_check(e, err);
    capp_example plain = *e;
    plain.prior = NULL;
    plain.normalize = false;
    capp_status st = capp_example_check(&plain, err);
    if (st != CAPP_OK) return st;
    if (e->n_completions != o->n_phrasings)
        return capp_fail(err, CAPP_EINVAL, "there are %zu completions, but the classes have %zu phrasings",
                         e->n_completions, o->n_phrasings);
    if (e->normalize && o->n_classes == 1)
        return capp_fail(err, CAPP_EINVAL, "one class alone cannot be normalised; give another or turn normalize off");
    return e->prior ? capp_decide_check_prior(e->prior, o->n_classes, err) : CAPP_OK;
}

/* ---- Marginals ---- */

static capp_status push_marginal(scorer *s, double value, capp_error *err) {
    if (!capp_grow(&s->marginals, &s->marginals_capacity, s->n_marginals + 1, sizeof *s->marginals))
        return capp_fail_memory(err, "the marginals");
    s->marginals[s->n_marginals++] = isnan(value) ? 0 : value;
    return CAPP_OK;
}

static bool take_domain(void *user, const capp_result *result) {
    scorer *s = user;
    s->lists[result->row].first = s->n_marginals;
    for (size_t i = 0; i < result->offset[result->n_completions]; i++)
        if (push_marginal(s, (double)result->logprobs[i], &s->err) != CAPP_OK) return fails(s, CAPP_ENOMEM);
    return true;
}

static bool take_text(void *user, const capp_text_result *result) {
    scorer *s = user;
    for (size_t i = 0; i < result->n; i++)
        if (push_marginal(s, (double)result->logprobs[i], &s->err) != CAPP_OK) return fails(s, CAPP_ENOMEM);
    return true;
}

static bool same_list(const capp_example *a, const capp_example *b) {
    bool a_space = !(a->end_of_prompt && !*a->end_of_prompt), b_space = !(b->end_of_prompt && !*b->end_of_prompt);
    return a->completions == b->completions && a->n_completions == b->n_completions && a_space == b_space;
}

static capp_status find_lists(scorer *s, size_t n, capp_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (!i || !same_list(&s->examples[i - 1], &s->examples[i])) {
            if (!capp_grow(&s->lists, &s->lists_capacity, s->n_lists + 1, sizeof *s->lists))
                return capp_fail_memory(err, "the marginals");
            s->lists[s->n_lists++] = (list){.row = i};
        }
        s->list_of[i] = s->n_lists - 1;
    }
    return CAPP_OK;
}

/* Of an inner call: where its result's callback failed, that error counts; *err's row is one of the inner call's. */
static capp_status inner_status(scorer *s, capp_status st, capp_error *err) {
    if (s->status == CAPP_OK) return st;
    if (err) *err = s->err;
    return s->status;
}

static capp_status after_domain(scorer *s, const capp_run_options *options, capp_error *err) {
    capp_example *pseudo = capp_new(s->n_lists, sizeof *pseudo);
    if (!pseudo) return capp_fail_memory(err, "the marginals");
    for (size_t i = 0; i < s->n_lists; i++) {
        pseudo[i] = s->examples[s->lists[i].row];
        pseudo[i].prompt = s->scoring->domain;
        pseudo[i].prior = NULL;
        pseudo[i].normalize = false;
    }
    capp_error inner = {.row = CAPP_NO_ROW};
    capp_status st =
        inner_status(s, capp_score(s->session, pseudo, s->n_lists, options, take_domain, s, &inner), &inner);
    capp_free(pseudo);
    if (st == CAPP_OK) return CAPP_OK;
    if (inner.row != CAPP_NO_ROW) inner.row = s->lists[inner.row].row;
    if (err) *err = inner;
    capp_error_prefix(err, "after the domain prompt");
    return st;
}

/* The completions of one list as texts of their own. */
static capp_status of_list(scorer *s, list *l, const capp_run_options *options, capp_error *err) {
    const capp_example *e = &s->examples[l->row];
    bool space;
    capp_status st;
    if ((st = capp_needs_space(s->session->model, &space, err)) != CAPP_OK) return st;
    if (e->end_of_prompt && !*e->end_of_prompt) space = false;
    size_t bytes = 0, n = e->n_completions;
    for (size_t i = 0; i < n; i++) bytes += e->completions[i].size + 1;
    char *joined = capp_new(bytes, 1);
    capp_str *texts = capp_new(n, sizeof *texts);
    if (joined && texts) {
        char *at = joined;
        for (size_t i = 0; i < n; i++) {
            *at = ' ';
            memcpy(at + 1, e->completions[i].data, e->completions[i].size);
            texts[i] = (capp_str){at + !space, e->completions[i].size + space};
            at += e->completions[i].size + 1;
        }
        l->first = s->n_marginals;
        unsigned flags = options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
        st = inner_status(s, capp_token_logprobs(s->session, texts, n, flags, options, take_text, s, err), err);
    } else
        st = capp_fail_memory(err, "the marginals");
    if (st != CAPP_OK && err->row != CAPP_NO_ROW) err->row = l->row;
    capp_free(texts);
    capp_free(joined);
    return st;
}

/* Marginals of all rows' completions. Inner rows are not the caller's: the count of rows stays. */
static capp_status find_marginals(scorer *s, size_t n, capp_error *err) {
    capp_run_options plain;
    capp_status st;
    capp_run_options_init(&plain);
    plain.parse_special = s->options->parse_special;
    uint64_t rows = s->session->stats.rows;
    if ((st = find_lists(s, n, err)) != CAPP_OK) return st;
    if (s->scoring->domain.size)
        st = after_domain(s, &plain, err);
    else
        for (size_t i = 0; i < s->n_lists && st == CAPP_OK; i++) st = of_list(s, &s->lists[i], &plain, err);
    s->session->stats.rows = rows;
    return st;
}

/* ---- Results ---- */

/* The caller's marginals, or the engine's, or NULL: none. */
static const double *marginals_of(const scorer *s, const capp_result *r) {
    if (s->scoring->discount == 0) return NULL;
    return s->scoring->marginals ? s->scoring->marginals : s->marginals + s->lists[s->list_of[r->row]].first;
}

/* Whether the caller's marginals are of as many tokens as the completions. */
static capp_status check_marginals(const capp_scoring *o, const capp_result *r, capp_error *err) {
    if (o->n_marginals != r->n_completions)
        return capp_fail(err, CAPP_EINVAL, "marginals of %zu completions are given, but there are %zu", o->n_marginals,
                         r->n_completions);
    for (size_t i = 0; i < r->n_completions; i++) {
        size_t given = o->marginal_offset[i + 1] - o->marginal_offset[i], n = r->offset[i + 1] - r->offset[i];
        if (given != n)
            return capp_fail(err, CAPP_EINVAL, "%zu marginals of completion %zu are given, but it has %zu tokens",
                             given, i, n);
    }
    return CAPP_OK;
}

static capp_status aggregate_result(scorer *s, const capp_result *r, double *logprobs, double *aggregate,
                                    capp_error *err) {
    const capp_scoring *o = s->scoring;
    const capp_str *completions = s->examples[r->row].completions;
    const double *marginals = marginals_of(s, r);
    size_t total = r->offset[r->n_completions];
    capp_status st = o->marginals ? check_marginals(o, r, err) : CAPP_OK;
    if (st != CAPP_OK) return st;
    for (size_t i = 0; i < total; i++) {
        double marginal = marginals && !isnan(marginals[i]) ? marginals[i] : 0;
        logprobs[i] = (double)r->logprobs[i] + o->discount * marginal;
    }
    for (size_t i = 0; i < r->n_completions; i++) {
        const double *first = logprobs + r->offset[i];
        size_t n = r->offset[i + 1] - r->offset[i];
        aggregate[i] = o->aggregate == CAPP_AGGREGATE_CALLER
                           ? o->aggregate_fn(o->aggregate_user, first, n, completions[i])
                           : capp_decide_aggregate(o->aggregate, first, n, completions[i].size);
        if (isnan(aggregate[i]))
            return capp_fail(err, CAPP_EINVAL, "the likelihood of completion %zu is not a number", i);
    }
    return CAPP_OK;
}

/* A result of the inner call becomes one of the caller's. */
static bool weigh(void *user, const capp_result *result) {
    scorer *s = user;
    const capp_scoring *o = s->scoring;
    const capp_example *e = &s->examples[result->row];
    capp_result r = *result;
    if (o->class_of) r.n_classes = o->n_classes;
    size_t n = r.n_completions, k = r.n_classes, total = r.offset[n];
    if (!capp_grow(&s->doubles, &s->doubles_capacity, total + n + 3 * k, sizeof *s->doubles))
        return fails(s, capp_fail_memory(&s->err, "the results"));
    double *logprobs = s->doubles, *aggregate = logprobs + total, *classes = aggregate + n, *likelihood = classes + k,
           *posterior = likelihood + k;
    if (aggregate_result(s, result, logprobs, aggregate, &s->err) != CAPP_OK) {
        s->err.row = result->row;
        return fails(s, s->err.status);
    }
    if (o->class_of)
        capp_decide_classes(aggregate, o->class_of, n, classes, k);
    else
        classes = aggregate;
    for (size_t i = 0; i < k; i++) likelihood[i] = exp(classes[i]);
    capp_decide_posterior(classes, e->prior, k, e->normalize, posterior);
    r.prediction = capp_decide_best(classes, e->prior, k);
    r.likelihood = likelihood;
    r.posterior = posterior;
    return s->fn(s->user, &r);
}

/* The first n rows, none of which fails a check. */
static capp_status score_rows(scorer *s, size_t n, capp_error *err) {
    capp_run_options plain = *s->options;
    plain.scoring = NULL;
    capp_example *bare = capp_new(n, sizeof *bare);
    if (!bare) return capp_fail_memory(err, "the rows");
    for (size_t i = 0; i < n; i++) { /* priors and norms are for the classes */
        bare[i] = s->examples[i];
        bare[i].prior = NULL;
        bare[i].normalize = false;
    }
    capp_status st = inner_status(s, capp_score(s->session, bare, n, &plain, weigh, s, err), err);
    capp_free(bare);
    return st;
}

/* Marginals and scores. A row whose marginals fail ends the call after the rows before it. */
static capp_status run(scorer *s, size_t n, capp_error *err) {
    capp_error found = {.row = CAPP_NO_ROW};
    capp_status st = CAPP_OK, later;
    s->list_of = capp_new(n, sizeof *s->list_of);
    if (!s->list_of) return capp_fail_memory(err, "the marginals");
    if (s->scoring->discount != 0 && !s->scoring->marginals) st = find_marginals(s, n, &found);
    if (st != CAPP_OK && found.row == CAPP_NO_ROW) n = 0;
    if (st != CAPP_OK && n) n = found.row;
    s->status = CAPP_OK;
    if (n && (later = score_rows(s, n, err)) != CAPP_OK) return later;
    if (st != CAPP_OK && err) *err = found;
    return st;
}

capp_status capp_score_as(capp_session *session, const capp_example *examples, size_t n,
                          const capp_run_options *options, capp_result_fn fn, void *user, capp_error *err) {
    scorer s = {.session = session,
                .examples = examples,
                .scoring = options->scoring,
                .options = options,
                .fn = fn,
                .user = user};
    capp_error fault;
    capp_status st, row_st = CAPP_OK;
    size_t good = 0;
    if ((st = check_scoring(s.scoring, err)) != CAPP_OK) return st;
    while (good < n && (row_st = check_example(&s, &examples[good], &fault)) == CAPP_OK) good++;
    if (row_st != CAPP_OK) fault.row = good;
    atomic_store(&session->cancelled, false);
    session->nested = true;
    if (good) st = run(&s, good, err);
    session->nested = false;
    capp_free(s.list_of);
    capp_free(s.lists);
    capp_free(s.marginals);
    capp_free(s.doubles);
    if (st == CAPP_OK && row_st != CAPP_OK && err) *err = fault;
    return st != CAPP_OK ? st : row_st;
}
