/* Properties of characters, lower case and normalization forms, as in the tokenizers package. They come from utf8proc;
 * unicode_tables.h lists the differences. */
#ifndef CAPP_TOKEN_UNICODE_H
#define CAPP_TOKEN_UNICODE_H

#include "base/error.h"
#include "base/utf8.h"

/* A text that grows. Initially {0}; its owner frees data with capp_free. */
typedef struct capp_text {
    char *data;
    size_t size, capacity;
} capp_text;

bool capp_text_append(capp_text *text, const char *data, size_t size); /* false: out of memory, and nothing changed */
bool capp_text_append_character(capp_text *text, int32_t character);

bool capp_is_white_space(int32_t c);
size_t capp_after_white_space(capp_str text, size_t at); /* the place after the white space at `at` */
bool capp_is_number(int32_t c);
bool capp_is_word(int32_t c); /* \w: letters, marks, decimal digits, connectors, joiners */
bool capp_is_punctuation(int32_t c);
bool capp_is_mark(int32_t c);
/* Whether a grapheme cluster ends between two neighbors. *state: 0 at the beginning of a text. */
bool capp_grapheme_cluster_ends(int32_t before, int32_t c, int32_t *state);

/* The front of a text that is being rewritten: the part that stands for the very beginning of the original text. The
 * rule of the tokenizers package: a character that replaces another takes its place; an inserted one takes the place of
 * the character before it, and at the front it stands for the beginning itself. Initially {.n = ...}. */
typedef struct capp_text_front {
    size_t n;     /* characters of the text in front */
    size_t taken; /* characters that have been rewritten */
    size_t size;  /* once over: bytes of the result in front */
    bool over;
} capp_text_front;

/* Call this before a character is written after size bytes. change 1: the character is inserted; 0 or less: it replaces
 * one character and -change more. */
void capp_text_front_step(capp_text_front *front, ptrdiff_t change, size_t size);

/* Appends text (valid UTF-8) in lower case, character by character. */
bool capp_text_append_lower_case(capp_text *out, capp_str text);

enum {
    CAPP_NORMALIZE_COMPOSE = 1,
    CAPP_NORMALIZE_COMPATIBLE = 2
}; /* NFD: 0; NFC: COMPOSE; NFKD: COMPATIBLE; NFKC: both */

/* Appends text (valid UTF-8) in a normalization form, in linear time. front may be NULL. */
capp_status capp_text_append_normalized(capp_text *out, capp_str text, unsigned form, capp_text_front *front,
                                        capp_error *err);

#endif
