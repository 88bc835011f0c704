/* Values as text: str and repr as Python writes them, json.dumps. */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "chat/value.h"
#include "token/unicode.h"

static const capp_jstr empty = {"", (const uint8_t *)"", 0};

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

/* The fewest digits that read back as the same number, and the power of ten of the first. No decimal point is written
 * or read: it is another one in other locales. */
static size_t shortest(double number, char digits[20], int *power) {
    char text[CAPP_J_NUMBER], back[CAPP_J_NUMBER];
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

void capp_jdouble(double number, char out[CAPP_J_NUMBER]) {
    char digits[20];
    int power;
    const char *sign = signbit(number) ? "-" : "";
    if (!isfinite(number)) {
        snprintf(out, CAPP_J_NUMBER, "%s", isnan(number) ? "nan" : *sign ? "-inf" : "inf");
        return;
    }
    int n = (int)shortest(fabs(number), digits, &power);
    if (power < -4 || power >= 16)
        snprintf(out, CAPP_J_NUMBER, "%s%c%s%se%c%02d", sign, digits[0], n > 1 ? "." : "", digits + 1,
                 power < 0 ? '-' : '+', abs(power));
    else if (power < 0)
        snprintf(out, CAPP_J_NUMBER, "%s0.%.*s%s", sign, -power - 1, "000", digits);
    else if (n <= power + 1)
        snprintf(out, CAPP_J_NUMBER, "%s%s%.*s.0", sign, digits, power + 1 - n, "000000000000000");
    else
        snprintf(out, CAPP_J_NUMBER, "%s%.*s.%s", sign, power + 1, digits, digits + power + 1);
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

static void put_repr_character(capp_jrun *r, capp_jbuffer *b, const char *at, size_t size, char quote, uint8_t given) {
    size_t same;
    int32_t c = capp_utf8_character(at, &same);
    char escaped[16];
    if (c == quote || c == '\\')
        snprintf(escaped, sizeof escaped, "\\%c", (char)c);
    else if (c == '\n' || c == '\r' || c == '\t')
        snprintf(escaped, sizeof escaped, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (printable(c)) {
        capp_jput_bytes(r, b, at, size, given);
        return;
    } else
        snprintf(escaped, sizeof escaped, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
    capp_jput_bytes(r, b, escaped, strlen(escaped), given);
}

static void put_repr_str(capp_jrun *r, capp_jbuffer *b, const capp_jstr *s) {
    bool single = s->size && memchr(s->text, '\'', s->size), both = single && memchr(s->text, '"', s->size);
    char quote = (char)(single && !both ? '"' : '\'');
    capp_jput_bytes(r, b, &quote, 1, 0);
    for (size_t at = 0; at < s->size && r->status == CAPP_OK;) {
        size_t size = capp_utf8_size(s->text + at);
        put_repr_character(r, b, s->text + at, size, quote, s->given[at]);
        at += size;
    }
    capp_jput_bytes(r, b, &quote, 1, 0);
}

/* What str and repr have in common; false: it is not of these. */
static bool put_scalar(capp_jrun *r, capp_jbuffer *b, capp_jval v) {
    char number[CAPP_J_NUMBER];
    switch (v.kind) {
    case CAPP_J_NONE: capp_jput_text(r, b, "None"); return true;
    case CAPP_J_BOOL: capp_jput_text(r, b, v.of.truth ? "True" : "False"); return true;
    case CAPP_J_INT:
        snprintf(number, sizeof number, "%" PRId64, v.of.integer);
        capp_jput_text(r, b, number);
        return true;
    case CAPP_J_FLOAT:
        capp_jdouble(v.of.number, number);
        capp_jput_text(r, b, number);
        return true;
    default: return false;
    }
}

static void put_repr(capp_jrun *r, capp_jbuffer *b, capp_jval v);

static void put_repr_list(capp_jrun *r, capp_jbuffer *b, const capp_jlist *list, bool tuple) {
    capp_jput_text(r, b, tuple ? "(" : "[");
    for (size_t i = 0; i < list->n && r->status == CAPP_OK; i++) {
        if (i) capp_jput_text(r, b, ", ");
        put_repr(r, b, list->at[i]);
    }
    capp_jput_text(r, b, !tuple ? "]" : list->n == 1 ? ",)" : ")");
}

static void put_repr_dict(capp_jrun *r, capp_jbuffer *b, const capp_jdict *dict) {
    capp_jput_text(r, b, "{");
    for (size_t i = 0; i < dict->n && r->status == CAPP_OK; i++) {
        if (i) capp_jput_text(r, b, ", ");
        put_repr(r, b, dict->keys[i]);
        capp_jput_text(r, b, ": ");
        put_repr(r, b, dict->values[i]);
    }
    capp_jput_text(r, b, "}");
}

static void put_repr(capp_jrun *r, capp_jbuffer *b, capp_jval v) {
    if (put_scalar(r, b, v) || !capp_jenter(r)) return;
    switch (v.kind) {
    case CAPP_J_UNDEFINED: capp_jput_text(r, b, "Undefined"); break;
    case CAPP_J_STR: put_repr_str(r, b, v.of.str); break;
    case CAPP_J_LIST:
    case CAPP_J_TUPLE: put_repr_list(r, b, v.of.list, v.kind == CAPP_J_TUPLE); break;
    case CAPP_J_DICT: put_repr_dict(r, b, v.of.dict); break;
    default: capp_jfail(r, CAPP_EUNSUPPORTED, "a %s as text is not supported", capp_jkind_name(v));
    }
    capp_jleave(r);
}

const capp_jstr *capp_jtext(capp_jrun *r, capp_jval v) {
    capp_jbuffer b = {0};
    if (r->status != CAPP_OK || v.kind == CAPP_J_UNDEFINED) return &empty;
    if (v.kind == CAPP_J_STR) return v.of.str;
    put_repr(r, &b, v);
    capp_jval text = capp_jbuffer_str(r, &b);
    return text.kind == CAPP_J_STR ? text.of.str : &empty;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void put_json_character(capp_jrun *r, capp_jbuffer *b, const char *at, size_t size, bool ascii, uint8_t given) {
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
        capp_jput_bytes(r, b, at, size, given);
        return;
    }
    capp_jput_bytes(r, b, escaped, strlen(escaped), given);
}

static void put_json_str(capp_jrun *r, capp_jbuffer *b, const capp_jstr *s, bool ascii) {
    capp_jput_text(r, b, "\"");
    for (size_t at = 0; at < s->size && r->status == CAPP_OK;) {
        size_t size = capp_utf8_size(s->text + at);
        put_json_character(r, b, s->text + at, size, ascii, s->given[at]);
        at += size;
    }
    capp_jput_text(r, b, "\"");
}

static void put_json_scalar(capp_jrun *r, capp_jbuffer *b, capp_jval v) {
    if (v.kind == CAPP_J_NONE)
        capp_jput_text(r, b, "null");
    else if (v.kind == CAPP_J_BOOL)
        capp_jput_text(r, b, v.of.truth ? "true" : "false");
    else if (v.kind == CAPP_J_FLOAT && !isfinite(v.of.number))
        capp_jput_text(r, b, isnan(v.of.number) ? "NaN" : v.of.number < 0 ? "-Infinity" : "Infinity");
    else
        (void)put_scalar(r, b, v);
}

static void put_line(capp_jrun *r, capp_jbuffer *b, const capp_jjson_style *style, int level) {
    if (!style->indent) return;
    capp_jput_text(r, b, "\n");
    for (int i = 0; i < level && r->status == CAPP_OK; i++) capp_jput(r, b, style->indent);
}

static void put_json(capp_jrun *r, capp_jbuffer *b, capp_jval v, const capp_jjson_style *style, int level);

static void put_json_list(capp_jrun *r, capp_jbuffer *b, const capp_jlist *list, const capp_jjson_style *style,
                          int level) {
    capp_jput_text(r, b, "[");
    for (size_t i = 0; i < list->n && r->status == CAPP_OK; i++) {
        if (i) capp_jput(r, b, style->comma);
        put_line(r, b, style, level + 1);
        put_json(r, b, list->at[i], style, level + 1);
    }
    if (list->n) put_line(r, b, style, level);
    capp_jput_text(r, b, "]");
}

/* The places of a dict's entries, in their order or in that of their keys. */
static size_t *order_of(capp_jrun *r, const capp_jdict *dict, bool sorted) {
    size_t *order = capp_jtake(r, dict->n, sizeof *order);
    for (size_t i = 0; order && i < dict->n && r->status == CAPP_OK; i++) {
        size_t k = i;
        for (; sorted && k && capp_jcompare(r, dict->keys[i], dict->keys[order[k - 1]], "<") < 0 && capp_jwork(r, 1);
             k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    return r->status == CAPP_OK ? order : NULL;
}

static void put_json_dict(capp_jrun *r, capp_jbuffer *b, const capp_jdict *dict, const capp_jjson_style *style,
                          int level) {
    const size_t *order = order_of(r, dict, style->sorted);
    capp_jput_text(r, b, "{");
    for (size_t i = 0; order && i < dict->n && r->status == CAPP_OK; i++) {
        capp_jval key = dict->keys[order[i]];
        if (i) capp_jput(r, b, style->comma);
        put_line(r, b, style, level + 1);
        if (key.kind == CAPP_J_TUPLE) capp_jfail(r, CAPP_EINVAL, "a tuple cannot be a key in JSON");
        if (key.kind != CAPP_J_STR) capp_jput_text(r, b, "\"");
        put_json(r, b, key, style, level);
        if (key.kind != CAPP_J_STR) capp_jput_text(r, b, "\"");
        capp_jput(r, b, style->colon);
        put_json(r, b, dict->values[order[i]], style, level + 1);
    }
    if (dict->n) put_line(r, b, style, level);
    capp_jput_text(r, b, "}");
}

static void put_json(capp_jrun *r, capp_jbuffer *b, capp_jval v, const capp_jjson_style *style, int level) {
    if (!capp_jenter(r)) return;
    switch (v.kind) {
    case CAPP_J_NONE:
    case CAPP_J_BOOL:
    case CAPP_J_INT:
    case CAPP_J_FLOAT: put_json_scalar(r, b, v); break;
    case CAPP_J_STR: put_json_str(r, b, v.of.str, style->ascii); break;
    case CAPP_J_LIST:
    case CAPP_J_TUPLE: put_json_list(r, b, v.of.list, style, level); break;
    case CAPP_J_DICT: put_json_dict(r, b, v.of.dict, style, level); break;
    default: capp_jfail_kind(r, "tojson of", v);
    }
    capp_jleave(r);
}

void capp_jput_json(capp_jrun *r, capp_jbuffer *b, capp_jval v, const capp_jjson_style *style) {
    put_json(r, b, v, style, 0);
}
