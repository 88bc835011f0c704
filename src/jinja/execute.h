/* Statements and macros, with jinja2's scopes. */
#ifndef CAPP_JINJA_EXECUTE_H
#define CAPP_JINJA_EXECUTE_H

#include "jinja/tree.h"

/* Runs a list of statements in the run's scope; their output goes to run->out. */
void capp_jinja_execute(capp_jinja_run *run, const capp_jinja_node *statements);

/* The text that the macro prints. */
capp_jinja_value capp_jinja_call_macro(capp_jinja_run *run, const capp_jinja_macro *macro,
                                       const capp_jinja_arguments *arguments);

#endif
