/* Vocabularies: real ones against ids that llama.cpp published, small ones against the definitions of the formats,
 * hostile ones against the error that they must give. */
#include "counted.h"
#include "test.h"
#include "vocab_maker.h"

/* ---- Real vocabularies ---- */

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) FAIL("%s cannot be opened", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*size + 1);
    CHECK(data && fread(data, 1, *size, file) == *size);
    data[*size] = 0;
    fclose(file);
    return data;
}

/* path.inp: texts separated by a line __ggml_vocab_test__; path.out: their ids, one line per text. */
static void check_published(const char *path) {
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char name[4200];
    size_t size, n = 0;
    capp_error err;
    capp_gguf *gguf;
    capp_vocab *vocab;
    CHECK_OK(capp_gguf_open(&gguf, path, &err), err);
    CHECK_OK(capp_vocab_open_gguf(&vocab, gguf, &err), err);
    snprintf(name, sizeof name, "%s.inp", path);
    char *texts = read_file(name, &size), *text = texts;
    snprintf(name, sizeof name, "%s.out", path);
    char *ids = read_file(name, &size), *line = ids;
    for (; *line; n++) {
        char *line_end = strchr(line, '\n'), *text_end = strstr(text, separator);
        CHECK(line_end && text_end);
        *line_end = *text_end = 0;
        while (*line == ' ') line++;
        for (char *p = line_end; p > line && p[-1] == ' ';) *--p = 0;
        const char *got = ids_of(vocab, text, 0);
        if (strcmp(got, line) != 0) FAIL("%s: text %zu \"%s\" gives %s, not %s", path, n, text, got, line);
        line = line_end + 1;
        text = text_end + sizeof separator - 1;
    }
    CHECK(n > 40);
    free(texts);
    free(ids);
    capp_vocab_free(vocab);
    capp_gguf_free(gguf);
}

TEST(published_ids) {
    static const char *const names[] = {"falcon", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"};
    if (!test_shared()) SKIP("no shared data");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/data/vocabs/ggml-vocab-%s.gguf", test_shared(), names[i]);
        check_published(path);
    }
}

/* ---- Byte-level BPE ---- */

static gguf_writer *byte_level_writer(const char *pre) {
    static token_list list;
    list.n = 0;
    token_list_add_bytes(&list);                   /* 0 to 255 */
    token_list_add(&list, "he", 0, NORMAL);        /* 256 */
    token_list_add(&list, "ll", 0, NORMAL);        /* 257 */
    token_list_add(&list, "hell", 0, NORMAL);      /* 258 */
    token_list_add(&list, "\xc4\xa0h", 0, NORMAL); /* 259: space, h */
    token_list_add(&list, "hello", 0, NORMAL);     /* 260: no merge makes it */
    token_list_add(&list, "<|end|>", 0, CONTROL);  /* 261 */
    token_list_add(&list, "<user>", 0, USER);      /* 262 */
    token_list_add(&list, "<user> x", 0, USER);    /* 263 */
    token_list_add(&list, "aa", 0, NORMAL);        /* 264 */
    gguf_writer *w = vocab_writer("gpt2", pre, &list);
    const char *merges[] = {"h e", "l l", "he ll", "\xc4\xa0 h", "a a"};
    write_merges(w, merges, 5);
    token_list_free(&list);
    return w;
}

TEST(byte_level) {
    made_vocab made = make_vocab(byte_level_writer("gpt-2"));
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "", 0), "");
    CHECK_STR(ids_of(made.vocab, "hello", 0), "258 111");
    CHECK_STR(ids_of(made.vocab, " hell", 0), "32 258"); /* "h e" goes before "Ġ h" */
    CHECK_STR(ids_of(made.vocab, " ha", 0), "259 97");
    CHECK_STR(ids_of(made.vocab, "aaa aaaa", 0), "264 97 32 264 264");
    CHECK_STR(ids_of(made.vocab, "\xc3\xa9\x01", 0), "195 169 1");
    capp_ids ids = {0};
    CHECK_OK(capp_vocab_encode(made.vocab, (capp_str){"a\0b", 3}, 0, &ids, &made.error), made.error);
    CHECK(ids.n == 3 && ids.data[1] == 0);
    capp_ids_free(&ids);
    made_vocab_free(&made);
}

TEST(special_tokens_in_text) {
    made_vocab made = make_vocab(byte_level_writer("gpt-2"));
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "<|end|>", 0), "60 124 101 110 100 124 62");
    CHECK_STR(ids_of(made.vocab, "a<|end|>", CAPP_TOKENIZE_SPECIAL), "97 261");
    CHECK_STR(ids_of(made.vocab, "<user>a", 0), "262 97");
    CHECK_STR(ids_of(made.vocab, "<user> xa<user>", 0), "263 97 262"); /* the longest */
    CHECK_STR(ids_of(made.vocab, "<user><|end|> <use", CAPP_TOKENIZE_SPECIAL), "262 261 32 60 117 115 101");
    CHECK(capp_vocab_is_end(made.vocab, 261) && !capp_vocab_is_end(made.vocab, 262) &&
          !capp_vocab_is_end(made.vocab, -1));
    capp_vocab_info info;
    capp_vocab_get_info(made.vocab, &info);
    CHECK_INT(info.eot, 261);
    CHECK_INT(info.bos, -1);
    CHECK(!info.add_bos && info.completion_needs_space && info.completion_rule_known);
    CHECK_STR(info.pre, "gpt-2");
    made_vocab_free(&made);
}

TEST(byte_level_pieces) {
    made_vocab made = make_vocab(byte_level_writer("gpt-2"));
    CHECK_OK(made.status, made.error);
    for (int b = 0; b < 256; b++) check_piece(made.vocab, b, &(char){(char)b}, 1);
    check_piece(made.vocab, 259, " h", 2);
    check_piece(made.vocab, 261, "<|end|>", 7);
    check_piece(made.vocab, 263, "<user> x", 8);
    CHECK(!capp_vocab_piece(made.vocab, -1).data && !capp_vocab_piece(made.vocab, 265).data);
    made_vocab_free(&made);
}

TEST(whole_words_before_merges) {
    gguf_writer *w = byte_level_writer("llama-bpe");
    gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", 261);
    made_vocab made = make_vocab(w);
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "hello", 0), "260");
    CHECK_STR(ids_of(made.vocab, "hellos", CAPP_TOKENIZE_BOS), "261 258 111 115"); /* this name adds BOS */
    made_vocab_free(&made);
    w = byte_level_writer("llama-bpe");
    gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", 261);
    gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", false);
    made = make_vocab(w);
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "hello", CAPP_TOKENIZE_BOS), "260");
    made_vocab_free(&made);
}

/* A vocabulary without some bytes leaves them out of texts; their neighbors become adjacent. */
TEST(bytes_that_are_no_tokens) {
    token_list list = {0};
    token_list_add(&list, "a", 0, NORMAL);
    token_list_add(&list, "b", 0, NORMAL);
    token_list_add(&list, "ab", 0, NORMAL);
    gguf_writer *w = vocab_writer("gpt2", "gpt-2", &list);
    write_merges(w, &(const char *){"a b"}, 1);
    made_vocab made = make_vocab(w);
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "axb xx a", 0), "2 0");
    token_list_free(&list);
    made_vocab_free(&made);
}

/* ---- SentencePiece ---- */

#define MARK "\xe2\x96\x81"

static gguf_writer *sentencepiece_writer(bool bytes) {
    static token_list list;
    list.n = 0;
    token_list_add(&list, "<unk>", 0, UNKNOWN);
    token_list_add(&list, "<s>", 0, CONTROL);
    token_list_add(&list, "</s>", 0, CONTROL);
    token_list_add(&list, MARK, -10, NORMAL);     /* 3 */
    token_list_add(&list, "a", -11, NORMAL);      /* 4 */
    token_list_add(&list, "b", -12, NORMAL);      /* 5 */
    token_list_add(&list, "ab", -2, NORMAL);      /* 6 */
    token_list_add(&list, "ba", -1, NORMAL);      /* 7 */
    token_list_add(&list, MARK "a", -3, NORMAL);  /* 8 */
    token_list_add(&list, MARK "b", -4, NORMAL);  /* 9 */
    token_list_add(&list, "\n\n", 0, USER);       /* 10 */
    token_list_add(&list, MARK MARK, 0, USER);    /* 11 */
    token_list_add(&list, "x y", 0, USER);        /* 12: as some converters write it, with a plain space */
    token_list_add(&list, "aba", -1, UNUSED);     /* 13 */
    if (bytes) token_list_add_byte_pieces(&list); /* 14 to 269 */
    gguf_writer *w = vocab_writer("llama", NULL, &list);
    token_list_free(&list);
    return w;
}

TEST(sentencepiece) {
    made_vocab made = make_vocab(sentencepiece_writer(true));
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "", 0), "");
    CHECK_STR(ids_of(made.vocab, "", CAPP_TOKENIZE_BOS), "1");
    CHECK_STR(ids_of(made.vocab, "a b", CAPP_TOKENIZE_BOS), "1 8 9");
    CHECK_STR(ids_of(made.vocab, "aba", 0), "8 7"); /* "ba" scores highest; the prefix joins the first a */
    CHECK_STR(ids_of(made.vocab, "aab", 0), "8 6");
    CHECK_STR(ids_of(made.vocab, "a\n\n\nb", 0), "8 10 24 5"); /* no prefix after a user-defined piece */
    CHECK_STR(ids_of(made.vocab, " a", 0), "11 4");            /* a run of two marks is user-defined */
    CHECK_STR(ids_of(made.vocab, "ax yb", 0), "8 12 5");
    CHECK_STR(ids_of(made.vocab, "a\xc3\xa9", 0), "8 209 183");
    CHECK_STR(ids_of(made.vocab, "<s>a", CAPP_TOKENIZE_SPECIAL), "1 8");
    CHECK_STR(ids_of(made.vocab, "</s>", 0), "3 74 61 129 76");
    capp_vocab_info info;
    capp_vocab_get_info(made.vocab, &info);
    CHECK(info.add_bos && info.add_space_prefix && !info.completion_needs_space && info.completion_rule_known);
    CHECK_INT(info.bos, 1);
    CHECK_INT(info.eos, 2);
    CHECK(capp_vocab_is_end(made.vocab, 2) && !capp_vocab_is_end(made.vocab, 1));
    check_piece(made.vocab, 8, " a", 2);
    check_piece(made.vocab, 11, "  ", 2);
    check_piece(made.vocab, 2, "</s>", 4);
    check_piece(made.vocab, 14 + 0xff, "\xff", 1);
    made_vocab_free(&made);
}

/* Phi-3's special tokens, except <s> and <|endoftext|>, absorb the white space after them. */
TEST(phi3) {
    for (int phi3 = 0; phi3 < 2; phi3++) {
        static token_list list;
        list.n = 0;
        token_list_add(&list, "<unk>", 0, UNKNOWN);
        token_list_add(&list, "<s>", 0, CONTROL);
        token_list_add(&list, "<|endoftext|>", 0, CONTROL);
        token_list_add(&list, "<|user|>", 0, CONTROL);
        token_list_add(&list, MARK, -10, NORMAL); /* 4 */
        token_list_add(&list, "a", -11, NORMAL);  /* 5 */
        gguf_writer *w = vocab_writer("llama", NULL, &list);
        token_list_free(&list);
        gguf_writer_str(w, "general.architecture", phi3 ? "phi3" : "llama");
        made_vocab made = make_vocab(w);
        CHECK_OK(made.status, made.error);
        CHECK_STR(ids_of(made.vocab, "<|user|> \n\xe3\x80\x80 a<|user|>\n", CAPP_TOKENIZE_SPECIAL),
                  phi3 ? "3 4 5 3" : "3 4 4 0 4 5 3 4 0");
        CHECK_STR(ids_of(made.vocab, "<s> a", CAPP_TOKENIZE_SPECIAL), "1 4 4 5");
        CHECK_STR(ids_of(made.vocab, "<|endoftext|> a", CAPP_TOKENIZE_SPECIAL), "2 4 4 5");
        made_vocab_free(&made);
    }
}

TEST(sentencepiece_without_prefix_or_bytes) {
    gguf_writer *w = sentencepiece_writer(false);
    gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", false);
    gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", false);
    made_vocab made = make_vocab(w);
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "a b", CAPP_TOKENIZE_BOS), "4 9");
    CHECK_STR(ids_of(made.vocab, "acca c c", 0), "4 0 4 3 0 3 0"); /* a run of unknowns is one token */
    capp_vocab_info info;
    capp_vocab_get_info(made.vocab, &info);
    CHECK(info.completion_needs_space && info.completion_rule_known && !info.add_bos);
    made_vocab_free(&made);
}

/* Neither "a" + "b" nor "a" + " b" gives the ids of "a b". */
TEST(unknown_completion_rule) {
    token_list list = {0};
    token_list_add(&list, "<unk>", 0, UNKNOWN);
    token_list_add(&list, "<s>", 0, CONTROL);
    gguf_writer *w = vocab_writer("llama", NULL, &list);
    gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", false);
    made_vocab made = make_vocab(w);
    CHECK_OK(made.status, made.error);
    capp_vocab_info info;
    capp_vocab_get_info(made.vocab, &info);
    CHECK(info.completion_needs_space && !info.completion_rule_known);
    token_list_free(&list);
    made_vocab_free(&made);
}

/* ---- Long texts ---- */

TEST(a_megabyte_without_a_word) {
    made_vocab bytes = make_vocab(byte_level_writer("gpt-2")), pieces = make_vocab(sentencepiece_writer(true));
    CHECK_OK(bytes.status, bytes.error);
    CHECK_OK(pieces.status, pieces.error);
    size_t size = 1 << 20;
    char *text = malloc(size);
    CHECK(text);
    static const char fill[] = {'a', ' ', '\n', '.', '1'};
    for (size_t i = 0; i < sizeof fill; i++) {
        capp_ids ids = {0};
        memset(text, fill[i], size);
        CHECK_OK(capp_vocab_encode(bytes.vocab, (capp_str){text, size}, 0, &ids, &bytes.error), bytes.error);
        CHECK_INT(ids.n, fill[i] == 'a' ? size / 2 : size);
        ids.n = 0;
        CHECK_OK(capp_vocab_encode(pieces.vocab, (capp_str){text, size}, 0, &ids, &pieces.error), pieces.error);
        CHECK(ids.n >= size / 2);
        capp_ids_free(&ids);
    }
    free(text);
    made_vocab_free(&bytes);
    made_vocab_free(&pieces);
}

/* ---- What is refused ---- */

TEST(invalid_utf8) {
    static const struct {
        const char *text;
        size_t size, at;
    } cases[] = {
        {"\x80", 1, 0},
        {"abc\xff", 4, 3},
        {"\xc3", 1, 0},
        {"\xc0\x80", 2, 0},
        {"\xc1\xbf", 2, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xed\xa0\x80", 3, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xf5\x80\x80\x80", 4, 0},
        {"ab\xe2\x82", 4, 2},
        {"\xe2\x82\xacz\xe2(\xa1", 7, 4},
        {"12345678\xed\xbf\xbf", 11, 8},
        {"\xf0\x9f\x98", 3, 0},
    };
    made_vocab made = make_vocab(byte_level_writer("gpt-2"));
    CHECK_OK(made.status, made.error);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        capp_ids ids = {0};
        char at[40];
        CHECK(capp_ids_push(&ids, 7));
        CHECK_INT(capp_vocab_encode(made.vocab, (capp_str){cases[i].text, cases[i].size}, 0, &ids, &made.error),
                  CAPP_EINVAL);
        snprintf(at, sizeof at, "at byte %zu", cases[i].at);
        CHECK_CONTAINS(made.error.message, at);
        CHECK(ids.n == 1 && ids.data[0] == 7); /* unchanged */
        capp_ids_free(&ids);
    }
    /* The limits of what is valid. */
    CHECK_STR(ids_of(made.vocab, "\xc2\x80\xdf\xbf", 0), "194 128 223 191");
    CHECK_STR(ids_of(made.vocab, "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80", 0), "224 160 128 237 159 191 238 128 128");
    CHECK_STR(ids_of(made.vocab, "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 0), "240 144 128 128 244 143 191 191");
    made_vocab_free(&made);
}

TEST(a_file_that_names_no_pretokenizer) {
    made_vocab made = make_vocab(byte_level_writer(NULL));
    capp_vocab_info info;
    CHECK_OK(made.status, made.error);
    capp_vocab_get_info(made.vocab, &info);
    CHECK_STR(info.pre, "default");
    CHECK_STR(ids_of(made.vocab, " hell", 0), "32 258");
    made_vocab_free(&made);
}

TEST(gpt_oss_of_ollama) {
    static const char *const names[] = {NULL, "default"};
    for (size_t i = 0; i < 2; i++) {
        capp_vocab_info info;
        gguf_writer *w = byte_level_writer(names[i]);
        gguf_writer_str(w, "general.architecture", "gptoss");
        made_vocab made = make_vocab(w);
        CHECK_OK(made.status, made.error);
        capp_vocab_get_info(made.vocab, &info);
        CHECK_STR(info.pre, "gpt-4o");
        CHECK(!info.pre_assumed);
        made_vocab_free(&made);
    }
}

TEST(unknown_names) {
    static const char *const models[] = {"bert", "rwkv7", "plamo3", "", "gpt22", "no_vocab"};
    token_list list = {0};
    token_list_add(&list, "a", 0, NORMAL);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        char quoted[40];
        snprintf(quoted, sizeof quoted, "\"%s\"", models[i]);
        check_refused(vocab_writer(models[i], "gpt-2", &list), CAPP_EUNSUPPORTED, quoted);
    }
    check_refused(byte_level_writer("my-own"), CAPP_EUNSUPPORTED, "tokenizer.ggml.pre: the pre-tokenizer \"my-own\"");
    check_refused(byte_level_writer(""), CAPP_EUNSUPPORTED, "\"\"");
    token_list_free(&list);
}

static gguf_writer *with_id(const char *key, uint32_t id) {
    gguf_writer *w = byte_level_writer("gpt-2");
    gguf_writer_u32(w, key, id);
    return w;
}

static gguf_writer *with_merge(const char *merge) {
    token_list list = {0};
    token_list_add_bytes(&list);
    gguf_writer *w = vocab_writer("gpt2", "gpt-2", &list);
    write_merges(w, &merge, 1);
    token_list_free(&list);
    return w;
}

TEST(inconsistent_byte_level) {
    static const char *const merges[] = {"ab", "", " ", "a ", " a", "a b", "zz a", "a zz", "a  b", "a b c"};
    for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++)
        check_refused(with_merge(merges[i]), CAPP_EFORMAT, "tokenizer.ggml.merges: number 0");
    check_refused(with_id("tokenizer.ggml.bos_token_id", 265), CAPP_EFORMAT, "tokenizer.ggml.bos_token_id is 265");
    check_refused(with_id("tokenizer.ggml.eot_token_id", 1u << 31), CAPP_EFORMAT, "tokenizer.ggml.eot_token_id");
    gguf_writer *w = byte_level_writer("gpt-2");
    gguf_writer_str(w, "tokenizer.ggml.eos_token_id", "x");
    check_refused(w, CAPP_EFORMAT, "tokenizer.ggml.eos_token_id is not the id of a token");
    w = byte_level_writer("gpt-2");
    gguf_writer_str(w, "tokenizer.ggml.add_bos_token", "x");
    check_refused(w, CAPP_EFORMAT, "tokenizer.ggml.add_bos_token");
    w = byte_level_writer("gpt-2");
    gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", true);
    check_refused(w, CAPP_EFORMAT, "tokenizer.ggml.bos_token_id is missing");
    check_refused(byte_level_writer("llama-bpe"), CAPP_EFORMAT, "tokenizer.ggml.bos_token_id is missing");
    made_vocab made = make_vocab(with_id("tokenizer.ggml.padding_token_id", UINT32_MAX)); /* -1: none */
    CHECK_OK(made.status, made.error);
    made_vocab_free(&made);
}

TEST(inconsistent_arrays) {
    int32_t numbers[3] = {1, 1, 99};
    float scores[3] = {0, NAN, 0};
    const char *texts[3] = {"a", "b", "c"};
    gguf_writer *w = gguf_writer_new();
    check_refused(w, CAPP_EFORMAT, "tokenizer.ggml.model is missing");
    w = gguf_writer_new();
    gguf_writer_u32(w, "tokenizer.ggml.model", 3);
    check_refused(w, CAPP_EFORMAT, "tokenizer.ggml.model is not a string");
    for (int i = 0; i < 9; i++) {
        static const char *const parts[] = {
            "tokens is missing",          "tokens is not an array",      "tokens has 0 elements",
            "token_type is not an array", "token_type: element 2",       "token_type is not an array",
            "scores is missing",          "scores is not an array of 3", "scores: element 1 is NaN"};
        w = gguf_writer_new();
        gguf_writer_str(w, "tokenizer.ggml.model", "llama");
        if (i == 1) gguf_writer_i32_array(w, "tokenizer.ggml.tokens", numbers, 3);
        if (i == 2) gguf_writer_str_array(w, "tokenizer.ggml.tokens", texts, NULL, 0);
        if (i > 2) gguf_writer_str_array(w, "tokenizer.ggml.tokens", texts, NULL, 3);
        if (i == 3) gguf_writer_i32_array(w, "tokenizer.ggml.token_type", numbers, 2);
        if (i == 4) gguf_writer_i32_array(w, "tokenizer.ggml.token_type", numbers, 3);
        if (i == 5) gguf_writer_str(w, "tokenizer.ggml.token_type", "x");
        if (i == 7) gguf_writer_f32_array(w, "tokenizer.ggml.scores", scores, 2);
        if (i == 8) gguf_writer_f32_array(w, "tokenizer.ggml.scores", scores, 3);
        check_refused(w, CAPP_EFORMAT, parts[i]);
    }
    w = gguf_writer_new();
    gguf_writer_str(w, "tokenizer.ggml.model", "gpt2");
    gguf_writer_str(w, "tokenizer.ggml.pre", "gpt-2");
    gguf_writer_str_array(w, "tokenizer.ggml.tokens", texts, NULL, 3);
    check_refused(w, CAPP_EFORMAT, "tokenizer.ggml.merges is missing");
}

/* Equal and empty texts are allowed: the lowest id is used, and the empty text never matches. */
TEST(equal_and_empty_texts) {
    token_list list = {0};
    static const char *const texts[] = {"<unk>", "", "a", "a", "", "aa", "aa"};
    for (size_t i = 0; i < 7; i++) token_list_add(&list, texts[i], -(float)i, i ? NORMAL : UNKNOWN);
    token_list_add(&list, "", 0, USER);
    token_list_add(&list, "", 0, CONTROL);
    gguf_writer *w = vocab_writer("llama", NULL, &list);
    gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", false);
    made_vocab made = make_vocab(w);
    CHECK_OK(made.status, made.error);
    CHECK_STR(ids_of(made.vocab, "aaa", CAPP_TOKENIZE_SPECIAL), "5 2");
    check_piece(made.vocab, 4, "", 0);
    token_list_free(&list);
    made_vocab_free(&made);
}

/* Special tokens that are parts of characters never match: the rest of the text stays UTF-8. */
TEST(special_tokens_that_are_no_text) {
    for (int sentencepiece = 0; sentencepiece < 2; sentencepiece++) {
        token_list list = {0};
        token_list_add(&list, "<unk>", 0, UNKNOWN);
        token_list_add(&list, "\xe2", 0, USER);
        token_list_add(&list, "\xe2\x82", 0, CONTROL);
        token_list_add(&list, "a", 0, NORMAL);
        gguf_writer *w = vocab_writer(sentencepiece ? "llama" : "gpt2", "gpt-2", &list);
        gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", 0);
        gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", false);
        write_merges(w, NULL, 0);
        made_vocab made = make_vocab(w);
        CHECK_OK(made.status, made.error);
        CHECK_STR(ids_of(made.vocab,
                         "\xe2\x82\xac"
                         "a",
                         CAPP_TOKENIZE_SPECIAL),
                  sentencepiece ? "0 3" : "3");
        token_list_free(&list);
        made_vocab_free(&made);
    }
}

/* ---- Memory ---- */

TEST(every_allocation_fails) {
    static char text[300];
    memset(text, 'a', sizeof text - 1); /* long enough for the heap */
    memcpy(text, "<user> hello <|end|> ", 21);
    counted_install();
    size_t n = 1;
    while (run_failing(byte_level_writer("smollm"), text, n)) n++;
    CHECK(n > 15);
    n = 1;
    while (run_failing(sentencepiece_writer(true), text, n)) n++;
    CHECK(n > 10);
    n = 1;
    while (run_failing(greedy_writer(NULL), text, n)) n++;
    CHECK(n > 10);
}
