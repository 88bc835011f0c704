#include "text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_free(text *t) {
    free(t->data);
    *t = (text){0};
}

static bool make_room(text *t, size_t more) {
    if (t->failed) return false;
    if (t->capacity - t->size > more) return true;
    size_t wanted = t->size + more + 1, capacity = t->capacity * 2 > wanted ? t->capacity * 2 : wanted;
    char *data = wanted > more ? realloc(t->data, capacity) : NULL;
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void text_add(text *t, const char *data, size_t size) {
    if (!make_room(t, size)) return;
    if (size) memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = 0;
}

void text_put(text *t, const char *plain) {
    text_add(t, plain, strlen(plain));
}

void text_printf(text *t, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0 || !make_room(t, (size_t)size)) return;
    va_start(arguments, format);
    vsnprintf(t->data + t->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    t->size += (size_t)size;
}

capp_str text_view(const text *t) {
    return (capp_str){t->data, t->size};
}

static bool continues(const char *data, size_t size, size_t i) {
    return i < size && ((unsigned char)data[i] & 0xc0) == 0x80;
}

size_t text_character(const char *data, size_t size) {
    unsigned char c = (unsigned char)data[0];
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (n < 2) return n;
    unsigned char second = size > 1 ? (unsigned char)data[1] : 0x80;
    if (size > 1 && ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
                     (c == 0xf4 && second > 0x8f)))
        return 0;
    for (size_t i = 1; i < n; i++)
        if (!continues(data, size, i)) return i < size ? 0 : SIZE_MAX;
    return n;
}

size_t text_characters(const char *data, size_t size, size_t to, size_t *at) {
    size_t n = 0;
    while (*at < to) {
        size_t found = text_character(data + *at, size - *at), bytes = found && found != SIZE_MAX ? found : 1;
        if (bytes > to - *at) break;
        *at += bytes;
        n++;
    }
    return n;
}

void text_string(text *t, const char *data, size_t size) {
    text_put(t, "\"");
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)data[i];
        size_t n = text_character(data + i, size - i);
        if (!n || n == SIZE_MAX) {
            text_put(t, "\xef\xbf\xbd");
            i++;
            continue;
        }
        if (c == '"' || c == '\\')
            text_printf(t, "\\%c", c);
        else if (c == '\n')
            text_put(t, "\\n");
        else if (c < 0x20 || c == 0x7f)
            text_printf(t, "\\u%04x", c);
        else
            text_add(t, data + i, n);
        i += n;
    }
    text_put(t, "\"");
}

void text_word(text *t, const char *plain) {
    text_string(t, plain, strlen(plain));
}

void text_double(text *t, double x) {
    char digits[40];
    if (!isfinite(x)) {
        text_put(t, "null");
        return;
    }
    for (int n = 15; n <= 17; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, x);
        if (strtod(digits, NULL) == x) break;
    }
    text_put(t, digits);
}

void text_float(text *t, float x) {
    char digits[40];
    if (!isfinite(x)) {
        text_put(t, "null");
        return;
    }
    for (int n = 6; n <= 9; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, (double)x);
        if (strtof(digits, NULL) == x) break;
    }
    text_put(t, digits);
}
