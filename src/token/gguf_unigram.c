/* Unigram vocabularies of GGUF files ("t5"). The text is normalized as in sentencepiece: at each place a user-defined
 * piece is kept; otherwise the longest entry of the character map is replaced. Spaces become U+2581. If the file says
 * so, a run of spaces becomes one. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "token/charsmap.h"
#include "token/unigram.h"
#include "token/vocab_tables.h"

static const char MARK[] = "\xe2\x96\x81"; /* U+2581 */
enum { MARK_SIZE = 3 };

struct capp_gguf_unigram {
    capp_unigram unigram;
    capp_charsmap *chars; /* NULL: characters stay as they are */
    bool merge_spaces;
    bool bytes; /* unknown characters become their bytes */
};

/* Reads the scores. texts: the texts of tokens that can be pieces; other texts are empty. */
static capp_status read_pieces(capp_vocab *vocab, const capp_gguf *gguf, capp_str *texts, double *scores,
                               capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, "tokenizer.ggml.scores");
    uint32_t n = vocab->info.n_tokens;
    double least = INFINITY;
    if (!v || v->kind != CAPP_GGUF_ARRAY || v->count != n)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: tokenizer.ggml.scores is missing or not an array of %u numbers, one for each token; "
                         "convert the model again",
                         vocab->path, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t type = vocab->types[i];
        bool piece = type == CAPP_TOKEN_NORMAL || type == CAPP_TOKEN_USER_DEFINED || type == CAPP_TOKEN_UNUSED;
        texts[i] = piece ? vocab->texts[i] : (capp_str){NULL, 0};
        if (!capp_gguf_array_f64(v, i, &scores[i]) || isnan(scores[i]))
            return capp_fail(err, CAPP_EFORMAT,
                             "%s: tokenizer.ggml.scores: element %u is not a number; convert the model again",
                             vocab->path, i);
        if (type == CAPP_TOKEN_NORMAL && scores[i] < least) least = scores[i];
        if (type == CAPP_TOKEN_USER_DEFINED) scores[i] = 0; /* better than any other */
    }
    return capp_unigram_open(&vocab->gguf_unigram->unigram, texts, scores, n, isinf(least) ? 0 : least, err);
}

static capp_status read_charsmap(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, "tokenizer.ggml.precompiled_charsmap");
    if (!v) return CAPP_OK;
    if (v->kind != CAPP_GGUF_ARRAY || (v->element != CAPP_GGUF_U8 && v->element != CAPP_GGUF_I8))
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: tokenizer.ggml.precompiled_charsmap is not an array of bytes; convert the model again",
                         vocab->path);
    if (!v->count) return CAPP_OK;
    capp_status st =
        capp_charsmap_open(&vocab->gguf_unigram->chars, (capp_str){(const char *)v->bytes, (size_t)v->count}, err);
    if (st != CAPP_OK) capp_error_prefix(err, vocab->path);
    return st;
}

capp_status capp_gguf_unigram_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    vocab->gguf_unigram = capp_new0(1, sizeof *vocab->gguf_unigram);
    if (!vocab->gguf_unigram) return capp_fail_memory(err, "a vocabulary");
    vocab->info.pre = "";
    const char *key = "tokenizer.ggml.remove_extra_whitespaces";
    if (capp_gguf_find(gguf, key) && !capp_gguf_bool(gguf, key, &vocab->gguf_unigram->merge_spaces))
        return capp_fail(err, CAPP_EFORMAT, "%s: %s is not a boolean; convert the model again", vocab->path, key);
    uint32_t n = vocab->info.n_tokens;
    capp_str *texts = capp_new(n, sizeof *texts);
    double *scores = capp_new(n, sizeof *scores);
    capp_status st = texts && scores ? CAPP_OK : capp_fail_memory(err, "a vocabulary's scores");
    if (st == CAPP_OK) st = read_pieces(vocab, gguf, texts, scores, err);
    if (st == CAPP_OK) st = read_charsmap(vocab, gguf, err);
    capp_free(texts);
    capp_free(scores);
    return st;
}

void capp_gguf_unigram_free(capp_gguf_unigram *tokenizer) {
    if (!tokenizer) return;
    capp_unigram_free(&tokenizer->unigram);
    capp_charsmap_free(tokenizer->chars);
    capp_free(tokenizer);
}

/* Normalizes the beginning of text to *part. Returns the number of bytes of text that this covers. */
static size_t next_part(const capp_vocab *vocab, capp_str text, capp_str *part) {
    size_t size = 0;
    if (capp_trie_longest(&vocab->always, text, &size) == CAPP_NO_TOKEN) {
        size = vocab->gguf_unigram->chars ? capp_charsmap_find(vocab->gguf_unigram->chars, text, true, part) : 0;
        /* A map could cut a character in two. */
        if (size && (size == text.size || (text.data[size] & 0xc0) != 0x80)) return size;
        size = capp_utf8_size(text.data);
    }
    *part = (capp_str){text.data, size};
    return size;
}

static bool normalize(const capp_vocab *vocab, capp_str text, capp_text *out) {
    bool in_word = false, begun = false, prefix = vocab->info.add_space_prefix,
         merge = vocab->gguf_unigram->merge_spaces;
    capp_str part;
    for (size_t at = 0; at < text.size;) {
        at += next_part(vocab, (capp_str){text.data + at, text.size - at}, &part);
        for (size_t i = 0; i < part.size; i++) {
            bool space = part.data[i] == ' ', starts = !space && !in_word;
            if ((starts && ((prefix && !begun) || merge)) || (space && !merge)) {
                if (!capp_text_append(out, MARK, MARK_SIZE)) return false;
                begun = begun || starts;
            }
            if (!space && !capp_text_append(out, part.data + i, 1)) return false;
            in_word = !space;
        }
    }
    return true;
}

void capp_gguf_unigram_use_bytes(capp_vocab *vocab) {
    capp_sentencepiece_find_bytes(vocab);
    vocab->gguf_unigram->bytes = true;
    for (size_t i = 0; i < 256; i++)
        if (vocab->byte_id[i] == CAPP_NO_TOKEN) vocab->gguf_unigram->bytes = false;
}

/* Appends an unknown character: its bytes, or the unknown token if the piece before it is not unknown, too. */
static bool push_unknown(const capp_vocab *vocab, capp_str character, bool after_unknown, capp_ids *out) {
    if (!vocab->gguf_unigram->bytes) return after_unknown || capp_ids_push(out, vocab->info.unk);
    for (size_t i = 0; i < character.size; i++)
        if (!capp_ids_push(out, vocab->byte_id[(unsigned char)character.data[i]])) return false;
    return true;
}

capp_status capp_gguf_unigram_encode(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str raw, capp_ids *out,
                                     capp_error *err) {
    capp_text text = {0};
    capp_unigram_path *paths = NULL;
    size_t capacity = 0;
    uint32_t begin = 0, end = 0;
    (void)scratch;
    capp_status st = normalize(vocab, raw, &text) ? CAPP_OK : capp_fail_memory(err, "a normalized text");
    if (st == CAPP_OK && capp_utf8_invalid_at((capp_str){text.data, text.size}) < text.size)
        st = capp_fail(err, CAPP_EINVAL, "the tokenizer's character map turns the text into invalid UTF-8");
    if (st == CAPP_OK && text.size)
        st = capp_unigram_cut(&vocab->gguf_unigram->unigram, (capp_str){text.data, text.size},
                              vocab->info.unk != CAPP_NO_TOKEN || vocab->gguf_unigram->bytes, &paths, &capacity, &end,
                              err);
    for (bool after_unknown = false; st == CAPP_OK && begin < text.size; begin = end, end = paths[end].from) {
        bool is_unknown = paths[end].id == CAPP_NO_TOKEN;
        const capp_str piece = {text.data + begin, end - begin};
        if (is_unknown ? !push_unknown(vocab, piece, after_unknown, out) : !capp_ids_push(out, paths[end].id))
            st = capp_fail_memory(err, "ids");
        after_unknown = is_unknown;
    }
    capp_free(paths);
    capp_free(text.data);
    return st;
}
