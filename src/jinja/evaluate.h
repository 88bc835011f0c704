/* Expressions to values. */
#ifndef CAPP_JINJA_EVALUATE_H
#define CAPP_JINJA_EVALUATE_H

#include "jinja/tree.h"

capp_jinja_value capp_jinja_evaluate(capp_jinja_run *run, const capp_jinja_node *node);

#endif
