/* The tokenizer of PLaMo 2: pieces, bytes, equal sums, and files that are not consistent. tests/test_plamo.py compares
 * it with llama.cpp. */
#include "counted.h"
#include "test.h"
#include "vocab_maker.h"

static void plamo_tokens(token_list *list) {
    token_list_add(list, "<unk>", 0, UNKNOWN);
    token_list_add(list, "<bos>", 0, CONTROL);
    token_list_add(list, "<eos>", 0, CONTROL);
    token_list_add(list, "<pad>", 0, CONTROL);
    token_list_add_byte_pieces(list);                /* 4 to 259 */
    token_list_add(list, "a", -2, NORMAL);           /* 260 */
    token_list_add(list, "b", -2, NORMAL);           /* 261 */
    token_list_add(list, "ab", -4, NORMAL);          /* 262 */
    token_list_add(list, "ba", -4, NORMAL);          /* 263 */
    token_list_add(list, "<u>", 0, USER);            /* 264 */
    token_list_add(list, "c", -1001, NORMAL);        /* 265: worse than its byte */
    token_list_add(list, "dd", -1999.9F, NORMAL);    /* 266: better than its bytes */
    token_list_add(list, "ee", -2000, NORMAL);       /* 267: never used */
    token_list_add(list, "ff", 0, UNUSED);           /* 268: likewise */
    token_list_add(list, "\xc3", 0, NORMAL);         /* 269: not a text */
    token_list_add(list, "\xe2\x96\x81", 0, NORMAL); /* 270: U+2581 is not a space */
}

static gguf_writer *plamo_writer(void) {
    token_list list = {0};
    plamo_tokens(&list);
    gguf_writer *w = vocab_writer("plamo2", "default", &list);
    token_list_free(&list);
    return w;
}

TEST(plamo) {
    made_vocab made = make_vocab(plamo_writer());
    capp_vocab_info info;
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "aba", 0), "262 260"); /* equal sums: the longest piece in front */
    CHECK_STR(ids_of(made.vocab, "bab", 0), "263 261");
    CHECK_STR(ids_of(made.vocab, "a\xc3\xa9 ", 0), "260 199 173 36");
    CHECK_STR(ids_of(made.vocab, "cddee", 0), "103 266 105 105");
    CHECK_STR(ids_of(made.vocab, "ff\xe2\x96\x81", 0), "106 106 270");
    CHECK_STR(ids_of(made.vocab,
                     "\xef\xbb\xbf"
                     "b\xef\xbb\xbf",
                     0),
              "261 243 191 195");
    CHECK_STR(ids_of(made.vocab, "\xef\xbb\xbf", 0), "");
    CHECK_STR(ids_of(made.vocab, "a<u>b", 0), "260 264 261");
    CHECK_STR(ids_of(made.vocab, "<bos>", CAPP_TOKENIZE_SPECIAL), "1");
    CHECK_STR(ids_of(made.vocab, "<bos>", 0), "64 261 115 119 66"); /* b is a piece */
    capp_vocab_get_info(made.vocab, &info);
    CHECK(info.bos == 1 && info.eos == 2 && info.unk == 0 && info.pad == 3 && !info.add_bos);
    CHECK(info.completion_rule_known && info.completion_needs_space);
    CHECK_STR(info.model, "plamo2");
    made_vocab_free(&made);
}

/* The pieces of a text's ids are the text. */
TEST(pieces_of_plamo) {
    static const char text[] = "abab <bos>\xe2\x96\x81\xf0\x9f\x99\x82 ddeeff<u>\xc3\xa9";
    made_vocab made = make_vocab(plamo_writer());
    char joined[sizeof text + 1];
    size_t n = 0;
    capp_ids ids = {0};
    CHECK_OK(made.status, made.error);
    CHECK_OK(capp_vocab_encode(made.vocab, capp_str_of(text), 0, &ids, &made.error), made.error);
    for (size_t i = 0; i < ids.n; i++) {
        capp_str piece = capp_vocab_piece(made.vocab, ids.data[i]);
        CHECK(n + piece.size < sizeof joined);
        memcpy(joined + n, piece.data, piece.size);
        n += piece.size;
    }
    CHECK(n == sizeof text - 1 && !memcmp(joined, text, n));
    capp_ids_free(&ids);
    made_vocab_free(&made);
}

TEST(inconsistent_plamo) {
    token_list list = {0};
    for (int i = 0; i < 3; i++) {
        plamo_tokens(&list);
        if (!i) list.types[4 + 0x7f] = NORMAL;
        if (i) list.scores[260] = i == 1 ? NAN : 3e5F;
        check_refused(vocab_writer("plamo2", "default", &list), CAPP_EFORMAT,
                      i ? "scores: element 260 is not a number" : "tokens has no token <0x7F> of type byte");
        token_list_free(&list);
    }
    plamo_tokens(&list);
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "tokenizer.ggml.model", "plamo2");
    gguf_writer_str_array(w, "tokenizer.ggml.tokens", (const char *const *)list.texts, NULL, list.n);
    gguf_writer_i32_array(w, "tokenizer.ggml.token_type", list.types, list.n);
    check_refused(w, CAPP_EFORMAT, "scores is missing or not an array");
    token_list_free(&list);
}

TEST(every_allocation_fails) {
    size_t n = 1;
    counted_install();
    while (run_failing(plamo_writer(), "abab <bos>\xc3\xa9", n)) n++;
    CHECK(n > 10);
}
