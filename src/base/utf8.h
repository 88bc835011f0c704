/* UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing above U+10FFFF. */
#ifndef CAPP_BASE_UTF8_H
#define CAPP_BASE_UTF8_H

#include "capp.h"

/* Offset of the first byte that does not begin a valid character; text.size if all text is valid. */
size_t capp_utf8_invalid_at(capp_str text);

/* Number of bytes of the character at p, which begins valid UTF-8 (1 to 4). */
static inline size_t capp_utf8_size(const char *p) {
    unsigned char c = (unsigned char)*p;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* The character at p, which begins valid UTF-8, and its size in bytes. */
int32_t capp_utf8_character(const char *p, size_t *size);

/* Number of bytes of the character that ends before p; p is not the beginning of its text. */
size_t capp_utf8_size_before(const char *p);

#endif
