#include "jinja/parser.h"

#include <stddef.h>
#include <string.h>

#include "jinja/characters.h"

enum { MAX_NESTING = 100 };

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

void *capp_jinja_fail_parsing(capp_jinja_parser *parser, capp_status status, capp_str about, const char *message) {
    if (parser->status != CAPP_OK) return NULL;
    parser->status = status;
    if (about.data)
        capp_error_fill(parser->err, status, "line %d: '%.*s' %s", parser->at->line, capp_jinja_shown_bytes(about, 60),
                        about.data, message);
    else
        capp_error_fill(parser->err, status, "line %d: %s", parser->at->line, message);
    return NULL;
}

bool capp_jinja_at_operator(const capp_jinja_parser *parser, const char *op) {
    size_t n = strlen(op);
    return parser->status == CAPP_OK && parser->at->kind == CAPP_JINJA_TOKEN_OPERATOR && parser->at->text.size == n &&
           !memcmp(parser->at->text.data, op, n);
}

bool capp_jinja_at_word(const capp_jinja_parser *parser, const char *word) {
    size_t n = strlen(word);
    return parser->status == CAPP_OK && parser->at->kind == CAPP_JINJA_TOKEN_NAME && parser->at->text.size == n &&
           !memcmp(parser->at->text.data, word, n);
}

void capp_jinja_next_token(capp_jinja_parser *parser) {
    if (parser->at->kind != CAPP_JINJA_TOKEN_END) parser->at++;
}

bool capp_jinja_skip_operator(capp_jinja_parser *parser, const char *op) {
    if (!capp_jinja_at_operator(parser, op)) return false;
    capp_jinja_next_token(parser);
    return true;
}

bool capp_jinja_skip_word(capp_jinja_parser *parser, const char *word) {
    if (!capp_jinja_at_word(parser, word)) return false;
    capp_jinja_next_token(parser);
    return true;
}

void capp_jinja_expect_operator(capp_jinja_parser *parser, const char *op) {
    if (!capp_jinja_skip_operator(parser, op))
        capp_jinja_fail_parsing(parser, CAPP_EFORMAT, capp_str_of(op), "is missing");
}

void capp_jinja_expect_word(capp_jinja_parser *parser, const char *word) {
    if (!capp_jinja_skip_word(parser, word))
        capp_jinja_fail_parsing(parser, CAPP_EFORMAT, capp_str_of(word), "is missing");
}

void capp_jinja_expect_token(capp_jinja_parser *parser, capp_jinja_token_kind kind) {
    if (parser->status == CAPP_OK && parser->at->kind != kind)
        capp_jinja_fail_parsing(parser, CAPP_EFORMAT, parser->at->text, "is unexpected");
    capp_jinja_next_token(parser);
}

capp_str capp_jinja_expect_name(capp_jinja_parser *parser) {
    capp_str name = parser->at->text;
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_NAME);
    return name;
}

/* How many bytes of a node its kind uses: templates may consist of only small nodes. */
static size_t node_size(capp_jinja_node_kind kind) {
    switch (kind) {
    case CAPP_JINJA_NODE_TEXT:
    case CAPP_JINJA_NODE_CONSTANT:
    case CAPP_JINJA_NODE_CAPTURED:
    case CAPP_JINJA_NODE_NAME:
    case CAPP_JINJA_NODE_BREAK:
    case CAPP_JINJA_NODE_CONTINUE: return offsetof(capp_jinja_node, operand);
    case CAPP_JINJA_NODE_PRINT:
    case CAPP_JINJA_NODE_NOT:
    case CAPP_JINJA_NODE_ATTRIBUTE:
    case CAPP_JINJA_NODE_KEYWORD: return offsetof(capp_jinja_node, right);
    case CAPP_JINJA_NODE_SET:
    case CAPP_JINJA_NODE_AND:
    case CAPP_JINJA_NODE_OR:
    case CAPP_JINJA_NODE_OPERAND:
    case CAPP_JINJA_NODE_SIGN:
    case CAPP_JINJA_NODE_BINARY:
    case CAPP_JINJA_NODE_ITEM: return offsetof(capp_jinja_node, body);
    case CAPP_JINJA_NODE_FOR:
    case CAPP_JINJA_NODE_CONDITIONAL:
    case CAPP_JINJA_NODE_SLICE: return sizeof(capp_jinja_node);
    default: return offsetof(capp_jinja_node, filter);
    }
}

capp_jinja_node *capp_jinja_new_node(capp_jinja_parser *parser, capp_jinja_node_kind kind) {
    if (parser->status != CAPP_OK) return NULL;
    capp_jinja_node *node = capp_jinja_heap_allocate(parser->heap, 1, node_size(kind));
    if (!node) {
        parser->status = capp_fail_memory(parser->err, "a chat template");
        return NULL;
    }
    node->kind = (uint8_t)kind;
    node->line = parser->at->line;
    return node;
}

void capp_jinja_chain_append(capp_jinja_chain *chain, capp_jinja_node *node) {
    if (!node) return;
    if (!chain->first)
        chain->first = node;
    else
        *chain->end = node;
    chain->end = &node->next;
}

capp_jinja_node *capp_jinja_new_node_over(capp_jinja_parser *parser, capp_jinja_node_kind kind,
                                          capp_jinja_node *operand) {
    capp_jinja_node *node = capp_jinja_new_node(parser, kind);
    if (node) {
        node->operand = operand;
        if (operand) node->line = operand->line;
    }
    return node;
}

capp_jinja_node *capp_jinja_new_list_node(capp_jinja_parser *parser, capp_jinja_node_kind kind,
                                          capp_jinja_node *items) {
    capp_jinja_node *node = capp_jinja_new_node(parser, kind);
    if (!node) return NULL;
    node->body = items;
    if (items) node->line = items->line;
    return node;
}

/* A text of the template as a value. */
capp_jinja_node *capp_jinja_new_text_node(capp_jinja_parser *parser, capp_jinja_node_kind kind, const char *text,
                                          size_t size) {
    capp_jinja_node *node = capp_jinja_new_node(parser, kind);
    capp_jinja_string *s = capp_jinja_heap_allocate(parser->heap, 1, sizeof *s);
    uint8_t *given = capp_jinja_heap_allocate(parser->heap, size, 1);
    if (!node || !s || !given) {
        if (parser->status == CAPP_OK) parser->status = capp_fail_memory(parser->err, "a chat template");
        return NULL;
    }
    *s = (capp_jinja_string){text, given, size};
    node->value = (capp_jinja_value){.kind = CAPP_JINJA_STRING, .string = s};
    return node;
}

bool capp_jinja_enter_nested(capp_jinja_parser *parser) {
    if (++parser->depth > MAX_NESTING)
        capp_jinja_fail_parsing(parser, CAPP_EUNSUPPORTED, (capp_str){NULL, 0},
                                "statements or expressions are nested too deeply: more than 100 levels");
    return parser->status == CAPP_OK;
}
