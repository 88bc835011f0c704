/* Normalizers: each makes a new text from the previous one. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>

#include "base/platform.h"
#include "token/pipeline.h"

/* Places in a text are 32-bit. */
enum { MAX_NORMALIZED = 1 << 30 };

static bool put_without_marks(capp_text *out, capp_str text) {
    for (size_t i = 0, size; i < text.size; i += size) {
        int32_t c = capp_utf8_character(text.data + i, &size);
        if ((c < 0x80 || !capp_is_mark(c)) && !capp_text_append(out, text.data + i, size)) return false;
    }
    return true;
}

/* The rule of SentencePiece's nmt_nfkc: drops control characters and replaces all kinds of spaces by a space. */
static bool put_nmt(capp_text *out, capp_str text) {
    for (size_t i = 0, size; i < text.size; i += size) {
        int32_t c = capp_utf8_character(text.data + i, &size);
        if ((c >= 0x1 && c <= 0x8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f)
            continue;
        bool space = c == 0x9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
        if (!(space ? capp_text_append(out, " ", 1) : capp_text_append(out, text.data + i, size))) return false;
    }
    return true;
}

static bool put_bytes(capp_text *out, capp_str text) {
    for (size_t i = 0; i < text.size; i++)
        if (!capp_text_append_character(out, (int32_t)capp_byte_level_character((unsigned char)text.data[i])))
            return false;
    return true;
}

/* A text in which matches are replaced. A replacement takes the place of the last byte of its match; at the front it
 * stands for the beginning. */
typedef struct replacing {
    capp_text *out;
    capp_str text, to;
    size_t done;  /* bytes of text that are done */
    size_t front; /* size of the front of text; once over, size of the front of out */
    bool over;    /* out is longer than its front */
} replacing;

static void end_front(replacing *r, size_t size) {
    r->over = true;
    r->front = size;
}

static bool keep(replacing *r, size_t to) {
    if (!r->over && to > r->front) end_front(r, r->out->size + (r->front - r->done));
    return capp_text_append(r->out, r->text.data + r->done, to - r->done);
}

static bool replace(replacing *r, size_t at, size_t end) {
    if (!keep(r, at)) return false;
    if (!r->over && end > r->front) end_front(r, r->out->size);
    r->done = end;
    return capp_text_append(r->out, r->to.data, r->to.size);
}

static bool replace_text(replacing *r, capp_str from) {
    while (from.size) {
        const char *found = capp_find_bytes(r->text.data + r->done, r->text.size - r->done, from.data, from.size);
        if (!found) break;
        size_t at = (size_t)(found - r->text.data);
        if (!replace(r, at, at + from.size)) return false;
    }
    return true;
}

static capp_status replace_matches(capp_pipeline_run *run, const capp_regex *regex, replacing *r, bool *put,
                                   capp_error *err) {
    capp_regex_walk walk = {0};
    size_t at, end;
    bool found;
    while (*put) {
        capp_status st = capp_regex_next(regex, run->matcher, r->text, &walk, &at, &end, &found, err);
        if (st != CAPP_OK) return st;
        if (!found) break;
        *put = replace(r, at, end);
    }
    return CAPP_OK;
}

static capp_status replace_all(capp_pipeline_run *run, const capp_normalizer *step, capp_text *out, capp_str text,
                               size_t *front, capp_error *err) {
    replacing r = {.out = out, .text = text, .to = step->text, .front = *front};
    bool put = true;
    capp_status st = CAPP_OK;
    if (step->regex)
        st = replace_matches(run, step->regex, &r, &put, err);
    else
        put = replace_text(&r, step->pattern);
    if (st != CAPP_OK) return st;
    if (!put || !keep(&r, text.size)) return capp_fail_memory(err, "a normalized text");
    *front = r.over ? r.front : out->size;
    return CAPP_OK;
}

/* text without white space at its ends; *cut: bytes removed in front. */
static capp_str strip(const capp_normalizer *step, capp_str text, size_t *cut) {
    size_t begin = 0, end = text.size, size;
    while (step->left && begin < end && capp_is_white_space(capp_utf8_character(text.data + begin, &size)))
        begin += size;
    while (step->right && begin < end) {
        size_t before = capp_utf8_size_before(text.data + end);
        if (!capp_is_white_space(capp_utf8_character(text.data + end - before, &size))) break;
        end -= before;
    }
    *cut = begin;
    return (capp_str){text.data + begin, end - begin};
}

/* Normalizers that work on one character at a time: the front of the text becomes the front of the result. */
static bool put_characters(const capp_normalizer *step, capp_text *out, capp_str text) {
    switch (step->kind) {
    case CAPP_NORMALIZER_LOWER_CASE: return capp_text_append_lower_case(out, text);
    case CAPP_NORMALIZER_STRIP_ACCENTS: return put_without_marks(out, text);
    case CAPP_NORMALIZER_NMT: return put_nmt(out, text);
    default: return put_bytes(out, text); /* CAPP_NORMALIZER_BYTE_LEVEL */
    }
}

static size_t count(const char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += (text[i] & 0xc0) != 0x80;
    return n;
}

/* Runs one normalizer from text to out. *front: first the front of text, then the front of out. begins: this text
 * contains the beginning of the whole text, so it has a front. */
static capp_status write_step(capp_pipeline_run *run, const capp_normalizer *step, capp_text *out, capp_str text,
                              bool begins, size_t *front, capp_error *err) {
    capp_text_front mapped = {.n = count(text.data, *front)};
    capp_status st = CAPP_OK;
    size_t kept;
    bool put = true;
    switch (step->kind) {
    case CAPP_NORMALIZER_FORM:
        st = capp_text_append_normalized(out, text, step->form, begins ? &mapped : NULL, err);
        break;
    case CAPP_NORMALIZER_CHARSMAP: put = capp_charsmap_append(step->chars, out, text, begins ? &mapped : NULL); break;
    case CAPP_NORMALIZER_REPLACE: return replace_all(run, step, out, text, front, err);
    case CAPP_NORMALIZER_PREPEND:
        put = capp_text_append(out, step->text.data, step->text.size) && capp_text_append(out, text.data, text.size);
        if (*front) *front += step->text.size;
        return put ? CAPP_OK : capp_fail_memory(err, "a normalized text");
    default:
        kept = *front;
        put = put_characters(step, out, (capp_str){text.data, kept});
        *front = out->size;
        put = put && put_characters(step, out, (capp_str){text.data + kept, text.size - kept});
        return put ? CAPP_OK : capp_fail_memory(err, "a normalized text");
    }
    *front = mapped.over ? mapped.size : out->size;
    return put ? st : capp_fail_memory(err, "a normalized text");
}

capp_status capp_pipeline_normalize(capp_pipeline_run *run, capp_str text, capp_str *normal, size_t *front,
                                    capp_error *err) {
    size_t next = 0; /* the free one of the two buffers */
    bool begins = *front > 0;
    for (size_t i = 0; i < run->pipeline->n_normalizers && text.size; i++) {
        const capp_normalizer *step = &run->pipeline->normalizers[i];
        if (step->kind == CAPP_NORMALIZER_STRIP) {
            size_t cut;
            text = strip(step, text, &cut);
            *front = *front > cut ? *front - cut : 0;
            if (*front > text.size) *front = text.size;
            continue;
        }
        capp_text *out = &run->normal[next];
        next = !next;
        out->size = 0;
        capp_status st = write_step(run, step, out, text, begins, front, err);
        if (st != CAPP_OK) return st;
        if (out->size > MAX_NORMALIZED)
            return capp_fail(err, CAPP_EINVAL, "normalization makes the text longer than %d bytes; split the text",
                             MAX_NORMALIZED);
        if (!begins) *front = 0;
        text = (capp_str){out->data, out->size};
    }
    *normal = text;
    return CAPP_OK;
}
