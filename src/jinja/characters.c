#include "jinja/characters.h"

#include <string.h>

bool capp_jinja_is_space(int32_t character) {
    return (character >= 9 && character <= 13) || (character >= 28 && character <= 32) || character == 0x85 ||
           character == 0xa0 || character == 0x1680 || (character >= 0x2000 && character <= 0x200a) ||
           character == 0x2028 || character == 0x2029 || character == 0x202f || character == 0x205f ||
           character == 0x3000;
}

bool capp_jinja_same_name(capp_str a, capp_str b) {
    return a.size == b.size && !memcmp(a.data, b.data, a.size);
}

bool capp_jinja_name_is(capp_str name, const char *text) {
    return name.size == strlen(text) && !memcmp(name.data, text, name.size);
}

int capp_jinja_shown_bytes(capp_str text, size_t limit) {
    if (text.size <= limit) return (int)text.size;
    while (limit && ((unsigned char)text.data[limit] & 0xc0) == 0x80) limit--;
    return (int)limit;
}
