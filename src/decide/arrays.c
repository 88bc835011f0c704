/* Decisions from log-probabilities that the caller has kept. The steps are those of a call that runs the model
 * (score/): weigh the log-probabilities of the fast lane; if the row is close, weigh again with those of the exact
 * lane. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "capp_arrays.h"
#include "decide/decide.h"

typedef struct decider {
    const capp_logprobs *given;
    const capp_example *example;
    const capp_weighing *weighing;
    size_t n_tokens, n_classes;
    float *mixed; /* [n_tokens] log-probabilities of both lanes */
    bool *again;  /* [n_completions] */
    double *scores, *scratch;
} decider;

static capp_status weigh(const decider *d, const float *logprobs, capp_error *err) {
    return capp_weigh(d->weighing, d->example, 0, logprobs, d->given->offset, d->scratch, d->scores, err);
}

/* Takes the log-probabilities of the exact lane where completions are scored again. False: they are not all known. */
static bool mix(const decider *d, size_t row) {
    const size_t *offset = d->given->offset;
    const float *first = d->given->logprobs + row * d->n_tokens;
    size_t n = d->example->n_completions;
    bool complete = true;
    memcpy(d->mixed, first, d->n_tokens * sizeof *d->mixed);
    for (size_t i = 0; i < n; i++) {
        if (!d->again[i]) continue;
        if (!d->given->rescored || !d->given->exact || !d->given->rescored[row * n + i]) {
            complete = false;
            continue;
        }
        memcpy(d->mixed + offset[i], d->given->exact + row * d->n_tokens + offset[i],
               (offset[i + 1] - offset[i]) * sizeof *d->mixed);
    }
    return complete;
}

static capp_status weigh_close(const decider *d, size_t row, bool *undecided, capp_error *err) {
    const capp_logprobs *given = d->given;
    double top = capp_weighing_choose(d->weighing, d->example, d->scores, given->offset, given->margin, d->again);
    *undecided = !mix(d, row);
    capp_status st = weigh(d, d->mixed, err);
    if (st != CAPP_OK || *undecided) return st;
    if (!capp_weighing_fell(d->weighing, d->example, d->scores, given->offset, given->margin, d->again, top)) return st;
    memset(d->again, true, d->example->n_completions * sizeof *d->again);
    *undecided = !mix(d, row);
    return weigh(d, d->mixed, err);
}

static capp_status check_numbers(const float *logprobs, size_t n, capp_error *err) {
    for (size_t i = 0; i < n; i++)
        if (isnan(logprobs[i]))
            return capp_fail(err, CAPP_EINVAL,
                             "log-probability %zu of the row is NaN; leave the row out, or score it again", i);
    return CAPP_OK;
}

/* Both lanes. What the exact lane has not scored does not count. */
static capp_status check_row(const decider *d, size_t row, capp_error *err) {
    const capp_logprobs *given = d->given;
    size_t n = d->example->n_completions;
    capp_status st = check_numbers(given->logprobs + row * d->n_tokens, d->n_tokens, err);
    for (size_t i = 0; i < n && st == CAPP_OK && given->exact && given->rescored; i++)
        if (given->rescored[row * n + i])
            st = check_numbers(given->exact + row * d->n_tokens + given->offset[i],
                               given->offset[i + 1] - given->offset[i], err);
    return st;
}

static capp_status decide_row(const decider *d, size_t row, const capp_decided *decided, capp_error *err) {
    const capp_logprobs *given = d->given;
    bool undecided = false;
    capp_status st = check_row(d, row, err);
    if (st == CAPP_OK) st = weigh(d, given->logprobs + row * d->n_tokens, err);
    if (st == CAPP_OK && given->margin > 0 &&
        capp_weighing_is_close(d->weighing, d->example, d->scores, given->offset, given->ids, given->margin))
        st = weigh_close(d, row, &undecided, err);
    if (st != CAPP_OK) {
        if (err) err->row = row;
        return st;
    }
    const capp_example *e = d->example;
    if (decided->score) memcpy(decided->score + row * d->n_classes, d->scores, d->n_classes * sizeof *d->scores);
    if (decided->posterior)
        capp_decide_posterior(d->scores, e->prior, d->n_classes, e->normalize, decided->posterior + row * d->n_classes);
    if (decided->prediction) decided->prediction[row] = capp_decide_best(d->scores, e->prior, d->n_classes);
    if (decided->undecided) decided->undecided[row] = undecided;
    return CAPP_OK;
}

static capp_status check(const capp_logprobs *given, const capp_example *example, const capp_weighing *weighing,
                         capp_error *err) {
    capp_status st = capp_weighing_check_completions(weighing, example, err);
    if (st != CAPP_OK) return st;
    if (given->offset[0]) return capp_fail(err, CAPP_EINVAL, "offset[0] is %zu; it must be 0", given->offset[0]);
    for (size_t i = 0; i < example->n_completions; i++)
        if (given->offset[i + 1] <= given->offset[i])
            return capp_fail(err, CAPP_EINVAL, "completion %zu has no tokens; check offset", i);
    if (capp_weighing_needs_marginals(weighing))
        return capp_fail(err, CAPP_EINVAL,
                         "a discount needs marginals; give the marginal log-probabilities that capp_score delivers");
    return capp_weighing_check_tokens(weighing, given->offset, example->n_completions, err);
}

capp_status capp_decide(const capp_logprobs *logprobs, const capp_example *example, const capp_run_options *options,
                        const capp_decided *decided, capp_error *err) {
    static const capp_run_options defaults;
    capp_weighing weighing;
    capp_status st = capp_weighing_init(&weighing, options ? options : &defaults, err);
    if (st != CAPP_OK || (st = check(logprobs, example, &weighing, err)) != CAPP_OK) return st;
    size_t n = example->n_completions, tokens = logprobs->offset[n];
    decider d = {.given = logprobs,
                 .example = example,
                 .weighing = &weighing,
                 .n_tokens = tokens,
                 .n_classes = capp_weighing_classes(&weighing, example)};
    d.mixed = capp_new(tokens, sizeof *d.mixed);
    d.again = capp_new(n, sizeof *d.again);
    d.scores = capp_new(d.n_classes, sizeof *d.scores);
    d.scratch = capp_new(tokens + n, sizeof *d.scratch);
    if (!d.mixed || !d.again || !d.scores || !d.scratch) st = capp_fail_memory(err, "the decisions");
    for (size_t row = 0; row < logprobs->n && st == CAPP_OK; row++) st = decide_row(&d, row, decided, err);
    capp_free(d.mixed);
    capp_free(d.again);
    capp_free(d.scores);
    capp_free(d.scratch);
    return st;
}
