#include "jinja/parse_expression.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

static capp_jinja_node *parse_unary(capp_jinja_parser *parser, bool filters);

static capp_jinja_node *new_pair(capp_jinja_parser *parser, capp_jinja_node_kind kind, int op, capp_jinja_node *left,
                                 capp_jinja_node *right) {
    capp_jinja_node *node = capp_jinja_new_node_over(parser, kind, left);
    if (node) {
        node->right = right;
        node->op = (uint16_t)op;
    }
    return node;
}

static capp_jinja_node *constant(capp_jinja_parser *parser, capp_jinja_value value) {
    capp_jinja_node *node = capp_jinja_new_node(parser, CAPP_JINJA_NODE_CONSTANT);
    if (node) node->value = value;
    return node;
}

/* ---- Literals ---------------------------------------------------------------------------------------------------- */

static int hex_digits(const char *at, const char *end, int n, int32_t *out) {
    int32_t value = 0;
    for (int i = 0; i < n; i++) {
        char c = at + i < end ? at[i] : 0;
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                             : -1;
        if (digit < 0 || value > 0x10ffff) return 0;
        value = value << 4 | digit;
    }
    *out = value;
    return n;
}

static size_t put_character(int32_t c, char *out) {
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (size == 1) {
        *out = (char)c;
        return 1;
    }
    for (size_t i = size - 1; i; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00U >> size & 0xffU) | (unsigned)c);
    return size;
}

/* Writes the character of an escape to out, by Python's rules; *at: after its backslash. Returns the bytes written. */
static size_t parse_escape(capp_jinja_parser *parser, const char **at, const char *end, char *out) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    char kind = *(*at)++;
    const char *simple = kind ? strchr(from, kind) : NULL;
    int32_t c = 0;
    if (simple) {
        *out = to[simple - from];
        return 1;
    }
    if (kind == '\n') return 0;
    if (kind == 'x' || kind == 'u' || kind == 'U') {
        int n = hex_digits(*at, end, kind == 'x' ? 2 : kind == 'u' ? 4 : 8, &c);
        bool valid = n && c <= 0x10ffff && (c < 0xd800 || c >= 0xe000);
        if (!valid)
            capp_jinja_fail_parsing(parser, CAPP_EUNSUPPORTED, (capp_str){NULL, 0},
                                    "a string has an escape that is not a character");
        *at += n;
        return valid ? put_character(c, out) : 0;
    }
    if (kind >= '0' && kind <= '7') {
        c = kind - '0';
        for (int i = 0; i < 2 && *at < end && **at >= '0' && **at <= '7'; i++) c = c * 8 + *(*at)++ - '0';
        return put_character(c, out);
    }
    if (kind == 'N')
        capp_jinja_fail_parsing(parser, CAPP_EUNSUPPORTED, (capp_str){NULL, 0}, "\\N in strings is not supported");
    out[0] = '\\';
    out[1] = kind;
    return 2;
}

/* Strings side by side are one string. */
static capp_jinja_node *parse_strings(capp_jinja_parser *parser) {
    size_t room = 0;
    for (const capp_jinja_token *t = parser->at; t->kind == CAPP_JINJA_TOKEN_STRING; t++) room += t->text.size;
    char *text = capp_jinja_heap_allocate(parser->heap, room, 1), *out = text;
    if (!text) {
        parser->status = capp_fail_memory(parser->err, "a chat template");
        return NULL;
    }
    for (; parser->status == CAPP_OK && parser->at->kind == CAPP_JINJA_TOKEN_STRING; parser->at++) {
        const char *at = parser->at->text.data, *end = at + parser->at->text.size;
        while (at < end && parser->status == CAPP_OK) {
            if (*at != '\\' || at + 1 == end)
                *out++ = *at++;
            else
                at++, out += parse_escape(parser, &at, end, out);
        }
    }
    return capp_jinja_new_text_node(parser, CAPP_JINJA_NODE_CONSTANT, text, (size_t)(out - text));
}

static capp_jinja_node *parse_number(capp_jinja_parser *parser) {
    char digits[64];
    size_t n = 0;
    bool real = parser->at->kind == CAPP_JINJA_TOKEN_FLOAT;
    for (size_t i = 0; i < parser->at->text.size && n < sizeof digits - 1; i++)
        if (parser->at->text.data[i] != '_') digits[n++] = parser->at->text.data[i];
    digits[n] = 0;
    errno = 0;
    long long integer = real ? 0 : strtoll(digits, NULL, 10);
    bool zeros = !real && n > 1 && digits[0] == '0' && integer;
    if (n == sizeof digits - 1 || (!real && errno) || zeros)
        return capp_jinja_fail_parsing(
            parser, CAPP_EUNSUPPORTED, parser->at->text,
            "is not supported: numbers must be decimal, without leading zeros, and fit 64 bits");
    double number = 0; /* read as JSON: strtod depends on the locale */
    capp_json json;
    if (real && (capp_json_check(capp_str_of(digits), &json, NULL) != CAPP_OK || !capp_json_f64(json, &number)))
        return capp_jinja_fail_parsing(parser, CAPP_EUNSUPPORTED, parser->at->text, "is not a valid number");
    capp_jinja_node *node = constant(parser, real ? capp_jinja_float(number) : capp_jinja_integer(integer));
    capp_jinja_next_token(parser);
    return node;
}

static capp_jinja_node *parse_list(capp_jinja_parser *parser) {
    capp_jinja_chain items = {NULL, NULL};
    capp_jinja_expect_operator(parser, "[");
    while (parser->status == CAPP_OK && !capp_jinja_at_operator(parser, "]")) {
        if (items.first) capp_jinja_expect_operator(parser, ",");
        if (!capp_jinja_at_operator(parser, "]")) capp_jinja_chain_append(&items, capp_jinja_parse_expression(parser));
    }
    capp_jinja_expect_operator(parser, "]");
    return capp_jinja_new_list_node(parser, CAPP_JINJA_NODE_LIST, items.first);
}

static capp_jinja_node *parse_dict(capp_jinja_parser *parser) {
    capp_jinja_chain items = {NULL, NULL};
    capp_jinja_expect_operator(parser, "{");
    while (parser->status == CAPP_OK && !capp_jinja_at_operator(parser, "}")) {
        if (items.first) capp_jinja_expect_operator(parser, ",");
        if (capp_jinja_at_operator(parser, "}")) break;
        capp_jinja_chain_append(&items, capp_jinja_parse_expression(parser));
        capp_jinja_expect_operator(parser, ":");
        capp_jinja_chain_append(&items, capp_jinja_parse_expression(parser));
    }
    capp_jinja_expect_operator(parser, "}");
    return capp_jinja_new_list_node(parser, CAPP_JINJA_NODE_DICT, items.first);
}

capp_jinja_node *capp_jinja_parse_name(capp_jinja_parser *parser) {
    static const struct {
        const char *word;
        int truth; /* -1: the word means none */
    } words[] = {{"true", 1}, {"True", 1}, {"false", 0}, {"False", 0}, {"none", -1}, {"None", -1}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (capp_jinja_skip_word(parser, words[i].word))
            return constant(parser, words[i].truth < 0 ? capp_jinja_none() : capp_jinja_boolean(words[i].truth));
    if (parser->macros && (capp_jinja_at_word(parser, "varargs") || capp_jinja_at_word(parser, "kwargs") ||
                           capp_jinja_at_word(parser, "caller")))
        return capp_jinja_fail_parsing(parser, CAPP_EUNSUPPORTED, parser->at->text, "in macros is not supported");
    capp_jinja_node *node = capp_jinja_new_node(parser, CAPP_JINJA_NODE_NAME);
    capp_str word = capp_jinja_expect_name(parser);
    if (node) node->name = word;
    return node;
}

static capp_jinja_node *parse_primary(capp_jinja_parser *parser) {
    if (parser->status != CAPP_OK) return NULL;
    switch (parser->at->kind) {
    case CAPP_JINJA_TOKEN_NAME: return capp_jinja_parse_name(parser);
    case CAPP_JINJA_TOKEN_STRING: return parse_strings(parser);
    case CAPP_JINJA_TOKEN_INTEGER:
    case CAPP_JINJA_TOKEN_FLOAT: return parse_number(parser);
    default: break;
    }
    if (capp_jinja_at_operator(parser, "[")) return parse_list(parser);
    if (capp_jinja_at_operator(parser, "{")) return parse_dict(parser);
    if (!capp_jinja_skip_operator(parser, "("))
        return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, parser->at->text,
                                       "is unexpected: an expression is missing");
    capp_jinja_node *node = capp_jinja_parse_tuple(parser, true, ")");
    capp_jinja_expect_operator(parser, ")");
    return node;
}

/* ---- What follows a value ---------------------------------------------------------------------------------------- */

static capp_jinja_node *parse_arguments(capp_jinja_parser *parser) {
    capp_jinja_chain items = {NULL, NULL};
    capp_jinja_expect_operator(parser, "(");
    bool named = false;
    while (parser->status == CAPP_OK && !capp_jinja_at_operator(parser, ")")) {
        if (items.first) capp_jinja_expect_operator(parser, ",");
        if (capp_jinja_at_operator(parser, ")")) break;
        if (capp_jinja_at_operator(parser, "*") || capp_jinja_at_operator(parser, "**"))
            return capp_jinja_fail_parsing(parser, CAPP_EUNSUPPORTED, parser->at->text,
                                           "before an argument is not supported");
        const capp_jinja_token *after = parser->at + (parser->at->kind != CAPP_JINJA_TOKEN_END);
        bool keyword = parser->at->kind == CAPP_JINJA_TOKEN_NAME && after->kind == CAPP_JINJA_TOKEN_OPERATOR &&
                       after->text.size == 1 && after->text.data[0] == '=';
        if (named && !keyword)
            return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, (capp_str){NULL, 0},
                                           "a positional argument follows a named one");
        named = keyword;
        capp_str word = keyword ? capp_jinja_expect_name(parser) : (capp_str){NULL, 0};
        if (keyword) capp_jinja_expect_operator(parser, "=");
        capp_jinja_node *value = capp_jinja_parse_expression(parser);
        if (keyword && (value = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_KEYWORD, value))) value->name = word;
        capp_jinja_chain_append(&items, value);
    }
    capp_jinja_expect_operator(parser, ")");
    return items.first;
}

/* An index or a slice in brackets. */
static capp_jinja_node *parse_subscript(capp_jinja_parser *parser, capp_jinja_node *operand) {
    capp_jinja_node *parts[3] = {NULL, NULL, NULL};
    size_t n = 0;
    bool slice = false;
    capp_jinja_expect_operator(parser, "[");
    for (;;) {
        if (!capp_jinja_at_operator(parser, ":") && !capp_jinja_at_operator(parser, "]"))
            parts[n] = slice ? capp_jinja_parse_expression(parser) : capp_jinja_parse_tuple(parser, true, ":");
        if (parser->status != CAPP_OK || capp_jinja_at_operator(parser, "]") || n == 2) break;
        capp_jinja_expect_operator(parser, ":");
        slice = true;
        n++;
    }
    capp_jinja_expect_operator(parser, "]");
    if (!slice && !parts[0])
        parts[0] = capp_jinja_new_list_node(parser, CAPP_JINJA_NODE_TUPLE, NULL); /* as in jinja2 */
    capp_jinja_node *node =
        new_pair(parser, slice ? CAPP_JINJA_NODE_SLICE : CAPP_JINJA_NODE_ITEM, 0, operand, parts[0]);
    if (node && slice) {
        node->stop = parts[1];
        node->step = parts[2];
    }
    return node;
}

static capp_jinja_node *parse_call(capp_jinja_parser *parser, capp_jinja_node *operand) {
    capp_jinja_node *node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_CALL, operand);
    capp_jinja_node *args = parse_arguments(parser);
    if (node) node->body = args;
    return node;
}

capp_jinja_node *capp_jinja_parse_attribute(capp_jinja_parser *parser, capp_jinja_node *object) {
    capp_jinja_next_token(parser);
    if (parser->at->kind == CAPP_JINJA_TOKEN_INTEGER)
        return new_pair(parser, CAPP_JINJA_NODE_ITEM, 0, object, parse_number(parser));
    capp_jinja_node *node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_ATTRIBUTE, object);
    capp_str word = capp_jinja_expect_name(parser);
    if (node) node->name = word;
    return node;
}

static capp_jinja_node *parse_postfix(capp_jinja_parser *parser, capp_jinja_node *node) {
    while (parser->status == CAPP_OK) {
        if (capp_jinja_at_operator(parser, "."))
            node = capp_jinja_parse_attribute(parser, node);
        else if (capp_jinja_at_operator(parser, "["))
            node = parse_subscript(parser, node);
        else if (capp_jinja_at_operator(parser, "("))
            node = parse_call(parser, node);
        else
            break;
    }
    return node;
}

capp_jinja_node *capp_jinja_parse_filter(capp_jinja_parser *parser, capp_jinja_node *input) {
    capp_jinja_node *node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_FILTER, input);
    capp_str word = capp_jinja_expect_name(parser);
    capp_jinja_node *args = capp_jinja_at_operator(parser, "(") ? parse_arguments(parser) : NULL;
    if (!node) return NULL;
    node->name = word;
    node->body = args;
    return node;
}

static bool begins_argument(const capp_jinja_parser *parser) {
    capp_jinja_token_kind kind = parser->at->kind;
    if (capp_jinja_at_word(parser, "else") || capp_jinja_at_word(parser, "or") || capp_jinja_at_word(parser, "and"))
        return false;
    return kind == CAPP_JINJA_TOKEN_NAME || kind == CAPP_JINJA_TOKEN_STRING || kind == CAPP_JINJA_TOKEN_INTEGER ||
           kind == CAPP_JINJA_TOKEN_FLOAT || capp_jinja_at_operator(parser, "[") || capp_jinja_at_operator(parser, "{");
}

static capp_jinja_node *parse_test(capp_jinja_parser *parser, capp_jinja_node *operand) {
    bool negated = capp_jinja_skip_word(parser, "not");
    capp_jinja_node *node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_TEST, operand), *args = NULL;
    capp_str word = capp_jinja_expect_name(parser);
    if (capp_jinja_at_operator(parser, "(")) {
        args = parse_arguments(parser);
    } else if (parser->status == CAPP_OK && begins_argument(parser)) {
        if (capp_jinja_at_word(parser, "is"))
            return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, parser->at->text, "cannot follow a test");
        args = parse_postfix(parser, parse_primary(parser));
    }
    if (!node) return NULL;
    node->name = word;
    node->body = args;
    return negated ? capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_NOT, node) : node;
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

static capp_jinja_node *parse_unary_nested(capp_jinja_parser *parser, bool filters) {
    capp_jinja_node *node;
    if (capp_jinja_at_operator(parser, "-") || capp_jinja_at_operator(parser, "+")) {
        int op = (unsigned char)parser->at->text.data[0];
        capp_jinja_next_token(parser);
        node = new_pair(parser, CAPP_JINJA_NODE_SIGN, op, parse_unary(parser, false), NULL);
    } else {
        node = parse_primary(parser);
    }
    node = parse_postfix(parser, node);
    while (filters && parser->status == CAPP_OK) {
        if (capp_jinja_skip_operator(parser, "|"))
            node = capp_jinja_parse_filter(parser, node);
        else if (capp_jinja_skip_word(parser, "is"))
            node = parse_test(parser, node);
        else if (capp_jinja_at_operator(parser, "("))
            node = parse_call(parser, node);
        else
            break;
    }
    return node;
}

static capp_jinja_node *parse_unary(capp_jinja_parser *parser, bool filters) {
    capp_jinja_node *node = capp_jinja_enter_nested(parser) ? parse_unary_nested(parser, filters) : NULL;
    parser->depth--;
    return node;
}

typedef struct level {
    const char *text;
    int op;
} level;

/* Operators by precedence, the weakest first. Signs bind more strongly than all of these. */
static const level levels[][5] = {
    {{"+", '+'}, {"-", '-'}, {NULL, 0}},
    {{"~", '~'}, {NULL, 0}},
    {{"*", '*'}, {"/", '/'}, {"//", CAPP_JINJA_OP_FLOOR}, {"%", '%'}, {NULL, 0}},
    {{"**", CAPP_JINJA_OP_POWER}, {NULL, 0}},
};
enum { N_LEVELS = sizeof levels / sizeof levels[0] };

static capp_jinja_node *parse_arithmetic(capp_jinja_parser *parser, size_t at) {
    if (at == N_LEVELS) return parse_unary(parser, true);
    capp_jinja_node *left = parse_arithmetic(parser, at + 1);
    while (parser->status == CAPP_OK) {
        const level *row = levels[at];
        while (row->text && !capp_jinja_at_operator(parser, row->text)) row++;
        if (!row->text) break;
        capp_jinja_next_token(parser);
        left = new_pair(parser, CAPP_JINJA_NODE_BINARY, row->op, left, parse_arithmetic(parser, at + 1));
    }
    return left;
}

/* Moves past a comparison operator and returns it. 0: there is none. */
static int skip_comparison(capp_jinja_parser *parser) {
    static const level rows[] = {{"==", CAPP_JINJA_OP_EQUAL},
                                 {"!=", CAPP_JINJA_OP_NOT_EQUAL},
                                 {"<=", CAPP_JINJA_OP_LESS_EQUAL},
                                 {">=", CAPP_JINJA_OP_GREATER_EQUAL},
                                 {"<", '<'},
                                 {">", '>'}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (capp_jinja_skip_operator(parser, rows[i].text)) return rows[i].op;
    if (capp_jinja_skip_word(parser, "in")) return CAPP_JINJA_OP_IN;
    if (!capp_jinja_at_word(parser, "not") || parser->at[1].kind != CAPP_JINJA_TOKEN_NAME ||
        parser->at[1].text.size != 2 || memcmp(parser->at[1].text.data, "in", 2) != 0)
        return 0;
    parser->at += 2;
    return CAPP_JINJA_OP_NOT_IN;
}

static capp_jinja_node *parse_comparison(capp_jinja_parser *parser) {
    capp_jinja_node *left = parse_arithmetic(parser, 0);
    capp_jinja_chain operands = {NULL, NULL};
    for (int op; parser->status == CAPP_OK && (op = skip_comparison(parser));)
        capp_jinja_chain_append(&operands,
                                new_pair(parser, CAPP_JINJA_NODE_OPERAND, op, parse_arithmetic(parser, 0), NULL));
    if (!operands.first) return left;
    capp_jinja_node *node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_COMPARE, left);
    if (node) node->body = operands.first;
    return node;
}

static capp_jinja_node *parse_negation(capp_jinja_parser *parser) {
    int nots = 0;
    while (capp_jinja_skip_word(parser, "not")) nots++;
    capp_jinja_node *node = parse_comparison(parser);
    if (nots) node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_NOT, node);
    if (nots && nots % 2 == 0) node = capp_jinja_new_node_over(parser, CAPP_JINJA_NODE_NOT, node);
    return node;
}

static capp_jinja_node *parse_conjunction(capp_jinja_parser *parser) {
    capp_jinja_node *left = parse_negation(parser);
    while (capp_jinja_skip_word(parser, "and"))
        left = new_pair(parser, CAPP_JINJA_NODE_AND, 0, left, parse_negation(parser));
    return left;
}

static capp_jinja_node *parse_disjunction(capp_jinja_parser *parser) {
    capp_jinja_node *left = parse_conjunction(parser);
    while (capp_jinja_skip_word(parser, "or"))
        left = new_pair(parser, CAPP_JINJA_NODE_OR, 0, left, parse_conjunction(parser));
    return left;
}

static capp_jinja_node *parse_conditional(capp_jinja_parser *parser) {
    capp_jinja_node *node = parse_disjunction(parser);
    while (capp_jinja_skip_word(parser, "if")) {
        capp_jinja_node *test = parse_disjunction(parser),
                        *otherwise = capp_jinja_skip_word(parser, "else") ? capp_jinja_parse_expression(parser) : NULL;
        node = new_pair(parser, CAPP_JINJA_NODE_CONDITIONAL, 0, test, node);
        if (node) node->otherwise = otherwise;
    }
    return node;
}

capp_jinja_node *capp_jinja_parse_expression(capp_jinja_parser *parser) {
    capp_jinja_node *node = capp_jinja_enter_nested(parser) ? parse_conditional(parser) : NULL;
    parser->depth--;
    return node;
}

capp_jinja_node *capp_jinja_parse_tuple(capp_jinja_parser *parser, bool conditionals, const char *end) {
    capp_jinja_chain items = {NULL, NULL};
    bool comma = false, closed = end && !strcmp(end, ")");
    while (parser->status == CAPP_OK) {
        capp_jinja_token_kind kind = parser->at->kind;
        if (kind == CAPP_JINJA_TOKEN_PRINT_END || kind == CAPP_JINJA_TOKEN_BLOCK_END ||
            capp_jinja_at_operator(parser, ")"))
            break;
        if (end && (capp_jinja_at_operator(parser, end) || capp_jinja_at_word(parser, end))) break;
        capp_jinja_chain_append(&items, conditionals ? capp_jinja_parse_expression(parser) : parse_disjunction(parser));
        if (!capp_jinja_skip_operator(parser, ",")) break;
        comma = true;
    }
    if (!items.first && !closed)
        return capp_jinja_fail_parsing(parser, CAPP_EFORMAT, parser->at->text,
                                       "is unexpected: an expression is missing");
    if (items.first && !comma) return items.first;
    return capp_jinja_new_list_node(parser, CAPP_JINJA_NODE_TUPLE, items.first);
}
