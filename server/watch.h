/* Clients that leave while they wait, and clients that are slow to ask. */
#ifndef SERVER_WATCH_H
#define SERVER_WATCH_H

#include "request.h"

/* A connection; NULL if there is no memory for it. */
peer *peer_new(server *s, int socket);
void peer_free(server *s, peer *p);

/* Whether its request has arrived. */
void peer_busy(server *s, peer *p, bool busy);

/* The requests that have a connection. */
void watch_add(server *s, request *r);
void watch_remove(server *s, request *r);

/* Ends connections whose request does not arrive; cancels requests whose client has left or whose time is over. Called
 * ten times a second. */
void watch_peers(server *s);
void watch_requests(server *s);

#endif
