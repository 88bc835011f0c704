/* capp serve: models behind HTTP.
 *
 *   text.c         texts that grow, JSON written
 *   fields.c       JSON read: strict, with errors that name the field
 *   http.c         connections: libmicrohttpd, limits, keys, headers
 *   request.c      a request: its answer on the way to the client, its errors; inboxes of threads
 *   parse.c        a body becomes the state of its endpoint
 *   prepare.c      the threads that open models and turn texts into tokens
 *   engine.c       the thread that runs the models
 *   watch.c        clients that leave, deadlines
 *   serve.c        begins and ends the server
 *   endpoints.c    the table of paths
 *   completions.c  the requests of /v1/completions and /v1/chat/completions
 *   continue.c     their answers: texts are continued; answer.c writes their parts
 *   choose.c       the same with the field `choice`: answers are scored
 *   classify.c     /v1/classify; fill.c fills the template
 *   systemone.c    /v1/systemone
 *   info.c         /tokenize, /detokenize, /v1/models, /healthz, /metrics, /openapi.json, the page
 *
 * Five threads do the work. The thread of HTTP reads requests, checks what needs no model, and sends answers. Three
 * threads prepare requests: they turn texts into tokens. One of them is for large bodies, and also reads their JSON, so
 * that others do not wait for that; another one opens models. The thread of the engine owns the sessions and queues.
 * A request belongs to one of them at a time, except for its answer, which has a lock. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "capp_queue.h"

typedef struct serve_model {
    const char *name; /* in requests */
    const char *path;
} serve_model;

/* Options of the server. Everything is borrowed while it runs. */
typedef struct serve_options {
    const serve_model *models; /* [n_models] */
    size_t n_models;
    const char *host;                 /* address to listen on */
    uint16_t port;                    /* 0: any free port; the log tells which */
    const char *key;                  /* requests must have it; NULL: none */
    capp_model_options model_options; /* memory and weights_memory are for all models together */
    const char *const *precisions;    /* the name of each capp_precision */
    double wave_seconds;
    size_t most_requests;   /* in the queue; more get 429 */
    size_t most_body;       /* bytes */
    size_t most_classes;    /* of a request */
    size_t most_tokens;     /* generated for a choice of a request */
    double request_seconds; /* until a request is given up */
    double read_seconds;    /* until a request must have arrived */
    double stop_seconds;    /* given to requests when the server stops */
    bool quiet;             /* no log */
    bool log_texts;         /* the log has the bodies of requests */
} serve_options;

/* Sets *options to the defaults. */
void serve_options_init(serve_options *options);

/* Runs the server until SIGTERM, SIGINT or SIGHUP. Returns 0, or 2 after a message on stderr. A signal that arrives
 * before the server listens gets its usual effect, too. */
int serve(const serve_options *options);

#endif
