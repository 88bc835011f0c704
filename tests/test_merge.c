/* Merging, in short words and in long ones, against a slow and simple implementation: random vocabularies, random
 * texts. */
#include "test.h"
#include "vocab_maker.h"

enum { LETTERS = 4, MOST_PIECES = 200, LONG = 400 };

typedef struct toy {
    char pieces[MOST_PIECES][40]; /* in order of rank */
    char merges[MOST_PIECES][80];
    size_t n;
} toy;

static void join(char *out, const char *left, const char *between, const char *right) {
    strcpy(out, left);
    strcat(out, between);
    strcat(out, right);
}

static int rank_of(const toy *t, const char *text) {
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->pieces[i], text)) return (int)i;
    return -1;
}

/* Random pieces, each made of two earlier ones. */
static void make_toy(toy *t, test_random *random) {
    t->n = 0;
    for (; t->n < LETTERS; t->n++) snprintf(t->pieces[t->n], sizeof t->pieces[0], "%c", (int)('a' + t->n));
    while (t->n < MOST_PIECES) {
        const char *left = t->pieces[test_random_below(random, t->n)],
                   *right = t->pieces[test_random_below(random, t->n)];
        char joined[80];
        join(joined, left, "", right);
        if (strlen(joined) >= sizeof t->pieces[0] || rank_of(t, joined) >= 0) continue;
        join(t->merges[t->n], left, " ", right);
        strcpy(t->pieces[t->n++], joined);
    }
}

/* by_text: any two neighbors whose joined text is a piece merge (SentencePiece); else only the two parts of a piece's
 * own merge. */
static const char *merge_slowly(const toy *t, const char *text, bool by_text) {
    static char line[LONG * 8];
    static char parts[LONG][40];
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) snprintf(parts[i], sizeof parts[i], "%c", text[i]);
    for (;;) {
        int best = INT32_MAX;
        size_t where = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            char joined[90], merge[90];
            join(joined, parts[i], "", parts[i + 1]);
            join(merge, parts[i], " ", parts[i + 1]);
            int rank = rank_of(t, joined);
            if (rank < 0 || rank >= best || (!by_text && strcmp(t->merges[rank], merge) != 0)) continue;
            best = rank;
            where = i;
        }
        if (best == INT32_MAX) break;
        strcpy(parts[where], t->pieces[best]);
        memmove(parts[where + 1], parts[where + 2], (n - where - 2) * sizeof parts[0]);
        n--;
    }
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(line + at, sizeof line - at, "%s%d", i ? " " : "", rank_of(t, parts[i]));
    return line;
}

static void check_merging(bool sentencepiece, uint64_t seed) {
    static toy t;
    test_random random = {seed};
    make_toy(&t, &random);
    token_list list = {0};
    const char *merges[MOST_PIECES];
    for (size_t i = 0; i < t.n; i++) {
        token_list_add(&list, t.pieces[i], -(float)i, 1);
        merges[i] = t.merges[i];
    }
    gguf_writer *w = vocab_writer(sentencepiece ? "llama" : "gpt2", "gpt-2", &list);
    write_merges(w, merges + LETTERS, t.n - LETTERS);
    gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", false);
    made_vocab made = make_vocab(w);
    CHECK_OK(made.status, made.error);
    for (int i = 0; i < 60; i++) {
        char text[LONG + 1];
        size_t n = 1 + test_random_below(&random, i % 3 ? 40 : LONG - 1), few = 1 + test_random_below(&random, LETTERS);
        for (size_t k = 0; k < n; k++) text[k] = (char)('a' + test_random_below(&random, few));
        text[n] = 0;
        CHECK_STR(ids_of(made.vocab, text, 0), merge_slowly(&t, text, sentencepiece));
    }
    token_list_free(&list);
    made_vocab_free(&made);
}

TEST(merges_as_the_slow_way) {
    for (uint64_t seed = 1; seed <= 8; seed++) {
        check_merging(false, seed);
        check_merging(true, seed);
    }
}
