/* Reads tokens and makes nodes: what the parsers of expressions and of statements share. */
#ifndef CAPP_JINJA_PARSER_H
#define CAPP_JINJA_PARSER_H

#include "jinja/lexer.h"
#include "jinja/tree.h"

typedef struct capp_jinja_parser {
    capp_jinja_heap *heap;
    const capp_jinja_token *at; /* the current token */
    capp_error *err;
    capp_status status; /* status of the first failure; after it no token matches and nodes are NULL */
    int depth, loops, macros;
} capp_jinja_parser;

/* Keeps the first failure: "line N: 'ABOUT' MESSAGE", or only MESSAGE if about has no data. Returns NULL. */
void *capp_jinja_fail_parsing(capp_jinja_parser *parser, capp_status status, capp_str about, const char *message);

/* Whether the current token is this operator or word. "skip": if it is, moves past it. "expect": fails if it is not. */
bool capp_jinja_at_operator(const capp_jinja_parser *parser, const char *op);
bool capp_jinja_at_word(const capp_jinja_parser *parser, const char *word);
bool capp_jinja_skip_operator(capp_jinja_parser *parser, const char *op);
bool capp_jinja_skip_word(capp_jinja_parser *parser, const char *word);
void capp_jinja_expect_operator(capp_jinja_parser *parser, const char *op);
void capp_jinja_expect_word(capp_jinja_parser *parser, const char *word);
void capp_jinja_expect_token(capp_jinja_parser *parser, capp_jinja_token_kind kind);
capp_str capp_jinja_expect_name(capp_jinja_parser *parser);
void capp_jinja_next_token(capp_jinja_parser *parser);

/* Goes one level deeper; parser->depth-- leaves it. False: the parser has failed. */
bool capp_jinja_enter_nested(capp_jinja_parser *parser);

/* Nodes; NULL after a failure. */
capp_jinja_node *capp_jinja_new_node(capp_jinja_parser *parser, capp_jinja_node_kind kind);
capp_jinja_node *capp_jinja_new_node_over(capp_jinja_parser *parser, capp_jinja_node_kind kind,
                                          capp_jinja_node *operand); /* on the operand's line */
capp_jinja_node *capp_jinja_new_text_node(capp_jinja_parser *parser, capp_jinja_node_kind kind, const char *text,
                                          size_t size); /* text counts as part of the template */
capp_jinja_node *capp_jinja_new_list_node(capp_jinja_parser *parser, capp_jinja_node_kind kind, capp_jinja_node *items);

/* A list of nodes that grows at its end; {NULL, NULL} to begin with. */
typedef struct capp_jinja_chain {
    capp_jinja_node *first, **end;
} capp_jinja_chain;

void capp_jinja_chain_append(capp_jinja_chain *chain, capp_jinja_node *node);

#endif
