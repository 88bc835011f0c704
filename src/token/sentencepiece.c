/* SentencePiece BPE: spaces become U+2581, and the whole text is one word of characters. Neighbors merge if their
 * joined text is a piece; the piece with the highest score merges first (sentencepiece, src/bpe_model.cc). A character
 * without a piece becomes its bytes, or the unknown token. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/vocab_tables.h"

static const char SPACE_MARK[] = "\xe2\x96\x81"; /* U+2581 */
enum { MARK_SIZE = 3 };

static bool is_mark(const char *p, size_t left) {
    return left >= MARK_SIZE && !memcmp(p, SPACE_MARK, MARK_SIZE);
}

/* See capp_find_merge: two neighbors merge if their joined text is a piece. */
static bool find_merge(const capp_vocab *vocab, const char *text, const capp_merge_part *left,
                       const capp_merge_part *right, uint32_t end, uint32_t *priority, int32_t *merged) {
    capp_str both = {text + left->at, end - left->at};
    (void)right;
    if (both.size > vocab->longest) return false;
    int32_t id = capp_text_index_find(&vocab->index, both);
    if (id == CAPP_NO_TOKEN || vocab->types[id] != CAPP_TOKEN_NORMAL) return false;
    *priority = vocab->priority[id];
    *merged = id;
    return true;
}

/* A score as an unsigned number: the higher the score, the lower the number, and never CAPP_NO_MERGE. Apart from the
 * sign, the bits of floats have the order of their values. */
static uint32_t priority_of(float score) {
    uint32_t bits;
    score += 0.0F; /* -0 becomes 0 */
    memcpy(&bits, &score, sizeof bits);
    uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return ascending ? ~ascending : CAPP_NO_MERGE - 1;
}

static capp_status read_scores(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, "tokenizer.ggml.scores");
    if (!v)
        return capp_fail(
            err, CAPP_EFORMAT,
            "%s: tokenizer.ggml.scores is missing, so the order of merges is unknown; convert the model again",
            vocab->path);
    if (v->kind != CAPP_GGUF_ARRAY || v->count != vocab->info.n_tokens)
        return capp_fail(
            err, CAPP_EFORMAT,
            "%s: tokenizer.ggml.scores is not an array of %u numbers, one for each token; convert the model again",
            vocab->path, vocab->info.n_tokens);
    vocab->priority = capp_new(vocab->info.n_tokens, sizeof *vocab->priority);
    if (!vocab->priority) return capp_fail_memory(err, "a vocabulary's scores");
    for (uint32_t i = 0; i < vocab->info.n_tokens; i++) {
        float score = 0;
        double value;
        if (v->element == CAPP_GGUF_F32)
            memcpy(&score, (const char *)v->bytes + sizeof score * i, sizeof score);
        else if (capp_gguf_array_f64(v, i, &value))
            score = (float)value;
        else
            return capp_fail(err, CAPP_EFORMAT,
                             "%s: tokenizer.ggml.scores: element %u is not a number; convert the model again",
                             vocab->path, i);
        if (score != score)
            return capp_fail(err, CAPP_EFORMAT, "%s: tokenizer.ggml.scores: element %u is NaN; convert the model again",
                             vocab->path, i);
        vocab->priority[i] = priority_of(score);
    }
    return CAPP_OK;
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of a text "<0x41>", or -1. */
static int byte_of(capp_str text) {
    if (text.size != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') return -1;
    int high = hex(text.data[3]), low = hex(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Records which bytes occur before U+2581 inside a piece. */
static void note_marks(capp_vocab *vocab, capp_str text) {
    for (size_t i = 1; i + MARK_SIZE <= text.size; i++)
        if (is_mark(text.data + i, text.size - i)) vocab->joins_space[(unsigned char)text.data[i - 1]] = true;
}

static bool may_stand_alone(const capp_vocab *vocab, int32_t id) {
    uint8_t type = vocab->types[id];
    return type == CAPP_TOKEN_NORMAL || type == CAPP_TOKEN_USER_DEFINED || type == CAPP_TOKEN_UNUSED;
}

static int32_t character_id(const capp_vocab *vocab, capp_str character) {
    int32_t id = capp_text_index_find(&vocab->index, character);
    return id != CAPP_NO_TOKEN && may_stand_alone(vocab, id) ? id : CAPP_NO_TOKEN;
}

void capp_sentencepiece_find_bytes(capp_vocab *vocab) {
    memset(vocab->byte_id, 0xff, sizeof vocab->byte_id);
    for (uint32_t i = 0; i < vocab->info.n_tokens; i++) {
        int byte = vocab->types[i] == CAPP_TOKEN_BYTE ? byte_of(vocab->texts[i]) : -1;
        if (byte >= 0 && vocab->byte_id[byte] == CAPP_NO_TOKEN) vocab->byte_id[byte] = (int32_t)i;
    }
}

capp_status capp_sentencepiece_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    capp_status st = read_scores(vocab, gguf, err);
    if (st != CAPP_OK) return st;
    vocab->info.pre = "";
    vocab->info.add_bos = true;
    vocab->info.add_space_prefix = true;
    capp_sentencepiece_find_bytes(vocab);
    for (uint32_t i = 0; i < vocab->info.n_tokens; i++) {
        if (vocab->types[i] == CAPP_TOKEN_BYTE && byte_of(vocab->texts[i]) < 0)
            return capp_fail(
                err, CAPP_EFORMAT,
                "%s: token %u is of type byte, so its text must be of the form <0x41>; convert the model again",
                vocab->path, i);
        if (vocab->types[i] == CAPP_TOKEN_NORMAL) note_marks(vocab, vocab->texts[i]);
    }
    for (int c = 0; c < 128; c++) vocab->ascii_id[c] = character_id(vocab, (capp_str){&(char){(char)c}, 1});
    return CAPP_OK;
}

size_t capp_sentencepiece_piece(const capp_vocab *vocab, int32_t id, char *out) {
    capp_str text = vocab->texts[id];
    uint8_t type = vocab->types[id];
    if (type == CAPP_TOKEN_BYTE) {
        out[0] = (char)byte_of(text);
        return 1;
    }
    bool marks = type != CAPP_TOKEN_CONTROL && type != CAPP_TOKEN_UNKNOWN;
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        bool mark = marks && is_mark(text.data + i, text.size - i);
        out[n++] = mark ? ' ' : text.data[i];
        if (mark) i += MARK_SIZE - 1;
    }
    return n;
}

static bool is_unknown(const capp_vocab *vocab, capp_str character) {
    for (size_t i = 0; i < character.size; i++)
        if (vocab->byte_id[(unsigned char)character.data[i]] == CAPP_NO_TOKEN) return true;
    return false;
}

/* Appends a character without a piece: its bytes if the vocabulary has all of them, or one unknown token for a run of
 * such characters. */
static bool push_character(const capp_vocab *vocab, capp_str character, bool *after_unknown, capp_ids *out) {
    if (is_unknown(vocab, character)) {
        bool first = !*after_unknown;
        *after_unknown = true;
        return !first || vocab->info.unk == CAPP_NO_TOKEN || capp_ids_push(out, vocab->info.unk);
    }
    *after_unknown = false;
    for (size_t i = 0; i < character.size; i++)
        if (!capp_ids_push(out, vocab->byte_id[(unsigned char)character.data[i]])) return false;
    return true;
}

static capp_status encode_word(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str word,
                               bool *after_unknown, capp_ids *out, capp_error *err) {
    if (!capp_grow(&scratch->parts, &scratch->parts_capacity, word.size + 1, sizeof *scratch->parts))
        return capp_fail_memory(err, "the merges of a text");
    size_t n = 0;
    for (size_t i = 0; i < word.size; n++) {
        size_t size = capp_utf8_size(word.data + i);
        int32_t id = size == 1 ? vocab->ascii_id[(unsigned char)word.data[i]]
                               : character_id(vocab, (capp_str){word.data + i, size});
        scratch->parts[n] = (capp_merge_part){(uint32_t)i, id, CAPP_NO_MERGE, CAPP_NO_TOKEN};
        i += size;
    }
    scratch->n_parts = n;
    capp_status st = capp_merge_parts(vocab, find_merge, scratch, word.data, (uint32_t)word.size, err);
    if (st != CAPP_OK) return st;
    for (size_t i = 0; i < scratch->n_parts; i++) {
        const capp_merge_part *part = &scratch->parts[i];
        bool pushed;
        if (part->id == CAPP_NO_TOKEN) {
            pushed = push_character(vocab, (capp_str){word.data + part->at, part[1].at - part->at}, after_unknown, out);
        } else {
            *after_unknown = false;
            pushed = capp_ids_push(out, part->id);
        }
        if (!pushed) return capp_fail_memory(err, "ids");
    }
    return CAPP_OK;
}

/* Encodes a text without user-defined pieces word by word. The text is cut between a character and a U+2581 if no piece
 * has them side by side: nothing merges there, so the ids stay the same. */
static capp_status encode_words(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text,
                                bool *after_unknown, capp_ids *out, capp_error *err) {
    size_t begin = 0;
    capp_status st = CAPP_OK;
    for (size_t i = 1; st == CAPP_OK && i <= text.size; i++) {
        bool cut = i == text.size || (text.data[i] == SPACE_MARK[0] && is_mark(text.data + i, text.size - i) &&
                                      !vocab->joins_space[(unsigned char)text.data[i - 1]]);
        if (!cut) continue;
        st = encode_word(vocab, scratch, (capp_str){text.data + begin, i - begin}, after_unknown, out, err);
        begin = i;
    }
    return st;
}

/* The same for a model that changes more than spaces. */
static capp_status change(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text, bool prefix,
                          size_t *size, capp_error *err) {
    capp_text out = {.data = scratch->text, .capacity = scratch->text_capacity};
    capp_status st = capp_sentencepiece_change(vocab, text, prefix, &out, err);
    scratch->text = out.data;
    scratch->text_capacity = out.capacity;
    *size = out.size;
    return st;
}

/* Copies text to scratch->text with spaces as U+2581, and one in front if there is a prefix. */
static capp_status normalize(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text, bool prefix,
                             size_t *size, capp_error *err) {
    size_t spaces = prefix;
    if (vocab->chars || vocab->merge_spaces) return change(vocab, scratch, text, prefix, size, err);
    for (size_t i = 0; i < text.size; i++) spaces += text.data[i] == ' ';
    *size = text.size + spaces * (MARK_SIZE - 1) + prefix;
    if (!capp_grow(&scratch->text, &scratch->text_capacity, *size, 1)) return capp_fail_memory(err, "a text");
    char *out = scratch->text;
    if (prefix) {
        memcpy(out, SPACE_MARK, MARK_SIZE);
        out += MARK_SIZE;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != ' ') {
            *out++ = text.data[i];
        } else {
            memcpy(out, SPACE_MARK, MARK_SIZE);
            out += MARK_SIZE;
        }
    }
    return CAPP_OK;
}

capp_status capp_sentencepiece_encode(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str raw, bool prefix,
                                      capp_ids *out, capp_error *err) {
    size_t size, begin = 0, at = 0, found_size = 0;
    bool after_unknown = false;
    capp_status st = normalize(vocab, scratch, raw, prefix, &size, err);
    const char *text = scratch->text;
    while (st == CAPP_OK && at < size) {
        int32_t id = capp_trie_longest(&vocab->always, (capp_str){text + at, size - at}, &found_size);
        if (id == CAPP_NO_TOKEN) {
            at += capp_utf8_size(text + at);
            continue;
        }
        if (at > begin)
            st = encode_words(vocab, scratch, (capp_str){text + begin, at - begin}, &after_unknown, out, err);
        if (st == CAPP_OK && !capp_ids_push(out, id)) st = capp_fail_memory(err, "ids");
        after_unknown = false;
        begin = at += found_size;
    }
    if (st == CAPP_OK && size > begin)
        st = encode_words(vocab, scratch, (capp_str){text + begin, size - begin}, &after_unknown, out, err);
    return st;
}
