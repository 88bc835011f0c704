/* Begins and ends the server. The main thread waits for a signal and looks at connections ten times a second. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "endpoints.h"
#include "engine.h"
#include "http.h"
#include "prepare.h"
#include "watch.h"

enum { LAST_SECONDS = 2 };

void serve_options_init(serve_options *options) {
    *options = (serve_options){.host = "127.0.0.1",
                               .port = 8080,
                               .wave_seconds = 0.05,
                               .most_requests = 2048,
                               .most_body = 8 << 20,
                               .most_classes = 1000,
                               .most_tokens = 4096,
                               .request_seconds = 600,
                               .read_seconds = 60,
                               .stop_seconds = 30};
    capp_model_options_init(&options->model_options);
}

static bool wait_for_signal(const sigset_t *signals) {
    const struct timespec tenth = {.tv_nsec = 100000000};
    return sigtimedwait(signals, NULL, &tenth) > 0;
}

/* Whether no request is left, neither in the engine nor on its way to a client. */
static bool is_idle(server *s) {
    pthread_mutex_lock(&s->lock);
    bool idle = !s->requests && !s->watched;
    pthread_mutex_unlock(&s->lock);
    return idle;
}

/* Lets the requests end that have arrived. A second signal, or the end of stop_seconds, cancels them. */
static void drain(server *s, const sigset_t *signals) {
    double end = clock_seconds() + s->options->stop_seconds;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
    http_quiesce(s);
    while (!is_idle(s) && clock_seconds() < end && !wait_for_signal(signals)) {
        watch_requests(s);
        watch_peers(s);
    }
    s->aborts = true;
}

static void loop(server *s) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    while (!wait_for_signal(&signals)) {
        watch_requests(s);
        watch_peers(s);
    }
    log_event(s, "stopping", "a signal arrived; requests that have arrived are answered");
    drain(s, &signals);
}

/* Begins the threads that work. False: a message was printed. */
static bool start(server *s) {
    if (!prepare_start(s)) return false;
    if (!engine_start(s))
        fprintf(stderr, "capp: out of memory\n");
    else if (http_start(s))
        return true;
    else
        engine_stop(s);
    prepare_stop(s);
    return false;
}

/* Lets the thread of HTTP send the last answers. A client that does not take its answer is left soon. */
static void send_last(server *s) {
    const struct timespec pause = {.tv_nsec = 10000000};
    double until = clock_seconds() + LAST_SECONDS;
    while (!is_idle(s) && clock_seconds() < until) nanosleep(&pause, NULL);
}

/* What is left is answered before the connections end. */
static void end(server *s) {
    prepare_stop(s);
    engine_stop(s);
    send_last(s);
    http_stop(s);
    if (s->listening >= 0) close(s->listening);
    log_event(s, "stopped", "all requests are answered");
}

int serve(const serve_options *options) {
    server s = {.options = options,
                .endpoints = endpoints,
                .n_endpoints = n_endpoints,
                .started = clock_seconds(),
                .began = (int64_t)time(NULL),
                .listening = -1};
    sigset_t signals, before;
    int code = 2;
    json_object_seed(0);
    if (!(s.models = calloc(options->n_models, sizeof *s.models))) {
        fprintf(stderr, "capp: out of memory\n");
        return code;
    }
    for (size_t i = 0; i < options->n_models; i++) {
        s.models[i].name = options->models[i].name;
        s.models[i].path = options->models[i].path;
    }
    pthread_mutex_init(&s.lock, NULL);
    sigfillset(&signals); /* threads that are created now leave signals to this one */
    sigdelset(&signals, SIGBUS);
    sigdelset(&signals, SIGSEGV);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    inbox_init(&s.prepared);
    if (start(&s)) {
        log_event(&s, "listening", "http://%s:%u", options->host, s.port);
        loop(&s);
        end(&s);
        code = 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    inbox_free(&s.prepared);
    pthread_mutex_destroy(&s.lock);
    free(s.models);
    return code;
}
