#include "jinja/parse_template.h"

#include "base/mem.h"
#include "jinja/parse_expression.h"

/* ---- Statements -------------------------------------------------------------------------------------------------- */

static capp_jinja_node *parse_statements(capp_jinja_parser *parser, const char *const *ends);

/* The target of a for loop or a set: a name, several names, or an attribute of a namespace. */
static capp_jinja_node *parse_target(capp_jinja_parser *parser, bool attributes) {
    capp_jinja_chain items = {NULL, NULL};
    bool comma = false, brackets = capp_jinja_skip_operator(parser, "(");
    while (parser->status == CAPP_OK && parser->at->kind == CAPP_JINJA_TOKEN_NAME &&
           !capp_jinja_at_word(parser, "in")) {
        capp_jinja_node *one = capp_jinja_parse_name(parser);
        if (one && one->kind != CAPP_JINJA_NODE_NAME)
            return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, (capp_str){NULL, 0},
                                           "a constant cannot be assigned to");
        if (attributes && capp_jinja_at_operator(parser, ".")) one = capp_jinja_parse_attribute(parser, one);
        if (one && one->kind == CAPP_JINJA_NODE_ITEM)
            return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, parser->at[-1].text, "cannot be assigned to");
        capp_jinja_chain_append(&items, one);
        if (!capp_jinja_skip_operator(parser, ",")) break;
        comma = true;
    }
    if (brackets) capp_jinja_expect_operator(parser, ")");
    if (!items.first) return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, parser->at->text, "cannot be assigned to");
    if (!comma) return items.first;
    return capp_jinja_new_list_node(parser, CAPP_JINJA_NODE_TUPLE, items.first);
}

static void expect_end_tag(capp_jinja_parser *parser, const char *word) {
    capp_jinja_expect_word(parser, word);
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
}

static capp_jinja_node *parse_for(capp_jinja_parser *parser) {
    static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
    capp_jinja_node *node = capp_jinja_new_node(parser, CAPP_JINJA_NODE_FOR), *target = parse_target(parser, false);
    capp_jinja_expect_word(parser, "in");
    capp_jinja_node *iterable = capp_jinja_parse_tuple(parser, false, "recursive"),
                    *filter = capp_jinja_skip_word(parser, "if") ? capp_jinja_parse_expression(parser) : NULL;
    if (capp_jinja_at_word(parser, "recursive"))
        return capp_jinja_fail_parsing(parser, CAPP_EUNSUPPORTED, parser->at->text, "loops are not supported");
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
    parser->loops++;
    capp_jinja_node *body = parse_statements(parser, ends), *empty_body = NULL;
    parser->loops--;
    if (capp_jinja_skip_word(parser, "else")) {
        capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
        empty_body = parse_statements(parser, last);
    }
    expect_end_tag(parser, "endfor");
    if (!node) return NULL;
    node->target = target;
    node->iterable = iterable;
    node->filter = filter;
    node->body = body;
    node->empty_body = empty_body;
    return node;
}

static capp_jinja_node *parse_if(capp_jinja_parser *parser) {
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif", NULL};
    capp_jinja_node *node = capp_jinja_new_node(parser, CAPP_JINJA_NODE_IF);
    capp_jinja_chain branches = {NULL, NULL};
    do {
        capp_jinja_node *branch = capp_jinja_new_node(parser, CAPP_JINJA_NODE_BRANCH),
                        *condition = capp_jinja_parse_tuple(parser, false, NULL);
        capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
        capp_jinja_node *body = parse_statements(parser, ends);
        if (!branch) return NULL;
        branch->condition = condition;
        branch->body = body;
        capp_jinja_chain_append(&branches, branch);
    } while (capp_jinja_skip_word(parser, "elif"));
    if (capp_jinja_skip_word(parser, "else")) {
        capp_jinja_node *branch = capp_jinja_new_node(parser, CAPP_JINJA_NODE_BRANCH);
        capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
        capp_jinja_node *body = parse_statements(parser, last);
        if (branch) branch->body = body;
        capp_jinja_chain_append(&branches, branch);
    }
    expect_end_tag(parser, "endif");
    if (node) node->body = branches.first;
    return node;
}

/* "|filter|filter", applied to node. */
static capp_jinja_node *parse_filters(capp_jinja_parser *parser, capp_jinja_node *node) {
    while (capp_jinja_skip_operator(parser, "|")) node = capp_jinja_parse_filter(parser, node);
    return node;
}

static capp_jinja_node *parse_set(capp_jinja_parser *parser) {
    static const char *const ends[] = {"endset", NULL};
    capp_jinja_node *target = parse_target(parser, true);
    if (capp_jinja_skip_operator(parser, "=")) {
        capp_jinja_node *node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_SET, target),
                        *assigned = capp_jinja_parse_tuple(parser, true, NULL);
        capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
        if (node) node->assigned = assigned;
        return node;
    }
    capp_jinja_node *node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_CAPTURE, target),
                    *filters = parse_filters(parser, capp_jinja_new_node(parser, CAPP_JINJA_NODE_CAPTURED));
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
    capp_jinja_node *body = parse_statements(parser, ends);
    expect_end_tag(parser, "endset");
    if (!node) return NULL;
    node->filters = filters;
    node->body = body;
    return node;
}

static capp_jinja_node *parse_filter_block(capp_jinja_parser *parser) {
    static const char *const ends[] = {"endfilter", NULL};
    capp_jinja_node *node = capp_jinja_new_node(parser, CAPP_JINJA_NODE_CAPTURE),
                    *filters = capp_jinja_parse_filter(parser, capp_jinja_new_node(parser, CAPP_JINJA_NODE_CAPTURED));
    filters = parse_filters(parser, filters);
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
    capp_jinja_node *body = parse_statements(parser, ends);
    expect_end_tag(parser, "endfilter");
    if (!node) return NULL;
    node->filters = filters;
    node->body = body;
    return node;
}

static capp_jinja_node *parse_macro(capp_jinja_parser *parser) {
    static const char *const ends[] = {"endmacro", NULL};
    capp_jinja_node *node = capp_jinja_new_node(parser, CAPP_JINJA_NODE_MACRO);
    capp_jinja_chain parameters = {NULL, NULL};
    capp_str word = capp_jinja_expect_name(parser);
    capp_jinja_expect_operator(parser, "(");
    while (parser->status == CAPP_OK && !capp_jinja_at_operator(parser, ")")) {
        if (parameters.first) capp_jinja_expect_operator(parser, ",");
        capp_jinja_node *one = capp_jinja_parse_name(parser);
        if (one && one->kind != CAPP_JINJA_NODE_NAME)
            return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, (capp_str){NULL, 0},
                                           "a constant cannot be a parameter");
        capp_jinja_node *parameter = capp_jinja_new_node(parser, CAPP_JINJA_NODE_KEYWORD);
        if (!parameter || !one) return NULL;
        parameter->name = one->name;
        if (capp_jinja_skip_operator(parser, "=")) parameter->operand = capp_jinja_parse_expression(parser);
        capp_jinja_chain_append(&parameters, parameter);
    }
    capp_jinja_expect_operator(parser, ")");
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
    int loops = parser->loops;
    parser->loops = 0;
    parser->macros++;
    capp_jinja_node *body = parse_statements(parser, ends);
    parser->macros--;
    parser->loops = loops;
    expect_end_tag(parser, "endmacro");
    if (!node) return NULL;
    node->name = word;
    node->parameters = parameters.first;
    node->body = body;
    return node;
}

static capp_jinja_node *parse_with(capp_jinja_parser *parser) {
    static const char *const ends[] = {"endwith", NULL};
    capp_jinja_node *node = capp_jinja_new_node(parser, CAPP_JINJA_NODE_SCOPE);
    capp_jinja_chain sets = {NULL, NULL};
    while (parser->status == CAPP_OK && parser->at->kind != CAPP_JINJA_TOKEN_BLOCK_END) {
        if (sets.first) capp_jinja_expect_operator(parser, ",");
        capp_jinja_node *one = capp_jinja_new_node(parser, CAPP_JINJA_NODE_SET), *target = parse_target(parser, false);
        capp_jinja_expect_operator(parser, "=");
        capp_jinja_node *assigned = capp_jinja_parse_expression(parser);
        if (!one) return NULL;
        one->target = target;
        one->assigned = assigned;
        capp_jinja_chain_append(&sets, one);
    }
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
    capp_jinja_node *body = parse_statements(parser, ends);
    expect_end_tag(parser, "endwith");
    if (!node) return NULL;
    node->assignments = sets.first;
    node->body = body;
    return node;
}

/* A tag of transformers around the assistant's text. */
static capp_jinja_node *parse_generation(capp_jinja_parser *parser) {
    static const char *const ends[] = {"endgeneration", NULL};
    capp_jinja_node *node = capp_jinja_new_node(parser, CAPP_JINJA_NODE_SCOPE);
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
    capp_jinja_node *body = parse_statements(parser, ends);
    expect_end_tag(parser, "endgeneration");
    if (node) node->body = body;
    return node;
}

static capp_jinja_node *parse_jump(capp_jinja_parser *parser, capp_jinja_node_kind kind) {
    if (!parser->loops)
        return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, (capp_str){NULL, 0}, "break or continue outside a loop");
    capp_jinja_node *node = capp_jinja_new_node(parser, kind);
    capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_END);
    return node;
}

static capp_jinja_node *parse_statement(capp_jinja_parser *parser) {
    static const char *const others[] = {"include", "import", "from",       "extends", "block", "call",
                                         "do",      "trans",  "autoescape", "debug",   "print"};
    if (capp_jinja_skip_word(parser, "if")) return parse_if(parser);
    if (capp_jinja_skip_word(parser, "for")) return parse_for(parser);
    if (capp_jinja_skip_word(parser, "set")) return parse_set(parser);
    if (capp_jinja_skip_word(parser, "macro")) return parse_macro(parser);
    if (capp_jinja_skip_word(parser, "filter")) return parse_filter_block(parser);
    if (capp_jinja_skip_word(parser, "with")) return parse_with(parser);
    if (capp_jinja_skip_word(parser, "generation")) return parse_generation(parser);
    if (capp_jinja_skip_word(parser, "break")) return parse_jump(parser, CAPP_JINJA_NODE_BREAK);
    if (capp_jinja_skip_word(parser, "continue")) return parse_jump(parser, CAPP_JINJA_NODE_CONTINUE);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (capp_jinja_at_word(parser, others[i]))
            return capp_jinja_fail_parsing(parser, CAPP_EUNSUPPORTED, parser->at->text, "is not a supported tag");
    return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, parser->at->text, "is not a known tag");
}

static bool ends_here(const capp_jinja_parser *parser, const char *const *ends) {
    for (; ends && *ends; ends++)
        if (capp_jinja_at_word(parser, *ends)) return true;
    return false;
}

/* Statements up to a tag that begins with one of the words of ends; the parser is then at this tag. ends NULL: up to
 * the end of the template. */
static capp_jinja_node *parse_statements(capp_jinja_parser *parser, const char *const *ends) {
    capp_jinja_chain all = {NULL, NULL};
    capp_jinja_enter_nested(parser);
    while (parser->status == CAPP_OK) {
        if (parser->at->kind == CAPP_JINJA_TOKEN_END) {
            while (ends && ends[1]) ends++; /* the last word closes the block */
            if (ends)
                capp_jinja_fail_parsing(parser, CAPP_EFORMAT, capp_str_of(*ends), "is missing: a block is not closed");
            break;
        }
        if (parser->at->kind == CAPP_JINJA_TOKEN_TEXT) {
            capp_jinja_chain_append(&all, capp_jinja_new_text_node(parser, CAPP_JINJA_NODE_TEXT, parser->at->text.data,
                                                                   parser->at->text.size));
            capp_jinja_next_token(parser);
        } else if (parser->at->kind == CAPP_JINJA_TOKEN_PRINT_BEGIN) {
            capp_jinja_next_token(parser);
            capp_jinja_chain_append(&all, capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_PRINT,
                                                                   capp_jinja_parse_tuple(parser, true, NULL)));
            capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_PRINT_END);
        } else {
            capp_jinja_expect_token(parser, CAPP_JINJA_TOKEN_BLOCK_BEGIN);
            if (ends_here(parser, ends)) break;
            capp_jinja_chain_append(&all, parse_statement(parser));
        }
    }
    parser->depth--;
    return all.first;
}

capp_status capp_jinja_parse_template(capp_jinja_heap *heap, capp_str source, capp_jinja_node **body, capp_error *err) {
    capp_jinja_token *tokens;
    capp_status st = capp_jinja_lex(source, &tokens, err);
    if (st != CAPP_OK) return st;
    capp_jinja_parser parser = {.heap = heap, .at = tokens, .err = err, .status = CAPP_OK};
    *body = parse_statements(&parser, NULL);
    capp_free(tokens);
    return parser.status;
}
