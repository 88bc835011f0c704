/* Turns a template's source into tokens. */
#ifndef CAPP_JINJA_LEXER_H
#define CAPP_JINJA_LEXER_H

#include "base/error.h"

typedef enum capp_jinja_token_kind {
    CAPP_JINJA_TOKEN_END,
    CAPP_JINJA_TOKEN_TEXT, /* between tags */
    CAPP_JINJA_TOKEN_BLOCK_BEGIN,
    CAPP_JINJA_TOKEN_BLOCK_END,
    CAPP_JINJA_TOKEN_PRINT_BEGIN,
    CAPP_JINJA_TOKEN_PRINT_END,
    CAPP_JINJA_TOKEN_NAME,
    CAPP_JINJA_TOKEN_STRING, /* the text between its quotes, escapes as written */
    CAPP_JINJA_TOKEN_INTEGER,
    CAPP_JINJA_TOKEN_FLOAT,
    CAPP_JINJA_TOKEN_OPERATOR
} capp_jinja_token_kind;

typedef struct capp_jinja_token {
    capp_jinja_token_kind kind;
    int line;
    capp_str text; /* borrowed from the source */
} capp_jinja_token;

/* source: its line ends are only \n. The last token is END. The caller frees *tokens with capp_free. */
capp_status capp_jinja_lex(capp_str source, capp_jinja_token **tokens, capp_error *err);

#endif
