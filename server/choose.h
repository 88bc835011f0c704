/* The field `choice`: the model chooses one of several answers. */
#ifndef SERVER_CHOOSE_H
#define SERVER_CHOOSE_H

#include "answer.h"

bool choose_prepare(request *r, failure *f);
bool choose_begin(request *r, failure *f);
void choose_finish(request *r);
void choose_drop(continuing *c);

#endif
