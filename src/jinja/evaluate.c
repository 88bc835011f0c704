#include "jinja/evaluate.h"

#include "jinja/access.h"
#include "jinja/filters.h"
#include "jinja/functions.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/scope.h"
#include "jinja/tests.h"

static const capp_jinja_value nothing = {.kind = CAPP_JINJA_UNDEFINED};

/* The value. If it is undefined, it gets the node, so that a message can show the expression. */
static capp_jinja_value with_origin(capp_jinja_value value, const capp_jinja_node *node) {
    if (value.kind != CAPP_JINJA_UNDEFINED) return value;
    return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED, .from_node = true, .node = node};
}

static capp_jinja_value evaluate_slice(capp_jinja_run *run, const capp_jinja_node *node) {
    const capp_jinja_node *parts[3] = {node->start, node->stop, node->step};
    capp_jinja_value bounds[3], object = capp_jinja_evaluate(run, node->operand);
    for (int k = 0; k < 3; k++) bounds[k] = parts[k] ? capp_jinja_evaluate(run, parts[k]) : capp_jinja_none();
    return run->status == CAPP_OK ? capp_jinja_get_slice(run, object, bounds) : nothing;
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

static bool evaluate_arguments(capp_jinja_run *run, const capp_jinja_node *list, capp_jinja_arguments *args) {
    size_t n = 0;
    for (const capp_jinja_node *a = list; a; a = a->next) n++;
    capp_jinja_value *values = capp_jinja_allocate(run, n, sizeof *values);
    capp_str *names = capp_jinja_allocate(run, n, sizeof *names);
    if (!values || !names) return false;
    *args = (capp_jinja_arguments){.values = values, .names = names};
    for (const capp_jinja_node *a = list; a && run->status == CAPP_OK; a = a->next) {
        bool named = a->kind == CAPP_JINJA_NODE_KEYWORD;
        values[args->n + args->n_named] = capp_jinja_evaluate(run, named ? a->operand : a);
        if (named)
            names[args->n_named++] = a->name;
        else
            args->n++;
    }
    return run->status == CAPP_OK;
}

static capp_jinja_value evaluate_call(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_arguments args;
    capp_jinja_value callee = capp_jinja_evaluate(run, node->operand);
    if (run->status != CAPP_OK || !evaluate_arguments(run, node->body, &args)) return nothing;
    run->line = node->line;
    switch (callee.kind) {
    /* cppcheck-suppress returnDanglingLifetime */
    case CAPP_JINJA_MACRO: return run->call_macro(run, callee.macro, &args);
    case CAPP_JINJA_METHOD: return capp_jinja_call_method(run, callee.method, &args);
    case CAPP_JINJA_FUNCTION: return capp_jinja_call_function(run, callee.function, &args);
    case CAPP_JINJA_UNDEFINED: return capp_jinja_fail_undefined(run, callee);
    default:
        return capp_jinja_fail(run, CAPP_EINVAL, "a value of type %s cannot be called", capp_jinja_kind_name(callee));
    }
}

static capp_jinja_value evaluate_filter(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_arguments args;
    capp_jinja_value input = capp_jinja_evaluate(run, node->operand);
    if (run->status != CAPP_OK || !evaluate_arguments(run, node->body, &args)) return nothing;
    run->line = node->line;
    return capp_jinja_apply_filter(run, node->name, input, &args);
}

static capp_jinja_value evaluate_test(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_arguments args;
    capp_jinja_value input = capp_jinja_evaluate(run, node->operand);
    if (run->status != CAPP_OK || !evaluate_arguments(run, node->body, &args)) return nothing;
    run->line = node->line;
    return capp_jinja_boolean(capp_jinja_apply_test(run, node->name, input, &args));
}

static capp_jinja_value evaluate_binary(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_value left = capp_jinja_evaluate(run, node->left), right = capp_jinja_evaluate(run, node->right);
    if (run->status != CAPP_OK) return nothing;
    run->line = node->line;
    return capp_jinja_compute(run, node->op, left, right);
}

static capp_jinja_value evaluate_sign(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_value value = capp_jinja_evaluate(run, node->operand);
    return run->status == CAPP_OK ? capp_jinja_apply_sign(run, node->op, value) : nothing;
}

static capp_jinja_value evaluate_comparison(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_value left = capp_jinja_evaluate(run, node->left);
    bool holds = true;
    for (const capp_jinja_node *o = node->body; o && holds && run->status == CAPP_OK; o = o->next) {
        capp_jinja_value right = capp_jinja_evaluate(run, o->operand);
        run->line = node->line;
        holds = capp_jinja_compare_by(run, o->op, left, right);
        left = right;
    }
    return capp_jinja_boolean(holds);
}

/* ---- Others ---------------------------------------------------------------------------------------------------------
 */

/* A variable or, if there is none, a function. */
static capp_jinja_value evaluate_name(capp_jinja_run *run, capp_str name) {
    const capp_jinja_value *variable = capp_jinja_find_variable(run, name);
    return variable ? *variable : capp_jinja_find_function(run, name);
}

static capp_jinja_value evaluate_list(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_value out =
        capp_jinja_list_new(run, node->kind == CAPP_JINJA_NODE_LIST ? CAPP_JINJA_LIST : CAPP_JINJA_TUPLE, 0);
    for (const capp_jinja_node *item = node->body; item && run->status == CAPP_OK; item = item->next)
        capp_jinja_list_append(run, out, capp_jinja_evaluate(run, item));
    return out;
}

static capp_jinja_value evaluate_dict(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_value out = capp_jinja_dict_new(run, CAPP_JINJA_DICT);
    for (const capp_jinja_node *key = node->body; key && key->next && run->status == CAPP_OK; key = key->next->next) {
        capp_jinja_value k = capp_jinja_evaluate(run, key), v = capp_jinja_evaluate(run, key->next);
        capp_jinja_dict_set(run, out, k, v);
    }
    return out;
}

static capp_jinja_value evaluate_conditional(capp_jinja_run *run, const capp_jinja_node *node) {
    if (capp_jinja_is_true(capp_jinja_evaluate(run, node->condition))) return capp_jinja_evaluate(run, node->chosen);
    return node->otherwise ? capp_jinja_evaluate(run, node->otherwise) : with_origin(nothing, node);
}

static capp_jinja_value evaluate_logic(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_value left = capp_jinja_evaluate(run, node->left);
    return capp_jinja_is_true(left) == (node->kind == CAPP_JINJA_NODE_OR) ? left
                                                                          : capp_jinja_evaluate(run, node->right);
}

static capp_jinja_value evaluate_node(capp_jinja_run *run, const capp_jinja_node *node) {
    switch (node->kind) {
    case CAPP_JINJA_NODE_CONSTANT: return node->value;
    case CAPP_JINJA_NODE_CAPTURED: return run->captured;
    case CAPP_JINJA_NODE_NAME: return evaluate_name(run, node->name);
    case CAPP_JINJA_NODE_LIST:
    case CAPP_JINJA_NODE_TUPLE: return evaluate_list(run, node);
    case CAPP_JINJA_NODE_DICT: return evaluate_dict(run, node);
    case CAPP_JINJA_NODE_CONDITIONAL: return evaluate_conditional(run, node);
    case CAPP_JINJA_NODE_AND:
    case CAPP_JINJA_NODE_OR: return evaluate_logic(run, node);
    case CAPP_JINJA_NODE_NOT: return capp_jinja_boolean(!capp_jinja_is_true(capp_jinja_evaluate(run, node->operand)));
    case CAPP_JINJA_NODE_COMPARE: return evaluate_comparison(run, node);
    case CAPP_JINJA_NODE_BINARY: return evaluate_binary(run, node);
    case CAPP_JINJA_NODE_SIGN: return evaluate_sign(run, node);
    case CAPP_JINJA_NODE_ATTRIBUTE:
        return with_origin(capp_jinja_get_attribute(run, capp_jinja_evaluate(run, node->operand), node->name), node);
    case CAPP_JINJA_NODE_ITEM: {
        capp_jinja_value object = capp_jinja_evaluate(run, node->operand), key = capp_jinja_evaluate(run, node->index);
        return with_origin(capp_jinja_get_item(run, object, key), node);
    }
    case CAPP_JINJA_NODE_SLICE: return evaluate_slice(run, node);
    case CAPP_JINJA_NODE_CALL: return evaluate_call(run, node);
    case CAPP_JINJA_NODE_FILTER: return with_origin(evaluate_filter(run, node), node);
    case CAPP_JINJA_NODE_TEST: return evaluate_test(run, node);
    default: return nothing;
    }
}

capp_jinja_value capp_jinja_evaluate(capp_jinja_run *run, const capp_jinja_node *node) {
    if (!capp_jinja_enter(run)) return nothing;
    capp_jinja_value value = evaluate_node(run, node);
    capp_jinja_leave(run);
    return run->status == CAPP_OK ? value : nothing;
}
