/* From the log-probabilities of a row to its scores: aggregates, discounts, classes. One way for results, for the
 * judgement whether a row is close, and for what capp_scoring asks besides. */
#ifndef CAPP_DECIDE_WEIGH_H
#define CAPP_DECIDE_WEIGH_H

#include "base/error.h"

/* How the rows of a call are weighed. */
typedef struct capp_weighing {
    capp_aggregate aggregate;
    const capp_scoring *scoring; /* or NULL; the caller's */
    const double *marginals;     /* computed for the call, or NULL: the caller's or none */
    const size_t *first;         /* [row] of its marginals, laid out by offset; NULL where marginals is */
} capp_weighing;

/* Whether the options' aggregate and scoring make sense. */
capp_status capp_weighing_init(capp_weighing *g, const capp_run_options *options, capp_error *err);

/* Whether scores never fall where a log-probability does not, and are sums: what capp_decide needs. */
bool capp_weighing_is_plain(const capp_weighing *g);

/* Whether a discount asks for marginals that the caller does not give. */
bool capp_weighing_needs_marginals(const capp_weighing *g);

/* Classes of an example: its completions, where nothing else is said. */
size_t capp_weighing_classes(const capp_weighing *g, const capp_example *e);

/* capp_example_check, of an example whose classes may be given. */
capp_status capp_weighing_check(const capp_weighing *g, const capp_example *e, capp_error *err);

/* Whether the caller's marginals, if any, are of as many tokens as the n completions. offset: [n + 1]. */
capp_status capp_weighing_check_tokens(const capp_weighing *g, const size_t *offset, size_t n, capp_error *err);

/* Logarithms of the likelihoods of the row's classes, in scores. scratch: [offset[n] + n] of n completions. CAPP_EINVAL
 * where one is not a number. */
capp_status capp_weigh(const capp_weighing *g, const capp_example *e, size_t row, const float *logprobs,
                       const size_t *offset, double *scratch, double *scores, capp_error *err);

/* How far apart scores must be where mean log-probabilities without a discount must be `mean` apart. */
double capp_weighing_margin(const capp_weighing *g, double mean);

#endif
