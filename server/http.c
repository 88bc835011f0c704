/* Connections: libmicrohttpd reads requests and sends answers, in one thread. */
#define _GNU_SOURCE
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "mhd.h"
#include "parse.h"
#include "prepare.h"
#include "watch.h"

enum {
    MOST_CONNECTIONS = 4096,
    HEADER_BYTES = 32 << 10, /* memory of a connection: its headers must fit */
    PIECE = 32 << 10,        /* of an answer that streams */
    SPARE_DESCRIPTORS = 64
};

static void resume(request *r) {
    mhd.MHD_resume_connection(r->connection);
}

/* ---- Answers ---- */

static const char *header(request *r, const char *name) {
    return mhd.MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static void add_headers(request *r, struct MHD_Response *response) {
    static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                                 "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    mhd.MHD_add_response_header(response, "Content-Type", r->type);
    mhd.MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    mhd.MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    mhd.MHD_add_response_header(response, "Content-Security-Policy", policy);
    mhd.MHD_add_response_header(response, "Cache-Control", "no-store");
    mhd.MHD_add_response_header(response, "X-Request-Id", r->id);
    if (r->status == 401) mhd.MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (r->status == 405) mhd.MHD_add_response_header(response, "Allow", r->endpoint->method);
    if (r->status == 429 || r->status == 503) mhd.MHD_add_response_header(response, "Retry-After", "1");
    if (r->status == 413 || r->closes || r->server->stopping)
        mhd.MHD_add_response_header(response, "Connection", "close");
}

/* The next piece of an answer that streams. */
static ssize_t read_piece(void *user, uint64_t position, char *data, size_t most) {
    request *r = user;
    (void)position;
    pthread_mutex_lock(&r->lock);
    size_t left = r->answer.size - r->sent, n = left < most ? left : most;
    ssize_t result = (ssize_t)n;
    if (n) {
        memcpy(data, r->answer.data + r->sent, n);
        r->sent += n;
        if (r->sent == r->answer.size && !r->answer.failed) r->sent_before += r->sent, r->answer.size = r->sent = 0;
    } else if (r->ended) {
        result = r->answer.failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        r->suspended = true;
        mhd.MHD_suspend_connection(r->connection);
    }
    pthread_mutex_unlock(&r->lock);
    return result;
}

/* The answer for libmicrohttpd, or NULL; r->lock is held. */
static struct MHD_Response *make_answer(request *r) {
    struct MHD_Response *response =
        r->streams ? mhd.MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, read_piece, r, NULL)
                   : mhd.MHD_create_response_from_buffer(r->answer.size, r->answer.data, MHD_RESPMEM_MUST_COPY);
    if (!response) return NULL;
    add_headers(r, response);
    if (!r->streams) r->sent = r->answer.size;
    r->queued = true;
    r->server->answers[r->status / 100 % 6]++;
    if (r->status == 429) r->server->full++;
    return response;
}

/* libmicrohttpd locks the answer when it is queued, and while it calls read_piece, which locks r. So r is not locked
 * when the answer is queued. */
static enum MHD_Result send_or_wait(request *r) {
    struct MHD_Response *response = NULL;
    enum MHD_Result result = MHD_YES;
    pthread_mutex_lock(&r->lock);
    int status = r->status;
    if (status && !r->queued && !(response = make_answer(r))) result = MHD_NO;
    if (!status) {
        r->suspended = true;
        mhd.MHD_suspend_connection(r->connection);
    }
    pthread_mutex_unlock(&r->lock);
    if (!response) return result;
    result = mhd.MHD_queue_response(r->connection, (unsigned)status, response);
    mhd.MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_refusal(request *r, const failure *f) {
    request_refuse(r, f);
    return send_or_wait(r);
}

/* ---- Checks ---- */

/* Whether two texts are equal, in a time that depends on the length of `given` alone. */
static bool equal_secret(const char *given, const char *secret) {
    size_t n = strlen(given), m = strlen(secret);
    unsigned differs = n != m;
    for (size_t i = 0; i < n; i++) differs |= (unsigned)(unsigned char)given[i] ^ (unsigned char)secret[m ? i % m : 0];
    return !differs;
}

static bool check_key(request *r, failure *f) {
    const char *key = r->server->options->key, *given = header(r, "Authorization");
    if (!key || (r->endpoint && r->endpoint->open)) return true;
    if (given && !strncasecmp(given, "Bearer ", 7) && equal_secret(given + 7, key)) return true;
    return refuse(f, 401, "", given ? "the API key is wrong" : "an API key is needed: Authorization: Bearer KEY");
}

/* A name and a port without the port. */
static capp_str name_of(const char *host) {
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    return (capp_str){host, end ? (size_t)(end + 1 - host) : strcspn(host, ":")};
}

static bool is_name(capp_str a, const char *b) {
    return a.size == strlen(b) && !strncasecmp(a.data, b, a.size);
}

/* Pages of other origins must not use the server through a browser. A server that listens on this machine alone answers
 * only under a name of this machine, so that no page can take it over by changing its name's address. */
static bool check_origin(request *r, failure *f) {
    const char *host = header(r, "Host"), *origin = header(r, "Origin"), *own = r->server->options->host;
    capp_str name = name_of(host ? host : "localhost");
    bool local = !strcmp(own, "127.0.0.1") || !strcmp(own, "::1") || !strcmp(own, "localhost");
    if (local && !is_name(name, "localhost") && !is_name(name, "127.0.0.1") && !is_name(name, "[::1]"))
        return refuse(f, 403, "", "the server does not answer under the name '%.*s'; use localhost", (int)name.size,
                      name.data);
    if (!origin) return true;
    const char *after = strstr(origin, "://");
    if (after && host && !strcasecmp(after + 3, host)) return true;
    return refuse(f, 403, "", "pages of another origin may not use the server");
}

/* Where two programs read one request, a proxy and this server, they must agree on its length and on the host. */
typedef struct framing {
    unsigned hosts, lengths, encodings;
} framing;

static enum MHD_Result count_header(void *user, enum MHD_ValueKind kind, const char *name, const char *value) {
    framing *f = user;
    (void)kind, (void)value;
    f->hosts += !strcasecmp(name, "Host");
    f->lengths += !strcasecmp(name, "Content-Length");
    f->encodings += !strcasecmp(name, "Transfer-Encoding");
    return MHD_YES;
}

static bool check_framing(request *r, failure *f) {
    framing found = {0};
    mhd.MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_header, &found);
    if (found.hosts <= 1 && found.lengths + found.encodings <= 1) return true;
    r->closes = true;
    return refuse(f, 400, "", "the request has %s", found.hosts > 1 ? "two hosts" : "two lengths");
}

static bool check_body(request *r, failure *f) {
    const serve_options *o = r->server->options;
    const char *type = header(r, "Content-Type"), *length = header(r, "Content-Length");
    const char *encoding = header(r, "Content-Encoding");
    if (strcmp(r->endpoint->method, "POST")) return true;
    if (!type || strncasecmp(type, "application/json", 16) || (type[16] && type[16] != ';' && type[16] != ' '))
        return refuse(f, 415, "", "the body must be JSON, with Content-Type: application/json");
    if (encoding && strcasecmp(encoding, "identity"))
        return refuse(f, 415, "", "Content-Encoding '%.50s' is not supported; send the body as it is", encoding);
    if (length && strtoull(length, NULL, 10) > o->most_body)
        return refuse(f, 413, "", "the body has more than %zu bytes", o->most_body);
    if (length && !request_has_room(r, strtoull(length, NULL, 10))) return refuse_full(f);
    return true;
}

static bool is_path(const endpoint *e, const char *path) {
    size_t n = strlen(e->path);
    return e->named ? !strncmp(path, e->path, n) && path[n] : !strcmp(path, e->path);
}

/* Finds the endpoint of a path. *method: another method would be right. */
static const endpoint *find(const server *s, const char *path, const char *method, const endpoint **other) {
    bool get = !strcmp(method, "HEAD");
    for (size_t i = 0; i < s->n_endpoints; i++) {
        if (!is_path(&s->endpoints[i], path)) continue;
        *other = &s->endpoints[i];
        if (!strcmp(s->endpoints[i].method, get ? "GET" : method)) return &s->endpoints[i];
    }
    return NULL;
}

/* ---- The way of a request ---- */

static enum MHD_Result begin(request *r) {
    failure f = {0};
    if (!check_framing(r, &f) || !check_origin(r, &f) || !check_key(r, &f) || !check_body(r, &f))
        return send_refusal(r, &f);
    return MHD_YES;
}

/* The model that an address without a body names. */
static const char *model_of_address(const request *r, const char *path) {
    if (r->endpoint->named) return path + strlen(r->endpoint->path);
    return mhd.MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "model");
}

/* The request has arrived. */
static enum MHD_Result complete(request *r, const char *path) {
    failure f = {0};
    const endpoint *e = r->endpoint;
    r->arrived = true;
    if (r->body.failed || r->body.size > r->server->options->most_body) {
        refuse(&f, r->body.failed ? 503 : 413, "",
               r->body.failed ? "out of memory" : "the body has more than %zu bytes", r->server->options->most_body);
        return send_refusal(r, &f);
    }
    if (r->overflows) {
        refuse_full(&f);
        return send_refusal(r, &f);
    }
    if (!prepare_is_large(r) && !parse_request(r, model_of_address(r, path), &f)) return send_refusal(r, &f);
    if (!e->modelless && !prepare_submit(r->server, r, &f)) return send_refusal(r, &f);
    return send_or_wait(r);
}

static peer *peer_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = mhd.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static enum MHD_Result refuse_path(request *r, const endpoint *other, const char *path) {
    failure f = {0};
    if (other)
        refuse(&f, 405, "", "%.200s takes only %s", path, other->method);
    else
        refuse(&f, 404, "", "there is nothing at %.200s; GET /openapi.json lists what there is", path);
    return send_refusal(r, &f);
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *data, size_t *size, void **state) {
    server *s = user;
    request *r = *state;
    (void)version;
    if (!r) {
        const endpoint *other = NULL, *e = find(s, path, method, &other);
        const union MHD_ConnectionInfo *info =
            mhd.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (!(r = *state = request_new(s, e ? e : other))) return MHD_NO;
        r->connection = connection;
        r->socket = info ? info->connect_fd : -1;
        watch_add(s, r);
        return e ? begin(r) : refuse_path(r, other, path);
    }
    if (*size) {
        bool read = !r->status && !strcmp(r->endpoint->method, "POST"); /* nothing reads the body of a GET */
        if (read && r->body.size <= s->options->most_body) request_read(r, data, *size);
        *size = 0;
        return MHD_YES;
    }
    peer_busy(s, peer_of(connection), true);
    if (r->arrived || r->status) return send_or_wait(r);
    return complete(r, path);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code) {
    server *s = user;
    request *r = *state;
    (void)code;
    peer_busy(s, peer_of(connection), false);
    if (!r) return;
    *state = NULL;
    pthread_mutex_lock(&r->lock);
    r->socket = -1;
    r->suspended = false;
    if (!r->ended && !atomic_exchange(&r->cancelled, true) && r->arrived) s->left++;
    int status = r->status;
    size_t sent = r->sent + r->sent_before; /* the engine may go on with the answer */
    pthread_mutex_unlock(&r->lock);
    watch_remove(s, r);
    log_request(r, status, sent);
    request_release(r);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    server *s = user;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            mhd.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *context = info ? peer_new(s, info->connect_fd) : NULL;
    } else {
        peer_free(s, *context);
        *context = NULL;
    }
}

/* ---- Beginning and end ---- */

/* One descriptor for each connection: as many as the system allows. */
static unsigned raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return 256;
    rlim_t wanted = MOST_CONNECTIONS + SPARE_DESCRIPTORS;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= wanted) return MOST_CONNECTIONS;
    return limit.rlim_cur > 2 * SPARE_DESCRIPTORS ? (unsigned)limit.rlim_cur - SPARE_DESCRIPTORS : SPARE_DESCRIPTORS;
}

static void be_silent(void *user, const char *format, va_list arguments) {
    (void)user, (void)format, (void)arguments;
}

static struct MHD_Daemon *start_at(server *s, const struct addrinfo *at) {
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    if (at->ai_family == AF_INET6) flags |= MHD_USE_IPv6;
    return mhd.MHD_start_daemon(flags, s->options->port, NULL, NULL, handle, s, MHD_OPTION_EXTERNAL_LOGGER, be_silent,
                                NULL, MHD_OPTION_SOCK_ADDR, at->ai_addr, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                                MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_CONNECTION_LIMIT,
                                raise_limit(), MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES,
                                MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)s->options->read_seconds + 1,
                                MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

/* Why it cannot listen. code: errno. */
static void tell_why(const server *s, int code) {
    const char *why = code == EADDRINUSE ? "another program may use it, choose another --port"
                      : code == EADDRNOTAVAIL
                          ? "this machine does not have the address, choose another --host, such as "
                            "127.0.0.1, or 0.0.0.0 for all addresses of this machine"
                      : code == EACCES ? "the system reserves this port for root, choose a --port above 1023"
                      : code           ? strerror(code)
                                       : "choose another --host or --port";
    fprintf(stderr, "capp: cannot listen on %s, port %u; %s\n", s->options->host, s->options->port, why);
}

bool http_start(server *s) {
    if (!mhd_load()) return false;
    s->resume = resume;
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    snprintf(port, sizeof port, "%u", s->options->port);
    int code = getaddrinfo(s->options->host, port, &hints, &found);
    if (code) {
        fprintf(stderr, "capp: --host %s: %s\n", s->options->host, gai_strerror(code));
        return false;
    }
    errno = 0;
    s->daemon = start_at(s, found);
    code = errno;
    freeaddrinfo(found);
    if (!s->daemon) {
        tell_why(s, code);
        return false;
    }
    const union MHD_DaemonInfo *info = mhd.MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    s->port = info ? info->port : s->options->port;
    return true;
}

void http_quiesce(server *s) {
    int socket = mhd.MHD_quiesce_daemon(s->daemon);
    if (socket >= 0) shutdown(socket, SHUT_RDWR);
    s->listening = socket;
}

void http_stop(server *s) {
    mhd.MHD_stop_daemon(s->daemon);
}
