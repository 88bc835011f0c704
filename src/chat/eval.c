/* Expressions evaluated, by Python's rules where jinja2 leaves it to Python. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "chat/ast.h"
#include "token/utf8.h"

static const capp_jval nothing = {.kind = CAPP_J_UNDEFINED};

static capp_jval eval(capp_jrun *r, const capp_jnode *node) {
    return capp_jeval(r, node);
}

/* ---- What is undefined ------------------------------------------------------------------------------------------- */

typedef struct shown {
    char text[120];
    size_t n;
} shown;

static void show(shown *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void show(shown *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(s->text + s->n, sizeof s->text - s->n, format, args);
    va_end(args);
    s->n = n >= 0 && (size_t)n < sizeof s->text - s->n ? s->n + (size_t)n : sizeof s->text - 1;
}

static void show_constant(shown *s, capp_jval v) {
    if (v.kind == CAPP_J_STR)
        show(s, "'%.*s'", capp_jshown((capp_str){v.of.str->text, v.of.str->size}, 40), v.of.str->text);
    else if (v.kind == CAPP_J_INT)
        show(s, "%lld", (long long)v.of.integer);
    else
        show(s, "...");
}

/* An expression that has been evaluated, so that it is not too deep; what is no name nor part of one is three points.
 */
static void show_node(shown *s, const capp_jnode *node) {
    switch (node->kind) {
    case CAPP_JN_NAME: show(s, "%.*s", capp_jshown(node->name, 60), node->name.data); return;
    case CAPP_JN_CONST: show_constant(s, node->value); return;
    case CAPP_JN_ATTR:
    case CAPP_JN_FILTER:
        show_node(s, node->a);
        show(s, "%c%.*s", node->kind == CAPP_JN_ATTR ? '.' : '|', capp_jshown(node->name, 60), node->name.data);
        if (node->kind == CAPP_JN_FILTER && node->body) show(s, "(...)");
        return;
    case CAPP_JN_ITEM:
        show_node(s, node->a);
        show(s, "[");
        show_node(s, node->b);
        show(s, "]");
        return;
    case CAPP_JN_SIGN:
        show(s, "%c", (char)node->op);
        show_node(s, node->a);
        return;
    case CAPP_JN_CALL:
        show_node(s, node->a);
        show(s, node->body ? "(...)" : "()");
        return;
    case CAPP_JN_COND: show(s, "... if ... without else"); return;
    default: show(s, "(...)");
    }
}

capp_jval capp_jfail_undefined(capp_jrun *r, capp_jval v) {
    shown s = {.n = 0};
    if (v.function)
        show_node(&s, v.of.node);
    else if (v.of.name)
        show(&s, "%.*s", capp_jshown(*v.of.name, 100), v.of.name->data);
    bool cut = s.n == sizeof s.text - 1;
    return capp_jfail(r, CAPP_EINVAL, "'%.*s%s' is undefined", capp_jshown((capp_str){s.text, s.n}, sizeof s.text - 5),
                      s.text, cut ? "..." : "");
}

capp_jval capp_jfail_kind(capp_jrun *r, const char *what, capp_jval v) {
    if (v.kind == CAPP_J_UNDEFINED && v.of.name) return capp_jfail_undefined(r, v);
    return capp_jfail(r, CAPP_EINVAL, "%s a %s", what, capp_jkind_name(v));
}

/* v, which knows where it is undefined. */
static capp_jval of_node(capp_jval v, const capp_jnode *node) {
    return v.kind == CAPP_J_UNDEFINED ? (capp_jval){.kind = CAPP_J_UNDEFINED, .function = 1, .of.node = node} : v;
}

/* ---- Parts ------------------------------------------------------------------------------------------------------- */

/* The loop's own: index, first and the like. */
static capp_jval loop_attribute(capp_jrun *r, capp_jval of, capp_str name) {
    const capp_jloop *loop = of.of.loop;
    size_t n = loop->items->n, i = loop->index;
    const struct {
        const char *name;
        capp_jval value;
    } facts[] = {
        {"index", capp_jint((int64_t)i + 1)},
        {"index0", capp_jint((int64_t)i)},
        {"revindex", capp_jint((int64_t)(n - i))},
        {"revindex0", capp_jint((int64_t)(n - i) - 1)},
        {"first", capp_jbool(i == 0)},
        {"last", capp_jbool(i + 1 == n)},
        {"length", capp_jint((int64_t)n)},
        {"depth", capp_jint((int64_t)loop->depth)},
        {"depth0", capp_jint((int64_t)loop->depth - 1)},
        {"previtem", i ? loop->items->at[i - 1] : capp_jundefined(r, capp_str_of("loop.previtem"))},
        {"nextitem", i + 1 < n ? loop->items->at[i + 1] : capp_jundefined(r, capp_str_of("loop.nextitem"))},
    };
    for (size_t k = 0; k < sizeof facts / sizeof facts[0]; k++)
        if (name.size == strlen(facts[k].name) && !memcmp(name.data, facts[k].name, name.size)) return facts[k].value;
    return capp_jmethod_of(r, of, name);
}

static capp_jval found_or_undefined(capp_jrun *r, const capp_jval *found, capp_str name) {
    return found ? *found : capp_jundefined(r, name);
}

capp_jval capp_jattribute(capp_jrun *r, capp_jval of, capp_str name) {
    if (r->status != CAPP_OK) return nothing;
    if (name.size > 1 && !memcmp(name.data, "__", 2))
        return capp_jfail(r, CAPP_EINVAL, "the attribute '%.*s' is not safe", capp_jshown(name, 60), name.data);
    switch (of.kind) {
    case CAPP_J_UNDEFINED: return capp_jfail_undefined(r, of);
    case CAPP_J_NAMESPACE: return found_or_undefined(r, capp_jdict_named(of.of.dict, name), name);
    case CAPP_J_LOOP: return loop_attribute(r, of, name);
    case CAPP_J_DICT: {
        capp_jval method = capp_jmethod_of(r, of, name);
        if (method.kind == CAPP_J_METHOD) return method;
        return found_or_undefined(r, capp_jdict_named(of.of.dict, name), name);
    }
    default: return capp_jmethod_of(r, of, name);
    }
}

/* The byte where character i begins, from the end where it is negative; false: there is none. */
static bool character_at(const capp_jstr *s, int64_t i, size_t *at, size_t *size) {
    if (i < 0) i += (int64_t)capp_jcharacters(s);
    if (i < 0) return false;
    for (*at = 0; *at < s->size; *at += *size) {
        *size = capp_utf8_size(s->text + *at);
        if (!i--) return true;
    }
    return false;
}

capp_jval capp_jitem(capp_jrun *r, capp_jval of, capp_jval key) {
    capp_str name = key.kind == CAPP_J_STR ? (capp_str){key.of.str->text, key.of.str->size} : capp_str_of("an item");
    int64_t i;
    size_t at, size;
    bool integer = capp_jinteger(key, &i);
    if (r->status != CAPP_OK) return nothing;
    if (of.kind == CAPP_J_UNDEFINED) return capp_jfail_undefined(r, of);
    if (of.kind == CAPP_J_DICT) {
        const capp_jval *found = capp_jdict_get(r, of.of.dict, key);
        if (found) return *found;
        capp_jval method = key.kind == CAPP_J_STR ? capp_jmethod_of(r, of, name) : nothing;
        return method.kind == CAPP_J_METHOD ? method : capp_jundefined(r, name);
    }
    if (key.kind == CAPP_J_STR) return capp_jattribute(r, of, name);
    if (of.kind == CAPP_J_STR && integer && capp_jwork(r, of.of.str->size / 16) &&
        character_at(of.of.str, i, &at, &size))
        return capp_jpart(r, of.of.str, at, size);
    if ((of.kind == CAPP_J_LIST || of.kind == CAPP_J_TUPLE) && integer) {
        int64_t n = (int64_t)of.of.list->n;
        if (i < 0) i += n;
        if (i >= 0 && i < n) return of.of.list->at[i];
    }
    return capp_jundefined(r, name);
}

/* Python's slice.indices: from, towards and step over n items. False: a bound is no integer, or the step 0. */
static bool slice_bounds(const capp_jval bound[3], int64_t n, int64_t *from, int64_t *to, int64_t *step) {
    int64_t value[3] = {0, 0, 1};
    bool given[3];
    for (int k = 0; k < 3; k++) {
        given[k] = bound[k].kind != CAPP_J_NONE;
        if (given[k] && !capp_jinteger(bound[k], &value[k])) return false;
    }
    *step = value[2];
    if (!*step) return false;
    if (*step < -INT32_MAX) *step = -INT32_MAX;
    if (*step > INT32_MAX) *step = INT32_MAX;
    int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? n - 1 : n;
    for (int k = 0; k < 2; k++) {
        int64_t v = value[k] < 0 ? (value[k] < -n ? -1 - n : value[k]) + n : value[k];
        if (value[k] < 0 && v < low) v = low;
        if (v > high) v = high;
        if (v < low) v = low;
        if (!given[k]) v = (k == 0) == (*step > 0) ? low : high;
        *(k ? to : from) = v;
    }
    return true;
}

static capp_jval slice_list(capp_jrun *r, capp_jval of, const capp_jval bound[3]) {
    int64_t from, to, step;
    if (!slice_bounds(bound, (int64_t)of.of.list->n, &from, &to, &step))
        return capp_jfail(r, CAPP_EINVAL, "the bounds of a slice must be whole numbers, its step not 0");
    capp_jval out = capp_jlist_new(r, of.kind, 0);
    for (; r->status == CAPP_OK && (step > 0 ? from < to : from > to); from += step)
        capp_jlist_push(r, out, of.of.list->at[from]);
    return out;
}

static capp_jval slice(capp_jrun *r, const capp_jnode *node) {
    const capp_jnode *parts[3] = {node->b, node->c, node->other};
    capp_jval bound[3], of = eval(r, node->a);
    for (int k = 0; k < 3; k++) bound[k] = parts[k] ? eval(r, parts[k]) : capp_jnone();
    if (r->status != CAPP_OK) return nothing;
    if (of.kind == CAPP_J_LIST || of.kind == CAPP_J_TUPLE) return slice_list(r, of, bound);
    if (of.kind != CAPP_J_STR) return capp_jfail_kind(r, "a slice of", of);
    capp_jval parted = slice_list(r, capp_jwalk(r, of), bound);
    if (r->status != CAPP_OK || parted.kind != CAPP_J_LIST) return parted;
    capp_jbuffer b = {0};
    for (size_t i = 0; i < parted.of.list->n && r->status == CAPP_OK; i++)
        capp_jput(r, &b, parted.of.list->at[i].of.str);
    return capp_jbuffer_str(r, &b);
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

static bool eval_arguments(capp_jrun *r, const capp_jnode *list, capp_jargs *args) {
    size_t n = 0;
    for (const capp_jnode *a = list; a; a = a->next) n++;
    capp_jval *at = capp_jtake(r, n, sizeof *at);
    capp_str *names = capp_jtake(r, n, sizeof *names);
    if (!at || !names) return false;
    *args = (capp_jargs){.at = at, .names = names};
    for (const capp_jnode *a = list; a && r->status == CAPP_OK; a = a->next) {
        bool named = a->kind == CAPP_JN_KEYWORD;
        at[args->n + args->n_named] = eval(r, named ? a->a : a);
        if (named)
            names[args->n_named++] = a->name;
        else
            args->n++;
    }
    return r->status == CAPP_OK;
}

static capp_jval call(capp_jrun *r, const capp_jnode *node) {
    capp_jargs args;
    capp_jval of = eval(r, node->a);
    if (r->status != CAPP_OK || !eval_arguments(r, node->body, &args)) return nothing;
    r->line = node->line;
    switch (of.kind) {
    case CAPP_J_MACRO: return capp_jmacro_call(r, of.of.macro, &args);
    case CAPP_J_METHOD: return capp_jmethod_call(r, of.of.method, &args);
    case CAPP_J_GLOBAL: return capp_jglobal_call(r, of.function, &args);
    case CAPP_J_UNDEFINED: return capp_jfail_undefined(r, of);
    default: return capp_jfail(r, CAPP_EINVAL, "a %s cannot be called", capp_jkind_name(of));
    }
}

static capp_jval filter(capp_jrun *r, const capp_jnode *node) {
    capp_jargs args;
    capp_jval input = eval(r, node->a);
    if (r->status != CAPP_OK || !eval_arguments(r, node->body, &args)) return nothing;
    r->line = node->line;
    return capp_jfilter(r, node->name, input, &args);
}

static capp_jval check(capp_jrun *r, const capp_jnode *node) {
    capp_jargs args;
    capp_jval input = eval(r, node->a);
    if (r->status != CAPP_OK || !eval_arguments(r, node->body, &args)) return nothing;
    r->line = node->line;
    return capp_jbool(capp_jcheck(r, node->name, input, &args));
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

static const char *op_name(int op, char buffer[2]) {
    static const char *const names[] = {"==", "!=", "<=", ">=", "//", "**", "in", "not in"};
    buffer[0] = (char)op;
    buffer[1] = 0;
    return op < CAPP_JO_EQ ? buffer : names[op - CAPP_JO_EQ];
}

static capp_jval bad_operands(capp_jrun *r, int op, capp_jval a, capp_jval b) {
    char buffer[2];
    bool format = op == '%' && a.kind == CAPP_J_STR;
    if (a.kind == CAPP_J_UNDEFINED) return capp_jfail_undefined(r, a);
    if (b.kind == CAPP_J_UNDEFINED && !format) return capp_jfail_undefined(r, b);
    return capp_jfail(r, format ? CAPP_EUNSUPPORTED : CAPP_EINVAL, "'%s' is not supported between %s and %s",
                      op_name(op, buffer), capp_jkind_name(a), capp_jkind_name(b));
}

static capp_jval too_large(capp_jrun *r) {
    return capp_jfail(r, CAPP_EUNSUPPORTED, "a number is larger than 64 bits");
}

static capp_jval power(capp_jrun *r, int64_t base, int64_t exponent) {
    int64_t value = 1;
    if (exponent < 0)
        return base ? capp_jfloat(capp_pow((double)base, (double)exponent))
                    : capp_jfail(r, CAPP_EINVAL, "0 to a negative power");
    for (int64_t i = 0; i < exponent && value != 0; i++) {
        if (__builtin_mul_overflow(value, base, &value)) return too_large(r);
        if (base == 1 || (base == -1 && i > 1)) return capp_jint(base == 1 || exponent % 2 == 0 ? 1 : -1);
    }
    return capp_jint(value);
}

static capp_jval integers(capp_jrun *r, int op, int64_t a, int64_t b) {
    int64_t value;
    if ((op == '/' || op == CAPP_JO_FLOOR || op == '%') && !b) return capp_jfail(r, CAPP_EINVAL, "division by zero");
    switch (op) {
    case '+': return __builtin_add_overflow(a, b, &value) ? too_large(r) : capp_jint(value);
    case '-': return __builtin_sub_overflow(a, b, &value) ? too_large(r) : capp_jint(value);
    case '*': return __builtin_mul_overflow(a, b, &value) ? too_large(r) : capp_jint(value);
    case '/': return capp_jfloat((double)a / (double)b);
    case CAPP_JO_POWER: return power(r, a, b);
    default: break;
    }
    if (b == -1) return op == '%' ? capp_jint(0) : integers(r, '-', 0, a);
    bool down = a % b && (a < 0) != (b < 0); /* Python rounds down */
    return capp_jint(op == '%' ? a % b + (down ? b : 0) : a / b - down);
}

static capp_jval reals(capp_jrun *r, int op, double a, double b) {
    if ((op == '/' || op == CAPP_JO_FLOOR || op == '%') && b == 0)
        return capp_jfail(r, CAPP_EINVAL, "division by zero");
    double rest = fmod(a, b), whole = (a - rest) / b;
    switch (op) {
    case '+': return capp_jfloat(a + b);
    case '-': return capp_jfloat(a - b);
    case '*': return capp_jfloat(a * b);
    case '/': return capp_jfloat(a / b);
    case CAPP_JO_POWER: return capp_jfail(r, CAPP_EUNSUPPORTED, "powers of floats are not supported");
    default: break;
    }
    if (rest != 0 && (b < 0) != (rest < 0)) {
        rest += b;
        whole -= 1;
    }
    if (rest == 0) rest = copysign(0, b);
    return capp_jfloat(op == '%'    ? rest
                       : whole != 0 ? floor(whole) + (whole - floor(whole) > 0.5)
                                    : copysign(0, a / b));
}

static capp_jval repeat(capp_jrun *r, capp_jval of, int64_t times) {
    if (of.kind == CAPP_J_STR) {
        capp_jbuffer b = {0};
        for (; times > 0 && of.of.str->size && r->status == CAPP_OK; times--) capp_jput(r, &b, of.of.str);
        return capp_jbuffer_str(r, &b);
    }
    capp_jval out = capp_jlist_new(r, of.kind, 0);
    for (; times > 0 && of.of.list->n && r->status == CAPP_OK; times--)
        for (size_t i = 0; i < of.of.list->n && r->status == CAPP_OK; i++) capp_jlist_push(r, out, of.of.list->at[i]);
    return out;
}

static bool is_sequence(capp_jval v) {
    return v.kind == CAPP_J_STR || v.kind == CAPP_J_LIST || v.kind == CAPP_J_TUPLE;
}

static capp_jval joined(capp_jrun *r, capp_jval a, capp_jval b) {
    if (a.kind == CAPP_J_STR) {
        capp_jbuffer text = {0};
        capp_jput(r, &text, a.of.str);
        capp_jput(r, &text, b.of.str);
        return capp_jbuffer_str(r, &text);
    }
    capp_jval out = capp_jlist_new(r, a.kind, a.of.list->n + b.of.list->n);
    for (size_t i = 0; i < a.of.list->n && r->status == CAPP_OK; i++) capp_jlist_push(r, out, a.of.list->at[i]);
    for (size_t i = 0; i < b.of.list->n && r->status == CAPP_OK; i++) capp_jlist_push(r, out, b.of.list->at[i]);
    return out;
}

static capp_jval binary(capp_jrun *r, const capp_jnode *node) {
    capp_jval a = eval(r, node->a), b = eval(r, node->b);
    int64_t i, j;
    if (r->status != CAPP_OK) return nothing;
    r->line = node->line;
    if (node->op == '~') {
        capp_jbuffer text = {0};
        capp_jput(r, &text, capp_jtext(r, a));
        capp_jput(r, &text, capp_jtext(r, b));
        return capp_jbuffer_str(r, &text);
    }
    bool whole_a = capp_jinteger(a, &i), whole_b = capp_jinteger(b, &j);
    if (whole_a && whole_b) return integers(r, node->op, i, j);
    if (capp_jis_number(a) && capp_jis_number(b)) return reals(r, node->op, capp_jnumber(a), capp_jnumber(b));
    if (node->op == '+' && a.kind == b.kind && is_sequence(a)) return joined(r, a, b);
    if (node->op == '*' && is_sequence(a) && whole_b) return repeat(r, a, j);
    if (node->op == '*' && is_sequence(b) && whole_a) return repeat(r, b, i);
    return bad_operands(r, node->op, a, b);
}

static bool compare_two(capp_jrun *r, int op, capp_jval a, capp_jval b) {
    char buffer[2];
    if (r->status != CAPP_OK) return false;
    switch (op) {
    case CAPP_JO_EQ: return capp_jequal(r, a, b);
    case CAPP_JO_NE: return !capp_jequal(r, a, b);
    case CAPP_JO_IN: return capp_jcontains(r, b, a);
    case CAPP_JO_NOT_IN: return !capp_jcontains(r, b, a);
    default: break;
    }
    int order = capp_jcompare(r, a, b, op_name(op, buffer));
    return op == '<' ? order < 0 : op == '>' ? order > 0 : op == CAPP_JO_LE ? order <= 0 : order >= 0;
}

static capp_jval comparison(capp_jrun *r, const capp_jnode *node) {
    capp_jval left = eval(r, node->a);
    bool holds = true;
    for (const capp_jnode *o = node->body; o && holds && r->status == CAPP_OK; o = o->next) {
        capp_jval right = eval(r, o->a);
        r->line = node->line;
        holds = compare_two(r, o->op, left, right);
        left = right;
    }
    return capp_jbool(holds);
}

static capp_jval sign(capp_jrun *r, const capp_jnode *node) {
    capp_jval v = eval(r, node->a);
    int64_t i;
    if (r->status != CAPP_OK) return nothing;
    if (capp_jinteger(v, &i)) return node->op == '-' ? integers(r, '-', 0, i) : capp_jint(i);
    if (v.kind == CAPP_J_FLOAT) return capp_jfloat(node->op == '-' ? -v.of.number : v.of.number);
    return capp_jfail_kind(r, "a sign before", v);
}

/* ---- All --------------------------------------------------------------------------------------------------------- */

static capp_jval list(capp_jrun *r, const capp_jnode *node) {
    capp_jval out = capp_jlist_new(r, node->kind == CAPP_JN_LIST ? CAPP_J_LIST : CAPP_J_TUPLE, 0);
    for (const capp_jnode *item = node->body; item && r->status == CAPP_OK; item = item->next)
        capp_jlist_push(r, out, eval(r, item));
    return out;
}

static capp_jval dict(capp_jrun *r, const capp_jnode *node) {
    capp_jval out = capp_jdict_new(r, CAPP_J_DICT);
    for (const capp_jnode *key = node->body; key && key->next && r->status == CAPP_OK; key = key->next->next) {
        capp_jval k = eval(r, key), v = eval(r, key->next);
        capp_jdict_put(r, out, k, v);
    }
    return out;
}

static capp_jval condition(capp_jrun *r, const capp_jnode *node) {
    bool truth = capp_jtruth(eval(r, node->a));
    if (truth) return eval(r, node->b);
    return node->c ? eval(r, node->c) : of_node(nothing, node);
}

static capp_jval either(capp_jrun *r, const capp_jnode *node) {
    capp_jval left = eval(r, node->a);
    return capp_jtruth(left) == (node->kind == CAPP_JN_OR) ? left : eval(r, node->b);
}

static capp_jval eval_inside(capp_jrun *r, const capp_jnode *node) {
    switch (node->kind) {
    case CAPP_JN_CONST: return node->value;
    case CAPP_JN_HOLE: return r->hole;
    case CAPP_JN_NAME: return capp_jlookup(r, node->name);
    case CAPP_JN_LIST:
    case CAPP_JN_TUPLE: return list(r, node);
    case CAPP_JN_DICT: return dict(r, node);
    case CAPP_JN_COND: return condition(r, node);
    case CAPP_JN_AND:
    case CAPP_JN_OR: return either(r, node);
    case CAPP_JN_NOT: return capp_jbool(!capp_jtruth(eval(r, node->a)));
    case CAPP_JN_COMPARE: return comparison(r, node);
    case CAPP_JN_BINARY: return binary(r, node);
    case CAPP_JN_SIGN: return sign(r, node);
    case CAPP_JN_ATTR: return of_node(capp_jattribute(r, eval(r, node->a), node->name), node);
    case CAPP_JN_ITEM: {
        capp_jval of = eval(r, node->a), key = eval(r, node->b);
        return of_node(capp_jitem(r, of, key), node);
    }
    case CAPP_JN_SLICE: return slice(r, node);
    case CAPP_JN_CALL: return call(r, node);
    case CAPP_JN_FILTER: return of_node(filter(r, node), node);
    case CAPP_JN_TEST: return check(r, node);
    default: return nothing;
    }
}

capp_jval capp_jeval(capp_jrun *r, const capp_jnode *node) {
    if (!capp_jenter(r)) return nothing;
    capp_jval value = eval_inside(r, node);
    capp_jleave(r);
    return r->status == CAPP_OK ? value : nothing;
}
