/* The engine takes requests from the inbox between two steps of the queues. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory of the runs of several models together, if no option says how much. */
static const uint64_t DEFAULT_MEMORY = (uint64_t)2 << 30;

/* Divides the memory of all models. */
static uint64_t share_of(const server *s, uint64_t bytes) {
    return bytes / s->options->n_models;
}

static bool open_model(server *s, model *m, capp_error *err) {
    capp_model_options options = s->options->model_options;
    capp_queue_options how;
    capp_queue_options_init(&how);
    how.wave_seconds = s->options->wave_seconds;
    if (!options.memory && s->options->n_models > 1) options.memory = DEFAULT_MEMORY;
    options.memory = share_of(s, options.memory);
    if (options.weights_memory > CAPP_WEIGHTS_NONE && options.weights_memory != CAPP_WEIGHTS_ALL)
        options.weights_memory = share_of(s, options.weights_memory);
    capp_status st = capp_model_open(&m->model, m->path, &options, err);
    if (st == CAPP_OK) st = capp_session_open(&m->session, m->model, err);
    if (st == CAPP_OK) st = capp_queue_open(&m->queue, m->session, &how, err);
    if (st != CAPP_OK) {
        capp_session_free(m->session);
        capp_model_free(m->model);
        m->session = NULL;
        m->model = NULL;
        log_event(s, "error", "%s", err->message);
        return false;
    }
    if (capp_chat_open(&m->chat, m->model, NULL, &m->chat_error) != CAPP_OK) m->chat = NULL;
    capp_model_get_info(m->model, &m->info);
    log_event(s, "opened", "%s: %s, precision %d, %s, %.3f seconds", m->name, m->path, (int)m->info.precision,
              m->info.isa, m->info.load_seconds);
    return true;
}

static void close_model(model *m) {
    capp_queue_free(m->queue);
    capp_chat_free(m->chat);
    capp_session_free(m->session);
    capp_model_free(m->model);
}

static void begin(server *s, request *r) {
    failure f = {0};
    capp_error err;
    r->next = s->running;
    s->running = r;
    if (r->late)
        refuse_late(r, &f);
    else if (r->cancelled)
        refuse(&f, 503, "", "cancelled");
    else if (!r->model->model && !open_model(s, r->model, &err)) /* the message has paths of this machine */
        refuse(&f, err.status == CAPP_ENOMEM ? 503 : 500, "model",
               "the model '%s' cannot be opened; the log of the server says why", r->model->name);
    else if (r->endpoint->begin(r, &f) && !r->running && !r->ended)
        r->endpoint->finish(r);
    if (!f.status) return;
    if (!r->running) {
        request_refuse(r, &f);
        return;
    }
    r->failure = f; /* some parts have begun: answered when they have ended */
    for (size_t i = 0; i < r->n_parts; i++)
        if (r->parts[i]->job) capp_job_cancel(r->parts[i]->job);
}

/* Passes cancellations on, and releases the requests that have ended. */
static void sweep(server *s) {
    size_t ended = 0;
    for (request **at = &s->running; *at;) {
        request *r = *at;
        for (size_t i = 0; i < r->n_parts && r->cancelled; i++)
            if (r->parts[i]->job) capp_job_cancel(r->parts[i]->job);
        if (r->running) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        ended++;
        request_release(r);
    }
    if (!ended) return;
    pthread_mutex_lock(&s->lock);
    s->requests -= ended;
    pthread_mutex_unlock(&s->lock);
}

/* One step of every model that has jobs. */
static bool step(server *s) {
    bool any = false;
    for (size_t i = 0; i < s->options->n_models; i++) {
        model *m = &s->models[i];
        if (!m->queue) continue;
        m->jobs = capp_queue_step(m->queue);
        any |= m->jobs > 0;
        capp_stats stats;
        capp_queue_stats queue_stats;
        capp_session_get_stats(m->session, &stats);
        capp_queue_get_stats(m->queue, &queue_stats);
        pthread_mutex_lock(&s->lock);
        m->stats = stats;
        m->queue_stats = queue_stats;
        m->warm = true;
        pthread_mutex_unlock(&s->lock);
    }
    return any;
}

/* Takes the inbox; waits for something to do if there are no jobs. False: the server ends. */
static bool take(server *s, bool jobs, request **list) {
    pthread_mutex_lock(&s->lock);
    while (!s->inbox && !jobs && !s->ends) pthread_cond_wait(&s->wake, &s->lock);
    *list = s->inbox;
    s->inbox = NULL;
    s->inbox_end = &s->inbox;
    bool goes_on = *list || jobs || !s->ends;
    bool aborts = s->aborts;
    pthread_mutex_unlock(&s->lock);
    for (request *r = s->running; r && aborts; r = r->next) r->cancelled = true;
    return goes_on;
}

static void *run(void *user) {
    server *s = user;
    request *list;
    bool jobs = false;
    while (take(s, jobs, &list)) {
        while (list) {
            request *r = list;
            list = r->next;
            begin(s, r);
        }
        sweep(s);
        jobs = step(s);
        sweep(s);
    }
    for (size_t i = 0; i < s->options->n_models; i++) close_model(&s->models[i]);
    return NULL;
}

bool engine_start(server *s) {
    s->inbox_end = &s->inbox;
    if (s->options->n_models == 1) {
        capp_error err;
        if (!open_model(s, &s->models[0], &err)) {
            fprintf(stderr, "capp: %s\n", err.message);
            return false;
        }
    }
    return !pthread_create(&s->engine, NULL, run, s);
}

bool engine_submit(server *s, request *r, failure *f) {
    pthread_mutex_lock(&s->lock);
    bool stopping = s->stopping;
    bool full = s->requests >= s->options->most_requests;
    if (!stopping && !full) {
        request_hold(r);
        r->next = NULL;
        *s->inbox_end = r;
        s->inbox_end = &r->next;
        s->requests++;
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    if (stopping) return refuse(f, 503, "", "the server is stopping");
    return !full || refuse_full(f);
}

void engine_stop(server *s) {
    pthread_mutex_lock(&s->lock);
    s->ends = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->engine, NULL);
}
