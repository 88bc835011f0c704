/* Expressions as error messages show them. */
#ifndef CAPP_JINJA_DESCRIBE_H
#define CAPP_JINJA_DESCRIBE_H

#include "jinja/tree.h"

/* Writes the expression, as the template spells it, to out[size] with a NUL at the end; cuts it if it is longer. The
 * expression has been evaluated before, so it is not too deep. */
void capp_jinja_describe(const capp_jinja_node *node, char *out, size_t size);

#endif
