/* A request, the server, and what the parts of the server know of each other. */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include <pthread.h>
#include <stdatomic.h>

#include "fields.h"
#include "server.h"
#include "text.h"

struct MHD_Connection;
typedef struct server server;
typedef struct request request;

/* ---- Endpoints ---- */

typedef struct endpoint {
    const char *method, *path;
    bool named;               /* the name of a model follows the path */
    bool open;                /* needs no key */
    bool modelless;           /* is answered by the thread of HTTP: needs no open model */
    const size_t *state_size; /* bytes of request.state, which is cleared; NULL: it has none */
    /* Reads r->json (NULL for GET) into r->state, in the thread of HTTP or, for a large body, in one that prepares. A
     * modelless endpoint, which has no body, calls request_answer. */
    bool (*parse)(request *r, failure *f); /* may be NULL */
    /* In a thread that prepares, when the model is open: turns texts into tokens, or answers. */
    bool (*prepare)(request *r, failure *f);
    /* In the thread of the engine: adds parts. NULL: prepare has answered. */
    bool (*begin)(request *r, failure *f);
    /* All parts have ended well: answers. */
    void (*finish)(request *r);
    void (*drop)(request *r); /* frees what belongs to r->state; may be NULL */
} endpoint;

/* ---- Models ---- */

typedef struct model {
    const char *name, *path;
    atomic_bool opened; /* by a thread that prepares; then what follows does not change: */
    capp_model *model;
    capp_chat *chat; /* NULL: the model has none */
    capp_error chat_error;
    capp_model_info info;
    capp_session *session; /* of the thread of the engine, with the queue */
    capp_queue *queue;
    bool warm; /* copied under the server's lock for info.c: */
    capp_stats stats;
    capp_queue_stats queue_stats;
} model;

/* ---- A request ---- */

/* A job of a request. Endpoints embed it at the beginning of their own structs. */
typedef struct part {
    request *request;
    capp_job *job; /* NULL: it has ended */
    bool complete; /* the endpoint itself ended the job: all it wanted is there */
} part;

struct request {
    server *server;
    const endpoint *endpoint;
    model *_Atomic model; /* the log reads it in another thread */
    char id[24];
    int64_t created; /* seconds since 1970 */
    text body;
    size_t prompt_bytes; /* of the prompts that the endpoint has made of the body */
    size_t held;         /* bytes that count as held by this request: its body, its JSON and its prompts */
    bool overflows;      /* there was no room for its body */
    bool done;           /* the engine does not need it any more */
    bool parsed;         /* json and state have been read, or refused */
    json_t *json;
    void *state;
    /* Of the engine: */
    part **parts; /* [n_parts] */
    size_t n_parts, parts_capacity, running;
    failure failure;                     /* the first one of a part */
    double deadline;                     /* of the engine; with the lock: of the client, when the answer is complete */
    request *next;                       /* in an inbox, then in the list of running requests */
    request *watched_next, **watched_at; /* in the list of requests that have a connection */
    atomic_bool cancelled;               /* the client has gone, or the deadline is over */
    /* Of the thread of HTTP: */
    struct MHD_Connection *connection;
    bool arrived; /* the body is complete */
    bool closes;  /* the connection ends with the answer */
    double start;
    /* The answer; with a lock: */
    pthread_mutex_t lock;
    text answer;
    size_t sent, sent_before; /* bytes of the answer, and bytes that are not in it any more */
    bool queued;              /* libmicrohttpd has the answer */
    int status;               /* of HTTP; 0: not known yet */
    const char *type;
    bool streams, ended;
    bool suspended;   /* the connection waits for the engine */
    int socket;       /* -1: the connection has ended */
    atomic_bool late; /* cancelled by the deadline */
    atomic_int users; /* threads that hold it */
};

request *request_new(server *s, const endpoint *e);
void request_hold(request *r);
void request_release(request *r);

/* Frees what the request has read, before it is released: its answer is complete. */
void request_forget(request *r);

/* Counts bytes that the request is going to hold until it is released. False: all requests together would hold too
 * many. One request alone may hold more. */
bool request_take(request *r, size_t bytes);

/* The same for bytes of its answer, of which one request alone may not hold more. False: r->failure says so. */
bool request_take_answer(request *r, size_t bytes);

/* Whether there is room for so many bytes now. */
bool request_has_room(const request *r, size_t bytes);

/* Adds to the body what has arrived, if there is room for it. */
void request_read(request *r, const char *data, size_t size);

/* How many more bytes the prompts of the request may have. */
size_t request_room(const request *r);

/* Answers and takes the contents of *body. In any thread. */
void request_answer(request *r, int status, const char *type, text *body);
void request_refuse(request *r, const failure *f);

/* Sends a piece of an answer that streams (status 200). last: nothing follows. What the client has not taken counts as
 * held. False: it has become too much, and r->failure says so. */
bool request_stream(request *r, const char *type, text *piece, bool last);

/* Adds a part. Its job ends with part_done, and user = p. When the job was added to the queue, part_begun takes the
 * status and returns whether it is CAPP_OK. */
bool request_add(request *r, part *p, failure *f);
bool part_begun(part *p, capp_status status, const capp_error *err, failure *f);
void part_done(void *p, capp_status status, const capp_error *err);

/* There is no room for the request. */
bool refuse_full(failure *f);

/* The time of the request is over. */
void refuse_late(const request *r, failure *f);

/* Turns an error of the library into one of HTTP. */
void failure_of(failure *f, const capp_error *err);

/* An error with the place that caused it before its message, such as "text 3". Returns `to`, or err if the place is not
 * to blame, as for a lack of memory. */
const capp_error *error_at(capp_error *to, const capp_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Requests on their way from one thread to the next, in their order ---- */

/* With the server's lock. */
typedef struct inbox {
    request *first, **end;
    pthread_cond_t wake; /* of the thread that takes them */
    bool ends;           /* nothing more will come */
} inbox;

void inbox_init(inbox *box);
void inbox_free(inbox *box);

/* Adds a request; the lock is held. */
void inbox_put(inbox *box, request *r);

/* The same, before those that are there. */
void inbox_put_first(inbox *box, request *r);

/* Takes all requests, linked by `next`. wait: until there are some or it ends. False: it has ended. */
bool inbox_take(server *s, inbox *box, bool wait, request **list);

/* Waits for a request and takes the first one. NULL: the inbox has ended. */
request *inbox_next(server *s, inbox *box);

/* The thread that takes them ends when it has taken what is there. */
void inbox_end(server *s, inbox *box);

/* ---- The server ---- */

typedef struct peer peer;

/* The threads that prepare requests: those with small bodies, those with large ones, and those whose model is not open
 * yet. */
enum { SMALL, LARGE, OPENER, PREPARERS };

typedef struct preparer {
    server *server;
    pthread_t thread;
    inbox arrived;
} preparer;

struct server {
    const serve_options *options;
    model *models;             /* [options->n_models] */
    const endpoint *endpoints; /* [n_endpoints] */
    size_t n_endpoints;
    struct MHD_Daemon *daemon;
    void (*resume)(request *r); /* sends more of an answer; called with r->lock held */
    uint16_t port;
    int listening; /* the socket that accepted connections, after http_quiesce */
    preparer preparers[PREPARERS];
    pthread_t engine;
    pthread_mutex_t lock;
    inbox prepared;       /* requests for the engine */
    request *running;     /* of the engine */
    size_t requests;      /* in the inboxes or running */
    atomic_size_t held;   /* bytes of bodies, JSON and prompts of all requests */
    atomic_bool stopping; /* no more requests */
    atomic_bool aborts;   /* requests that have not been answered are cancelled */
    peer *peers;
    request *watched;
    double started;
    int64_t began; /* seconds since 1970 */
    /* For /metrics: */
    atomic_ullong answers[6]; /* by the first digit of the status */
    atomic_ullong left;       /* clients that left */
    atomic_ullong full;       /* 429 */
};

double clock_seconds(void);

/* The log: a line of JSON on stderr. */
void log_request(const request *r, int status, size_t sent);
void log_event(const server *s, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
