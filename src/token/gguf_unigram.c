/* Unigram vocabularies of GGUF files ("t5"). The text is changed as in sentencepiece. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "token/unigram.h"
#include "token/vocab_tables.h"

struct capp_gguf_unigram {
    capp_unigram unigram;
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

capp_status capp_gguf_unigram_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    vocab->gguf_unigram = capp_new0(1, sizeof *vocab->gguf_unigram);
    if (!vocab->gguf_unigram) return capp_fail_memory(err, "a vocabulary");
    vocab->info.pre = "";
    uint32_t n = vocab->info.n_tokens;
    capp_str *texts = capp_new(n, sizeof *texts);
    double *scores = capp_new(n, sizeof *scores);
    capp_status st = texts && scores ? CAPP_OK : capp_fail_memory(err, "a vocabulary's scores");
    if (st == CAPP_OK) st = read_pieces(vocab, gguf, texts, scores, err);
    if (st == CAPP_OK) st = capp_sentencepiece_read_changes(vocab, gguf, err);
    capp_free(texts);
    capp_free(scores);
    return st;
}

void capp_gguf_unigram_free(capp_gguf_unigram *tokenizer) {
    if (!tokenizer) return;
    capp_unigram_free(&tokenizer->unigram);
    capp_free(tokenizer);
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

capp_status capp_gguf_unigram_encode(const capp_vocab *vocab, capp_str raw, bool prefix, capp_ids *out,
                                     capp_error *err) {
    capp_text text = {0};
    capp_unigram_path *paths = NULL;
    size_t capacity = 0;
    uint32_t begin = 0, end = 0;
    capp_status st = capp_sentencepiece_change(vocab, raw, prefix, &text, err);
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
