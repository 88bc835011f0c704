/* Byte-level BPE (GPT-2): a pre-tokenizer cuts words, their bytes are written as characters, and merges are applied by
 * rank. The vocabulary writes each byte as one printable character: printable bytes of Latin-1 as themselves, the
 * others in order as U+0100 and following (encoder.py of GPT-2). */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/vocab_tables.h"

static bool prints(unsigned byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* Of the bytes that are not printable, 0x00-0x20 come first, then 0x7f-0xa0, then 0xad. */
unsigned capp_byte_level_character(unsigned char b) {
    if (prints(b)) return b;
    return 0x100u + (b <= 0x20 ? b : b <= 0xa0 ? b - 0x7fu + 0x21u : 0x43u);
}

size_t capp_byte_level_write(unsigned char b, char *out) {
    unsigned c = capp_byte_level_character(b);
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

bool capp_find_ranked_merge(const capp_vocab *vocab, const char *text, const capp_merge_part *left,
                            const capp_merge_part *right, uint32_t end, uint32_t *priority, int32_t *merged) {
    (void)text;
    (void)end;
    const capp_merge_slot *slot = capp_merge_table_find(&vocab->merges, left->id, right->id);
    if (!slot) return false;
    *priority = slot->rank;
    *merged = slot->merged;
    return true;
}

enum { MERGE_BATCH = CAPP_INDEX_BATCH / 3 };

typedef struct growing {
    char *data;
    size_t capacity;
} growing;

/* Cuts n lines "LEFT RIGHT" into three texts each: left, right, and both joined, which `joined` holds. */
static capp_status cut_lines(const capp_vocab *vocab, const capp_str *lines, size_t n, size_t first, growing *joined,
                             capp_str *texts, capp_error *err) {
    size_t bytes = 0, at = 0;
    for (size_t i = 0; i < n; i++) bytes += lines[i].size;
    if (!capp_grow(&joined->data, &joined->capacity, bytes, 1)) return capp_fail_memory(err, "a vocabulary's merges");
    for (size_t i = 0; i < n; i++) {
        capp_str line = lines[i];
        const char *space = line.size > 2 ? memchr(line.data + 1, ' ', line.size - 2) : NULL;
        if (!space)
            return capp_fail(
                err, CAPP_EFORMAT,
                "%s: tokenizer.ggml.merges: number %zu is not of the form \"LEFT RIGHT\"; convert the model again",
                vocab->path, first + i);
        capp_str left = {line.data, (size_t)(space - line.data)};
        capp_str right = {space + 1, line.size - left.size - 1};
        memcpy(joined->data + at, left.data, left.size);
        memcpy(joined->data + at + left.size, right.data, right.size);
        texts[3 * i] = left;
        texts[3 * i + 1] = right;
        texts[3 * i + 2] = (capp_str){joined->data + at, line.size - 1};
        at += line.size - 1;
    }
    return CAPP_OK;
}

/* Adds n merges, at most MERGE_BATCH; first: the number of the first one. If merges are equal, the first one counts. */
static capp_status add_merges(capp_vocab *vocab, const capp_str *lines, size_t n, size_t first, growing *joined,
                              capp_error *err) {
    capp_str texts[CAPP_INDEX_BATCH];
    int32_t ids[CAPP_INDEX_BATCH];
    capp_status st = cut_lines(vocab, lines, n, first, joined, texts, err);
    if (st != CAPP_OK) return st;
    capp_text_index_find_batch(&vocab->index, texts, 3 * n, ids);
    for (size_t i = 0; i < n; i++) capp_merge_table_prefetch(&vocab->merges, ids[3 * i], ids[3 * i + 1]);
    for (size_t i = 0; i < n; i++) {
        const int32_t *id = &ids[3 * i];
        if (id[0] == CAPP_NO_TOKEN || id[1] == CAPP_NO_TOKEN || id[2] == CAPP_NO_TOKEN)
            return capp_fail(err, CAPP_EFORMAT,
                             "%s: tokenizer.ggml.merges: number %zu, \"%.*s\": one of its pieces, or the joined piece, "
                             "is missing in "
                             "tokenizer.ggml.tokens; convert the model again",
                             vocab->path, first + i, lines[i].size < 100 ? (int)lines[i].size : 100, lines[i].data);
        capp_merge_table_set(&vocab->merges, (capp_merge_slot){id[0], id[1], (uint32_t)(first + i), id[2]}, false);
    }
    return CAPP_OK;
}

static capp_status read_merges(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, "tokenizer.ggml.merges");
    if (!v)
        return capp_fail(err, CAPP_EFORMAT, "%s: tokenizer.ggml.merges is missing; convert the model again",
                         vocab->path);
    if (v->kind != CAPP_GGUF_ARRAY || v->element != CAPP_GGUF_STRING)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: tokenizer.ggml.merges is not an array of strings; convert the model again", vocab->path);
    if (v->count > INT32_MAX)
        return capp_fail(err, CAPP_EFORMAT, "%s: tokenizer.ggml.merges has too many elements", vocab->path);
    size_t n = (size_t)v->count;
    growing joined = {0};
    capp_status st = capp_merge_table_open(&vocab->merges, n, err);
    for (size_t i = 0; st == CAPP_OK && i < n; i += MERGE_BATCH)
        st = add_merges(vocab, v->strings + i, n - i < MERGE_BATCH ? n - i : MERGE_BATCH, i, &joined, err);
    capp_free(joined.data);
    return st;
}

/* The pre-tokenizer of a file that does not name its own; NULL if it names it. */
static const char *fixed_pretokenizer(const capp_vocab *vocab, const capp_gguf *gguf) {
    capp_str architecture = {"", 0};
    (void)capp_gguf_str(gguf, "general.architecture", &architecture);
    if (!strcmp(vocab->info.model, "gemma4")) return "gemma4";
    /* Ollama's files of GPT-OSS say "default". */
    return architecture.size == 6 && !memcmp(architecture.data, "gptoss", 6) ? "gpt-4o" : NULL;
}

capp_status capp_byte_level_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    capp_str pre = {"default", 7}; /* early files (to early 2024) have no value: llama.cpp uses this one for them */
    const char *fixed = fixed_pretokenizer(vocab, gguf);
    if (fixed) pre = capp_str_of(fixed);
    if (!fixed && capp_gguf_find(gguf, "tokenizer.ggml.pre") && !capp_gguf_str(gguf, "tokenizer.ggml.pre", &pre))
        return capp_fail(err, CAPP_EFORMAT, "%s: tokenizer.ggml.pre is not a string; convert the model again",
                         vocab->path);
    capp_status st = capp_pretokenizer_open(&vocab->pre, pre, err);
    if (st != CAPP_OK) {
        capp_error_prefix(err, "tokenizer.ggml.pre");
        capp_error_prefix(err, vocab->path);
        return st;
    }
    vocab->info.pre = capp_pretokenizer_name(vocab->pre);
    vocab->info.pre_assumed = !fixed && !capp_gguf_find(gguf, "tokenizer.ggml.pre");
    vocab->info.add_bos = capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_ADD_BOS;
    memset(vocab->byte_of, 0xff, sizeof vocab->byte_of);
    for (unsigned b = 0; b < 256; b++) {
        char text[2];
        vocab->byte_id[b] =
            capp_text_index_find(&vocab->index, (capp_str){text, capp_byte_level_write((unsigned char)b, text)});
        vocab->byte_of[capp_byte_level_character((unsigned char)b)] = (int16_t)b;
    }
    if (capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_RAW) capp_raw_open(vocab);
    return read_merges(vocab, gguf, err);
}

/* Turns characters into the bytes that they stand for. Other characters stay as they are. */
static size_t decode(const int16_t *byte_of, capp_str text, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        unsigned character = c;
        bool two = c >= 0xc2 && c < 0xe0 && i + 1 < text.size && (text.data[i + 1] & 0xc0) == 0x80;
        if (two) character = (c & 0x1fu) << 6 | ((unsigned char)text.data[i + 1] & 0x3fu);
        bool known = (c < 0x80 || two) && character < CAPP_BYTE_CHARACTERS && byte_of[character] >= 0;
        out[n++] = known ? (char)byte_of[character] : (char)c;
        if (known && two) i++;
    }
    return n;
}

size_t capp_byte_level_piece(const capp_vocab *vocab, int32_t id, char *out) {
    capp_str text = vocab->texts[id];
    if (capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_RAW) return capp_raw_piece(vocab, id, out);
    if (vocab->types[id] == CAPP_TOKEN_NORMAL) return decode(vocab->byte_of, text, out);
    if (text.size) memcpy(out, text.data, text.size);
    return text.size;
}

typedef struct encode_call {
    const capp_vocab *vocab;
    capp_encode_scratch *scratch;
    capp_ids *out;
} encode_call;

/* The id of the token that is the whole word, or CAPP_NO_TOKEN. */
static capp_status whole_word(const encode_call *call, capp_str word, int32_t *id, capp_error *err) {
    const capp_vocab *vocab = call->vocab;
    capp_encode_scratch *scratch = call->scratch;
    *id = CAPP_NO_TOKEN;
    if (word.size > vocab->longest) return CAPP_OK;
    if (!capp_grow(&scratch->text, &scratch->text_capacity, 2 * word.size, 1)) return capp_fail_memory(err, "a word");
    size_t n = 0;
    for (size_t i = 0; i < word.size; i++) n += capp_byte_level_write((unsigned char)word.data[i], scratch->text + n);
    int32_t found = capp_text_index_find(&vocab->index, (capp_str){scratch->text, n});
    if (found != CAPP_NO_TOKEN && vocab->types[found] == CAPP_TOKEN_NORMAL) *id = found;
    return CAPP_OK;
}

static capp_status encode_word(void *user, capp_str word, capp_error *err) {
    const encode_call *call = user;
    const capp_vocab *vocab = call->vocab;
    capp_encode_scratch *scratch = call->scratch;
    if (capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_RAW) return capp_raw_word(vocab, scratch, word, call->out, err);
    if (capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_WHOLE_WORDS) {
        int32_t id;
        capp_status st = whole_word(call, word, &id, err);
        if (st != CAPP_OK) return st;
        if (id != CAPP_NO_TOKEN) return capp_ids_push(call->out, id) ? CAPP_OK : capp_fail_memory(err, "ids");
    }
    if (!capp_grow(&scratch->parts, &scratch->parts_capacity, word.size + 1, sizeof *scratch->parts))
        return capp_fail_memory(err, "the merges of a word");
    size_t n = 0;
    for (size_t i = 0; i < word.size; i++) {
        int32_t id = vocab->byte_id[(unsigned char)word.data[i]];
        /* A byte without a token is dropped, as in the tokenizers package and llama.cpp. */
        if (id != CAPP_NO_TOKEN) scratch->parts[n++] = (capp_merge_part){(uint32_t)i, id, CAPP_NO_MERGE, CAPP_NO_TOKEN};
    }
    scratch->n_parts = n;
    capp_status st = capp_merge_parts(vocab, capp_find_ranked_merge, scratch, word.data, (uint32_t)word.size, err);
    for (size_t i = 0; st == CAPP_OK && i < scratch->n_parts; i++)
        if (!capp_ids_push(call->out, scratch->parts[i].id)) st = capp_fail_memory(err, "ids");
    return st;
}

capp_status capp_byte_level_encode(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text, capp_ids *out,
                                   capp_error *err) {
    encode_call call = {vocab, scratch, out};
    if (capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_MARKS) {
        capp_status st = capp_raw_mark(scratch, &text, err);
        if (st != CAPP_OK) return st;
    }
    return capp_pretokenizer_split(vocab->pre, text, encode_word, &call, err);
}
