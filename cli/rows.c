#include "rows.h"
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static capp_str copy_json(const json_t *value, arena *a) {
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
    capp_str text = arena_copy(a, capp_str_of(dump));
    free(dump);
    return text;
}

static capp_str copy_string(const json_t *value, arena *a) {
    return arena_copy(a, (capp_str){json_string_value(value), json_string_length(value)});
}

static void number_row(row *r, size_t index, arena *a) {
    char number[24];
    snprintf(number, sizeof number, "%zu", index);
    r->id = arena_copy(a, capp_str_of(number));
}

static bool build_id(row *r, const row_rules *rules, const record *from, size_t index, arena *a, capp_error *err) {
    const char *name = rules->id ? rules->id : "id";
    const json_t *id = record_json(from, name);
    r->id_given = id != NULL;
    if (id) {
        r->id_string = json_is_string(id);
        r->id = r->id_string ? copy_string(id, a) : copy_json(id, a);
    } else if (!from->object && record_text(from, capp_str_of(name), a, &r->id)) {
        r->id_given = r->id_string = true;
    } else {
        number_row(r, index, a);
    }
    return r->id_given || !rules->id || fail_field(err, from, capp_str_of(name));
}

/* The template's text, else the field `prompt`, else `text`. */
static bool build_prompt(row *r, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    static const capp_str prompt = {"prompt", 6}, text = {"text", 4};
    if (rules->has_template) return template_render(&rules->template, from, a, &r->example.prompt, err);
    if (record_text(from, prompt, a, &r->example.prompt) || record_text(from, text, a, &r->example.prompt)) return true;
    fail_field(err, from, text);
    const capp_error cause = *err;
    return fail_at(err, from->line, "no prompt: %.800s; name columns in a template by -t '{...}'", cause.message);
}

static bool build_text(row *r, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    static const capp_str text = {"text", 4};
    r->is_text = true;
    if (rules->has_template) return template_render(&rules->template, from, a, &r->example.prompt, err);
    return record_text(from, text, a, &r->example.prompt) || fail_field(err, from, text);
}

/* A completion is a string, or an object with one in "text", as logprobs writes them. */
static bool build_completions(row *r, const json_t *list, size_t line, arena *a, capp_error *err) {
    if (!json_is_array(list)) return fail_at(err, line, "'completions' is not a list of strings");
    size_t n = json_array_size(list);
    capp_str *completions = arena_take(a, n, sizeof *completions);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_object(item)) item = json_object_get(item, "text");
        if (!json_is_string(item)) return fail_at(err, line, "item %zu of 'completions' is not a string", i);
        completions[i] = copy_string(item, a);
    }
    r->example.completions = completions;
    r->example.n_completions = n;
    return true;
}

static bool build_prior(row *r, const json_t *list, size_t line, arena *a, capp_error *err) {
    if (!json_is_array(list)) return fail_at(err, line, "'prior' is not a list of numbers");
    size_t n = json_array_size(list);
    if (n != r->example.n_completions)
        return fail_at(err, line, "'prior' has %zu numbers, but there are %zu completions", n,
                       r->example.n_completions);
    double *prior = arena_take(a, n, sizeof *prior);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_number(item)) return fail_at(err, line, "item %zu of 'prior' is not a number", i);
        prior[i] = json_number_value(item);
    }
    r->example.prior = prior;
    return true;
}

static bool build_choices(row *r, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    const json_t *completions = record_json(from, "completions"), *prior = record_json(from, "prior");
    const json_t *end = record_json(from, "end_of_prompt"), *normalize = record_json(from, "normalize");
    capp_example *e = &r->example;
    *e = (capp_example){.prompt = e->prompt,
                        .completions = rules->classes,
                        .n_completions = rules->n_classes,
                        .end_of_prompt = rules->end_of_prompt,
                        .normalize = rules->normalize};
    if (completions && !build_completions(r, completions, from->line, a, err)) return false;
    if (!completions && !rules->n_classes)
        return fail_at(err, from->line, "the row has no completions; name classes by -c, or give it 'completions'");
    if (prior && !build_prior(r, prior, from->line, a, err)) return false;
    if (!prior && rules->n_prior) {
        if (rules->n_prior != e->n_completions)
            return fail_at(err, from->line, "--prior has %zu numbers, but the row has %zu completions", rules->n_prior,
                           e->n_completions);
        e->prior = rules->prior;
    }
    if (end && !json_is_string(end)) return fail_at(err, from->line, "'end_of_prompt' is not a string");
    if (end && strlen(json_string_value(end)) != json_string_length(end))
        return fail_at(err, from->line, "'end_of_prompt' must be a space or empty");
    if (end) e->end_of_prompt = copy_string(end, a).data;
    if (normalize && !json_is_boolean(normalize)) return fail_at(err, from->line, "'normalize' is not true or false");
    if (normalize) e->normalize = json_is_true(normalize);
    if (rules->need == NEED_CHOICES_OR_TEXT) e->normalize = false; /* log-probabilities alone: one completion will do */
    return true;
}

/* The text of a class first, so that classes which are numbers are meant by their names; then an index. */
static bool build_label(row *r, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    capp_str label;
    if (!record_text(from, capp_str_of(rules->label), a, &label))
        return fail_field(err, from, capp_str_of(rules->label));
    for (size_t i = 0; i < r->example.n_completions; i++)
        if (str_equal(label, r->example.completions[i])) {
            r->label = i;
            return true;
        }
    uint64_t index;
    if (strlen(label.data) == label.size && parse_count(label.data, r->example.n_completions - 1, &index)) {
        r->label = (size_t)index;
        return true;
    }
    return fail_at(err, from->line, "label '%.*s' is neither one of the %zu classes nor an index from 0 to %zu",
                   label.size < 200 ? (int)label.size : 200, label.data, r->example.n_completions,
                   r->example.n_completions - 1);
}

static void build_label_json(row *r, const record *from, arena *a) {
    const json_t *label = record_json(from, "label");
    capp_str text;
    if (label) {
        r->label_json = copy_json(label, a);
    } else if (!from->object && record_text(from, capp_str_of("label"), a, &text)) {
        buffer json = {0};
        put_string(&json, text);
        r->label_json = arena_copy(a, buffer_view(&json));
        buffer_free(&json);
    }
}

static bool row_build(row *r, const row_rules *rules, const record *from, size_t index, arena *a, capp_error *err) {
    *r = (row){.line = from->line};
    if (rules->fields) r->fields = record_fields(from, a, &r->n_fields);
    if (!build_id(r, rules, from, index, a, err)) return false;
    if (rules->need == NEED_TEXT) return build_text(r, rules, from, a, err);
    if (rules->need == NEED_PROMPT) return build_prompt(r, rules, from, a, err);
    if (rules->need == NEED_CHOICES_OR_TEXT) {
        build_label_json(r, from, a);
        if (!rules->n_classes && !record_json(from, "completions")) {
            capp_str prompt;
            if (!rules->has_template && record_text(from, capp_str_of("prompt"), a, &prompt))
                return build_choices(r, rules, from, a, err); /* says that there are no completions */
            return build_text(r, rules, from, a, err);
        }
    }
    if (!build_prompt(r, rules, from, a, err) || !build_choices(r, rules, from, a, err)) return false;
    if (!rules->label) return true;
    capp_error cause;
    if (capp_example_check(&r->example, &cause)) /* before its label: no completions at all, say */
        return fail_at(err, from->line, "%s", cause.message);
    return build_label(r, rules, from, a, err);
}

bool row_is_bad(const row *r) {
    return r->reason.size > 0;
}

void row_set_bad(row *r, const char *reason, arena *a) {
    r->reason = arena_copy(a, capp_str_of(reason));
}

read_status row_read(row *r, const row_rules *rules, reader *from, size_t index, bool wait, arena *a, capp_error *err) {
    record next;
    read_status status = reader_next(from, &next, wait, err);
    if (index == 0 && status != READ_FAILED && !template_check(&rules->template, from, err)) return READ_FAILED;
    if (status == READ_BAD) {
        *r = (row){.line = err->row};
        number_row(r, index, a);
        row_set_bad(r, err->message, a);
    } else if (status == READ_ROW && !row_build(r, rules, &next, index, a, err)) {
        row_set_bad(r, err->message, a);
    }
    return status == READ_BAD ? READ_ROW : status;
}
