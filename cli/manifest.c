#include "manifest.h"
#include "fingerprint.h"
#include "values.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Raised when rows are written in another way: other columns, other digits. */
enum { MANIFEST_FORMAT = 1 };

/* Options that change no byte of the rows, and those that stand in the manifest in another way. */
static const char *const idle[] = {"model",  "lora", "out",     "resume", "overwrite", "fsync",     "quiet",
                                   "memory", "json", "threads", "window", "isa",       "precision", "progress"};

static bool is_idle(const char *name) {
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (!strcmp(name, idle[i])) return true;
    return false;
}

/* ---- Making one ------------------------------------------------------------------------------------------------ */

static json_t *file_json(const char *path, const fingerprint *f) {
    return json_pack("{s:s, s:I, s:s}", "path", path, "bytes", (json_int_t)f->bytes, "hash", f->text);
}

static bool add_model(json_t *all, const char *path, const capp_lora *lora, size_t n, capp_error *err) {
    fingerprint f;
    if (!fingerprint_model(&f, path, err)) return false;
    json_object_set_new(all, "model", file_json(path, &f));
    json_t *adapters = json_array();
    json_object_set_new(all, "adapters", adapters);
    for (size_t i = 0; i < n; i++) {
        if (!fingerprint_model(&f, lora[i].path, err)) return false;
        json_t *adapter = file_json(lora[i].path, &f);
        json_object_set_new(adapter, "weight", json_real(lora[i].weight));
        json_array_append_new(adapters, adapter);
    }
    json_object_set_new(all, "arithmetic", json_integer(CAPP_ARITHMETIC));
    return true;
}

/* An argument as given; that of a file by its name and what the file holds. */
static bool add_option(json_t *given, const char *name, const char *argument, capp_error *err) {
    json_t *value = argument ? json_string(argument) : json_true();
    if (argument && *argument == '@' && argument[1]) {
        fingerprint f;
        json_decref(value);
        if (!fingerprint_file(&f, argument + 1, err)) return false;
        value = file_json(argument + 1, &f);
    }
    if (!value) value = json_string("(not UTF-8)");
    json_t *list = json_object_get(given, name); /* what may be given again is a list */
    if (!list) json_object_set_new(given, name, list = json_array());
    json_array_append_new(list, value);
    return true;
}

static bool add_input(json_t *all, const char *path, capp_error *err) {
    struct stat facts;
    fingerprint f;
    json_t *input = json_null();
    if (path && strcmp(path, "-") != 0 && !stat(path, &facts) && S_ISREG(facts.st_mode)) {
        if (!fingerprint_file(&f, path, err)) return false;
        input = file_json(path, &f);
    }
    json_object_set_new(all, "input", input);
    return true;
}

static void add_engine(json_t *all, const capp_model *model) {
    static const char *const names[] = {
        [CAPP_PRECISION_AUTO] = "auto", [CAPP_PRECISION_F32] = "f32", [CAPP_PRECISION_BF16] = "bf16"};
    capp_model_info info;
    capp_model_get_info(model, &info);
    json_object_set_new(all, "precision", json_string(names[info.precision]));
    json_object_set_new(all, "isa", json_string(info.isa));
}

static void write_json(buffer *text, json_t *all) {
    char *dump = json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    buffer_text(text, dump);
    buffer_char(text, '\n');
    free(dump);
    json_decref(all);
}

bool manifest_make(buffer *text, const options *o, const capp_model *model, capp_error *err) {
    json_t *all =
        json_pack("{s:i, s:s, s:s}", "format", MANIFEST_FORMAT, "capp", capp_version(), "command", o->command);
    json_t *given = json_object();
    bool good = add_model(all, o->model, o->lora, o->model_options.n_lora, err) && add_input(all, o->input, err);
    if (model) add_engine(all, model);
    for (size_t i = 0; i < o->n_given && good; i++)
        if (!is_idle(o->given[i].name)) good = add_option(given, o->given[i].name, o->given[i].argument, err);
    json_object_set_new(all, "options", given);
    write_json(text, all);
    return good;
}

bool manifest_of_model(buffer *text, const char *path, const capp_lora *lora, size_t n_lora, capp_error *err) {
    json_t *all = json_object();
    bool good = add_model(all, path, lora, n_lora, err);
    write_json(text, all);
    return good;
}

/* ---- Comparing two --------------------------------------------------------------------------------------------- */

/* One value for people, shortened. */
static void describe(buffer *b, const json_t *value) {
    enum { MOST = 60 };
    const json_t *hash = json_object_get(value, "hash");
    const json_t *only = json_array_size(value) == 1 ? json_array_get(value, 0) : value;
    char *dump = json_dumps(hash ? hash : only, JSON_ENCODE_ANY | JSON_COMPACT);
    size_t n = dump ? strlen(dump) : 0;
    while (n > MOST && !utf8_character(dump + n, strlen(dump + n))) n--;
    if (json_is_true(only))
        buffer_text(b, "given");
    else if (!dump || json_is_null(value))
        buffer_text(b, "none");
    else
        buffer_printf(b, "%.*s%s", n > MOST ? MOST : (int)n, dump, n > MOST ? "..." : "");
    free(dump);
}

static void differ(buffer *b, const char *what, const json_t *then, const json_t *now) {
    buffer_printf(b, "%s%s (then ", b->size ? "; " : "", what);
    describe(b, then);
    buffer_text(b, ", now ");
    describe(b, now);
    buffer_char(b, ')');
}

/* Where a file lies does not matter. */
static bool same(const json_t *a, const json_t *b) {
    const json_t *x = json_object_get(a, "hash"), *y = json_object_get(b, "hash");
    if (x && y)
        return json_equal(x, y) && json_equal(json_object_get(a, "bytes"), json_object_get(b, "bytes")) &&
               json_number_value(json_object_get(a, "weight")) == json_number_value(json_object_get(b, "weight"));
    if (json_is_array(a) && json_is_array(b)) {
        if (json_array_size(a) != json_array_size(b)) return false;
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!same(json_array_get(a, i), json_array_get(b, i))) return false;
        return true;
    }
    return (!a && !b) || json_equal(a, b);
}

static void compare_options(buffer *b, const json_t *then, const json_t *now) {
    const char *name;
    json_t *value;
    buffer option = {0};
    for (int turn = 0; turn < 2; turn++) json_object_foreach((json_t *)(uintptr_t)(turn ? now : then), name, value) {
            const json_t *other = json_object_get(turn ? then : now, name);
            if (turn ? other != NULL : same(value, other)) continue;
            option.size = 0;
            buffer_printf(&option, "--%s", name);
            buffer_char(&option, 0);
            differ(b, option.data, turn ? NULL : value, turn ? value : other);
        }
    buffer_free(&option);
}

static void compare(buffer *b, const json_t *then, const json_t *now) {
    static const struct {
        const char *key, *name;
    } parts[] = {{"format", "the format of rows"}, {"command", "the command"},    {"model", "the model"},
                 {"adapters", "the adapters"},     {"input", "the input"},        {"arithmetic", "the arithmetic"},
                 {"precision", "the precision"},   {"isa", "the instruction set"}};
    const char *before = json_string_value(json_object_get(then, "precision"));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const json_t *x = json_object_get(then, parts[i].key), *y = json_object_get(now, parts[i].key);
        /* float32 is the same bits on every instruction set. */
        if (!strcmp(parts[i].key, "isa") && before && !strcmp(before, "f32")) continue;
        if (!same(x, y)) differ(b, parts[i].name, x, y);
    }
    compare_options(b, json_object_get(then, "options"), json_object_get(now, "options"));
}

bool manifest_check(const char *path, const char *out, capp_str now, capp_error *err) {
    json_error_t cause;
    json_t *then = json_load_file(path, 0, &cause), *this = json_loadb(now.data, now.size, 0, NULL);
    buffer differences = {0};
    bool good = json_is_object(then);
    if (!good)
        fail_at(err, 0,
                "%s cannot be read (%s), so that nothing says which run %s is of; write it anew by --overwrite, or "
                "give the output another name",
                path, cause.text, out);
    if (good && json_is_null(json_object_get(this, "input")))
        good = fail_at(err, 0,
                       "--resume needs an input file, since rows that come by a pipe cannot be compared with "
                       "those of the first run; write them to a file first");
    if (good) {
        compare(&differences, then, this);
        if (differences.size)
            good = fail_at(err, 0,
                           "%s is of another run: %.*s differs; give what was given then, write it anew by "
                           "--overwrite, or give the output another name",
                           out, differences.size < 600 ? (int)differences.size : 600, differences.data);
    }
    buffer_free(&differences);
    json_decref(then);
    json_decref(this);
    return good;
}
