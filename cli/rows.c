#include "rows.h"
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void number_row(row *r, size_t index, arena *a) {
    char number[24];
    snprintf(number, sizeof number, "%zu", index);
    r->id = arena_copy(a, capp_str_of(number));
}

static bool build_id(row *r, const row_rules *rules, const record *from, size_t index, arena *a, capp_error *err) {
    const char *name = rules->id ? rules->id : "id";
    json_value id = record_json(from, name);
    r->id_given = id.size > 0;
    if (id.size) {
        r->id_string = json_kind_of(id) == JSON_KIND_STRING;
        r->id = r->id_string ? json_copy_string(a, id) : json_compact(a, id);
    } else if (!from->object.size && record_text(from, capp_str_of(name), a, &r->id)) {
        r->id_given = r->id_string = true;
    } else {
        number_row(r, index, a);
    }
    return r->id_given || !rules->id || fail_field(err, from, capp_str_of(name));
}

/* ---- Prompts and texts ------------------------------------------------------------------------------------------- */

/* The template's text, else the field `prompt`, else `text`. */
static bool build_prompt(row *r, const row_rules *rules, const record *from, arena *a, capp_str *empty,
                         capp_error *err) {
    static const capp_str prompt = {"prompt", 6}, text = {"text", 4};
    if (rules->has_template) return template_render(&rules->template, from, a, &r->example.prompt, empty, err);
    if (!record_text(from, prompt, a, &r->example.prompt) && !record_text(from, text, a, &r->example.prompt)) {
        fail_field(err, from, text);
        const capp_error cause = *err;
        return fail_at(err, from->line, "no prompt: %.800s; name columns in a template by -t '{...}'", cause.message);
    }
    return r->example.prompt.size || fail_at(err, from->line, "the prompt is empty");
}

static bool build_text(row *r, const row_rules *rules, const record *from, arena *a, capp_str *empty, capp_error *err) {
    static const capp_str text = {"text", 4};
    r->is_text = true;
    if (rules->has_template) return template_render(&rules->template, from, a, &r->example.prompt, empty, err);
    if (!record_text(from, text, a, &r->example.prompt)) return fail_field(err, from, text);
    return r->example.prompt.size || rules->need == NEED_TEXT || fail_at(err, from->line, "the text is empty");
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

static bool build_completions(row *r, json_value list, size_t line, arena *a, capp_error *err) {
    if (json_kind_of(list) != JSON_KIND_ARRAY) return fail_at(err, line, "'completions' is not a list of strings");
    size_t n = json_size(list), i = 0;
    capp_str *completions = arena_take(a, n, sizeof *completions);
    for (json_walk w = json_begin(list); json_next(&w); i++) {
        json_value item = completion_text(w.item);
        if (json_kind_of(item) != JSON_KIND_STRING)
            return fail_at(err, line, "item %zu of 'completions' is not a string", i);
        completions[i] = json_copy_string(a, item);
    }
    r->example.completions = completions;
    r->example.n_completions = n;
    return true;
}

static bool build_prior(row *r, json_value list, size_t line, arena *a, capp_error *err) {
    if (json_kind_of(list) != JSON_KIND_ARRAY) return fail_at(err, line, "'prior' is not a list of numbers");
    size_t n = json_size(list), i = 0;
    if (n != r->example.n_completions)
        return fail_at(err, line, "'prior' has %zu numbers, but there are %zu completions", n,
                       r->example.n_completions);
    double *prior = arena_take(a, n, sizeof *prior);
    for (json_walk w = json_begin(list); json_next(&w); i++) {
        if (json_kind_of(w.item) != JSON_KIND_NUMBER)
            return fail_at(err, line, "item %zu of 'prior' is not a number", i);
        prior[i] = json_double(w.item);
    }
    r->example.prior = prior;
    return true;
}

static bool build_end(row *r, json_value end, size_t line, arena *a, capp_error *err) {
    if (json_kind_of(end) != JSON_KIND_STRING) return fail_at(err, line, "'end_of_prompt' is not a string");
    capp_str text = json_copy_string(a, end);
    if (strlen(text.data) != text.size) return fail_at(err, line, "'end_of_prompt' must be a space or empty");
    r->example.end_of_prompt = text.data;
    return true;
}

/* What the library says of the row, in the words of the command. */
static bool check_example(const row *r, size_t line, capp_error *err) {
    capp_error cause;
    if (r->example.n_completions == 1 && r->example.normalize)
        return fail_at(err, line,
                       "the row has one completion, whose probability would be 1: give it more, or "
                       "\"normalize\": false or --multi-label");
    if (!capp_example_check(&r->example, &cause)) return true;
    return fail_at(err, line, "%s", cause.message);
}

static bool build_choices(row *r, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    json_value completions = record_json(from, "completions"), prior = record_json(from, "prior");
    json_value end = record_json(from, "end_of_prompt"), normalize = record_json(from, "normalize");
    size_t line = from->line;
    capp_example *e = &r->example;
    *e = (capp_example){.prompt = e->prompt,
                        .completions = rules->classes,
                        .n_completions = rules->n_classes,
                        .end_of_prompt = rules->end_of_prompt,
                        .normalize = rules->normalize};
    if (completions.size && !build_completions(r, completions, line, a, err)) return false;
    if (!completions.size && !rules->n_classes)
        return fail_at(err, line, "the row has no completions; name classes by -c, or give it 'completions'");
    if (prior.size && !build_prior(r, prior, line, a, err)) return false;
    if (!prior.size && rules->n_prior) {
        if (rules->n_prior != e->n_completions)
            return fail_at(err, line, "--prior has %zu numbers, but the row has %zu completions", rules->n_prior,
                           e->n_completions);
        e->prior = rules->prior;
    }
    if (end.size && !build_end(r, end, line, a, err)) return false;
    if (normalize.size && json_kind_of(normalize) != JSON_KIND_BOOL)
        return fail_at(err, line, "'normalize' is not true or false");
    if (normalize.size) e->normalize = json_is_true(normalize);
    if (rules->need == NEED_CHOICES_OR_TEXT) e->normalize = false; /* log-probabilities alone: one completion will do */
    bool own = completions.size || prior.size || end.size || normalize.size;
    return !own || check_example(r, line, err); /* what is not its own was checked with the rules */
}

/* ---- Labels ------------------------------------------------------------------------------------------------------ */

static bool fail_label(const row *r, const row_rules *rules, size_t line, arena *a, capp_error *err) {
    capp_str label = r->label_text, form = visible_form(label, a);
    const capp_example *e = &r->example;
    int shown = label.size < 200 ? (int)label.size : (int)utf8_valid(label.data, 200);
    if (rules->labels == LABELS_BY_INDEX)
        return fail_at(err, line, "label '%.*s' is not an index from 0 to %zu", shown, label.data,
                       e->n_completions - 1);
    for (size_t i = 0; i < e->n_completions; i++)
        if (str_equal(form, visible_form(e->completions[i], a)))
            return fail_at(
                err, line,
                "label '%.*s' differs from class %zu in its Unicode form or in spaces around it alone; write "
                "both alike",
                shown, label.data, i + 1);
    bool index = rules->labels == LABELS_BY_TEXT && r->label_found[LABELS_BY_INDEX] != SIZE_MAX;
    return fail_at(err, line, "label '%.*s' is none of the %zu classes%s%s", shown, label.data, e->n_completions,
                   rules->labels == LABELS_UNDECIDED ? " and not an index of one" : "",
                   index ? "; where labels are indices from 0, say so by --label-index" : "");
}

static bool build_label(row *r, const row_rules *rules, const record *from, arena *a, capp_error *err) {
    if (!record_text(from, capp_str_of(rules->label), a, &r->label_text))
        return fail_field(err, from, capp_str_of(rules->label));
    if (!r->label_text.size) return fail_at(err, from->line, "the label '%s' is empty", rules->label);
    r->label_found[LABELS_BY_TEXT] = r->label_found[LABELS_BY_INDEX] = SIZE_MAX;
    for (size_t i = r->example.n_completions; i > 0; i--)
        if (str_equal(r->label_text, r->example.completions[i - 1])) r->label_found[LABELS_BY_TEXT] = i - 1;
    uint64_t index;
    if (strlen(r->label_text.data) == r->label_text.size &&
        parse_count(r->label_text.data, r->example.n_completions - 1, &index))
        r->label_found[LABELS_BY_INDEX] = (size_t)index;
    bool either = rules->labels == LABELS_UNDECIDED;
    r->label = r->label_found[either ? LABELS_BY_TEXT : rules->labels];
    if (either && r->label == SIZE_MAX) r->label = r->label_found[LABELS_BY_INDEX];
    return r->label != SIZE_MAX || fail_label(r, rules, from->line, a, err);
}

/* `logprobs` hands a label on as it is. */
static void build_label_json(row *r, const record *from, arena *a) {
    json_value label = record_json(from, "label");
    capp_str text;
    if (label.size) {
        r->label_json = json_compact(a, label);
    } else if (!from->object.size && record_text(from, capp_str_of("label"), a, &text)) {
        buffer json = {0};
        put_string(&json, text);
        r->label_json = arena_copy(a, buffer_view(&json));
        buffer_free(&json);
    }
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static bool row_build(row *r, const row_rules *rules, const record *from, size_t index, arena *a, capp_str *empty,
                      capp_error *err) {
    *r = (row){.line = from->line};
    if (rules->fields) r->fields = record_fields(from, a, &r->n_fields);
    if (!build_id(r, rules, from, index, a, err)) return false;
    if (rules->need == NEED_TEXT) return build_text(r, rules, from, a, empty, err);
    if (rules->need == NEED_PROMPT) return build_prompt(r, rules, from, a, empty, err);
    if (rules->need == NEED_CHOICES_OR_TEXT) {
        build_label_json(r, from, a);
        if (!rules->n_classes && !record_json(from, "completions").size) {
            capp_str prompt;
            if (!rules->has_template && record_text(from, capp_str_of("prompt"), a, &prompt))
                return build_choices(r, rules, from, a, err); /* says that there are no completions */
            return build_text(r, rules, from, a, empty, err);
        }
    }
    if (!build_prompt(r, rules, from, a, empty, err) || !build_choices(r, rules, from, a, err)) return false;
    return !rules->label || build_label(r, rules, from, a, err);
}

bool row_is_bad(const row *r) {
    return r->reason.size > 0;
}

void row_set_bad(row *r, const char *reason, arena *a) {
    r->reason = arena_copy(a, capp_str_of(reason));
}

static void tell_notes(row_rules *rules, const row *r, capp_str empty) {
    const capp_str none = {NULL, 0};
    const noted_row noted = {.line = r->line,
                             .id = r->id_given ? r->id : none,
                             .empty = row_is_bad(r) ? none : empty,
                             .example = row_is_bad(r) ? NULL : &r->example,
                             .own_completions = r->example.completions != rules->classes};
    notes_row(&rules->notes, &noted);
}

read_status row_read(row *r, row_rules *rules, reader *from, size_t index, bool wait, arena *a, capp_error *err) {
    record next;
    capp_str empty = {NULL, 0};
    read_status status = reader_next(from, &next, wait, err);
    if (index == 0 && status != READ_FAILED && !template_check(&rules->template, from, err)) return READ_FAILED;
    if (status == READ_BAD) {
        *r = (row){.line = err->row};
        number_row(r, index, a);
        row_set_bad(r, err->message, a);
        return READ_ROW;
    }
    if (status != READ_ROW) return status;
    if (!row_build(r, rules, &next, index, a, &empty, err)) row_set_bad(r, err->message, a);
    tell_notes(rules, r, empty);
    return READ_ROW;
}
