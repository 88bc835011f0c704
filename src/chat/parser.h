/* What parser.c and expressions.c share: reading tokens, making nodes. */
#ifndef CAPP_CHAT_PARSER_H
#define CAPP_CHAT_PARSER_H

#include "chat/ast.h"

typedef struct capp_jparser {
    capp_jheap *heap;
    const capp_jtoken *at;
    capp_error *err;
    capp_status status; /* the first failure's; from then on there is nothing to read */
    int depth, loops, macros;
} capp_jparser;

/* Keeps the first failure: "line N: 'ABOUT' WHAT", or WHAT alone where about has no data. NULL. */
void *capp_jp_fail(capp_jparser *p, capp_status status, capp_str about, const char *what);

bool capp_jp_op(const capp_jparser *p, const char *op); /* whether it is at hand */
bool capp_jp_word(const capp_jparser *p, const char *word);
bool capp_jp_skip_op(capp_jparser *p, const char *op); /* and if so, past it */
bool capp_jp_skip_word(capp_jparser *p, const char *word);
void capp_jp_expect_op(capp_jparser *p, const char *op);
void capp_jp_expect_word(capp_jparser *p, const char *word);
void capp_jp_expect(capp_jparser *p, capp_jtoken_kind kind);
capp_str capp_jp_expect_name(capp_jparser *p);
void capp_jp_next(capp_jparser *p);

/* One level deeper, to be left by p->depth--; false: failed. */
bool capp_jp_deeper(capp_jparser *p);

/* NULL once failed. */
capp_jnode *capp_jp_node(capp_jparser *p, capp_jnode_kind kind);
capp_jnode *capp_jp_node_a(capp_jparser *p, capp_jnode_kind kind, capp_jnode *a); /* its line is a's */
capp_jnode *capp_jp_text(capp_jparser *p, capp_jnode_kind kind, const char *text, size_t size);

capp_jnode *capp_jp_list(capp_jparser *p, capp_jnode_kind kind, capp_jnode *items);

/* A list of nodes that grows at its end; {NULL, NULL} to begin with. */
typedef struct capp_jchain {
    capp_jnode *first, **end;
} capp_jchain;

void capp_jp_add(capp_jchain *c, capp_jnode *node);

/* expressions.c */
capp_jnode *capp_jp_expression(capp_jparser *p);
capp_jnode *capp_jp_name(capp_jparser *p); /* NAME, or the CONST that a name stands for */
capp_jnode *capp_jp_attribute(capp_jparser *p, capp_jnode *of);
capp_jnode *capp_jp_filter(capp_jparser *p, capp_jnode *of);
/* Expressions with commas between them are a TUPLE. It ends before a tag's end and before `end`, an operator, a word or
 * NULL. conditions: whether `a if b` may be in it. */
capp_jnode *capp_jp_tuple(capp_jparser *p, bool conditions, const char *end);

#endif
