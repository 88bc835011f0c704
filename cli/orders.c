#include "orders.h"

#include "capp_arrays.h"

#include <stdlib.h>
#include <string.h>

bool orders_open_model(capp_model **model, const options *settings, capp_error *err) {
    capp_model_options how = settings->model_options, light = how;
    if (settings->orders > 1 && how.precision == CAPP_PRECISION_AUTO) {
        capp_model_info info;
        light.weights_memory = CAPP_WEIGHTS_NONE;
        if (capp_model_open(model, settings->model, &light, err)) return false;
        capp_model_get_info(*model, &info);
        capp_model_free(*model);
        how.precision = info.deciding;
    }
    return capp_model_open(model, settings->model, &how, err) == CAPP_OK;
}

typedef struct averaging {
    const capp_example *examples; /* [rows * n] */
    size_t n;                     /* prompts of a row */
    const capp_run_options *options;
    capp_result_fn fn;
    void *user;
    double *sums; /* of the row's tokens */
    float *means;
    double *posterior; /* [n_classes] */
    size_t sums_capacity, means_capacity, posterior_capacity;
    capp_error *err; /* of a decision that failed */
    bool failed;
} averaging;

static void make_room(averaging *a, size_t tokens, size_t classes) {
    grow(&a->sums, &a->sums_capacity, tokens, sizeof *a->sums);
    grow(&a->means, &a->means_capacity, tokens, sizeof *a->means);
    grow(&a->posterior, &a->posterior_capacity, classes, sizeof *a->posterior);
}

/* The decision from the mean log-probabilities. */
static bool decide(averaging *a, const capp_result *last, capp_result *whole) {
    capp_scoring scoring;
    capp_run_options how = *a->options;
    const capp_logprobs given = {.n = 1, .offset = last->offset, .logprobs = a->means, .ids = last->ids};
    const capp_decided decided = {.posterior = a->posterior, .prediction = &whole->prediction};
    if (how.scoring) {
        scoring = *how.scoring;
        if (scoring.discount != 0) {
            scoring.marginals = last->marginals;
            scoring.marginal_offset = last->offset;
            scoring.n_marginals = last->n_completions;
            scoring.domain = (capp_str){"", 0};
        }
        how.scoring = &scoring;
    }
    if (capp_decide(&given, &a->examples[last->row], &how, &decided, a->err)) {
        a->failed = true;
        return false;
    }
    whole->likelihood = NULL; /* the command does not use it */
    whole->posterior = a->posterior;
    whole->logprobs = a->means;
    return true;
}

static bool on_result(void *user, const capp_result *result) {
    averaging *a = user;
    size_t tokens = result->offset[result->n_completions], order = result->row % a->n;
    make_room(a, tokens, result->n_classes);
    for (size_t i = 0; i < tokens; i++) a->sums[i] = (order ? a->sums[i] : 0) + (double)result->logprobs[i];
    if (order + 1 < a->n) return true;
    for (size_t i = 0; i < tokens; i++) a->means[i] = (float)(a->sums[i] / (double)a->n);
    capp_result whole = *result;
    if (!decide(a, result, &whole)) return false;
    whole.row = result->row / a->n;
    return a->fn(a->user, &whole);
}

static bool on_progress(void *user, size_t done, size_t total) {
    const averaging *a = user;
    return a->options->progress(a->options->progress_user, done / a->n, total / a->n);
}

capp_status orders_score(capp_session *session, const row_rules *rules, const row *rows, size_t n,
                         const capp_run_options *how, capp_result_fn fn, void *user, capp_error *err) {
    averaging a = {.n = rules->n_more + 1, .options = how, .fn = fn, .user = user, .err = err};
    capp_example *examples = allocate(n * a.n, sizeof *examples);
    for (size_t i = 0; i < n * a.n; i++) {
        const row *of = &rows[i / a.n];
        examples[i] = rules_example(rules, &of->example);
        if (i % a.n) examples[i].prompt = of->prompts[i % a.n - 1];
    }
    capp_run_options inner = *how;
    if (how->progress) {
        inner.progress = on_progress;
        inner.progress_user = &a;
    }
    a.examples = examples;
    capp_error cause = {.row = CAPP_NO_ROW};
    capp_status status = capp_score(session, examples, n * a.n, &inner, on_result, &a, &cause);
    if (status && !a.failed) *err = cause;
    if (status && !a.failed && err->row != CAPP_NO_ROW) err->row /= a.n;
    free(examples);
    free(a.sums);
    free(a.means);
    free(a.posterior);
    return status;
}
