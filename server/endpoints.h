/* What the server answers, in one table. */
#ifndef SERVER_ENDPOINTS_H
#define SERVER_ENDPOINTS_H

#include "request.h"

extern const endpoint endpoints[];
extern const size_t n_endpoints;

#endif
