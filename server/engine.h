/* The thread that owns the models. */
#ifndef SERVER_ENGINE_H
#define SERVER_ENGINE_H

#include "request.h"

/* Opens the model if there is only one, and begins the thread. False: a message was printed. */
bool engine_start(server *s);

/* Puts a request into the inbox. It answers when the engine has reached it. False: the server is stopping, or has no
 * room for one more request. */
bool engine_submit(server *s, request *r, failure *f);

/* Ends the thread when it has nothing more to do. */
void engine_stop(server *s);

#endif
