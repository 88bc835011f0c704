/* Pre-tokenizers: each name's words on texts where its expressions decide the cuts, and properties of all of them. */
#include "base/mem.h"
#include "test.h"
#include "token/pretokenizer.h"

typedef struct words {
    char line[4000]; /* the words with | between */
    size_t n;        /* bytes */
} words;

static capp_status take(void *user, capp_str word, capp_error *err) {
    words *w = user;
    (void)err;
    CHECK(word.size > 0 && w->n + word.size + 2 < sizeof w->line);
    if (w->n) w->line[w->n++] = '|';
    memcpy(w->line + w->n, word.data, word.size);
    w->n += word.size;
    w->line[w->n] = 0;
    return CAPP_OK;
}

static const char *split(const char *name, const char *text) {
    static words w;
    w = (words){0};
    capp_pretokenizer *pre;
    capp_error err;
    CHECK_OK(capp_pretokenizer_open(&pre, capp_str_of(name), &err), err);
    CHECK_STR(capp_pretokenizer_name(pre), name);
    CHECK_OK(capp_pretokenizer_split(pre, capp_str_of(text), take, &w, &err), err);
    capp_pretokenizer_free(pre);
    return w.line;
}

TEST(words_of_each_family) {
    static const struct {
        const char *name, *text, *words;
    } cases[] = {
        {"gpt-2", "I'll go  home.\n\nIn 1984 he'S", "I|'ll| go| | home|.|\n|\n|In| 1984| he|'|S"},
        {"roberta-bpe", "I'll 12  go", "I|'ll| 12| | go"},
        {"gpt-2", "a \t b   ", "a| \t| b|   "},
        {"smollm", "In 1984 x2", "In| |1|9|8|4| x|2"},
        {"starcoder", "12", "1|2"},
        {"falcon", "a, b 12345 $x", "a|,| b| |123|45| |$|x"},
        {"default", "a 1234!", "a| |123|4|!"},
        {"llama-bpe", "I'LL pay 12345,\n\n now\tx", "I|'LL| pay| |123|45|,\n\n| now|\tx"},
        {"llama-bpe", "a  \n b", "a|  \n| b"},
        {"llama-bpe", "(foo)!\n.", "(foo|)!\n|."},
        {"qwen2", "in 1984", "in| |1|9|8|4"},
        {"qwen35", "e\xcc\x81t", "e\xcc\x81t"},
        {"qwen2", "e\xcc\x81t", "e|\xcc\x81t"},
        {"gpt-4o", "HelloWorld isn't GPT4o 1234", "Hello|World| isn't| GPT|4|o| |123|4"},
        {"tekken", "isn't HTMLPage 12", "isn|'t| HTMLPage| |1|2"},
        {"deepseek-llm", "Hi there,\nyou 123", "Hi| there|,|\n|you| |123"},
        {"deepseek-coder", "Hi, 12", "Hi|,| |1|2"},
        {"deepseek-v3", "x 12345 (a+b)", "x| |123|45| (|a|+b|)"},
        {"bloom", "Hello, big world", "Hello|,| big| world"},
        {"viking", "a 12.", "a| |1|2|."},
        {"superbpe", "by 1234567 of", "by |1|234|567| of"},
        {"tiny_aya", "1234567", "1|234|567"},
        {"exaone-moe", "big red cat.", "big red cat|."},
        {"bailingmoe", "he's\n\nx", "he|'s|\n\n|x"},
        {"seed-coder", "a!\n\nb", "a|!|\n\n|b"},
        {"jais-2", "a     b", "a|    | b"},
        {"chameleon", "<sentinel:12>IMGIMGABZ a", "<|sentinel|:|1|2|>|IMGIMGABZ| a"},
        {"minicpm5", "1234", "123|4"},
        {"laguna", "a\n\nb", "a|\n\n|b"},
        {"youtu", "abc12", "abc|1|2"},
        {"kimi-k2", "HelloWorld\xe4\xb8\xad\xe6\x96\x87is 1234", "Hello|World|\xe4\xb8\xad\xe6\x96\x87|is| |123|4"},
        {"kimi-k2", "don'T a/b\n\n", "don'T| a|/b|\n\n"},
        {"spark2_5", "x 12345!\n\ny", "x| |1|2|3|4|5|!|\n|\n|y"},
        {"afmoe", "a 1234567 (b+c)", "a| |1|234|567| (|b|+c|)"},
        {"afmoe", "\xe4\xb8\xad\xea\xb0\x80x", "\xe4\xb8\xad\xea\xb0\x80|x"},
        {"ufakzeka", "Ankara'da 12", "Ankara|'da| |1|2"},
        {"glm5", "12345", "123|45"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_STR(split(cases[i].name, cases[i].text), cases[i].words);
}

/* White space is Unicode's: U+180E is not white space, U+0085 is. (PCRE2's \s accepts both.) */
TEST(white_space) {
    CHECK_STR(split("gpt-2", "\xe1\xa0\x8e!"), "\xe1\xa0\x8e!");
    CHECK_STR(split("gpt-2", "\xc2\x85!"), "\xc2\x85|!");
    CHECK_STR(split("gpt-2", "\xe3\x80\x80\xe3\x80\x80"
                             "a"),
              "\xe3\x80\x80|\xe3\x80\x80|a");
}

/* Without regard to case, the long s is an s. */
TEST(contractions_in_any_case) {
    CHECK_STR(split("llama3", "x'\xc5\xbf"), "x|'\xc5\xbf");
    CHECK_STR(split("gpt-2", "x'\xc5\xbf"), "x|'|\xc5\xbf");
}

typedef struct sum {
    const char *text;
    size_t at;
} sum;

static capp_status add_up(void *user, capp_str word, capp_error *err) {
    sum *s = user;
    (void)err;
    CHECK(word.data == s->text + s->at && word.size > 0);
    s->at += word.size;
    return CAPP_OK;
}

static size_t append(char *text, size_t n, uint32_t c) {
    if (c < 0x80) {
        text[n++] = (char)c;
    } else if (c < 0x800) {
        text[n++] = (char)(0xc0 | c >> 6);
        text[n++] = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        text[n++] = (char)(0xe0 | c >> 12);
        text[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        text[n++] = (char)(0x80 | (c & 0x3f));
    } else {
        text[n++] = (char)(0xf0 | c >> 18);
        text[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        text[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        text[n++] = (char)(0x80 | (c & 0x3f));
    }
    return n;
}

static void check_all(const char *text, size_t size) {
    const char *name;
    for (size_t i = 0; (name = capp_pretokenizer_name_at(i)) != NULL; i++) {
        capp_pretokenizer *pre;
        capp_error err;
        sum s = {text, 0};
        CHECK_OK(capp_pretokenizer_open(&pre, capp_str_of(name), &err), err);
        CHECK_OK(capp_pretokenizer_split(pre, (capp_str){text, size}, add_up, &s, &err), err);
        if (s.at != size) FAIL("%s: the words are %zu bytes, the text %zu", name, s.at, size);
        capp_pretokenizer_free(pre);
    }
}

/* The words of any text together are the text: nothing is lost, nothing is repeated. */
TEST(words_are_the_text) {
    static const uint32_t most[] = {0x7f, 0x7f, 0x2ff, 0x3000, 0xd7ff, 0x10ffff};
    static char text[20000];
    test_random random = {3};
    for (int round = 0; round < 5; round++) {
        size_t n = 0;
        while (n < sizeof text - 60) {
            uint32_t c = (uint32_t)test_random_below(&random, most[test_random_below(&random, 6)] + 1u);
            if (c >= 0xd800 && c < 0xe000) continue;
            size_t times = test_random_below(&random, 8) ? 1 : 1 + test_random_below(&random, 10);
            while (times--) n = append(text, n, c);
        }
        check_all(text, n);
    }
}

TEST(long_runs) {
    static const uint32_t fill[] = {' ', 'a', 'A', '\n', '!', 0x1f600, 0x4e00, 0x301};
    size_t size = 1 << 18;
    char *text = malloc(size);
    CHECK(text);
    for (size_t i = 0; i < sizeof fill / sizeof fill[0]; i++) {
        size_t n = 0;
        while (n + 8 < size) n = append(text, n, fill[i]);
        n = append(text, n, 'x');
        check_all(text, n);
    }
    free(text);
}

static capp_status refuse(void *user, capp_str word, capp_error *err) {
    ++*(int *)user;
    return word.size == 2 ? capp_fail(err, CAPP_ECANCELLED, "enough") : CAPP_OK;
}

TEST(a_failure_ends_the_split) {
    capp_pretokenizer *pre;
    capp_error err;
    int calls = 0;
    CHECK_OK(capp_pretokenizer_open(&pre, capp_str_of("gpt-2"), &err), err);
    CHECK_INT(capp_pretokenizer_split(pre, capp_str_of("a b c"), refuse, &calls, &err), CAPP_ECANCELLED);
    CHECK_INT(calls, 2);
    capp_pretokenizer_free(pre);
    CHECK_INT(capp_pretokenizer_open(&pre, capp_str_of("gpt-3"), &err), CAPP_EUNSUPPORTED);
    CHECK(!pre);
    CHECK_CONTAINS(err.message, "\"gpt-3\"");
}
