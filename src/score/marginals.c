/* Discounts whose marginals must be computed. First a separate pass computes the marginals of the distinct lists of
 * completions. It uses the exact lane if the session has one: this costs little, and close rows are decided as in
 * float32. Then the rows are scored. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "prompt/prompt.h"
#include "score/score.h"

/* A list of completions that neighboring rows share. */
typedef struct completion_list {
    size_t row;            /* the first with it */
    size_t first_marginal; /* of its tokens */
} completion_list;

typedef struct discounter {
    capp_session *session;
    capp_lane *lane;              /* of the marginals */
    const capp_example *examples; /* the caller's */
    const capp_scoring *scoring;
    capp_run_options options; /* of the pass over the lists */
    size_t *list_of_row;      /* [n] at first the list of a row, later the index of its first marginal */
    completion_list *lists;
    size_t n_lists, lists_capacity;
    double *marginals; /* of all lists */
    size_t n_marginals, marginals_capacity;
    capp_error err; /* the error of a callback, if its status is not CAPP_OK */
    capp_status status;
} discounter;

static capp_status push_marginal(discounter *d, double value, capp_error *err) {
    if (!capp_grow(&d->marginals, &d->marginals_capacity, d->n_marginals + 1, sizeof *d->marginals))
        return capp_fail_memory(err, "the marginals");
    d->marginals[d->n_marginals++] = isnan(value) ? 0 : value;
    return CAPP_OK;
}

static bool push_marginals(discounter *d, const float *logprobs, size_t n) {
    for (size_t i = 0; i < n && d->status == CAPP_OK; i++) d->status = push_marginal(d, (double)logprobs[i], &d->err);
    return d->status == CAPP_OK;
}

static bool take_list(void *user, const capp_result *result) {
    discounter *d = user;
    d->lists[result->row].first_marginal = d->n_marginals;
    return push_marginals(d, result->logprobs, result->offset[result->n_completions]);
}

static bool take_text(void *user, const capp_text_result *result) {
    return push_marginals(user, result->logprobs, result->n);
}

static bool same_list(const capp_example *a, const capp_example *b) {
    bool a_space = !(a->end_of_prompt && !*a->end_of_prompt), b_space = !(b->end_of_prompt && !*b->end_of_prompt);
    return a->completions == b->completions && a->n_completions == b->n_completions && a_space == b_space;
}

static capp_status find_lists(discounter *d, size_t n, capp_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (!i || !same_list(&d->examples[i - 1], &d->examples[i])) {
            if (!capp_grow(&d->lists, &d->lists_capacity, d->n_lists + 1, sizeof *d->lists))
                return capp_fail_memory(err, "the marginals");
            d->lists[d->n_lists++] = (completion_list){.row = i};
        }
        d->list_of_row[i] = d->n_lists - 1;
    }
    return CAPP_OK;
}

/* For a call inside this call: if the callback failed, its error is the one to report. */
static capp_status inner_status(discounter *d, capp_status st, capp_error *err) {
    if (d->status == CAPP_OK) return st;
    if (err) *err = d->err;
    return d->status;
}

/* Scores all lists after the domain prompt, one row for each list. */
static capp_status score_behind_domain(discounter *d, capp_error *err) {
    capp_example *behind = capp_new(d->n_lists, sizeof *behind);
    if (!behind) return capp_fail_memory(err, "the marginals");
    for (size_t i = 0; i < d->n_lists; i++) {
        behind[i] = d->examples[d->lists[i].row];
        behind[i].prompt = d->scoring->domain;
        behind[i].prior = NULL;
        behind[i].normalize = false;
    }
    capp_error inner = {.row = CAPP_NO_ROW};
    capp_weighing plain = {CAPP_AGGREGATE_MEAN, NULL, NULL, NULL};
    capp_status st =
        capp_score_rows(d->session, d->lane, &plain, behind, d->n_lists, &d->options, take_list, d, &inner);
    st = inner_status(d, st, &inner);
    capp_free(behind);
    if (st == CAPP_OK) return CAPP_OK;
    if (inner.row != CAPP_NO_ROW) inner.row = d->lists[inner.row].row;
    if (err) *err = inner;
    capp_error_prefix(err, "after the domain prompt");
    return st;
}

/* Scores the completions of one list as separate texts, without a chat. */
static capp_status score_alone(discounter *d, completion_list *list, capp_error *err) {
    const capp_example *example = &d->examples[list->row];
    capp_run_options alone = d->options;
    bool space;
    capp_status st;
    alone.chat = NULL;
    st = capp_needs_space(capp_session_model(d->session), capp_end_of_prompt(example, &d->options), &space, err);
    if (st != CAPP_OK) return st;
    size_t bytes = 0, n = example->n_completions;
    for (size_t i = 0; i < n; i++) bytes += example->completions[i].size + 1;
    char *joined = capp_new(bytes, 1);
    capp_str *texts = capp_new(n, sizeof *texts);
    if (joined && texts) {
        char *at = joined;
        for (size_t i = 0; i < n; i++) {
            *at = ' ';
            memcpy(at + 1, example->completions[i].data, example->completions[i].size);
            texts[i] = (capp_str){at + !space, example->completions[i].size + space};
            at += example->completions[i].size + 1;
        }
        list->first_marginal = d->n_marginals;
        unsigned flags = d->options.parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
        st = capp_score_texts(d->session, d->lane, texts, n, flags, &alone, take_text, d, err);
        st = inner_status(d, st, err);
    } else
        st = capp_fail_memory(err, "the marginals");
    if (st != CAPP_OK && err->row != CAPP_NO_ROW) err->row = list->row;
    capp_free(texts);
    capp_free(joined);
    return st;
}

/* Computes the marginals of all rows' completions. The rows of the inner calls do not count as rows of the session. */
static capp_status find_marginals(discounter *d, size_t n, capp_error *err) {
    capp_stats *stats = capp_session_stats(d->session);
    uint64_t rows = stats->rows;
    capp_status st;
    if ((st = find_lists(d, n, err)) != CAPP_OK) return st;
    if (d->scoring->domain.size)
        st = score_behind_domain(d, err);
    else
        for (size_t i = 0; i < d->n_lists && st == CAPP_OK; i++) st = score_alone(d, &d->lists[i], err);
    stats->rows = rows;
    return st;
}

/* The rows before the one whose marginals fail are scored. If that row is invalid itself, scoring reports its error. */
static capp_status score_discounted(discounter *d, capp_weighing *weighing, size_t n, const capp_run_options *options,
                                    capp_result_fn fn, void *user, capp_error *err) {
    capp_error found = {.row = CAPP_NO_ROW};
    capp_status later = CAPP_OK;
    size_t good = 0;
    d->list_of_row = capp_new(n, sizeof *d->list_of_row);
    if (!d->list_of_row) return capp_fail_memory(err, "the marginals");
    while (good < n && capp_weighing_check(weighing, &d->examples[good], NULL) == CAPP_OK) good++;
    capp_status st = good ? find_marginals(d, good, &found) : CAPP_OK;
    if (st != CAPP_OK) n = st == CAPP_ENOMEM || found.row == CAPP_NO_ROW ? 0 : found.row;
    for (size_t i = 0; i < n && i < good; i++) d->list_of_row[i] = d->lists[d->list_of_row[i]].first_marginal;
    weighing->marginals = d->marginals;
    weighing->first = d->list_of_row;
    if (n)
        later = capp_score_rows(d->session, capp_session_fast(d->session), weighing, d->examples, n, options, fn, user,
                                err);
    if (later == CAPP_OK && st != CAPP_OK && err) *err = found;
    return later != CAPP_OK ? later : st;
}

capp_status capp_score_discounted(capp_session *session, capp_weighing weighing, const capp_example *examples, size_t n,
                                  const capp_run_options *options, capp_result_fn fn, void *user, capp_error *err) {
    capp_lane *exact = capp_session_exact(session);
    discounter d = {.session = session,
                    .lane = exact ? exact : capp_session_fast(session),
                    .examples = examples,
                    .scoring = weighing.scoring,
                    .options = {.parse_special = options->parse_special, .chat = options->chat}};
    unsigned arithmetic = capp_session_begin(session);
    capp_status st = score_discounted(&d, &weighing, n, options, fn, user, err);
    capp_session_end(session, arithmetic);
    capp_free(d.list_of_row);
    capp_free(d.lists);
    capp_free(d.marginals);
    return st;
}
