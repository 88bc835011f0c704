/* Arithmetic, comparisons and signs, by Python's rules. */
#ifndef CAPP_JINJA_OPERATORS_H
#define CAPP_JINJA_OPERATORS_H

#include "jinja/tree.h"

/* op: a character, or one of the CAPP_JINJA_OP numbers. */
capp_jinja_value capp_jinja_compute(capp_jinja_run *run, int op, capp_jinja_value left, capp_jinja_value right);
bool capp_jinja_compare_by(capp_jinja_run *run, int op, capp_jinja_value left, capp_jinja_value right);
capp_jinja_value capp_jinja_apply_sign(capp_jinja_run *run, int sign, capp_jinja_value value);

#endif
