/* From the log-probabilities of a row to its scores: aggregates, discounts, classes. */
#include "decide/decide.h"

#include <math.h>
#include <string.h>

#include "base/math.h"

bool capp_weighing_is_plain(const capp_weighing *weighing) {
    const capp_scoring *scoring = weighing->scoring;
    return weighing->aggregate != CAPP_AGGREGATE_CALLER && (!scoring || (scoring->discount == 0 && !scoring->class_of));
}

bool capp_weighing_needs_marginals(const capp_weighing *weighing) {
    return weighing->scoring && weighing->scoring->discount != 0 && !weighing->scoring->marginals;
}

size_t capp_weighing_classes(const capp_weighing *weighing, const capp_example *example) {
    return weighing->scoring && weighing->scoring->class_of ? weighing->scoring->n_classes : example->n_completions;
}

const double *capp_weighing_marginals(const capp_weighing *weighing, size_t row) {
    if (weighing->marginals) return weighing->marginals + weighing->first[row];
    return weighing->scoring ? weighing->scoring->marginals : NULL;
}

/* The aggregate of n log-probabilities of a completion. */
static double aggregate_of(const capp_weighing *weighing, const double *logprobs, size_t n, capp_str completion) {
    if (weighing->scoring && weighing->aggregate == CAPP_AGGREGATE_CALLER)
        return weighing->scoring->aggregate_fn(weighing->scoring->aggregate_user, logprobs, n, completion);
    return capp_decide_aggregate(weighing->aggregate, capp_decide_sum(logprobs, n), n, completion.size);
}

capp_status capp_weigh(const capp_weighing *weighing, const capp_example *example, size_t row, const float *logprobs,
                       const size_t *offset, double *scratch, double *scores, capp_error *err) {
    const double *marginals = capp_weighing_marginals(weighing, row);
    size_t n = example->n_completions, total = offset[n];
    bool classes = weighing->scoring && weighing->scoring->class_of;
    double discount = weighing->scoring ? weighing->scoring->discount : 0;
    double *discounted = scratch, *aggregate = classes ? scratch + total : scores;
    for (size_t i = 0; i < total; i++) {
        discounted[i] = (double)logprobs[i];
        if (marginals && !isnan(marginals[i])) discounted[i] += discount * marginals[i];
    }
    for (size_t i = 0; i < n; i++) {
        aggregate[i] =
            aggregate_of(weighing, discounted + offset[i], offset[i + 1] - offset[i], example->completions[i]);
        if (isnan(aggregate[i])) return capp_fail(err, CAPP_EINVAL, "aggregate_fn returned NaN for completion %zu", i);
    }
    if (classes) capp_decide_classes(aggregate, weighing->scoring->class_of, n, scores, weighing->scoring->n_classes);
    return CAPP_OK;
}

void capp_result_fill(capp_result *result, const capp_example *example, size_t n_classes, double *scores) {
    double *likelihood = scores + n_classes, *posterior = likelihood + n_classes;
    for (size_t i = 0; i < n_classes; i++) likelihood[i] = capp_exp(scores[i]);
    capp_decide_posterior(scores, example->prior, n_classes, example->normalize, posterior);
    result->n_completions = example->n_completions;
    result->n_classes = n_classes;
    result->prediction = capp_decide_best(scores, example->prior, n_classes);
    result->likelihood = likelihood;
    result->posterior = posterior;
}
