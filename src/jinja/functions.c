#define _POSIX_C_SOURCE 200809L
#include "jinja/functions.h"

#include <string.h>
#include <time.h>

#include "base/platform.h"
#include "jinja/characters.h"
#include "jinja/text.h"

static const capp_jinja_value nothing = {.kind = CAPP_JINJA_UNDEFINED};

typedef enum function_id { RAISE, NOW, RANGE, NAMESPACE, DICT, OTHER } function_id;

static const struct {
    const char *name;
    function_id id;
} functions[] = {
    {"raise_exception", RAISE}, {"strftime_now", NOW}, {"range", RANGE},  {"namespace", NAMESPACE}, {"dict", DICT},
    {"lipsum", OTHER},          {"cycler", OTHER},     {"joiner", OTHER},
};

capp_jinja_value capp_jinja_find_function(capp_jinja_run *run, capp_str name) {
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (capp_jinja_name_is(name, functions[i].name))
            return (capp_jinja_value){.kind = CAPP_JINJA_FUNCTION, .function = (int16_t)i};
    return capp_jinja_undefined(run, name);
}

/* Fails with the template's own message. */
static capp_jinja_value raise_exception(capp_jinja_run *run, const capp_jinja_arguments *args) {
    const capp_jinja_string *s = args->n ? capp_jinja_to_text(run, args->values[0]) : NULL;
    return capp_jinja_fail(run, CAPP_EINVAL, "the template refuses the conversation: %.*s",
                           s ? capp_jinja_shown_bytes((capp_str){s->text, s->size}, 600) : 0, s ? s->text : "");
}

static capp_jinja_value strftime_now(capp_jinja_run *run, const capp_jinja_arguments *args) {
    char format[200], text[1000];
    time_t now = (time_t)run->now;
    struct tm local;
    if (args->n != 1 || args->values[0].kind != CAPP_JINJA_STRING || args->values[0].string->size >= sizeof format)
        return capp_jinja_fail(run, CAPP_EINVAL, "strftime_now needs one argument, a format of less than 200 bytes");
    const capp_jinja_string *s = args->values[0].string;
    if (memchr(s->text, 0, s->size) || !localtime_r(&now, &local))
        return capp_jinja_fail(run, CAPP_EINVAL, "strftime_now: invalid format or time");
    if (s->size) memcpy(format, s->text, s->size);
    format[s->size] = 0;
    size_t n = capp_format_time(text, sizeof text, format, &local); /* English names of months, as Python's default */
    if (!n && s->size) return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "strftime_now: this format is not supported");
    return capp_jinja_string_of_template(run, (capp_str){text, n});
}

static capp_jinja_value range(capp_jinja_run *run, const capp_jinja_arguments *args) {
    int64_t a[3] = {0, 0, 1};
    bool good = args->n >= 1 && args->n <= 3 && !args->n_named;
    for (size_t i = 0; good && i < args->n; i++)
        good = capp_jinja_get_integer(args->values[i], &a[args->n == 1 ? 1 : i]);
    if (!good || !a[2])
        return capp_jinja_fail(run, CAPP_EINVAL, "range needs one to three integers, and a step other than 0");
    capp_jinja_value out = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
    int64_t n = 0; /* jinja2's sandbox has the same limit */
    for (int64_t i = a[0]; run->status == CAPP_OK && (a[2] > 0 ? i < a[1] : i > a[1]); n++) {
        if (n == 100000) return capp_jinja_fail(run, CAPP_EINVAL, "range of more than 100,000 numbers");
        capp_jinja_list_append(run, out, capp_jinja_integer(i));
        if (__builtin_add_overflow(i, a[2], &i)) break;
    }
    return out;
}

static capp_jinja_value make_dict(capp_jinja_run *run, capp_jinja_kind kind, const capp_jinja_arguments *args) {
    capp_jinja_value out = capp_jinja_dict_new(run, kind);
    if (args->n > 1 || (args->n && args->values[0].kind != CAPP_JINJA_DICT))
        return capp_jinja_fail(
            run, CAPP_EUNSUPPORTED,
            "dict and namespace take named arguments and one dict; other arguments are not supported");
    if (args->n) {
        const capp_jinja_dict *from = args->values[0].dict;
        for (size_t i = 0; i < from->n && run->status == CAPP_OK; i++)
            capp_jinja_dict_set(run, out, from->keys[i], from->values[i]);
    }
    for (size_t i = 0; i < args->n_named && run->status == CAPP_OK; i++)
        capp_jinja_dict_set(run, out, capp_jinja_string_of_template(run, args->names[i]), args->values[args->n + i]);
    return out;
}

capp_jinja_value capp_jinja_call_function(capp_jinja_run *run, int function, const capp_jinja_arguments *arguments) {
    switch (functions[function].id) {
    case RAISE: return raise_exception(run, arguments);
    case NOW: return strftime_now(run, arguments);
    case RANGE: return range(run, arguments);
    case NAMESPACE: return make_dict(run, CAPP_JINJA_NAMESPACE, arguments);
    case DICT: return make_dict(run, CAPP_JINJA_DICT, arguments);
    default:
        capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the function '%s' is not supported", functions[function].name);
        return nothing;
    }
}
