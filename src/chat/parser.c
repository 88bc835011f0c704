/* Statements: tokens into a tree, by the grammar of jinja2. Expressions are in expressions.c. */
#include "chat/parser.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"

enum { MOST_NESTING = 100 };

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

void *capp_jp_fail(capp_jparser *p, capp_status status, capp_str about, const char *what) {
    if (p->status != CAPP_OK) return NULL;
    p->status = status;
    if (about.data)
        capp_error_fill(p->err, status, "line %d: '%.*s' %s", p->at->line, capp_jshown(about, 60), about.data, what);
    else
        capp_error_fill(p->err, status, "line %d: %s", p->at->line, what);
    return NULL;
}

bool capp_jp_op(const capp_jparser *p, const char *op) {
    size_t n = strlen(op);
    return p->status == CAPP_OK && p->at->kind == CAPP_JT_OPERATOR && p->at->text.size == n &&
           !memcmp(p->at->text.data, op, n);
}

bool capp_jp_word(const capp_jparser *p, const char *word) {
    size_t n = strlen(word);
    return p->status == CAPP_OK && p->at->kind == CAPP_JT_NAME && p->at->text.size == n &&
           !memcmp(p->at->text.data, word, n);
}

void capp_jp_next(capp_jparser *p) {
    if (p->at->kind != CAPP_JT_END) p->at++;
}

bool capp_jp_skip_op(capp_jparser *p, const char *op) {
    if (!capp_jp_op(p, op)) return false;
    capp_jp_next(p);
    return true;
}

bool capp_jp_skip_word(capp_jparser *p, const char *word) {
    if (!capp_jp_word(p, word)) return false;
    capp_jp_next(p);
    return true;
}

void capp_jp_expect_op(capp_jparser *p, const char *op) {
    if (!capp_jp_skip_op(p, op)) capp_jp_fail(p, CAPP_EFORMAT, capp_str_of(op), "is missing");
}

void capp_jp_expect_word(capp_jparser *p, const char *word) {
    if (!capp_jp_skip_word(p, word)) capp_jp_fail(p, CAPP_EFORMAT, capp_str_of(word), "is missing");
}

void capp_jp_expect(capp_jparser *p, capp_jtoken_kind kind) {
    if (p->status == CAPP_OK && p->at->kind != kind)
        capp_jp_fail(p, CAPP_EFORMAT, p->at->text, "does not belong there");
    capp_jp_next(p);
}

capp_str capp_jp_expect_name(capp_jparser *p) {
    capp_str name = p->at->text;
    capp_jp_expect(p, CAPP_JT_NAME);
    return name;
}

/* Most nodes are small: a template may be nothing but operators and constants. */
static size_t node_size(capp_jnode_kind kind) {
    switch (kind) {
    case CAPP_JN_TEXT:
    case CAPP_JN_CONST:
    case CAPP_JN_HOLE:
    case CAPP_JN_NAME:
    case CAPP_JN_BREAK:
    case CAPP_JN_CONTINUE: return offsetof(capp_jnode, a);
    case CAPP_JN_PRINT:
    case CAPP_JN_NOT:
    case CAPP_JN_ATTR:
    case CAPP_JN_KEYWORD: return offsetof(capp_jnode, b);
    case CAPP_JN_SET:
    case CAPP_JN_AND:
    case CAPP_JN_OR:
    case CAPP_JN_OPERAND:
    case CAPP_JN_SIGN:
    case CAPP_JN_BINARY:
    case CAPP_JN_ITEM: return offsetof(capp_jnode, body);
    case CAPP_JN_FOR:
    case CAPP_JN_COND:
    case CAPP_JN_SLICE: return sizeof(capp_jnode);
    default: return offsetof(capp_jnode, c);
    }
}

capp_jnode *capp_jp_node(capp_jparser *p, capp_jnode_kind kind) {
    if (p->status != CAPP_OK) return NULL;
    capp_jnode *node = capp_jheap_take(p->heap, 1, node_size(kind));
    if (!node) {
        p->status = capp_fail_memory(p->err, "a chat template");
        return NULL;
    }
    node->kind = (uint8_t)kind;
    node->line = p->at->line;
    return node;
}

void capp_jp_add(capp_jchain *c, capp_jnode *node) {
    if (!node) return;
    if (!c->first)
        c->first = node;
    else
        *c->end = node;
    c->end = &node->next;
}

capp_jnode *capp_jp_node_a(capp_jparser *p, capp_jnode_kind kind, capp_jnode *a) {
    capp_jnode *node = capp_jp_node(p, kind);
    if (node) {
        node->a = a;
        if (a) node->line = a->line;
    }
    return node;
}

capp_jnode *capp_jp_list(capp_jparser *p, capp_jnode_kind kind, capp_jnode *items) {
    capp_jnode *node = capp_jp_node(p, kind);
    if (!node) return NULL;
    node->body = items;
    if (items) node->line = items->line;
    return node;
}

/* Text of the template itself as a value. */
capp_jnode *capp_jp_text(capp_jparser *p, capp_jnode_kind kind, const char *text, size_t size) {
    capp_jnode *node = capp_jp_node(p, kind);
    capp_jstr *s = capp_jheap_take(p->heap, 1, sizeof *s);
    uint8_t *given = capp_jheap_take(p->heap, size, 1);
    if (!node || !s || !given) {
        if (p->status == CAPP_OK) p->status = capp_fail_memory(p->err, "a chat template");
        return NULL;
    }
    *s = (capp_jstr){text, given, size};
    node->value = (capp_jval){.kind = CAPP_J_STR, .of.str = s};
    return node;
}

bool capp_jp_deeper(capp_jparser *p) {
    if (++p->depth > MOST_NESTING)
        capp_jp_fail(p, CAPP_EUNSUPPORTED, (capp_str){NULL, 0}, "too many things inside each other");
    return p->status == CAPP_OK;
}

/* ---- Statements -------------------------------------------------------------------------------------------------- */

static capp_jnode *statements(capp_jparser *p, const char *const *ends);

/* What a for loop or set assigns to: a name, names, or an attribute of a namespace. */
static capp_jnode *target(capp_jparser *p, bool attributes) {
    capp_jchain items = {NULL, NULL};
    bool comma = false, brackets = capp_jp_skip_op(p, "(");
    while (p->status == CAPP_OK && p->at->kind == CAPP_JT_NAME && !capp_jp_word(p, "in")) {
        capp_jnode *one = capp_jp_name(p);
        if (one && one->kind != CAPP_JN_NAME)
            return capp_jp_fail(p, CAPP_EFORMAT, (capp_str){NULL, 0}, "a constant cannot be assigned to");
        if (attributes && capp_jp_op(p, ".")) one = capp_jp_attribute(p, one);
        if (one && one->kind == CAPP_JN_ITEM)
            return capp_jp_fail(p, CAPP_EFORMAT, p->at[-1].text, "cannot be assigned to");
        capp_jp_add(&items, one);
        if (!capp_jp_skip_op(p, ",")) break;
        comma = true;
    }
    if (brackets) capp_jp_expect_op(p, ")");
    if (!items.first) return capp_jp_fail(p, CAPP_EFORMAT, p->at->text, "cannot be assigned to");
    if (!comma) return items.first;
    return capp_jp_list(p, CAPP_JN_TUPLE, items.first);
}

static void end_tag(capp_jparser *p, const char *word) {
    capp_jp_expect_word(p, word);
    capp_jp_expect(p, CAPP_JT_BLOCK_END);
}

static capp_jnode *for_loop(capp_jparser *p) {
    static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
    capp_jnode *node = capp_jp_node(p, CAPP_JN_FOR), *a = target(p, false);
    capp_jp_expect_word(p, "in");
    capp_jnode *b = capp_jp_tuple(p, false, "recursive"),
               *c = capp_jp_skip_word(p, "if") ? capp_jp_expression(p) : NULL;
    if (capp_jp_word(p, "recursive")) return capp_jp_fail(p, CAPP_EUNSUPPORTED, p->at->text, "is not supported");
    capp_jp_expect(p, CAPP_JT_BLOCK_END);
    p->loops++;
    capp_jnode *body = statements(p, ends), *other = NULL;
    p->loops--;
    if (capp_jp_skip_word(p, "else")) {
        capp_jp_expect(p, CAPP_JT_BLOCK_END);
        other = statements(p, last);
    }
    end_tag(p, "endfor");
    if (!node) return NULL;
    node->a = a;
    node->b = b;
    node->c = c;
    node->body = body;
    node->other = other;
    return node;
}

static capp_jnode *if_block(capp_jparser *p) {
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif", NULL};
    capp_jnode *node = capp_jp_node(p, CAPP_JN_IF);
    capp_jchain branches = {NULL, NULL};
    do {
        capp_jnode *branch = capp_jp_node(p, CAPP_JN_BRANCH), *test = capp_jp_tuple(p, false, NULL);
        capp_jp_expect(p, CAPP_JT_BLOCK_END);
        capp_jnode *body = statements(p, ends);
        if (!branch) return NULL;
        branch->a = test;
        branch->body = body;
        capp_jp_add(&branches, branch);
    } while (capp_jp_skip_word(p, "elif"));
    if (capp_jp_skip_word(p, "else")) {
        capp_jnode *branch = capp_jp_node(p, CAPP_JN_BRANCH);
        capp_jp_expect(p, CAPP_JT_BLOCK_END);
        capp_jnode *body = statements(p, last);
        if (branch) branch->body = body;
        capp_jp_add(&branches, branch);
    }
    end_tag(p, "endif");
    if (node) node->body = branches.first;
    return node;
}

static capp_jnode *filters_over_hole(capp_jparser *p) {
    capp_jnode *node = capp_jp_node(p, CAPP_JN_HOLE);
    while (capp_jp_skip_op(p, "|")) node = capp_jp_filter(p, node);
    return node;
}

static capp_jnode *set(capp_jparser *p) {
    static const char *const ends[] = {"endset", NULL};
    capp_jnode *a = target(p, true);
    if (capp_jp_skip_op(p, "=")) {
        capp_jnode *node = capp_jp_node_a(p, CAPP_JN_SET, a), *b = capp_jp_tuple(p, true, NULL);
        capp_jp_expect(p, CAPP_JT_BLOCK_END);
        if (node) node->b = b;
        return node;
    }
    capp_jnode *node = capp_jp_node_a(p, CAPP_JN_CAPTURE, a), *b = filters_over_hole(p);
    capp_jp_expect(p, CAPP_JT_BLOCK_END);
    capp_jnode *body = statements(p, ends);
    end_tag(p, "endset");
    if (!node) return NULL;
    node->b = b;
    node->body = body;
    return node;
}

static capp_jnode *filter_block(capp_jparser *p) {
    static const char *const ends[] = {"endfilter", NULL};
    capp_jnode *node = capp_jp_node(p, CAPP_JN_CAPTURE), *b = capp_jp_filter(p, capp_jp_node(p, CAPP_JN_HOLE));
    while (capp_jp_skip_op(p, "|")) b = capp_jp_filter(p, b);
    capp_jp_expect(p, CAPP_JT_BLOCK_END);
    capp_jnode *body = statements(p, ends);
    end_tag(p, "endfilter");
    if (!node) return NULL;
    node->b = b;
    node->body = body;
    return node;
}

static capp_jnode *macro(capp_jparser *p) {
    static const char *const ends[] = {"endmacro", NULL};
    capp_jnode *node = capp_jp_node(p, CAPP_JN_MACRO);
    capp_jchain parameters = {NULL, NULL};
    capp_str word = capp_jp_expect_name(p);
    capp_jp_expect_op(p, "(");
    while (p->status == CAPP_OK && !capp_jp_op(p, ")")) {
        if (parameters.first) capp_jp_expect_op(p, ",");
        capp_jnode *one = capp_jp_name(p);
        if (one && one->kind != CAPP_JN_NAME)
            return capp_jp_fail(p, CAPP_EFORMAT, (capp_str){NULL, 0}, "a constant cannot be a parameter");
        capp_jnode *parameter = capp_jp_node(p, CAPP_JN_KEYWORD);
        if (!parameter || !one) return NULL;
        parameter->name = one->name;
        if (capp_jp_skip_op(p, "=")) parameter->a = capp_jp_expression(p);
        capp_jp_add(&parameters, parameter);
    }
    capp_jp_expect_op(p, ")");
    capp_jp_expect(p, CAPP_JT_BLOCK_END);
    int loops = p->loops;
    p->loops = 0;
    p->macros++;
    capp_jnode *body = statements(p, ends);
    p->macros--;
    p->loops = loops;
    end_tag(p, "endmacro");
    if (!node) return NULL;
    node->name = word;
    node->a = parameters.first;
    node->body = body;
    return node;
}

static capp_jnode *with(capp_jparser *p) {
    static const char *const ends[] = {"endwith", NULL};
    capp_jnode *node = capp_jp_node(p, CAPP_JN_SCOPE);
    capp_jchain sets = {NULL, NULL};
    while (p->status == CAPP_OK && p->at->kind != CAPP_JT_BLOCK_END) {
        if (sets.first) capp_jp_expect_op(p, ",");
        capp_jnode *one = capp_jp_node(p, CAPP_JN_SET), *a = target(p, false);
        capp_jp_expect_op(p, "=");
        capp_jnode *b = capp_jp_expression(p);
        if (!one) return NULL;
        one->a = a;
        one->b = b;
        capp_jp_add(&sets, one);
    }
    capp_jp_expect(p, CAPP_JT_BLOCK_END);
    capp_jnode *body = statements(p, ends);
    end_tag(p, "endwith");
    if (!node) return NULL;
    node->a = sets.first;
    node->body = body;
    return node;
}

/* transformers' own tag, around what an assistant said. */
static capp_jnode *generation(capp_jparser *p) {
    static const char *const ends[] = {"endgeneration", NULL};
    capp_jnode *node = capp_jp_node(p, CAPP_JN_SCOPE);
    capp_jp_expect(p, CAPP_JT_BLOCK_END);
    capp_jnode *body = statements(p, ends);
    end_tag(p, "endgeneration");
    if (node) node->body = body;
    return node;
}

static capp_jnode *jump(capp_jparser *p, capp_jnode_kind kind) {
    if (!p->loops) return capp_jp_fail(p, CAPP_EFORMAT, (capp_str){NULL, 0}, "break or continue outside of a loop");
    capp_jnode *node = capp_jp_node(p, kind);
    capp_jp_expect(p, CAPP_JT_BLOCK_END);
    return node;
}

static capp_jnode *statement(capp_jparser *p) {
    static const char *const others[] = {"include", "import", "from",       "extends", "block", "call",
                                         "do",      "trans",  "autoescape", "debug",   "print"};
    if (capp_jp_skip_word(p, "if")) return if_block(p);
    if (capp_jp_skip_word(p, "for")) return for_loop(p);
    if (capp_jp_skip_word(p, "set")) return set(p);
    if (capp_jp_skip_word(p, "macro")) return macro(p);
    if (capp_jp_skip_word(p, "filter")) return filter_block(p);
    if (capp_jp_skip_word(p, "with")) return with(p);
    if (capp_jp_skip_word(p, "generation")) return generation(p);
    if (capp_jp_skip_word(p, "break")) return jump(p, CAPP_JN_BREAK);
    if (capp_jp_skip_word(p, "continue")) return jump(p, CAPP_JN_CONTINUE);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (capp_jp_word(p, others[i]))
            return capp_jp_fail(p, CAPP_EUNSUPPORTED, p->at->text, "is a tag that is not supported");
    return capp_jp_fail(p, CAPP_EFORMAT, p->at->text, "is no tag");
}

static bool ends_here(const capp_jparser *p, const char *const *ends) {
    for (; ends && *ends; ends++)
        if (capp_jp_word(p, *ends)) return true;
    return false;
}

/* Up to a tag with one of the words, which is at hand then; ends NULL: up to the end of the template. */
static capp_jnode *statements(capp_jparser *p, const char *const *ends) {
    capp_jchain all = {NULL, NULL};
    capp_jp_deeper(p);
    while (p->status == CAPP_OK) {
        if (p->at->kind == CAPP_JT_END) {
            while (ends && ends[1]) ends++; /* the last one closes the tag */
            if (ends) capp_jp_fail(p, CAPP_EFORMAT, capp_str_of(*ends), "is missing: a tag is not closed");
            break;
        }
        if (p->at->kind == CAPP_JT_DATA) {
            capp_jp_add(&all, capp_jp_text(p, CAPP_JN_TEXT, p->at->text.data, p->at->text.size));
            capp_jp_next(p);
        } else if (p->at->kind == CAPP_JT_PRINT_BEGIN) {
            capp_jp_next(p);
            capp_jp_add(&all, capp_jp_node_a(p, CAPP_JN_PRINT, capp_jp_tuple(p, true, NULL)));
            capp_jp_expect(p, CAPP_JT_PRINT_END);
        } else {
            capp_jp_expect(p, CAPP_JT_BLOCK_BEGIN);
            if (ends_here(p, ends)) break;
            capp_jp_add(&all, statement(p));
        }
    }
    p->depth--;
    return all.first;
}

capp_status capp_jinja_parse(capp_jheap *heap, capp_str source, capp_jnode **body, capp_error *err) {
    capp_jtoken *tokens;
    capp_status st = capp_jinja_lex(source, &tokens, err);
    if (st != CAPP_OK) return st;
    capp_jparser p = {.heap = heap, .at = tokens, .err = err, .status = CAPP_OK};
    *body = statements(&p, NULL);
    capp_free(tokens);
    return p.status;
}
