/* capp for programs with many callers at the same time, such as servers. Include it instead of capp.h, which it
 * includes.
 */
#ifndef CAPP_QUEUE_H
#define CAPP_QUEUE_H

#include "capp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Queues --------------------------------------------------------------------------------------------------- */

/* A queue runs the calls of many callers at the same time on one session, for example those of a server's clients. Each
 * call is a job. A step takes a piece of every job, as much as runs in about wave_seconds, and runs all pieces
 * together: what they have in common is computed once. Callers share the steps evenly, and what needs no more than half
 * of a step is part of the next one. So a short job does not wait until long ones have ended, and a job may be added
 * between any two steps. Jobs that do not fit the memory budget together wait for each other. Under precision auto,
 * rows that are too close to decide wait for a step in which such rows of all jobs are scored again. Results have the
 * same bits as those of capp_score, capp_token_logprobs and capp_generate.
 *
 * The thread that uses the session is the only one that may call the functions of its queue. It may use the session for
 * other calls between two steps. */
typedef struct capp_queue capp_queue;
typedef struct capp_job capp_job;

typedef struct capp_queue_options {
    double wave_seconds; /* a step takes about this long, but has room for least_tokens token rows; default: 0.05 */
    size_t least_tokens; /* 0, the default: as many as keep 85 % of the throughput of large steps, by the measured times
                            of steps */
    size_t keep_tokens;  /* room in the KV store for this many tokens that later jobs may need again, if the memory
                            budget allows it; default: 16384 */
} capp_queue_options;

/* Sets *options to the defaults described above. */
CAPP_API void capp_queue_options_init(capp_queue_options *options);

/* Opens a queue. options may be NULL. On success the caller owns *queue and frees it with capp_queue_free, before the
 * session. On failure *queue is NULL. */
CAPP_API capp_status capp_queue_open(capp_queue **queue, capp_session *session, const capp_queue_options *options,
                                     capp_error *err);

/* Frees a queue. Jobs that have not ended end with CAPP_ECANCELLED. queue may be NULL. */
CAPP_API void capp_queue_free(capp_queue *queue);

/* Tells the caller that a job has ended. Called once for each job, during capp_queue_step or capp_queue_free. If status
 * is not CAPP_OK, err says why. The job is freed after this call. */
typedef void (*capp_done_fn)(void *user, capp_status status, const capp_error *err);

/* Adds a job that does what capp_score does: fn receives the results of the n examples in their order, then done is
 * called. If an example is invalid, the job ends with an error after the examples before it. All pointers, also those
 * inside the examples and options, are borrowed until done is called. Prefixes, a discount and window_seconds of the
 * options are not supported: CAPP_EINVAL. On success *job is valid until done is called. */
CAPP_API capp_status capp_queue_score(capp_queue *queue, const capp_example *examples, size_t n,
                                      const capp_run_options *options, capp_result_fn fn, capp_done_fn done, void *user,
                                      capp_job **job, capp_error *err);

enum { CAPP_MOST_TOP = 100 };

/* A text that a job scores and continues. */
typedef struct capp_continuation {
    const int32_t *ids; /* [n_ids] the text so far, at least one token; copied */
    size_t n_ids;
    bool score;         /* report the tokens of the text, too */
    size_t top;         /* report this many of the most probable tokens in place of each token; at most CAPP_MOST_TOP */
    size_t max_tokens;  /* maximum number of tokens to generate */
    double temperature; /* 0: each step takes the most probable token, as capp_generate does. Otherwise the token is
                           drawn from the distribution with log-probabilities divided by the temperature. */
    double top_p;       /* draw from the most probable tokens whose sum of probabilities reaches this; 1: from all */
    uint64_t seed;      /* the same text, options and seed give the same tokens */
    bool ignore_eos;    /* continue after the end-of-sequence token, up to exactly max_tokens */
} capp_continuation;

/* Sets *continuation to the defaults: no tokens, temperature 0, top_p 1. */
CAPP_API void capp_continuation_init(capp_continuation *continuation);

/* A token of a continuation. All pointers are valid only during the callback. */
typedef struct capp_token {
    size_t index;   /* position in the text */
    bool generated; /* false: a token of the text */
    int32_t id;
    float logprob;             /* log Pr(token | tokens before it); NaN for the first token of the text */
    capp_str piece;            /* bytes that the token stands for */
    size_t n_top;              /* 0 for the first token of the text */
    const int32_t *top;        /* [n_top] the most probable tokens in this place, the most probable one first */
    const float *top_logprobs; /* [n_top] */
    const char *finish;        /* NULL; for the last token "length", or "eos", which is not part of the text */
} capp_token;

/* Receives a token. Return false to end the job with CAPP_ECANCELLED. */
typedef bool (*capp_token_fn)(void *user, const capp_token *token);

/* Adds a job that passes the tokens of a continuation to fn as they are computed. */
CAPP_API capp_status capp_queue_continue(capp_queue *queue, const capp_continuation *continuation, capp_token_fn fn,
                                         capp_done_fn done, void *user, capp_job **job, capp_error *err);

/* Says for whom a job is, by any pointer that is not NULL. Jobs of one caller that were added one after another share
 * the waves as one job. Otherwise each job is one of its own. */
CAPP_API void capp_job_set_caller(capp_job *job, const void *caller);

/* Ends a job with CAPP_ECANCELLED: the next step calls done. */
CAPP_API void capp_job_cancel(capp_job *job);

/* Runs one step. Returns the number of jobs that have not ended. If the step fails, for example because a file cannot
 * be read, its jobs end with the error. */
CAPP_API size_t capp_queue_step(capp_queue *queue);

/* What a queue has learned about the speed of its session. */
typedef struct capp_queue_stats {
    uint64_t steps;
    double seconds;                       /* time spent in steps */
    size_t step_tokens;                   /* token rows that the next step has room for */
    double last_seconds, longest_seconds; /* of a step */
} capp_queue_stats;

/* Fills *stats. */
CAPP_API void capp_queue_get_stats(const capp_queue *queue, capp_queue_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
