#include "decide/decide.h"

#include <math.h>

double capp_decide_sum(const float *logprobs, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += logprobs[i];
    return sum;
}

double capp_decide_aggregate(capp_aggregate aggregate, double sum, size_t n) {
    return aggregate == CAPP_AGGREGATE_MEAN ? sum / (double)n : sum;
}

double capp_decide_score(double aggregate, const double *prior, size_t i, size_t n) {
    return aggregate + log(prior ? prior[i] : 1 / (double)n);
}

double capp_decide_margin(capp_aggregate aggregate, double mean, size_t longest) {
    return aggregate == CAPP_AGGREGATE_SUM ? mean * (double)longest : mean;
}

size_t capp_decide_best(const double *aggregate, const double *prior, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (capp_decide_score(aggregate[i], prior, i, n) > capp_decide_score(aggregate[best], prior, best, n)) best = i;
    return best;
}

void capp_decide_posterior(const double *aggregate, const double *prior, size_t n, bool normalize, double *posterior) {
    double largest = 0, sum = 0;
    if (normalize) {
        size_t best = capp_decide_best(aggregate, prior, n);
        largest = capp_decide_score(aggregate[best], prior, best, n);
        if (!isfinite(largest)) largest = 0;
    }
    for (size_t i = 0; i < n; i++) {
        posterior[i] = exp(capp_decide_score(aggregate[i], prior, i, n) - largest);
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
    if (!(fabs(sum - 1) <= 1e-6)) return capp_fail(err, CAPP_EINVAL, "the prior sums to %.9g; make it sum to 1", sum);
    return CAPP_OK;
}

capp_status capp_decide_check_aggregate(capp_aggregate aggregate, capp_error *err) {
    if (aggregate == CAPP_AGGREGATE_MEAN || aggregate == CAPP_AGGREGATE_SUM) return CAPP_OK;
    return capp_fail(err, CAPP_EINVAL, "%d is no aggregate; use CAPP_AGGREGATE_MEAN or CAPP_AGGREGATE_SUM",
                     (int)aggregate);
}
