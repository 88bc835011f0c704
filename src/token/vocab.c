#include "token/vocab.h"

#include <string.h>

#include "base/mem.h"
#include "token/charsmap.h"
#include "token/pipeline.h"
#include "token/sentencepiece_model.h"
#include "token/unicode.h"
#include "token/vocab_tables.h"

/* Places in a text are 32-bit, and normalizing may make it three times as long. */
enum { MAX_TEXT = 1 << 29 };

static capp_status read_kind(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    capp_str name;
    if (!capp_gguf_find(gguf, "tokenizer.ggml.model"))
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: tokenizer.ggml.model is missing: the file has no tokenizer; convert the model again with "
                         "its tokenizer",
                         vocab->path);
    if (!capp_gguf_str(gguf, "tokenizer.ggml.model", &name))
        return capp_fail(err, CAPP_EFORMAT, "%s: tokenizer.ggml.model is not a string; convert the model again",
                         vocab->path);
    if (name.size == 4 && !memcmp(name.data, "gpt2", 4)) {
        vocab->kind = CAPP_VOCAB_BYTE_LEVEL;
        vocab->info.model = "gpt2";
    } else if (name.size == 6 && !memcmp(name.data, "gemma4", 6)) {
        vocab->kind = CAPP_VOCAB_BYTE_LEVEL;
        vocab->info.model = "gemma4";
    } else if (name.size == 5 && !memcmp(name.data, "llama", 5)) {
        vocab->kind = CAPP_VOCAB_SENTENCEPIECE;
        vocab->info.model = "llama";
    } else if (name.size == 2 && !memcmp(name.data, "t5", 2)) {
        vocab->kind = CAPP_VOCAB_UNIGRAM;
        vocab->info.model = "t5";
    } else if (name.size == 4 && !memcmp(name.data, "rwkv", 4)) {
        vocab->kind = CAPP_VOCAB_GREEDY;
        vocab->info.model = "rwkv";
    } else if (name.size == 6 && !memcmp(name.data, "plamo2", 6)) {
        vocab->kind = CAPP_VOCAB_PLAMO;
        vocab->info.model = "plamo2";
    } else {
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s: tokenizer.ggml.model: \"%.*s\" is not supported; byte-level BPE (gpt2), BPE of raw text "
                         "(gemma4), SentencePiece BPE (llama), Unigram (t5), that of PLaMo 2 (plamo2) and longest "
                         "matches (rwkv) are",
                         vocab->path, name.size < 100 ? (int)name.size : 100, name.data ? name.data : "");
    }
    return CAPP_OK;
}

static capp_status read_texts(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, "tokenizer.ggml.tokens");
    if (!v)
        return capp_fail(err, CAPP_EFORMAT, "%s: tokenizer.ggml.tokens is missing; convert the model again",
                         vocab->path);
    if (v->kind != CAPP_GGUF_ARRAY || v->element != CAPP_GGUF_STRING)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: tokenizer.ggml.tokens is not an array of strings; convert the model again", vocab->path);
    if (!v->count || v->count > INT32_MAX)
        return capp_fail(err, CAPP_EFORMAT, "%s: tokenizer.ggml.tokens has %llu elements", vocab->path,
                         (unsigned long long)v->count);
    vocab->texts = v->strings;
    vocab->info.n_tokens = (uint32_t)v->count;
    for (uint32_t i = 0; i < vocab->info.n_tokens; i++)
        if (vocab->texts[i].size > vocab->longest) vocab->longest = vocab->texts[i].size;
    return CAPP_OK;
}

static capp_status read_types(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, "tokenizer.ggml.token_type");
    uint32_t n = vocab->info.n_tokens;
    vocab->types = capp_new(n, 1);
    if (!vocab->types) return capp_fail_memory(err, "a vocabulary's types");
    memset(vocab->types, CAPP_TOKEN_NORMAL, n);
    if (!v) return CAPP_OK;
    if (v->kind != CAPP_GGUF_ARRAY || v->count != n)
        return capp_fail(
            err, CAPP_EFORMAT,
            "%s: tokenizer.ggml.token_type is not an array of %u numbers, one for each token; convert the model again",
            vocab->path, n);
    for (uint32_t i = 0; i < n; i++) {
        int64_t type;
        if (!capp_gguf_array_i64(v, i, &type) || type < CAPP_TOKEN_UNDEFINED || type > CAPP_TOKEN_BYTE)
            return capp_fail(
                err, CAPP_EFORMAT,
                "%s: tokenizer.ggml.token_type: element %u is not a type of token (0 to 6); convert the model again",
                vocab->path, i);
        vocab->types[i] = (uint8_t)(type == CAPP_TOKEN_UNDEFINED ? CAPP_TOKEN_NORMAL : type);
    }
    return CAPP_OK;
}

static capp_status make_pieces(capp_vocab *vocab, capp_error *err) {
    uint32_t n = vocab->info.n_tokens;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) bytes += vocab->texts[i].size;
    if (bytes > UINT32_MAX)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: tokenizer.ggml.tokens: the texts have %llu bytes together; at most 4 GiB are supported",
                         vocab->path, (unsigned long long)bytes);
    vocab->pieces = capp_new((size_t)bytes, 1);
    vocab->piece_at = capp_new((size_t)n + 1, sizeof *vocab->piece_at);
    if (!vocab->pieces || !vocab->piece_at) return capp_fail_memory(err, "a vocabulary's pieces");
    uint32_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        vocab->piece_at[i] = at;
        at += (uint32_t)(vocab->kind == CAPP_VOCAB_BYTE_LEVEL
                             ? capp_byte_level_piece(vocab, (int32_t)i, vocab->pieces + at)
                         : vocab->kind == CAPP_VOCAB_GREEDY ? capp_greedy_piece(vocab, (int32_t)i, vocab->pieces + at)
                         : vocab->kind == CAPP_VOCAB_PLAMO
                             ? capp_plamo_piece(vocab, (int32_t)i, vocab->pieces + at)
                             : capp_sentencepiece_piece(vocab, (int32_t)i, vocab->pieces + at));
    }
    vocab->piece_at[n] = at;
    return CAPP_OK;
}

static capp_status open_parts(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    capp_status st = read_kind(vocab, gguf, err);
    if (st == CAPP_OK) st = read_texts(vocab, gguf, err);
    if (st == CAPP_OK) st = read_types(vocab, gguf, err);
    if (st == CAPP_OK) st = capp_text_index_make(&vocab->index, vocab->texts, vocab->info.n_tokens, err);
    if (st == CAPP_OK)
        st = vocab->kind == CAPP_VOCAB_BYTE_LEVEL ? capp_byte_level_open(vocab, gguf, err)
             : vocab->kind == CAPP_VOCAB_UNIGRAM  ? capp_gguf_unigram_open(vocab, gguf, err)
             : vocab->kind == CAPP_VOCAB_GREEDY   ? capp_greedy_open(vocab, err)
             : vocab->kind == CAPP_VOCAB_PLAMO    ? capp_plamo_open(vocab, gguf, err)
                                                  : capp_sentencepiece_open(vocab, gguf, err);
    if (st == CAPP_OK) st = capp_special_tokens_open(vocab, gguf, err);
    if (st == CAPP_OK) st = make_pieces(vocab, err);
    return st;
}

void capp_vocab_free(capp_vocab *vocab) {
    if (!vocab) return;
    capp_pretokenizer_free(vocab->pre);
    capp_free(vocab->types);
    capp_free(vocab->index.slots);
    capp_free(vocab->pieces);
    capp_free(vocab->piece_at);
    capp_free(vocab->always.nodes);
    capp_free(vocab->special.nodes);
    capp_free(vocab->greedy.nodes);
    capp_free(vocab->added.nodes);
    capp_charsmap_free(vocab->chars);
    capp_free(vocab->ends);
    capp_free(vocab->merges.slots);
    capp_free(vocab->priority);
    capp_pipeline_free(vocab->pipeline);
    capp_gguf_unigram_free(vocab->gguf_unigram);
    capp_plamo_free(vocab->plamo);
    capp_sentencepiece_model_free(&vocab->model);
    capp_free(vocab);
}

void capp_vocab_get_info(const capp_vocab *vocab, capp_vocab_info *info) {
    *info = vocab->info;
}

capp_str capp_vocab_piece(const capp_vocab *vocab, int32_t id) {
    if (id < 0 || (uint32_t)id >= vocab->info.n_tokens) return (capp_str){NULL, 0};
    return (capp_str){vocab->pieces + vocab->piece_at[id], vocab->piece_at[id + 1] - vocab->piece_at[id]};
}

bool capp_vocab_is_end(const capp_vocab *vocab, int32_t id) {
    for (size_t i = 0; i < vocab->n_ends; i++)
        if (vocab->ends[i] == id) return true;
    return false;
}

/* first: text is the beginning of the whole text. */
static capp_status encode_plain(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text, bool first,
                                capp_ids *out, capp_error *err) {
    bool prefix = vocab->info.add_space_prefix && (first || !vocab->prefix_once);
    if (!text.size) return CAPP_OK;
    return vocab->kind == CAPP_VOCAB_BYTE_LEVEL ? capp_byte_level_encode(vocab, scratch, text, out, err)
           : vocab->kind == CAPP_VOCAB_UNIGRAM  ? capp_gguf_unigram_encode(vocab, text, prefix, out, err)
           : vocab->kind == CAPP_VOCAB_GREEDY   ? capp_greedy_encode(vocab, text, out, err)
           : vocab->kind == CAPP_VOCAB_PLAMO    ? capp_plamo_encode(vocab, text, out, err)
                                                : capp_sentencepiece_encode(vocab, scratch, text, prefix, out, err);
}

/* How many bytes from `at` on come from the template. */
static size_t own_bytes(capp_str text, const uint8_t *given, size_t at) {
    const uint8_t *end = given ? memchr(given + at, 1, text.size - at) : NULL;
    return end ? (size_t)(end - (given + at)) : text.size - at;
}

/* The token whose text begins at this place: one of `own` if all its bytes come from the template, else one of
 * `always`. */
static int32_t token_at(const capp_trie *own, const capp_trie *always, capp_str text, const uint8_t *given, size_t at,
                        size_t *size) {
    unsigned char c = (unsigned char)text.data[at];
    int32_t id = CAPP_NO_TOKEN;
    if (own->n && own->first[c] && !(given && given[at]))
        id = capp_trie_longest(own, (capp_str){text.data + at, own_bytes(text, given, at)}, size);
    if (id == CAPP_NO_TOKEN && always->n && always->first[c])
        id = capp_trie_longest(always, (capp_str){text.data + at, text.size - at}, size);
    return id;
}

/* Encodes a text that may contain tokens as text. The first such token is used; if several begin at one place, the
 * longest. */
static capp_status encode_around(const capp_vocab *vocab, const capp_trie *own, const capp_trie *always,
                                 capp_encode_scratch *scratch, capp_str text, const uint8_t *given, capp_ids *out,
                                 capp_error *err) {
    size_t begin = 0, size = 0;
    capp_status st = CAPP_OK;
    for (size_t at = 0; (own->n || always->n) && st == CAPP_OK && at < text.size; at++) {
        int32_t id = token_at(own, always, text, given, at, &size);
        if (id == CAPP_NO_TOKEN) continue;
        st = encode_plain(vocab, scratch, (capp_str){text.data + begin, at - begin}, !begin, out, err);
        if (st == CAPP_OK && !capp_ids_push(out, id)) st = capp_fail_memory(err, "ids");
        begin = at + size;
        if (capp_special_token_strips(vocab, id)) begin = capp_after_white_space(text, begin);
        at = begin - 1;
    }
    if (st != CAPP_OK) return st;
    return encode_plain(vocab, scratch, (capp_str){text.data + begin, text.size - begin}, !begin, out, err);
}

static capp_status encode_gguf(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text,
                               const uint8_t *given, unsigned flags, capp_ids *out, capp_error *err) {
    if (flags & CAPP_TOKENIZE_BOS && vocab->info.add_bos && !capp_ids_push(out, vocab->info.bos))
        return capp_fail_memory(err, "ids");
    const capp_trie none = {0}, *own = flags & CAPP_TOKENIZE_SPECIAL ? &vocab->special : &none;
    /* If all of the text is the template's, `special` contains all tokens. */
    bool others = capp_is_plain(vocab->kind) && (given || !(flags & CAPP_TOKENIZE_SPECIAL));
    return encode_around(vocab, own, others ? &vocab->always : &vocab->added, scratch, text, given, out, err);
}

capp_status capp_vocab_encode(const capp_vocab *vocab, capp_str text, unsigned flags, capp_ids *out, capp_error *err) {
    return capp_vocab_encode_marked(vocab, text, NULL, flags, out, err);
}

capp_status capp_vocab_encode_marked(const capp_vocab *vocab, capp_str text, const uint8_t *given, unsigned flags,
                                     capp_ids *out, capp_error *err) {
    if (text.size > MAX_TEXT)
        return capp_fail(err, CAPP_EINVAL,
                         "the text has %zu bytes; at most %d can be tokenized at once; split the text", text.size,
                         MAX_TEXT);
    size_t invalid = capp_utf8_invalid_at(text), n = out->n;
    if (invalid < text.size) return capp_fail(err, CAPP_EINVAL, "the text is not valid UTF-8 at byte %zu", invalid);
    capp_encode_scratch scratch = {0};
    capp_status st = vocab->kind == CAPP_VOCAB_PIPELINE
                         ? capp_pipeline_encode(vocab, &scratch, text, given, flags, out, err)
                         : encode_gguf(vocab, &scratch, text, given, flags, out, err);
    capp_free(scratch.parts);
    capp_free(scratch.links);
    capp_free(scratch.heap);
    capp_free(scratch.text);
    if (st != CAPP_OK) out->n = n;
    return st;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* Whether the ids of "a b" are the ids of "a" followed by the ids of the parameter b. */
static capp_status joins(const capp_vocab *vocab, const char *b, bool *equal, capp_error *err) {
    capp_ids whole = {0}, parts = {0};
    capp_status st = capp_vocab_encode(vocab, capp_str_of("a b"), 0, &whole, err);
    if (st == CAPP_OK) st = capp_vocab_encode(vocab, capp_str_of("a"), 0, &parts, err);
    if (st == CAPP_OK) st = capp_vocab_encode(vocab, capp_str_of(b), 0, &parts, err);
    *equal = st == CAPP_OK && whole.n == parts.n &&
             (!whole.n || !memcmp(whole.data, parts.data, whole.n * sizeof *whole.data));
    capp_ids_free(&whole);
    capp_ids_free(&parts);
    return st;
}

static capp_status find_completion_rule(capp_vocab *vocab, capp_error *err) {
    bool without = false, with = false;
    capp_status st = joins(vocab, "b", &without, err);
    if (st == CAPP_OK && !without) st = joins(vocab, " b", &with, err);
    if (st == CAPP_EINVAL) { /* these letters cannot be tokenized, so there is no rule */
        without = with = false;
        st = CAPP_OK;
    }
    vocab->info.completion_needs_space = !without;
    vocab->info.completion_rule_known = without || with;
    return st;
}

/* Ends an opening: *out is the vocabulary if it succeeded; otherwise the vocabulary is freed. */
static capp_status finish(capp_vocab **out, capp_vocab *vocab, capp_status st, capp_error *err) {
    if (st == CAPP_OK) st = find_completion_rule(vocab, err);
    if (st == CAPP_OK)
        *out = vocab;
    else
        capp_vocab_free(vocab);
    return st;
}

capp_status capp_vocab_open_gguf(capp_vocab **out, const capp_gguf *gguf, capp_error *err) {
    *out = NULL;
    capp_vocab *vocab = capp_new0(1, sizeof *vocab);
    if (!vocab) return capp_fail_memory(err, "a vocabulary");
    vocab->path = capp_gguf_path(gguf);
    return finish(out, vocab, open_parts(vocab, gguf, err), err);
}

static capp_vocab *new_with_pipeline(void) {
    capp_vocab *vocab = capp_new0(1, sizeof *vocab);
    if (vocab) vocab->pipeline = capp_new0(1, sizeof *vocab->pipeline);
    if (!vocab || !vocab->pipeline) {
        capp_vocab_free(vocab);
        return NULL;
    }
    vocab->kind = CAPP_VOCAB_PIPELINE;
    vocab->info = (capp_vocab_info){.pre = "", .bos = -1, .eos = -1, .eot = -1, .unk = -1, .pad = -1};
    return vocab;
}

static capp_status open_model(capp_vocab **out, const char *folder_or_file, capp_error *err) {
    capp_vocab *vocab = capp_new0(1, sizeof *vocab);
    if (!vocab) return capp_fail_memory(err, "a vocabulary");
    capp_status st = capp_sentencepiece_model_open(&vocab->model, folder_or_file, err);
    vocab->path = vocab->model.path;
    if (st == CAPP_OK) st = open_parts(vocab, vocab->model.gguf, err);
    if (st == CAPP_OK && vocab->kind == CAPP_VOCAB_UNIGRAM) capp_gguf_unigram_use_bytes(vocab);
    if (st == CAPP_OK && vocab->kind == CAPP_VOCAB_SENTENCEPIECE)
        st = capp_sentencepiece_read_changes(vocab, vocab->model.gguf, err);
    for (size_t i = 0; st == CAPP_OK && i < vocab->model.n_added; i++) {
        const int32_t id = vocab->model.added[i];
        if (vocab->types[id] != CAPP_TOKEN_UNUSED) continue; /* another entry has made it a special token */
        st = capp_trie_add(&vocab->added, vocab->texts[id], id, err);
        if (st == CAPP_OK) st = capp_trie_add(&vocab->special, vocab->texts[id], id, err);
    }
    vocab->prefix_once = vocab->model.prefix_once;
    return finish(out, vocab, st, err);
}

capp_status capp_vocab_open_folder(capp_vocab **out, const char *folder_or_file, capp_error *err) {
    *out = NULL;
    if (capp_sentencepiece_model_is(folder_or_file)) return open_model(out, folder_or_file, err);
    capp_vocab *vocab = new_with_pipeline();
    if (!vocab) return capp_fail_memory(err, "a vocabulary");
    return finish(out, vocab, capp_pipeline_open_files(vocab, folder_or_file, err), err);
}

capp_status capp_vocab_parse_json(capp_vocab **out, capp_str tokenizer, capp_str config, const char *name,
                                  capp_error *err) {
    *out = NULL;
    capp_vocab *vocab = new_with_pipeline();
    if (!vocab) return capp_fail_memory(err, "a vocabulary");
    return finish(out, vocab, capp_pipeline_open_texts(vocab, tokenizer, config, name, err), err);
}
