/* Requests are prepared between the thread of HTTP and that of the engine: models are opened, texts become tokens. So
 * neither of the two waits for a long text or a large file. Large bodies have a thread of their own, in which they are
 * parsed and freed, too: small requests do not wait for them. Requests for a model that is not open yet pass on to the
 * thread that opens models: requests for the other models do not wait for that. */
#define _POSIX_C_SOURCE 200809L
#include "prepare.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "parse.h"

/* Memory of the runs of several models together, if no option says how much. */
static const uint64_t DEFAULT_MEMORY = (uint64_t)2 << 30;

/* A body with more bytes is large. Others take a millisecond or two. */
enum { SMALL_BODY = 64 << 10 };

/* A text with more bytes for each token of the context is too long for any tokenizer. */
enum { TOKEN_BYTES = 128 };

/* ---- Models ---- */

/* Divides the memory of all models. */
static uint64_t share_of(const server *s, uint64_t bytes) {
    return bytes / s->options->n_models;
}

/* While the server begins, nobody takes signals. One that has arrived ends it. */
static bool has_no_signal(void *user, size_t done, size_t total) {
    sigset_t set;
    (void)user, (void)done, (void)total;
    return sigpending(&set) ||
           (!sigismember(&set, SIGTERM) && !sigismember(&set, SIGINT) && !sigismember(&set, SIGHUP));
}

/* A server that cancels its requests does not wait for a model. */
static bool goes_on(void *user, size_t done, size_t total) {
    const server *s = user;
    (void)done, (void)total;
    return !s->aborts;
}

static bool open_model(server *s, model *m, capp_progress_fn progress, capp_error *err) {
    capp_model_options options = s->options->model_options;
    capp_queue_options how;
    options.progress = progress;
    options.progress_user = s;
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
    m->opened = true;
    log_event(s, "opened", "%s: %s, precision %s, %s, %.3f seconds", m->name, m->path,
              s->options->precisions[m->info.precision], m->info.isa, m->info.load_seconds);
    return true;
}

/* In the thread that opens models. The message of an error has paths of this machine. */
static bool is_open(server *s, model *m, failure *f) {
    capp_error err;
    if (m->opened || open_model(s, m, goes_on, &err)) return true;
    if (err.status == CAPP_ECANCELLED) return refuse(f, 503, "", "cancelled");
    return refuse(f, err.status == CAPP_ENOMEM ? 503 : 500, "model",
                  "the model '%s' cannot be opened; the log of the server says why", m->name);
}

/* ---- Requests ---- */

bool prepare_fits(const request *r, capp_str given, failure *f, const char *format, ...) {
    char what[200];
    va_list arguments;
    size_t context = r->model->info.context;
    if (given.size / TOKEN_BYTES <= context) return true;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return refuse(f, 400, "", "%s has %zu bytes, but the context is %zu tokens; shorten the text", what, given.size,
                  context);
}

static bool is_ready(const request *r) {
    const model *m = r->model;
    return m->opened;
}

static void pass(server *s, request *r, inbox *box) {
    pthread_mutex_lock(&s->lock);
    inbox_put(box, r);
    pthread_mutex_unlock(&s->lock);
}

/* The engine takes every request, also one that is answered: it counts and releases them. */
static void prepare(preparer *p, request *r) {
    server *s = p->server;
    preparer *opener = &s->preparers[OPENER];
    failure f = {0};
    if (r->late)
        refuse_late(r, &f);
    else if (r->cancelled || s->aborts)
        refuse(&f, 503, "", "cancelled");
    else if (r->parsed || parse_request(r, NULL, &f)) {
        if (p != opener && !is_ready(r)) {
            pass(s, r, &opener->arrived);
            return;
        }
        if (is_open(s, r->model, &f)) r->endpoint->prepare(r, &f);
    }
    if (f.status) request_refuse(r, &f);
    pass(s, r, &s->prepared);
}

static void *run(void *user) {
    preparer *p = user;
    request *r;
    while ((r = inbox_next(p->server, &p->arrived))) {
        if (r->done) {
            request_forget(r);
            request_release(r);
        } else {
            prepare(p, r);
        }
    }
    return NULL;
}

/* One after the other: the last one takes requests from the others. */
static void end_threads(server *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        inbox_end(s, &s->preparers[i].arrived);
        pthread_join(s->preparers[i].thread, NULL);
    }
    for (size_t i = 0; i < PREPARERS; i++) inbox_free(&s->preparers[i].arrived);
}

static bool begin_threads(server *s) {
    for (size_t i = 0; i < PREPARERS; i++) {
        s->preparers[i].server = s;
        inbox_init(&s->preparers[i].arrived);
    }
    for (size_t i = 0; i < PREPARERS; i++)
        if (pthread_create(&s->preparers[i].thread, NULL, run, &s->preparers[i])) {
            end_threads(s, i);
            fprintf(stderr, "capp: a thread cannot be created\n");
            return false;
        }
    return true;
}

bool prepare_start(server *s) {
    if (s->options->n_models == 1) {
        capp_error err;
        if (!open_model(s, &s->models[0], has_no_signal, &err)) {
            fprintf(stderr, "capp: %s\n", err.message);
            return false;
        }
    }
    return begin_threads(s);
}

bool prepare_is_large(const request *r) {
    return r->body.size > SMALL_BODY;
}

bool prepare_submit(server *s, request *r, failure *f) {
    pthread_mutex_lock(&s->lock);
    bool stopping = s->stopping;
    bool full = s->requests >= s->options->most_requests;
    if (!stopping && !full) {
        request_hold(r);
        inbox_put(&s->preparers[prepare_is_large(r) ? LARGE : SMALL].arrived, r);
        s->requests++;
    }
    pthread_mutex_unlock(&s->lock);
    if (stopping) return refuse(f, 503, "", "the server is stopping");
    return !full || refuse_full(f);
}

void prepare_release(server *s, request *r) {
    inbox *box = &s->preparers[LARGE].arrived;
    pthread_mutex_lock(&s->lock);
    bool passes = prepare_is_large(r) && !box->ends;
    if (passes) {
        r->done = true;
        inbox_put_first(box, r); /* its memory is for the others */
    }
    pthread_mutex_unlock(&s->lock);
    if (!passes) request_release(r);
}

void prepare_stop(server *s) {
    end_threads(s, PREPARERS);
}
