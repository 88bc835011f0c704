/* Filters: value | name(arguments). */
#ifndef CAPP_JINJA_FILTERS_H
#define CAPP_JINJA_FILTERS_H

#include "jinja/value.h"

/* Fails with CAPP_EUNSUPPORTED for filters of jinja2 that capp does not have. */
capp_jinja_value capp_jinja_apply_filter(capp_jinja_run *run, capp_str name, capp_jinja_value input,
                                         const capp_jinja_arguments *arguments);

#endif
