#include "jinja/operators.h"
#include "base/math.h"

#include <math.h>

#include "jinja/text.h"

static const char *op_name(int op, char buffer[2]) {
    static const char *const names[] = {"==", "!=", "<=", ">=", "//", "**", "in", "not in"};
    buffer[0] = (char)op;
    buffer[1] = 0;
    return op < CAPP_JINJA_OP_EQUAL ? buffer : names[op - CAPP_JINJA_OP_EQUAL];
}

static capp_jinja_value bad_operands(capp_jinja_run *run, int op, capp_jinja_value a, capp_jinja_value b) {
    char buffer[2];
    bool format = op == '%' && a.kind == CAPP_JINJA_STRING;
    if (a.kind == CAPP_JINJA_UNDEFINED) return capp_jinja_fail_undefined(run, a);
    if (b.kind == CAPP_JINJA_UNDEFINED && !format) return capp_jinja_fail_undefined(run, b);
    return capp_jinja_fail(run, format ? CAPP_EUNSUPPORTED : CAPP_EINVAL,
                           "operator '%s' is not supported between %s and %s", op_name(op, buffer),
                           capp_jinja_kind_name(a), capp_jinja_kind_name(b));
}

static capp_jinja_value too_large(capp_jinja_run *run) {
    return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the result does not fit 64 bits");
}

static capp_jinja_value power(capp_jinja_run *run, int64_t base, int64_t exponent) {
    int64_t value = 1;
    if (exponent < 0)
        return base ? capp_jinja_float(capp_pow((double)base, (double)exponent))
                    : capp_jinja_fail(run, CAPP_EINVAL, "0 cannot be raised to a negative power");
    for (int64_t i = 0; i < exponent && value != 0; i++) {
        if (__builtin_mul_overflow(value, base, &value)) return too_large(run);
        if (base == 1 || (base == -1 && i > 1)) return capp_jinja_integer(base == 1 || exponent % 2 == 0 ? 1 : -1);
    }
    return capp_jinja_integer(value);
}

static capp_jinja_value integers(capp_jinja_run *run, int op, int64_t a, int64_t b) {
    int64_t value;
    if ((op == '/' || op == CAPP_JINJA_OP_FLOOR || op == '%') && !b)
        return capp_jinja_fail(run, CAPP_EINVAL, "division by zero");
    switch (op) {
    case '+': return __builtin_add_overflow(a, b, &value) ? too_large(run) : capp_jinja_integer(value);
    case '-': return __builtin_sub_overflow(a, b, &value) ? too_large(run) : capp_jinja_integer(value);
    case '*': return __builtin_mul_overflow(a, b, &value) ? too_large(run) : capp_jinja_integer(value);
    case '/': return capp_jinja_float((double)a / (double)b);
    case CAPP_JINJA_OP_POWER: return power(run, a, b);
    default: break;
    }
    if (b == -1) return op == '%' ? capp_jinja_integer(0) : integers(run, '-', 0, a);
    bool down = a % b && (a < 0) != (b < 0); /* Python rounds down */
    return capp_jinja_integer(op == '%' ? a % b + (down ? b : 0) : a / b - down);
}

static capp_jinja_value reals(capp_jinja_run *run, int op, double a, double b) {
    if ((op == '/' || op == CAPP_JINJA_OP_FLOOR || op == '%') && b == 0)
        return capp_jinja_fail(run, CAPP_EINVAL, "division by zero");
    double rest = fmod(a, b), whole = (a - rest) / b;
    switch (op) {
    case '+': return capp_jinja_float(a + b);
    case '-': return capp_jinja_float(a - b);
    case '*': return capp_jinja_float(a * b);
    case '/': return capp_jinja_float(a / b);
    case CAPP_JINJA_OP_POWER: return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "powers of floats are not supported");
    default: break;
    }
    if (rest != 0 && (b < 0) != (rest < 0)) {
        rest += b;
        whole -= 1;
    }
    if (rest == 0) rest = copysign(0, b);
    return capp_jinja_float(op == '%'    ? rest
                            : whole != 0 ? floor(whole) + (whole - floor(whole) > 0.5)
                                         : copysign(0, a / b));
}

static capp_jinja_value repeat(capp_jinja_run *run, capp_jinja_value sequence, int64_t times) {
    if (sequence.kind == CAPP_JINJA_STRING) {
        capp_jinja_buffer b = {0};
        for (; times > 0 && sequence.string->size && run->status == CAPP_OK; times--)
            capp_jinja_append_string(run, &b, sequence.string);
        return capp_jinja_buffer_to_string(run, &b);
    }
    capp_jinja_value out = capp_jinja_list_new(run, sequence.kind, 0);
    for (; times > 0 && sequence.list->n && run->status == CAPP_OK; times--)
        for (size_t i = 0; i < sequence.list->n && run->status == CAPP_OK; i++)
            capp_jinja_list_append(run, out, sequence.list->items[i]);
    return out;
}

static bool is_sequence(capp_jinja_value v) {
    return v.kind == CAPP_JINJA_STRING || v.kind == CAPP_JINJA_LIST || v.kind == CAPP_JINJA_TUPLE;
}

static capp_jinja_value joined(capp_jinja_run *run, capp_jinja_value a, capp_jinja_value b) {
    if (a.kind == CAPP_JINJA_STRING) {
        capp_jinja_buffer text = {0};
        capp_jinja_append_string(run, &text, a.string);
        capp_jinja_append_string(run, &text, b.string);
        return capp_jinja_buffer_to_string(run, &text);
    }
    capp_jinja_value out = capp_jinja_list_new(run, a.kind, a.list->n + b.list->n);
    for (size_t i = 0; i < a.list->n && run->status == CAPP_OK; i++) capp_jinja_list_append(run, out, a.list->items[i]);
    for (size_t i = 0; i < b.list->n && run->status == CAPP_OK; i++) capp_jinja_list_append(run, out, b.list->items[i]);
    return out;
}

capp_jinja_value capp_jinja_compute(capp_jinja_run *run, int op, capp_jinja_value left, capp_jinja_value right) {
    int64_t i, j;
    if (op == '~') {
        capp_jinja_buffer text = {0};
        capp_jinja_append_string(run, &text, capp_jinja_to_text(run, left));
        capp_jinja_append_string(run, &text, capp_jinja_to_text(run, right));
        return capp_jinja_buffer_to_string(run, &text);
    }
    bool left_whole = capp_jinja_get_integer(left, &i), right_whole = capp_jinja_get_integer(right, &j);
    if (left_whole && right_whole) return integers(run, op, i, j);
    if (capp_jinja_is_number(left) && capp_jinja_is_number(right))
        return reals(run, op, capp_jinja_get_number(left), capp_jinja_get_number(right));
    if (op == '+' && left.kind == right.kind && is_sequence(left)) return joined(run, left, right);
    if (op == '*' && is_sequence(left) && right_whole) return repeat(run, left, j);
    if (op == '*' && is_sequence(right) && left_whole) return repeat(run, right, i);
    return bad_operands(run, op, left, right);
}

bool capp_jinja_compare_by(capp_jinja_run *run, int op, capp_jinja_value left, capp_jinja_value right) {
    char buffer[2];
    if (run->status != CAPP_OK) return false;
    switch (op) {
    case CAPP_JINJA_OP_EQUAL: return capp_jinja_equal(run, left, right);
    case CAPP_JINJA_OP_NOT_EQUAL: return !capp_jinja_equal(run, left, right);
    case CAPP_JINJA_OP_IN: return capp_jinja_contains(run, right, left);
    case CAPP_JINJA_OP_NOT_IN: return !capp_jinja_contains(run, right, left);
    default: break;
    }
    int order = capp_jinja_compare(run, left, right, op_name(op, buffer));
    return op == '<' ? order < 0 : op == '>' ? order > 0 : op == CAPP_JINJA_OP_LESS_EQUAL ? order <= 0 : order >= 0;
}

capp_jinja_value capp_jinja_apply_sign(capp_jinja_run *run, int sign, capp_jinja_value value) {
    int64_t i;
    if (capp_jinja_get_integer(value, &i)) return sign == '-' ? integers(run, '-', 0, i) : capp_jinja_integer(i);
    if (value.kind == CAPP_JINJA_FLOAT) return capp_jinja_float(sign == '-' ? -value.number : value.number);
    return capp_jinja_fail_kind(run, "a sign needs a number, not", value);
}
