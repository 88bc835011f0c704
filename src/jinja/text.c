#include "jinja/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

static const capp_jinja_string empty = {"", (const uint8_t *)"", 0};

enum { NUMBER_SIZE = 40 };

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* The fewest digits that read back as the same number, and the power of ten of the first digit. A decimal point is
 * neither written nor read, because it depends on the locale. */
static size_t shortest(double number, char digits[20], int *power) {
    char text[NUMBER_SIZE], back[NUMBER_SIZE];
    size_t n = 0;
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, number);
        const char *e = strchr(text, 'e');
        n = 0;
        for (const char *c = text; c < e; c++)
            if (isdigit((unsigned char)*c)) digits[n++] = *c;
        digits[n] = 0;
        *power = (int)strtol(e + 1, NULL, 10);
        snprintf(back, sizeof back, "%se%d", digits, *power - (int)n + 1);
        if (strtod(back, NULL) == number) break;
    }
    return n;
}

static void format_double(double number, char out[NUMBER_SIZE]) {
    char digits[20];
    int power;
    const char *sign = signbit(number) ? "-" : "";
    if (!isfinite(number)) {
        snprintf(out, NUMBER_SIZE, "%s", isnan(number) ? "nan" : *sign ? "-inf" : "inf");
        return;
    }
    int n = (int)shortest(fabs(number), digits, &power);
    if (power < -4 || power >= 16)
        snprintf(out, NUMBER_SIZE, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                 power < 0 ? '-' : '+', abs(power));
    else if (power < 0)
        snprintf(out, NUMBER_SIZE, "%s0.%.*s%s", sign, -power - 1, "000", digits);
    else if (n <= power + 1)
        snprintf(out, NUMBER_SIZE, "%s%s%.*s.0", sign, digits, power + 1 - n, "000000000000000");
    else
        snprintf(out, NUMBER_SIZE, "%s%.*s.%s", sign, power + 1, digits, digits + power + 1);
}

/* ---- repr -------------------------------------------------------------------------------------------------------- */

static bool printable(int32_t c) {
    if (c == ' ') return true;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
    }
}

static void put_repr_character(capp_jinja_run *run, capp_jinja_buffer *b, const char *at, size_t size, char quote,
                               uint8_t given) {
    size_t same;
    int32_t c = capp_utf8_character(at, &same);
    char escaped[16];
    if (c == quote || c == '\\')
        snprintf(escaped, sizeof escaped, "\\%c", (char)c);
    else if (c == '\n' || c == '\r' || c == '\t')
        snprintf(escaped, sizeof escaped, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (printable(c)) {
        capp_jinja_append_bytes(run, b, at, size, given);
        return;
    } else
        snprintf(escaped, sizeof escaped, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    capp_jinja_append_bytes(run, b, escaped, strlen(escaped), given);
}

static void put_repr_str(capp_jinja_run *run, capp_jinja_buffer *b, const capp_jinja_string *s) {
    bool single = s->size && memchr(s->text, '\'', s->size), both = single && memchr(s->text, '"', s->size);
    char quote = (char)(single && !both ? '"' : '\'');
    capp_jinja_append_bytes(run, b, &quote, 1, 0);
    for (size_t at = 0; at < s->size && run->status == CAPP_OK;) {
        size_t size = capp_utf8_size(s->text + at);
        put_repr_character(run, b, s->text + at, size, quote, s->given[at]);
        at += size;
    }
    capp_jinja_append_bytes(run, b, &quote, 1, 0);
}

/* Values for which str and repr give the same text. False: the value is of another kind. */
static bool put_scalar(capp_jinja_run *run, capp_jinja_buffer *b, capp_jinja_value v) {
    char number[NUMBER_SIZE];
    switch (v.kind) {
    case CAPP_JINJA_NONE: capp_jinja_append_text(run, b, "None"); return true;
    case CAPP_JINJA_BOOLEAN: capp_jinja_append_text(run, b, v.truth ? "True" : "False"); return true;
    case CAPP_JINJA_INTEGER:
        snprintf(number, sizeof number, "%" PRId64, v.integer);
        capp_jinja_append_text(run, b, number);
        return true;
    case CAPP_JINJA_FLOAT:
        format_double(v.number, number);
        capp_jinja_append_text(run, b, number);
        return true;
    default: return false;
    }
}

static void put_repr(capp_jinja_run *run, capp_jinja_buffer *b, capp_jinja_value v);

static void put_repr_list(capp_jinja_run *run, capp_jinja_buffer *b, const capp_jinja_list *list, bool tuple) {
    capp_jinja_append_text(run, b, tuple ? "(" : "[");
    for (size_t i = 0; i < list->n && run->status == CAPP_OK; i++) {
        if (i) capp_jinja_append_text(run, b, ", ");
        put_repr(run, b, list->items[i]);
    }
    capp_jinja_append_text(run, b, !tuple ? "]" : list->n == 1 ? ",)" : ")");
}

static void put_repr_dict(capp_jinja_run *run, capp_jinja_buffer *b, const capp_jinja_dict *dict) {
    capp_jinja_append_text(run, b, "{");
    for (size_t i = 0; i < dict->n && run->status == CAPP_OK; i++) {
        if (i) capp_jinja_append_text(run, b, ", ");
        put_repr(run, b, dict->keys[i]);
        capp_jinja_append_text(run, b, ": ");
        put_repr(run, b, dict->values[i]);
    }
    capp_jinja_append_text(run, b, "}");
}

static void put_repr(capp_jinja_run *run, capp_jinja_buffer *b, capp_jinja_value v) {
    if (put_scalar(run, b, v) || !capp_jinja_enter(run)) return;
    switch (v.kind) {
    case CAPP_JINJA_UNDEFINED: capp_jinja_append_text(run, b, "Undefined"); break;
    case CAPP_JINJA_STRING: put_repr_str(run, b, v.string); break;
    case CAPP_JINJA_LIST:
    case CAPP_JINJA_TUPLE: put_repr_list(run, b, v.list, v.kind == CAPP_JINJA_TUPLE); break;
    case CAPP_JINJA_DICT: put_repr_dict(run, b, v.dict); break;
    default:
        capp_jinja_fail(run, CAPP_EUNSUPPORTED, "printing a value of type %s is not supported",
                        capp_jinja_kind_name(v));
    }
    capp_jinja_leave(run);
}

const capp_jinja_string *capp_jinja_to_text(capp_jinja_run *run, capp_jinja_value value) {
    capp_jinja_buffer b = {0};
    if (run->status != CAPP_OK || value.kind == CAPP_JINJA_UNDEFINED) return &empty;
    if (value.kind == CAPP_JINJA_STRING) return value.string;
    put_repr(run, &b, value);
    capp_jinja_value text = capp_jinja_buffer_to_string(run, &b);
    return text.kind == CAPP_JINJA_STRING ? text.string : &empty;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void put_json_character(capp_jinja_run *run, capp_jinja_buffer *b, const char *at, size_t size, bool ascii,
                               uint8_t given) {
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    size_t same;
    int32_t c = capp_utf8_character(at, &same);
    const char *simple = c && c < 0x80 ? strchr(from, c) : NULL;
    char escaped[16];
    if (simple)
        snprintf(escaped, sizeof escaped, "\\%c", to[simple - from]);
    else if (c < 0x20 || (ascii && c >= 0x7f && c < 0x10000))
        snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)c);
    else if (ascii && c >= 0x10000)
        snprintf(escaped, sizeof escaped, "\\u%04x\\u%04x", 0xd800 + (unsigned)((c - 0x10000) >> 10),
                 0xdc00 + (unsigned)((c - 0x10000) & 0x3ff));
    else {
        capp_jinja_append_bytes(run, b, at, size, given);
        return;
    }
    capp_jinja_append_bytes(run, b, escaped, strlen(escaped), given);
}

static void put_json_str(capp_jinja_run *run, capp_jinja_buffer *b, const capp_jinja_string *s, bool ascii) {
    capp_jinja_append_text(run, b, "\"");
    for (size_t at = 0; at < s->size && run->status == CAPP_OK;) {
        size_t size = capp_utf8_size(s->text + at);
        put_json_character(run, b, s->text + at, size, ascii, s->given[at]);
        at += size;
    }
    capp_jinja_append_text(run, b, "\"");
}

static void put_json_scalar(capp_jinja_run *run, capp_jinja_buffer *b, capp_jinja_value v) {
    if (v.kind == CAPP_JINJA_NONE)
        capp_jinja_append_text(run, b, "null");
    else if (v.kind == CAPP_JINJA_BOOLEAN)
        capp_jinja_append_text(run, b, v.truth ? "true" : "false");
    else if (v.kind == CAPP_JINJA_FLOAT && !isfinite(v.number))
        capp_jinja_append_text(run, b, isnan(v.number) ? "NaN" : v.number < 0 ? "-Infinity" : "Infinity");
    else
        (void)put_scalar(run, b, v);
}

static void put_line(capp_jinja_run *run, capp_jinja_buffer *b, const capp_jinja_json_style *style, int level) {
    if (!style->indent) return;
    capp_jinja_append_text(run, b, "\n");
    for (int i = 0; i < level && run->status == CAPP_OK; i++) capp_jinja_append_string(run, b, style->indent);
}

static void put_json(capp_jinja_run *run, capp_jinja_buffer *b, capp_jinja_value v, const capp_jinja_json_style *style,
                     int level);

static void put_json_list(capp_jinja_run *run, capp_jinja_buffer *b, const capp_jinja_list *list,
                          const capp_jinja_json_style *style, int level) {
    capp_jinja_append_text(run, b, "[");
    for (size_t i = 0; i < list->n && run->status == CAPP_OK; i++) {
        if (i) capp_jinja_append_string(run, b, style->comma);
        put_line(run, b, style, level + 1);
        put_json(run, b, list->items[i], style, level + 1);
    }
    if (list->n) put_line(run, b, style, level);
    capp_jinja_append_text(run, b, "]");
}

/* The indexes of a dict's entries, in their order or sorted by key. */
static size_t *order_of(capp_jinja_run *run, const capp_jinja_dict *dict, bool sorted) {
    size_t *order = capp_jinja_allocate(run, dict->n, sizeof *order);
    for (size_t i = 0; order && i < dict->n && run->status == CAPP_OK; i++) {
        size_t k = i;
        for (; sorted && k && capp_jinja_compare(run, dict->keys[i], dict->keys[order[k - 1]], "<") < 0 &&
               capp_jinja_count_steps(run, 1);
             k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    return run->status == CAPP_OK ? order : NULL;
}

static void put_json_dict(capp_jinja_run *run, capp_jinja_buffer *b, const capp_jinja_dict *dict,
                          const capp_jinja_json_style *style, int level) {
    const size_t *order = order_of(run, dict, style->sorted);
    capp_jinja_append_text(run, b, "{");
    for (size_t i = 0; order && i < dict->n && run->status == CAPP_OK; i++) {
        capp_jinja_value key = dict->keys[order[i]];
        if (i) capp_jinja_append_string(run, b, style->comma);
        put_line(run, b, style, level + 1);
        if (key.kind == CAPP_JINJA_TUPLE) capp_jinja_fail(run, CAPP_EINVAL, "tojson: a tuple cannot be a key in JSON");
        if (key.kind != CAPP_JINJA_STRING) capp_jinja_append_text(run, b, "\"");
        put_json(run, b, key, style, level);
        if (key.kind != CAPP_JINJA_STRING) capp_jinja_append_text(run, b, "\"");
        capp_jinja_append_string(run, b, style->colon);
        put_json(run, b, dict->values[order[i]], style, level + 1);
    }
    if (dict->n) put_line(run, b, style, level);
    capp_jinja_append_text(run, b, "}");
}

static void put_json(capp_jinja_run *run, capp_jinja_buffer *b, capp_jinja_value v, const capp_jinja_json_style *style,
                     int level) {
    if (!capp_jinja_enter(run)) return;
    switch (v.kind) {
    case CAPP_JINJA_NONE:
    case CAPP_JINJA_BOOLEAN:
    case CAPP_JINJA_INTEGER:
    case CAPP_JINJA_FLOAT: put_json_scalar(run, b, v); break;
    case CAPP_JINJA_STRING: put_json_str(run, b, v.string, style->ascii); break;
    case CAPP_JINJA_LIST:
    case CAPP_JINJA_TUPLE: put_json_list(run, b, v.list, style, level); break;
    case CAPP_JINJA_DICT: put_json_dict(run, b, v.dict, style, level); break;
    default: capp_jinja_fail_kind(run, "tojson does not take", v);
    }
    capp_jinja_leave(run);
}

void capp_jinja_append_json(capp_jinja_run *run, capp_jinja_buffer *buffer, capp_jinja_value value,
                            const capp_jinja_json_style *style) {
    put_json(run, buffer, value, style, 0);
}
