/* From log-probabilities of completions to a decision: aggregates, discounts, classes, priors, posteriors, ties; and
 * whether what a caller gives for them makes sense. Everything in double precision. */
#ifndef CAPP_DECIDE_DECIDE_H
#define CAPP_DECIDE_DECIDE_H

#include "base/error.h"

/* ---- Numbers ---- */

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

/* ---- A row: one way from its log-probabilities to its scores ---- */

/* How the rows of a call are weighed. */
typedef struct capp_weighing {
    capp_aggregate aggregate;
    const capp_scoring *scoring; /* or NULL; the caller's */
    const double *marginals;     /* computed for the call, or NULL: the caller's or none */
    const size_t *first;         /* [row] of its marginals, laid out by offset; NULL where marginals is */
} capp_weighing;

/* Whether the options' aggregate and scoring make sense. */
capp_status capp_weighing_init(capp_weighing *weighing, const capp_run_options *options, capp_error *err);

/* Whether scores never fall where a log-probability does not, and are sums: what capp_decide needs. */
bool capp_weighing_is_plain(const capp_weighing *weighing);

/* Whether a discount asks for marginals that the caller does not give. */
bool capp_weighing_needs_marginals(const capp_weighing *weighing);

/* Classes of an example: its completions, where nothing else is said. */
size_t capp_weighing_classes(const capp_weighing *weighing, const capp_example *example);

/* capp_example_check, of an example whose classes may be given. */
capp_status capp_weighing_check(const capp_weighing *weighing, const capp_example *example, capp_error *err);

/* Whether the caller's marginals, if any, are of as many tokens as the n completions. offset: [n + 1]. */
capp_status capp_weighing_check_tokens(const capp_weighing *weighing, const size_t *offset, size_t n, capp_error *err);

/* Logarithms of the likelihoods of the row's classes, in scores. scratch: [offset[n] + n] of n completions. CAPP_EINVAL
 * where one is not a number. */
capp_status capp_weigh(const capp_weighing *weighing, const capp_example *example, size_t row, const float *logprobs,
                       const size_t *offset, double *scratch, double *scores, capp_error *err);

/* How far apart scores must be where mean log-probabilities without a discount must be `mean` apart. */
double capp_weighing_margin(const capp_weighing *weighing, double mean);

#endif
