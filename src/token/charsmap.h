/* The character map of SentencePiece models ("precompiled_charsmap"): a trie of texts and their replacements.
 *
 * Bytes: u32 size of the trie in bytes | the trie, a double array of u32 units (darts-clone) | replacements, each ended
 * by a NUL. */
#ifndef CAPP_TOKEN_CHARSMAP_H
#define CAPP_TOKEN_CHARSMAP_H

#include "token/unicode.h"

typedef struct capp_charsmap capp_charsmap;

/* Copies bytes. CAPP_EFORMAT: bytes are not a character map. The caller owns *out. */
capp_status capp_charsmap_open(capp_charsmap **out, capp_str bytes, capp_error *err);
void capp_charsmap_free(capp_charsmap *map); /* map may be NULL */

/* Finds the longest (or shortest) text of the map that begins text. Returns its size (0: there is none) and its
 * replacement, borrowed from the map. */
size_t capp_charsmap_find(const capp_charsmap *map, capp_str text, bool longest, capp_str *replacement);

/* Appends text (valid UTF-8), mapped as in the tokenizers package: by grapheme clusters of at most 5 bytes, else by
 * characters. front may be NULL. False: out of memory. */
bool capp_charsmap_append(const capp_charsmap *map, capp_text *out, capp_str text, capp_text_front *front);

/* Decodes base64 (RFC 4648); out has room for 3 bytes for each 4 of text. False: the text is not base64. */
bool capp_decode_base64(capp_str text, char *out, size_t *size);

#endif
