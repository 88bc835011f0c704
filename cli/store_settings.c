#include "store_settings.h"

#include "json_lists.h"
#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const aggregates[] = {
    [CAPP_AGGREGATE_MEAN] = "mean", [CAPP_AGGREGATE_SUM] = "sum", [CAPP_AGGREGATE_BYTES] = "bytes"};
static const char *const policies[] = {[ROW_STOP] = "stop", [ROW_SKIP] = "skip", [ROW_NULL] = "null"};

/* ---- Writing --------------------------------------------------------------------------------------------------- */

static bool set_text(store *s, const char *name, const char *value) {
    return !value || store_set(s, name, capp_str_of(value));
}

static bool set_double(store *s, const char *name, double value) {
    buffer text = {0};
    put_double(&text, value);
    bool good = store_set(s, name, buffer_view(&text));
    buffer_free(&text);
    return good;
}

static bool set_columns(store *s, const capp_str *columns, size_t n) {
    buffer text = {0};
    for (size_t i = 0; i < n; i++) {
        buffer_text(&text, i ? ", " : "[");
        put_string(&text, columns[i]);
    }
    buffer_char(&text, ']');
    bool good = !n || store_set(s, "columns", buffer_view(&text));
    buffer_free(&text);
    return good;
}

static bool set_classes(store *s, const row_rules *rules) {
    buffer text = {0};
    for (size_t i = 0; i < rules->n_classes; i++) {
        buffer_text(&text, i ? ", " : "[");
        put_string(&text, rules->classes[i]);
    }
    buffer_char(&text, ']');
    bool good = !rules->n_classes || store_set(s, "classes", buffer_view(&text));
    text.size = 0;
    put_doubles(&text, rules->prior, rules->n_prior);
    good = good && (!rules->n_prior || store_set(s, "prior", buffer_view(&text)));
    text.size = 0;
    for (size_t i = 0; i < rules->n_phrasings; i++) buffer_printf(&text, "%s%zu", i ? ", " : "[", rules->class_of[i]);
    buffer_char(&text, ']');
    good = good && (!rules->n_phrasings || store_set(s, "class_of", buffer_view(&text)));
    text.size = 0;
    for (size_t i = 0; i < rules->n_phrasings; i++) {
        buffer_text(&text, i ? ", " : "[");
        put_string(&text, rules->phrasings[i]);
    }
    buffer_char(&text, ']');
    good = good && (!rules->n_phrasings || store_set(s, "phrasings", buffer_view(&text)));
    buffer_free(&text);
    return good;
}

/* The examples of a chat, to run the model again: question and answer in turn. */
static bool set_turns(store *s, const row_rules *rules) {
    buffer text = {0};
    for (size_t i = 0; i < rules->n_turns; i++) {
        buffer_text(&text, i ? ", " : "[");
        put_string(&text, rules->turns[i].content);
    }
    buffer_char(&text, ']');
    bool good = !rules->n_turns || store_set(s, "turns", buffer_view(&text));
    buffer_free(&text);
    return good;
}

/* The template, with the instruction, the examples and the list of classes that stand in it. */
static bool set_template(store *s, const row_rules *rules) {
    buffer text = {0};
    template_write(&rules->template, &text);
    bool good = !text.size || store_set(s, "template", buffer_view(&text));
    buffer_free(&text);
    return good;
}

/* The options of the command line, to run the model again. */
static bool set_arguments(store *s, const options *settings) {
    buffer text = {0};
    buffer_char(&text, '[');
    for (size_t i = 0; i < settings->n_given; i++) {
        buffer_text(&text, i ? ", [" : "[");
        put_string(&text, capp_str_of(settings->given[i].name));
        buffer_text(&text, ", ");
        if (settings->given[i].argument)
            put_string(&text, capp_str_of(settings->given[i].argument));
        else
            buffer_text(&text, "null");
        buffer_char(&text, ']');
    }
    buffer_char(&text, ']');
    bool good = store_set(s, "arguments", buffer_view(&text));
    buffer_free(&text);
    return good;
}

bool store_describe(store *s, const store_run *how, const capp_model *model) {
    capp_model_info info;
    capp_model_get_info(model, &info);
    const options *o = how->settings;
    return set_text(s, "capp", capp_version()) && store_set(s, "manifest", how->manifest) &&
           set_text(s, "model", o->model) && set_text(s, "precision", precision_names[info.precision]) &&
           set_text(s, "isa", info.isa) && set_double(s, "margin", info.margin) && set_template(s, how->rules) &&
           set_turns(s, how->rules) && set_text(s, "aggregate", aggregates[o->aggregate]) &&
           set_text(s, "normalize", o->multi_label ? "0" : "1") && set_double(s, "discount", o->discount) &&
           set_text(s, "domain", o->domain) && set_text(s, "id", o->id) &&
           set_text(s, "on-error", policies[o->on_error]) && set_classes(s, how->rules) &&
           set_columns(s, how->columns, how->n_columns) && set_arguments(s, o) && set_text(s, "ended", "0");
}

bool store_end(store *s) {
    return set_text(s, "ended", "1") && store_commit(s);
}

/* ---- Reading --------------------------------------------------------------------------------------------------- */

static int name_in(const char *const *names, size_t n, capp_str text) {
    for (size_t i = 0; i < n; i++)
        if (str_is(text, names[i])) return (int)i;
    return -1;
}

/* The classes of the phrasings. */
static bool learn_phrasings(row_rules *rules, store *s) {
    double *class_of;
    size_t n;
    arena *a = &rules->memory;
    if (!json_doubles(store_get(s, "class_of", a), a, &class_of, &rules->n_phrasings)) return false;
    if (!json_strings(store_get(s, "phrasings", a), a, &rules->phrasings, &n) || n != rules->n_phrasings) return false;
    rules->class_of = arena_allocate(&rules->memory, rules->n_phrasings, sizeof *rules->class_of);
    for (size_t i = 0; i < rules->n_phrasings; i++) {
        if (!(class_of[i] >= 0 && class_of[i] < (double)rules->n_classes)) return false;
        rules->class_of[i] = (size_t)class_of[i];
    }
    return true;
}

static bool learn_turns(row_rules *rules, store *s) {
    capp_str *texts;
    arena *a = &rules->memory;
    if (!json_strings(store_get(s, "turns", a), a, &texts, &rules->n_turns)) return false;
    rules->turns = arena_allocate(a, rules->n_turns, sizeof *rules->turns);
    for (size_t i = 0; i < rules->n_turns; i++)
        rules->turns[i] = (capp_message){capp_str_of(i % 2 ? "assistant" : "user"), texts[i]};
    return true;
}

bool store_learn(store_facts *f, store *s, capp_error *err) {
    row_rules *rules = &f->rules;
    arena *a = &rules->memory;
    f->manifest = store_get(s, "manifest", a);
    f->arguments = store_get(s, "arguments", a);
    int aggregate = name_in(aggregates, sizeof aggregates / sizeof *aggregates, store_get(s, "aggregate", a));
    int policy = name_in(policies, sizeof policies / sizeof *policies, store_get(s, "on-error", a));
    capp_str margin = store_get(s, "margin", a), id = store_get(s, "id", a), discount = store_get(s, "discount", a);
    bool good = aggregate >= 0 && policy >= 0 && margin.size && discount.size &&
                json_strings(store_get(s, "classes", a), a, &rules->classes, &rules->n_classes) &&
                json_doubles(store_get(s, "prior", a), a, &rules->prior, &rules->n_prior) &&
                json_strings(store_get(s, "columns", a), a, &f->columns, &f->n_columns) && learn_phrasings(rules, s) &&
                learn_turns(rules, s);
    if (store_errno(s)) return store_fail(s, err);
    double known = good ? strtod(margin.data, NULL) : 0;
    good = good && isfinite(known) && known >= 0;
    if (!good) return fail_at(err, 0, "the settings of the store are damaged; run capp classify again");
    rules->normalize = str_is(store_get(s, "normalize", a), "1");
    rules->id = id.size ? id.data : NULL;
    rules->fields = true;
    f->discount = strtod(discount.data, NULL);
    f->domain = store_get(s, "domain", a);
    f->margin = known;
    f->aggregate = (capp_aggregate)aggregate;
    f->on_error = (row_policy)policy;
    f->ended = str_is(store_get(s, "ended", a), "1");
    return true;
}

capp_str store_argument(const store_facts *facts, const char *name, arena *a) {
    capp_str argument = {NULL, 0};
    json_value array;
    if (!json_array_in(facts->arguments, &array)) return argument;
    for (json_walk w = json_begin(array); json_next(&w);) {
        json_walk pair = json_begin(w.item);
        bool is = json_next(&pair) && str_is(json_copy_string(a, pair.item), name);
        if (is && json_next(&pair) && json_kind_of(pair.item) == JSON_KIND_STRING)
            argument = json_copy_string(a, pair.item);
    }
    return argument;
}

void store_forget(store_facts *f) {
    arena_free(&f->rules.memory); /* it has the classes and the prior, too */
    *f = (store_facts){0};
}
