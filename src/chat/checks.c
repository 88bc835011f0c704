/* Tests, value is name, and the functions that templates are given. */
#define _GNU_SOURCE
#include <locale.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "chat/value.h"

static const capp_jval nothing = {.kind = CAPP_J_UNDEFINED};

static bool is_name(capp_str name, const char *text) {
    return name.size == strlen(text) && !memcmp(name.data, text, name.size);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

enum check {
    DEFINED,
    UNDEFINED,
    NONE,
    BOOLEAN,
    TRUTH,
    FALSEHOOD,
    INTEGER,
    FLOAT,
    NUMBER,
    STRING,
    MAPPING,
    SEQUENCE,
    ITERABLE,
    CALLABLE,
    LOWER,
    UPPER,
    ODD,
    EVEN,
    FILTER, /* from here on with an argument */
    DIVISIBLE,
    EQUAL,
    UNEQUAL,
    LESS,
    GREATER,
    LESS_EQUAL,
    GREATER_EQUAL,
    IN,
    SAME
};

static const struct {
    const char *name;
    enum check check;
} checks[] = {
    {"defined", DEFINED},
    {"undefined", UNDEFINED},
    {"none", NONE},
    {"boolean", BOOLEAN},
    {"true", TRUTH},
    {"false", FALSEHOOD},
    {"integer", INTEGER},
    {"float", FLOAT},
    {"number", NUMBER},
    {"string", STRING},
    {"mapping", MAPPING},
    {"sequence", SEQUENCE},
    {"iterable", ITERABLE},
    {"callable", CALLABLE},
    {"lower", LOWER},
    {"upper", UPPER},
    {"odd", ODD},
    {"even", EVEN},
    {"divisibleby", DIVISIBLE},
    {"eq", EQUAL},
    {"equalto", EQUAL},
    {"==", EQUAL},
    {"ne", UNEQUAL},
    {"!=", UNEQUAL},
    {"lt", LESS},
    {"<", LESS},
    {"lessthan", LESS},
    {"gt", GREATER},
    {">", GREATER},
    {"greaterthan", GREATER},
    {"le", LESS_EQUAL},
    {"<=", LESS_EQUAL},
    {"ge", GREATER_EQUAL},
    {">=", GREATER_EQUAL},
    {"in", IN},
    {"sameas", SAME},
};

/* v % by == rest, as Python takes the remainder: its sign is that of by, which is above 0 where rest is not 0. */
static bool divides(capp_jrun *r, capp_jval v, capp_jval by, int64_t rest) {
    int64_t value, divisor;
    bool numbers = capp_jis_number(v) && capp_jis_number(by);
    if (!numbers || capp_jnumber(by) == 0) {
        if (numbers)
            capp_jfail(r, CAPP_EINVAL, "division by zero");
        else
            capp_jfail_kind(r, "a remainder of", capp_jis_number(v) ? by : v);
        return false;
    }
    if (!capp_jinteger(v, &value) || !capp_jinteger(by, &divisor)) {
        double left = fmod(capp_jnumber(v), capp_jnumber(by));
        return (left < 0 && rest ? left + capp_jnumber(by) : left) == (double)rest;
    }
    int64_t left = divisor == -1 ? 0 : value % divisor;
    return (left < 0 && rest ? left + divisor : left) == rest;
}

static bool same_as(capp_jrun *r, capp_jval a, capp_jval b) {
    bool plain = a.kind == CAPP_J_BOOL || a.kind == CAPP_J_NONE;
    if (plain || a.kind != b.kind) return a.kind == b.kind && (a.kind == CAPP_J_NONE || a.of.truth == b.of.truth);
    capp_jfail(r, CAPP_EUNSUPPORTED, "the test 'sameas' is supported for booleans and none");
    return false;
}

static bool with_argument(capp_jrun *r, enum check which, capp_jval v, capp_jval other) {
    switch (which) {
    case DIVISIBLE: return divides(r, v, other, 0);
    case EQUAL: return capp_jequal(r, v, other);
    case UNEQUAL: return !capp_jequal(r, v, other);
    case LESS: return capp_jcompare(r, v, other, "<") < 0;
    case GREATER: return capp_jcompare(r, v, other, ">") > 0;
    case LESS_EQUAL: return capp_jcompare(r, v, other, "<=") <= 0;
    case GREATER_EQUAL: return capp_jcompare(r, v, other, ">=") >= 0;
    case IN: return capp_jcontains(r, other, v);
    default: return same_as(r, v, other);
    }
}

static bool alone(capp_jrun *r, enum check which, capp_jval v) {
    bool list = v.kind == CAPP_J_LIST || v.kind == CAPP_J_TUPLE, text = v.kind == CAPP_J_STR;
    switch (which) {
    case DEFINED: return v.kind != CAPP_J_UNDEFINED;
    case UNDEFINED: return v.kind == CAPP_J_UNDEFINED;
    case NONE: return v.kind == CAPP_J_NONE;
    case BOOLEAN: return v.kind == CAPP_J_BOOL;
    case TRUTH: return v.kind == CAPP_J_BOOL && v.of.truth;
    case FALSEHOOD: return v.kind == CAPP_J_BOOL && !v.of.truth;
    case INTEGER: return v.kind == CAPP_J_INT;
    case FLOAT: return v.kind == CAPP_J_FLOAT;
    case NUMBER: return capp_jis_number(v);
    case STRING: return text;
    case MAPPING: return v.kind == CAPP_J_DICT;
    case SEQUENCE: return text || list || v.kind == CAPP_J_DICT || v.kind == CAPP_J_UNDEFINED;
    case ITERABLE:
        return text || capp_jis_list(v) || v.kind == CAPP_J_DICT || v.kind == CAPP_J_UNDEFINED || v.kind == CAPP_J_LOOP;
    case CALLABLE: return v.kind >= CAPP_J_LOOP || v.kind == CAPP_J_UNDEFINED;
    case LOWER:
    case UPPER: return capp_jis_case(capp_jtext(r, v), which == UPPER);
    case ODD: return divides(r, v, capp_jint(2), 1);
    default: return divides(r, v, capp_jint(2), 0);
    }
}

bool capp_jcheck(capp_jrun *r, capp_str name, capp_jval input, const capp_jargs *args) {
    size_t row = 0, n = sizeof checks / sizeof checks[0];
    if (r->status != CAPP_OK) return false;
    while (row < n && !is_name(name, checks[row].name)) row++;
    if (row == n) {
        capp_jfail(r, CAPP_EUNSUPPORTED, "the test '%.*s' is not supported", capp_jshown(name, 60), name.data);
        return false;
    }
    bool other = checks[row].check > FILTER;
    if (args->n + args->n_named != other) {
        capp_jfail(r, CAPP_EINVAL, "the test '%s' needs %s argument", checks[row].name, other ? "one" : "no");
        return false;
    }
    return other ? with_argument(r, checks[row].check, input, args->at[0]) : alone(r, checks[row].check, input);
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

enum function { RAISE, NOW, RANGE, NAMESPACE, DICT, OTHER };

static const struct {
    const char *name;
    enum function function;
} functions[] = {
    {"raise_exception", RAISE}, {"strftime_now", NOW}, {"range", RANGE},  {"namespace", NAMESPACE}, {"dict", DICT},
    {"lipsum", OTHER},          {"cycler", OTHER},     {"joiner", OTHER},
};

capp_jval capp_jglobal(capp_jrun *r, capp_str name) {
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (is_name(name, functions[i].name)) return (capp_jval){.kind = CAPP_J_GLOBAL, .function = (int)i};
    return capp_jundefined(r, name);
}

/* What a template has to say, in its own words. */
static capp_jval raise_exception(capp_jrun *r, const capp_jargs *args) {
    const capp_jstr *s = args->n ? capp_jtext(r, args->at[0]) : NULL;
    return capp_jfail(r, CAPP_EINVAL, "the template refuses: %.*s",
                      s ? capp_jshown((capp_str){s->text, s->size}, 600) : 0, s ? s->text : "");
}

static capp_jval strftime_now(capp_jrun *r, const capp_jargs *args) {
    char format[200], text[1000];
    time_t now = (time_t)r->now;
    struct tm local;
    if (args->n != 1 || args->at[0].kind != CAPP_J_STR || args->at[0].of.str->size >= sizeof format)
        return capp_jfail(r, CAPP_EINVAL, "strftime_now needs a format");
    const capp_jstr *s = args->at[0].of.str;
    if (memchr(s->text, 0, s->size) || !localtime_r(&now, &local))
        return capp_jfail(r, CAPP_EINVAL, "strftime_now: a format or a time that cannot be");
    if (s->size) memcpy(format, s->text, s->size);
    format[s->size] = 0;
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* names of months in English, as Python's */
    size_t n = plain ? strftime_l(text, sizeof text, format, &local, plain) : 0;
    if (plain) freelocale(plain);
    if (!n && s->size) return capp_jfail(r, CAPP_EUNSUPPORTED, "strftime_now: this format is not supported");
    return capp_jstr_own(r, (capp_str){text, n});
}

static capp_jval range(capp_jrun *r, const capp_jargs *args) {
    int64_t a[3] = {0, 0, 1};
    bool good = args->n >= 1 && args->n <= 3 && !args->n_named;
    for (size_t i = 0; good && i < args->n; i++) good = capp_jinteger(args->at[i], &a[args->n == 1 ? 1 : i]);
    if (!good || !a[2]) return capp_jfail(r, CAPP_EINVAL, "range needs one to three whole numbers, no step of 0");
    capp_jval out = capp_jlist_new(r, CAPP_J_LIST, 0);
    int64_t n = 0; /* jinja2's sandbox has the same limit */
    for (int64_t i = a[0]; r->status == CAPP_OK && (a[2] > 0 ? i < a[1] : i > a[1]); n++) {
        if (n == 100000) return capp_jfail(r, CAPP_EINVAL, "range of more than 100000 numbers");
        capp_jlist_push(r, out, capp_jint(i));
        if (__builtin_add_overflow(i, a[2], &i)) break;
    }
    return out;
}

static capp_jval make_dict(capp_jrun *r, capp_jkind kind, const capp_jargs *args) {
    capp_jval out = capp_jdict_new(r, kind);
    if (args->n > 1 || (args->n && args->at[0].kind != CAPP_J_DICT))
        return capp_jfail(r, CAPP_EUNSUPPORTED, "dict and namespace of other than names and one dict");
    if (args->n) {
        const capp_jdict *from = args->at[0].of.dict;
        for (size_t i = 0; i < from->n && r->status == CAPP_OK; i++)
            capp_jdict_put(r, out, from->keys[i], from->values[i]);
    }
    for (size_t i = 0; i < args->n_named && r->status == CAPP_OK; i++)
        capp_jdict_put(r, out, capp_jstr_own(r, args->names[i]), args->at[args->n + i]);
    return out;
}

capp_jval capp_jglobal_call(capp_jrun *r, int function, const capp_jargs *args) {
    switch (functions[function].function) {
    case RAISE: return raise_exception(r, args);
    case NOW: return strftime_now(r, args);
    case RANGE: return range(r, args);
    case NAMESPACE: return make_dict(r, CAPP_J_NAMESPACE, args);
    case DICT: return make_dict(r, CAPP_J_DICT, args);
    default:
        capp_jfail(r, CAPP_EUNSUPPORTED, "the function '%s' is not supported", functions[function].name);
        return nothing;
    }
}
