/* Requests are prepared between the thread of HTTP and that of the engine: models are opened, texts become tokens. So
 * neither of the two waits for a long text or a large file. */
#include "prepare.h"

#include <stdio.h>

/* Memory of the runs of several models together, if no option says how much. */
static const uint64_t DEFAULT_MEMORY = (uint64_t)2 << 30;

/* A text with more bytes for each token of the context is too long for any tokenizer. */
enum { TOKEN_BYTES = 128 };

/* ---- Models ---- */

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
    m->opened = true;
    log_event(s, "opened", "%s: %s, precision %d, %s, %.3f seconds", m->name, m->path, (int)m->info.precision,
              m->info.isa, m->info.load_seconds);
    return true;
}

/* ---- Requests ---- */

bool prepare_fits(const request *r, capp_str given, failure *f) {
    size_t context = r->model->info.context;
    if (given.size / TOKEN_BYTES <= context) return true;
    return refuse(f, 400, "", "a text has %zu bytes, but the context is %zu tokens; shorten the text", given.size,
                  context);
}

bool prepare_fits_example(const request *r, const capp_example *example, failure *f) {
    for (size_t i = 0; i < example->n_completions; i++)
        if (!prepare_fits(r, example->completions[i], f)) return false;
    return prepare_fits(r, example->prompt, f);
}

/* The engine takes every request, also one that is answered: it counts and releases them. */
static void prepare(server *s, request *r) {
    failure f = {0};
    capp_error err;
    if (r->late)
        refuse_late(r, &f);
    else if (r->cancelled || s->aborts)
        refuse(&f, 503, "", "cancelled");
    else if (!r->model->opened && !open_model(s, r->model, &err)) /* the message has paths of this machine */
        refuse(&f, err.status == CAPP_ENOMEM ? 503 : 500, "model",
               "the model '%s' cannot be opened; the log of the server says why", r->model->name);
    else
        r->endpoint->prepare(r, &f);
    if (f.status) request_refuse(r, &f);
    pthread_mutex_lock(&s->lock);
    inbox_put(&s->prepared, r);
    pthread_mutex_unlock(&s->lock);
}

static void *run(void *user) {
    server *s = user;
    request *list;
    while (inbox_take(s, &s->arrived, true, &list)) {
        while (list) {
            request *r = list;
            list = r->next;
            prepare(s, r);
        }
    }
    return NULL;
}

bool prepare_start(server *s) {
    if (s->options->n_models == 1) {
        capp_error err;
        if (!open_model(s, &s->models[0], &err)) {
            fprintf(stderr, "capp: %s\n", err.message);
            return false;
        }
    }
    return !pthread_create(&s->preparer, NULL, run, s);
}

bool prepare_submit(server *s, request *r, failure *f) {
    pthread_mutex_lock(&s->lock);
    bool stopping = s->stopping;
    bool full = s->requests >= s->options->most_requests;
    if (!stopping && !full) {
        request_hold(r);
        inbox_put(&s->arrived, r);
        s->requests++;
    }
    pthread_mutex_unlock(&s->lock);
    if (stopping) return refuse(f, 503, "", "the server is stopping");
    return !full || refuse_full(f);
}

void prepare_stop(server *s) {
    inbox_end(s, &s->arrived);
    pthread_join(s->preparer, NULL);
}
