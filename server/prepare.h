/* The threads that open models and turn texts into tokens. */
#ifndef SERVER_PREPARE_H
#define SERVER_PREPARE_H

#include "request.h"

/* Opens the model if there is only one, and begins the threads. False: a message was printed. */
bool prepare_start(server *s);

/* Whether reading the JSON of the request takes so long that others should not wait for it. */
bool prepare_is_large(const request *r);

/* Takes a request, which has been parsed unless it is large, and then goes to the engine. False: the server is
 * stopping, or has no room for one more request.
 */
bool prepare_submit(server *s, request *r, failure *f);

/* Releases a request that the engine has answered; also in a thread of its own if it is large. */
void prepare_release(server *s, request *r);

/* Ends the threads when all requests are prepared. */
void prepare_stop(server *s);

/* For endpoints: whether a text is not surely too long. Called before it is tokenized. format: what the text is, for
 * the error. */
bool prepare_fits(const request *r, capp_str given, failure *f, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
