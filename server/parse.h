/* A body becomes the state of its endpoint. */
#ifndef SERVER_PARSE_H
#define SERVER_PARSE_H

#include "request.h"

/* Reads the JSON of the request, finds its model, and lets the endpoint read its fields. address: the model that the
 * address of a request without a body names, or NULL. */
bool parse_request(request *r, const char *address, failure *f);

#endif
