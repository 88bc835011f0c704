/* The thread that opens models and turns texts into tokens. */
#ifndef SERVER_PREPARE_H
#define SERVER_PREPARE_H

#include "request.h"

/* Opens the model if there is only one, and begins the thread. False: a message was printed. */
bool prepare_start(server *s);

/* Takes a request, which then goes to the engine. False: the server is stopping, or has no room for one more request.
 */
bool prepare_submit(server *s, request *r, failure *f);

/* Ends the thread when all requests are prepared. */
void prepare_stop(server *s);

/* For endpoints: whether a text is not surely too long. Called before it is tokenized. */
bool prepare_fits(const request *r, capp_str given, failure *f);
bool prepare_fits_example(const request *r, const capp_example *example, failure *f);

#endif
