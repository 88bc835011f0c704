/* Jinja's tests: value is name, value is name(argument). */
#ifndef CAPP_JINJA_TESTS_H
#define CAPP_JINJA_TESTS_H

#include "jinja/value.h"

bool capp_jinja_apply_test(capp_jinja_run *run, capp_str name, capp_jinja_value input,
                           const capp_jinja_arguments *arguments);

#endif
