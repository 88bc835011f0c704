#include "jinja/describe.h"

#include <stdarg.h>
#include <stdio.h>

#include "jinja/characters.h"

typedef struct description {
    char *text;
    size_t n, size;
} description;

static void show(description *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void show(description *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(s->text + s->n, s->size - s->n, format, args);
    va_end(args);
    s->n = n >= 0 && (size_t)n < s->size - s->n ? s->n + (size_t)n : s->size - 1;
}

static void show_constant(description *s, capp_jinja_value v) {
    if (v.kind == CAPP_JINJA_STRING)
        show(s, "'%.*s'", capp_jinja_shown_bytes((capp_str){v.string->text, v.string->size}, 40), v.string->text);
    else if (v.kind == CAPP_JINJA_INTEGER)
        show(s, "%lld", (long long)v.integer);
    else
        show(s, "...");
}

/* Names and their parts are shown; everything else is "(...)". */
static void show_node(description *s, const capp_jinja_node *node) {
    switch (node->kind) {
    case CAPP_JINJA_NODE_NAME: show(s, "%.*s", capp_jinja_shown_bytes(node->name, 60), node->name.data); return;
    case CAPP_JINJA_NODE_CONSTANT: show_constant(s, node->value); return;
    case CAPP_JINJA_NODE_ATTRIBUTE:
    case CAPP_JINJA_NODE_FILTER:
        show_node(s, node->operand);
        show(s, "%c%.*s", node->kind == CAPP_JINJA_NODE_ATTRIBUTE ? '.' : '|', capp_jinja_shown_bytes(node->name, 60),
             node->name.data);
        if (node->kind == CAPP_JINJA_NODE_FILTER && node->body) show(s, "(...)");
        return;
    case CAPP_JINJA_NODE_ITEM:
        show_node(s, node->operand);
        show(s, "[");
        show_node(s, node->index);
        show(s, "]");
        return;
    case CAPP_JINJA_NODE_SIGN:
        show(s, "%c", (char)node->op);
        show_node(s, node->operand);
        return;
    case CAPP_JINJA_NODE_CALL:
        show_node(s, node->operand);
        show(s, node->body ? "(...)" : "()");
        return;
    case CAPP_JINJA_NODE_CONDITIONAL: show(s, "... if ... without else"); return;
    default: show(s, "(...)");
    }
}

void capp_jinja_describe(const capp_jinja_node *node, char *out, size_t size) {
    description s = {.text = out, .size = size};
    out[0] = 0;
    show_node(&s, node);
}
