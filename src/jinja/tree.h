/* A parsed template: a tree of nodes. */
#ifndef CAPP_JINJA_TREE_H
#define CAPP_JINJA_TREE_H

#include "jinja/value.h"

/* The members that a node of each kind has. Members in brackets may be NULL. */
typedef enum capp_jinja_node_kind {
    /* Statements. */
    CAPP_JINJA_NODE_TEXT,     /* value */
    CAPP_JINJA_NODE_PRINT,    /* operand */
    CAPP_JINJA_NODE_IF,       /* body: BRANCHes */
    CAPP_JINJA_NODE_BRANCH,   /* [condition], NULL means else; body */
    CAPP_JINJA_NODE_FOR,      /* target, iterable, [filter], body, [empty_body], which runs if there are no items */
    CAPP_JINJA_NODE_SET,      /* target, assigned */
    CAPP_JINJA_NODE_CAPTURE,  /* {% set x %} or {% filter %}: [target], NULL means print; filters over CAPTURED; body */
    CAPP_JINJA_NODE_MACRO,    /* name, parameters: KEYWORDs, each with an [operand], its default; body */
    CAPP_JINJA_NODE_SCOPE,    /* assignments: SETs whose values use the outer scope; body, in its own scope */
    CAPP_JINJA_NODE_BREAK,    /* nothing */
    CAPP_JINJA_NODE_CONTINUE, /* nothing */
    /* Expressions. */
    CAPP_JINJA_NODE_CONSTANT,    /* value */
    CAPP_JINJA_NODE_CAPTURED,    /* nothing: the output of a CAPTURE's block */
    CAPP_JINJA_NODE_NAME,        /* name */
    CAPP_JINJA_NODE_LIST,        /* body */
    CAPP_JINJA_NODE_TUPLE,       /* body */
    CAPP_JINJA_NODE_DICT,        /* body: key, value, key, value */
    CAPP_JINJA_NODE_CONDITIONAL, /* condition, chosen, [otherwise] */
    CAPP_JINJA_NODE_AND,         /* left, right */
    CAPP_JINJA_NODE_OR,          /* left, right */
    CAPP_JINJA_NODE_NOT,         /* operand */
    CAPP_JINJA_NODE_COMPARE,     /* left, body: OPERANDs */
    CAPP_JINJA_NODE_OPERAND,     /* op, operand */
    CAPP_JINJA_NODE_BINARY,      /* op, left, right */
    CAPP_JINJA_NODE_SIGN,        /* op: '-' or '+'; operand */
    CAPP_JINJA_NODE_ATTRIBUTE,   /* operand, name */
    CAPP_JINJA_NODE_ITEM,        /* operand, index */
    CAPP_JINJA_NODE_SLICE,       /* operand, [start], [stop], [step] */
    CAPP_JINJA_NODE_CALL,        /* operand, body: arguments, KEYWORDs those with names */
    CAPP_JINJA_NODE_KEYWORD,     /* name, operand */
    CAPP_JINJA_NODE_FILTER,      /* operand, name, body: arguments */
    CAPP_JINJA_NODE_TEST         /* operand, name, body: arguments */
} capp_jinja_node_kind;

/* Operators of more than one character; the others are their character. */
enum {
    CAPP_JINJA_OP_EQUAL = 256,
    CAPP_JINJA_OP_NOT_EQUAL,
    CAPP_JINJA_OP_LESS_EQUAL,
    CAPP_JINJA_OP_GREATER_EQUAL,
    CAPP_JINJA_OP_FLOOR,
    CAPP_JINJA_OP_POWER,
    CAPP_JINJA_OP_IN,
    CAPP_JINJA_OP_NOT_IN
};

/* The memory of a node ends after the last member that its kind has: templates may consist of only small nodes. */
struct capp_jinja_node {
    uint8_t kind; /* capp_jinja_node_kind */
    uint16_t op;
    int line;
    capp_jinja_node *next; /* in a list */
    union {
        capp_str name;
        capp_jinja_value value;
    };
    union {
        capp_jinja_node *operand, *left, *target, *condition, *parameters, *assignments;
    };
    union {
        capp_jinja_node *right, *iterable, *assigned, *filters, *chosen, *index, *start;
    };
    capp_jinja_node *body;
    union {
        capp_jinja_node *filter, *otherwise, *stop;
    };
    union {
        capp_jinja_node *empty_body, *step;
    };
};

#endif
