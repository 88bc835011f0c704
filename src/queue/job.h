/* The inside of a queue. Only the files of queue/ include this header.
 *
 *   queue.c   a list of jobs; a step: which job may add how many token rows, and what happens after the wave
 *   rows.c    jobs that score examples
 *   text.c    jobs that score and continue a text
 *   draw.c    the most probable tokens of a distribution, and a token drawn from it
 *
 * A step is a window of the token tree. Each job adds a piece of its work to it: a part of a prompt, some completions,
 * one token to generate. What earlier steps computed is in the KV store. If it is not there any more, the step computes
 * it again, so a step always makes progress. */
#ifndef CAPP_QUEUE_JOB_H
#define CAPP_QUEUE_JOB_H

#include "capp_queue.h"
#include "engine/engine.h"

/* A kind of job. */
typedef struct capp_job_kind {
    /* The number of token rows that the job would like to add, at most `most`. */
    size_t (*wants)(const capp_job *job, size_t most);
    /* Adds a piece to the tree of the fast lane: as many token rows as *room has, but at least one. Subtracts them. */
    capp_status (*add)(capp_job *job, size_t *room, capp_error *err);
    /* Copies what the step has computed from the tree. */
    capp_status (*read)(capp_job *job, capp_error *err);
    /* Passes results to the caller. May use the session for other calls. Sets job->ended. */
    capp_status (*deliver)(capp_job *job, capp_error *err);
    void (*drop)(capp_job *job);
} capp_job_kind;

/* The beginning of every job. */
struct capp_job {
    const capp_job_kind *kind;
    capp_queue *queue;
    capp_done_fn done;
    void *user;
    bool cancelled, ended;
    bool in_step;       /* has added something to the current step */
    bool starved;       /* could add nothing, because the step has no memory for another distribution */
    capp_status status; /* of the job's part of the step */
    capp_error err;
};

struct capp_queue {
    capp_session *session;
    capp_queue_options options;
    capp_job **jobs; /* [n] oldest first */
    size_t n, capacity;
    size_t next;    /* index of the job that the next step begins with */
    double rate;    /* token rows that fit wave_seconds */
    float *spreads; /* [most_spreads][outputs] distributions of the current step; NULL: never needed */
    size_t n_spreads, most_spreads;
    /* Memory for drawing, which jobs use one after another: [tokens of the vocabulary]; NULL: never needed. */
    double *weights;
    uint32_t *order;
    capp_queue_stats stats;
};

/* Takes ownership of a job, also on failure. */
capp_status capp_queue_take(capp_queue *queue, capp_job *job, capp_job **out, capp_error *err);

/* Adds ids [from .. n) after node `at`, as many as there is room for, and sets *added to the number of ids. Those
 * before `known` were added by an earlier step and need no room. nodes [n] receives the nodes, *last the last one.
 * scored: the log-probabilities of ids are wanted. */
capp_status capp_add_path(capp_queue *queue, uint32_t at, const int32_t *ids, size_t n, size_t known, uint32_t *nodes,
                          size_t *room, size_t *added, uint32_t *last, capp_error *err);

/* Asks for the distribution after node. *full: there is no memory for it in this step. */
capp_status capp_add_spread(capp_queue *queue, uint32_t node, bool *full, capp_error *err);

/* ---- draw.c ---- */

/* Writes the k most probable of n tokens, in falling order; of equals, the lower id comes first. Returns their number.
 */
size_t capp_top_tokens(const float *logprobs, size_t n, size_t k, int32_t *ids, float *top);

/* Draws one of n tokens by the options of a continuation, as the token at `position` of its text. memory: [n] of each.
 */
int32_t capp_draw_token(const float *logprobs, size_t n, const capp_continuation *how, size_t position, double *weights,
                        uint32_t *order);

#endif
