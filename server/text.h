/* A text that grows, and JSON in it. */
#ifndef SERVER_TEXT_H
#define SERVER_TEXT_H

#include "capp_queue.h"

/* Initially all zero. If memory runs out, the text is `failed` and stays as it is. */
typedef struct text {
    char *data; /* a NUL follows */
    size_t size, capacity;
    bool failed;
} text;

void text_free(text *t);
void text_add(text *t, const char *data, size_t size);
void text_put(text *t, const char *plain);
void text_printf(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
capp_str text_view(const text *t); /* borrowed until the next change */

/* A JSON string. Bytes that are not valid UTF-8 become U+FFFD. */
void text_string(text *t, const char *data, size_t size);
void text_word(text *t, const char *plain);

/* The shortest digits that give the same number; null if it is not finite. */
void text_double(text *t, double x);
void text_float(text *t, float x);

/* Bytes of the UTF-8 character at data; 0: it is not valid; SIZE_MAX: the text ends within it. */
size_t text_character(const char *data, size_t size);

/* Number of characters from *at to byte `to`, as text_string writes them: a byte that is not valid counts as one. *at
 * becomes the end of the last one. */
size_t text_characters(const char *data, size_t size, size_t to, size_t *at);

#endif
