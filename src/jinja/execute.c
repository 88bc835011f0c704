/* Each iteration of a loop, each call of a macro, and each block of {% set %} and {% filter %} has its own variables.
 * It also sees those of the scopes around the place where it is written. */
#include "jinja/execute.h"

#include "jinja/characters.h"
#include "jinja/evaluate.h"
#include "jinja/scope.h"
#include "jinja/text.h"

struct capp_jinja_macro {
    const capp_jinja_node *node;
    capp_jinja_scope *scope; /* the scope in which the macro is defined */
};

typedef enum jump { GO_ON, BREAK, CONTINUE } jump;

static jump run_list(capp_jinja_run *run, const capp_jinja_node *node);

static void assign_attribute(capp_jinja_run *run, const capp_jinja_node *target, capp_jinja_value value) {
    capp_jinja_value space = capp_jinja_evaluate(run, target->operand);
    if (space.kind == CAPP_JINJA_NAMESPACE)
        capp_jinja_dict_set(run, space, capp_jinja_string_of_template(run, target->name), value);
    else
        capp_jinja_fail(run, CAPP_EINVAL, "only a namespace takes new attributes, not a value of type %s",
                        capp_jinja_kind_name(space));
}

static void assign_target(capp_jinja_run *run, const capp_jinja_node *target, capp_jinja_value value) {
    if (run->status != CAPP_OK) return;
    if (target->kind == CAPP_JINJA_NODE_NAME) {
        capp_jinja_assign(run, run->scope, target->name, value);
        return;
    }
    if (target->kind == CAPP_JINJA_NODE_ATTRIBUTE) {
        assign_attribute(run, target, value);
        return;
    }
    capp_jinja_value items = capp_jinja_iterate(run, value);
    size_t n = 0;
    for (const capp_jinja_node *t = target->body; t; t = t->next) n++;
    if (run->status == CAPP_OK && items.list->n != n)
        capp_jinja_fail(run, CAPP_EINVAL, "cannot assign %zu values to %zu names", items.list->n, n);
    n = 0;
    for (const capp_jinja_node *t = target->body; t && run->status == CAPP_OK; t = t->next)
        assign_target(run, t, items.list->items[n++]);
}

/* ---- Statements -------------------------------------------------------------------------------------------------- */

static void run_capture(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_buffer caught = {0}, *out = run->out;
    capp_jinja_scope *scope = run->scope;
    capp_jinja_value captured = run->captured;
    run->out = &caught;
    run->scope = capp_jinja_new_scope(run, scope);
    if (run->scope) (void)run_list(run, node->body);
    run->out = out;
    run->scope = scope;
    run->captured = capp_jinja_buffer_to_string(run, &caught);
    capp_jinja_value value = capp_jinja_evaluate(run, node->filters);
    run->captured = captured;
    if (run->status != CAPP_OK) return;
    if (node->target)
        assign_target(run, node->target, value);
    else
        capp_jinja_append_string(run, run->out, capp_jinja_to_text(run, value));
}

static void run_macro_definition(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_macro *macro = capp_jinja_allocate(run, 1, sizeof *macro);
    if (!macro) return;
    *macro = (capp_jinja_macro){node, run->scope};
    capp_jinja_assign(run, run->scope, node->name, (capp_jinja_value){.kind = CAPP_JINJA_MACRO, .macro = macro});
}

static jump run_scope(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_scope *outer = run->scope, *inner = capp_jinja_new_scope(run, outer);
    for (const capp_jinja_node *set = node->assignments; set && run->status == CAPP_OK; set = set->next) {
        capp_jinja_value value = capp_jinja_evaluate(run, set->assigned);
        run->scope = inner;
        assign_target(run, set->target, value);
        run->scope = outer;
    }
    if (run->status != CAPP_OK) return GO_ON;
    run->scope = inner;
    jump done = run_list(run, node->body);
    run->scope = outer;
    return done;
}

static jump run_if(capp_jinja_run *run, const capp_jinja_node *node) {
    for (const capp_jinja_node *branch = node->body; branch && run->status == CAPP_OK; branch = branch->next)
        if (!branch->condition || capp_jinja_is_true(capp_jinja_evaluate(run, branch->condition)))
            return run->status == CAPP_OK ? run_list(run, branch->body) : GO_ON;
    return GO_ON;
}

static const capp_str loop_name = {"loop", 4};

/* The items that the loop's filter keeps. The filter cannot see the variable loop. */
static capp_jinja_value kept(capp_jinja_run *run, const capp_jinja_node *node, capp_jinja_value items) {
    capp_jinja_value out = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
    capp_jinja_scope *outer = run->scope;
    for (size_t i = 0; run->status == CAPP_OK && i < items.list->n; i++) {
        run->scope = capp_jinja_new_scope(run, outer);
        assign_target(run, node->target, items.list->items[i]);
        capp_jinja_assign(run, run->scope, loop_name, (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED});
        if (run->status == CAPP_OK && capp_jinja_is_true(capp_jinja_evaluate(run, node->filter)))
            capp_jinja_list_append(run, out, items.list->items[i]);
    }
    run->scope = outer;
    return out;
}

static size_t loops_around(const capp_jinja_run *run) {
    for (const capp_jinja_scope *scope = run->scope; scope; scope = scope->parent)
        for (size_t i = 0; i < scope->n; i++)
            if (scope->values[i].kind == CAPP_JINJA_LOOP && capp_jinja_same_name(scope->names[i], loop_name))
                return scope->values[i].loop->depth;
    return 0;
}

static jump run_for(capp_jinja_run *run, const capp_jinja_node *node) {
    capp_jinja_value items = capp_jinja_iterate(run, capp_jinja_evaluate(run, node->iterable));
    if (node->filter) items = kept(run, node, items);
    capp_jinja_loop *loop = capp_jinja_allocate(run, 1, sizeof *loop);
    if (run->status != CAPP_OK || !loop) return GO_ON;
    capp_jinja_scope *outer = run->scope;
    *loop = (capp_jinja_loop){.list = items.list, .depth = loops_around(run) + 1};
    if (!items.list->n) {
        run->scope = capp_jinja_new_scope(run, outer);
        jump done = run->scope ? run_list(run, node->empty_body) : GO_ON;
        run->scope = outer;
        return done;
    }
    size_t n = items.list->n;
    for (; loop->index < n && run->status == CAPP_OK && capp_jinja_count_steps(run, 1); loop->index++) {
        run->scope = capp_jinja_new_scope(run, outer);
        capp_jinja_assign(run, run->scope, loop_name, (capp_jinja_value){.kind = CAPP_JINJA_LOOP, .loop = loop});
        assign_target(run, node->target, items.list->items[loop->index]);
        if (run->status == CAPP_OK && run_list(run, node->body) == BREAK) break;
    }
    run->scope = outer;
    return GO_ON;
}

static jump run_one(capp_jinja_run *run, const capp_jinja_node *node) {
    switch (node->kind) {
    case CAPP_JINJA_NODE_TEXT: capp_jinja_append_string(run, run->out, node->value.string); return GO_ON;
    case CAPP_JINJA_NODE_PRINT:
        capp_jinja_append_string(run, run->out, capp_jinja_to_text(run, capp_jinja_evaluate(run, node->operand)));
        return GO_ON;
    case CAPP_JINJA_NODE_IF: return run_if(run, node);
    case CAPP_JINJA_NODE_FOR: return run_for(run, node);
    case CAPP_JINJA_NODE_SET: assign_target(run, node->target, capp_jinja_evaluate(run, node->assigned)); return GO_ON;
    case CAPP_JINJA_NODE_CAPTURE: run_capture(run, node); return GO_ON;
    case CAPP_JINJA_NODE_MACRO: run_macro_definition(run, node); return GO_ON;
    case CAPP_JINJA_NODE_SCOPE: return run_scope(run, node);
    case CAPP_JINJA_NODE_BREAK: return BREAK;
    case CAPP_JINJA_NODE_CONTINUE: return CONTINUE;
    default: return GO_ON;
    }
}

static jump run_list(capp_jinja_run *run, const capp_jinja_node *node) {
    jump done = GO_ON;
    if (!capp_jinja_enter(run)) return GO_ON;
    for (; node && done == GO_ON && run->status == CAPP_OK; node = node->next) {
        run->line = node->line;
        if (capp_jinja_count_steps(run, 1)) done = run_one(run, node);
    }
    capp_jinja_leave(run);
    return done;
}

/* ---- Macros ------------------------------------------------------------------------------------------------------ */

static const capp_jinja_value *named_argument(const capp_jinja_arguments *arguments, capp_str name) {
    for (size_t i = 0; i < arguments->n_named; i++)
        if (capp_jinja_same_name(arguments->names[i], name)) return &arguments->values[arguments->n + i];
    return NULL;
}

static void bind_parameters(capp_jinja_run *run, const capp_jinja_node *node, const capp_jinja_arguments *arguments) {
    size_t n = 0, named = 0;
    for (const capp_jinja_node *p = node->parameters; p && run->status == CAPP_OK; p = p->next, n++) {
        const capp_jinja_value *given = n < arguments->n ? &arguments->values[n] : named_argument(arguments, p->name);
        named += n >= arguments->n && given;
        if (given)
            capp_jinja_assign(run, run->scope, p->name, *given);
        else
            capp_jinja_assign(run, run->scope, p->name,
                              p->operand ? capp_jinja_evaluate(run, p->operand) : capp_jinja_undefined(run, p->name));
    }
    if (arguments->n > n || named < arguments->n_named)
        capp_jinja_fail(run, CAPP_EINVAL, "the macro '%.*s' got an unexpected argument", (int)node->name.size,
                        node->name.data);
}

capp_jinja_value capp_jinja_call_macro(capp_jinja_run *run, const capp_jinja_macro *macro,
                                       const capp_jinja_arguments *arguments) {
    capp_jinja_buffer caught = {0}, *out = run->out;
    capp_jinja_scope *scope = run->scope;
    int line = run->line;
    if (!capp_jinja_enter(run)) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    run->out = &caught;
    if ((run->scope = capp_jinja_new_scope(run, macro->scope))) {
        bind_parameters(run, macro->node, arguments);
        (void)run_list(run, macro->node->body);
    }
    run->out = out;
    run->scope = scope;
    if (run->status == CAPP_OK) run->line = line;
    capp_jinja_leave(run);
    return capp_jinja_buffer_to_string(run, &caught);
}

void capp_jinja_execute(capp_jinja_run *run, const capp_jinja_node *statements) {
    (void)run_list(run, statements);
}
