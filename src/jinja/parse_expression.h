/* Turns expressions into nodes by the grammar of jinja2, with its precedence of operators. */
#ifndef CAPP_JINJA_PARSE_EXPRESSION_H
#define CAPP_JINJA_PARSE_EXPRESSION_H

#include "jinja/parser.h"

capp_jinja_node *capp_jinja_parse_expression(capp_jinja_parser *parser);
capp_jinja_node *capp_jinja_parse_name(capp_jinja_parser *parser); /* NAME, or CONSTANT for true, false and none */
capp_jinja_node *capp_jinja_parse_attribute(capp_jinja_parser *parser, capp_jinja_node *object);
capp_jinja_node *capp_jinja_parse_filter(capp_jinja_parser *parser, capp_jinja_node *input);

/* Expressions separated by commas are a TUPLE. They end before the tag's end and before `end`, which is an operator, a
 * word or NULL. conditionals: whether `a if b` may be among them. */
capp_jinja_node *capp_jinja_parse_tuple(capp_jinja_parser *parser, bool conditionals, const char *end);

#endif
