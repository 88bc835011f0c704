#define _POSIX_C_SOURCE 200809L
#include "jinja/strings.h"

#include <string.h>
#include <utf8proc.h>

#include "base/platform.h"
#include "base/utf8.h"
#include "jinja/characters.h"
#include "jinja/text.h"

static const capp_jinja_value nothing = {.kind = CAPP_JINJA_UNDEFINED};

/* ---- Letters ----------------------------------------------------------------------------------------------------- */

/* Characters whose other case has several characters or depends on their neighbors (Unicode's SpecialCasing). They are
 * not supported. */
static bool special_case(int32_t c, bool up) {
    if (!up) return c == 0x130 || c == 0x3a3;
    return c == 0xdf || c == 0x149 || c == 0x1f0 || c == 0x390 || c == 0x3b0 || c == 0x587 ||
           (c >= 0x1e96 && c <= 0x1e9a) || (c >= 0x1f50 && c <= 0x1f56) || (c >= 0x1f80 && c <= 0x1ffc) ||
           (c >= 0xfb00 && c <= 0xfb17);
}

static bool is_cased(int32_t c) {
    if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return utf8proc_islower(c) || utf8proc_isupper(c) || utf8proc_category(c) == UTF8PROC_CATEGORY_LT;
}

static void put_cased(capp_jinja_run *run, capp_jinja_buffer *b, int32_t c, bool up, bool title, uint8_t given) {
    utf8proc_uint8_t out[4];
    if (special_case(c, up)) {
        capp_jinja_fail(run, CAPP_EUNSUPPORTED, "changing the case of U+%04X is not supported", (unsigned)c);
        return;
    }
    c = !up ? utf8proc_tolower(c) : title ? utf8proc_totitle(c) : utf8proc_toupper(c);
    utf8proc_ssize_t size = utf8proc_encode_char(c, out);
    capp_jinja_append_bytes(run, b, (const char *)out, (size_t)size, given);
}

capp_jinja_value capp_jinja_change_case(capp_jinja_run *run, const capp_jinja_string *string,
                                        capp_jinja_letter_case to) {
    capp_jinja_buffer b = {0};
    bool inside = false; /* within a word */
    for (size_t at = 0, size; at < string->size && run->status == CAPP_OK; at += size) {
        int32_t c = capp_utf8_character(string->text + at, &size);
        bool first = to == CAPP_JINJA_TITLE_CASE ? !inside : at == 0;
        bool up = to == CAPP_JINJA_UPPER_CASE || (to != CAPP_JINJA_LOWER_CASE && first);
        put_cased(run, &b, c, up, to != CAPP_JINJA_UPPER_CASE, string->given[at]);
        inside = is_cased(c);
    }
    return capp_jinja_buffer_to_string(run, &b);
}

bool capp_jinja_has_case(const capp_jinja_string *string, bool upper) {
    bool any = false;
    for (size_t at = 0, size; at < string->size; at += size) {
        int32_t c = capp_utf8_character(string->text + at, &size);
        if (!is_cased(c)) continue;
        if (upper ? !utf8proc_isupper(c) : !utf8proc_islower(c)) return false;
        any = true;
    }
    return any;
}

/* ---- Parts of strings -------------------------------------------------------------------------------------------- */

static bool among(const capp_jinja_string *set, const char *at, size_t size) {
    for (size_t i = 0; i < set->size; i += capp_utf8_size(set->text + i))
        if (capp_utf8_size(set->text + i) == size && !memcmp(set->text + i, at, size)) return true;
    return false;
}

static bool stripped(const capp_jinja_string *set, const char *at) {
    size_t size;
    int32_t c = capp_utf8_character(at, &size);
    return set ? among(set, at, size) : capp_jinja_is_space(c);
}

capp_jinja_value capp_jinja_strip(capp_jinja_run *run, const capp_jinja_string *string, const capp_jinja_string *set,
                                  bool left, bool right) {
    size_t begin = 0, end = string->size;
    if (!capp_jinja_count_steps(run, 1 + string->size / 16 * (set ? 1 + set->size : 1))) return nothing;
    while (left && begin < end && stripped(set, string->text + begin)) begin += capp_utf8_size(string->text + begin);
    while (right && end > begin) {
        size_t back = capp_utf8_size_before(string->text + end);
        if (!stripped(set, string->text + end - back)) break;
        end -= back;
    }
    return capp_jinja_substring(run, string, begin, end - begin);
}

/* See strings.h. */
size_t capp_jinja_find_first(capp_jinja_run *run, const capp_jinja_string *string, size_t from,
                             const capp_jinja_string *part) {
    if (!part || !capp_jinja_count_steps(run, 1)) return SIZE_MAX;
    if (!part->size) return from;
    const char *found =
        string->size > from ? capp_find_bytes(string->text + from, string->size - from, part->text, part->size) : NULL;
    size_t at = found ? (size_t)(found - string->text) : SIZE_MAX;
    return capp_jinja_count_steps(run, ((found ? at : string->size) - from) / 16) ? at : SIZE_MAX;
}

size_t capp_jinja_find_last(capp_jinja_run *run, const capp_jinja_string *string, size_t end,
                            const capp_jinja_string *part) {
    if (!part || part->size > end) return SIZE_MAX;
    for (size_t at = end - part->size + 1; at-- > 0 && capp_jinja_count_steps(run, 1 + part->size / 32);)
        if (!part->size || !memcmp(string->text + at, part->text, part->size)) return at;
    return SIZE_MAX;
}

capp_jinja_value capp_jinja_replace(capp_jinja_run *run, const capp_jinja_string *string, const capp_jinja_string *old,
                                    const capp_jinja_string *replacement, int64_t limit) {
    capp_jinja_buffer b = {0};
    size_t at = 0;
    if (!old->size) { /* inserts the replacement between all characters */
        for (;; limit--) {
            if (limit) capp_jinja_append_string(run, &b, replacement);
            if (at >= string->size || run->status != CAPP_OK) break;
            size_t size = capp_utf8_size(string->text + at);
            capp_jinja_append_bytes(run, &b, string->text + at, size, string->given[at]);
            at += size;
            if (!limit) limit = 1;
        }
        return capp_jinja_buffer_to_string(run, &b);
    }
    for (size_t found; limit && (found = capp_jinja_find_first(run, string, at, old)) != SIZE_MAX; limit--) {
        capp_jinja_append_string(run, &b, &(capp_jinja_string){string->text + at, string->given + at, found - at});
        capp_jinja_append_string(run, &b, replacement);
        at = found + old->size;
    }
    capp_jinja_append_string(run, &b, &(capp_jinja_string){string->text + at, string->given + at, string->size - at});
    return capp_jinja_buffer_to_string(run, &b);
}

capp_jinja_value capp_jinja_join(capp_jinja_run *run, const capp_jinja_string *separator,
                                 const capp_jinja_list *items) {
    capp_jinja_buffer b = {0};
    for (size_t i = 0; i < items->n && run->status == CAPP_OK; i++) {
        if (i) capp_jinja_append_string(run, &b, separator);
        capp_jinja_append_string(run, &b, capp_jinja_to_text(run, items->items[i]));
    }
    return capp_jinja_buffer_to_string(run, &b);
}

static size_t skip_space(const capp_jinja_string *s, size_t at, bool space) {
    size_t size;
    while (at < s->size && capp_jinja_is_space(capp_utf8_character(s->text + at, &size)) == space) at += size;
    return at;
}

capp_jinja_value capp_jinja_split_words(capp_jinja_run *run, const capp_jinja_string *string, int64_t limit) {
    capp_jinja_value out = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
    for (size_t at = skip_space(string, 0, true); at < string->size && run->status == CAPP_OK; limit--) {
        size_t end = limit ? skip_space(string, at, false) : string->size;
        capp_jinja_list_append(run, out, capp_jinja_substring(run, string, at, end - at));
        if (!capp_jinja_count_steps(run, (end - at) / 16) || !limit) break;
        at = skip_space(string, end, true);
    }
    return out;
}

static capp_jinja_value reversed(capp_jinja_run *run, capp_jinja_value list) {
    capp_jinja_list *l = list.list;
    for (size_t i = 0; run->status == CAPP_OK && i < l->n / 2; i++) {
        capp_jinja_value one = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = one;
    }
    return list;
}

capp_jinja_value capp_jinja_split(capp_jinja_run *run, const capp_jinja_string *string,
                                  const capp_jinja_string *separator, int64_t limit, bool from_end) {
    capp_jinja_value out = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
    size_t at = 0, end = string->size, found;
    if (!separator->size) return capp_jinja_fail(run, CAPP_EINVAL, "split needs a separator that is not empty");
    for (; !from_end && limit && (found = capp_jinja_find_first(run, string, at, separator)) != SIZE_MAX; limit--) {
        capp_jinja_list_append(run, out, capp_jinja_substring(run, string, at, found - at));
        at = found + separator->size;
    }
    for (; from_end && limit && (found = capp_jinja_find_last(run, string, end, separator)) != SIZE_MAX; limit--) {
        capp_jinja_list_append(
            run, out, capp_jinja_substring(run, string, found + separator->size, end - found - separator->size));
        end = found;
    }
    capp_jinja_list_append(run, out, capp_jinja_substring(run, string, at, end - at));
    return from_end ? reversed(run, out) : out;
}

capp_jinja_value capp_jinja_split_lines(capp_jinja_run *run, const capp_jinja_string *string, bool keep_ends) {
    capp_jinja_value out = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
    size_t begin = 0;
    for (size_t at = 0, size; at < string->size && run->status == CAPP_OK; at += size) {
        int32_t c = capp_utf8_character(string->text + at, &size);
        bool end = (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
        if (!end || !capp_jinja_count_steps(run, 1)) continue;
        size_t line_end = at;
        if (c == '\r' && at + 1 < string->size && string->text[at + 1] == '\n') size = 2;
        capp_jinja_list_append(run, out,
                               capp_jinja_substring(run, string, begin, (keep_ends ? at + size : line_end) - begin));
        begin = at + size;
    }
    if (begin < string->size)
        capp_jinja_list_append(run, out, capp_jinja_substring(run, string, begin, string->size - begin));
    return out;
}
