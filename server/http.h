/* Connections. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "request.h"

/* Begins to listen. False: a message was printed. */
bool http_start(server *s);

/* Accepts no more connections. */
void http_quiesce(server *s);

void http_stop(server *s);

#endif
