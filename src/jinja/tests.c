#include "jinja/tests.h"

#include <math.h>

#include "jinja/characters.h"
#include "jinja/strings.h"
#include "jinja/text.h"

typedef enum test_id {
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
    FILTER, /* tests after this one have an argument */
    DIVISIBLE,
    EQUAL,
    UNEQUAL,
    LESS,
    GREATER,
    LESS_EQUAL,
    GREATER_EQUAL,
    IN,
    SAME
} test_id;

static const struct {
    const char *name;
    test_id id;
} tests[] = {
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

/* Whether v % by == rest, by Python's rule: the remainder has the sign of `by`. If rest is not 0, `by` is above 0. */
static bool divides(capp_jinja_run *run, capp_jinja_value v, capp_jinja_value by, int64_t rest) {
    int64_t value, divisor;
    bool numbers = capp_jinja_is_number(v) && capp_jinja_is_number(by);
    if (!numbers || capp_jinja_get_number(by) == 0) {
        if (numbers)
            capp_jinja_fail(run, CAPP_EINVAL, "division by zero");
        else
            capp_jinja_fail_kind(run, "a division needs numbers, not", capp_jinja_is_number(v) ? by : v);
        return false;
    }
    if (!capp_jinja_get_integer(v, &value) || !capp_jinja_get_integer(by, &divisor)) {
        double left = fmod(capp_jinja_get_number(v), capp_jinja_get_number(by));
        return (left < 0 && rest ? left + capp_jinja_get_number(by) : left) == (double)rest;
    }
    int64_t left = divisor == -1 ? 0 : value % divisor;
    return (left < 0 && rest ? left + divisor : left) == rest;
}

static bool same_as(capp_jinja_run *run, capp_jinja_value a, capp_jinja_value b) {
    bool plain = a.kind == CAPP_JINJA_BOOLEAN || a.kind == CAPP_JINJA_NONE;
    if (plain || a.kind != b.kind) return a.kind == b.kind && (a.kind == CAPP_JINJA_NONE || a.truth == b.truth);
    capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the test 'sameas' is supported for booleans and none only");
    return false;
}

static bool with_argument(capp_jinja_run *run, test_id id, capp_jinja_value v, capp_jinja_value other) {
    switch (id) {
    case DIVISIBLE: return divides(run, v, other, 0);
    case EQUAL: return capp_jinja_equal(run, v, other);
    case UNEQUAL: return !capp_jinja_equal(run, v, other);
    case LESS: return capp_jinja_compare(run, v, other, "<") < 0;
    case GREATER: return capp_jinja_compare(run, v, other, ">") > 0;
    case LESS_EQUAL: return capp_jinja_compare(run, v, other, "<=") <= 0;
    case GREATER_EQUAL: return capp_jinja_compare(run, v, other, ">=") >= 0;
    case IN: return capp_jinja_contains(run, other, v);
    default: return same_as(run, v, other);
    }
}

static bool alone(capp_jinja_run *run, test_id id, capp_jinja_value v) {
    bool list = v.kind == CAPP_JINJA_LIST || v.kind == CAPP_JINJA_TUPLE, text = v.kind == CAPP_JINJA_STRING;
    switch (id) {
    case DEFINED: return v.kind != CAPP_JINJA_UNDEFINED;
    case UNDEFINED: return v.kind == CAPP_JINJA_UNDEFINED;
    case NONE: return v.kind == CAPP_JINJA_NONE;
    case BOOLEAN: return v.kind == CAPP_JINJA_BOOLEAN;
    case TRUTH: return v.kind == CAPP_JINJA_BOOLEAN && v.truth;
    case FALSEHOOD: return v.kind == CAPP_JINJA_BOOLEAN && !v.truth;
    case INTEGER: return v.kind == CAPP_JINJA_INTEGER;
    case FLOAT: return v.kind == CAPP_JINJA_FLOAT;
    case NUMBER: return capp_jinja_is_number(v);
    case STRING: return text;
    case MAPPING: return v.kind == CAPP_JINJA_DICT;
    case SEQUENCE: return text || list || v.kind == CAPP_JINJA_DICT || v.kind == CAPP_JINJA_UNDEFINED;
    case ITERABLE:
        return text || capp_jinja_has_list(v) || v.kind == CAPP_JINJA_DICT || v.kind == CAPP_JINJA_UNDEFINED ||
               v.kind == CAPP_JINJA_LOOP;
    case CALLABLE: return v.kind >= CAPP_JINJA_LOOP || v.kind == CAPP_JINJA_UNDEFINED;
    case LOWER:
    case UPPER: return capp_jinja_has_case(capp_jinja_to_text(run, v), id == UPPER);
    case ODD: return divides(run, v, capp_jinja_integer(2), 1);
    default: return divides(run, v, capp_jinja_integer(2), 0);
    }
}

bool capp_jinja_apply_test(capp_jinja_run *run, capp_str name, capp_jinja_value input,
                           const capp_jinja_arguments *arguments) {
    size_t row = 0, n = sizeof tests / sizeof tests[0];
    if (run->status != CAPP_OK) return false;
    while (row < n && !capp_jinja_name_is(name, tests[row].name)) row++;
    if (row == n) {
        capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the test '%.*s' is not supported", capp_jinja_shown_bytes(name, 60),
                        name.data);
        return false;
    }
    bool other = tests[row].id > FILTER;
    if (arguments->n + arguments->n_named != other) {
        capp_jinja_fail(run, CAPP_EINVAL, "the test '%s' takes %s", tests[row].name,
                        other ? "one argument" : "no arguments");
        return false;
    }
    return other ? with_argument(run, tests[row].id, input, arguments->values[0]) : alone(run, tests[row].id, input);
}
