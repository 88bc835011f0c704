#include "token/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "token/unicode_tables.h"

enum { MAX_DECOMPOSED = 32, CLASSES = 256 };

bool capp_text_append(capp_text *text, const char *data, size_t size) {
    if (!size) return true;
    if (!capp_grow(&text->data, &text->capacity, text->size + size, 1)) return false;
    memcpy(text->data + text->size, data, size);
    text->size += size;
    return true;
}

bool capp_text_append_character(capp_text *text, int32_t character) {
    utf8proc_uint8_t bytes[4];
    return capp_text_append(text, (const char *)bytes, (size_t)utf8proc_encode_char(character, bytes));
}

static bool in_ranges(const capp_range *ranges, size_t n, int32_t c) {
    while (n) {
        const capp_range *middle = &ranges[n / 2];
        if (c > middle->last) {
            ranges = middle + 1;
            n -= n / 2 + 1;
        } else if (c < middle->first) {
            n /= 2;
        } else {
            return true;
        }
    }
    return false;
}

#define IN(table, c) in_ranges(table, sizeof(table) / sizeof(table)[0], c)

bool capp_is_white_space(int32_t c) {
    if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

size_t capp_after_white_space(capp_str text, size_t at) {
    size_t size;
    while (at < text.size && capp_is_white_space(capp_utf8_character(text.data + at, &size))) at += size;
    return at;
}

bool capp_is_number(int32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO ||
           (category == UTF8PROC_CATEGORY_CN && IN(new_numbers, c));
}

bool capp_is_word(int32_t c) {
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return IN(new_words, c);
    }
}

bool capp_is_punctuation(int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    if (IN(odd_punctuation, c)) return c < 0x80 || c == 0x166d || c == 0x111c9;
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool capp_is_mark(int32_t c) {
    utf8proc_category_t category = utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME && !IN(younger, c);
}

/* A character that utf8proc knows and that forms clusters like c. */
static int32_t clusters_as(int32_t c) {
    enum { EXTENDER = 0x300, PREPENDED = 0x600, CONTROL = 0, NEW_PREPENDED = 0x113d1 };
    if (c < 0x897) return c;
    if (c == NEW_PREPENDED) return PREPENDED;
    if (IN(new_extenders, c)) return EXTENDER;
    return IN(unassigned_controls, c) ? CONTROL : c;
}

bool capp_grapheme_cluster_ends(int32_t before, int32_t c, int32_t *state) {
    return utf8proc_grapheme_break_stateful(clusters_as(before), clusters_as(c), state);
}

static int32_t lower_case(int32_t c) {
    for (size_t i = 0; i < sizeof new_capitals / sizeof new_capitals[0]; i++)
        if (c >= new_capitals[i].first && c <= new_capitals[i].last) return c + new_capitals[i].distance;
    return utf8proc_tolower(c);
}

bool capp_text_append_lower_case(capp_text *out, capp_str text) {
    for (size_t i = 0, size; i < text.size; i += size) {
        int32_t c = capp_utf8_character(text.data + i, &size);
        if (c < 0x80) {
            char small = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
            if (!capp_text_append(out, &small, 1)) return false;
            continue;
        }
        if (!capp_text_append_character(out, lower_case(c))) return false;
        /* The one letter whose small form is two characters. */
        if (c == 0x130 && !capp_text_append_character(out, 0x307)) return false;
    }
    return true;
}

/* ---- Normalization forms ----------------------------------------------------------------------------------------- */

void capp_text_front_step(capp_text_front *front, ptrdiff_t change, size_t size) {
    if (front->over) return;
    front->over = change > 0 ? front->taken > front->n : front->taken >= front->n;
    if (front->over) front->size = size;
    if (change <= 0) front->taken += 1 + (size_t)-change;
}

/* Characters between two characters that normalization does not change. */
typedef struct segment {
    utf8proc_int32_t *data;
    size_t n, capacity;
    capp_text_front *front; /* NULL: not asked for, or no longer */
} segment;

/* Marks characters of a decomposition after the first, where there is a front. */
enum { PUT_IN = 1 << 24, CHARACTER = PUT_IN - 1 };

static unsigned class_of(int32_t c) {
    c &= CHARACTER;
    unsigned class = (unsigned)utf8proc_get_property(c)->combining_class;
    return class && IN(younger, c) ? 0 : class;
}

/* Canonical ordering of marks: a stable sort by class. Runs are short, except in hostile texts. */
static bool sort_marks(utf8proc_int32_t *marks, size_t n) {
    enum { SHORT_RUN = 32 };
    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            utf8proc_int32_t c = marks[i];
            size_t at = i;
            for (; at && class_of(marks[at - 1]) > class_of(c); at--) marks[at] = marks[at - 1];
            marks[at] = c;
        }
        return true;
    }
    utf8proc_int32_t *copy = capp_new(n, sizeof *copy);
    if (!copy) return false;
    memcpy(copy, marks, n * sizeof *copy);
    size_t at[CLASSES + 1] = {0};
    for (size_t i = 0; i < n; i++) at[class_of(copy[i]) + 1]++;
    for (size_t i = 1; i <= CLASSES; i++) at[i] += at[i - 1];
    for (size_t i = 0; i < n; i++) marks[at[class_of(copy[i])]++] = copy[i];
    capp_free(copy);
    return true;
}

static bool sort_segment(segment *s) {
    for (size_t i = 0; i < s->n; i++) {
        size_t begin = i;
        while (i < s->n && class_of(s->data[i])) i++;
        if (i - begin > 1 && !sort_marks(s->data + begin, i - begin)) return false;
    }
    return true;
}

static bool put_led(segment *s, capp_text *out, int32_t c, ptrdiff_t change) {
    capp_text_front_step(s->front, change, out->size);
    return capp_text_append_character(out, c);
}

static ptrdiff_t change_of(utf8proc_int32_t c) {
    return c & PUT_IN ? 1 : 0;
}

/* The composition of two characters; 0: there is none. */
static int32_t composed(int32_t a, int32_t b) {
    utf8proc_int32_t pair[] = {a, b};
    return utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE) == 1 ? pair[0] : 0;
}

/* Composes as utf8proc does, one character at a time: a starter combines with a mark if they have a composition, unless
 * a mark of the same or a higher class is between them. */
static bool put_segment_led(segment *s, unsigned form, capp_text *out) {
    for (size_t i = 0, next; i < s->n; i = next) {
        int32_t c = s->data[i] & CHARACTER;
        ptrdiff_t change = change_of(s->data[i]);
        size_t kept = i + 1;
        unsigned last = 0; /* class of the last mark that is kept */
        for (next = i + 1; form & CAPP_NORMALIZE_COMPOSE && !class_of(c) && next < s->n; next++) {
            utf8proc_int32_t mark = s->data[next];
            unsigned class = class_of(mark);
            int32_t both = kept == i + 1 || last < class ? composed(c, mark & CHARACTER) : 0;
            if (!both && !class) break;
            if (both) {
                c = both;
                change += change_of(mark) - 1;
            } else {
                s->data[kept++] = mark;
                last = class;
            }
        }
        if (!put_led(s, out, c, change)) return false;
        for (size_t k = i + 1; k < kept; k++)
            if (!put_led(s, out, s->data[k] & CHARACTER, change_of(s->data[k]))) return false;
    }
    s->n = 0;
    return true;
}

static bool end_segment(segment *s, unsigned form, capp_text *out) {
    if (!sort_segment(s)) return false;
    if (s->front) return put_segment_led(s, form, out);
    utf8proc_ssize_t n = (utf8proc_ssize_t)s->n;
    if (form & CAPP_NORMALIZE_COMPOSE && n > 1)
        n = utf8proc_normalize_utf32(s->data, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < n; i++)
        if (!capp_text_append_character(out, s->data[i])) return false;
    s->n = 0;
    return true;
}

static bool add_decomposed(segment *s, int32_t c, unsigned form) {
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (form & CAPP_NORMALIZE_COMPATIBLE ? UTF8PROC_COMPAT : 0);
    if (!capp_grow(&s->data, &s->capacity, s->n + MAX_DECOMPOSED, sizeof *s->data)) return false;
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char(c, s->data + s->n, MAX_DECOMPOSED, (utf8proc_option_t)options, &boundary);
    for (utf8proc_ssize_t i = 1; s->front && i < n; i++) s->data[s->n + (size_t)i] |= PUT_IN;
    if (n > 0) s->n += (size_t)n;
    return true;
}

/* Number of bytes from `at` on that are ASCII and not followed by a mark: no form changes them. */
static size_t plain_run(capp_str text, size_t at) {
    size_t end = at;
    while (end < text.size && !(text.data[end] & 0x80)) end++;
    return end == text.size || end == at ? end - at : end - at - 1;
}

/* Characters that no form changes. */
static bool put_plain(segment *s, unsigned form, capp_text *out, capp_str text) {
    if (!end_segment(s, form, out)) return false;
    for (size_t i = 0; s->front && !s->front->over && i < text.size; i += capp_utf8_size(text.data + i))
        capp_text_front_step(s->front, 0, out->size + i);
    if (s->front && s->front->over) s->front = NULL;
    return capp_text_append(out, text.data, text.size);
}

static bool normalize(capp_text *out, segment *s, capp_str text, unsigned form) {
    for (size_t i = 0, size; i < text.size; i += size) {
        if ((size = plain_run(text, i))) {
            if (!put_plain(s, form, out, (capp_str){text.data + i, size})) return false;
            continue;
        }
        int32_t c = capp_utf8_character(text.data + i, &size);
        if (c >= 0x80 && IN(younger, c)) {
            if (!put_plain(s, form, out, (capp_str){text.data + i, size})) return false;
        } else if (!add_decomposed(s, c, form)) {
            return false;
        }
    }
    return end_segment(s, form, out);
}

capp_status capp_text_append_normalized(capp_text *out, capp_str text, unsigned form, capp_text_front *front,
                                        capp_error *err) {
    segment s = {.front = front};
    bool done = normalize(out, &s, text, form);
    capp_free(s.data);
    return done ? CAPP_OK : capp_fail_memory(err, "a text in its normal form");
}
