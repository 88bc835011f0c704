/* Raising `generation` starts a run. Workers spin for a while before they sleep, because the engine runs a few hundred
 * short phases per wave, a few microseconds apart. One atomic counter hands out the tasks: the result of a task does
 * not depend on the worker that runs it. A stopped pool still runs its generations, but without tasks. */
#define _POSIX_C_SOURCE 200809L
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/platform.h"

enum { SPINS = 20000 };

typedef struct worker {
    capp_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct capp_pool {
    int threads;
    int started; /* workers whose thread runs */
    worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* a new generation, or the end */
    pthread_cond_t idle; /* the last worker finished */
    _Alignas(64) atomic_uint generation;
    _Alignas(64) atomic_size_t next;
    _Alignas(64) atomic_int running; /* workers that have not yet finished this generation */
    _Alignas(64) atomic_bool ending;
    capp_task_fn fn;
    void *user;
    size_t n_tasks;
    const atomic_bool *stop; /* may be NULL */
};

static void drain(capp_pool *pool, int index) {
    while (!capp_pool_stopped(pool)) {
        size_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (task >= pool->n_tasks) return;
        pool->fn(pool->user, task, index);
    }
}

static void wait_generation(capp_pool *pool, unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) != seen) return;
        if (atomic_load_explicit(&pool->ending, memory_order_relaxed)) return;
        capp_pause();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen &&
           !atomic_load_explicit(&pool->ending, memory_order_relaxed))
        pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

static void *work(void *arg) {
    worker *self = arg;
    capp_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        wait_generation(pool, seen);
        if (atomic_load_explicit(&pool->ending, memory_order_acquire)) return NULL;
        seen++;
        drain(pool, self->index);
        if (atomic_fetch_sub_explicit(&pool->running, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->idle);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

capp_status capp_pool_open(capp_pool **out, int threads, capp_error *err) {
    *out = NULL;
    if (threads < 1 || threads > CAPP_MOST_THREADS)
        return capp_fail(err, CAPP_EINVAL, "cannot use %d threads; use 1 to %d", threads, CAPP_MOST_THREADS);
    capp_pool *pool = capp_aligned_new(1, sizeof *pool);
    if (!pool) return capp_fail_memory(err, "the threads");
    memset(pool, 0, sizeof *pool);
    pool->threads = threads;
    pool->workers = capp_new0((size_t)threads, sizeof *pool->workers);
    if (!pool->workers) {
        capp_aligned_delete(pool);
        return capp_fail_memory(err, "the threads");
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->idle, NULL);
    for (int i = 1; i < threads; i++) {
        worker *w = &pool->workers[i];
        w->pool = pool;
        w->index = i;
        if (pthread_create(&w->thread, NULL, work, w)) {
            capp_pool_free(pool);
            return capp_fail(err, CAPP_ENOMEM, "cannot start thread %d of %d; use fewer threads", i, threads);
        }
        pool->started++;
    }
    *out = pool;
    return CAPP_OK;
}

void capp_pool_free(capp_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->ending, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i <= pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    capp_free(pool->workers);
    capp_aligned_delete(pool);
}

int capp_pool_threads(const capp_pool *pool) {
    return pool->threads;
}

void capp_pool_set_stop(capp_pool *pool, const atomic_bool *stop) {
    pool->stop = stop;
}

bool capp_pool_stopped(const capp_pool *pool) {
    return pool->stop && atomic_load_explicit(pool->stop, memory_order_relaxed);
}

void capp_pool_run(capp_pool *pool, capp_task_fn fn, void *user, size_t n_tasks) {
    if (pool->threads == 1 || n_tasks <= 1) {
        for (size_t i = 0; i < n_tasks && !capp_pool_stopped(pool); i++) fn(user, i, 0);
        return;
    }
    pool->fn = fn;
    pool->user = user;
    pool->n_tasks = n_tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->running, pool->threads - 1, memory_order_relaxed);
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    drain(pool, 0);
    for (int i = 0; i < SPINS; i++) {
        if (!atomic_load_explicit(&pool->running, memory_order_acquire)) return;
        capp_pause();
    }
    pthread_mutex_lock(&pool->lock);
    while (atomic_load_explicit(&pool->running, memory_order_acquire)) pthread_cond_wait(&pool->idle, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
