/* UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing above U+10FFFF. */
#ifndef CAPP_TOKEN_UTF8_H
#define CAPP_TOKEN_UTF8_H

#include "capp.h"

/* Offset of the first byte that begins no valid character; text.size where all is valid. */
size_t capp_utf8_invalid_at(capp_str text);

/* Bytes of the character at p, which begins valid UTF-8 (1 to 4). */
static inline size_t capp_utf8_size(const char *p) {
    unsigned char c = (unsigned char)*p;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

#endif
