/* Arguments of methods and filters, bound to the names of their parameters. */
#ifndef CAPP_JINJA_ARGUMENTS_H
#define CAPP_JINJA_ARGUMENTS_H

#include "jinja/value.h"

enum { CAPP_JINJA_MAX_PARAMETERS = 6 };

/* parameters: names separated by spaces, such as "old new count". Parameters without an argument become UNDEFINED.
 * Returns false and fails if an argument has no parameter; function: its name, for the message. */
bool capp_jinja_bind_arguments(capp_jinja_run *run, const char *function, const char *parameters,
                               const capp_jinja_arguments *arguments,
                               capp_jinja_value bound[CAPP_JINJA_MAX_PARAMETERS]);

#endif
