/* What tests of queues share: a model with a session and its queue, and callers of jobs. */
#ifndef CAPP_QUEUES_H
#define CAPP_QUEUES_H

#include "capp_queue.h"
#include "engine/handles.h"
#include "queue/job.h"
#include "scoring.h"
#include "tiny.h"

enum { TOP = 5, MOST_TOKENS = TINY_CONTEXT };

typedef struct fixture {
    char path[64], exact_path[64];
    capp_model *model, *exact;     /* exact: for its exact lane, or NULL */
    capp_session *session, *other; /* other: for the expected results */
    capp_queue *queue;
    capp_error err;
} fixture;

/* memory: 0 for the default. */
void open_model(fixture *f, const char *arch, uint64_t memory, const capp_queue_options *how);

/* With two lanes. The exact one gets the weights of another model, so that the lanes differ by more than the margin. */
void open_lanes(fixture *f, const char *unit, const capp_queue_options *how);

void close_fixture(fixture *f);

/* ---- Jobs and what they give ---- */

typedef struct caller {
    scores *rows;
    double *posterior; /* of each row, the one of its prediction */
    uint64_t *again;   /* of each row: what was scored again, and what the fast lane had found, as one number */
    size_t n_rows, first;
    capp_status status;
    int ended;
    size_t n, n_generated;
    int32_t ids[MOST_TOKENS], top[MOST_TOKENS][TOP];
    float logprobs[MOST_TOKENS], top_logprobs[MOST_TOKENS][TOP];
    const char *finish;
    size_t most; /* ends the job after this many tokens, if not 0 */
    capp_error err;
} caller;

caller new_caller(size_t rows);
void free_caller(caller *c);

/* Functions of a job whose user is a caller. */
bool on_result(void *user, const capp_result *r);
bool on_token(void *user, const capp_token *t);
void on_done(void *user, capp_status status, const capp_error *err);

/* Runs all jobs to their end. */
void drain(capp_queue *queue);

/* The same tokens and the same bits. */
void check_row(const scores *a, const scores *b);

#endif
