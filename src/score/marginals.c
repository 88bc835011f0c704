/* Discounts whose marginals nobody has yet: a pass of its own over the distinct lists of completions, in the exact lane
 * where the session has one (it costs little, and close rows are to be decided as float32 decides); then the rows. */
#include <math.h>
#include <string.h>

#include "prompt/prompt.h"
#include "score/score.h"

/* A list of completions that neighbouring rows share. */
typedef struct list {
    size_t row;   /* the first with it */
    size_t first; /* of its marginals */
} list;

typedef struct scorer {
    capp_session *session;
    capp_lane *lane;              /* of the marginals */
    const capp_example *examples; /* the caller's */
    const capp_scoring *scoring;
    bool parse_special;
    const capp_chat *chat;
    size_t *list_of; /* [n] the list of a row; later the first of its marginals */
    list *lists;
    size_t n_lists, lists_capacity;
    double *marginals; /* of all lists */
    size_t n_marginals, marginals_capacity;
    capp_error err; /* of a callback */
    capp_status status;
} scorer;

static bool fails(scorer *s, capp_status status) {
    s->status = status;
    return false;
}

static capp_status push_marginal(scorer *s, double value, capp_error *err) {
    if (!capp_grow(&s->marginals, &s->marginals_capacity, s->n_marginals + 1, sizeof *s->marginals))
        return capp_fail_memory(err, "the marginals");
    s->marginals[s->n_marginals++] = isnan(value) ? 0 : value;
    return CAPP_OK;
}

static bool take_domain(void *user, const capp_result *result) {
    scorer *s = user;
    s->lists[result->row].first = s->n_marginals;
    for (size_t i = 0; i < result->offset[result->n_completions]; i++)
        if (push_marginal(s, (double)result->logprobs[i], &s->err) != CAPP_OK) return fails(s, CAPP_ENOMEM);
    return true;
}

static bool take_text(void *user, const capp_text_result *result) {
    scorer *s = user;
    for (size_t i = 0; i < result->n; i++)
        if (push_marginal(s, (double)result->logprobs[i], &s->err) != CAPP_OK) return fails(s, CAPP_ENOMEM);
    return true;
}

static bool same_list(const capp_example *a, const capp_example *b) {
    bool a_space = !(a->end_of_prompt && !*a->end_of_prompt), b_space = !(b->end_of_prompt && !*b->end_of_prompt);
    return a->completions == b->completions && a->n_completions == b->n_completions && a_space == b_space;
}

static capp_status find_lists(scorer *s, size_t n, capp_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (!i || !same_list(&s->examples[i - 1], &s->examples[i])) {
            if (!capp_grow(&s->lists, &s->lists_capacity, s->n_lists + 1, sizeof *s->lists))
                return capp_fail_memory(err, "the marginals");
            s->lists[s->n_lists++] = (list){.row = i};
        }
        s->list_of[i] = s->n_lists - 1;
    }
    return CAPP_OK;
}

/* Of an inner call: where its result's callback failed, that error counts; *err's row is one of the inner call's. */
static capp_status inner_status(scorer *s, capp_status st, capp_error *err) {
    if (s->status == CAPP_OK) return st;
    if (err) *err = s->err;
    return s->status;
}

static capp_status after_domain(scorer *s, const capp_run_options *options, capp_error *err) {
    capp_example *pseudo = capp_new(s->n_lists, sizeof *pseudo);
    if (!pseudo) return capp_fail_memory(err, "the marginals");
    for (size_t i = 0; i < s->n_lists; i++) {
        pseudo[i] = s->examples[s->lists[i].row];
        pseudo[i].prompt = s->scoring->domain;
        pseudo[i].prior = NULL;
        pseudo[i].normalize = false;
    }
    capp_error inner = {.row = CAPP_NO_ROW};
    capp_weighing plain = {CAPP_AGGREGATE_MEAN, NULL, NULL, NULL};
    capp_status st = capp_score_rows(s->session, s->lane, &plain, pseudo, s->n_lists, options, take_domain, s, &inner);
    st = inner_status(s, st, &inner);
    capp_free(pseudo);
    if (st == CAPP_OK) return CAPP_OK;
    if (inner.row != CAPP_NO_ROW) inner.row = s->lists[inner.row].row;
    if (err) *err = inner;
    capp_error_prefix(err, "after the domain prompt");
    return st;
}

/* The completions of one list as texts of their own. */
static capp_status of_list(scorer *s, list *l, const capp_run_options *options, capp_error *err) {
    const capp_example *e = &s->examples[l->row];
    capp_run_options alone = *options; /* completions are no turns */
    bool space;
    capp_status st;
    alone.chat = NULL;
    if ((st = capp_encode_rule(s->session->model, capp_end_of_prompt(e, options), &space, err)) != CAPP_OK) return st;
    size_t bytes = 0, n = e->n_completions;
    for (size_t i = 0; i < n; i++) bytes += e->completions[i].size + 1;
    char *joined = capp_new(bytes, 1);
    capp_str *texts = capp_new(n, sizeof *texts);
    if (joined && texts) {
        char *at = joined;
        for (size_t i = 0; i < n; i++) {
            *at = ' ';
            memcpy(at + 1, e->completions[i].data, e->completions[i].size);
            texts[i] = (capp_str){at + !space, e->completions[i].size + space};
            at += e->completions[i].size + 1;
        }
        l->first = s->n_marginals;
        unsigned flags = options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
        st = capp_score_texts(s->session, s->lane, texts, n, flags, &alone, take_text, s, err);
        st = inner_status(s, st, err);
    } else
        st = capp_fail_memory(err, "the marginals");
    if (st != CAPP_OK && err->row != CAPP_NO_ROW) err->row = l->row;
    capp_free(texts);
    capp_free(joined);
    return st;
}

/* Marginals of all rows' completions. Inner rows are not the caller's: the count of rows stays. */
static capp_status find_marginals(scorer *s, size_t n, capp_error *err) {
    const capp_run_options plain = {.parse_special = s->parse_special, .chat = s->chat};
    capp_status st;
    uint64_t rows = s->session->stats.rows;
    if ((st = find_lists(s, n, err)) != CAPP_OK) return st;
    if (s->scoring->domain.size)
        st = after_domain(s, &plain, err);
    else
        for (size_t i = 0; i < s->n_lists && st == CAPP_OK; i++) st = of_list(s, &s->lists[i], &plain, err);
    s->session->stats.rows = rows;
    return st;
}

/* Rows before one whose marginals fail are scored; one that is at fault itself fails there. */
static capp_status run(scorer *s, capp_weighing *g, size_t n, const capp_run_options *options, capp_result_fn fn,
                       void *user, capp_error *err) {
    capp_error found = {.row = CAPP_NO_ROW};
    capp_status later = CAPP_OK;
    size_t good = 0;
    s->list_of = capp_new(n, sizeof *s->list_of);
    if (!s->list_of) return capp_fail_memory(err, "the marginals");
    while (good < n && capp_weighing_check(g, &s->examples[good], NULL) == CAPP_OK) good++;
    capp_status st = good ? find_marginals(s, good, &found) : CAPP_OK;
    if (st != CAPP_OK) n = st == CAPP_ENOMEM || found.row == CAPP_NO_ROW ? 0 : found.row;
    for (size_t i = 0; i < n && i < good; i++) s->list_of[i] = s->lists[s->list_of[i]].first;
    g->marginals = s->marginals;
    g->first = s->list_of;
    if (n) later = capp_score_rows(s->session, &s->session->fast, g, s->examples, n, options, fn, user, err);
    if (later == CAPP_OK && st != CAPP_OK && err) *err = found;
    return later != CAPP_OK ? later : st;
}

capp_status capp_score_discounted(capp_session *session, capp_weighing g, const capp_example *examples, size_t n,
                                  const capp_run_options *options, capp_result_fn fn, void *user, capp_error *err) {
    scorer s = {.session = session,
                .lane = session->exact.w ? &session->exact : &session->fast,
                .examples = examples,
                .scoring = g.scoring,
                .parse_special = options->parse_special,
                .chat = options->chat};
    atomic_store(&session->cancelled, false);
    session->nested = true;
    capp_status st = run(&s, &g, n, options, fn, user, err);
    session->nested = false;
    capp_free(s.list_of);
    capp_free(s.lists);
    capp_free(s.marginals);
    return st;
}
