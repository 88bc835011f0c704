/* The classes, the prior and the template of the command line. */
#include "frame.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool file_text(const char *path, buffer *content, capp_error *err) {
    if (!read_file(path, content, err)) return false;
    size_t valid = utf8_valid(content->data, content->size);
    if (valid < content->size) return fail_at(err, 0, "%s: invalid UTF-8 at byte %zu", path, valid + 1);
    if (content->size >= 3 && !memcmp(content->data, "\xEF\xBB\xBF", 3)) {
        content->size -= 3;
        memmove(content->data, content->data + 3, content->size);
    }
    return true;
}

/* The array in a file; false and a message if there is none. Borrows text. */
static bool json_array_of(capp_str text, const char *name, json_value *array, capp_error *err) {
    size_t at = 0, line = 1, start = 0;
    const char *reason = "";
    if (!text.size) return fail_at(err, 0, "%s: the file is empty; a JSON array is needed, such as [1, 2]", name);
    if (!json_check(text, array, &at, &reason)) {
        for (size_t i = 0; i < at; i++) {
            if (text.data[i] != '\n') continue;
            line++;
            start = i + 1;
        }
        return fail_at(err, 0, "%s: bad JSON at line %zu, column %zu: %s", name, line, at - start + 1, reason);
    }
    if (json_kind_of(*array) == JSON_KIND_ARRAY) return true;
    return fail_at(err, 0, "%s: a JSON array is needed, such as [1, 2]", name);
}

static bool add_class(row_rules *rules, size_t *capacity, capp_str text, const char *where, capp_error *err) {
    if (!text.size) return fail_at(err, 0, "%s: class %zu is empty; remove it", where, rules->n_classes + 1);
    grow(&rules->classes, capacity, rules->n_classes + 1, sizeof *rules->classes);
    rules->classes[rules->n_classes++] = arena_copy(&rules->memory, text);
    return true;
}

static capp_str trim(capp_str text) {
    while (text.size && (*text.data == ' ' || *text.data == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size && is_one_of(text.data[text.size - 1], " \t\r")) text.size--;
    return text;
}

/* Classes between separators, without the spaces around them. Empty ones at the end of a file are ignored. */
static bool split_classes(row_rules *rules, capp_str list, char separator, const char *where, capp_error *err) {
    size_t capacity = 0;
    while (separator == '\n' && list.size && is_one_of(list.data[list.size - 1], " \t\r\n")) list.size--;
    for (bool more = list.size > 0; more;) {
        const char *end = memchr(list.data, separator, list.size);
        more = end != NULL;
        capp_str part = {list.data, end ? (size_t)(end - list.data) : list.size};
        if (!add_class(rules, &capacity, trim(part), where, err)) return false;
        list.data += part.size + more;
        list.size -= part.size + more;
    }
    return true;
}

/* ---- Classes as JSON -------------------------------------------------------------------------------------------- */

/* Sizes of the arrays while classes are read. */
typedef struct class_room {
    size_t classes, phrasings, class_of, descriptions, prior;
    const char *where; /* for messages */
} class_room;

static bool add_phrasing(row_rules *rules, class_room *room, capp_str text, capp_error *err) {
    if (!text.size)
        return fail_at(err, 0, "%s: class %zu has an empty phrasing; remove it", room->where, rules->n_classes);
    grow(&rules->phrasings, &room->phrasings, rules->n_phrasings + 1, sizeof *rules->phrasings);
    grow(&rules->class_of, &room->class_of, rules->n_phrasings + 1, sizeof *rules->class_of);
    rules->phrasings[rules->n_phrasings] = arena_copy(&rules->memory, text);
    rules->class_of[rules->n_phrasings++] = rules->n_classes - 1;
    return true;
}

static json_value member_of(json_value object, const char *name) {
    json_value found = {NULL, 0};
    for (json_walk w = json_begin(object); json_next(&w);)
        if (w.name.size == strlen(name) + 2 && !memcmp(w.name.data + 1, name, strlen(name))) found = w.item;
    return found;
}

static bool check_members(json_value object, size_t number, const char *where, capp_error *err) {
    static const char *const names[] = {"\"name\"", "\"description\"", "\"phrasings\"", "\"prior\""};
    for (json_walk w = json_begin(object); json_next(&w);) {
        size_t i = 0;
        while (i < sizeof names / sizeof *names && !str_is(w.name, names[i])) i++;
        if (i == sizeof names / sizeof *names)
            return fail_at(err, 0,
                           "%s: class %zu has a member %.*s; the members are name, description, phrasings and prior",
                           where, number, w.name.size < 100 ? (int)w.name.size : 100, w.name.data);
    }
    return true;
}

static bool add_phrasings(row_rules *rules, class_room *room, json_value list, capp_error *err) {
    if (json_kind_of(list) != JSON_KIND_ARRAY || !json_size(list))
        return fail_at(err, 0, "%s: the phrasings of class %zu are not a list of texts", room->where, rules->n_classes);
    for (json_walk w = json_begin(list); json_next(&w);) {
        if (json_kind_of(w.item) != JSON_KIND_STRING)
            return fail_at(err, 0, "%s: a phrasing of class %zu is not a string; put it in quotes", room->where,
                           rules->n_classes);
        if (!add_phrasing(rules, room, json_copy_string(&rules->memory, w.item), err)) return false;
    }
    return true;
}

static bool add_own_prior(row_rules *rules, class_room *room, json_value prior, capp_error *err) {
    bool first = rules->n_classes == 1, number = json_kind_of(prior) == JSON_KIND_NUMBER;
    if (prior.size && !number)
        return fail_at(err, 0, "%s: the prior of class %zu is not a number", room->where, rules->n_classes);
    if (!first && number != (rules->n_prior > 0))
        return fail_at(err, 0, "%s: class %zu has %s prior, and the classes before it have %s; give all or none",
                       room->where, rules->n_classes, number ? "a" : "no", number ? "none" : "one");
    if (!number) return true;
    grow(&rules->prior, &room->prior, rules->n_prior + 1, sizeof *rules->prior);
    rules->prior[rules->n_prior++] = json_double(prior);
    return true;
}

/* "refund", or {"name": "refund", "description": "...", "phrasings": ["refund", "money back"], "prior": 0.2} */
static bool add_item(row_rules *rules, class_room *room, json_value item, capp_error *err) {
    size_t number = rules->n_classes + 1;
    bool object = json_kind_of(item) == JSON_KIND_OBJECT;
    if (object && !check_members(item, number, room->where, err)) return false;
    json_value name = object ? member_of(item, "name") : item, none = {NULL, 0};
    json_value description = object ? member_of(item, "description") : none;
    json_value phrasings = object ? member_of(item, "phrasings") : none;
    if (!name.size) return fail_at(err, 0, "%s: class %zu has no name", room->where, number);
    if (json_kind_of(name) != JSON_KIND_STRING)
        return fail_at(err, 0, "%s: class %zu is not a string; put it in quotes", room->where, number);
    if (description.size && json_kind_of(description) != JSON_KIND_STRING)
        return fail_at(err, 0, "%s: the description of class %zu is not a string", room->where, number);
    capp_str text = json_copy_string(&rules->memory, name);
    if (!add_class(rules, &room->classes, text, room->where, err)) return false;
    grow(&rules->descriptions, &room->descriptions, number, sizeof *rules->descriptions);
    rules->descriptions[number - 1] =
        description.size ? json_copy_string(&rules->memory, description) : (capp_str){"", 0};
    return (phrasings.size ? add_phrasings(rules, room, phrasings, err) : add_phrasing(rules, room, text, err)) &&
           add_own_prior(rules, room, object ? member_of(item, "prior") : none, err);
}

/* Phrasings that are the names of the classes are none. */
static void drop_names(row_rules *rules) {
    bool names = rules->n_phrasings == rules->n_classes;
    for (size_t i = 0; i < rules->n_classes && names; i++) names = str_equal(rules->phrasings[i], rules->classes[i]);
    if (names) rules->n_phrasings = 0;
}

static bool json_classes(row_rules *rules, capp_str text, const char *where, capp_error *err) {
    json_value array = {NULL, 0};
    class_room room = {.where = where};
    if (!json_array_of(text, where, &array, err)) return false;
    for (json_walk w = json_begin(array); json_next(&w);)
        if (!add_item(rules, &room, w.item, err)) return false;
    drop_names(rules);
    return true;
}

static bool file_classes(row_rules *rules, const char *path, capp_error *err) {
    buffer content = {0};
    if (!file_text(path, &content, err)) {
        buffer_free(&content);
        return false;
    }
    size_t at = 0;
    while (at < content.size && is_one_of(content.data[at], " \t\r\n")) at++;
    bool good = at < content.size && content.data[at] == '['
                    ? json_classes(rules, buffer_view(&content), path, err)
                    : split_classes(rules, buffer_view(&content), '\n', path, err);
    buffer_free(&content);
    return good;
}

/* A single class: most often the name of a file without its @, or a list with another separator. */
static bool check_one_class(const row_rules *rules, const char *text, capp_error *err) {
    static const char *const ends[] = {".txt", ".json", ".csv", ".tsv", ".jsonl"};
    bool named = false;
    if (rules->n_classes != 1 || *text == '@') return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) named = named || ends_with(text, ends[i]);
    if (named || !access(text, R_OK))
        return fail_at(err, 0, "-c '%s' is one class with this name; to read classes from the file, write -c '@%s'",
                       text, text);
    if (!rules->normalize || rules->need != NEED_CHOICES) return true;
    char other = strchr(text, ';') ? ';' : strchr(text, '|') ? '|' : strchr(text, '\n') ? '\n' : 0;
    if (other == '\n') return fail_at(err, 0, "-c is one class that contains line feeds; separate classes with commas");
    if (other) return fail_at(err, 0, "-c '%s' is one class; separate classes with commas, not with '%c'", text, other);
    return fail_at(err, 0,
                   "-c '%s' is only one class, so its probability would always be 1; list at least two, separated by "
                   "commas, or use --multi-label",
                   text);
}

static bool parse_classes(row_rules *rules, const char *text, bool json, capp_error *err) {
    bool good;
    if (json) {
        good = json_classes(rules, capp_str_of(text), "the project file", err);
    } else if (*text == '@') {
        good = file_classes(rules, text + 1, err);
    } else {
        capp_str list = capp_str_of(text);
        size_t valid = utf8_valid(list.data, list.size);
        if (valid < list.size) return fail_at(err, 0, "-c: invalid UTF-8 at byte %zu", valid + 1);
        good = split_classes(rules, list, ',', "-c", err);
    }
    if (good && !rules->n_classes) return fail_at(err, 0, "-c: there are no classes; write, for example, 'yes,no'");
    if (good && rules->n_phrasings && rules->need != NEED_CHOICES)
        return fail_at(err, 0, "-c: classes with phrasings work only with classify, evaluate and decide");
    return good && check_one_class(rules, json ? "@" : text, err);
}

static bool add_prior(row_rules *rules, size_t *capacity, double value) {
    grow(&rules->prior, capacity, rules->n_prior + 1, sizeof *rules->prior);
    rules->prior[rules->n_prior++] = value;
    return true;
}

static bool json_prior(row_rules *rules, const char *path, capp_error *err) {
    buffer content = {0};
    json_value array = {NULL, 0};
    size_t i = 0, capacity = 0;
    bool good = file_text(path, &content, err) && json_array_of(buffer_view(&content), path, &array, err);
    if (good)
        for (json_walk w = json_begin(array); good && json_next(&w); i++) {
            good = json_kind_of(w.item) == JSON_KIND_NUMBER ||
                   fail_at(err, 0, "%s: the prior of class %zu is not a number", path, i + 1);
            if (good) add_prior(rules, &capacity, json_double(w.item));
        }
    buffer_free(&content);
    return good;
}

static bool parse_prior(row_rules *rules, const char *text, capp_error *err) {
    size_t capacity = 0;
    free(rules->prior); /* of classes with their own */
    rules->prior = NULL;
    rules->n_prior = 0;
    if (*text == '@') return json_prior(rules, text + 1, err);
    for (const char *at = text;; at++) {
        char *end;
        double value = strtod(at, &end);
        while (*end == ' ') end++;
        if (end == at || (*end && *end != ','))
            return fail_at(err, 0, "--prior '%s' is not a list of numbers; write, for example, 0.2,0.8%s%s", text,
                           access(text, R_OK) ? "" : ", or for the file of this name @",
                           access(text, R_OK) ? "" : text);
        add_prior(rules, &capacity, value);
        at = end;
        if (!*at) return true;
    }
}

static int by_text(const void *a, const void *b) {
    const capp_str *x = a, *y = b;
    size_t n = x->size < y->size ? x->size : y->size;
    int order = n ? memcmp(x->data, y->data, n) : 0;
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* Whether texts are equal; then warns of each, and says what that means. */
static bool warn_equal(const capp_str *texts, size_t n, const char *what, const char *effect) {
    capp_str *sorted = allocate(n, sizeof *sorted);
    bool any = false;
    if (n) memcpy(sorted, texts, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    for (size_t i = 1; i < n; i++) {
        if (!str_equal(sorted[i - 1], sorted[i])) continue;
        if (i < 2 || !str_equal(sorted[i - 2], sorted[i]))
            complain("warning: %s '%.*s' occurs more than once; %s", what, (int)sorted[i].size, sorted[i].data, effect);
        any = true;
    }
    free(sorted);
    return any;
}

static void warn_duplicates(const row_rules *rules) {
    const char *effect = rules->n_phrasings ? "labels and columns of this name belong to the first one"
                                            : "its copies share the probability, and the first one wins";
    if (!warn_equal(rules->classes, rules->n_classes, "class", effect) && rules->n_phrasings)
        warn_equal(rules->phrasings, rules->n_phrasings, "phrasing", "its likelihood counts each time");
}

const capp_str *rules_completions(const row_rules *rules, size_t *n) {
    *n = rules->n_phrasings ? rules->n_phrasings : rules->n_classes;
    return rules->n_phrasings ? rules->phrasings : rules->classes;
}

bool rules_add_phrasings(const row_rules *rules) {
    return rules->n_phrasings > rules->n_classes;
}

capp_example rules_example(const row_rules *rules, const capp_example *shown) {
    capp_example example = *shown;
    if (shown->completions == rules->classes) example.completions = rules_completions(rules, &example.n_completions);
    return example;
}

const capp_scoring *rules_scoring(const row_rules *rules, const options *settings, capp_scoring *scoring) {
    capp_scoring_init(scoring);
    scoring->discount = settings->discount;
    if (settings->domain) scoring->domain = capp_str_of(settings->domain);
    if (rules_add_phrasings(rules)) {
        scoring->class_of = rules->class_of;
        scoring->n_phrasings = rules->n_phrasings;
        scoring->n_classes = rules->n_classes;
    }
    return scoring->discount != 0 || scoring->class_of ? scoring : NULL;
}

/* Warns of classes that begin with a space, that differ but look the same, or that lack a description. */
static void warn_classes(const row_rules *rules) {
    size_t first, second;
    if (!rules->n_classes) return;
    if (rules->n_undescribed)
        complain("warning: --list writes {description}, but there is none for %zu of %zu classes; give each class one, "
                 "or remove {description} from --list",
                 rules->n_undescribed, rules->n_classes);
    if (find_lookalikes(rules->classes, rules->n_classes, &first, &second))
        complain("warning: classes %zu and %zu ('%.*s') look the same, but differ in their Unicode form or in spaces "
                 "around them; keep one",
                 first + 1, second + 1, (int)rules->classes[first].size, rules->classes[first].data);
    size_t n;
    const capp_str *completions = rules_completions(rules, &n);
    for (size_t i = 0; rules->notes.space && i < n; i++) {
        if (!is_one_of(*completions[i].data, " \t\r\n")) continue;
        complain("warning: %s %zu begins with a space, and capp adds another one before it; remove it, or use "
                 "--end-of-prompt ''",
                 rules->n_phrasings ? "phrasing" : "class", i + 1);
        return;
    }
}

/* The marginals of a class alone begin with its second token. */
void warn_discount(const options *settings) {
    static bool told; /* capp sweep opens the rules of each variant */
    bool pmi = settings->calibrate == CALIBRATE_PMI;
    if (told || settings->quiet || settings->domain || !(settings->discount != 0 || pmi)) return;
    told = true;
    complain(
        "warning: without --domain, %s leaves the first token of each class as it is, and so a class of one token; "
        "add --domain TEXT, such as --domain 'Topic:'",
        pmi ? "--calibrate pmi" : "--discount");
}

bool rules_rows_are_examples(const options *settings) {
    struct stat rows;
    return settings->examples && settings->input && !stat(settings->input, &rows) &&
           same_file(&rows, settings->examples);
}

static void warn_examples(const options *settings) {
    static bool told; /* capp sweep opens the rules of each variant */
    if (told || !rules_rows_are_examples(settings)) return;
    told = true;
    complain("warning: %s has the rows and the examples, so each prompt has the answer to its row; take the examples "
             "of --examples from other rows",
             settings->input);
}

/* A template without columns gives every row the same prompt. */
static bool check_template(const row_rules *rules, const char *text, capp_error *err) {
    capp_str *names = NULL;
    size_t n = 0, capacity = 0;
    template_fields(&rules->template, &names, &n, &capacity);
    free(names);
    if (n) return true;
    if (!access(text, R_OK))
        return fail_at(err, 0, "-t '%s' is the name of a file, but -t needs the text itself; write -t \"$(cat '%s')\"",
                       text, text);
    if (rules->n_classes || rules->need == NEED_PROMPT || rules->need == NEED_TEXT)
        return fail_at(err, 0,
                       "-t '%s' names no column, so every row would have the same prompt; write, for example, '{text}'",
                       text);
    if (!rules->notes.quiet) complain("warning: -t '%s' names no column, so every row has the same prompt", text);
    return true;
}

static void add_asked(row_rules *rules, const char *name) {
    grow(&rules->asked, &rules->asked_capacity, rules->n_asked + 1, sizeof *rules->asked);
    rules->asked[rules->n_asked++] = capp_str_of(name);
}

/* The fields that the run needs. */
static void list_asked(row_rules *rules) {
    if (rules->has_template) template_fields(&rules->template, &rules->asked, &rules->n_asked, &rules->asked_capacity);
    if (!rules->has_template) add_asked(rules, "text");
    if (!rules->has_template && rules->need != NEED_TEXT) add_asked(rules, "prompt");
    if (rules->label) add_asked(rules, rules->label);
    add_asked(rules, rules->id ? rules->id : "id");
    if (rules->need == NEED_CHOICES_OR_TEXT) add_asked(rules, "label");
    if (rules->need == NEED_CHOICES_OR_TEXT || rules->need == NEED_CHOICES) {
        static const char *const names[] = {"completions", "prior", "end_of_prompt", "normalize"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) add_asked(rules, names[i]);
    }
}

bool rules_check_prior(const row_rules *rules, capp_error *err) {
    for (size_t i = 0; i < rules->n_prior && i < rules->n_classes; i++)
        if (!(rules->prior[i] >= 0 && rules->prior[i] <= 1))
            return fail_at(err, 0, "the prior of class %zu is %g; a prior must be from 0 to 1", i + 1, rules->prior[i]);
    return true;
}

/* Reports, before the model is loaded, errors that the library would report for every row. */
static bool probe_classes(const row_rules *rules, capp_error *err) {
    const capp_example probe = {.prompt = {"a", 1},
                                .completions = rules->classes,
                                .n_completions = rules->n_classes,
                                .prior = rules->n_prior ? rules->prior : NULL,
                                .end_of_prompt = rules->end_of_prompt,
                                .normalize = rules->normalize && rules->need == NEED_CHOICES};
    if (!capp_example_check(&probe, err)) return true;
    err->row = 0;
    return false;
}

/* The template, with what comes before it. */
static bool read_prompt(row_rules *rules, const options *settings, capp_error *err) {
    if (!frame_read(rules, settings, err)) return false;
    return !settings->template || check_template(rules, settings->template, err) ||
           options_blame(settings, "template", err);
}

bool rules_open(row_rules *rules, const options *settings, row_need need, capp_error *err) {
    *rules = (row_rules){.need = need,
                         .end_of_prompt = settings->end_of_prompt,
                         .normalize = !settings->multi_label,
                         .label = settings->label,
                         .id = settings->id};
    rules->labels = settings->label_index ? LABELS_BY_INDEX : LABELS_BY_TEXT;
    rules->has_template = settings->template != NULL;
    bool choices = need == NEED_CHOICES || need == NEED_CHOICES_OR_TEXT;
    rules->notes =
        (notes){.quiet = settings->quiet,
                .input = settings->input && strcmp(settings->input, "-") != 0 ? settings->input : "stdin",
                .space = choices && (settings->end_of_prompt ? *settings->end_of_prompt == ' ' : !settings->chat)};
    if (settings->classes && !parse_classes(rules, settings->classes, settings->classes_are_json, err))
        return options_blame(settings, "classes", err);
    if (!read_prompt(rules, settings, err)) return false;
    if (settings->prior && !parse_prior(rules, settings->prior, err)) return options_blame(settings, "prior", err);
    if (settings->prior && !rules->n_prior)
        return fail_at(err, 0, "--prior is an empty list; write, for example, 0.2,0.8");
    if (rules->n_classes && rules->n_prior && rules->n_classes != rules->n_prior) {
        fail_at(err, 0, "--prior has %zu numbers, but there are %zu classes", rules->n_prior, rules->n_classes);
        return options_blame(settings, "prior", err);
    }
    if (!rules_check_prior(rules, err)) return options_blame(settings, settings->prior ? "prior" : "classes", err);
    if (rules->n_classes && choices && !probe_classes(rules, err)) return options_blame(settings, "classes", err);
    if (settings->only_prediction && rules_add_phrasings(rules))
        return fail_at(
            err, 0, "--only-prediction does not work with classes that have several phrasings; remove one of the two");
    list_asked(rules);
    if (!settings->quiet) {
        warn_duplicates(rules);
        warn_classes(rules);
        warn_examples(settings);
        warn_discount(settings);
    }
    return true;
}

reader_options rules_reader(const row_rules *rules, const options *settings) {
    return (reader_options){.path = settings->input,
                            .format = settings->format,
                            .separator = settings->separator,
                            .max_record = settings->max_record,
                            .quiet = settings->quiet,
                            .asked = rules->asked,
                            .n_asked = rules->n_asked};
}

void rules_set_model(row_rules *rules, const capp_model *model, bool bos, bool parse_special) {
    capp_model_info info;
    capp_model_get_info(model, &info);
    char *text;
    size_t size;
    if (!bos || !info.add_bos || info.bos < 0) return;
    if (capp_detokenize(model, &info.bos, 1, &text, &size, NULL)) return; /* only for a warning */
    rules->notes.bos = arena_copy(&rules->memory, (capp_str){text, size});
    rules->notes.bos_parsed = parse_special;
    capp_free(text);
}

void rules_close(row_rules *rules) {
    notes_free(&rules->notes);
    free(rules->asked);
    free(rules->classes);
    free(rules->prior);
    free(rules->phrasings);
    free(rules->class_of);
    free(rules->descriptions);
    frame_free(rules);
    arena_free(&rules->memory);
    *rules = (row_rules){0};
}
