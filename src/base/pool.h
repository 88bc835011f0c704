/* Worker threads that share a list of numbered tasks. */
#ifndef CAPP_BASE_POOL_H
#define CAPP_BASE_POOL_H

#include <stdatomic.h>

#include "base/error.h"

typedef struct capp_pool capp_pool;

/* threads counts the calling thread too: 1 starts none. The caller owns *pool; on failure it is NULL. */
capp_status capp_pool_open(capp_pool **pool, int threads, capp_error *err);

/* pool may be NULL. */
void capp_pool_free(capp_pool *pool);

int capp_pool_threads(const capp_pool *pool);

/* task: 0 .. n_tasks - 1, each run once, in no order; worker: 0 .. threads - 1, for scratch of one's own. */
typedef void (*capp_task_fn)(void *user, size_t task, int worker);

/* Runs fn for each task on all workers and returns when all are done. From one thread at a time. */
void capp_pool_run(capp_pool *pool, capp_task_fn fn, void *user, size_t n_tasks);

/* From now on no task is begun while *stop is true: runs leave out what they have not begun, and what it should have
 * written is as it was. Borrowed; NULL, as opened: never. Between runs. */
void capp_pool_set_stop(capp_pool *pool, const atomic_bool *stop);

/* Whether *stop is true: if it is not, and never was since before the last run, that run left out nothing. */
bool capp_pool_stopped(const capp_pool *pool);

/* Processors that this process may run on. */
int capp_processors(void);

#endif
