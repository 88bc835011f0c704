/* Variables. A scope sees those of the scopes around it. */
#ifndef CAPP_JINJA_SCOPE_H
#define CAPP_JINJA_SCOPE_H

#include "jinja/value.h"

struct capp_jinja_scope {
    capp_jinja_scope *parent;
    capp_str *names;
    capp_jinja_value *values;
    size_t n, capacity;
};

/* Returns NULL and fails if there is not enough memory. */
capp_jinja_scope *capp_jinja_new_scope(capp_jinja_run *run, capp_jinja_scope *parent);

/* Does nothing if scope is NULL. */
void capp_jinja_assign(capp_jinja_run *run, capp_jinja_scope *scope, capp_str name, capp_jinja_value value);

/* Searches from the run's scope outwards. NULL: there is none. */
const capp_jinja_value *capp_jinja_find_variable(capp_jinja_run *run, capp_str name);

#endif
