/* PLaMo 2: cuts a text into the pieces with the best sum of scores, as Unigram does. Scores are rounded to ten
 * thousandths, so sums are exact. If they are equal, the longest piece counts, from the beginning of the text on. A
 * character that no piece covers costs 1000 and becomes its bytes, the tokens <0x00> to <0xFF>. Spaces are characters
 * like others.
 *
 * The authors and llama.cpp look pieces up in a table of all suffixes, from the end of the text to its beginning. A
 * trie of the pieces finds the same ones. There, the texts of control tokens and of the tokens [PAD1], [PAD2], ... that
 * only fill the vocabulary are pieces, too. Here they are not: a text contains control tokens only if the caller asks
 * for them. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/unigram.h"
#include "token/vocab_tables.h"

static const double UNIT = 1e4;
static const double LEAST = -2e7, MOST = 2147483647; /* a score of at most LEAST units: the token is not a piece */
static const int64_t UNKNOWN_COST = 10000000;
static const char MARK[] = "\xef\xbb\xbf"; /* U+FEFF; one at the beginning of a text is left out */
enum { MARK_SIZE = 3 };

struct capp_plamo {
    capp_unigram pieces; /* their scores in units */
};

typedef struct way {
    int64_t cost;  /* of the best way to cut the text from here on */
    int32_t id;    /* its first piece; CAPP_NO_TOKEN: a character that becomes bytes */
    uint32_t size; /* bytes of that piece */
} way;

/* Reads the scores in units. texts: the texts of the tokens that are pieces; others are empty. */
static capp_status read_pieces(const capp_vocab *vocab, const capp_gguf *gguf, capp_str *texts, double *scores,
                               capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, "tokenizer.ggml.scores");
    uint32_t n = vocab->info.n_tokens;
    if (!v || v->kind != CAPP_GGUF_ARRAY || v->count != n)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: tokenizer.ggml.scores is missing or not an array of %u numbers, one for each token; "
                         "convert the model again",
                         vocab->path, n);
    for (uint32_t i = 0; i < n; i++) {
        capp_str text = vocab->texts[i];
        bool piece = vocab->types[i] == CAPP_TOKEN_NORMAL || vocab->types[i] == CAPP_TOKEN_USER_DEFINED;
        if (!capp_gguf_array_f64(v, i, &scores[i]) || isnan(scores[i]) || scores[i] * UNIT > MOST)
            return capp_fail(err, CAPP_EFORMAT,
                             "%s: tokenizer.ggml.scores: element %u is not a number or too large; convert the model "
                             "again",
                             vocab->path, i);
        scores[i] = round(scores[i] * UNIT);
        /* A piece that ends within a character would leave invalid UTF-8 after it. */
        piece = piece && scores[i] > LEAST && capp_utf8_invalid_at(text) == text.size;
        texts[i] = piece ? text : (capp_str){NULL, 0};
    }
    return CAPP_OK;
}

static capp_status find_bytes(capp_vocab *vocab, capp_error *err) {
    capp_sentencepiece_find_bytes(vocab);
    for (unsigned b = 0; b < 256; b++)
        if (vocab->byte_id[b] == CAPP_NO_TOKEN)
            return capp_fail(err, CAPP_EFORMAT,
                             "%s: tokenizer.ggml.tokens has no token <0x%02X> of type byte; convert the model again",
                             vocab->path, b);
    return CAPP_OK;
}

capp_status capp_plamo_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    uint32_t n = vocab->info.n_tokens;
    vocab->info.pre = "";
    vocab->plamo = capp_new0(1, sizeof *vocab->plamo);
    capp_str *texts = capp_new(n, sizeof *texts);
    double *scores = capp_new(n, sizeof *scores);
    capp_status st = vocab->plamo && texts && scores ? CAPP_OK : capp_fail_memory(err, "a vocabulary's scores");
    if (st == CAPP_OK) st = find_bytes(vocab, err);
    if (st == CAPP_OK) st = read_pieces(vocab, gguf, texts, scores, err);
    if (st == CAPP_OK) st = capp_unigram_open(&vocab->plamo->pieces, texts, scores, n, 0, err);
    capp_free(texts);
    capp_free(scores);
    return st;
}

void capp_plamo_free(capp_plamo *tokenizer) {
    if (!tokenizer) return;
    capp_unigram_free(&tokenizer->pieces);
    capp_free(tokenizer);
}

size_t capp_plamo_piece(const capp_vocab *vocab, int32_t id, char *out) {
    capp_str text = vocab->texts[id];
    for (unsigned b = 0; b < 256 && vocab->types[id] == CAPP_TOKEN_BYTE; b++)
        if (vocab->byte_id[b] == id) {
            out[0] = (char)b;
            return 1;
        }
    if (text.size) memcpy(out, text.data, text.size);
    return text.size;
}

/* Fills ways[0 .. text.size], of which those at the beginning of a character count. */
static void find_ways(const capp_unigram *pieces, capp_str text, way *ways) {
    ways[text.size] = (way){0, CAPP_NO_TOKEN, 0};
    for (size_t at = text.size; at;) {
        size_t size = capp_utf8_size_before(text.data + at);
        uint32_t node = 0;
        at -= size;
        way best = {ways[at + size].cost + UNKNOWN_COST, CAPP_NO_TOKEN, (uint32_t)size};
        for (size_t i = at; i < text.size; i++) {
            if (!(node = capp_unigram_step(pieces, node, (unsigned char)text.data[i]))) break;
            int32_t id = pieces->ids[node];
            if (id == CAPP_NO_TOKEN) continue;
            int64_t cost = ways[i + 1].cost - (int64_t)pieces->scores[id];
            if (cost <= best.cost) best = (way){cost, id, (uint32_t)(i + 1 - at)};
        }
        ways[at] = best;
    }
}

static bool push_way(const capp_vocab *vocab, const way *w, const char *text, capp_ids *out) {
    if (w->id != CAPP_NO_TOKEN) return capp_ids_push(out, w->id);
    for (uint32_t i = 0; i < w->size; i++)
        if (!capp_ids_push(out, vocab->byte_id[(unsigned char)text[i]])) return false;
    return true;
}

capp_status capp_plamo_encode(const capp_vocab *vocab, capp_str text, capp_ids *out, capp_error *err) {
    if (text.size >= MARK_SIZE && !memcmp(text.data, MARK, MARK_SIZE))
        text = (capp_str){text.data + MARK_SIZE, text.size - MARK_SIZE};
    way *ways = capp_new(text.size + 1, sizeof *ways);
    if (!ways) return capp_fail_memory(err, "the ways to cut a text");
    capp_status st = CAPP_OK;
    find_ways(&vocab->plamo->pieces, text, ways);
    for (size_t at = 0; st == CAPP_OK && at < text.size; at += ways[at].size)
        if (!push_way(vocab, &ways[at], text.data + at, out)) st = capp_fail_memory(err, "ids");
    capp_free(ways);
    return st;
}
