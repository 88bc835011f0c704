/* Checks of the examples and the options of a call. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "decide/decide.h"

/* All but the prompt. */
static capp_status check_completions(const capp_example *example, capp_error *err) {
    if (!example->n_completions) return capp_fail(err, CAPP_EINVAL, "there are no completions");
    for (size_t i = 0; i < example->n_completions; i++)
        if (!example->completions[i].size) return capp_fail(err, CAPP_EINVAL, "completion %zu is empty", i);
    if (example->end_of_prompt && strcmp(example->end_of_prompt, " ") && strcmp(example->end_of_prompt, ""))
        return capp_fail(err, CAPP_EINVAL, "end_of_prompt is \"%.20s\"; it must be a space or empty",
                         example->end_of_prompt);
    if (example->normalize && example->n_completions == 1)
        return capp_fail(err, CAPP_EINVAL, "normalize needs at least two completions; add one, or turn normalize off");
    return example->prior ? capp_decide_check_prior(example->prior, example->n_completions, err) : CAPP_OK;
}

capp_status capp_example_check(const capp_example *example, capp_error *err) {
    if (!example->prompt.size) return capp_fail(err, CAPP_EINVAL, "the prompt is empty");
    return check_completions(example, err);
}

static capp_status check_classes(const capp_scoring *scoring, capp_error *err) {
    if (!scoring->n_classes) return capp_fail(err, CAPP_EINVAL, "there are no classes");
    for (size_t i = 0; i < scoring->n_phrasings; i++)
        if (scoring->class_of[i] >= scoring->n_classes)
            return capp_fail(err, CAPP_EINVAL,
                             "phrasing %zu is of class %zu, but there are %zu classes; count classes from 0", i,
                             scoring->class_of[i], scoring->n_classes);
    /* If there are more classes than phrasings, one of the first n_phrasings + 1 classes has none. */
    size_t k = 0, n = scoring->n_classes <= scoring->n_phrasings ? scoring->n_classes : scoring->n_phrasings + 1;
    bool *seen = capp_new0(n, sizeof *seen);
    if (!seen) return capp_fail_memory(err, "the classes");
    for (size_t i = 0; i < scoring->n_phrasings; i++)
        if (scoring->class_of[i] < n) seen[scoring->class_of[i]] = true;
    while (k < n && seen[k]) k++;
    capp_free(seen);
    return k < n ? capp_fail(err, CAPP_EINVAL, "class %zu has no phrasing", k) : CAPP_OK;
}

static capp_status check_scoring(const capp_scoring *scoring, capp_error *err) {
    if (!isfinite(scoring->discount))
        return capp_fail(err, CAPP_EINVAL, "the discount is %g; use a finite number", scoring->discount);
    if (scoring->discount == 0 && scoring->marginals)
        return capp_fail(err, CAPP_EINVAL,
                         "marginals have no effect without a discount; set a discount, or remove them");
    if (scoring->marginals && !scoring->marginal_offset)
        return capp_fail(err, CAPP_EINVAL, "marginals need marginal_offset; set it");
    if (scoring->discount == 0 && scoring->domain.size)
        return capp_fail(err, CAPP_EINVAL,
                         "a domain prompt has no effect without a discount; set a discount, or remove it");
    if (scoring->marginals && scoring->domain.size)
        return capp_fail(err, CAPP_EINVAL, "there are both marginals and a domain prompt; use one of the two");
    return scoring->class_of ? check_classes(scoring, err) : CAPP_OK;
}

capp_status capp_weighing_init(capp_weighing *weighing, const capp_run_options *options, capp_error *err) {
    *weighing = (capp_weighing){CAPP_AGGREGATE_MEAN, NULL, NULL, NULL};
    weighing->aggregate = options->aggregate;
    weighing->scoring = options->scoring;
    capp_status st = capp_decide_check_aggregate(weighing->aggregate, err);
    if (st != CAPP_OK) return st;
    if (weighing->aggregate == CAPP_AGGREGATE_CALLER && !(weighing->scoring && weighing->scoring->aggregate_fn))
        return capp_fail(err, CAPP_EINVAL, "CAPP_AGGREGATE_CALLER needs a function; set aggregate_fn of capp_scoring");
    return weighing->scoring ? check_scoring(weighing->scoring, err) : CAPP_OK;
}

capp_status capp_weighing_check(const capp_weighing *weighing, const capp_example *example, capp_error *err) {
    if (!example->prompt.size) return capp_fail(err, CAPP_EINVAL, "the prompt is empty");
    return capp_weighing_check_completions(weighing, example, err);
}

capp_status capp_weighing_check_completions(const capp_weighing *weighing, const capp_example *example,
                                            capp_error *err) {
    const capp_scoring *scoring = weighing->scoring;
    if (!scoring || !scoring->class_of) return check_completions(example, err);
    capp_example plain = *example;
    plain.prior = NULL;
    plain.normalize = false;
    capp_status st = check_completions(&plain, err);
    if (st != CAPP_OK) return st;
    if (example->n_completions != scoring->n_phrasings)
        return capp_fail(err, CAPP_EINVAL, "there are %zu completions, but the classes have %zu phrasings",
                         example->n_completions, scoring->n_phrasings);
    if (example->normalize && scoring->n_classes == 1)
        return capp_fail(err, CAPP_EINVAL, "normalize needs at least two classes; add one, or turn normalize off");
    return example->prior ? capp_decide_check_prior(example->prior, scoring->n_classes, err) : CAPP_OK;
}

capp_status capp_weighing_check_tokens(const capp_weighing *weighing, const size_t *offset, size_t n, capp_error *err) {
    const capp_scoring *scoring = weighing->scoring;
    if (!scoring || !scoring->marginals) return CAPP_OK;
    if (scoring->n_marginals != n)
        return capp_fail(err, CAPP_EINVAL,
                         "there are marginals for %zu completions, but the example has %zu completions; give "
                         "marginals for each of them",
                         scoring->n_marginals, n);
    for (size_t i = 0; i < n; i++) {
        size_t given = scoring->marginal_offset[i + 1] - scoring->marginal_offset[i],
               tokens = offset[i + 1] - offset[i];
        if (given != tokens)
            return capp_fail(
                err, CAPP_EINVAL,
                "there are %zu marginals for completion %zu, but it has %zu tokens; give one for each token", given, i,
                tokens);
    }
    return CAPP_OK;
}
