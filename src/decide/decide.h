/* From the log-probabilities of completions to a decision: aggregates, discounts, classes, priors, posteriors, ties;
 * and checks of what a caller gives for them. Everything is in double precision. */
#ifndef CAPP_DECIDE_DECIDE_H
#define CAPP_DECIDE_DECIDE_H

#include "base/error.h"

/* ---- Numbers ---- */

/* Sum of n log-probabilities, in their order. */
double capp_decide_sum(const double *logprobs, size_t n);

/* The logarithm of the likelihood of a completion with n > 0 tokens, `bytes` > 0 bytes and this sum of
 * log-probabilities. It never falls as sum rises. aggregate is not CAPP_AGGREGATE_CALLER. */
double capp_decide_aggregate(capp_aggregate aggregate, double sum, size_t n, size_t bytes);

/* The score: aggregate + log prior[i], or the aggregate if prior is NULL. */
double capp_decide_score(double aggregate, const double *prior, size_t i);

/* classes[k] = log of the sum of exp(aggregate[i]) over all i < n with class_of[i] = k; -inf if there is none. */
void capp_decide_classes(const double *aggregate, const size_t *class_of, size_t n, double *classes, size_t n_classes);

/* posterior[i] = exp(aggregate[i]) * prior[i], divided by its sum over i < n if normalize. prior may be NULL: all
 * classes are equally probable, and nothing is multiplied. Computed with logarithms, so likelihoods too small for a
 * double still compare. */
void capp_decide_posterior(const double *aggregate, const double *prior, size_t n, bool normalize, double *posterior);

/* How far apart the scores of a row's n completions must be if those of completions of one token must be `margin`
 * apart. The errors of tokens hardly depend on each other, so the error of a sum grows with the square root of the
 * number of tokens, and that of a mean falls with it. The result is the root mean square over the completions. offset:
 * as in capp_result. */
double capp_decide_margin(capp_aggregate aggregate, double margin, const size_t *offset, size_t n);

/* Index of the largest score; of equals the first one. prior may be NULL. */
size_t capp_decide_best(const double *aggregate, const double *prior, size_t n);

/* Checks whether prior is a distribution over n completions: each in [0, 1], sum within 1e-5 of 1. */
capp_status capp_decide_check_prior(const double *prior, size_t n, capp_error *err);

/* Whether aggregate is one of the enum. */
capp_status capp_decide_check_aggregate(capp_aggregate aggregate, capp_error *err);

/* ---- A row: from its log-probabilities to its scores ---- */

/* How the rows of a call are scored. */
typedef struct capp_weighing {
    capp_aggregate aggregate;
    const capp_scoring *scoring; /* or NULL; the caller's */
    const double *marginals;     /* marginals computed for the call, or NULL: the caller's or none */
    const size_t *first;         /* [row] index of the row's first marginal; NULL if marginals is */
} capp_weighing;

/* Checks the options' aggregate and scoring. */
capp_status capp_weighing_init(capp_weighing *weighing, const capp_run_options *options, capp_error *err);

/* Whether scores never fall as a log-probability rises, and are sums: capp_predict_early needs this. */
bool capp_weighing_is_plain(const capp_weighing *weighing);

/* Whether a discount needs marginals that the caller does not give. */
bool capp_weighing_needs_marginals(const capp_weighing *weighing);

/* The marginals of a row's completions, or NULL. */
const double *capp_weighing_marginals(const capp_weighing *weighing, size_t row);

/* Number of classes of an example: its completions, unless the scoring defines classes. */
size_t capp_weighing_classes(const capp_weighing *weighing, const capp_example *example);

/* capp_example_check for an example whose classes the scoring may define. */
capp_status capp_weighing_check(const capp_weighing *weighing, const capp_example *example, capp_error *err);

/* The same without a check of the prompt. */
capp_status capp_weighing_check_completions(const capp_weighing *weighing, const capp_example *example,
                                            capp_error *err);

/* Checks whether the caller's marginals, if there are any, have as many tokens as the n completions. offset: [n + 1].
 */
capp_status capp_weighing_check_tokens(const capp_weighing *weighing, const size_t *offset, size_t n, capp_error *err);

/* Writes the logarithms of the likelihoods of the row's classes to scores. scratch: [offset[n] + n] for n completions.
 * CAPP_EINVAL if one is NaN. */
capp_status capp_weigh(const capp_weighing *weighing, const capp_example *example, size_t row, const float *logprobs,
                       const size_t *offset, double *scratch, double *scores, capp_error *err);

/* ---- Close rows ----
 *
 * Under precision auto, the scores of the fast lane decide a row unless another completion is within a margin of the
 * best. Then the exact lane scores these completions again. The margin is that of the model: for completions of one
 * token without a discount. The tokens of completion i are ids[offset[i]] .. ids[offset[i + 1] - 1]. */

/* Whether scores of the fast lane leave open which completion is the best. Completions with the tokens of the best one
 * do not count, because they are equal in any precision. ids may be NULL: all completions differ. */
bool capp_weighing_is_close(const capp_weighing *weighing, const capp_example *example, const double *scores,
                            const size_t *offset, const int32_t *ids, double margin);

/* again[i]: whether completion i is within the margin of the best score. Returns that score. */
double capp_weighing_choose(const capp_weighing *weighing, const capp_example *example, const double *scores,
                            const size_t *offset, double margin, bool *again);

/* Whether, by their new scores, all completions of `again` fall by more than the margin below `top`, which
 * capp_weighing_choose returned. Then every completion must be scored again. */
bool capp_weighing_fell(const capp_weighing *weighing, const capp_example *example, const double *scores,
                        const size_t *offset, double margin, const bool *again, double top);

/* Fills the members of *result that the scores of the classes decide. scores: [3][n_classes], the scores first; the
 * likelihoods and posteriors of the result are written behind them. */
void capp_result_fill(capp_result *result, const capp_example *example, size_t n_classes, double *scores);

#endif
