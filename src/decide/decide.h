/* From log-probabilities of completions to a decision. Everything in double precision. */
#ifndef CAPP_DECIDE_DECIDE_H
#define CAPP_DECIDE_DECIDE_H

#include "base/error.h"

/* Sum of n log-probabilities, in their order. */
double capp_decide_sum(const double *logprobs, size_t n);

/* What n > 0 log-probabilities of that sum, of a completion of `bytes` > 0 bytes, come to: the logarithm of the
 * likelihood. Never falls where sum does not. aggregate is not CAPP_AGGREGATE_CALLER. */
double capp_decide_aggregate(capp_aggregate aggregate, double sum, size_t n, size_t bytes);

/* aggregate + log prior[i], or the aggregate itself where prior is NULL: what decides. */
double capp_decide_score(double aggregate, const double *prior, size_t i);

/* classes[k] = log of the sum of exp(aggregate[i]) over all i < n with class_of[i] = k; -inf where there is none. */
void capp_decide_classes(const double *aggregate, const size_t *class_of, size_t n, double *classes, size_t n_classes);

/* posterior[i] = exp(aggregate[i]) * prior[i], divided by its sum over i < n where normalize; prior may be NULL (each
 * the same; not multiplied with). Computed from logarithms: likelihoods too small for a double still compare. */
void capp_decide_posterior(const double *aggregate, const double *prior, size_t n, bool normalize, double *posterior);

/* How far apart scores must be where mean log-probabilities must be `mean` apart: an error of the mean grows with the
 * number of tokens in the sum. longest: tokens of the longest completion of the row. */
double capp_decide_margin(capp_aggregate aggregate, double mean, size_t longest);

/* Index of the largest score; the first of equals. prior may be NULL. */
size_t capp_decide_best(const double *aggregate, const double *prior, size_t n);

/* Whether prior is a distribution over n completions: each in [0, 1], sum within 1e-5 of 1. Names what is wrong. */
capp_status capp_decide_check_prior(const double *prior, size_t n, capp_error *err);

/* Whether aggregate is one of the enum. */
capp_status capp_decide_check_aggregate(capp_aggregate aggregate, capp_error *err);

#endif
