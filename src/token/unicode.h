/* Characters, as the tokenizers package sees them: properties, lower case, normalisation forms. By utf8proc, with
 * unicode_tables.h for what differs. */
#ifndef CAPP_TOKEN_UNICODE_H
#define CAPP_TOKEN_UNICODE_H

#include "base/error.h"
#include "base/utf8.h"

/* A growing text; owned by whoever declared it, {0} to begin with, ended by capp_free(data). */
typedef struct capp_text {
    char *data;
    size_t size, capacity;
} capp_text;

bool capp_text_append(capp_text *text, const char *data, size_t size); /* false: out of memory, and nothing changed */
bool capp_text_append_character(capp_text *text, int32_t character);

bool capp_is_white_space(int32_t c);
size_t capp_after_white_space(capp_str text, size_t at); /* where what begins at `at` is none, or text.size */
bool capp_is_number(int32_t c);
bool capp_is_word(int32_t c); /* \w: letters, marks, decimal digits, connectors, joiners */
bool capp_is_punctuation(int32_t c);
bool capp_is_mark(int32_t c);
/* Whether a grapheme cluster ends between two neighbours of a text; *state: 0 at its beginning. */
bool capp_grapheme_cluster_ends(int32_t before, int32_t c, int32_t *state);

/* How much of a text that is being rewritten stands for the very beginning of what it was made from, by the rule of the
 * tokenizers package: a character that takes the place of another stands where that one did, one that is put in besides
 * stands where the character before it did, and at the front for the beginning itself. {.n = ...} to begin with. */
typedef struct capp_text_front {
    size_t n;     /* characters of the text that stand for the beginning */
    size_t taken; /* characters that have been rewritten */
    size_t size;  /* once over: bytes of the result that stand for the beginning */
    bool over;
} capp_text_front;

/* A character is about to be written after size bytes. change: 1 where it is put in besides, else it takes the place of
 * a character and of -change more. */
void capp_text_front_step(capp_text_front *lead, ptrdiff_t change, size_t size);

/* Appends text (valid UTF-8) in lower case, character by character. */
bool capp_text_append_lower_case(capp_text *out, capp_str text);

enum { CAPP_NORMALISE_COMPOSE = 1, CAPP_NORMALISE_COMPATIBLE = 2 }; /* NFD: 0; NFC, NFKD, NFKC: what they are with */

/* Appends text (valid UTF-8) in a normalisation form. Time is linear in the text, whatever is in it. lead may be NULL.
 */
capp_status capp_text_append_normalised(capp_text *out, capp_str text, unsigned form, capp_text_front *lead,
                                        capp_error *err);

#endif
