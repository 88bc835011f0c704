/* fuzz_tokenizer MUTATIONS SEED FILE...: damages small tokenizer.json files at random, in memory, opens them and, where
 * they open, tokenizes some text. One mutation in sixteen is a
 * tokenizer_config.json beside the first file. See fuzz.h. */
#include <stdlib.h>
#include <string.h>

#include "counted.h"
#include "fuzz.h"
#include "token/vocab.h"

static bytes seeds[FUZZ_MOST_SEEDS];
static size_t n_seeds;

/* ---- Mutations --------------------------------------------------------------------------------------------------- */

/* The approximate end of the value that begins at or after at: strings, numbers and words. */
static size_t word_end(const bytes *b, size_t at) {
    size_t end = at + (at < b->size);
    while (end < b->size && !strchr(",:]}\"", b->data[end])) end++;
    return end < b->size ? end : b->size;
}

static void mutate(bytes *b, uint64_t *r) {
    static const char *const words[] = {"null",
                                        "true",
                                        "false",
                                        "0",
                                        "-1",
                                        "1e999",
                                        "4294967295",
                                        "2147483647",
                                        "\"\"",
                                        "\"a\"",
                                        "{}",
                                        "[]",
                                        "[[[[[[[[[[[[",
                                        "\\u0000",
                                        "\\ud800",
                                        "\\ud83d\\ude00",
                                        "\\n",
                                        "\xff",
                                        "\xe2\x96\x81",
                                        "Sequence",
                                        "NFC",
                                        "NFKD",
                                        "Lowercase",
                                        "Strip",
                                        "Prepend",
                                        "Replace",
                                        "Precompiled",
                                        "Nmt",
                                        "Split",
                                        "ByteLevel",
                                        "Metaspace",
                                        "Digits",
                                        "Whitespace",
                                        "Punctuation",
                                        "Removed",
                                        "Contiguous",
                                        "MergedWithNext",
                                        "first",
                                        "never",
                                        "BPE",
                                        "Unigram",
                                        "TemplateProcessing",
                                        "(a+)+$",
                                        "[\\\\p{L}&&a]",
                                        "[^\\\\W[a-c]&&[^\\\\p{N}]-]",
                                        "\\\\p{Han}",
                                        "(?<=a)",
                                        "x*",
                                        "{2,}",
                                        "(?i:a",
                                        ",",
                                        ":",
                                        "}",
                                        "]",
                                        "\"",
                                        "\"type\": \"Sequence\","};
    size_t at = fuzz_place(b, r), cut = up_to(r, 4) ? word_end(b, at) - at : 0;
    const char *word = words[up_to(r, sizeof words / sizeof words[0] - 1)];
    fuzz_text(b, at, cut, word, &seeds[up_to(r, n_seeds - 1)], r);
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static void tokenize(const capp_vocab *vocab) {
    static const char *const texts[] = {"ab  abé a▁<|end|><s>\n123 😀 don't", "", " ", "\u0301\u0323漢字",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaab"};
    capp_error err = {0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        capp_ids ids = {0};
        unsigned flags = CAPP_TOKENIZE_BOS | (i % 2 ? 0U : CAPP_TOKENIZE_SPECIAL);
        capp_status st = capp_vocab_encode(vocab, capp_str_of(texts[i]), flags, &ids, &err);
        if (st != CAPP_OK && !err.message[0]) fuzz_fail("capp_vocab_encode: failure without a message");
        for (size_t k = 0; st == CAPP_OK && k < ids.n; k++) {
            capp_str piece = capp_vocab_piece(vocab, ids.data[k]);
            if (!piece.data) fuzz_fail("an id that is none");
            fuzz_touch(piece.data, piece.size);
        }
        capp_ids_free(&ids);
    }
}

static void use(bytes b, bool as_config) {
    capp_vocab *vocab;
    capp_error err = {0};
    capp_str seed = {(const char *)seeds[0].data, seeds[0].size}, text = {(const char *)b.data, b.size};
    capp_status st =
        capp_vocab_parse_json(&vocab, as_config ? seed : text, as_config ? text : (capp_str){NULL, 0}, "fuzz", &err);
    if (!fuzz_opened("capp_vocab_parse_json", st, vocab, &err)) return;
    fuzz_counts[0]++;
    tokenize(vocab);
    capp_vocab_free(vocab);
}

static void try_one(uint64_t *r) {
    bytes b = fuzz_mutant(&seeds[up_to(r, n_seeds - 1)], mutate, r);
    counted.cap = ((size_t)64 << 20) + 64 * b.size;
    use(b, !up_to(r, 15));
    free(b.data);
}

static void begin(int n, char **paths) {
    for (int i = 0; i < n && n_seeds < FUZZ_MOST_SEEDS; i++) use(seeds[n_seeds++] = fuzz_read(NULL, paths[i]), false);
    if (fuzz_counts[0] < n_seeds) fuzz_fail("a seed does not open");
}

static void end(void) {
    for (size_t i = 0; i < n_seeds; i++) free(seeds[i].data);
}

int main(int argc, char **argv) {
    static const fuzzer f = {"fuzz_tokenizer", "FILE...", 1, 2000, {"tokenizers open"}, begin, try_one, end};
    return fuzz_main(&f, argc, argv);
}
