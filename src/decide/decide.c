#include "decide/decide.h"

#include <math.h>

#include "base/math.h"

/* How far from 1 the sum of a prior may be: the tolerance of numpy.isclose, which users of CAPPr know. */
#define SUM_TOLERANCE 1.001e-5

double capp_decide_sum(const double *logprobs, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += logprobs[i];
    return sum;
}

double capp_decide_aggregate(capp_aggregate aggregate, double sum, size_t n, size_t bytes) {
    if (aggregate == CAPP_AGGREGATE_SUM) return sum;
    return sum / (double)(aggregate == CAPP_AGGREGATE_BYTES ? bytes : n);
}

static double log_add(double a, double b) {
    double larger = a > b ? a : b, smaller = a > b ? b : a;
    return isfinite(larger) ? larger + capp_log1p(capp_exp(smaller - larger)) : larger;
}

void capp_decide_classes(const double *aggregate, const size_t *class_of, size_t n, double *classes, size_t n_classes) {
    for (size_t k = 0; k < n_classes; k++) classes[k] = -INFINITY;
    for (size_t i = 0; i < n; i++) classes[class_of[i]] = log_add(classes[class_of[i]], aggregate[i]);
}

double capp_decide_score(double aggregate, const double *prior, size_t i) {
    return prior ? aggregate + capp_log(prior[i]) : aggregate;
}

/* The square of the error of a completion's score, where that of one token is 1. */
static double squared_error(capp_aggregate aggregate, double tokens) {
    enum { BYTES_OF_TOKEN = 4 }; /* about */
    switch (aggregate) {
    case CAPP_AGGREGATE_MEAN: return 1 / tokens;
    case CAPP_AGGREGATE_SUM: return tokens;
    case CAPP_AGGREGATE_BYTES: return 1 / tokens / (BYTES_OF_TOKEN * BYTES_OF_TOKEN);
    case CAPP_AGGREGATE_CALLER: break;
    }
    return 1;
}

double capp_decide_margin(capp_aggregate aggregate, double margin, const size_t *offset, size_t n) {
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += squared_error(aggregate, (double)(offset[i + 1] - offset[i]));
    return margin * sqrt(squares / (double)n);
}

size_t capp_decide_best(const double *aggregate, const double *prior, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (capp_decide_score(aggregate[i], prior, i) > capp_decide_score(aggregate[best], prior, best)) best = i;
    return best;
}

void capp_decide_posterior(const double *aggregate, const double *prior, size_t n, bool normalize, double *posterior) {
    double largest = 0, sum = 0;
    if (normalize) {
        size_t best = capp_decide_best(aggregate, prior, n);
        largest = capp_decide_score(aggregate[best], prior, best);
        if (!isfinite(largest)) largest = 0;
    }
    for (size_t i = 0; i < n; i++) {
        posterior[i] = capp_exp(capp_decide_score(aggregate[i], prior, i) - largest);
        sum += posterior[i];
    }
    for (size_t i = 0; i < n && normalize && sum > 0; i++) posterior[i] /= sum;
}

capp_status capp_decide_check_prior(const double *prior, size_t n, capp_error *err) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(prior[i] >= 0 && prior[i] <= 1))
            return capp_fail(err, CAPP_EINVAL, "the prior of completion %zu is %g; a prior must be from 0 to 1", i,
                             prior[i]);
        sum += prior[i];
    }
    if (!(fabs(sum - 1) <= SUM_TOLERANCE))
        return capp_fail(err, CAPP_EINVAL, "the prior sums to %.9g; make it sum to 1", sum);
    return CAPP_OK;
}

capp_status capp_decide_check_aggregate(capp_aggregate aggregate, capp_error *err) {
    if ((unsigned)aggregate <= CAPP_AGGREGATE_CALLER) return CAPP_OK;
    return capp_fail(err, CAPP_EINVAL, "invalid capp_aggregate %d", (int)aggregate);
}
