/* The way in which sentencepiece changes a text before it is cut (src/normalizer.cc there). At each place a
 * user-defined piece is kept; otherwise the longest entry of the character map is replaced. Spaces become U+2581. If
 * the file says so, a run of spaces becomes one, and none stays at the ends. */
#include <string.h>

#include "base/mem.h"
#include "token/charsmap.h"
#include "token/vocab_tables.h"

static const char MARK[] = "\xe2\x96\x81"; /* U+2581 */
enum { MARK_SIZE = 3 };

static capp_status read_charsmap(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, "tokenizer.ggml.precompiled_charsmap");
    if (!v) return CAPP_OK;
    if (v->kind != CAPP_GGUF_ARRAY || (v->element != CAPP_GGUF_U8 && v->element != CAPP_GGUF_I8))
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: tokenizer.ggml.precompiled_charsmap is not an array of bytes; convert the model again",
                         vocab->path);
    if (!v->count) return CAPP_OK;
    capp_status st = capp_charsmap_open(&vocab->chars, (capp_str){(const char *)v->bytes, (size_t)v->count}, err);
    if (st != CAPP_OK) capp_error_prefix(err, vocab->path);
    return st;
}

capp_status capp_sentencepiece_read_changes(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    const char *key = "tokenizer.ggml.remove_extra_whitespaces";
    if (capp_gguf_find(gguf, key) && !capp_gguf_bool(gguf, key, &vocab->merge_spaces))
        return capp_fail(err, CAPP_EFORMAT, "%s: %s is not a boolean; convert the model again", vocab->path, key);
    return read_charsmap(vocab, gguf, err);
}

/* Normalizes the beginning of text to *part. Returns the number of bytes of text that this covers. */
static size_t next_part(const capp_vocab *vocab, capp_str text, capp_str *part) {
    size_t size = 0;
    if (capp_trie_longest(&vocab->always, text, &size) == CAPP_NO_TOKEN) {
        size = vocab->chars ? capp_charsmap_find(vocab->chars, text, true, part) : 0;
        /* A map could cut a character in two. */
        if (size && (size == text.size || (text.data[size] & 0xc0) != 0x80)) return size;
        size = capp_utf8_size(text.data);
    }
    *part = (capp_str){text.data, size};
    return size;
}

/* Appends text. first: a mark stands before its first word. */
static bool append(const capp_vocab *vocab, capp_str text, bool first, capp_text *out) {
    bool in_word = false, begun = false, merge = vocab->merge_spaces;
    capp_str part;
    for (size_t at = 0; at < text.size;) {
        at += next_part(vocab, (capp_str){text.data + at, text.size - at}, &part);
        for (size_t i = 0; i < part.size; i++) {
            bool space = part.data[i] == ' ', starts = !space && !in_word;
            if ((starts && (begun ? merge : first)) || (space && !merge)) {
                if (!capp_text_append(out, MARK, MARK_SIZE)) return false;
            }
            begun = begun || starts;
            if (!space && !capp_text_append(out, part.data + i, 1)) return false;
            in_word = !space;
        }
    }
    return true;
}

capp_status capp_sentencepiece_change(const capp_vocab *vocab, capp_str text, bool prefix, capp_text *out,
                                      capp_error *err) {
    /* llama.cpp puts a mark before the first word also if spaces are merged and files want no space in front. */
    bool first = prefix || (vocab->merge_spaces && !vocab->model.gguf);
    size_t begin = out->size;
    if (!append(vocab, text, first, out)) return capp_fail_memory(err, "a normalized text");
    const capp_str changed = {out->data + begin, out->size - begin};
    if (changed.size && capp_utf8_invalid_at(changed) < changed.size)
        return capp_fail(err, CAPP_EINVAL, "the tokenizer's character map turns the text into invalid UTF-8");
    return CAPP_OK;
}
