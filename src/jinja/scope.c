#include "jinja/scope.h"

#include <string.h>

#include "jinja/characters.h"

capp_jinja_scope *capp_jinja_new_scope(capp_jinja_run *run, capp_jinja_scope *parent) {
    capp_jinja_scope *scope = capp_jinja_allocate(run, 1, sizeof *scope);
    if (scope) scope->parent = parent;
    return scope;
}

void capp_jinja_assign(capp_jinja_run *run, capp_jinja_scope *scope, capp_str name, capp_jinja_value value) {
    if (run->status != CAPP_OK || !scope) return;
    for (size_t i = 0; i < scope->n; i++)
        if (capp_jinja_same_name(scope->names[i], name)) {
            scope->values[i] = value;
            return;
        }
    if (scope->n == scope->capacity) {
        size_t wanted = scope->capacity ? 2 * scope->capacity : 4;
        capp_str *names = capp_jinja_allocate(run, wanted, sizeof *names);
        capp_jinja_value *values = capp_jinja_allocate(run, wanted, sizeof *values);
        if (!names || !values) return;
        if (scope->n) {
            memcpy(names, scope->names, scope->n * sizeof *names);
            memcpy(values, scope->values, scope->n * sizeof *values);
        }
        scope->names = names;
        scope->values = values;
        scope->capacity = wanted;
    }
    scope->names[scope->n] = name;
    scope->values[scope->n++] = value;
}

const capp_jinja_value *capp_jinja_find_variable(capp_jinja_run *run, capp_str name) {
    for (const capp_jinja_scope *scope = run->scope; scope; scope = scope->parent) {
        if (!capp_jinja_count_steps(run, 1 + scope->n / 8)) return NULL;
        for (size_t i = 0; i < scope->n; i++)
            if (capp_jinja_same_name(scope->names[i], name)) return &scope->values[i];
    }
    return NULL;
}
