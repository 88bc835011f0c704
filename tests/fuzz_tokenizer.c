/* fuzz_tokenizer MUTATIONS SEED FILE...: damages small tokenizer.json files at random, in memory, opens them and, where
 * they open, tokenises some text. Built with sanitizers. Fails on a crash, on memory that is not freed, on a failure
 * without a message, on allocations out of proportion to the file, and on hanging.
 *
 * Mutation number i draws from SEED + i alone: `fuzz_tokenizer 1 N FILE...` repeats the one that a failure names. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "counted.h"
#include "token/vocab.h"

enum { MOST_SEEDS = 64, MOST_FILE = 1 << 20, SECONDS = 120 };

typedef struct bytes {
    char *data;
    size_t size;
} bytes;

static bytes seeds[MOST_SEEDS];
static size_t n_seeds;
static uint64_t current, opened;
static unsigned sum; /* of all that is read, so that the reads are not removed */

static void report(void) {
    fprintf(stderr, "fuzz_tokenizer: failed; repeat with: fuzz_tokenizer 1 %llu FILE...\n",
            (unsigned long long)current);
}

static void hang(int signal) {
    (void)signal;
    fprintf(stderr, "fuzz_tokenizer: no progress for %d s of processor time\n", SECONDS);
    report();
    _exit(1);
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "fuzz_tokenizer: %s\n", what);
    report();
    abort();
}

static void excess(void) {
    fail("allocates out of proportion to the file");
}

/* ---- Mutations --------------------------------------------------------------------------------------------------- */

static uint64_t next(uint64_t *r) { /* splitmix64 */
    uint64_t z = (*r += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t up_to(uint64_t *r, size_t most) {
    return (size_t)(next(r) % ((uint64_t)most + 1));
}

/* Replaces [at, at + cut) by n bytes. */
static void splice(bytes *b, size_t at, size_t cut, const char *with, size_t n) {
    char *made = malloc(b->size - cut + n + 1);
    if (!made) abort();
    memcpy(made, b->data, at);
    memcpy(made + at, with, n);
    memcpy(made + at + n, b->data + at + cut, b->size - at - cut);
    free(b->data);
    *b = (bytes){made, b->size - cut + n};
}

/* Where the value that begins at or after at ends, roughly: strings, numbers and words. */
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
    enum { N_WORDS = sizeof words / sizeof words[0] };
    size_t at = up_to(r, b->size), left = b->size - at;
    const bytes *other = &seeds[up_to(r, n_seeds - 1)];
    size_t from = up_to(r, other->size), most = other->size - from < 200 ? other->size - from : 200;
    const char *word = words[up_to(r, N_WORDS - 1)];
    switch (up_to(r, 9)) {
    case 0:
        if (left) b->data[at] = (char)(b->data[at] ^ 1 << up_to(r, 7));
        break;
    case 1: splice(b, at, up_to(r, left < 40 ? left : 40), "", 0); break;
    case 2: splice(b, at, 0, other->data + from, up_to(r, most)); break;
    case 3: splice(b, at, up_to(r, left < 40 ? left : 40), other->data + from, up_to(r, most)); break;
    case 4: splice(b, at, 0, word, strlen(word)); break;
    case 5: b->size = up_to(r, 20) ? b->size : at; break;
    default: splice(b, at, word_end(b, at) - at, word, strlen(word)); break;
    }
}

/* Exactly as many bytes as there are, so that AddressSanitizer sees a read past the end. */
static bytes mutant(uint64_t *r) {
    const bytes *seed = &seeds[up_to(r, n_seeds - 1)];
    bytes b = {malloc(seed->size + 1), seed->size};
    if (!b.data) abort();
    memcpy(b.data, seed->data, seed->size);
    for (size_t n = 1 + up_to(r, up_to(r, 7) ? 1 : 12); n; n--) mutate(&b, r);
    bytes exact = {malloc(b.size ? b.size : 1), b.size};
    if (!exact.data) abort();
    memcpy(exact.data, b.data, b.size);
    free(b.data);
    return exact;
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static void use(const capp_vocab *vocab) {
    static const char *const texts[] = {"ab  abé a▁<|end|><s>\n123 😀 don't", "", " ", "\u0301\u0323漢字",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaab"};
    capp_error err = {0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        capp_ids ids = {0};
        unsigned flags = CAPP_TOKENIZE_BOS | (i % 2 ? 0U : CAPP_TOKENIZE_SPECIAL);
        capp_status st = capp_vocab_encode(vocab, capp_str_of(texts[i]), flags, &ids, &err);
        if (st != CAPP_OK && !err.message[0]) fail("capp_vocab_encode: failure without a message");
        for (size_t k = 0; st == CAPP_OK && k < ids.n; k++) {
            capp_str piece = capp_vocab_piece(vocab, ids.data[k]);
            if (!piece.data) fail("an id that is none");
            for (size_t c = 0; c < piece.size; c++) sum += (unsigned char)piece.data[c];
        }
        capp_ids_free(&ids);
    }
}

static void try_one(bytes b, bool as_config) {
    capp_vocab *vocab;
    capp_error err = {0};
    capp_str seed = {seeds[0].data, seeds[0].size}, text = {b.data, b.size};
    capp_status st =
        capp_vocab_parse_json(&vocab, as_config ? seed : text, as_config ? text : (capp_str){NULL, 0}, "fuzz", &err);
    if ((st != CAPP_OK) != !vocab) fail("capp_vocab_parse_json: status and pointer disagree");
    if (st != CAPP_OK && (err.status != st || !err.message[0]))
        fail("capp_vocab_parse_json: failure without a message");
    if (st == CAPP_OK) {
        opened++;
        use(vocab);
    }
    capp_vocab_free(vocab);
    if (counted.live) fail("memory is not freed");
}

static bool add_file(const char *path) {
    FILE *f = fopen(path, "rb");
    char *data = malloc(MOST_FILE + 1);
    size_t size = f && data ? fread(data, 1, MOST_FILE + 1, f) : 0;
    if (f) fclose(f);
    if (!size || size > MOST_FILE || n_seeds == MOST_SEEDS) {
        fprintf(stderr, "fuzz_tokenizer: %s: cannot be read, is empty or is larger than %d bytes\n", path, MOST_FILE);
        free(data);
        return false;
    }
    seeds[n_seeds++] = (bytes){data, size};
    return true;
}

/* The sanitizers', where they are linked. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: fuzz_tokenizer MUTATIONS SEED FILE...\n");
        return 2;
    }
    uint64_t mutations = strtoull(argv[1], NULL, 10), seed = strtoull(argv[2], NULL, 10);
    for (int i = 3; i < argc; i++)
        if (!add_file(argv[i])) return 2;
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(report);
    /* Of the processor's time: a busy machine is no hanging. */
    const struct itimerval limit = {.it_value = {.tv_sec = SECONDS}};
    signal(SIGPROF, hang);
    counted_install();
    for (size_t i = 0; i < n_seeds; i++) try_one(seeds[i], false);
    if (opened < n_seeds) fail("a seed does not open"); /* that would make all this idle */
    opened = 0;
    counted.excess = excess;
    for (uint64_t i = 0; i < mutations; i++) {
        if (i % 64 == 0) setitimer(ITIMER_PROF, &limit, NULL);
        current = seed + i;
        uint64_t r = current;
        bytes b = mutant(&r);
        counted.cap = ((size_t)64 << 20) + 64 * b.size;
        counted_fail_after(up_to(&r, 15) ? COUNTED_NEVER : up_to(&r, 2000));
        try_one(b, !up_to(&r, 15));
        free(b.data);
    }
    for (size_t i = 0; i < n_seeds; i++) free(seeds[i].data);
    printf("%llu mutations: %llu tokenizers open (checksum %u); no failures\n", (unsigned long long)mutations,
           (unsigned long long)opened, sum);
    return 0;
}
