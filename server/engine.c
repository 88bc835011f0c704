/* The engine takes prepared requests between two steps of the queues. */
#include "engine.h"

#include "prepare.h"

static void close_model(model *m) {
    capp_queue_free(m->queue);
    capp_chat_free(m->chat);
    capp_session_free(m->session);
    capp_model_free(m->model);
}

static void begin(server *s, request *r) {
    failure f = {0};
    r->next = s->running;
    s->running = r;
    if (r->ended) return;
    if (r->late)
        refuse_late(r, &f);
    else if (r->cancelled)
        refuse(&f, 503, "", "cancelled");
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
        prepare_release(s, r);
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
        if (!m->opened) continue;
        any |= capp_queue_step(m->queue) > 0;
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

static void *run(void *user) {
    server *s = user;
    request *list;
    bool jobs = false;
    while (inbox_take(s, &s->prepared, !jobs, &list)) {
        for (request *r = s->running; r && s->aborts; r = r->next) r->cancelled = true;
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
    return !pthread_create(&s->engine, NULL, run, s);
}

void engine_stop(server *s) {
    inbox_end(s, &s->prepared);
    pthread_join(s->engine, NULL);
}
