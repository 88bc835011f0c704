#include "base/utf8.h"

#include <string.h>

/* Number of bytes of the valid character at p, reading at most `left` bytes; 0: not valid. The range of the second byte
 * depends on the first (Unicode standard, table 3-7). */
static size_t character(const unsigned char *p, size_t left) {
    unsigned char c = p[0];
    if (c < 0x80) return 1;
    size_t size = c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (!size || left < size) return 0;
    unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return size;
}

size_t capp_utf8_invalid_at(capp_str text) {
    const unsigned char *p = (const unsigned char *)text.data;
    size_t at = 0;
    while (at < text.size) {
        uint64_t eight;
        if (text.size - at >= sizeof eight) { /* most text is ASCII */
            memcpy(&eight, p + at, sizeof eight);
            if (!(eight & 0x8080808080808080u)) {
                at += sizeof eight;
                continue;
            }
        }
        size_t size = character(p + at, text.size - at);
        if (!size) return at;
        at += size;
    }
    return at;
}

int32_t capp_utf8_character(const char *p, size_t *size) {
    const unsigned char *u = (const unsigned char *)p;
    *size = capp_utf8_size(p);
    switch (*size) {
    case 1: return u[0];
    case 2: return (u[0] & 0x1f) << 6 | (u[1] & 0x3f);
    case 3: return (u[0] & 0x0f) << 12 | (u[1] & 0x3f) << 6 | (u[2] & 0x3f);
    default: return (u[0] & 0x07) << 18 | (u[1] & 0x3f) << 12 | (u[2] & 0x3f) << 6 | (u[3] & 0x3f);
    }
}

size_t capp_utf8_size_before(const char *p) {
    size_t size = 1;
    while ((p[-(ptrdiff_t)size] & 0xc0) == 0x80) size++;
    return size;
}
