/* The public functions that more than one room takes part in. Each chooses the room that does the work: rows that are
 * scored in full go to score/, rows that are only decided go to race/. The functions of a handle stand in the room that
 * owns the handle: engine/ (models, sessions), chat/ (chats), prompt/ (prefixes). */
#include <string.h>

#include "base/mem.h"
#include "prompt/prompt.h"
#include "race/race.h"
#include "score/score.h"

/* ---- Options ---- */

void capp_run_options_init(capp_run_options *options) {
    memset(options, 0, sizeof *options);
}

void capp_scoring_init(capp_scoring *scoring) {
    memset(scoring, 0, sizeof *scoring);
}

static const capp_run_options default_options;

static const capp_run_options *given(const capp_run_options *options) {
    return options ? options : &default_options;
}

/* ---- Scores ---- */

capp_status capp_score(capp_session *session, const capp_example *examples, size_t n, const capp_run_options *options,
                       capp_result_fn fn, void *user, capp_error *err) {
    capp_weighing weighing;
    capp_status st = capp_weighing_init(&weighing, given(options), err);
    if (st != CAPP_OK) return st;
    if (n && capp_weighing_needs_marginals(&weighing))
        return capp_score_discounted(session, weighing, examples, n, given(options), fn, user, err);
    return capp_score_rows(session, capp_session_fast(session), &weighing, examples, n, given(options), fn, user, err);
}

capp_status capp_forecast(capp_session *session, const capp_example *examples, size_t n,
                          const capp_run_options *options, capp_work *work, capp_error *err) {
    capp_weighing weighing;
    capp_status st = capp_weighing_init(&weighing, given(options), err);
    if (st != CAPP_OK) return st;
    return capp_score_forecast(session, capp_session_fast(session), &weighing, examples, n, given(options), work, err);
}

capp_status capp_token_logprobs(capp_session *session, const capp_str *texts, size_t n, unsigned flags,
                                const capp_run_options *options, capp_text_result_fn fn, void *user, capp_error *err) {
    return capp_score_texts(session, capp_session_fast(session), texts, n, flags, given(options), fn, user, err);
}

static bool take_posteriors(void *user, const capp_result *result) {
    double **proba = user;
    memcpy(*proba, result->posterior, result->n_classes * sizeof **proba);
    *proba += result->n_classes;
    return true;
}

capp_status capp_predict_proba(capp_session *session, const capp_example *examples, size_t n,
                               const capp_run_options *options, double *proba, capp_error *err) {
    return capp_score(session, examples, n, options, take_posteriors, &proba, err);
}
/* ---- Decisions ---- */

typedef struct plain_user {
    capp_decision_fn fn;
    void *user;
} plain_user;

static bool plain_choice(void *user, const capp_decision *decision, double second) {
    const plain_user *u = user;
    (void)second;
    return u->fn(u->user, decision);
}

capp_status capp_predict_early(capp_session *session, const capp_example *examples, size_t n,
                               const capp_run_options *options, capp_decision_fn fn, void *user, capp_error *err) {
    plain_user u = {fn, user};
    return capp_race_rows(session, examples, n, given(options), capp_session_margin(session), plain_choice, &u, err);
}

static bool take_decision(void *user, const capp_decision *decision) {
    size_t *prediction = user;
    prediction[decision->row] = decision->prediction;
    return true;
}

static bool take_result(void *user, const capp_result *result) {
    size_t *prediction = user;
    prediction[result->row] = result->prediction;
    return true;
}

capp_status capp_predict(capp_session *session, const capp_example *examples, size_t n, const capp_run_options *options,
                         size_t *prediction, capp_error *err) {
    capp_weighing weighing;
    capp_status st = capp_weighing_init(&weighing, given(options), err);
    if (st != CAPP_OK) return st;
    for (size_t i = 0; i < n; i++)
        if (capp_weighing_classes(&weighing, &examples[i]) == 1) {
            capp_fail(err, CAPP_EINVAL, "a prediction needs at least two completions; add one");
            if (err) err->row = i;
            return CAPP_EINVAL;
        }
    if (!capp_weighing_is_plain(&weighing))
        return capp_score(session, examples, n, options, take_result, prediction, err);
    return capp_predict_early(session, examples, n, options, take_decision, prediction, err);
}

/* ---- Tokens ---- */

capp_status capp_tokenize(const capp_model *model, capp_str text, unsigned flags, int32_t **ids, size_t *n,
                          capp_error *err) {
    capp_ids list = {0};
    *ids = NULL;
    *n = 0;
    capp_status st = capp_vocab_encode(capp_model_vocab(model), text, flags, &list, err);
    if (st == CAPP_OK && !list.data && !(list.data = capp_new(1, sizeof *list.data)))
        st = capp_fail_memory(err, "the tokens");
    if (st != CAPP_OK) {
        capp_ids_free(&list);
        return st;
    }
    *ids = list.data;
    *n = list.n;
    return CAPP_OK;
}

capp_status capp_detokenize(const capp_model *model, const int32_t *ids, size_t n, char **text, size_t *size,
                            capp_error *err) {
    size_t total = 0;
    *text = NULL;
    *size = 0;
    for (size_t i = 0; i < n; i++) {
        capp_str piece = capp_vocab_piece(capp_model_vocab(model), ids[i]);
        if (!piece.data) {
            capp_vocab_info info;
            capp_vocab_get_info(capp_model_vocab(model), &info);
            return capp_fail(err, CAPP_EINVAL, "invalid token id %d: the vocabulary has %u tokens", ids[i],
                             info.n_tokens);
        }
        total += piece.size;
    }
    char *out = capp_new(total + 1, 1);
    if (!out) return capp_fail_memory(err, "the text");
    *size = total;
    *text = out;
    for (size_t i = 0; i < n; i++) {
        capp_str piece = capp_vocab_piece(capp_model_vocab(model), ids[i]);
        memcpy(out, piece.data, piece.size);
        out += piece.size;
    }
    *out = 0;
    return CAPP_OK;
}
