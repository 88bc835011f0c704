/* capp label: shows rows of a store, takes a key for each, and keeps the labels in the store. */
#include "label_order.h"
#include "output_file.h"
#include "terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Keys of classes; s, u, q and / mean something else. */
static const char KEYS[] = "123456789abcdefghijklmnoprtvwxyz";
enum { MOST_KEYS = sizeof KEYS - 1, IN_ORDER = 9, SHOWN_BYTES = 2000, SHOWN_END = 80 };

/* A row that was shown, for undo. */
typedef struct past {
    order_row *row;
    bool labeled;
} past;

typedef struct labeling {
    const options *settings;
    store *store;
    store_facts facts;
    decider decider;
    label_order order;
    capp_str before, behind; /* text of the template before the fields of a row, and behind them; of facts.rules */
    int lock;
    past *history; /* [n_past] */
    size_t n_past, past_capacity, n_given;
    const char *key; /* the next one of --keys */
    bool colors;
    buffer text; /* of one screen */
} labeling;

/* The classes of a row, by key. */
typedef struct choices {
    const capp_str *names;
    size_t n;       /* all */
    size_t *order;  /* [n] in the order of their keys */
    size_t n_keyed; /* those that have a key */
} choices;

static int next_key(labeling *l) {
    if (!l->settings->keys) return terminal_key();
    return *l->key ? (unsigned char)*l->key++ : 'q';
}

/* With --keys, a typed line ends with a line feed or with the keys. */
static bool next_line(labeling *l, buffer *line) {
    if (!l->settings->keys) return terminal_line(line);
    line->size = 0;
    while (*l->key && *l->key != '\n') buffer_char(line, *l->key++);
    if (*l->key) l->key++;
    return true;
}

/* ---- Showing --------------------------------------------------------------------------------------------------- */

/* Few classes keep their order, so that a hand learns the keys; many are sorted by probability. */
static void order_choices(choices *c, const decided_row *decided) {
    const double *p = decided->posterior;
    c->names = decided->row.example.completions;
    c->n = decided->row.example.n_completions;
    c->n_keyed = c->n < MOST_KEYS ? c->n : MOST_KEYS;
    c->order = allocate(c->n, sizeof *c->order);
    for (size_t i = 0; i < c->n; i++) {
        size_t place = i;
        while (c->n > IN_ORDER && place && p[c->order[place - 1]] < p[i]) {
            c->order[place] = c->order[place - 1];
            place--;
        }
        c->order[place] = i;
    }
}

static void put_bold(labeling *l, const char *mark) {
    if (l->colors) buffer_text(&l->text, mark);
}

/* What all rows share, such as an instruction and examples, is left out: whole lines before the row's fields, and a
 * long text behind them. */
static void put_prompt(labeling *l, capp_str prompt) {
    buffer *b = &l->text;
    capp_str before = l->before, behind = l->behind;
    size_t from = 0, end = prompt.size;
    if (before.size && prompt.size >= before.size && !memcmp(prompt.data, before.data, before.size)) from = before.size;
    while (from && prompt.data[from - 1] != '\n') from--;
    if (behind.size > SHOWN_END && end - from >= behind.size &&
        !memcmp(prompt.data + end - behind.size, behind.data, behind.size))
        end -= behind.size;
    if (end - from > SHOWN_BYTES) from = end - SHOWN_BYTES;
    while (from && from < end && ((unsigned char)prompt.data[from] & 0xC0) == 0x80) from++;
    if (from) buffer_text(b, "...");
    put_plain(b, (capp_str){prompt.data + from, end - from});
    buffer_text(b, end < prompt.size ? "...\n\n" : "\n\n");
}

static void show(labeling *l, const decided_row *decided, const choices *c) {
    buffer *b = &l->text;
    b->size = 0;
    put_bold(l, "\033[2m");
    buffer_text(b, "\n--- row ");
    put_plain(b, decided->row.id);
    buffer_printf(b, ": %zu of %zu rows have a label\n", l->order.n_labeled, l->order.n_all);
    put_bold(l, "\033[0m");
    put_prompt(l, decided->row.example.prompt);
    for (size_t i = 0; i < c->n_keyed; i++) {
        put_bold(l, "\033[1m");
        buffer_printf(b, "  %c  ", KEYS[i]);
        put_bold(l, "\033[0m");
        put_plain(b, c->names[c->order[i]]);
        buffer_printf(b, "  %.0f %%\n", 100 * decided->posterior[c->order[i]]);
    }
    if (c->n_keyed < c->n) buffer_printf(b, "  /  one of %zu more, by the beginning of its name\n", c->n - c->n_keyed);
    buffer_text(b, "s skip, u undo, q quit: ");
}

/* ---- Answers --------------------------------------------------------------------------------------------------- */

/* The class whose name begins with the typed text; c->n if there is none or more than one. */
static size_t class_called(const choices *c, capp_str typed) {
    size_t found = c->n, n_found = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (str_equal(c->names[i], typed)) return i;
        if (!typed.size || c->names[i].size < typed.size || memcmp(c->names[i].data, typed.data, typed.size) != 0)
            continue;
        found = i;
        n_found++;
    }
    return n_found == 1 ? found : c->n;
}

typedef enum answer { ANSWER_CLASS, ANSWER_SKIP, ANSWER_UNDO, ANSWER_QUIT } answer;

static answer ask(labeling *l, const choices *c, size_t *chosen, int *code) {
    for (;;) {
        *code = output_print(buffer_view(&l->text));
        if (*code) return ANSWER_QUIT;
        int key = next_key(l);
        if (key < 0 || key == 'q') return ANSWER_QUIT;
        if (key == 's') return ANSWER_SKIP;
        if (key == 'u') return ANSWER_UNDO;
        const char *place = key ? strchr(KEYS, key) : NULL;
        *chosen = place && (size_t)(place - KEYS) < c->n_keyed ? c->order[place - KEYS] : c->n;
        l->text.size = 0;
        if (key == '/') {
            buffer typed = {0};
            output_print(capp_str_of("\nclass: "));
            bool read = next_line(l, &typed);
            *chosen = read ? class_called(c, buffer_view(&typed)) : c->n;
            buffer_free(&typed);
            if (*chosen == c->n) buffer_text(&l->text, "no class, or more than one, begins so; ");
        }
        if (*chosen < c->n) return ANSWER_CLASS;
        if (key != '/') buffer_text(&l->text, "\nno class has this key; ");
        buffer_text(&l->text, "s skip, u undo, q quit: ");
    }
}

static bool give(labeling *l, order_row *of, capp_str label, capp_error *err) {
    if (!store_label(l->store, of->index, label)) return store_fail(l->store, err);
    if (label.size) {
        l->n_given++;
        l->order.n_labeled++;
    } else {
        l->n_given--;
        l->order.n_labeled--;
    }
    return true;
}

/* The row to show again; NULL: there is none, or it failed. */
static order_row *undo(labeling *l, capp_error *err) {
    if (!l->n_past) return NULL;
    past last = l->history[--l->n_past];
    if (last.labeled && !give(l, last.row, (capp_str){NULL, 0}, err)) return NULL;
    return last.row;
}

/* Shows a row and does what the key says. *again: the row to show next, or NULL. */
static bool label_row(labeling *l, order_row *of, order_row **again, bool *quit, int *code, capp_error *err) {
    stored_row stored;
    decided_row decided;
    choices c;
    size_t chosen;
    store_rows *rows = store_rows_at(l->store, &l->facts, of->index, err);
    if (!rows) return false;
    bool good = store_rows_next(rows, &stored, err) == READ_ROW && decider_row(&l->decider, &stored, &decided, err);
    if (good) {
        order_choices(&c, &decided);
        show(l, &decided, &c);
        answer what = ask(l, &c, &chosen, code);
        *quit = what == ANSWER_QUIT;
        capp_str label = {NULL, 0};
        if (what == ANSWER_CLASS) {
            label = c.names[chosen];
            buffer echo = {0};
            put_plain(&echo, label);
            buffer_char(&echo, '\n');
            *code = output_print(buffer_view(&echo));
            buffer_free(&echo);
        }
        if (what == ANSWER_CLASS) good = give(l, of, label, err);
        if (what == ANSWER_CLASS || what == ANSWER_SKIP) {
            grow(&l->history, &l->past_capacity, l->n_past + 1, sizeof *l->history);
            l->history[l->n_past++] = (past){of, what == ANSWER_CLASS};
        }
        if (what == ANSWER_UNDO) {
            *again = undo(l, err);
            if (!*again)
                *again = of;
            else
                of->shown = false;
        }
        free(c.order);
    }
    store_rows_close(rows);
    return good && !store_errno(l->store);
}

static bool run_labeling(labeling *l, int *code, capp_error *err) {
    order_row *again = NULL;
    bool quit = false;
    while (!quit && !*code && !interrupted()) {
        if (l->settings->count && l->n_given >= l->settings->count && !again) break;
        order_row *of = again ? again : order_next(&l->order);
        again = NULL;
        if (!of) break;
        if (!label_row(l, of, &again, &quit, code, err)) return false;
    }
    return true;
}

/* ---- The command ----------------------------------------------------------------------------------------------- */

static bool learn_template(labeling *l, capp_error *err) {
    arena *a = &l->facts.rules.memory;
    template pattern = {0};
    size_t size, rest;
    capp_str written = store_get(l->store, "template", a), end;
    if (!written.size) return true;
    bool good = template_parse(&pattern, written.data, "the template", err);
    if (good) {
        template_sizes(&pattern, &size, &rest);
        l->before = (capp_str){template_fill(&pattern, capp_str_of(""), a).data, size};
        if (template_end(&pattern, &end)) l->behind = arena_copy(a, end);
    }
    template_free(&pattern);
    return good;
}

static bool open_labeling(labeling *l, capp_error *err) {
    const options *o = l->settings;
    l->lock = store_lock(o->input, err);
    l->store = l->lock < 0 ? NULL : store_open(o->input, true, err);
    if (!l->store || !store_learn(&l->facts, l->store, err) || !learn_template(l, err)) return false;
    if (!decider_open(&l->decider, l->store, o->input, &l->facts, o, err)) return false;
    if (!order_open(&l->order, &l->decider, o->random, err)) return false;
    if (o->keys || terminal_begin_keys()) return true;
    return fail_at(err, 0, "label reads keys from a terminal, and standard input is not one; for a script, use --keys");
}

int label_command(const options *settings) {
    labeling l = {.settings = settings, .lock = -1, .key = settings->keys};
    capp_error err = {.row = CAPP_NO_ROW};
    int code = EXIT_DONE;
    l.colors = terminal_has_colors(STDOUT_FILENO);
    bool good = open_labeling(&l, &err) && run_labeling(&l, &code, &err);
    terminal_end_keys();
    if (interrupted()) {
        code = EXIT_SIGNAL + interrupted();
    } else if (!good) {
        complain("%s", err.message);
        code = EXIT_FAILED;
    }
    if (l.store && good && !code) {
        l.text.size = 0;
        buffer_printf(&l.text, "\n%zu rows labeled; %zu of %zu rows of the store have a label\n", l.n_given,
                      l.order.n_labeled, l.order.n_all);
        code = output_print(buffer_view(&l.text));
    }
    order_close(&l.order);
    decider_close(&l.decider);
    store_forget(&l.facts);
    store_close(l.store);
    if (l.lock >= 0) close(l.lock);
    free(l.history);
    buffer_free(&l.text);
    return code;
}
