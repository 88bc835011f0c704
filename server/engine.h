/* The thread that runs the models. */
#ifndef SERVER_ENGINE_H
#define SERVER_ENGINE_H

#include "request.h"

/* Begins the thread. */
bool engine_start(server *s);

/* Ends the thread when it has nothing more to do. */
void engine_stop(server *s);

#endif
