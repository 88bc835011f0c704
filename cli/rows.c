#include "rows.h"
#include "values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void number_row(row *this_row, size_t index, arena *a) {
    char number[24];
    snprintf(number, sizeof number, "%zu", index);
    this_row->id = arena_copy(a, capp_str_of(number));
}

static bool build_id(row *this_row, const row_rules *rules, const record *from, size_t index, arena *a,
                     capp_error *err) {
    const char *name = rules->id ? rules->id : "id";
    json_value id = record_json(from, name);
    this_row->id_given = id.size > 0;
    if (id.size) {
        this_row->id_string = json_kind_of(id) == JSON_KIND_STRING;
        this_row->id = this_row->id_string ? json_copy_string(a, id) : json_compact(a, id);
    } else if (!from->object.size && record_text(from, capp_str_of(name), a, &this_row->id)) {
        this_row->id_given = this_row->id_string = true;
    } else {
        number_row(this_row, index, a);
    }
    return this_row->id_given || !rules->id || fail_field(err, from, capp_str_of(name));
}

/* ---- Prompts and texts ------------------------------------------------------------------------------------------- */

/* The prompt with the list of classes in its other orders. */
static bool build_orders(row *this_row, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    capp_str *prompts = arena_allocate(a, rules->n_more, sizeof *prompts), empty;
    for (size_t i = 0; i < rules->n_more; i++)
        if (!template_render(&rules->more[i], from, a, &prompts[i], &empty, err)) return false;
    this_row->prompts = prompts;
    return true;
}

/* The text of the template, otherwise the field `prompt`, otherwise `text`. */
static bool build_prompt(row *this_row, const row_rules *rules, const record *from, arena *a, capp_str *empty,
                         capp_error *err) {
    static const capp_str prompt = {"prompt", 6}, text = {"text", 4};
    if (rules->has_template)
        return template_render(&rules->template, from, a, &this_row->example.prompt, empty, err) &&
               build_orders(this_row, rules, from, a, err);
    if (!record_text(from, prompt, a, &this_row->example.prompt) &&
        !record_text(from, text, a, &this_row->example.prompt)) {
        fail_field(err, from, text);
        const capp_error cause = *err;
        return fail_at(err, from->line, "no prompt: %.800s; name columns in a template: -t '{...}'", cause.message);
    }
    return this_row->example.prompt.size || fail_at(err, from->line, "the prompt is empty");
}

static bool build_text(row *this_row, const row_rules *rules, const record *from, arena *a, capp_str *empty,
                       capp_error *err) {
    static const capp_str text = {"text", 4};
    this_row->is_text = true;
    if (rules->has_template) return template_render(&rules->template, from, a, &this_row->example.prompt, empty, err);
    if (!record_text(from, text, a, &this_row->example.prompt)) return fail_field(err, from, text);
    return this_row->example.prompt.size || rules->need == NEED_TEXT || fail_at(err, from->line, "the text is empty");
}

/* ---- Completions ------------------------------------------------------------------------------------------------- */

/* A completion is a string, or an object with one in "text", as logprobs writes them. */
static json_value completion_text(json_value item) {
    json_value text = item;
    if (json_kind_of(item) != JSON_KIND_OBJECT) return item;
    for (json_walk w = json_begin(item); json_next(&w);)
        if (str_is(w.name, "\"text\"")) text = w.item;
    return text;
}

static bool build_completions(row *this_row, json_value list, size_t line, arena *a, capp_error *err) {
    if (json_kind_of(list) != JSON_KIND_ARRAY) return fail_at(err, line, "'completions' is not a list of strings");
    size_t n = json_size(list), i = 0;
    capp_str *completions = arena_allocate(a, n, sizeof *completions);
    for (json_walk w = json_begin(list); json_next(&w); i++) {
        json_value item = completion_text(w.item);
        if (json_kind_of(item) != JSON_KIND_STRING)
            return fail_at(err, line, "item %zu of 'completions' is not a string", i);
        completions[i] = json_copy_string(a, item);
    }
    this_row->example.completions = completions;
    this_row->example.n_completions = n;
    return true;
}

static bool build_prior(row *this_row, json_value list, size_t line, arena *a, capp_error *err) {
    if (json_kind_of(list) != JSON_KIND_ARRAY) return fail_at(err, line, "'prior' is not a list of numbers");
    size_t n = json_size(list), i = 0;
    if (n != this_row->example.n_completions)
        return fail_at(err, line, "'prior' has %zu numbers, but there are %zu completions", n,
                       this_row->example.n_completions);
    double *prior = arena_allocate(a, n, sizeof *prior);
    for (json_walk w = json_begin(list); json_next(&w); i++) {
        if (json_kind_of(w.item) != JSON_KIND_NUMBER)
            return fail_at(err, line, "item %zu of 'prior' is not a number", i);
        prior[i] = json_double(w.item);
    }
    this_row->example.prior = prior;
    return true;
}

static bool build_end(row *this_row, json_value end, size_t line, arena *a, capp_error *err) {
    if (json_kind_of(end) != JSON_KIND_STRING) return fail_at(err, line, "'end_of_prompt' is not a string");
    capp_str text = json_copy_string(a, end);
    if (strlen(text.data) != text.size) return fail_at(err, line, "'end_of_prompt' must be a space or empty");
    this_row->example.end_of_prompt = text.data;
    return true;
}

/* Translates a message of the library into the words of the command. */
static bool check_example(const row *this_row, size_t line, capp_error *err) {
    capp_error cause;
    if (this_row->example.n_completions == 1 && this_row->example.normalize)
        return fail_at(err, line,
                       "the row has only one completion, so its probability would be 1; give it more, or set "
                       "\"normalize\": false, or use --multi-label");
    if (!capp_example_check(&this_row->example, &cause)) return true;
    return fail_at(err, line, "%s", cause.message);
}

static bool build_choices(row *this_row, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    json_value completions = record_json(from, "completions"), prior = record_json(from, "prior");
    json_value end = record_json(from, "end_of_prompt"), normalize = record_json(from, "normalize");
    size_t line = from->line;
    capp_example *e = &this_row->example;
    *e = (capp_example){.prompt = e->prompt,
                        .completions = rules->classes,
                        .n_completions = rules->n_classes,
                        .end_of_prompt = rules->end_of_prompt,
                        .normalize = rules->normalize};
    if (completions.size && (rules->n_phrasings || rules->n_more))
        return fail_at(err, line,
                       "the row has its own completions, but the classes of the run have %s; remove 'completions' from "
                       "the row",
                       rules->n_phrasings ? "phrasings" : "a list with orders");
    if (completions.size && !build_completions(this_row, completions, line, a, err)) return false;
    if (!completions.size && !rules->n_classes)
        return fail_at(err, line, "the row has no completions; add the field 'completions', or list classes with -c");
    if (prior.size && !build_prior(this_row, prior, line, a, err)) return false;
    if (!prior.size && rules->n_prior) {
        if (rules->n_prior != e->n_completions)
            return fail_at(err, line, "--prior has %zu numbers, but the row has %zu completions", rules->n_prior,
                           e->n_completions);
        e->prior = rules->prior;
    }
    if (end.size && !build_end(this_row, end, line, a, err)) return false;
    if (normalize.size && json_kind_of(normalize) != JSON_KIND_BOOL)
        return fail_at(err, line, "'normalize' is not true or false");
    this_row->own_normalize = normalize.size > 0;
    if (this_row->own_normalize) e->normalize = json_is_true(normalize);
    if (rules->need == NEED_CHOICES_OR_TEXT)
        e->normalize = false; /* only log-probabilities are needed: one completion is enough */
    bool own = completions.size || prior.size || end.size || normalize.size;
    return !own || check_example(this_row, line, err); /* everything else was checked when the rules were read */
}

/* ---- Labels ------------------------------------------------------------------------------------------------------ */

static bool build_label(row *this_row, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    if (!record_text(from, capp_str_of(rules->label), a, &this_row->label_text))
        return fail_field(err, from, capp_str_of(rules->label));
    if (!this_row->label_text.size) return fail_at(err, from->line, "the label '%s' is empty", rules->label);
    const capp_example *e = &this_row->example;
    labels_find(this_row->label_text, e->completions, e->n_completions, this_row->label_found);
    this_row->label = labels_class(this_row->label_found, rules->labels);
    return this_row->label != SIZE_MAX || labels_fail(this_row->label_text, this_row->label_found, rules->labels,
                                                      e->completions, e->n_completions, from->line, err);
}

/* `logprobs` copies a label unchanged. */
static void build_label_json(row *this_row, const record *from, arena *a) {
    json_value label = record_json(from, "label");
    capp_str text;
    if (label.size) {
        this_row->label_json = json_compact(a, label);
    } else if (!from->object.size && record_text(from, capp_str_of("label"), a, &text)) {
        buffer json = {0};
        put_string(&json, text);
        this_row->label_json = arena_copy(a, buffer_view(&json));
        buffer_free(&json);
    }
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static bool row_build(row *this_row, const row_rules *rules, const record *from, size_t index, arena *a,
                      capp_str *empty, capp_error *err) {
    *this_row = (row){.line = from->line};
    if (rules->fields) this_row->fields = record_fields(from, a, &this_row->n_fields);
    if (!build_id(this_row, rules, from, index, a, err)) return false;
    if (rules->need == NEED_TEXT) return build_text(this_row, rules, from, a, empty, err);
    if (rules->need == NEED_PROMPT) return build_prompt(this_row, rules, from, a, empty, err);
    if (rules->need == NEED_CHOICES_OR_TEXT) {
        build_label_json(this_row, from, a);
        if (!rules->n_classes && !record_json(from, "completions").size) {
            capp_str prompt;
            if (!rules->has_template && record_text(from, capp_str_of("prompt"), a, &prompt))
                return build_choices(this_row, rules, from, a,
                                     err); /* the message says that there are no completions */
            return build_text(this_row, rules, from, a, empty, err);
        }
    }
    if (!build_prompt(this_row, rules, from, a, empty, err) || !build_choices(this_row, rules, from, a, err))
        return false;
    return !rules->label || build_label(this_row, rules, from, a, err);
}

bool row_is_bad(const row *this_row) {
    return this_row->reason.size > 0;
}

void row_set_bad(row *this_row, const char *reason, arena *a) {
    this_row->reason = arena_copy(a, capp_str_of(reason));
}

bool row_may_cause(capp_status status) {
    return status == CAPP_EINVAL || status == CAPP_ETOOLONG || status == CAPP_EBUDGET || status == CAPP_EFORMAT;
}

static void tell_notes(row_rules *rules, const row *this_row, capp_str empty) {
    const capp_str none = {NULL, 0};
    const noted_row noted = {.line = this_row->line,
                             .id = this_row->id_given ? this_row->id : none,
                             .empty = row_is_bad(this_row) ? none : empty,
                             .example = row_is_bad(this_row) ? NULL : &this_row->example,
                             .own_completions = this_row->example.completions != rules->classes};
    notes_row(&rules->notes, &noted);
}

void row_make(row *this_row, row_rules *rules, const record *from, size_t index, arena *a, capp_error *err) {
    capp_str empty = {NULL, 0};
    if (!from) {
        *this_row = (row){.line = err->row};
        number_row(this_row, index, a);
        row_set_bad(this_row, err->message, a);
        return;
    }
    if (!row_build(this_row, rules, from, index, a, &empty, err)) row_set_bad(this_row, err->message, a);
    tell_notes(rules, this_row, empty);
}

/* If the columns are known: whether those of --id and of --label are among them. */
static bool check_columns(const row_rules *rules, reader *from, capp_error *err) {
    return (!rules->id || reader_knows(from, capp_str_of(rules->id), err)) &&
           (!rules->label || reader_knows(from, capp_str_of(rules->label), err));
}

read_status row_read(row *this_row, row_rules *rules, reader *from, size_t index, bool wait, arena *a,
                     capp_error *err) {
    record next;
    read_status status = reader_next(from, &next, wait, err);
    if (index == 0 && status != READ_FAILED && !template_check(&rules->template, from, err)) return READ_FAILED;
    if (status != READ_ROW && status != READ_BAD) return status;
    if (index == 0 && !check_columns(rules, from, err)) return READ_FAILED;
    row_make(this_row, rules, status == READ_ROW ? &next : NULL, index, a, err);
    return READ_ROW;
}
