#include "frame.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_EXAMPLES = 1000 };

typedef struct frame {
    row_rules *rules;
    const options *settings;
    template own, item, instruction; /* as the options have them */
    size_t n_orders;
    buffer separator, between; /* of examples; of the list */
    buffer list, before;       /* of the current order */
} frame;

/* ---- Options ----------------------------------------------------------------------------------------------------- */

/* Options that need another one. */
static bool check_needs(const options *o, capp_error *err) {
    const struct {
        const char *name, *needed;
        bool given, has;
    } needs[] = {
        {"--instruction", "-t", o->instruction, o->template},
        {"--examples", "-t", o->examples, o->template},
        {"--list", "-t", o->list, o->template},
        {"--list", "-c", o->list, o->classes},
        {"--list-separator", "--list", o->list_separator, o->list},
        {"--orders", "--list", o->orders > 1, o->list},
        {"--examples-label", "--examples", o->examples_label, o->examples},
        {"--examples-separator", "--examples or --instruction", o->examples_separator, o->examples || o->instruction},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (needs[i].given && !needs[i].has)
            return fail_at(err, 0, "%s has no effect without %s; add it", needs[i].name, needs[i].needed);
    if (o->instruction && o->chat)
        return fail_at(err, 0, "--instruction does not work with --chat; write it as --system, or in the template");
    if (o->orders > 1 && o->only_prediction)
        return fail_at(err, 0, "--only-prediction does not work with --orders; remove one of the two");
    return true;
}

static bool check_orders(const frame *f, capp_error *err) {
    if (f->settings->orders <= 1 || f->settings->orders <= f->rules->n_classes) return true;
    fail_at(err, 0, "--orders %zu: a list of %zu classes has only %zu rotations", f->settings->orders,
            f->rules->n_classes, f->rules->n_classes);
    return options_blame(f->settings, "orders", err);
}

static bool parse_option(template *pattern, const char *text, const options *settings, const char *name,
                         capp_error *err) {
    const char *shown = !strcmp(name, "template") ? "-t" : name;
    return !text || template_parse(pattern, text, shown, err) || options_blame(settings, name, err);
}

static bool names_field(const template *pattern, const char *name) {
    capp_str *names = NULL;
    size_t n = 0, capacity = 0;
    bool found = false;
    template_fields(pattern, &names, &n, &capacity);
    for (size_t i = 0; i < n; i++) found = found || str_is(names[i], name);
    free(names);
    return found;
}

static bool open_frame(frame *f, capp_error *err) {
    const options *o = f->settings;
    if (!check_needs(o, err) || !check_orders(f, err)) return false;
    if (!parse_option(&f->own, o->template, o, "template", err)) return false;
    if (!parse_option(&f->item, o->list, o, "list", err)) return false;
    if (!parse_option(&f->instruction, o->instruction, o, "instruction", err)) return false;
    if (o->list && !names_field(&f->own, "classes") && !names_field(&f->instruction, "classes"))
        return fail_at(err, 0,
                       "--list: neither the template nor the instruction has a place for the list; write {classes} "
                       "in one of them");
    const char *separator = o->examples_separator ? o->examples_separator : "\\n\\n";
    const char *between = o->list_separator ? o->list_separator : "\\n";
    buffer_unescaped(&f->separator, separator, strlen(separator));
    buffer_unescaped(&f->between, between, strlen(between));
    return true;
}

static void close_frame(frame *f) {
    template_free(&f->own);
    template_free(&f->item);
    template_free(&f->instruction);
    buffer_free(&f->separator);
    buffer_free(&f->between);
    buffer_free(&f->list);
    buffer_free(&f->before);
}

/* ---- The list of classes ----------------------------------------------------------------------------------------- */

static capp_str description_of(const row_rules *rules, size_t class) {
    return rules->descriptions ? rules->descriptions[class] : (capp_str){"", 0};
}

/* Writes the list in the given order: a rotation, so that each class has each place once if there are as many orders as
 * classes. */
static bool write_list(frame *f, size_t order, capp_error *err) {
    const row_rules *rules = f->rules;
    size_t n = rules->n_classes, start = order * n / f->n_orders;
    f->list.size = 0;
    if (!f->settings->list) return true;
    for (size_t i = 0; i < n; i++) {
        size_t class = (start + i) % n;
        char number[24];
        snprintf(number, sizeof number, "%zu", i + 1);
        const template_value values[] = {{"class", rules->classes[class]},
                                         {"description", description_of(rules, class)},
                                         {"number", capp_str_of(number)}};
        if (i) buffer_str(&f->list, buffer_view(&f->between));
        if (!template_expand(&f->item, values, sizeof values / sizeof *values, "--list", &f->list, err))
            return options_blame(f->settings, "list", err);
    }
    return true;
}

static bool write_instruction(frame *f, capp_error *err) {
    const template_value list = {"classes", buffer_view(&f->list)};
    if (!f->settings->instruction) return true;
    if (!template_expand(&f->instruction, &list, f->settings->list != NULL, "--instruction", &f->before, err))
        return options_blame(f->settings, "instruction", err);
    buffer_str(&f->before, buffer_view(&f->separator));
    return true;
}

/* The rows' template with a text before it, and with the list of classes in its place. */
static void put_together(const frame *f, template *pattern) {
    const template_value list = {"classes", buffer_view(&f->list)};
    template_set(pattern, &f->own, buffer_view(&f->before), f->settings->list ? &list : NULL);
}

/* ---- Examples ---------------------------------------------------------------------------------------------------- */

static const char *label_column(const options *o) {
    if (o->examples_label) return o->examples_label;
    if (o->project_label) return o->project_label;
    return o->label ? o->label : "label";
}

/* Whether the examples' labels are indices. --label-index is about INPUT if the project says how labels are read. */
static bool has_indices(const options *o) {
    return o->project_label_index || (o->label_index && !o->project_label);
}

/* The words of an example's class: its first phrasing. */
static bool answer_of(const frame *f, const record *from, arena *a, capp_str *answer, capp_error *err) {
    const row_rules *rules = f->rules;
    const char *column = label_column(f->settings);
    capp_str label;
    uint64_t index = rules->n_classes;
    if (!record_text(from, capp_str_of(column), a, &label)) return fail_field(err, from, capp_str_of(column));
    *answer = label;
    if (!label.size) return fail_at(err, from->line, "the label '%s' is empty", column);
    if (!rules->n_classes) return true;
    bool indices = has_indices(f->settings);
    if (indices && !parse_count(label.data, rules->n_classes - 1, &index)) index = rules->n_classes;
    for (size_t i = 0; i < rules->n_classes && !indices; i++)
        if (str_equal(label, rules->classes[i]) && index == rules->n_classes) index = i;
    if (index == rules->n_classes)
        return fail_at(err, from->line,
                       "label '%.*s' is none of the %zu classes; correct it, or name another column "
                       "with --examples-label",
                       label.size < 200 ? (int)label.size : (int)utf8_valid(label.data, 200), label.data,
                       rules->n_classes);
    *answer = rules->classes[index];
    for (size_t i = rules->n_phrasings; i > 0; i--)
        if (rules->class_of[i - 1] == index) *answer = rules->phrasings[i - 1];
    return true;
}

/* Adds an example to the text before the rows, or in a chat two messages. */
static void add_example(frame *f, capp_str prompt, capp_str answer) {
    row_rules *rules = f->rules;
    if (f->settings->chat) {
        rules->turns[rules->n_turns++] = (capp_message){capp_str_of("user"), arena_copy(&rules->memory, prompt)};
        rules->turns[rules->n_turns++] = (capp_message){capp_str_of("assistant"), arena_copy(&rules->memory, answer)};
        return;
    }
    buffer_str(&f->before, prompt);
    buffer_text(&f->before, rules->end_of_prompt ? rules->end_of_prompt : " ");
    buffer_str(&f->before, answer);
    buffer_str(&f->before, buffer_view(&f->separator));
}

static bool read_examples(frame *f, const template *pattern, reader *from, capp_error *err) {
    arena memory = {0};
    read_status status = READ_ROW;
    size_t n = 0;
    bool good = true;
    while (good) {
        record next;
        capp_str prompt, answer = {0}, empty;
        arena_reset(&memory);
        status = reader_next(from, &next, true, err);
        if (status != READ_ROW) break;
        good = template_render(pattern, &next, &memory, &prompt, &empty, err) &&
               answer_of(f, &next, &memory, &answer, err) &&
               (++n <= MOST_EXAMPLES ||
                fail_at(err, next.line, "there are more than %d examples; keep a few rows of each class",
                        (int)MOST_EXAMPLES));
        if (good) add_example(f, prompt, answer);
    }
    arena_free(&memory);
    if (good && status == READ_END && (n || interrupted())) return true;
    if (good && status == READ_END) fail_at(err, 1, "there are no examples; add rows, or remove --examples");
    const capp_error cause = *err;
    return fail_at(err, 0, "%s:%zu: %.800s", f->settings->examples, cause.row, cause.message);
}

/* The examples of --examples, in the form of the rows. pattern: the template without them. */
static bool write_examples(frame *f, const template *pattern, capp_error *err) {
    const options *o = f->settings;
    capp_str *asked = NULL;
    size_t n = 0, capacity = 0;
    template_fields(pattern, &asked, &n, &capacity);
    grow(&asked, &capacity, n + 1, sizeof *asked);
    asked[n++] = capp_str_of(label_column(o));
    const reader_options how = {
        .path = o->examples, .max_record = o->max_record, .quiet = true, .asked = asked, .n_asked = n};
    reader from;
    bool good = reader_open(&from, &how, err) && read_examples(f, pattern, &from, err);
    reader_close(&from);
    free(asked);
    return good;
}

/* ---- Templates --------------------------------------------------------------------------------------------------- */

static bool make_order(frame *f, size_t order, template *made, capp_error *err) {
    const options *o = f->settings;
    f->before.size = 0;
    if (!write_list(f, order, err)) return false;
    if (o->examples && !(o->chat && order)) { /* a chat has its examples once, with the first order */
        template alone = {0};
        put_together(f, &alone);
        bool good = write_instruction(f, err) && write_examples(f, &alone, err);
        template_free(&alone);
        if (!good) return false;
    } else if (!write_instruction(f, err)) {
        return false;
    }
    put_together(f, made);
    return true;
}

bool frame_read(row_rules *rules, const options *settings, capp_error *err) {
    frame f = {.rules = rules, .settings = settings};
    bool good = open_frame(&f, err);
    bool describes = good && names_field(&f.item, "description");
    for (size_t i = 0; describes && i < rules->n_classes; i++) rules->n_undescribed += !description_of(rules, i).size;
    f.n_orders = settings->compare_orders && settings->orders < 2 && rules->n_classes > 1 ? 2 : settings->orders;
    if (good && settings->examples && settings->chat)
        rules->turns = arena_allocate(&rules->memory, 2 * MOST_EXAMPLES, sizeof *rules->turns);
    if (good && settings->template) good = make_order(&f, 0, &rules->template, err);
    if (good && f.n_orders > 1) rules->more = allocate(f.n_orders - 1, sizeof *rules->more);
    for (size_t i = 1; good && i < f.n_orders; i++) {
        good = make_order(&f, i, &rules->more[rules->n_more], err);
        rules->n_more += good;
    }
    close_frame(&f);
    return good;
}

void frame_free(row_rules *rules) {
    template_free(&rules->template);
    for (size_t i = 0; i < rules->n_more; i++) template_free(&rules->more[i]);
    free(rules->more);
}
