/* /v1/classify and /v1/systemone: texts are scored against classes. */
#ifndef SERVER_CLASSIFY_H
#define SERVER_CLASSIFY_H

#include "request.h"

extern const size_t classify_state, systemone_state; /* bytes of their states */

bool classify_parse(request *r, failure *f);
bool classify_prepare(request *r, failure *f);
bool classify_begin(request *r, failure *f);
void classify_finish(request *r);
void classify_drop(request *r);

bool systemone_parse(request *r, failure *f);
bool systemone_prepare(request *r, failure *f);
bool systemone_begin(request *r, failure *f);
void systemone_finish(request *r);
void systemone_drop(request *r);

#endif
