#define _GNU_SOURCE
#include "request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_ullong serial;

double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

request *request_new(server *s, const endpoint *e) {
    request *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->server = s;
    r->endpoint = e;
    r->socket = -1;
    r->users = 1;
    r->created = (int64_t)time(NULL);
    r->start = clock_seconds();
    r->deadline = r->start + s->options->request_seconds;
    snprintf(r->id, sizeof r->id, "capp-%llu", (unsigned long long)++serial);
    pthread_mutex_init(&r->lock, NULL);
    if (e && e->state_size && !(r->state = calloc(1, *e->state_size))) {
        request_release(r);
        return NULL;
    }
    return r;
}

void request_hold(request *r) {
    atomic_fetch_add(&r->users, 1);
}

enum { HELD_BODIES = 32 }; /* all requests together may hold as much as this many of the largest bodies */

static bool fits(const request *r, size_t all) {
    return all <= HELD_BODIES * r->server->options->most_body || all == r->held;
}

bool request_has_room(const request *r, size_t bytes) {
    return fits(r, r->server->held + bytes) || !r->server->held;
}

bool request_take(request *r, size_t bytes) {
    size_t all = atomic_fetch_add(&r->server->held, bytes) + bytes;
    r->held += bytes;
    return fits(r, all);
}

bool request_take_answer(request *r, size_t bytes) {
    bool has_room = request_take(r, bytes) && r->held <= HELD_BODIES * r->server->options->most_body;
    if (!has_room) refuse(&r->failure, 429, "", "the answer is too large; ask for less, or in several requests");
    return has_room;
}

static void give_back(request *r) {
    atomic_fetch_sub(&r->server->held, r->held);
    r->held = 0;
}

void request_read(request *r, const char *data, size_t size) {
    size_t before = r->body.capacity;
    if (r->overflows) return;
    text_add(&r->body, data, size);
    r->overflows = !request_take(r, r->body.capacity - before);
    if (r->overflows) {
        text_free(&r->body);
        give_back(r);
    }
}

void request_forget(request *r) {
    if (r->endpoint && r->endpoint->drop && r->state) r->endpoint->drop(r);
    json_decref(r->json);
    free(r->state);
    r->json = NULL;
    r->state = NULL;
}

void request_release(request *r) {
    if (atomic_fetch_sub(&r->users, 1) != 1) return;
    request_forget(r);
    free(r->parts);
    text_free(&r->body);
    text_free(&r->answer);
    give_back(r);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Prompts may be larger than the body, because a template has each text several times. */
size_t request_room(const request *r) {
    size_t most = 4 * r->server->options->most_body;
    return r->prompt_bytes < most ? most - r->prompt_bytes : 0;
}

/* Tells the thread of HTTP that there is more to send. */
static void wake(request *r) {
    if (r->suspended && r->socket >= 0) {
        r->suspended = false;
        r->server->resume(r);
    }
}

/* The client gets as much time to take the answer as the server had for it. */
static void end_answer(request *r) {
    if (!r->ended) r->deadline = clock_seconds() + r->server->options->request_seconds;
    r->ended = true;
}

void request_answer(request *r, int status, const char *type, text *body) {
    pthread_mutex_lock(&r->lock);
    if (!r->status) {
        text_free(&r->answer);
        r->answer = *body;
        *body = (text){0};
        r->status = r->answer.failed ? 503 : status;
        r->type = type;
        if (r->answer.failed) text_free(&r->answer);
    }
    end_answer(r);
    wake(r);
    pthread_mutex_unlock(&r->lock);
    text_free(body);
}

enum { STREAM_BYTES = 64 << 10 }; /* an answer that streams always has room for */

/* Drops what the client has taken, if that makes room for what follows. */
static void drop_sent(request *r) {
    text *t = &r->answer;
    if (t->failed || r->sent < t->size - r->sent) return;
    memmove(t->data, t->data + r->sent, t->size - r->sent);
    t->size -= r->sent;
    r->sent_before += r->sent;
    r->sent = 0;
}

bool request_stream(request *r, const char *type, text *piece, bool last) {
    pthread_mutex_lock(&r->lock);
    if (!r->status) {
        r->status = 200;
        r->type = type;
        r->streams = true;
    }
    size_t before = r->answer.capacity;
    if (r->sent) drop_sent(r);
    text_add(&r->answer, piece->data, piece->size);
    size_t more = r->answer.capacity - before;
    bool has_room = r->answer.capacity <= STREAM_BYTES ? (request_take(r, more), true) : request_take_answer(r, more);
    if (last || r->answer.failed || piece->failed) end_answer(r);
    wake(r);
    pthread_mutex_unlock(&r->lock);
    text_free(piece);
    return has_room;
}

static const char *type_of(int status) {
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    default: return status < 500 ? "invalid_request_error" : "server_error";
    }
}

/* The form of errors that OpenAI's clients read; `detail` is for typesafe-sdk's. */
void request_refuse(request *r, const failure *f) {
    text t = {0};
    bool events = r->type && !strcmp(r->type, "text/event-stream");
    if (events) text_put(&t, "data: ");
    text_put(&t, "{\"error\": {\"message\": ");
    text_word(&t, f->message);
    text_put(&t, ", \"type\": ");
    text_word(&t, type_of(f->status));
    text_put(&t, ", \"param\": ");
    if (f->field[0])
        text_word(&t, f->field);
    else
        text_put(&t, "null");
    text_printf(&t, ", \"code\": %d}, \"detail\": ", f->status);
    text_word(&t, f->message);
    text_put(&t, events ? "}\n\n" : "}\n");
    pthread_mutex_lock(&r->lock);
    bool streams = r->streams;
    pthread_mutex_unlock(&r->lock);
    if (streams)
        request_stream(r, r->type, &t, true);
    else
        request_answer(r, f->status, "application/json", &t);
}

void failure_of(failure *f, const capp_error *err) {
    static const int statuses[] = {[CAPP_OK] = 500,       [CAPP_ENOMEM] = 503,  [CAPP_EIO] = 500,
                                   [CAPP_EFORMAT] = 400,  [CAPP_EINVAL] = 400,  [CAPP_EUNSUPPORTED] = 400,
                                   [CAPP_ETOOLONG] = 400, [CAPP_EBUDGET] = 400, [CAPP_ECANCELLED] = 503};
    refuse(f, (size_t)err->status < sizeof statuses / sizeof *statuses ? statuses[err->status] : 500, "", "%s",
           err->message);
}

const capp_error *error_at(capp_error *to, const capp_error *err, const char *format, ...) {
    va_list arguments;
    if (err->status != CAPP_EINVAL && err->status != CAPP_ETOOLONG && err->status != CAPP_EBUDGET) return err;
    *to = *err;
    va_start(arguments, format);
    vsnprintf(to->message, sizeof to->message / 2, format, arguments);
    va_end(arguments);
    size_t n = strlen(to->message), room = sizeof to->message - n - 1;
    snprintf(to->message + n, room + 1, ": %.*s", (int)room - 2, err->message);
    return to;
}

bool refuse_full(failure *f) {
    return refuse(f, 429, "", "the server has too many requests to answer; try again later");
}

void refuse_late(const request *r, failure *f) {
    refuse(f, 504, "", "the request took longer than %g seconds", r->server->options->request_seconds);
}

/* ---- Parts ---- */

bool request_add(request *r, part *p, failure *f) {
    if (r->n_parts == r->parts_capacity) {
        size_t capacity = r->parts_capacity ? 2 * r->parts_capacity : 4;
        part **parts = realloc(r->parts, capacity * sizeof *parts);
        if (!parts) return refuse(f, 503, "", "out of memory");
        r->parts = parts;
        r->parts_capacity = capacity;
    }
    p->request = r;
    r->parts[r->n_parts++] = p;
    r->running++;
    return true;
}

bool part_begun(part *p, capp_status status, const capp_error *err, failure *f) {
    if (status == CAPP_OK) {
        capp_job_set_caller(p->job, p->request);
        return true;
    }
    p->request->running--;
    failure_of(f, err);
    return false;
}

void part_done(void *user, capp_status status, const capp_error *err) {
    part *p = user;
    request *r = p->request;
    p->job = NULL;
    r->running--;
    if (status != CAPP_OK && !p->complete) {
        if (!r->failure.status) failure_of(&r->failure, err);
        for (size_t i = 0; i < r->n_parts; i++)
            if (r->parts[i]->job) capp_job_cancel(r->parts[i]->job);
    }
    if (r->running) return;
    if (r->late && r->failure.status) refuse_late(r, &r->failure);
    if (r->failure.status)
        request_refuse(r, &r->failure);
    else
        r->endpoint->finish(r);
}

/* ---- Inboxes ---- */

void inbox_init(inbox *box) {
    *box = (inbox){0};
    box->end = &box->first;
    pthread_cond_init(&box->wake, NULL);
}

void inbox_free(inbox *box) {
    pthread_cond_destroy(&box->wake);
}

void inbox_put(inbox *box, request *r) {
    r->next = NULL;
    *box->end = r;
    box->end = &r->next;
    pthread_cond_signal(&box->wake);
}

void inbox_put_first(inbox *box, request *r) {
    if (!box->first) {
        inbox_put(box, r);
        return;
    }
    r->next = box->first;
    box->first = r;
}

request *inbox_next(server *s, inbox *box) {
    pthread_mutex_lock(&s->lock);
    while (!box->first && !box->ends) pthread_cond_wait(&box->wake, &s->lock);
    request *r = box->first;
    if (r && !(box->first = r->next)) box->end = &box->first;
    pthread_mutex_unlock(&s->lock);
    return r;
}

bool inbox_take(server *s, inbox *box, bool wait, request **list) {
    pthread_mutex_lock(&s->lock);
    while (!box->first && wait && !box->ends) pthread_cond_wait(&box->wake, &s->lock);
    *list = box->first;
    box->first = NULL;
    box->end = &box->first;
    bool goes_on = *list || !wait || !box->ends;
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

void inbox_end(server *s, inbox *box) {
    pthread_mutex_lock(&s->lock);
    box->ends = true;
    pthread_cond_signal(&box->wake);
    pthread_mutex_unlock(&s->lock);
}

/* ---- The log ---- */

void log_event(const server *s, const char *event, const char *format, ...) {
    char message[1500];
    text t = {0};
    if (s->options->quiet) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    text_printf(&t, "{\"time\": %lld, \"event\": ", (long long)time(NULL));
    text_word(&t, event);
    text_put(&t, ", \"message\": ");
    text_word(&t, message);
    text_put(&t, "}\n");
    if (!t.failed) fwrite(t.data, 1, t.size, stderr);
    text_free(&t);
}

void log_request(const request *r, int status, size_t sent) {
    const serve_options *o = r->server->options;
    text t = {0};
    if (o->quiet) return;
    text_printf(&t, "{\"time\": %lld, \"id\": \"%s\", \"path\": ", (long long)time(NULL), r->id);
    text_word(&t, r->endpoint ? r->endpoint->path : "");
    if (r->model) {
        text_put(&t, ", \"model\": ");
        text_word(&t, r->model->name);
    }
    text_printf(&t, ", \"status\": %d, \"seconds\": %.6f, \"received\": %zu, \"sent\": %zu", status,
                clock_seconds() - r->start, r->body.size, sent);
    if (o->log_texts) {
        text_put(&t, ", \"body\": ");
        text_string(&t, r->body.data, r->body.size);
    }
    text_put(&t, "}\n");
    if (!t.failed) fwrite(t.data, 1, t.size, stderr);
    text_free(&t);
}
