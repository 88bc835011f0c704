/* capp init writes a project file: from options, from the columns of an input, and on a terminal by asking. */
#include "caches.h"
#include "look.h"
#include "output_file.h"
#include "rows.h"
#include "values.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct draft {
    const options *settings;
    look look;
    bool asks;
    arena memory;
    /* NULL: not in the file */
    const char *model, *template, *label;
    capp_str *classes; /* [n_classes] */
    size_t n_classes;
    const char *path; /* of the file */
    const char *list; /* the item of the list in the prompt */
    bool chat;
    char *line; /* of the terminal */
    size_t line_capacity;
} draft;

/* ---- Asking ---------------------------------------------------------------------------------------------------- */

/* Asks a question. Returns the answer, the default if it is empty, or NULL at the end of the input. */
static const char *ask(draft *d, const char *question, const char *usual) {
    fprintf(stderr, *usual ? "%s [%s]: " : "%s%s: ", question, usual);
    fflush(stderr);
    ssize_t n = getline(&d->line, &d->line_capacity, stdin);
    if (n < 0 || interrupted()) return NULL;
    while (n && is_one_of(d->line[n - 1], "\r\n ")) n--;
    return n ? arena_copy(&d->memory, (capp_str){d->line, (size_t)n}).data : usual;
}

/* Asks for yes or no. False at the end of the input. */
static bool ask_whether(draft *d, const char *question, bool *answer) {
    for (;;) {
        const char *text = ask(d, question, *answer ? "y" : "n");
        if (!text) return false;
        if (*text == 'y' || *text == 'Y' || *text == 'n' || *text == 'N') {
            *answer = *text == 'y' || *text == 'Y';
            return true;
        }
        complain("answer y or n");
    }
}

/* ---- Defaults -------------------------------------------------------------------------------------------------- */

static const char *copied(draft *d, buffer *text) {
    const char *copy = arena_copy(&d->memory, buffer_view(text)).data;
    buffer_free(text);
    return copy;
}

static void put_title(buffer *b, capp_str name) {
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i] == '_' ? ' ' : name.data[i];
        buffer_char(b, i ? c : (char)toupper((unsigned char)c));
    }
}

/* "Text: {text}\nTopic:", in the form of an option. */
static const char *usual_template(draft *d) {
    buffer b = {0};
    const looked_column *text = d->look.text;
    put_title(&b, text ? text->name : capp_str_of("text"));
    buffer_text(&b, ": {");
    buffer_str(&b, text ? text->name : capp_str_of("text"));
    buffer_text(&b, "}\\n");
    put_title(&b, d->look.label ? d->look.label->name : capp_str_of("answer"));
    buffer_char(&b, ':');
    return copied(d, &b);
}

static const char *joined_classes(draft *d) {
    buffer b = {0};
    for (size_t i = 0; i < d->n_classes; i++) {
        buffer_text(&b, i ? ", " : "");
        buffer_str(&b, d->classes[i]);
    }
    return copied(d, &b);
}

static bool read_classes(draft *d, const char *text, capp_error *err) {
    options only = *d->settings;
    row_rules rules;
    only.template = only.prior = only.label = only.examples = only.instruction = only.list = only.list_separator = NULL;
    only.examples_label = only.examples_separator = NULL;
    only.orders = 1;
    only.discount = 0;
    only.classes = text;
    bool good = rules_open(&rules, &only, NEED_CHOICES, err);
    d->n_classes = good ? rules.n_classes : 0;
    d->classes = arena_allocate(&d->memory, d->n_classes, sizeof *d->classes);
    for (size_t i = 0; i < d->n_classes; i++) d->classes[i] = arena_copy(&d->memory, rules.classes[i]);
    rules_close(&rules);
    return good;
}

/* Options of init itself, and of the input that it looks at. */
static bool is_own(const char *name) {
    static const char *const own[] = {"project", "defaults", "overwrite", "quiet", "help"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(name, own[i])) return true;
    return false;
}

/* A model is a file, a folder, or a name that the caches may have or fetch later. */
static bool check_model(const char *model, capp_error *err) {
    model_name name;
    if (!model || model_name_parse(&name, model) || !access(model, F_OK)) return true;
    return fail_at(err, 0, "%s: there is no such model; write the name of a GGUF file or folder, or owner/name", model);
}

static bool has_column(const draft *d, capp_str name) {
    bool found = !d->look.n; /* without rows the columns are not known */
    for (size_t i = 0; i < d->look.n; i++) found = found || str_equal(d->look.columns[i].name, name);
    return found;
}

static bool check_column(const draft *d, capp_str name, capp_error *err) {
    return has_column(d, name) || fail_at(err, 0, "%s has no column '%.*s'", d->settings->input,
                                          name.size < 200 ? (int)name.size : 200, name.data);
}

/* Whether the text is a template of columns that INPUT has. *lists: it has a place for the list of classes. */
static bool check_template(const draft *d, const char *text, bool *lists, capp_error *err) {
    template pattern = {0};
    capp_str *names = NULL;
    size_t n = 0, capacity = 0;
    bool good = template_parse(&pattern, text, d->asks ? "the prompt" : "-t", err);
    if (good) template_fields(&pattern, &names, &n, &capacity);
    *lists = false;
    for (size_t i = 0; i < n && good; i++) {
        bool list = str_is(names[i], "classes") && (d->list || d->asks || !has_column(d, names[i]));
        *lists = *lists || list;
        good = list || check_column(d, names[i], err);
    }
    free(names);
    template_free(&pattern);
    if (good && *lists && !d->list && !d->asks)
        good = fail_at(err, 0, "-t has a place for the list of classes, {classes}; add --list '{class}'");
    return good;
}

/* What the options say, and what the columns suggest. */
static bool begin_draft(draft *d, capp_error *err) {
    const options *o = d->settings;
    for (size_t i = 0; i < o->n_given; i++)
        if (!is_own(o->given[i].name) && !project_has(o->given[i].name))
            return fail_at(err, 0, "--%s belongs to a run, not to a project; give it to the command that runs",
                           o->given[i].name);
    if (o->input && !look_at(&d->look, o, o->label, err)) return false;
    d->model = o->model;
    d->label = o->label;
    d->chat = o->chat;
    d->list = o->list;
    const looked_column *label = d->look.label;
    if (label && !d->label) d->label = arena_copy(&d->memory, label->name).data;
    d->template = o->template ? o->template : usual_template(d);
    bool lists;
    if (!check_model(d->model, err) || (!d->asks && !check_template(d, d->template, &lists, err))) return false;
    if (o->classes) return read_classes(d, o->classes, err);
    if (!label) return true;
    if (label->n_values > LOOK_VALUES)
        return fail_at(err, 0, "column '%.*s' has more than %d different values; list the classes with -c",
                       (int)label->name.size, label->name.data, (int)LOOK_VALUES);
    d->classes = arena_allocate(&d->memory, label->n_values, sizeof *d->classes);
    d->n_classes = label->n_values;
    for (size_t i = 0; i < d->n_classes; i++) d->classes[i] = label->values[i];
    return true;
}

/* ---- Questions ------------------------------------------------------------------------------------------------- */

static bool ask_model(draft *d) {
    for (;;) {
        capp_error err;
        const char *model = ask(d, "Model: a GGUF file, a folder or owner/name", d->model ? d->model : "");
        if (!model) return false;
        d->model = *model ? model : NULL;
        if (check_model(d->model, &err)) return true;
        complain("%s", err.message);
        d->model = d->settings->model;
    }
}

static bool ask_template(draft *d, bool *lists) {
    for (;;) {
        capp_error err;
        const char *text = ask(d, "Prompt, with columns in braces", d->template);
        if (!text) return false;
        if (check_template(d, text, lists, &err)) {
            d->template = text;
            return true;
        }
        complain("%s", err.message);
    }
}

static bool ask_label(draft *d) {
    for (;;) {
        capp_error err;
        const char *label = ask(d, "Column with the correct class, or - for none", d->label ? d->label : "-");
        if (!label) return false;
        bool none = !strcmp(label, "-");
        if (none || check_column(d, capp_str_of(label), &err)) {
            d->label = none ? NULL : label;
            return true;
        }
        complain("%s", err.message);
    }
}

/* The list of classes is written if the prompt has a place for it. */
static bool ask_list(draft *d, bool lists) {
    bool listed = d->list || lists;
    if (!lists && !ask_whether(d, "Write the list of classes into the prompt", &listed)) return false;
    if (listed && !d->list) d->list = "{class}";
    if (!listed) d->list = NULL;
    return true;
}

static bool ask_classes(draft *d) {
    for (;;) {
        capp_error err;
        const char *usual = joined_classes(d), *text = ask(d, "Classes, separated by commas", usual);
        if (!text) return false;
        if (*text && text == usual) return true; /* names may contain commas */
        if (*text && read_classes(d, text, &err)) return true;
        complain("%s", *text ? err.message : "there are no classes; write, for example, yes,no");
    }
}

static bool ask_all(draft *d) {
    bool lists;
    if (!ask_model(d) || !ask_template(d, &lists) || !ask_label(d) || !ask_classes(d) || !ask_list(d, lists))
        return false;
    return ask_whether(d, "Use the chat template of the model", &d->chat);
}

/* ---- The file -------------------------------------------------------------------------------------------------- */

/* A basic string of TOML. */
static void put_toml(buffer *b, capp_str text) {
    buffer_char(b, '"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            buffer_printf(b, "\\%c", c);
        else if (c == '\n')
            buffer_text(b, "\\n");
        else if (c < 32 || c == 127)
            buffer_printf(b, "\\u%04X", c);
        else
            buffer_char(b, (char)c);
    }
    buffer_char(b, '"');
}

static void put_key(buffer *b, const char *name, const char *text) {
    if (!text) return;
    buffer_printf(b, "%s = ", name);
    put_toml(b, capp_str_of(text));
    buffer_char(b, '\n');
}

/* A text of the command line, in which \n is a line feed. */
static void put_unescaped(buffer *b, const char *name, const char *text) {
    buffer plain = {0};
    if (!text) return;
    for (const char *c = text; *c; c++) { /* other backslashes keep their meaning for the template */
        if (c[0] == '\\' && c[1] == 'n') {
            buffer_char(&plain, '\n');
            c++;
        } else {
            buffer_char(&plain, *c);
            if (c[0] == '\\' && c[1]) buffer_char(&plain, *++c);
        }
    }
    buffer_printf(b, "%s = ", name);
    put_toml(b, buffer_view(&plain));
    buffer_char(b, '\n');
    buffer_free(&plain);
}

/* The template, with a place for the list of classes if it has none. */
static const char *listed_template(draft *d) {
    if (!d->list || strstr(d->template, "{classes}") || d->settings->instruction) return d->template;
    buffer b = {0};
    buffer_printf(&b, "Choose one of:\\n{classes}\\n\\n%s", d->template);
    return copied(d, &b);
}

/* The other options of the command line, as they are. */
static void put_others(buffer *b, draft *d) {
    const options *o = d->settings;
    static const char *const written[] = {"model", "template", "classes", "label", "list", "chat"};
    for (size_t i = 0; i < o->n_given; i++) {
        bool known = is_own(o->given[i].name);
        for (size_t j = 0; j < sizeof written / sizeof *written; j++)
            known = known || !strcmp(o->given[i].name, written[j]);
        if (known) continue;
        if (o->given[i].argument)
            put_key(b, o->given[i].name, project_argument(d->path, o->given[i].name, o->given[i].argument, &d->memory));
        else
            buffer_printf(b, "%s = true\n", o->given[i].name);
    }
}

static void put_draft(buffer *b, draft *d) {
    buffer_text(b, "# A project of capp. Each key is an option of capp classify; the command line counts more.\n");
    if (d->model)
        put_key(b, "model", project_argument(d->path, "model", d->model, &d->memory));
    else
        buffer_text(b, "# model = \"model.gguf\"\n");
    put_unescaped(b, "template", listed_template(d));
    put_unescaped(b, "list", d->list);
    put_key(b, "label", d->label);
    if (d->chat) buffer_text(b, "chat = true\n");
    put_others(b, d);
    buffer_text(b, "\n# Each class may also have a description, phrasings (several completions) and a prior:\n"
                   "# phrasings = [\"refund\", \"money back\"]\n");
    for (size_t i = 0; i < d->n_classes; i++) {
        buffer_text(b, "\n[[class]]\nname = ");
        put_toml(b, d->classes[i]);
        buffer_char(b, '\n');
    }
}

static bool write_draft(draft *d, const char *path, capp_error *err) {
    buffer text = {0};
    put_draft(&text, d);
    bool good = write_whole_file(path, buffer_view(&text)) ||
                fail_at(err, 0, "%s: cannot write the file: %s", path, strerror(errno));
    buffer_free(&text);
    return good;
}

int init_command(const options *o) {
    draft d = {.settings = o, .asks = isatty(STDIN_FILENO) && !o->defaults};
    const char *path = project_path(o->project_path ? o->project_path : PROJECT_NAME, &d.memory);
    capp_error err;
    d.path = path;
    bool good = access(path, F_OK) || o->overwrite ||
                fail_at(&err, 0, "%s exists; use --overwrite to replace it, or write another name after -p", path);
    good = good && begin_draft(&d, &err);
    if (good && d.asks && !ask_all(&d)) {
        if (!interrupted()) fputc('\n', stderr);
        good = fail_at(&err, 0, "the questions were not answered; %s was not written", path);
    }
    if (good && d.n_classes < 2 && !o->multi_label)
        good = !o->input
                   ? fail_at(&err, 0,
                             "there are no classes; list them with -c, or name INPUT and with --label its column "
                             "of classes")
                   : fail_at(&err, 0,
                             d.look.rows
                                 ? "%s: there are no classes in its columns; list them with -c, or name a column with "
                                   "--label"
                                 : "%s: no rows, so there are no classes; list them with -c",
                             o->input);
    good = good && write_draft(&d, path, &err);
    if (!good) complain("%s", err.message);
    if (good && !o->quiet) complain("wrote %s; next: capp plan -p %s INPUT", path, path);
    look_free(&d.look);
    arena_free(&d.memory);
    free(d.line);
    return !good ? EXIT_FAILED : EXIT_DONE;
}
