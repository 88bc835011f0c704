#include "template.h"

#include <stdlib.h>
#include <string.h>

static void add_piece(template *pattern, bool is_field, size_t start) {
    if (!is_field && start == pattern->storage.size) return;
    grow(&pattern->pieces, &pattern->capacity, pattern->n_pieces + 1, sizeof *pattern->pieces);
    pattern->pieces[pattern->n_pieces++] = (template_piece){is_field, start, pattern->storage.size - start};
}

static capp_str piece_text(const template *pattern, const template_piece *piece) {
    return (capp_str){pattern->storage.data + piece->start, piece->size};
}

bool template_parse(template *pattern, const char *text, const char *option, capp_error *err) {
    *pattern = (template){0};
    size_t size = strlen(text), valid = utf8_valid(text, size);
    if (valid != size) return fail_at(err, 0, "%s: invalid UTF-8 at byte %zu of the text", option, valid + 1);
    size_t start = 0; /* start of the current literal, in storage */
    for (const char *c = text; *c; c++) {
        if ((*c == '{' || *c == '}') && c[1] == *c) {
            buffer_char(&pattern->storage, *c++);
        } else if (*c == '}') {
            return fail_at(err, 0, "%s: '}' at byte %zu of the text has no matching '{'; write }} for a brace", option,
                           (size_t)(c - text) + 1);
        } else if (*c == '{') {
            add_piece(pattern, false, start);
            size_t name = strcspn(c + 1, "{}");
            if (c[1 + name] != '}')
                return fail_at(err, 0, "%s: '{' at byte %zu of the text is not closed; write {{ for a brace", option,
                               (size_t)(c - text) + 1);
            if (!name)
                return fail_at(
                    err, 0, "%s: {} at byte %zu of the text does not name a column; write {text}, or {{}} for braces",
                    option, (size_t)(c - text) + 1);
            start = pattern->storage.size;
            buffer_add(&pattern->storage, c + 1, name);
            add_piece(pattern, true, start);
            start = pattern->storage.size;
            c += name + 1;
        } else if (*c == '\\' && c[1]) {
            buffer_unescaped(&pattern->storage, c, 2);
            if (c[1] != '{' && c[1] != '}')
                c++;
            else
                pattern->storage.size--; /* the brace keeps its meaning */
        } else {
            buffer_char(&pattern->storage, *c);
        }
    }
    add_piece(pattern, false, start);
    if (!pattern->n_pieces)
        return fail_at(err, 0, "%s: the text is empty; write, for example, '{text}\\nTopic:'", option);
    return true;
}

void template_free(template *pattern) {
    buffer_free(&pattern->storage);
    free(pattern->pieces);
    *pattern = (template){0};
}

/* Adds a piece of another template. */
static void copy_piece(template *pattern, bool is_field, capp_str text) {
    size_t start = pattern->storage.size;
    buffer_str(&pattern->storage, text);
    add_piece(pattern, is_field, start);
}

void template_set(template *pattern, const template *from, capp_str before, const template_value *known) {
    *pattern = (template){0};
    copy_piece(pattern, false, before);
    for (size_t i = 0; i < from->n_pieces; i++) {
        const template_piece *piece = &from->pieces[i];
        capp_str text = piece_text(from, piece);
        bool is_known = known && piece->field && str_is(text, known->name);
        copy_piece(pattern, piece->field && !is_known, is_known ? known->text : text);
    }
}

bool template_expand(const template *pattern, const template_value *values, size_t n, const char *option, buffer *to,
                     capp_error *err) {
    for (size_t i = 0; i < pattern->n_pieces; i++) {
        capp_str text = piece_text(pattern, &pattern->pieces[i]);
        size_t j = 0;
        while (pattern->pieces[i].field && j < n && !str_is(text, values[j].name)) j++;
        if (pattern->pieces[i].field && j == n) {
            buffer names = {0};
            for (j = 0; j < n; j++) buffer_printf(&names, "%s{%s}", j ? ", " : "; it can use ", values[j].name);
            fail_at(err, 0, "%s: {%.*s} has no value here%.*s", option, (int)text.size, text.data, (int)names.size,
                    names.size ? names.data : "");
            buffer_free(&names);
            return false;
        }
        buffer_str(to, pattern->pieces[i].field ? values[j].text : text);
    }
    return true;
}

void template_write(const template *pattern, buffer *to) {
    for (size_t i = 0; i < pattern->n_pieces; i++) {
        capp_str text = piece_text(pattern, &pattern->pieces[i]);
        if (pattern->pieces[i].field) buffer_char(to, '{');
        for (size_t j = 0; j < text.size; j++) {
            char c = text.data[j];
            if (!pattern->pieces[i].field && is_one_of(c, "{}\\")) buffer_char(to, c);
            buffer_char(to, c);
        }
        if (pattern->pieces[i].field) buffer_char(to, '}');
    }
}

void template_sizes(const template *pattern, size_t *before, size_t *behind) {
    bool begun = false;
    *before = *behind = 0;
    for (size_t i = 0; i < pattern->n_pieces; i++) {
        begun = begun || pattern->pieces[i].field;
        if (!pattern->pieces[i].field) *(begun ? behind : before) += pattern->pieces[i].size;
    }
}

bool template_check(const template *pattern, reader *input, capp_error *err) {
    for (size_t i = 0; i < pattern->n_pieces; i++)
        if (pattern->pieces[i].field && !reader_knows(input, piece_text(pattern, &pattern->pieces[i]), err))
            return false;
    return true;
}

void template_fields(const template *pattern, capp_str **names, size_t *n, size_t *capacity) {
    for (size_t i = 0; i < pattern->n_pieces; i++) {
        if (!pattern->pieces[i].field) continue;
        grow(names, capacity, *n + 1, sizeof **names);
        (*names)[(*n)++] = piece_text(pattern, &pattern->pieces[i]);
    }
}

bool template_end(const template *pattern, capp_str *end) {
    if (!pattern->n_pieces || pattern->pieces[pattern->n_pieces - 1].field) return false;
    *end = piece_text(pattern, &pattern->pieces[pattern->n_pieces - 1]);
    return true;
}

/* Texts of all pieces; false if a field is missing or all are empty. */
static bool fill_pieces(const template *pattern, const record *row, arena *a, capp_str *parts, capp_str *empty,
                        capp_error *err) {
    size_t n_fields = 0, n_empty = 0;
    *empty = (capp_str){NULL, 0};
    for (size_t i = 0; i < pattern->n_pieces; i++) {
        capp_str name = parts[i] = piece_text(pattern, &pattern->pieces[i]);
        if (!pattern->pieces[i].field) continue;
        if (!record_text(row, name, a, &parts[i])) return fail_field(err, row, name);
        n_fields++;
        if (parts[i].size) continue;
        if (!n_empty) *empty = name;
        n_empty++;
    }
    if (!n_fields || n_empty < n_fields) return true;
    return fail_at(err, row->line, n_fields == 1 ? "'%.*s' is empty" : "'%.*s' and all other columns of -t are empty",
                   (int)empty->size, empty->data);
}

static capp_str join(const capp_str *parts, size_t n, arena *a) {
    size_t size = 0;
    for (size_t i = 0; i < n; i++) size += parts[i].size;
    char *text = arena_allocate(a, size + 1, 1);
    const capp_str joined = {text, size};
    for (size_t i = 0; i < n; i++) {
        if (parts[i].size) memcpy(text, parts[i].data, parts[i].size);
        text += parts[i].size;
    }
    *text = 0;
    return joined;
}

bool template_render(const template *pattern, const record *row, arena *a, capp_str *prompt, capp_str *empty,
                     capp_error *err) {
    capp_str *parts = arena_allocate(a, pattern->n_pieces, sizeof *parts);
    if (!fill_pieces(pattern, row, a, parts, empty, err)) return false;
    *prompt = join(parts, pattern->n_pieces, a);
    return true;
}

capp_str template_fill(const template *pattern, capp_str text, arena *a) {
    capp_str *parts = arena_allocate(a, pattern->n_pieces, sizeof *parts);
    for (size_t i = 0; i < pattern->n_pieces; i++)
        parts[i] = pattern->pieces[i].field ? text : piece_text(pattern, &pattern->pieces[i]);
    return join(parts, pattern->n_pieces, a);
}
