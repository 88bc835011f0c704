#include "values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void put_string(buffer *b, capp_str text) {
    buffer_char(b, '"');
    for (size_t i = 0; i < text.size;) {
        unsigned char c = (unsigned char)text.data[i];
        size_t n = utf8_character(text.data + i, text.size - i);
        if (!n)
            buffer_text(b, "\xEF\xBF\xBD");
        else if (c == '"' || c == '\\')
            buffer_printf(b, "\\%c", c);
        else if (c == '\n')
            buffer_text(b, "\\n");
        else if (c < 0x20 || c == 0x7F)
            buffer_printf(b, "\\u%04x", c);
        else
            buffer_add(b, text.data + i, n);
        i += n ? n : 1;
    }
    buffer_char(b, '"');
}

void put_double(buffer *b, double value) {
    char text[40];
    if (!isfinite(value)) {
        buffer_text(b, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    buffer_text(b, text);
}

void put_float(buffer *b, float value) {
    char text[40];
    snprintf(text, sizeof text, "%.9g", (double)value);
    buffer_text(b, isfinite(value) ? text : "null");
}

#define PUT_ARRAY(put)                                                                                                 \
    buffer_char(b, '[');                                                                                               \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        if (i) buffer_text(b, ", ");                                                                                   \
        put;                                                                                                           \
    }                                                                                                                  \
    buffer_char(b, ']')

void put_doubles(buffer *b, const double *values, size_t n) {
    PUT_ARRAY(put_double(b, values[i]));
}
void put_floats(buffer *b, const float *values, size_t n) {
    PUT_ARRAY(put_float(b, values[i]));
}
void put_ids(buffer *b, const int32_t *ids, size_t n) {
    PUT_ARRAY(buffer_printf(b, "%d", (int)ids[i]));
}

void put_cell(buffer *b, capp_str text, char separator) {
    bool quote = !text.size;
    for (size_t i = 0; i < text.size && !quote; i++)
        quote = text.data[i] == separator || is_one_of(text.data[i], "\"\r\n");
    if (text.size && (text.data[0] == ' ' || text.data[text.size - 1] == ' ')) quote = true;
    if (!quote) {
        buffer_str(b, text);
        return;
    }
    buffer_char(b, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"') buffer_char(b, '"');
        buffer_char(b, text.data[i]);
    }
    buffer_char(b, '"');
}
