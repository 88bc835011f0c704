/* Normalisers: each step makes a text out of the one before. */
#define _GNU_SOURCE
#include <string.h>

#include "token/hf.h"

/* Places in a text are 32-bit. */
enum { MOST_NORMAL = 1 << 30 };

static bool put_without_marks(capp_text *out, capp_str text) {
    for (size_t i = 0, size; i < text.size; i += size) {
        int32_t c = capp_utf8_character(text.data + i, &size);
        if ((c < 0x80 || !capp_is_mark(c)) && !capp_text_put(out, text.data + i, size)) return false;
    }
    return true;
}

/* SentencePiece's nmt_nfkc: control characters go, what looks like a space becomes one. */
static bool put_nmt(capp_text *out, capp_str text) {
    for (size_t i = 0, size; i < text.size; i += size) {
        int32_t c = capp_utf8_character(text.data + i, &size);
        if ((c >= 0x1 && c <= 0x8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f)
            continue;
        bool space = c == 0x9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 || (c >= 0x200b && c <= 0x200f) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff || c == 0xfffd;
        if (!(space ? capp_text_put(out, " ", 1) : capp_text_put(out, text.data + i, size))) return false;
    }
    return true;
}

static bool put_bytes(capp_text *out, capp_str text) {
    for (size_t i = 0; i < text.size; i++)
        if (!capp_text_put_character(out, (int32_t)capp_bytelevel_character((unsigned char)text.data[i]))) return false;
    return true;
}

static bool replace_text(capp_text *out, capp_str text, capp_str from, capp_str to) {
    size_t done = 0;
    while (from.size) {
        const char *found = memmem(text.data + done, text.size - done, from.data, from.size);
        if (!found) break;
        size_t at = (size_t)(found - text.data);
        if (!capp_text_put(out, text.data + done, at - done) || !capp_text_put(out, to.data, to.size)) return false;
        done = at + from.size;
    }
    return capp_text_put(out, text.data + done, text.size - done);
}

static capp_status replace_matches(capp_hf_run *run, const capp_normal_step *step, capp_text *out, capp_str text,
                                   capp_error *err) {
    capp_regex_walk walk = {0};
    size_t done = 0, at, end;
    bool found, put = true;
    for (;;) {
        capp_status st = capp_regex_next(step->regex, run->matcher, text, &walk, &at, &end, &found, err);
        if (st != CAPP_OK) return st;
        if (!found || !put) break;
        put = capp_text_put(out, text.data + done, at - done) && capp_text_put(out, step->text.data, step->text.size);
        done = end;
    }
    put = put && capp_text_put(out, text.data + done, text.size - done);
    return put ? CAPP_OK : capp_fail_memory(err, "a normalised text");
}

/* text without white space at its ends; *cut: what went in front. */
static capp_str strip(const capp_normal_step *step, capp_str text, size_t *cut) {
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

/* One step that writes text to out. */
static capp_status write_step(capp_hf_run *run, const capp_normal_step *step, capp_text *out, capp_str text,
                              capp_error *err) {
    bool put = true;
    switch (step->kind) {
    case CAPP_NORMAL_FORM: return capp_normalise(out, text, step->form, err);
    case CAPP_NORMAL_LOWER_CASE: put = capp_put_lower_case(out, text); break;
    case CAPP_NORMAL_STRIP_ACCENTS: put = put_without_marks(out, text); break;
    case CAPP_NORMAL_PREPEND:
        put = capp_text_put(out, step->text.data, step->text.size) && capp_text_put(out, text.data, text.size);
        break;
    case CAPP_NORMAL_REPLACE:
        if (step->regex) return replace_matches(run, step, out, text, err);
        put = replace_text(out, text, step->pattern, step->text);
        break;
    case CAPP_NORMAL_CHARSMAP: put = capp_charsmap_put(step->chars, out, text); break;
    case CAPP_NORMAL_NMT: put = put_nmt(out, text); break;
    case CAPP_NORMAL_BYTE_LEVEL: put = put_bytes(out, text); break;
    case CAPP_NORMAL_STRIP: break; /* writes nothing: see strip */
    }
    return put ? CAPP_OK : capp_fail_memory(err, "a normalised text");
}

/* Bytes of the first n characters. */
static size_t characters(capp_str text, size_t n) {
    size_t at = 0;
    for (; n && at < text.size; n--) at += capp_utf8_size(text.data + at);
    return at;
}

static size_t count(capp_str text, size_t bytes) {
    size_t n = 0;
    for (size_t at = 0; at < text.size && at < bytes; n++) at += capp_utf8_size(text.data + at);
    return n;
}

capp_status capp_hf_normalise(capp_hf_run *run, capp_str text, capp_str *normal, size_t *first, capp_error *err) {
    size_t next = 0; /* which of the two is not being read */
    for (size_t i = 0; i < run->hf->n_normal && text.size; i++) {
        const capp_normal_step *step = &run->hf->normal[i];
        if (step->kind == CAPP_NORMAL_STRIP) {
            size_t cut;
            text = strip(step, text, &cut);
            *first = *first > cut ? *first - cut : 0;
            continue;
        }
        capp_text *out = &run->normal[next];
        next = !next;
        out->size = 0;
        size_t n = count(text, *first);
        capp_status st = write_step(run, step, out, text, err);
        if (st != CAPP_OK) return st;
        if (out->size > MOST_NORMAL)
            return capp_fail(err, CAPP_EINVAL, "the text becomes longer than %d bytes when it is normalised",
                             MOST_NORMAL);
        *first = step->kind == CAPP_NORMAL_PREPEND && n ? step->text.size + *first
                                                        : characters((capp_str){out->data, out->size}, n);
        text = (capp_str){out->data, out->size};
    }
    *normal = text;
    return CAPP_OK;
}
