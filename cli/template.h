/* 'Question: {text}\nTopic:': a prompt with the names of fields in braces. */
#ifndef CLI_TEMPLATE_H
#define CLI_TEMPLATE_H

#include "reader.h"

typedef struct template_piece {
    bool field;         /* text names a field, else stands for itself */
    size_t start, size; /* in storage */
} template_piece;

typedef struct template {
    buffer storage;
    template_piece *pieces;
    size_t n_pieces, capacity;
}
template;

/* The two characters \n mean a line feed, \t a tab, \\ a backslash; {{ and }} are braces. */
bool template_parse(template *t, const char *text, capp_error *err);
void template_free(template *t);

/* Adds the names of its fields to the array *names; they are borrowed from the template. */
void template_fields(const template *t, capp_str **names, size_t *n, size_t *capacity);

/* Whether the prompt ends in a text of the template itself, which goes to *end. */
bool template_end(const template *t, capp_str *end);

/* Fails where a field of the template is none of the columns that the reader knows. */
bool template_check(const template *t, reader *r, capp_error *err);

/* The prompt of a row, in memory of a. Fails where a field is missing, and where the template has fields and all are
 * empty. *empty: the first field that is empty, or size 0. */
bool template_render(const template *t, const record *row, arena *a, capp_str *prompt, capp_str *empty,
                     capp_error *err);

#endif
