/* Expressions: what binds how, by the grammar of jinja2. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chat/parser.h"

static capp_jnode *unary(capp_jparser *p, bool filters);

static capp_jnode *with_ab(capp_jparser *p, capp_jnode_kind kind, int op, capp_jnode *a, capp_jnode *b) {
    capp_jnode *node = capp_jp_node_a(p, kind, a);
    if (node) {
        node->b = b;
        node->op = (uint16_t)op;
    }
    return node;
}

static capp_jnode *constant(capp_jparser *p, capp_jval value) {
    capp_jnode *node = capp_jp_node(p, CAPP_JN_CONST);
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

/* What follows a backslash at *at, to out; Python's escapes. Returns the bytes written. */
static size_t escape(capp_jparser *p, const char **at, const char *end, char *out) {
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
        if (!valid) capp_jp_fail(p, CAPP_EUNSUPPORTED, (capp_str){NULL, 0}, "an escape that is no character");
        *at += n;
        return valid ? put_character(c, out) : 0;
    }
    if (kind >= '0' && kind <= '7') {
        c = kind - '0';
        for (int i = 0; i < 2 && *at < end && **at >= '0' && **at <= '7'; i++) c = c * 8 + *(*at)++ - '0';
        return put_character(c, out);
    }
    if (kind == 'N') capp_jp_fail(p, CAPP_EUNSUPPORTED, (capp_str){NULL, 0}, "\\N in a string is not supported");
    out[0] = '\\';
    out[1] = kind;
    return 2;
}

/* Neighbouring strings are one. */
static capp_jnode *string(capp_jparser *p) {
    size_t room = 0;
    for (const capp_jtoken *t = p->at; t->kind == CAPP_JT_STRING; t++) room += t->text.size;
    char *text = capp_jheap_take(p->heap, room, 1), *out = text;
    if (!text) {
        p->status = capp_fail_memory(p->err, "a chat template");
        return NULL;
    }
    for (; p->status == CAPP_OK && p->at->kind == CAPP_JT_STRING; p->at++) {
        const char *at = p->at->text.data, *end = at + p->at->text.size;
        while (at < end && p->status == CAPP_OK) {
            if (*at != '\\' || at + 1 == end)
                *out++ = *at++;
            else
                at++, out += escape(p, &at, end, out);
        }
    }
    return capp_jp_text(p, CAPP_JN_CONST, text, (size_t)(out - text));
}

static capp_jnode *number(capp_jparser *p) {
    char digits[64];
    size_t n = 0;
    bool real = p->at->kind == CAPP_JT_FLOAT;
    for (size_t i = 0; i < p->at->text.size && n < sizeof digits - 1; i++)
        if (p->at->text.data[i] != '_') digits[n++] = p->at->text.data[i];
    digits[n] = 0;
    errno = 0;
    long long integer = real ? 0 : strtoll(digits, NULL, 10);
    bool zeros = !real && n > 1 && digits[0] == '0' && integer;
    if (n == sizeof digits - 1 || (!real && errno) || zeros)
        return capp_jp_fail(p, CAPP_EUNSUPPORTED, p->at->text, "is a number too long, or of another base than 10");
    double number = 0; /* as JSON has it: strtod's depends on the locale */
    capp_json json;
    if (real && (capp_json_check(capp_str_of(digits), &json, NULL) != CAPP_OK || !capp_json_f64(json, &number)))
        return capp_jp_fail(p, CAPP_EUNSUPPORTED, p->at->text, "is no number");
    capp_jnode *node = constant(p, real ? capp_jfloat(number) : capp_jint(integer));
    capp_jp_next(p);
    return node;
}

static capp_jnode *list(capp_jparser *p) {
    capp_jchain items = {NULL, NULL};
    capp_jp_expect_op(p, "[");
    while (p->status == CAPP_OK && !capp_jp_op(p, "]")) {
        if (items.first) capp_jp_expect_op(p, ",");
        if (!capp_jp_op(p, "]")) capp_jp_add(&items, capp_jp_expression(p));
    }
    capp_jp_expect_op(p, "]");
    return capp_jp_list(p, CAPP_JN_LIST, items.first);
}

static capp_jnode *dict(capp_jparser *p) {
    capp_jchain items = {NULL, NULL};
    capp_jp_expect_op(p, "{");
    while (p->status == CAPP_OK && !capp_jp_op(p, "}")) {
        if (items.first) capp_jp_expect_op(p, ",");
        if (capp_jp_op(p, "}")) break;
        capp_jp_add(&items, capp_jp_expression(p));
        capp_jp_expect_op(p, ":");
        capp_jp_add(&items, capp_jp_expression(p));
    }
    capp_jp_expect_op(p, "}");
    return capp_jp_list(p, CAPP_JN_DICT, items.first);
}

capp_jnode *capp_jp_name(capp_jparser *p) {
    static const struct {
        const char *word;
        int truth; /* -1: none */
    } words[] = {{"true", 1}, {"True", 1}, {"false", 0}, {"False", 0}, {"none", -1}, {"None", -1}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (capp_jp_skip_word(p, words[i].word))
            return constant(p, words[i].truth < 0 ? capp_jnone() : capp_jbool(words[i].truth));
    if (p->macros && (capp_jp_word(p, "varargs") || capp_jp_word(p, "kwargs") || capp_jp_word(p, "caller")))
        return capp_jp_fail(p, CAPP_EUNSUPPORTED, p->at->text, "of a macro is not supported");
    capp_jnode *node = capp_jp_node(p, CAPP_JN_NAME);
    capp_str word = capp_jp_expect_name(p);
    if (node) node->name = word;
    return node;
}

static capp_jnode *primary(capp_jparser *p) {
    if (p->status != CAPP_OK) return NULL;
    switch (p->at->kind) {
    case CAPP_JT_NAME: return capp_jp_name(p);
    case CAPP_JT_STRING: return string(p);
    case CAPP_JT_INT:
    case CAPP_JT_FLOAT: return number(p);
    default: break;
    }
    if (capp_jp_op(p, "[")) return list(p);
    if (capp_jp_op(p, "{")) return dict(p);
    if (!capp_jp_skip_op(p, "(")) return capp_jp_fail(p, CAPP_EFORMAT, p->at->text, "is no expression");
    capp_jnode *node = capp_jp_tuple(p, true, ")");
    capp_jp_expect_op(p, ")");
    return node;
}

/* ---- What follows a value ---------------------------------------------------------------------------------------- */

static capp_jnode *arguments(capp_jparser *p) {
    capp_jchain items = {NULL, NULL};
    capp_jp_expect_op(p, "(");
    bool named = false;
    while (p->status == CAPP_OK && !capp_jp_op(p, ")")) {
        if (items.first) capp_jp_expect_op(p, ",");
        if (capp_jp_op(p, ")")) break;
        if (capp_jp_op(p, "*") || capp_jp_op(p, "**"))
            return capp_jp_fail(p, CAPP_EUNSUPPORTED, p->at->text, "before an argument is not supported");
        const capp_jtoken *after = p->at + (p->at->kind != CAPP_JT_END);
        bool keyword = p->at->kind == CAPP_JT_NAME && after->kind == CAPP_JT_OPERATOR && after->text.size == 1 &&
                       after->text.data[0] == '=';
        if (named && !keyword)
            return capp_jp_fail(p, CAPP_EFORMAT, (capp_str){NULL, 0},
                                "an argument without name behind one with a name");
        named = keyword;
        capp_str word = keyword ? capp_jp_expect_name(p) : (capp_str){NULL, 0};
        if (keyword) capp_jp_expect_op(p, "=");
        capp_jnode *value = capp_jp_expression(p);
        if (keyword && (value = capp_jp_node_a(p, CAPP_JN_KEYWORD, value))) value->name = word;
        capp_jp_add(&items, value);
    }
    capp_jp_expect_op(p, ")");
    return items.first;
}

/* Between brackets: an index, or parts of a slice. */
static capp_jnode *subscript(capp_jparser *p, capp_jnode *of) {
    capp_jnode *parts[3] = {NULL, NULL, NULL};
    size_t n = 0;
    bool slice = false;
    capp_jp_expect_op(p, "[");
    for (;;) {
        if (!capp_jp_op(p, ":") && !capp_jp_op(p, "]"))
            parts[n] = slice ? capp_jp_expression(p) : capp_jp_tuple(p, true, ":");
        if (p->status != CAPP_OK || capp_jp_op(p, "]") || n == 2) break;
        capp_jp_expect_op(p, ":");
        slice = true;
        n++;
    }
    capp_jp_expect_op(p, "]");
    if (!slice && !parts[0]) parts[0] = capp_jp_list(p, CAPP_JN_TUPLE, NULL); /* as jinja2 takes it */
    capp_jnode *node = with_ab(p, slice ? CAPP_JN_SLICE : CAPP_JN_ITEM, 0, of, parts[0]);
    if (node && slice) {
        node->c = parts[1];
        node->other = parts[2];
    }
    return node;
}

static capp_jnode *call(capp_jparser *p, capp_jnode *of) {
    capp_jnode *node = capp_jp_node_a(p, CAPP_JN_CALL, of);
    capp_jnode *args = arguments(p);
    if (node) node->body = args;
    return node;
}

capp_jnode *capp_jp_attribute(capp_jparser *p, capp_jnode *of) {
    capp_jp_next(p);
    if (p->at->kind == CAPP_JT_INT) return with_ab(p, CAPP_JN_ITEM, 0, of, number(p));
    capp_jnode *node = capp_jp_node_a(p, CAPP_JN_ATTR, of);
    capp_str word = capp_jp_expect_name(p);
    if (node) node->name = word;
    return node;
}

static capp_jnode *postfix(capp_jparser *p, capp_jnode *node) {
    while (p->status == CAPP_OK) {
        if (capp_jp_op(p, "."))
            node = capp_jp_attribute(p, node);
        else if (capp_jp_op(p, "["))
            node = subscript(p, node);
        else if (capp_jp_op(p, "("))
            node = call(p, node);
        else
            break;
    }
    return node;
}

capp_jnode *capp_jp_filter(capp_jparser *p, capp_jnode *of) {
    capp_jnode *node = capp_jp_node_a(p, CAPP_JN_FILTER, of);
    capp_str word = capp_jp_expect_name(p);
    capp_jnode *args = capp_jp_op(p, "(") ? arguments(p) : NULL;
    if (!node) return NULL;
    node->name = word;
    node->body = args;
    return node;
}

static bool begins_argument(const capp_jparser *p) {
    capp_jtoken_kind kind = p->at->kind;
    if (capp_jp_word(p, "else") || capp_jp_word(p, "or") || capp_jp_word(p, "and")) return false;
    return kind == CAPP_JT_NAME || kind == CAPP_JT_STRING || kind == CAPP_JT_INT || kind == CAPP_JT_FLOAT ||
           capp_jp_op(p, "[") || capp_jp_op(p, "{");
}

static capp_jnode *check(capp_jparser *p, capp_jnode *of) {
    bool negated = capp_jp_skip_word(p, "not");
    capp_jnode *node = capp_jp_node_a(p, CAPP_JN_TEST, of), *args = NULL;
    capp_str word = capp_jp_expect_name(p);
    if (capp_jp_op(p, "(")) {
        args = arguments(p);
    } else if (p->status == CAPP_OK && begins_argument(p)) {
        if (capp_jp_word(p, "is")) return capp_jp_fail(p, CAPP_EFORMAT, p->at->text, "behind a test");
        args = postfix(p, primary(p));
    }
    if (!node) return NULL;
    node->name = word;
    node->body = args;
    return negated ? capp_jp_node_a(p, CAPP_JN_NOT, node) : node;
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

static capp_jnode *unary_inside(capp_jparser *p, bool filters) {
    capp_jnode *node;
    if (capp_jp_op(p, "-") || capp_jp_op(p, "+")) {
        int op = (unsigned char)p->at->text.data[0];
        capp_jp_next(p);
        node = with_ab(p, CAPP_JN_SIGN, op, unary(p, false), NULL);
    } else {
        node = primary(p);
    }
    node = postfix(p, node);
    while (filters && p->status == CAPP_OK) {
        if (capp_jp_skip_op(p, "|"))
            node = capp_jp_filter(p, node);
        else if (capp_jp_skip_word(p, "is"))
            node = check(p, node);
        else if (capp_jp_op(p, "("))
            node = call(p, node);
        else
            break;
    }
    return node;
}

static capp_jnode *unary(capp_jparser *p, bool filters) {
    capp_jnode *node = capp_jp_deeper(p) ? unary_inside(p, filters) : NULL;
    p->depth--;
    return node;
}

typedef struct level {
    const char *text;
    int op;
} level;

/* Operators that bind alike, weakest levels first; at the end of the levels come signs. */
static const level levels[][5] = {
    {{"+", '+'}, {"-", '-'}, {NULL, 0}},
    {{"~", '~'}, {NULL, 0}},
    {{"*", '*'}, {"/", '/'}, {"//", CAPP_JO_FLOOR}, {"%", '%'}, {NULL, 0}},
    {{"**", CAPP_JO_POWER}, {NULL, 0}},
};
enum { N_LEVELS = sizeof levels / sizeof levels[0] };

static capp_jnode *arithmetic(capp_jparser *p, size_t at) {
    if (at == N_LEVELS) return unary(p, true);
    capp_jnode *left = arithmetic(p, at + 1);
    while (p->status == CAPP_OK) {
        const level *row = levels[at];
        while (row->text && !capp_jp_op(p, row->text)) row++;
        if (!row->text) break;
        capp_jp_next(p);
        left = with_ab(p, CAPP_JN_BINARY, row->op, left, arithmetic(p, at + 1));
    }
    return left;
}

/* The comparison at hand, which is skipped; 0: none. */
static int comparison_op(capp_jparser *p) {
    static const level rows[] = {{"==", CAPP_JO_EQ}, {"!=", CAPP_JO_NE}, {"<=", CAPP_JO_LE},
                                 {">=", CAPP_JO_GE}, {"<", '<'},         {">", '>'}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (capp_jp_skip_op(p, rows[i].text)) return rows[i].op;
    if (capp_jp_skip_word(p, "in")) return CAPP_JO_IN;
    if (!capp_jp_word(p, "not") || p->at[1].kind != CAPP_JT_NAME || p->at[1].text.size != 2 ||
        memcmp(p->at[1].text.data, "in", 2) != 0)
        return 0;
    p->at += 2;
    return CAPP_JO_NOT_IN;
}

static capp_jnode *comparison(capp_jparser *p) {
    capp_jnode *left = arithmetic(p, 0);
    capp_jchain operands = {NULL, NULL};
    for (int op; p->status == CAPP_OK && (op = comparison_op(p));)
        capp_jp_add(&operands, with_ab(p, CAPP_JN_OPERAND, op, arithmetic(p, 0), NULL));
    if (!operands.first) return left;
    capp_jnode *node = capp_jp_node_a(p, CAPP_JN_COMPARE, left);
    if (node) node->body = operands.first;
    return node;
}

static capp_jnode *negation(capp_jparser *p) {
    int nots = 0;
    while (capp_jp_skip_word(p, "not")) nots++;
    capp_jnode *node = comparison(p);
    if (nots) node = capp_jp_node_a(p, CAPP_JN_NOT, node);
    if (nots && nots % 2 == 0) node = capp_jp_node_a(p, CAPP_JN_NOT, node);
    return node;
}

static capp_jnode *conjunction(capp_jparser *p) {
    capp_jnode *left = negation(p);
    while (capp_jp_skip_word(p, "and")) left = with_ab(p, CAPP_JN_AND, 0, left, negation(p));
    return left;
}

static capp_jnode *disjunction(capp_jparser *p) {
    capp_jnode *left = conjunction(p);
    while (capp_jp_skip_word(p, "or")) left = with_ab(p, CAPP_JN_OR, 0, left, conjunction(p));
    return left;
}

static capp_jnode *condition(capp_jparser *p) {
    capp_jnode *node = disjunction(p);
    while (capp_jp_skip_word(p, "if")) {
        capp_jnode *test = disjunction(p), *other = capp_jp_skip_word(p, "else") ? capp_jp_expression(p) : NULL;
        node = with_ab(p, CAPP_JN_COND, 0, test, node);
        if (node) node->c = other;
    }
    return node;
}

capp_jnode *capp_jp_expression(capp_jparser *p) {
    capp_jnode *node = capp_jp_deeper(p) ? condition(p) : NULL;
    p->depth--;
    return node;
}

capp_jnode *capp_jp_tuple(capp_jparser *p, bool conditions, const char *end) {
    capp_jchain items = {NULL, NULL};
    bool comma = false, closed = end && !strcmp(end, ")");
    while (p->status == CAPP_OK) {
        capp_jtoken_kind kind = p->at->kind;
        if (kind == CAPP_JT_PRINT_END || kind == CAPP_JT_BLOCK_END || capp_jp_op(p, ")")) break;
        if (end && (capp_jp_op(p, end) || capp_jp_word(p, end))) break;
        capp_jp_add(&items, conditions ? capp_jp_expression(p) : disjunction(p));
        if (!capp_jp_skip_op(p, ",")) break;
        comma = true;
    }
    if (!items.first && !closed) return capp_jp_fail(p, CAPP_EFORMAT, p->at->text, "is no expression");
    if (items.first && !comma) return items.first;
    return capp_jp_list(p, CAPP_JN_TUPLE, items.first);
}
