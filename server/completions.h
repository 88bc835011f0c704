/* The requests of /v1/completions and /v1/chat/completions. */
#ifndef SERVER_COMPLETIONS_H
#define SERVER_COMPLETIONS_H

#include "request.h"

bool completions_parse(request *r, failure *f);
bool chat_parse(request *r, failure *f);

#endif
