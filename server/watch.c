/* libmicrohttpd does not look at the socket of a suspended connection, and its time limits count from the last byte. */
#define _GNU_SOURCE
#include "watch.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A connection. */
struct peer {
    int socket;
    bool busy;    /* its request has arrived */
    double since; /* when the connection or its previous request began to wait for a request */
    peer *next, **at;
};

peer *peer_new(server *s, int socket) {
    peer *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->socket = socket;
    p->since = clock_seconds();
    pthread_mutex_lock(&s->lock);
    p->next = s->peers;
    p->at = &s->peers;
    if (p->next) p->next->at = &p->next;
    s->peers = p;
    pthread_mutex_unlock(&s->lock);
    return p;
}

void peer_free(server *s, peer *p) {
    if (!p) return;
    pthread_mutex_lock(&s->lock);
    *p->at = p->next;
    if (p->next) p->next->at = p->at;
    pthread_mutex_unlock(&s->lock);
    free(p);
}

void peer_busy(server *s, peer *p, bool busy) {
    if (!p) return;
    pthread_mutex_lock(&s->lock);
    p->busy = busy;
    p->since = clock_seconds();
    pthread_mutex_unlock(&s->lock);
}

void watch_peers(server *s) {
    double now = clock_seconds();
    pthread_mutex_lock(&s->lock);
    for (peer *p = s->peers; p; p = p->next)
        if (!p->busy && now - p->since > s->options->read_seconds) {
            shutdown(p->socket, SHUT_RDWR); /* libmicrohttpd sees it and closes the connection */
            p->since = now;
        }
    pthread_mutex_unlock(&s->lock);
}

/* Whether the other side has closed the connection. */
static bool has_left(int socket) {
    struct pollfd p = {.fd = socket, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Cancels a request whose client has left or whose time is over. A client that does not take its answer is left. */
static bool cancel_over(server *s, request *r, double now) {
    pthread_mutex_lock(&r->lock);
    bool waits = !r->ended && !r->cancelled, over = now > r->deadline;
    bool left = waits && r->socket >= 0 && has_left(r->socket), late = waits && over;
    if (left || late) r->cancelled = true;
    if (left) s->left++;
    if (late) r->late = true;
    if (r->ended && over && r->socket >= 0) shutdown(r->socket, SHUT_RDWR);
    pthread_mutex_unlock(&r->lock);
    return left || late;
}

void watch_requests(server *s) {
    double now = clock_seconds();
    bool any = false;
    pthread_mutex_lock(&s->lock);
    for (request *r = s->watched; r; r = r->watched_next) any |= cancel_over(s, r, now);
    if (any) pthread_cond_signal(&s->prepared.wake);
    pthread_mutex_unlock(&s->lock);
}

void watch_add(server *s, request *r) {
    pthread_mutex_lock(&s->lock);
    r->watched_next = s->watched;
    r->watched_at = &s->watched;
    if (r->watched_next) r->watched_next->watched_at = &r->watched_next;
    s->watched = r;
    pthread_mutex_unlock(&s->lock);
}

void watch_remove(server *s, request *r) {
    pthread_mutex_lock(&s->lock);
    if (r->watched_at) {
        *r->watched_at = r->watched_next;
        if (r->watched_next) r->watched_next->watched_at = r->watched_at;
        r->watched_at = NULL;
    }
    pthread_mutex_unlock(&s->lock);
}
