#include "notes.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void notes_free(notes *notebook) {
    free(notebook->ids);
    *notebook = (notes){0};
}

/* ---- Texts that look the same ------------------------------------------------------------------------------------ */

static bool is_space(utf8proc_int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    return (c >= 9 && c <= 13) || category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
           category == UTF8PROC_CATEGORY_ZP;
}

capp_str visible_form(capp_str text, arena *a) {
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t size = utf8proc_map((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.size, &mapped,
                                         UTF8PROC_COMPOSE | UTF8PROC_STABLE | UTF8PROC_IGNORE);
    if (size == UTF8PROC_ERROR_NOMEM) out_of_memory();
    if (size < 0) return text; /* not UTF-8, which is reported elsewhere */
    const utf8proc_uint8_t *begin = mapped, *end = mapped + size, *last;
    utf8proc_int32_t c;
    while (begin < end) {
        utf8proc_ssize_t n = utf8proc_iterate(begin, end - begin, &c);
        if (n <= 0 || !is_space(c)) break;
        begin += n;
    }
    for (const utf8proc_uint8_t *at = last = begin; at < end;) {
        utf8proc_ssize_t n = utf8proc_iterate(at, end - at, &c);
        if (n <= 0) break;
        at += n;
        if (!is_space(c)) last = at;
    }
    capp_str form = arena_copy(a, (capp_str){(const char *)begin, (size_t)(last - begin)});
    free(mapped);
    return form;
}

typedef struct form {
    capp_str form, text;
    size_t place;
} form;

static int by_form(const void *a, const void *b) {
    const form *x = a, *y = b;
    size_t n = x->form.size < y->form.size ? x->form.size : y->form.size;
    int order = n ? memcmp(x->form.data, y->form.data, n) : 0;
    if (!order) order = (x->form.size > y->form.size) - (x->form.size < y->form.size);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

bool find_lookalikes(const capp_str *texts, size_t n, size_t *first, size_t *second) {
    arena memory = {0};
    form *forms = allocate(n, sizeof *forms);
    bool found = false;
    for (size_t i = 0; i < n; i++) forms[i] = (form){visible_form(texts[i], &memory), texts[i], i};
    qsort(forms, n, sizeof *forms, by_form);
    for (size_t i = 1; i < n && !found; i++) {
        found = str_equal(forms[i - 1].form, forms[i].form) && !str_equal(forms[i - 1].text, forms[i].text);
        *first = forms[i - 1].place;
        *second = forms[i].place;
    }
    free(forms);
    arena_free(&memory);
    return found;
}

/* ---- Ids --------------------------------------------------------------------------------------------------------- */

enum { MOST_IDS = 1 << 22 }; /* at most 64 MiB of hashes; further ids are not checked */

static uint64_t hash_of(capp_str text) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, then the last steps of splitmix64. */
    for (size_t i = 0; i < text.size; i++) hash = (hash ^ (unsigned char)text.data[i]) * 0x100000001b3u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    hash ^= hash >> 31;
    return hash ? hash : 1;
}

/* The place of the hash, or the free place where it belongs. */
static size_t place_of(const uint64_t *ids, size_t capacity, uint64_t hash) {
    size_t at = (size_t)hash & (capacity - 1);
    while (ids[at] && ids[at] != hash) at = (at + 1) & (capacity - 1);
    return at;
}

static void grow_ids(notes *notebook) {
    size_t capacity = notebook->ids_capacity ? 2 * notebook->ids_capacity : 1024;
    uint64_t *ids = allocate(capacity, sizeof *ids);
    memset(ids, 0, capacity * sizeof *ids);
    for (size_t i = 0; i < notebook->ids_capacity; i++)
        if (notebook->ids[i]) ids[place_of(ids, capacity, notebook->ids[i])] = notebook->ids[i];
    free(notebook->ids);
    notebook->ids = ids;
    notebook->ids_capacity = capacity;
}

/* Whether the id is new, as far as capp knows. */
static bool add_id(notes *notebook, capp_str id) {
    if (notebook->n_ids == MOST_IDS) return true;
    if (2 * (notebook->n_ids + 1) > notebook->ids_capacity) grow_ids(notebook);
    uint64_t hash = hash_of(id);
    size_t at = place_of(notebook->ids, notebook->ids_capacity, hash);
    if (notebook->ids[at]) return false;
    notebook->ids[at] = hash;
    notebook->n_ids++;
    return true;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

/* Whether to print the note: it was not printed before, and messages are not switched off. */
static bool due(notes *notebook, note what) {
    bool told = notebook->told[what];
    notebook->told[what] = true;
    return !told && !notebook->quiet;
}

static bool is_space_byte(char c) {
    return is_one_of(c, " \t\r\n");
}

static void note_spaces(notes *notebook, const noted_row *row) {
    const capp_example *e = row->example;
    bool space = e->end_of_prompt ? *e->end_of_prompt == ' ' : notebook->space;
    if (!space || !e->n_completions) return;
    if (e->prompt.size && is_space_byte(e->prompt.data[e->prompt.size - 1]) && due(notebook, NOTE_PROMPT_SPACE))
        complain("warning: %s:%zu: the prompt ends with a space or line feed, and capp adds a space before the "
                 "completion; remove it from the prompt, or use --end-of-prompt ''",
                 notebook->input, row->line);
    if (notebook->told[NOTE_COMPLETION_SPACE] || !row->own_completions) return;
    for (size_t i = 0; i < e->n_completions; i++)
        if (e->completions[i].size && is_space_byte(*e->completions[i].data) && due(notebook, NOTE_COMPLETION_SPACE))
            complain("warning: %s:%zu: completion %zu begins with a space, and capp adds another one before it; remove "
                     "it, or use --end-of-prompt ''",
                     notebook->input, row->line, i);
}

static void note_forms(notes *notebook, const noted_row *row) {
    enum { ENOUGH = 1000 }; /* completions of a row */
    const capp_example *e = row->example;
    size_t first, second;
    if (notebook->told[NOTE_FORMS] || !row->own_completions || e->n_completions > ENOUGH) return;
    if (find_lookalikes(e->completions, e->n_completions, &first, &second) && due(notebook, NOTE_FORMS))
        complain("warning: %s:%zu: completions %zu and %zu ('%.*s') look the same, but differ in their Unicode form or "
                 "in spaces around them; keep one",
                 notebook->input, row->line, first, second, (int)e->completions[first].size,
                 e->completions[first].data);
}

static void note_bos(notes *notebook, const noted_row *row) {
    capp_str prompt = row->example->prompt;
    if (!notebook->bos.size || prompt.size < notebook->bos.size ||
        memcmp(prompt.data, notebook->bos.data, notebook->bos.size) != 0)
        return;
    if (!due(notebook, NOTE_BOS)) return;
    if (notebook->bos_parsed)
        complain(
            "warning: %s:%zu: the prompt begins with %.*s, and capp adds the same token; remove it from the prompt",
            notebook->input, row->line, (int)notebook->bos.size, notebook->bos.data);
    else
        complain("warning: %s:%zu: the prompt begins with %.*s as plain text, and capp adds the token itself; remove "
                 "it from the prompt",
                 notebook->input, row->line, (int)notebook->bos.size, notebook->bos.data);
}

void notes_row(notes *notebook, const noted_row *row) {
    if (notebook->quiet) return;
    if (row->id.size && !notebook->ids_known && !notebook->told[NOTE_ID] && !add_id(notebook, row->id) &&
        due(notebook, NOTE_ID))
        complain(
            "warning: %s:%zu: the id '%.*s' occurs twice; rows with the same id cannot be distinguished in the output",
            notebook->input, row->line, (int)row->id.size, row->id.data);
    notebook->with_id = notebook->with_id || row->id.size;
    notebook->without_id = notebook->without_id || (row->example && !row->id.size); /* a malformed row may have one */
    if (notebook->with_id && notebook->without_id && due(notebook, NOTE_NO_ID))
        complain("warning: %s:%zu: some rows have an id and some have none; the number that capp gives to these may be "
                 "the id "
                 "of another row; give an id to all rows, or to none",
                 notebook->input, row->line);
    if (row->empty.size && due(notebook, NOTE_EMPTY))
        complain("warning: %s:%zu: '%.*s' is empty, so the prompt has no text in its place", notebook->input, row->line,
                 (int)row->empty.size, row->empty.data);
    if (!row->example) return;
    note_spaces(notebook, row);
    note_forms(notebook, row);
    note_bos(notebook, row);
}
