/* Statements run, with jinja2's scopes: a loop's turn, a macro, a block that is set or filtered has variables of its
 * own and sees those around where it is written. */
#include <string.h>

#include "base/mem.h"
#include "chat/ast.h"
#include "token/utf8.h"

struct capp_jscope {
    capp_jscope *parent;
    capp_str *names;
    capp_jval *values;
    size_t n, capacity;
};

struct capp_jmacro {
    const capp_jnode *node;
    capp_jscope *scope; /* where it is written */
};

typedef enum jump { GO_ON, BREAK, CONTINUE } jump;

static jump run_all(capp_jrun *r, const capp_jnode *node);

/* ---- Variables --------------------------------------------------------------------------------------------------- */

static capp_jscope *new_scope(capp_jrun *r, capp_jscope *parent) {
    capp_jscope *scope = capp_jtake(r, 1, sizeof *scope);
    if (scope) scope->parent = parent;
    return scope;
}

static bool same(capp_str a, capp_str b) {
    return a.size == b.size && !memcmp(a.data, b.data, a.size);
}

static void assign(capp_jrun *r, capp_jscope *scope, capp_str name, capp_jval value) {
    if (r->status != CAPP_OK || !scope) return;
    for (size_t i = 0; i < scope->n; i++)
        if (same(scope->names[i], name)) {
            scope->values[i] = value;
            return;
        }
    if (scope->n == scope->capacity) {
        size_t wanted = scope->capacity ? 2 * scope->capacity : 4;
        capp_str *names = capp_jtake(r, wanted, sizeof *names);
        capp_jval *values = capp_jtake(r, wanted, sizeof *values);
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

capp_jval capp_jlookup(capp_jrun *r, capp_str name) {
    for (const capp_jscope *scope = r->scope; scope; scope = scope->parent) {
        if (!capp_jwork(r, 1 + scope->n / 8)) return (capp_jval){.kind = CAPP_J_UNDEFINED};
        for (size_t i = 0; i < scope->n; i++)
            if (same(scope->names[i], name)) return scope->values[i];
    }
    return capp_jglobal(r, name);
}

static void assign_attribute(capp_jrun *r, const capp_jnode *target, capp_jval value) {
    capp_jval space = capp_jeval(r, target->a);
    if (space.kind == CAPP_J_NAMESPACE)
        capp_jdict_put(r, space, capp_jstr_own(r, target->name), value);
    else
        capp_jfail(r, CAPP_EINVAL, "attributes can be set of a namespace, not of a %s", capp_jkind_name(space));
}

static void assign_target(capp_jrun *r, const capp_jnode *target, capp_jval value) {
    if (r->status != CAPP_OK) return;
    if (target->kind == CAPP_JN_NAME) {
        assign(r, r->scope, target->name, value);
        return;
    }
    if (target->kind == CAPP_JN_ATTR) {
        assign_attribute(r, target, value);
        return;
    }
    capp_jval items = capp_jwalk(r, value);
    size_t n = 0;
    for (const capp_jnode *t = target->body; t; t = t->next) n++;
    if (r->status == CAPP_OK && items.of.list->n != n)
        capp_jfail(r, CAPP_EINVAL, "%zu values for %zu names", items.of.list->n, n);
    n = 0;
    for (const capp_jnode *t = target->body; t && r->status == CAPP_OK; t = t->next)
        assign_target(r, t, items.of.list->at[n++]);
}

/* ---- Statements -------------------------------------------------------------------------------------------------- */

static void run_capture(capp_jrun *r, const capp_jnode *node) {
    capp_jbuffer caught = {0}, *out = r->out;
    capp_jscope *scope = r->scope;
    capp_jval hole = r->hole;
    r->out = &caught;
    r->scope = new_scope(r, scope);
    if (r->scope) (void)run_all(r, node->body);
    r->out = out;
    r->scope = scope;
    r->hole = capp_jbuffer_str(r, &caught);
    capp_jval value = capp_jeval(r, node->b);
    r->hole = hole;
    if (r->status != CAPP_OK) return;
    if (node->a)
        assign_target(r, node->a, value);
    else
        capp_jput(r, r->out, capp_jtext(r, value));
}

static void run_macro_definition(capp_jrun *r, const capp_jnode *node) {
    struct capp_jmacro *macro = capp_jtake(r, 1, sizeof *macro);
    if (!macro) return;
    *macro = (struct capp_jmacro){node, r->scope};
    assign(r, r->scope, node->name, (capp_jval){.kind = CAPP_J_MACRO, .of.macro = macro});
}

static jump run_scope(capp_jrun *r, const capp_jnode *node) {
    capp_jscope *outer = r->scope, *inner = new_scope(r, outer);
    for (const capp_jnode *set = node->a; set && r->status == CAPP_OK; set = set->next) {
        capp_jval value = capp_jeval(r, set->b);
        r->scope = inner;
        assign_target(r, set->a, value);
        r->scope = outer;
    }
    if (r->status != CAPP_OK) return GO_ON;
    r->scope = inner;
    jump done = run_all(r, node->body);
    r->scope = outer;
    return done;
}

static jump run_if(capp_jrun *r, const capp_jnode *node) {
    for (const capp_jnode *branch = node->body; branch && r->status == CAPP_OK; branch = branch->next)
        if (!branch->a || capp_jtruth(capp_jeval(r, branch->a)))
            return r->status == CAPP_OK ? run_all(r, branch->body) : GO_ON;
    return GO_ON;
}

static const capp_str loop_name = {"loop", 4};

/* The items that the loop's filter keeps; it cannot see the loop. */
static capp_jval kept(capp_jrun *r, const capp_jnode *node, capp_jval items) {
    capp_jval out = capp_jlist_new(r, CAPP_J_LIST, 0);
    capp_jscope *outer = r->scope;
    for (size_t i = 0; r->status == CAPP_OK && i < items.of.list->n; i++) {
        r->scope = new_scope(r, outer);
        assign_target(r, node->a, items.of.list->at[i]);
        assign(r, r->scope, loop_name, (capp_jval){.kind = CAPP_J_UNDEFINED});
        if (r->status == CAPP_OK && capp_jtruth(capp_jeval(r, node->c))) capp_jlist_push(r, out, items.of.list->at[i]);
    }
    r->scope = outer;
    return out;
}

static size_t loops_around(const capp_jrun *r) {
    for (const capp_jscope *scope = r->scope; scope; scope = scope->parent)
        for (size_t i = 0; i < scope->n; i++)
            if (scope->values[i].kind == CAPP_J_LOOP && same(scope->names[i], loop_name))
                return scope->values[i].of.loop->depth;
    return 0;
}

static jump run_for(capp_jrun *r, const capp_jnode *node) {
    capp_jval items = capp_jwalk(r, capp_jeval(r, node->b));
    if (node->c) items = kept(r, node, items);
    capp_jloop *loop = capp_jtake(r, 1, sizeof *loop);
    if (r->status != CAPP_OK || !loop) return GO_ON;
    capp_jscope *outer = r->scope;
    *loop = (capp_jloop){.items = items.of.list, .depth = loops_around(r) + 1};
    if (!items.of.list->n) {
        r->scope = new_scope(r, outer);
        jump done = r->scope ? run_all(r, node->other) : GO_ON;
        r->scope = outer;
        return done;
    }
    size_t n = items.of.list->n;
    for (; loop->index < n && r->status == CAPP_OK && capp_jwork(r, 1); loop->index++) {
        r->scope = new_scope(r, outer);
        assign(r, r->scope, loop_name, (capp_jval){.kind = CAPP_J_LOOP, .of.loop = loop});
        assign_target(r, node->a, items.of.list->at[loop->index]);
        if (r->status == CAPP_OK && run_all(r, node->body) == BREAK) break;
    }
    r->scope = outer;
    return GO_ON;
}

static jump run_one(capp_jrun *r, const capp_jnode *node) {
    switch (node->kind) {
    case CAPP_JN_TEXT: capp_jput(r, r->out, node->value.of.str); return GO_ON;
    case CAPP_JN_PRINT: capp_jput(r, r->out, capp_jtext(r, capp_jeval(r, node->a))); return GO_ON;
    case CAPP_JN_IF: return run_if(r, node);
    case CAPP_JN_FOR: return run_for(r, node);
    case CAPP_JN_SET: assign_target(r, node->a, capp_jeval(r, node->b)); return GO_ON;
    case CAPP_JN_CAPTURE: run_capture(r, node); return GO_ON;
    case CAPP_JN_MACRO: run_macro_definition(r, node); return GO_ON;
    case CAPP_JN_SCOPE: return run_scope(r, node);
    case CAPP_JN_BREAK: return BREAK;
    case CAPP_JN_CONTINUE: return CONTINUE;
    default: return GO_ON;
    }
}

static jump run_all(capp_jrun *r, const capp_jnode *node) {
    jump done = GO_ON;
    if (!capp_jenter(r)) return GO_ON;
    for (; node && done == GO_ON && r->status == CAPP_OK; node = node->next) {
        r->line = node->line;
        if (capp_jwork(r, 1)) done = run_one(r, node);
    }
    capp_jleave(r);
    return done;
}

/* ---- Macros ------------------------------------------------------------------------------------------------------ */

static const capp_jval *named_argument(const capp_jargs *args, capp_str name) {
    for (size_t i = 0; i < args->n_named; i++)
        if (same(args->names[i], name)) return &args->at[args->n + i];
    return NULL;
}

static void bind_parameters(capp_jrun *r, const capp_jnode *node, const capp_jargs *args) {
    size_t n = 0, named = 0;
    for (const capp_jnode *p = node->a; p && r->status == CAPP_OK; p = p->next, n++) {
        const capp_jval *given = n < args->n ? &args->at[n] : named_argument(args, p->name);
        named += n >= args->n && given;
        if (given)
            assign(r, r->scope, p->name, *given);
        else
            assign(r, r->scope, p->name, p->a ? capp_jeval(r, p->a) : capp_jundefined(r, p->name));
    }
    if (args->n > n || named < args->n_named)
        capp_jfail(r, CAPP_EINVAL, "the macro '%.*s' has no place for an argument", (int)node->name.size,
                   node->name.data);
}

capp_jval capp_jmacro_call(capp_jrun *r, const struct capp_jmacro *macro, const capp_jargs *args) {
    capp_jbuffer caught = {0}, *out = r->out;
    capp_jscope *scope = r->scope;
    int line = r->line;
    if (!capp_jenter(r)) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    r->out = &caught;
    if ((r->scope = new_scope(r, macro->scope))) {
        bind_parameters(r, macro->node, args);
        (void)run_all(r, macro->node->body);
    }
    r->out = out;
    r->scope = scope;
    if (r->status == CAPP_OK) r->line = line;
    capp_jleave(r);
    return capp_jbuffer_str(r, &caught);
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

enum {
    MOST_SOURCE = 1 << 18, /* the largest known are a tenth of it; a byte takes at most 48 of the tree */
    RUN_BYTES = 64 << 20,
    RUN_STEPS = 4000000,
    RUN_BYTES_A_BYTE = 64, /* more, for a byte of the conversation */
    RUN_STEPS_A_BYTE = 64
};

/* Line ends become \n; the last one goes. */
static char *copy_source(capp_jheap *heap, capp_str source, size_t *size) {
    char *copy = capp_jheap_take(heap, source.size, 1);
    size_t n = 0;
    for (size_t i = 0; copy && i < source.size; i++) {
        char c = source.data[i];
        if (c == '\r' && i + 1 < source.size && source.data[i + 1] == '\n') continue;
        copy[n++] = (char)(c == '\r' ? '\n' : c);
    }
    if (n && copy[n - 1] == '\n') n--;
    *size = n;
    return copy;
}

capp_status capp_jinja_open(capp_jinja **out, capp_str source, capp_error *err) {
    *out = NULL;
    if (source.size > MOST_SOURCE)
        return capp_fail(err, CAPP_EUNSUPPORTED, "the template is %zu bytes; at most %d are supported", source.size,
                         MOST_SOURCE);
    if (capp_utf8_invalid_at(source) < source.size)
        return capp_fail(err, CAPP_EFORMAT, "the template is not valid UTF-8 at byte %zu",
                         capp_utf8_invalid_at(source));
    capp_jinja *t = capp_new0(1, sizeof *t);
    if (!t) return capp_fail_memory(err, "a chat template");
    t->heap.most = SIZE_MAX;
    size_t size;
    char *copy = copy_source(&t->heap, source, &size);
    capp_status st = copy ? capp_jinja_parse(&t->heap, (capp_str){copy, size}, &t->body, err)
                          : capp_fail_memory(err, "a chat template");
    if (st != CAPP_OK) {
        capp_jinja_free(t);
        return st;
    }
    *out = t;
    return CAPP_OK;
}

void capp_jinja_free(capp_jinja *t) {
    if (!t) return;
    capp_jheap_free(&t->heap);
    capp_free(t);
}

void capp_marked_free(capp_marked *text) {
    capp_free(text->text);
    capp_free(text->given);
    *text = (capp_marked){0};
}

static capp_jval message_value(capp_jrun *r, const capp_message *m) {
    capp_jval dict = capp_jdict_new(r, CAPP_J_DICT);
    capp_jdict_put(r, dict, capp_jstr_of(r, "role"), capp_jstr_own(r, m->role));
    capp_jdict_put(r, dict, capp_jstr_of(r, "content"), capp_jstr_given(r, m->content));
    return dict;
}

static void set_variables(capp_jrun *r, const capp_jinja_input *in) {
    capp_jval messages = capp_jlist_new(r, CAPP_J_LIST, in->n_messages + 1);
    for (size_t i = 0; i < in->n_messages && r->status == CAPP_OK; i++)
        capp_jlist_push(r, messages, message_value(r, &in->messages[i]));
    if (in->last && r->status == CAPP_OK) capp_jlist_push(r, messages, message_value(r, in->last));
    assign(r, r->scope, capp_str_of("messages"), messages);
    assign(r, r->scope, capp_str_of("tools"), capp_jnone());
    assign(r, r->scope, capp_str_of("documents"), capp_jnone());
    assign(r, r->scope, capp_str_of("add_generation_prompt"), capp_jbool(in->generation_prompt));
    for (size_t i = 0; i < in->n_tokens; i++)
        assign(r, r->scope, capp_str_of(in->tokens[i].name), capp_jstr_own(r, in->tokens[i].text));
    for (capp_json_walk w = capp_json_begin(in->variables); r->status == CAPP_OK && capp_json_next(&w);) {
        capp_jval name = capp_jfrom_json(r, w.name), value = capp_jfrom_json(r, w.value);
        if (r->status == CAPP_OK) assign(r, r->scope, (capp_str){name.of.str->text, name.of.str->size}, value);
    }
}

static capp_status copy_out(capp_jrun *r, const capp_jbuffer *b, capp_marked *out) {
    out->text = capp_new(b->size + 1, 1);
    out->given = capp_new(b->size, 1);
    if (!out->text || !out->given) {
        capp_marked_free(out);
        return capp_fail_memory(r->err, "a rendered prompt");
    }
    if (b->size) {
        memcpy(out->text, b->text, b->size);
        memcpy(out->given, b->given, b->size);
    }
    out->text[b->size] = 0;
    out->size = b->size;
    return CAPP_OK;
}

static size_t conversation_bytes(const capp_jinja_input *in) {
    size_t bytes = in->last ? in->last->content.size : 0;
    for (size_t i = 0; i < in->n_messages; i++) bytes += in->messages[i].content.size;
    return bytes;
}

capp_status capp_jinja_render(const capp_jinja *t, const capp_jinja_input *in, capp_marked *out, capp_error *err) {
    capp_error local = {.status = CAPP_OK};
    capp_jbuffer text = {0};
    size_t bytes = conversation_bytes(in);
    capp_jrun r = {.heap.most = RUN_BYTES + RUN_BYTES_A_BYTE * bytes,
                   .most_steps = RUN_STEPS + (uint64_t)RUN_STEPS_A_BYTE * bytes,
                   .err = err ? err : &local,
                   .status = CAPP_OK,
                   .line = 1,
                   .now = in->now,
                   .out = &text};
    *out = (capp_marked){0};
    capp_jscope *globals = r.scope = new_scope(&r, NULL);
    if (globals) set_variables(&r, in);
    r.scope = new_scope(&r, globals);
    if (r.scope) (void)run_all(&r, t->body);
    capp_status st = r.status == CAPP_OK ? copy_out(&r, &text, out) : r.status;
    capp_jheap_free(&r.heap);
    return st;
}
