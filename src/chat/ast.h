/* A template as a tree, and how it comes from text: lexer.c, parser.c. */
#ifndef CAPP_CHAT_AST_H
#define CAPP_CHAT_AST_H

#include "chat/value.h"

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

typedef enum capp_jtoken_kind {
    CAPP_JT_END,
    CAPP_JT_DATA, /* text between tags */
    CAPP_JT_BLOCK_BEGIN,
    CAPP_JT_BLOCK_END,
    CAPP_JT_PRINT_BEGIN,
    CAPP_JT_PRINT_END,
    CAPP_JT_NAME,
    CAPP_JT_STRING, /* between its quotes, escapes as written */
    CAPP_JT_INT,
    CAPP_JT_FLOAT,
    CAPP_JT_OPERATOR
} capp_jtoken_kind;

typedef struct capp_jtoken {
    capp_jtoken_kind kind;
    int line;
    capp_str text; /* borrowed from the source */
} capp_jtoken;

/* Tokens of source, whose line ends are \n alone; the last one is END. The caller frees *tokens (capp_free). */
capp_status capp_jinja_lex(capp_str source, capp_jtoken **tokens, capp_error *err);

/* ---- The tree ---------------------------------------------------------------------------------------------------- */

typedef enum capp_jnode_kind {
    /* Statements. */
    CAPP_JN_TEXT,     /* value */
    CAPP_JN_PRINT,    /* a */
    CAPP_JN_IF,       /* body: BRANCH each with a (NULL: else) and body */
    CAPP_JN_BRANCH,   /* */
    CAPP_JN_FOR,      /* a: target, b: what is walked, c: filter or NULL, body, other: where there was nothing */
    CAPP_JN_SET,      /* a: target, b */
    CAPP_JN_CAPTURE,  /* set x, or filter: a: target (NULL: print), b: filters over a HOLE (or NULL), body */
    CAPP_JN_MACRO,    /* name, a: parameters, KEYWORD each with its default or NULL in a, body */
    CAPP_JN_SCOPE,    /* body, whose variables stay inside; a: SETs before it, values in the outer scope */
    CAPP_JN_BREAK,    /* */
    CAPP_JN_CONTINUE, /* */
    /* Expressions. */
    CAPP_JN_CONST,   /* value */
    CAPP_JN_HOLE,    /* what a CAPTURE has caught */
    CAPP_JN_NAME,    /* name */
    CAPP_JN_LIST,    /* body */
    CAPP_JN_TUPLE,   /* body */
    CAPP_JN_DICT,    /* body: key, value, key, value */
    CAPP_JN_COND,    /* a: test, b, c or NULL */
    CAPP_JN_AND,     /* a, b */
    CAPP_JN_OR,      /* a, b */
    CAPP_JN_NOT,     /* a */
    CAPP_JN_COMPARE, /* a, body: OPERAND each with op and a */
    CAPP_JN_OPERAND, /* */
    CAPP_JN_BINARY,  /* op, a, b */
    CAPP_JN_SIGN,    /* op: '-' or '+', a */
    CAPP_JN_ATTR,    /* a, name */
    CAPP_JN_ITEM,    /* a, b */
    CAPP_JN_SLICE,   /* a, and b, c, other: each may be NULL */
    CAPP_JN_CALL,    /* a, body: arguments, KEYWORD those with names */
    CAPP_JN_KEYWORD, /* name, a */
    CAPP_JN_FILTER,  /* a, name, body: arguments */
    CAPP_JN_TEST     /* a, name, body: arguments */
} capp_jnode_kind;

/* Operators of more than one character. */
enum { CAPP_JO_EQ = 256, CAPP_JO_NE, CAPP_JO_LE, CAPP_JO_GE, CAPP_JO_FLOOR, CAPP_JO_POWER, CAPP_JO_IN, CAPP_JO_NOT_IN };

/* A kind has the members that are named behind it, and none that stands behind the last of those: memory ends there. */
typedef struct capp_jnode capp_jnode;
struct capp_jnode {
    uint8_t kind; /* capp_jnode_kind */
    uint16_t op;
    int line;
    capp_jnode *next; /* in a list */
    union {
        capp_str name;
        capp_jval value;
    };
    capp_jnode *a, *b, *body, *c, *other;
};

struct capp_jinja {
    capp_jheap heap; /* of all that follows */
    capp_jnode *body;
};

/* Nodes of source in memory of the heap. */
capp_status capp_jinja_parse(capp_jheap *heap, capp_str source, capp_jnode **body, capp_error *err);

/* ---- Running ----------------------------------------------------------------------------------------------------- */

capp_jval capp_jeval(capp_jrun *r, const capp_jnode *node); /* eval.c */
capp_jval capp_jlookup(capp_jrun *r, capp_str name);        /* run.c: a variable, else a function */
capp_jval capp_jmacro_call(capp_jrun *r, const struct capp_jmacro *macro, const capp_jargs *args);

#endif
