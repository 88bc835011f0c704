#include "manifest.h"
#include "fingerprint.h"
#include "json_parser.h"
#include "values.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Increased when the format of rows changes: other columns, other digits. */
enum { MANIFEST_FORMAT = 1 };

/* Options that do not change the rows, and options that the manifest records in another way. */
static const char *const idle[] = {"model",     "lora",           "out",     "resume", "overwrite", "fsync",  "quiet",
                                   "memory",    "weights-memory", "json",    "html",   "threads",   "window", "isa",
                                   "precision", "progress",       "project", "without"};

static bool is_idle(const char *name) {
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (!strcmp(name, idle[i])) return true;
    return false;
}

/* ---- Making one ------------------------------------------------------------------------------------------------ */

static void put_member(buffer *b, const char *name) {
    buffer_printf(b, "%s\n \"%s\": ", b->data[b->size - 1] == '{' ? "" : ",", name);
}

static void put_file(buffer *b, const char *path, const fingerprint *f) {
    buffer_text(b, "{\"path\": ");
    put_string(b, capp_str_of(path));
    buffer_printf(b, ", \"bytes\": %llu, \"hash\": \"%s\"}", (unsigned long long)f->bytes, f->text);
}

static bool put_model(buffer *b, const char *path, const capp_lora *lora, size_t n, capp_error *err) {
    fingerprint f;
    if (!fingerprint_model(&f, path, err)) return false;
    put_member(b, "model");
    put_file(b, path, &f);
    put_member(b, "adapters");
    buffer_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        if (!fingerprint_model(&f, lora[i].path, err)) return false;
        buffer_text(b, i ? ", {\"weight\": " : "{\"weight\": ");
        put_double(b, lora[i].weight);
        buffer_text(b, ", \"file\": ");
        put_file(b, lora[i].path, &f);
        buffer_char(b, '}');
    }
    buffer_char(b, ']');
    put_member(b, "arithmetic");
    buffer_printf(b, "%d", CAPP_ARITHMETIC);
    return true;
}

static bool put_input(buffer *b, const char *path, capp_error *err) {
    struct stat facts;
    fingerprint f;
    put_member(b, "input");
    if (!path || !strcmp(path, "-") || stat(path, &facts) || !S_ISREG(facts.st_mode)) {
        buffer_text(b, "null");
        return true;
    }
    if (!fingerprint_file(&f, path, err)) return false;
    put_file(b, path, &f);
    return true;
}

/* An argument as written. For a file, its name and its contents. */
static bool put_argument(buffer *b, const char *name, const char *argument, capp_error *err) {
    fingerprint f;
    if (!argument) {
        buffer_text(b, "true");
    } else if (!strcmp(name, "examples")) {
        if (!fingerprint_file(&f, argument, err)) return false;
        put_file(b, argument, &f);
    } else if (*argument == '@' && argument[1]) {
        if (!fingerprint_file(&f, argument + 1, err)) return false;
        put_file(b, argument + 1, &f);
    } else {
        put_string(b, capp_str_of(argument));
    }
    return true;
}

/* Each option once, with all of its arguments. */
static bool put_options(buffer *b, const options *settings, capp_error *err) {
    bool first = true;
    put_member(b, "options");
    buffer_char(b, '{');
    for (size_t i = 0; i < settings->n_given; i++) {
        bool again = is_idle(settings->given[i].name);
        for (size_t j = 0; j < i; j++) again = again || !strcmp(settings->given[j].name, settings->given[i].name);
        if (again) continue;
        buffer_printf(b, "%s\"%s\": [", first ? "" : ", ", settings->given[i].name);
        for (size_t j = i; j < settings->n_given; j++) {
            if (strcmp(settings->given[j].name, settings->given[i].name) != 0) continue;
            if (j > i) buffer_text(b, ", ");
            if (!put_argument(b, settings->given[j].name, settings->given[j].argument, err)) return false;
        }
        buffer_char(b, ']');
        first = false;
    }
    buffer_char(b, '}');
    return true;
}

/* Precisions whose bits are the same with every instruction set. */
static bool is_exact(capp_precision precision) {
    return precision != CAPP_PRECISION_AUTO && precision != CAPP_PRECISION_BF16;
}

/* The precision, those that auto means on this processor, the instruction set, and the margin of close rows, which is
 * null if no row is scored again. All are null without a model. only_bits: the instruction set is also null if the bits
 * do not depend on it. */
static void put_engine(buffer *b, const capp_model *model, bool only_bits) {
    capp_model_info info = {0};
    if (model) capp_model_get_info(model, &info);
    const char *isa = only_bits && is_exact(info.scoring) && is_exact(info.deciding) ? NULL : info.isa;
    const struct {
        const char *key, *value;
    } members[] = {{"precision", precision_names[info.precision]},
                   {"scoring", precision_names[info.scoring]},
                   {"deciding", precision_names[info.deciding]},
                   {"isa", isa}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        put_member(b, members[i].key);
        if (model && members[i].value)
            buffer_printf(b, "\"%s\"", members[i].value);
        else
            buffer_text(b, "null");
    }
    put_member(b, "margin");
    if (info.margin > 0)
        put_double(b, info.margin);
    else
        buffer_text(b, "null");
}

bool manifest_make(buffer *b, const options *settings, const capp_model *model, capp_error *err) {
    buffer_char(b, '{');
    put_member(b, "format");
    buffer_printf(b, "%d", MANIFEST_FORMAT);
    put_member(b, "capp");
    buffer_printf(b, "\"%s\"", capp_version());
    put_member(b, "command");
    buffer_printf(b, "\"%s\"", settings->command);
    if (!put_model(b, settings->model, settings->lora, settings->model_options.n_lora, err) ||
        !put_input(b, settings->input, err))
        return false;
    if (model) put_engine(b, model, false);
    if (!put_options(b, settings, err)) return false;
    buffer_text(b, "\n}\n");
    return true;
}

bool manifest_of_model(buffer *b, const char *path, const capp_model_options *how, capp_error *err) {
    capp_model_options light = *how;
    capp_model *model = NULL;
    capp_error not_run;
    buffer_char(b, '{');
    if (!put_model(b, path, how->lora, how->n_lora, err)) return false;
    light.weights_memory = CAPP_WEIGHTS_NONE;
    capp_status status = capp_model_open(&model, path, &light, &not_run);
    if (status == CAPP_EINVAL || (status && (how->isa || how->precision != CAPP_PRECISION_AUTO))) {
        *err = not_run;
        return false;
    }
    put_engine(b, status ? NULL : model, true);
    capp_model_free(model);
    buffer_text(b, "\n}\n");
    return true;
}

/* ---- Comparing two --------------------------------------------------------------------------------------------- */

static json_value member_of(json_value object, const char *name) {
    if (json_kind_of(object) != JSON_KIND_OBJECT) return (json_value){0};
    for (json_walk walk = json_begin(object); json_next(&walk);)
        if (walk.name.size == strlen(name) + 2 && !memcmp(walk.name.data + 1, name, strlen(name))) return walk.item;
    return (json_value){0};
}

/* The item of an array of one item. */
static json_value item_of(json_value value) {
    if (json_kind_of(value) != JSON_KIND_ARRAY || json_size(value) != 1) return value;
    json_walk walk = json_begin(value);
    json_next(&walk);
    return walk.item;
}

/* One value for a message: for a file its path and hash, otherwise the part around byte `at`. */
static void describe(buffer *b, json_value value, size_t at) {
    enum { MOST = 60, BEFORE = 20 };
    json_value path = member_of(value, "path"), hash = member_of(value, "hash");
    size_t from = value.size > MOST && at > BEFORE ? at - BEFORE : 0;
    while (from && ((unsigned char)value.data[from] & 0xC0) == 0x80) from--;
    size_t end = value.size - from > MOST ? from + MOST : value.size;
    while (end > from && end < value.size && !utf8_character(value.data + end, value.size - end)) end--;
    if (!value.size || json_kind_of(value) == JSON_KIND_NULL)
        buffer_text(b, "none");
    else if (json_kind_of(value) == JSON_KIND_BOOL)
        buffer_text(b, "given");
    else if (path.size && hash.size)
        buffer_printf(b, "%.*s with hash %.*s", (int)path.size, path.data, (int)hash.size, hash.data);
    else
        buffer_printf(b, "%s%.*s%s", from ? "..." : "", (int)(end - from), value.data + from,
                      end < value.size ? "..." : "");
}

static void differ(buffer *b, const char *what, json_value then, json_value now) {
    json_value x = item_of(then), y = item_of(now);
    size_t at = 0;
    while (at < x.size && at < y.size && x.data[at] == y.data[at]) at++;
    buffer_printf(b, "%s%s (then ", b->size ? "; " : "", what);
    describe(b, x, at);
    buffer_text(b, ", now ");
    describe(b, y, at);
    buffer_char(b, ')');
}

/* The path of a file does not matter. A member that is missing is null. */
static bool same(json_value a, json_value b) {
    json_kind kind = json_kind_of(a), other = json_kind_of(b);
    if ((kind == JSON_KIND_NONE || kind == JSON_KIND_NULL) && (other == JSON_KIND_NONE || other == JSON_KIND_NULL))
        return true;
    if (kind != other) return false;
    if (kind != JSON_KIND_ARRAY && kind != JSON_KIND_OBJECT) return str_equal(a, b);
    json_walk x = json_begin(a), y = json_begin(b);
    for (;;) {
        bool more = json_next(&x);
        if (more != json_next(&y)) return false;
        if (!more) return true;
        if (!str_equal(x.name, y.name)) return false;
        if (!str_is(x.name, "\"path\"") && !same(x.item, y.item)) return false;
    }
}

/* Whether a bad row ends a run with these options: the default of --on-error. */
static bool stops(json_value given) {
    json_value policy = member_of(given, "on-error");
    return !policy.size || str_is(policy, "[\"stop\"]");
}

static void compare_options(buffer *b, json_value then, json_value now) {
    for (int turn = 0; turn < 2; turn++)
        for (json_walk walk = json_begin(turn ? now : then); json_next(&walk);) {
            char name[64];
            snprintf(name, sizeof name, "--%.*s", (int)walk.name.size - 2, walk.name.data + 1);
            json_value other = member_of(turn ? then : now, name + 2);
            if (turn ? other.size > 0 : same(walk.item, other)) continue;
            bool skips = str_is(member_of(now, "on-error"), "[\"skip\"]") || stops(now);
            if (!strcmp(name, "--on-error") && stops(then) && skips) continue;
            differ(b, name, turn ? other : walk.item, turn ? walk.item : other);
        }
}

/* Whether the JSON value is the name of such a precision. */
static bool names_exact(json_value name) {
    for (size_t i = 0; i < PRECISIONS; i++) {
        char quoted[16];
        snprintf(quoted, sizeof quoted, "\"%s\"", precision_names[i]);
        if (is_exact((capp_precision)i) && str_is(name, quoted)) return true;
    }
    return false;
}

/* What log-probabilities depend on besides texts. */
static void compare(buffer *b, json_value then, json_value now) {
    static const struct {
        const char *key, *name;
    } parts[] = {{"model", "the model"},
                 {"adapters", "the adapters"},
                 {"arithmetic", "the arithmetic"},
                 {"precision", "the precision"},
                 {"scoring", "the precision that scores all rows"},
                 {"deciding", "the precision that decides"},
                 {"isa", "the instruction set"}};
    bool exact = names_exact(member_of(then, "scoring")) && names_exact(member_of(then, "deciding"));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        json_value x = member_of(then, parts[i].key), y = member_of(now, parts[i].key);
        if (exact && !strcmp(parts[i].key, "isa")) continue; /* results have the same bits with every one */
        if (!same(x, y)) differ(b, parts[i].name, x, y);
    }
}

/* The other facts of a run. */
static void compare_run(buffer *b, json_value then, json_value now) {
    static const struct {
        const char *key, *name;
    } parts[] = {{"format", "the format of rows"},
                 {"command", "the command"},
                 {"input", "the input"},
                 {"margin", "the margin of close rows"}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        json_value x = member_of(then, parts[i].key), y = member_of(now, parts[i].key);
        if (!same(x, y)) differ(b, parts[i].name, x, y);
    }
    compare_options(b, member_of(then, "options"), member_of(now, "options"));
}

/* The object in the text. */
static bool read_manifest(capp_str text, json_value *value) {
    size_t at;
    const char *reason;
    return json_check(text, value, &at, &reason) && json_kind_of(*value) == JSON_KIND_OBJECT &&
           json_kind_of(member_of(*value, "options")) == JSON_KIND_OBJECT;
}

bool manifest_compare(capp_str earlier, const char *path, const char *out, capp_str now, bool *listed,
                      capp_error *err) {
    buffer differences = {0};
    json_value then, this;
    bool good = read_manifest(earlier, &then);
    if (!good)
        fail_at(err, 0,
                "%s is missing or damaged, so capp does not know which run wrote %s; use --overwrite to start again, "
                "or another name for the output",
                path, out);
    good = good && read_manifest(now, &this);
    if (good && json_kind_of(member_of(this, "input")) == JSON_KIND_NULL)
        good = fail_at(err, 0,
                       "--resume needs an input file, because capp cannot compare rows from a pipe with those of the "
                       "first run; write them to a file first");
    if (good) {
        compare(&differences, then, this);
        compare_run(&differences, then, this);
    }
    *listed = good && !stops(member_of(then, "options"));
    if (differences.size)
        good = fail_at(err, 0,
                       "%s belongs to a run with other settings; these differ: %.*s; use the same settings, use "
                       "--overwrite to start again, or use another name for the output",
                       out, differences.size < 600 ? (int)differences.size : 600, differences.data);
    buffer_free(&differences);
    return good;
}

bool manifest_check(const char *path, const char *out, capp_str now, bool *listed, capp_error *err) {
    buffer content = {0};
    *listed = false;
    read_file(path, &content, err); /* a file that cannot be read is an empty one, which is damaged */
    bool good = manifest_compare(buffer_view(&content), path, out, now, listed, err);
    buffer_free(&content);
    return good;
}

bool manifest_same_scores(capp_str earlier, const char *path, capp_str now, capp_error *err) {
    buffer differences = {0};
    json_value then, this;
    if (!read_manifest(earlier, &then) || !read_manifest(now, &this))
        return fail_at(err, 0, "%s: the settings of the run are damaged; run capp classify again", path);
    compare(&differences, then, this);
    bool good = !differences.size ||
                fail_at(err, 0,
                        "%s was made with another model or precision; these differ: %.*s; use those of the store, or "
                        "run capp classify again",
                        path, differences.size < 600 ? (int)differences.size : 600, differences.data);
    buffer_free(&differences);
    return good;
}
