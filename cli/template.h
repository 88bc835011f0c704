/* 'Question: {text}\nTopic:': a prompt with the names of fields in braces. */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include "reader.h"

typedef struct template_piece {
    bool field;         /* text is the name of a field; otherwise it is literal text */
    size_t start, size; /* in storage */
} template_piece;

typedef struct template {
    buffer storage;
    template_piece *pieces;
    size_t n_pieces, capacity;
}
template;

/* A value for a field that is not a column of the input. */
typedef struct template_value {
    const char *name;
    capp_str text;
} template_value;

/* The two characters \n mean a line feed, \t a tab, \\ a backslash; {{ and }} are braces. option: for messages. */
bool template_parse(template *pattern, const char *text, const char *option, capp_error *err);
void template_free(template *pattern);

/* Makes *pattern from another template: with text before it, and with a value in place of one of its fields, unless
 * known is NULL. */
void template_set(template *pattern, const template *from, capp_str before, const template_value *known);

/* Appends the text with these values. Fails if a field is none of them. */
bool template_expand(const template *pattern, const template_value *values, size_t n, const char *option, buffer *to,
                     capp_error *err);

/* Writes it as template_parse reads it. */
void template_write(const template *pattern, buffer *to);

/* Adds the names of its fields to the array *names; they are borrowed from the template. */
void template_fields(const template *pattern, capp_str **names, size_t *n, size_t *capacity);

/* Whether the prompt ends with literal text of the template; if so, *end is this text. */
bool template_end(const template *pattern, capp_str *end);

/* The number of bytes of the template's own text before its first field, and after it. */
void template_sizes(const template *pattern, size_t *before, size_t *behind);

/* Fails if the reader knows its columns and a field of the template is not one of them. */
bool template_check(const template *pattern, reader *input, capp_error *err);

/* Makes the prompt of a row, in memory of a. Fails if a field is missing, or if the template has fields and all are
 * empty. *empty: the first field that is empty, or size 0. */
bool template_render(const template *pattern, const record *row, arena *a, capp_str *prompt, capp_str *empty,
                     capp_error *err);

/* The template with this text in all columns, in memory of a. */
capp_str template_fill(const template *pattern, capp_str text, arena *a);

#endif
