#include "notes.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void notes_free(notes *n) {
    free(n->ids);
    *n = (notes){0};
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
    if (size < 0) return text; /* not UTF-8, which somebody else says */
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
    form *forms = take(n, sizeof *forms);
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

enum { MOST_IDS = 1 << 22 }; /* 64 MiB of hashes at most; ids behind so many are not looked at */

static uint64_t hash_of(capp_str text) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, then mixed: splitmix64's last steps */
    for (size_t i = 0; i < text.size; i++) hash = (hash ^ (unsigned char)text.data[i]) * 0x100000001b3u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    hash ^= hash >> 31;
    return hash ? hash : 1;
}

/* Where the hash is, or the free place where it belongs. */
static size_t place_of(const uint64_t *ids, size_t capacity, uint64_t hash) {
    size_t at = (size_t)hash & (capacity - 1);
    while (ids[at] && ids[at] != hash) at = (at + 1) & (capacity - 1);
    return at;
}

static void grow_ids(notes *n) {
    size_t capacity = n->ids_capacity ? 2 * n->ids_capacity : 1024;
    uint64_t *ids = take(capacity, sizeof *ids);
    memset(ids, 0, capacity * sizeof *ids);
    for (size_t i = 0; i < n->ids_capacity; i++)
        if (n->ids[i]) ids[place_of(ids, capacity, n->ids[i])] = n->ids[i];
    free(n->ids);
    n->ids = ids;
    n->ids_capacity = capacity;
}

/* Whether the id is new, as far as one sees. */
static bool add_id(notes *n, capp_str id) {
    if (n->n_ids == MOST_IDS) return true;
    if (2 * (n->n_ids + 1) > n->ids_capacity) grow_ids(n);
    uint64_t hash = hash_of(id);
    size_t at = place_of(n->ids, n->ids_capacity, hash);
    if (n->ids[at]) return false;
    n->ids[at] = hash;
    n->n_ids++;
    return true;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

/* Whether it is to be told: it was not, and somebody reads it. */
static bool due(notes *n, note what) {
    bool told = n->told[what];
    n->told[what] = true;
    return !told && !n->quiet;
}

static bool is_space_byte(char c) {
    return is_one_of(c, " \t\r\n");
}

static void note_spaces(notes *n, const noted_row *row) {
    const capp_example *e = row->example;
    bool space = e->end_of_prompt ? *e->end_of_prompt == ' ' : n->space;
    if (!space || !e->n_completions) return;
    if (e->prompt.size && is_space_byte(e->prompt.data[e->prompt.size - 1]) && due(n, NOTE_PROMPT_SPACE))
        complain("warning: %s:%zu: the prompt ends in a space or line end, and a space stands between prompt and "
                 "completion; remove it from the prompt, or give --end-of-prompt ''",
                 n->input, row->line);
    if (n->told[NOTE_COMPLETION_SPACE] || !row->own_completions) return;
    for (size_t i = 0; i < e->n_completions; i++)
        if (e->completions[i].size && is_space_byte(*e->completions[i].data) && due(n, NOTE_COMPLETION_SPACE))
            complain(
                "warning: %s:%zu: completion %zu begins with a space, and another one stands before it; remove it, "
                "or give --end-of-prompt ''",
                n->input, row->line, i);
}

static void note_forms(notes *n, const noted_row *row) {
    enum { ENOUGH = 1000 }; /* completions of a row */
    const capp_example *e = row->example;
    size_t first, second;
    if (n->told[NOTE_FORMS] || !row->own_completions || e->n_completions > ENOUGH) return;
    if (find_lookalikes(e->completions, e->n_completions, &first, &second) && due(n, NOTE_FORMS))
        complain(
            "warning: %s:%zu: completions %zu and %zu ('%.*s') look the same and differ in their Unicode form or in "
            "spaces around them; keep one",
            n->input, row->line, first, second, (int)e->completions[first].size, e->completions[first].data);
}

static void note_bos(notes *n, const noted_row *row) {
    capp_str prompt = row->example->prompt;
    if (!n->bos.size || prompt.size < n->bos.size || memcmp(prompt.data, n->bos.data, n->bos.size) != 0) return;
    if (!due(n, NOTE_BOS)) return;
    if (n->bos_parsed)
        complain(
            "warning: %s:%zu: the prompt begins with %.*s, and that token is added before it too; remove it from the "
            "prompt",
            n->input, row->line, (int)n->bos.size, n->bos.data);
    else
        complain("warning: %s:%zu: the prompt begins with %.*s, which is plain text here; the token itself is added "
                 "before it; remove it from the prompt",
                 n->input, row->line, (int)n->bos.size, n->bos.data);
}

void notes_row(notes *n, const noted_row *row) {
    if (n->quiet) return;
    if (row->id.size && !n->ids_known && !n->told[NOTE_ID] && !add_id(n, row->id) && due(n, NOTE_ID))
        complain("warning: %s:%zu: the id '%.*s' stands before; rows of one id cannot be told apart in the output",
                 n->input, row->line, (int)row->id.size, row->id.data);
    if (row->empty.size && due(n, NOTE_EMPTY))
        complain("warning: %s:%zu: '%.*s' is empty; the prompt is made without it", n->input, row->line,
                 (int)row->empty.size, row->empty.data);
    if (!row->example) return;
    note_spaces(n, row);
    note_forms(n, row);
    note_bos(n, row);
}
