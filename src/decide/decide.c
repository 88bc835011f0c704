#include "decide/decide.h"

#include <math.h>

/* How far from 1 a prior may sum: numpy.isclose's tolerance, which CAPPr's users are used to. */
#define SUM_TOLERANCE 1.001e-5

double capp_decide_mean(const float *logprobs, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += logprobs[i];
    return sum / (double)n;
}

double capp_decide_aggregate(capp_aggregate how, const double *logprobs, size_t n, size_t bytes) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += logprobs[i];
    if (how == CAPP_AGGREGATE_SUM) return sum;
    return sum / (double)(how == CAPP_AGGREGATE_BYTES ? bytes : n);
}

static double log_add(double a, double b) {
    double larger = a > b ? a : b, smaller = a > b ? b : a;
    return isfinite(larger) ? larger + log1p(exp(smaller - larger)) : larger;
}

void capp_decide_classes(const double *aggregate, const size_t *class_of, size_t n, double *classes, size_t n_classes) {
    for (size_t k = 0; k < n_classes; k++) classes[k] = -INFINITY;
    for (size_t i = 0; i < n; i++) classes[class_of[i]] = log_add(classes[class_of[i]], aggregate[i]);
}

static double weighted(const double *aggregate, const double *prior, size_t i) {
    return prior ? aggregate[i] + log(prior[i]) : aggregate[i];
}

size_t capp_decide_best(const double *aggregate, const double *prior, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (weighted(aggregate, prior, i) > weighted(aggregate, prior, best)) best = i;
    return best;
}

void capp_decide_posterior(const double *aggregate, const double *prior, size_t n, bool normalize, double *posterior) {
    double largest = 0, sum = 0;
    if (normalize) {
        largest = weighted(aggregate, prior, capp_decide_best(aggregate, prior, n));
        if (!isfinite(largest)) largest = 0;
    }
    for (size_t i = 0; i < n; i++) {
        posterior[i] = exp(weighted(aggregate, prior, i) - largest);
        sum += posterior[i];
    }
    for (size_t i = 0; i < n && normalize && sum > 0; i++) posterior[i] /= sum;
}

capp_status capp_decide_check_prior(const double *prior, size_t n, capp_error *err) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(prior[i] >= 0 && prior[i] <= 1))
            return capp_fail(err, CAPP_EINVAL, "the prior of completion %zu is %g; priors lie between 0 and 1", i,
                             prior[i]);
        sum += prior[i];
    }
    if (!(fabs(sum - 1) <= SUM_TOLERANCE))
        return capp_fail(err, CAPP_EINVAL, "the prior sums to %.9g; make it sum to 1", sum);
    return CAPP_OK;
}
