#include "project.h"

#include "names.h"
#include "option_table.h"
#include "suggest.h"
#include "toml.h"
#include "values.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum key_kind {
    KEY_FLAG, /* true or false */
    KEY_TEXT, /* a string or a number */
    KEY_LIST, /* also an array, which becomes a list with commas */
    KEY_EACH, /* also an array: the option once for each item */
    KEY_CLASSES
} key_kind;

typedef enum key_path {
    PATH_NONE,
    PATH_SELF,  /* the value may name a file */
    PATH_AT,    /* a value that begins with @ names a file */
    PATH_WEIGHT /* the value names a file, which "=WEIGHT" may follow */
} key_path;

/* The options that a project file may give. The others belong to one run: its input, its output, its manners. */
static const struct key {
    const char *name;
    key_kind kind;
    key_path path;
} keys[] = {
    {"model", KEY_TEXT, PATH_SELF},
    {"template", KEY_TEXT, PATH_NONE},
    {"classes", KEY_CLASSES, PATH_AT},
    {"prior", KEY_LIST, PATH_AT},
    {"instruction", KEY_TEXT, PATH_NONE},
    {"examples", KEY_TEXT, PATH_SELF},
    {"examples-label", KEY_TEXT, PATH_NONE},
    {"examples-separator", KEY_TEXT, PATH_NONE},
    {"list", KEY_TEXT, PATH_NONE},
    {"list-separator", KEY_TEXT, PATH_NONE},
    {"orders", KEY_TEXT, PATH_NONE},
    {"label", KEY_TEXT, PATH_NONE},
    {"label-index", KEY_FLAG, PATH_NONE},
    {"multi-label", KEY_FLAG, PATH_NONE},
    {"aggregate", KEY_TEXT, PATH_NONE},
    {"discount", KEY_TEXT, PATH_NONE},
    {"domain", KEY_TEXT, PATH_NONE},
    {"only-prediction", KEY_FLAG, PATH_NONE},
    {"end-of-prompt", KEY_TEXT, PATH_NONE},
    {"parse-special", KEY_FLAG, PATH_NONE},
    {"chat", KEY_FLAG, PATH_NONE},
    {"system", KEY_TEXT, PATH_NONE},
    {"chat-template", KEY_TEXT, PATH_AT},
    {"chat-variables", KEY_TEXT, PATH_NONE},
    {"id", KEY_TEXT, PATH_NONE},
    {"keep", KEY_LIST, PATH_NONE},
    {"rename", KEY_EACH, PATH_NONE},
    {"top", KEY_TEXT, PATH_NONE},
    {"format", KEY_TEXT, PATH_NONE},
    {"separator", KEY_TEXT, PATH_NONE},
    {"max-record", KEY_TEXT, PATH_NONE},
    {"on-error", KEY_TEXT, PATH_NONE},
    {"window", KEY_TEXT, PATH_NONE},
    {"threads", KEY_TEXT, PATH_NONE},
    {"memory", KEY_TEXT, PATH_NONE},
    {"weights-memory", KEY_TEXT, PATH_NONE},
    {"precision", KEY_TEXT, PATH_NONE},
    {"isa", KEY_TEXT, PATH_NONE},
    {"context", KEY_TEXT, PATH_NONE},
    {"lora", KEY_EACH, PATH_WEIGHT},
};

bool project_has(const char *name) {
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(keys[i].name, name)) return true;
    return false;
}

/* ---- Names of files -------------------------------------------------------------------------------------------- */

/* The name as seen from the working folder, if the file is in the folder of the project; otherwise as written. The
 * first `skip` bytes are not part of the name, nor is what follows its first `size` bytes. */
static capp_str located(project *p, capp_str text, size_t skip, size_t size) {
    const char *slash = strrchr(p->path, '/');
    if (!slash || text.size <= skip || text.data[skip] == '/') return text;
    buffer whole = {0};
    buffer_add(&whole, p->path, (size_t)(slash - p->path) + 1);
    buffer_add(&whole, text.data + skip, size - skip);
    buffer_char(&whole, 0);
    bool there = !access(whole.data, F_OK);
    whole.size--;
    if (there) {
        buffer named = {0};
        buffer_add(&named, text.data, skip);
        buffer_str(&named, buffer_view(&whole));
        buffer_add(&named, text.data + size, text.size - size);
        text = arena_copy(&p->memory, buffer_view(&named));
        buffer_free(&named);
    }
    buffer_free(&whole);
    return text;
}

static capp_str locate(project *p, const struct key *key, capp_str text) {
    if (key->path == PATH_NONE || !text.size) return text;
    if (key->path == PATH_AT) return *text.data == '@' ? located(p, text, 1, text.size) : text;
    capp_str whole = located(p, text, 0, text.size);
    const char *equals = strrchr(text.data, '=');
    if (key->path == PATH_SELF || whole.data != text.data || !equals) return whole;
    return located(p, text, 0, (size_t)(equals - text.data));
}

/* The folder of a file without symbolic links, or NULL; to be freed. The file itself may be a link. */
static char *real_folder(const char *file) {
    const char *slash = strrchr(file, '/');
    char *folder = text_of("%.*s", slash ? (int)(slash - file) + 1 : 1, slash ? file : "."),
         *real = realpath(folder, NULL);
    free(folder);
    return real;
}

/* Writes the way from one real folder to another: "../models/". */
static void put_way(buffer *b, const char *from, const char *to) {
    size_t same = 0; /* bytes of the folders that both are in */
    if (!strcmp(from, to)) return;
    for (size_t i = 0;; i++) {
        if ((!from[i] || from[i] == '/') && (!to[i] || to[i] == '/')) same = i;
        if (!from[i] || from[i] != to[i]) break;
    }
    for (const char *c = from + same; *c; c++)
        if (*c == '/' && c[1]) buffer_text(b, "../");
    if (to[same] && to[same + 1]) buffer_printf(b, "%s/", to + same + 1);
}

const char *project_argument(const char *path, const char *name, const char *argument, arena *a) {
    const struct key *key = NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !key; i++)
        if (!strcmp(keys[i].name, name)) key = &keys[i];
    if (!argument || !key || key->path == PATH_NONE || (key->path == PATH_AT && *argument != '@')) return argument;
    size_t skip = key->path == PATH_AT;
    const char *equals = key->path == PATH_WEIGHT && access(argument, F_OK) ? strrchr(argument, '=') : NULL;
    size_t size = equals ? (size_t)(equals - argument) : strlen(argument);
    char *file = text_of("%.*s", (int)(size - skip), argument + skip), *from = real_folder(path),
         *to = real_folder(file);
    if (*file != '/' && !access(file, F_OK) && from && to) {
        const char *slash = strrchr(file, '/');
        buffer whole = {0};
        buffer_add(&whole, argument, skip);
        put_way(&whole, from, to);
        buffer_text(&whole, slash ? slash + 1 : file);
        buffer_text(&whole, argument + size);
        argument = arena_copy(a, buffer_view(&whole)).data;
        buffer_free(&whole);
    }
    free(file);
    free(from);
    free(to);
    return argument;
}

/* ---- Values ---------------------------------------------------------------------------------------------------- */

static project_value *add(project *p, const char *name, const char *argument, size_t line) {
    grow(&p->values, &p->capacity, p->n + 1, sizeof *p->values);
    p->values[p->n] = (project_value){.name = name, .argument = argument, .line = line};
    return &p->values[p->n++];
}

static bool refuse(const project *p, size_t line, const char *name, const char *cure, capp_error *err) {
    return fail_at(err, 0, "%s:%zu: '%.100s' %s", p->path, line, name, cure);
}

/* The text of an item. A NUL, which an escape can write, would end an argument. */
static bool item_text(project *p, const toml_value *value, const char *name, capp_str *text, capp_error *err) {
    if (value->kind == TOML_ARRAY) return refuse(p, value->line, name, "takes one value; remove the brackets", err);
    if (value->kind == TOML_BOOL)
        return refuse(p, value->line, name, "takes a text or a number, not true or false", err);
    if (memchr(value->text.data, 0, value->text.size))
        return refuse(p, value->line, name, "contains the character NUL; remove \\u0000", err);
    *text = value->text;
    return true;
}

static bool add_flag(project *p, const struct key *key, const toml_value *value, capp_error *err) {
    if (value->kind != TOML_BOOL) return refuse(p, value->line, key->name, "takes true or false", err);
    if (str_is(value->text, "true")) add(p, key->name, NULL, value->line);
    return true;
}

static bool add_text(project *p, const struct key *key, const toml_value *value, capp_error *err) {
    capp_str text = {"", 0};
    if (!item_text(p, value, key->name, &text, err)) return false;
    add(p, key->name, locate(p, key, text).data, value->line);
    return true;
}

static bool add_each(project *p, const struct key *key, const toml_value *value, capp_error *err) {
    if (value->kind != TOML_ARRAY) return add_text(p, key, value, err);
    for (size_t i = 0; i < value->n; i++)
        if (!add_text(p, key, &value->items[i], err)) return false;
    return true;
}

static bool add_list(project *p, const struct key *key, const toml_value *value, capp_error *err) {
    if (value->kind != TOML_ARRAY) return add_text(p, key, value, err);
    buffer list = {0};
    bool good = true;
    for (size_t i = 0; i < value->n && good; i++) {
        capp_str text = {"", 0};
        good = item_text(p, &value->items[i], key->name, &text, err);
        if (good && memchr(text.data, ',', text.size))
            good = refuse(p, value->items[i].line, text.data, "contains a comma, which separates the items", err);
        if (!good) break;
        buffer_text(&list, i ? "," : "");
        buffer_str(&list, text);
    }
    if (good) add(p, key->name, arena_copy(&p->memory, buffer_view(&list)).data, value->line);
    buffer_free(&list);
    return good;
}

/* ---- Classes --------------------------------------------------------------------------------------------------- */

/* Priors of [[class]] tables. */
typedef struct class_priors {
    buffer list; /* "0.6,0.4" */
    size_t n, line;
} class_priors;

static void add_json(project *p, buffer *json, size_t line) {
    add(p, "classes", arena_copy(&p->memory, buffer_view(json)).data, line)->is_json = true;
}

static bool put_strings(project *p, buffer *json, const toml_value *list, const char *name, capp_error *err) {
    buffer_char(json, '[');
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].kind != TOML_STRING)
            return refuse(p, list->items[i].line, name, "takes texts; put each in quotes", err);
        buffer_text(json, i ? ", " : "");
        put_string(json, list->items[i].text);
    }
    buffer_char(json, ']');
    return true;
}

/* classes = "a,b", as on the command line, or an array of names. */
static bool add_names(project *p, const struct key *key, const toml_value *value, capp_error *err) {
    if (value->kind != TOML_ARRAY) return add_text(p, key, value, err);
    buffer json = {0};
    bool good = put_strings(p, &json, value, "classes", err);
    if (good) add_json(p, &json, value->line);
    buffer_free(&json);
    return good;
}

/* Adds the prior of a class to the list that --prior takes, so that --without prior leaves it out. */
static void put_prior(class_priors *priors, const toml_value *value) {
    buffer_text(&priors->list, priors->n++ ? "," : "");
    buffer_str(&priors->list, value->text);
    if (!priors->line) priors->line = value->line;
}

static bool add_priors(project *p, const class_priors *priors, size_t n_classes, size_t line, capp_error *err) {
    if (!priors->n) return true;
    if (priors->n != n_classes)
        return refuse(p, line, "class", "has a prior in some tables and none in others; give all or none", err);
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->values[i].name, "prior"))
            return refuse(p, priors->line, "prior", "of [[class]] and the key 'prior' both say it; keep one of the two",
                          err);
    add(p, "prior", arena_copy(&p->memory, buffer_view(&priors->list)).data, priors->line);
    return true;
}

static bool put_class_key(project *p, buffer *json, class_priors *priors, const toml_entry *entry, capp_error *err) {
    static const struct {
        const char *name;
        toml_kind kind;
        const char *cure;
    } known[] = {{"name", TOML_STRING, "takes a text in quotes"},
                 {"description", TOML_STRING, "takes a text in quotes"},
                 {"phrasings", TOML_ARRAY, "takes a list of texts: phrasings = [\"refund\", \"money back\"]"},
                 {"prior", TOML_FLOAT, "takes a number from 0 to 1, such as 0.25"}};
    size_t i = 0;
    const toml_value *value = &entry->value;
    while (i < sizeof known / sizeof *known && !str_is(entry->name, known[i].name)) i++;
    if (i == sizeof known / sizeof *known)
        return refuse(p, entry->line, entry->name.data,
                      "is not a key of [[class]]; the keys are name, description, phrasings and prior", err);
    bool number = value->kind == TOML_INTEGER && known[i].kind == TOML_FLOAT;
    if (value->kind != known[i].kind && !number) return refuse(p, value->line, known[i].name, known[i].cure, err);
    if (known[i].kind == TOML_FLOAT) {
        put_prior(priors, value);
        return true;
    }
    buffer_printf(json, "%s\"%s\": ", json->data[json->size - 1] == '{' ? "" : ", ", known[i].name);
    if (value->kind == TOML_ARRAY) return put_strings(p, json, value, known[i].name, err);
    put_string(json, value->text);
    return true;
}

/* All [[class]] tables. */
static bool add_tables(project *p, const toml *document, capp_error *err) {
    buffer json = {0};
    class_priors priors = {.n = 0};
    size_t first = 0;
    bool good = true;
    for (size_t i = 1; i < document->n && good; i++) {
        const toml_table *table = &document->tables[i];
        bool is_class = str_is(table->name, "class"), named = false;
        if (!is_class || !table->item) {
            good = refuse(p, table->line, table->name.data,
                          is_class ? "is a table; write [[class]] once for each class"
                                   : "is an unknown table; options come before the first table, and the only table is "
                                     "[[class]]",
                          err);
            break;
        }
        if (!first) first = table->line;
        buffer_text(&json, json.size ? ",\n{" : "[{");
        for (size_t j = 0; j < table->n && good; j++) {
            named = named || str_is(table->entries[j].name, "name");
            good = put_class_key(p, &json, &priors, &table->entries[j], err);
        }
        if (good && !named) good = refuse(p, table->line, "class", "has no name; add name = \"...\"", err);
        buffer_char(&json, '}');
    }
    buffer_char(&json, ']');
    for (size_t i = 0; i < p->n && good && first; i++)
        if (!strcmp(p->values[i].name, "classes"))
            good = refuse(p, first, "class", "and 'classes' both list the classes; keep one of the two", err);
    if (good && first) add_json(p, &json, first);
    good = good && add_priors(p, &priors, document->n - 1, first, err);
    buffer_free(&priors.list);
    buffer_free(&json);
    return good;
}

/* ---- The file -------------------------------------------------------------------------------------------------- */

/* Says what is wrong with a key that a project file cannot have. */
static bool fail_key(const project *p, const toml_entry *entry, capp_error *err) {
    const char *name = entry->name.data;
    for (size_t i = 0; i < n_option_rows; i++)
        if (!strcmp(option_rows[i].name, name))
            return refuse(p, entry->line, name, "belongs to a run, not to the project; give it on the command line",
                          err);
    const char *meant = suggest_option(name, COMMAND_CLASSIFY | COMMAND_EVALUATE);
    if (meant)
        return fail_at(err, 0, "%s:%zu: unknown key '%.100s' (did you mean %s?)", p->path, entry->line, name, meant);
    return refuse(p, entry->line, name,
                  "is an unknown key; keys are the names of options of capp classify, without the dashes", err);
}

static bool take_entry(project *p, const toml_entry *entry, capp_error *err) {
    static bool (*const takers[])(project *, const struct key *, const toml_value *,
                                  capp_error *) = {[KEY_FLAG] = add_flag,
                                                   [KEY_TEXT] = add_text,
                                                   [KEY_LIST] = add_list,
                                                   [KEY_EACH] = add_each,
                                                   [KEY_CLASSES] = add_names};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (str_is(entry->name, keys[i].name)) return takers[keys[i].kind](p, &keys[i], &entry->value, err);
    return fail_key(p, entry, err);
}

const char *project_path(const char *path, arena *a) {
    struct stat facts;
    if (stat(path, &facts) || !S_ISDIR(facts.st_mode)) return path;
    buffer whole = {0};
    buffer_printf(&whole, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", PROJECT_NAME);
    path = arena_copy(a, buffer_view(&whole)).data;
    buffer_free(&whole);
    return path;
}

bool project_read(project *p, const char *path, capp_error *err) {
    buffer content = {0};
    toml document = {0};
    *p = (project){0};
    p->path = project_path(path, &p->memory);
    bool good = read_file(p->path, &content, err) && toml_parse(&document, buffer_view(&content), p->path, err);
    for (size_t i = 0; good && i < document.tables[0].n; i++) good = take_entry(p, &document.tables[0].entries[i], err);
    good = good && add_tables(p, &document, err);
    for (size_t i = 0; i < p->n && good; i++) /* the values outlive the document */
        if (p->values[i].argument)
            p->values[i].argument = arena_copy(&p->memory, capp_str_of(p->values[i].argument)).data;
    toml_free(&document);
    buffer_free(&content);
    return good;
}

void project_free(project *p) {
    free(p->values);
    arena_free(&p->memory);
    *p = (project){0};
}
