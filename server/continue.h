/* Texts are continued, token by token: /v1/completions and /v1/chat/completions. */
#ifndef SERVER_CONTINUE_H
#define SERVER_CONTINUE_H

#include "request.h"

extern const size_t continue_state; /* bytes of a `continuing` (answer.h) */

bool continue_prepare(request *r, failure *f);

/* Adds the jobs of the request's choices. */
bool continue_begin(request *r, failure *f);
void continue_finish(request *r);
void continue_drop(request *r);

#endif
