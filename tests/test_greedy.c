/* Vocabularies of RWKV: the longest match, and the escapes in which files store bytes. */
#include "test.h"
#include "vocab_maker.h"

TEST(longest_matches) {
    made_vocab made = make_vocab(greedy_writer(NULL));
    capp_vocab_info info;
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "", 0), "");
    CHECK_STR(ids_of(made.vocab, "abcab", 0), "261 99 261"); /* the later one of two; "abc" is only a beginning */
    CHECK_STR(ids_of(made.vocab, "abc\n'x\\", 0), "257 258");
    CHECK_STR(ids_of(made.vocab,
                     "\xe6\xbc\xa2\xe6\xbc\xa2"
                     "b\xe6\xbc\x82",
                     0),
              "259 162 260 259 130");
    CHECK_STR(ids_of(made.vocab, "\"\t\rq\"\t\r", 0), "262 34 9 13");
    CHECK_STR(ids_of(made.vocab, "<s>[PAD]", 0), "60 115 62 91 80 65 68 93");
    CHECK_STR(ids_of(made.vocab, "a<s><user>", CAPP_TOKENIZE_SPECIAL), "97 263 265");
    CHECK_STR(ids_of(made.vocab, "<user>", 0), "265");
    capp_vocab_get_info(made.vocab, &info);
    CHECK_STR(info.model, "rwkv");
    CHECK(!info.add_bos && info.bos == -1 && info.eos == 263 && info.completion_rule_known);
    CHECK(capp_vocab_is_end(made.vocab, 257) && capp_vocab_is_end(made.vocab, 263));
    for (int b = 0; b < 256; b++) check_piece(made.vocab, b, &(char){(char)b}, 1);
    check_piece(made.vocab, 257, "abc\n", 4);
    check_piece(made.vocab, 258, "'x\\", 3);
    check_piece(made.vocab, 260,
                "\xe6\xbc\xa2"
                "b",
                4);
    check_piece(made.vocab, 262, "\"\t\rq", 4);
    check_piece(made.vocab, 263, "<s>", 3);
    made_vocab_free(&made);
}

TEST(bytes_that_no_match_has) {
    token_list list = {0};
    token_list_add(&list, "a", 0, NORMAL);
    token_list_add(&list, "bc", 0, NORMAL);
    token_list_add(&list, "<unk>", 0, UNKNOWN);
    made_vocab made = make_vocab(vocab_writer("rwkv", NULL, &list));
    capp_ids ids = {0};
    CHECK_OK(made.status, made.error);
    CHECK_INT(capp_vocab_encode(made.vocab, capp_str_of("abb"), 0, &ids, &made.error), CAPP_EINVAL);
    CHECK_CONTAINS(made.error.message, "no token for byte 1 of the text, 0x62");
    capp_ids_free(&ids);
    made_vocab_free(&made);
    gguf_writer *w = vocab_writer("rwkv", NULL, &list);
    gguf_writer_u32(w, "tokenizer.ggml.unknown_token_id", 2);
    made = make_vocab(w);
    CHECK_STR(ids_of(made.vocab, "abb", 0), "0 2 2");
    made_vocab_free(&made);
    token_list_free(&list);
}

TEST(incomplete_escapes) {
    static const char *const texts[] = {"\\", "a\\", "\\x", "\\x4", "\\xg0", "\\x0g", "\\xFF"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_refused(greedy_writer(texts[i]), CAPP_EFORMAT, "token 266 has an incomplete escape");
}
