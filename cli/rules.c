/* Classes, priors and the template, from the command line. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

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

static json_t *json_array_of(capp_str text, const char *name, capp_error *err) {
    json_error_t cause;
    if (!text.size) {
        fail_at(err, 0, "%s: the file is empty; a JSON array is needed, such as [1, 2]", name);
        return NULL;
    }
    json_t *array = json_loadb(text.data, text.size, JSON_ALLOW_NUL, &cause);
    if (!array) fail_at(err, 0, "%s: bad JSON at line %d, column %d: %s", name, cause.line, cause.column, cause.text);
    if (array && !json_is_array(array)) {
        fail_at(err, 0, "%s: a JSON array is needed, such as [1, 2]", name);
        json_decref(array);
        return NULL;
    }
    return array;
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

/* Classes between separators, without the spaces around them. Empty ones at the end of a file are no classes. */
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

static bool json_classes(row_rules *rules, capp_str text, const char *path, capp_error *err) {
    json_t *array = json_array_of(text, path, err), *item;
    size_t i, capacity = 0;
    bool good = array != NULL;
    json_array_foreach(array, i, item) {
        if (!json_is_string(item))
            good = fail_at(err, 0, "%s: class %zu is not a string; put it in quotes", path, i + 1);
        if (good)
            good =
                add_class(rules, &capacity, (capp_str){json_string_value(item), json_string_length(item)}, path, err);
        if (!good) break;
    }
    json_decref(array);
    return good;
}

static bool parse_classes(row_rules *rules, const char *text, capp_error *err) {
    bool good;
    if (*text == '@') {
        buffer content = {0};
        good = file_text(text + 1, &content, err);
        size_t at = 0;
        while (at < content.size && is_one_of(content.data[at], " \t\r\n")) at++;
        if (good && at < content.size && content.data[at] == '[')
            good = json_classes(rules, buffer_view(&content), text + 1, err);
        else if (good)
            good = split_classes(rules, buffer_view(&content), '\n', text + 1, err);
        buffer_free(&content);
    } else {
        capp_str list = capp_str_of(text);
        size_t valid = utf8_valid(list.data, list.size);
        if (valid < list.size) return fail_at(err, 0, "-c: invalid UTF-8 at byte %zu", valid + 1);
        good = split_classes(rules, list, ',', "-c", err);
    }
    if (good && !rules->n_classes) return fail_at(err, 0, "-c: there are no classes; write for example 'yes,no'");
    return good;
}

static bool add_prior(row_rules *rules, size_t *capacity, double value) {
    grow(&rules->prior, capacity, rules->n_prior + 1, sizeof *rules->prior);
    rules->prior[rules->n_prior++] = value;
    return true;
}

static bool json_prior(row_rules *rules, const char *path, capp_error *err) {
    buffer content = {0};
    json_t *array = file_text(path, &content, err) ? json_array_of(buffer_view(&content), path, err) : NULL, *item;
    size_t i, capacity = 0;
    bool good = array != NULL;
    json_array_foreach(array, i, item) {
        if (json_is_number(item))
            add_prior(rules, &capacity, json_number_value(item));
        else
            good = fail_at(err, 0, "%s: item %zu of the prior is not a number", path, i + 1);
    }
    json_decref(array);
    buffer_free(&content);
    return good;
}

static bool parse_prior(row_rules *rules, const char *text, capp_error *err) {
    size_t capacity = 0;
    if (*text == '@') return json_prior(rules, text + 1, err);
    for (const char *at = text;; at++) {
        char *end;
        double value = strtod(at, &end);
        while (*end == ' ') end++;
        if (end == at || (*end && *end != ','))
            return fail_at(err, 0, "--prior '%s' is not a list of numbers; write for example 0.2,0.8", text);
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

static void warn_duplicates(const row_rules *rules) {
    capp_str *sorted = take(rules->n_classes, sizeof *sorted);
    if (rules->n_classes) memcpy(sorted, rules->classes, rules->n_classes * sizeof *sorted);
    qsort(sorted, rules->n_classes, sizeof *sorted, by_text);
    for (size_t i = 1; i < rules->n_classes; i++)
        if ((i < 2 || !str_equal(sorted[i - 2], sorted[i])) && str_equal(sorted[i - 1], sorted[i]))
            complain("warning: class '%.*s' is given more than once; each shares the probability, the first one wins",
                     (int)sorted[i].size, sorted[i].data);
    free(sorted);
}

bool rules_open(row_rules *rules, const options *o, row_need need, capp_error *err) {
    *rules = (row_rules){
        .need = need, .end_of_prompt = o->end_of_prompt, .normalize = !o->multi_label, .label = o->label, .id = o->id};
    rules->has_template = o->template != NULL;
    if (o->template && !template_parse(&rules->template, o->template, err)) return false;
    if (o->classes && !parse_classes(rules, o->classes, err)) return false;
    if (o->prior && !parse_prior(rules, o->prior, err)) return false;
    if (o->prior && !rules->n_prior) return fail_at(err, 0, "--prior is an empty list; write for example 0.2,0.8");
    if (rules->n_classes && rules->n_prior && rules->n_classes != rules->n_prior)
        return fail_at(err, 0, "--prior has %zu numbers, but there are %zu classes", rules->n_prior, rules->n_classes);
    if (rules->n_classes && need == NEED_CHOICES) {
        /* Before the model is loaded: what the library would say of every row. */
        const capp_example probe = {.prompt = {"a", 1},
                                    .completions = rules->classes,
                                    .n_completions = rules->n_classes,
                                    .prior = rules->n_prior ? rules->prior : NULL,
                                    .end_of_prompt = rules->end_of_prompt,
                                    .normalize = rules->normalize};
        if (capp_example_check(&probe, err)) {
            err->row = 0;
            return false;
        }
    }
    if (!o->quiet) warn_duplicates(rules);
    return true;
}

void rules_close(row_rules *rules) {
    template_free(&rules->template);
    free(rules->classes);
    free(rules->prior);
    arena_free(&rules->memory);
    *rules = (row_rules){0};
}
