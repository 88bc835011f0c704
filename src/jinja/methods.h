/* Methods of strings, lists, dicts and loops, as Python has them. */
#ifndef CAPP_JINJA_METHODS_H
#define CAPP_JINJA_METHODS_H

#include "jinja/value.h"

/* Returns a METHOD, or UNDEFINED if the value has none of this name. Fails if Python has one that capp does not know.
 */
capp_jinja_value capp_jinja_find_method(capp_jinja_run *run, capp_jinja_value self, capp_str name);
capp_jinja_value capp_jinja_call_method(capp_jinja_run *run, const capp_jinja_method *method,
                                        const capp_jinja_arguments *arguments);

#endif
