#include "decide/weigh.h"

#include <math.h>

#include "base/mem.h"
#include "decide/decide.h"

/* ---- Checks ---- */

static capp_status check_classes(const capp_scoring *o, capp_error *err) {
    if (!o->n_classes) return capp_fail(err, CAPP_EINVAL, "there are no classes");
    for (size_t i = 0; i < o->n_phrasings; i++)
        if (o->class_of[i] >= o->n_classes)
            return capp_fail(err, CAPP_EINVAL, "phrasing %zu is of class %zu, but there are %zu classes", i,
                             o->class_of[i], o->n_classes);
    /* Of the first n_phrasings + 1 classes one has none, if there are as many. */
    size_t k = 0, n = o->n_classes <= o->n_phrasings ? o->n_classes : o->n_phrasings + 1;
    bool *seen = capp_new0(n, sizeof *seen);
    if (!seen) return capp_fail_memory(err, "the classes");
    for (size_t i = 0; i < o->n_phrasings; i++)
        if (o->class_of[i] < n) seen[o->class_of[i]] = true;
    while (k < n && seen[k]) k++;
    capp_free(seen);
    return k < n ? capp_fail(err, CAPP_EINVAL, "class %zu has no phrasing", k) : CAPP_OK;
}

static capp_status check_scoring(const capp_scoring *o, capp_error *err) {
    if (!isfinite(o->discount)) return capp_fail(err, CAPP_EINVAL, "the discount is %g; give a number", o->discount);
    if (o->discount == 0 && o->marginals)
        return capp_fail(err, CAPP_EINVAL, "marginals are given, but without a discount they would not be used");
    if (o->marginals && !o->marginal_offset) return capp_fail(err, CAPP_EINVAL, "marginals need a marginal_offset");
    if (o->discount == 0 && o->domain.size)
        return capp_fail(err, CAPP_EINVAL, "a domain prompt is given, but without a discount it would not be used");
    if (o->marginals && o->domain.size)
        return capp_fail(err, CAPP_EINVAL, "marginals and a domain prompt are given; give one of them");
    return o->class_of ? check_classes(o, err) : CAPP_OK;
}

capp_status capp_weighing_init(capp_weighing *g, const capp_run_options *options, capp_error *err) {
    *g = (capp_weighing){CAPP_AGGREGATE_MEAN, NULL, NULL, NULL};
    g->aggregate = options->aggregate;
    g->scoring = options->scoring;
    capp_status st = capp_decide_check_aggregate(g->aggregate, err);
    if (st != CAPP_OK) return st;
    if (g->aggregate == CAPP_AGGREGATE_CALLER && !(g->scoring && g->scoring->aggregate_fn))
        return capp_fail(err, CAPP_EINVAL, "CAPP_AGGREGATE_CALLER needs a capp_scoring with an aggregate_fn");
    return g->scoring ? check_scoring(g->scoring, err) : CAPP_OK;
}

bool capp_weighing_is_plain(const capp_weighing *g) {
    const capp_scoring *o = g->scoring;
    return g->aggregate != CAPP_AGGREGATE_CALLER && (!o || (o->discount == 0 && !o->class_of));
}

bool capp_weighing_needs_marginals(const capp_weighing *g) {
    return g->scoring && g->scoring->discount != 0 && !g->scoring->marginals;
}

size_t capp_weighing_classes(const capp_weighing *g, const capp_example *e) {
    return g->scoring && g->scoring->class_of ? g->scoring->n_classes : e->n_completions;
}

capp_status capp_weighing_check(const capp_weighing *g, const capp_example *e, capp_error *err) {
    const capp_scoring *o = g->scoring;
    if (!o || !o->class_of) return capp_example_check(e, err);
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

capp_status capp_weighing_check_tokens(const capp_weighing *g, const size_t *offset, size_t n, capp_error *err) {
    const capp_scoring *o = g->scoring;
    if (!o || !o->marginals) return CAPP_OK;
    if (o->n_marginals != n)
        return capp_fail(err, CAPP_EINVAL, "marginals of %zu completions are given, but there are %zu", o->n_marginals,
                         n);
    for (size_t i = 0; i < n; i++) {
        size_t given = o->marginal_offset[i + 1] - o->marginal_offset[i], tokens = offset[i + 1] - offset[i];
        if (given != tokens)
            return capp_fail(err, CAPP_EINVAL, "%zu marginals of completion %zu are given, but it has %zu tokens",
                             given, i, tokens);
    }
    return CAPP_OK;
}

/* ---- Scores ---- */

static const double *marginals_of(const capp_weighing *g, size_t row) {
    if (g->marginals) return g->marginals + g->first[row];
    return g->scoring ? g->scoring->marginals : NULL;
}

/* The aggregate of n log-probabilities of a completion. */
static double aggregate_of(const capp_weighing *g, const double *logprobs, size_t n, capp_str completion) {
    if (g->scoring && g->aggregate == CAPP_AGGREGATE_CALLER)
        return g->scoring->aggregate_fn(g->scoring->aggregate_user, logprobs, n, completion);
    return capp_decide_aggregate(g->aggregate, capp_decide_sum(logprobs, n), n, completion.size);
}

capp_status capp_weigh(const capp_weighing *g, const capp_example *e, size_t row, const float *logprobs,
                       const size_t *offset, double *scratch, double *scores, capp_error *err) {
    const double *marginals = marginals_of(g, row);
    size_t n = e->n_completions, total = offset[n];
    bool classes = g->scoring && g->scoring->class_of;
    double discount = g->scoring ? g->scoring->discount : 0;
    double *discounted = scratch, *aggregate = classes ? scratch + total : scores;
    for (size_t i = 0; i < total; i++) {
        discounted[i] = (double)logprobs[i];
        if (marginals && !isnan(marginals[i])) discounted[i] += discount * marginals[i];
    }
    for (size_t i = 0; i < n; i++) {
        aggregate[i] = aggregate_of(g, discounted + offset[i], offset[i + 1] - offset[i], e->completions[i]);
        if (isnan(aggregate[i]))
            return capp_fail(err, CAPP_EINVAL, "the likelihood of completion %zu is not a number", i);
    }
    if (classes) capp_decide_classes(aggregate, g->scoring->class_of, n, scores, g->scoring->n_classes);
    return CAPP_OK;
}

/* A discount adds the errors of marginals to those of log-probabilities, so many times. */
double capp_weighing_margin(const capp_weighing *g, double mean) {
    double discount = g->scoring ? fabs(g->scoring->discount) : 0;
    return mean * (1 + discount);
}
