/* Worker threads that share a list of numbered tasks. */
#ifndef CAPP_BASE_POOL_H
#define CAPP_BASE_POOL_H

#include <stdatomic.h>

#include "base/error.h"

enum { CAPP_MOST_THREADS = 1024 };

typedef struct capp_pool capp_pool;

/* threads includes the calling thread: 1 starts no thread. The caller owns *pool; on failure it is NULL. */
capp_status capp_pool_open(capp_pool **pool, int threads, capp_error *err);

/* pool may be NULL. */
void capp_pool_free(capp_pool *pool);

int capp_pool_threads(const capp_pool *pool);

/* task: 0 .. n_tasks - 1, each run once, in no fixed order; worker: 0 .. threads - 1, to select the worker's own
 * scratch. */
typedef void (*capp_task_fn)(void *user, size_t task, int worker);

/* Runs fn for each task on all workers and returns when all are done. Only one thread may call this at a time. */
void capp_pool_run(capp_pool *pool, capp_task_fn fn, void *user, size_t n_tasks);

/* From now on no task begins while *stop is true: runs leave out the tasks that they have not begun, and the output of
 * those tasks is unchanged. stop is borrowed; NULL, the initial value, means never. Call this only between runs. */
void capp_pool_set_stop(capp_pool *pool, const atomic_bool *stop);

/* Whether *stop is true. If it is false now, and was false all the time since the last run began, that run left out
 * nothing. */
bool capp_pool_stopped(const capp_pool *pool);

#endif
