/* Turns a template's source into a tree of statements by the grammar of jinja2. */
#ifndef CAPP_JINJA_PARSE_TEMPLATE_H
#define CAPP_JINJA_PARSE_TEMPLATE_H

#include "jinja/tree.h"

/* The nodes are in the heap and borrow from source. */
capp_status capp_jinja_parse_template(capp_jinja_heap *heap, capp_str source, capp_jinja_node **body, capp_error *err);

#endif
