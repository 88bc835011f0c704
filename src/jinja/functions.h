/* Functions that every template has: raise_exception, strftime_now, range, namespace, dict. */
#ifndef CAPP_JINJA_FUNCTIONS_H
#define CAPP_JINJA_FUNCTIONS_H

#include "jinja/value.h"

/* A FUNCTION, or UNDEFINED. */
capp_jinja_value capp_jinja_find_function(capp_jinja_run *run, capp_str name);

/* function: the number of a FUNCTION value. */
capp_jinja_value capp_jinja_call_function(capp_jinja_run *run, int function, const capp_jinja_arguments *arguments);

#endif
