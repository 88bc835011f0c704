/* Jobs that score and continue a text. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "prompt/prompt.h"
#include "queue/job.h"

enum { GROWTH = 64 }; /* tokens */

typedef struct text_job {
    capp_job job;
    capp_continuation how;
    capp_token_fn fn;
    capp_ids ids;    /* the text and what was generated */
    size_t known;    /* ids that are in the KV store */
    size_t told;     /* ids that earlier steps have added, and reported if the text is scored */
    size_t added;    /* ids that the current step has added or found in the store */
    bool asks;       /* the current step computes the next token */
    uint32_t *nodes; /* [ids.n] */
    size_t nodes_capacity;
    /* Read from the step: */
    float *logprobs; /* [added - told] of the tokens of the text, then that of the next token */
    size_t logprobs_capacity;
    int32_t *top; /* [how.top] for each of them */
    float *top_logprobs;
    size_t *n_top;
    size_t top_capacity, top_logprobs_capacity, n_top_capacity;
    int32_t drawn; /* the next token */
} text_job;

static void free_text(capp_job *job) {
    text_job *j = (text_job *)job;
    capp_ids_free(&j->ids);
    capp_free(j->nodes);
    capp_free(j->logprobs);
    capp_free(j->top);
    capp_free(j->top_logprobs);
    capp_free(j->n_top);
    capp_free(j);
}

static capp_tree *tree_of(const text_job *j) {
    return capp_step_tree(j->job.queue);
}

/* Ids that the current step has computed for the first time. */
static size_t fresh_of(const text_job *j) {
    return j->added > j->told ? j->added - j->told : 0;
}

/* What will be generated, as far as one can expect: some more, and as much as there is already. */
static size_t growth_of(const text_job *j) {
    size_t grown = j->ids.n - j->how.n_ids, most = j->how.max_tokens - grown;
    return most < GROWTH + grown ? most : GROWTH + grown;
}

/* Tokens whose log-probabilities are wanted run, also if they are in the KV store. */
static capp_status path_of_text(capp_job *job, capp_path *path, capp_error *err) {
    text_job *j = (text_job *)job;
    if (!capp_grow(&j->nodes, &j->nodes_capacity, j->ids.n, sizeof *j->nodes))
        return capp_fail_memory(err, "a text of the queue");
    *path = (capp_path){.ids = j->ids.data,
                        .n = j->ids.n,
                        .known = &j->known,
                        .most = j->how.score ? j->told : j->ids.n,
                        .nodes = j->nodes,
                        .later = growth_of(j)};
    return CAPP_OK;
}

static size_t wants_text(const capp_job *job, capp_turn turn, size_t most, bool all) {
    const text_job *j = (const text_job *)job;
    if (turn == CAPP_TURN_EXACT) return 0;
    size_t left = j->ids.n - j->known + 1;
    if (all) left += j->how.max_tokens - (j->ids.n - j->how.n_ids);
    return left < most ? left : most;
}

/* Whether every distribution of the text is needed. */
static bool needs_tops(const text_job *j) {
    return j->how.score && j->how.top;
}

/* Marks the added tokens of the text as scored, with their distributions. If there is no room for a distribution, the
 * step ends before its token. */
static capp_status add_scores(text_job *j, capp_error *err) {
    capp_tree *tree = tree_of(j);
    for (size_t i = j->told ? j->told : 1; i < j->added && i < j->how.n_ids; i++) {
        bool full = false;
        capp_status st = needs_tops(j) ? capp_add_spread(j->job.queue, j->nodes[i - 1], &full, err) : CAPP_OK;
        if (st != CAPP_OK) return st;
        if (full) {
            j->job.starved = true;
            j->added = i;
            break;
        }
        tree->nodes[j->nodes[i]].scored = true;
    }
    return CAPP_OK;
}

static capp_status add_text(capp_job *job, size_t *room, capp_error *err) {
    text_job *j = (text_job *)job;
    uint32_t last;
    capp_path path;
    capp_status st = path_of_text(job, &path, err);
    j->asks = false;
    if (st == CAPP_OK) st = capp_add_path(job->queue, &path, room, &j->added, &last, err);
    if (st != CAPP_OK) return st;
    if (st == CAPP_OK && j->how.score) st = add_scores(j, err);
    if (st != CAPP_OK) return st;
    if (j->added == j->ids.n && j->how.max_tokens) {
        bool full = false;
        if (j->how.top || j->how.temperature > 0)
            st = capp_add_spread(job->queue, last, &full, err);
        else
            tree_of(j)->nodes[last].asked = true;
        j->asks = !full;
        job->starved |= full;
    }
    return st;
}

static bool make_room(text_job *j) {
    size_t n = fresh_of(j) + 1, tops = n * j->how.top;
    return capp_grow(&j->logprobs, &j->logprobs_capacity, n, sizeof *j->logprobs) &&
           capp_grow(&j->n_top, &j->n_top_capacity, n, sizeof *j->n_top) &&
           (!tops || (capp_grow(&j->top, &j->top_capacity, tops, sizeof *j->top) &&
                      capp_grow(&j->top_logprobs, &j->top_logprobs_capacity, tops, sizeof *j->top_logprobs)));
}

/* Reads the most probable tokens after node as those of place k of the step. */
static void read_top(text_job *j, size_t n_tokens, uint32_t node, size_t k) {
    const float *spread = j->how.top ? capp_tree_spread_of(tree_of(j), node) : NULL;
    size_t at = k * j->how.top;
    j->n_top[k] = spread ? capp_top_tokens(spread, n_tokens, j->how.top, j->top + at, j->top_logprobs + at) : 0;
}

static capp_status read_next(text_job *j, size_t n_tokens, size_t k, capp_error *err) {
    uint32_t last = j->nodes[j->ids.n - 1];
    const capp_node *node = &tree_of(j)->nodes[last];
    const float *spread = capp_tree_spread_of(tree_of(j), last);
    j->drawn = node->best;
    j->logprobs[k] = node->best_logprob;
    read_top(j, n_tokens, last, k);
    if (!(j->how.temperature > 0)) return CAPP_OK;
    capp_queue *queue = j->job.queue;
    if (!queue->weights) queue->weights = capp_new(n_tokens, sizeof *queue->weights);
    if (!queue->order) queue->order = capp_new(n_tokens, sizeof *queue->order);
    if (!queue->weights || !queue->order) return capp_fail_memory(err, "a text of the queue");
    j->drawn = capp_draw_token(spread, n_tokens, &j->how, j->ids.n, queue->weights, queue->order);
    j->logprobs[k] = spread[j->drawn];
    return CAPP_OK;
}

static capp_status read_text(capp_job *job, capp_error *err) {
    text_job *j = (text_job *)job;
    capp_vocab_info info;
    capp_vocab_get_info(capp_model_vocab(capp_session_model(job->queue->session)), &info);
    if (!make_room(j)) return capp_fail_memory(err, "a text of the queue");
    for (size_t i = j->told; i < j->added && i < j->how.n_ids && j->how.score; i++) {
        j->logprobs[i - j->told] = i ? tree_of(j)->nodes[j->nodes[i]].logprob : NAN;
        j->n_top[i - j->told] = 0;
        if (i) read_top(j, info.n_tokens, j->nodes[i - 1], i - j->told);
    }
    return j->asks ? read_next(j, info.n_tokens, fresh_of(j), err) : CAPP_OK;
}

/* Passes place k of the step to the caller. */
static bool report(const text_job *j, size_t index, size_t k, int32_t id, bool generated, const char *finish) {
    size_t at = k * j->how.top;
    capp_token token = {.index = index,
                        .generated = generated,
                        .id = id,
                        .logprob = j->logprobs[k],
                        .piece = capp_vocab_piece(capp_model_vocab(capp_session_model(j->job.queue->session)), id),
                        .n_top = j->n_top[k],
                        .top = j->how.top ? j->top + at : NULL,
                        .top_logprobs = j->how.top ? j->top_logprobs + at : NULL,
                        .finish = finish};
    return j->fn(j->job.user, &token);
}

static capp_status deliver_text(capp_job *job, capp_error *err) {
    text_job *j = (text_job *)job;
    const capp_vocab *vocab = capp_model_vocab(capp_session_model(job->queue->session));
    bool going = true;
    for (size_t i = j->told; i < j->added && i < j->how.n_ids && j->how.score && going; i++)
        going = report(j, i, i - j->told, j->ids.data[i], false, NULL);
    size_t k = fresh_of(j);
    j->told += k;
    if (going && j->asks) {
        bool end = !j->how.ignore_eos && capp_vocab_is_end(vocab, j->drawn);
        if (!capp_ids_push(&j->ids, j->drawn)) return capp_fail_memory(err, "a text of the queue");
        job->ended = end || j->ids.n == j->how.n_ids + j->how.max_tokens;
        going = report(j, j->ids.n - 1, k, j->drawn, true, end ? "eos" : job->ended ? "length" : NULL);
    }
    if (!going) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
    job->ended |= !j->how.max_tokens && j->told == j->ids.n;
    if (job->ended) capp_session_stats(job->queue->session)->rows++;
    return CAPP_OK;
}

static const capp_job_kind text_kind = {path_of_text, wants_text, add_text, read_text, deliver_text, free_text};

void capp_continuation_init(capp_continuation *continuation) {
    *continuation = (capp_continuation){.top_p = 1};
}

static capp_status check_numbers(const capp_continuation *c, capp_error *err) {
    if (!c->n_ids) return capp_fail(err, CAPP_EINVAL, "the text has no tokens; it needs at least one");
    if (c->top > CAPP_MOST_TOP)
        return capp_fail(err, CAPP_EINVAL, "top is %zu; at most %d tokens are reported", c->top, CAPP_MOST_TOP);
    if (!(c->temperature >= 0) || isinf(c->temperature))
        return capp_fail(err, CAPP_EINVAL, "temperature is %g; it must be 0 or more", c->temperature);
    if (!(c->top_p > 0 && c->top_p <= 1))
        return capp_fail(err, CAPP_EINVAL, "top_p is %g; it must be above 0 and at most 1", c->top_p);
    return CAPP_OK;
}

/* Checks the ids, and whether the text and its continuation fit the context and the budget. */
static capp_status check_length(const capp_queue *queue, const capp_continuation *c, capp_error *err) {
    const capp_model *model = capp_session_model(queue->session);
    size_t context = capp_model_context(model);
    if (c->n_ids > context || c->max_tokens > context - c->n_ids)
        return capp_fail(
            err, CAPP_ETOOLONG,
            "the text has %zu tokens and %zu are to be generated, but the context is %zu; shorten the text "
            "or generate fewer tokens",
            c->n_ids, c->max_tokens, context);
    for (size_t i = 0; i < c->n_ids; i++)
        if (!capp_vocab_piece(capp_model_vocab(model), c->ids[i]).data)
            return capp_fail(err, CAPP_EINVAL, "invalid token id %d at index %zu: the vocabulary does not have it",
                             c->ids[i], i);
    return capp_session_check(queue->session, c->n_ids + c->max_tokens, c->n_ids + c->max_tokens, err);
}

capp_status capp_queue_continue(capp_queue *queue, const capp_continuation *continuation, capp_token_fn fn,
                                capp_done_fn done, void *user, capp_job **job, capp_error *err) {
    capp_status st;
    *job = NULL;
    if ((st = check_numbers(continuation, err)) != CAPP_OK) return st;
    if ((st = check_length(queue, continuation, err)) != CAPP_OK) return st;
    text_job *j = capp_new0(1, sizeof *j);
    if (!j) return capp_fail_memory(err, "the queue");
    j->job = (capp_job){.kind = &text_kind,
                        .queue = queue,
                        .done = done,
                        .user = user,
                        .longest = continuation->n_ids + continuation->max_tokens};
    j->how = *continuation;
    j->how.ids = NULL;
    j->fn = fn;
    for (size_t i = 0; i < continuation->n_ids; i++)
        if (!capp_ids_push(&j->ids, continuation->ids[i])) {
            free_text(&j->job);
            return capp_fail_memory(err, "the queue");
        }
    j->job.ended = !continuation->max_tokens && !continuation->score;
    return capp_queue_take(queue, &j->job, job, err);
}
