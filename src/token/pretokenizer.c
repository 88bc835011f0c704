#include "token/pretokenizer.h"

#include <string.h>

#include "base/mem.h"
#include "token/regex.h"

enum { MAX_STAGES = 6 };

/* English contractions, in any case. */
#define CONTRACTIONS      "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER             "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER             "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define NOT_HAN(letters)  "(?:(?!\\p{Han})" letters ")"
#define BEFORE_LETTERS    "[^\\r\\n\\p{L}\\p{N}]?"
#define ASCII_PUNCTUATION "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define CJK_RUN           "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define HAN_KANA_RUN      "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
/* The last space of a run goes to the word after it. */
#define SPACES            "\\s+(?!\\S)|\\s+"

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES
/* The family of cl100k; `digits` is the part that differs. */
#define CL100K(digits)                                                                                                 \
    CONTRACTIONS "|" BEFORE_LETTERS "\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" SPACES
/* The family of o200k: words are cut between lower and upper case. */
#define O200K(suffix, digits)                                                                                          \
    BEFORE_LETTERS UPPER "*" LOWER "+" suffix "|" BEFORE_LETTERS UPPER "+" LOWER "*" suffix "|" digits                 \
                         "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|" SPACES
#define DEEPSEEK3                                                                                                      \
    ASCII_PUNCTUATION "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*"               \
                      "|\\s*[\\r\\n]+|" SPACES
#define DEEPSEEK_PUNCTUATION "[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]"
#define BLOOM                " ?[^(|)\\s.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c}]+"
/* Letters with case, as DeepSeek lists them. */
#define CASED                                                                                                          \
    "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"                    \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}"             \
    "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}"                    \
    "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}"                  \
    "\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}"                  \
    "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}"          \
    "\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}"         \
    "\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}"                   \
    "\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}"                    \
    "\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}"                    \
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}"                   \
    "\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}"                  \
    "\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}"                \
    "\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"                             \
    "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

typedef const char *const pattern_list[MAX_STAGES];

/* The patterns of a list apply in turn. The next pattern sees each match, and each text between matches, as a text of
 * its own. */
static pattern_list gpt2 = {GPT2};
static pattern_list digits_gpt2 = {"\\p{N}", GPT2};
static pattern_list by_default = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"};
static pattern_list falcon = {"[\\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]"};
static pattern_list llama3 = {CL100K("\\p{N}{1,3}")};
static pattern_list qwen2 = {CL100K("\\p{N}")};
static pattern_list minicpm5 = {"\\p{N}{1,3}", CL100K("\\p{N}+")};
static pattern_list laguna = {"[^\\n]+|[\\n]+", CL100K("\\p{N}")};
static pattern_list qwen35 = {CONTRACTIONS "|" BEFORE_LETTERS "[\\p{L}\\p{M}]+|\\p{N}"
                                           "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" SPACES};
static pattern_list ufakzeka = {BEFORE_LETTERS "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" SPACES};
static pattern_list jais2 = {
    CONTRACTIONS "|" BEFORE_LETTERS "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
                 "|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)"
                 "|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s"};
static pattern_list deepseek_llm = {"[\\r\\n]", "\\s?[" CASED "]+", "\\s?" DEEPSEEK_PUNCTUATION "+", "\\s+$",
                                    CJK_RUN,    "\\p{N}+"};
static pattern_list deepseek_coder = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK_RUN, "\\p{N}"};
static pattern_list deepseek3 = {"\\p{N}{1,3}", HAN_KANA_RUN, DEEPSEEK3};
/* Line ends and digits stand alone. */
static pattern_list spark = {"\\p{N}{1,3}", HAN_KANA_RUN,
                             ASCII_PUNCTUATION "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                                               "| ?[\\p{P}\\p{S}]+|[\\r\\n]|" SPACES,
                             "\\p{N}"};
/* Groups of three digits, counted from the right. */
static pattern_list afmoe = {
    "\\p{N}{1,3}(?=(?:\\p{N}{3})*+(?!\\p{N}))",
    "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}"
    "\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}"
    "\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}"
    "\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+",
    DEEPSEEK3};
static pattern_list youtu = {"[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+"
                             "|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}\\x{ff1a}\\x{ff1b}"
                             "\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+"
                             "|[\\x{3105}-\\x{312f}]+|" HAN_KANA_RUN,
                             O200K(CONTRACTIONS "?", "\\p{N}")};
static pattern_list bloom = {BLOOM};
static pattern_list viking = {BLOOM, "\\p{N}"};
static pattern_list tekken = {O200K("", "\\p{N}")};
static pattern_list gpt4o = {O200K(CONTRACTIONS "?", "\\p{N}{1,3}")};
/* Like o200k, but Chinese characters are separate. */
static pattern_list kimi_k2 = {
    "\\p{Han}+|" BEFORE_LETTERS NOT_HAN(UPPER) "*" NOT_HAN(LOWER) "+" CONTRACTIONS "?|" BEFORE_LETTERS NOT_HAN(
        UPPER) "+" NOT_HAN(LOWER) "*" CONTRACTIONS
                                  "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" SPACES};
static pattern_list tiny_aya = {"\\d{1,3}(?=(?:\\d{3})*+\\b)", O200K(CONTRACTIONS "?", "\\p{N}{1,3}")};
static pattern_list chameleon = {
    "<sentinel:[0-9]+>", "(?:IMGIMG)[A-I]{1,4}Z", "[\\t\\n]|    |  ", "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", GPT2};
/* The second pattern has empty matches: it marks where groups of three digits, counted from the right, begin. */
static pattern_list superbpe = {"\\p{N}+", "(?=(?:\\d{3})++(?!\\d))"};
static pattern_list bailing = {"'(?i:[sdmt]|ll|ve|re)|" BEFORE_LETTERS "+\\p{L}+|\\p{N}"
                               "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|" SPACES};
static pattern_list seed_coder = {CONTRACTIONS "|" BEFORE_LETTERS "\\p{L}+|\\p{N}"
                                               "| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|" SPACES};
/* Possessive, so that a long run needs no memory for backtracking that cannot succeed. */
static pattern_list exaone_moe = {CONTRACTIONS "|" BEFORE_LETTERS "(?:\\p{L}\\p{M}*+(?: \\p{L}\\p{M}*+)*+)++|\\p{N}"
                                               "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|" SPACES};

static pattern_list lines = {"[^\\n]+|[\\n]+"};
static pattern_list visible = {"\\S+"};

enum {
    WHOLE = CAPP_PRE_WHOLE_WORDS,
    BOS = CAPP_PRE_ADD_BOS,
    RAW = CAPP_PRE_RAW,
    MARKED = CAPP_PRE_RAW | CAPP_PRE_MARKS,
    GEMMA4 = CAPP_PRE_RAW | CAPP_PRE_MARKS | CAPP_PRE_NEWLINES | CAPP_PRE_ADD_BOS | CAPP_PRE_FORCE_BOS
};

static const struct {
    const char *name;
    const char *const *patterns; /* [MAX_STAGES], the rest NULL */
    unsigned flags;
} table[] = {
    {"default", by_default, 0},
    {"gpt-2", gpt2, 0},
    {"phi-2", gpt2, 0},
    {"mpt", gpt2, 0},
    {"olmo", gpt2, 0},
    {"jais", gpt2, 0},
    {"trillion", gpt2, 0},
    {"granite-docling", gpt2, 0},
    {"exaone4", gpt2, 0},
    {"gigachat", gpt2, 0},
    {"a.x-4.0", gpt2, 0},
    {"mellum", gpt2, 0},
    {"jina-es", gpt2, 0},
    {"jina-de", gpt2, 0},
    {"jina-v2-es", gpt2, 0},
    {"jina-v2-de", gpt2, 0},
    {"modern-bert", gpt2, 0},
    {"jina-v1-en", gpt2, 0},
    {"jina-v2-code", gpt2, 0},
    {"roberta-bpe", gpt2, 0},
    {"smollm", digits_gpt2, 0},
    {"starcoder", digits_gpt2, 0},
    {"refact", digits_gpt2, 0},
    {"command-r", digits_gpt2, 0},
    {"codeshell", digits_gpt2, 0},
    {"exaone", digits_gpt2, 0},
    {"minerva-7b", digits_gpt2, 0},
    {"mellum2", digits_gpt2, 0},
    {"falcon", falcon, 0},
    {"llama-bpe", llama3, WHOLE | BOS},
    {"llama3", llama3, WHOLE | BOS},
    {"llama-v3", llama3, WHOLE | BOS},
    {"falcon3", llama3, WHOLE | BOS},
    {"falcon-h1", llama3, WHOLE | BOS},
    {"pixtral", llama3, WHOLE | BOS},
    {"midm-2.0", llama3, WHOLE | BOS},
    {"lfm2", llama3, WHOLE | BOS},
    {"jina-v5-nano", llama3, WHOLE | BOS},
    {"dbrx", llama3, 0},
    {"smaug-bpe", llama3, 0},
    {"chatglm-bpe", llama3, 0},
    {"glm4", llama3, WHOLE},
    {"glm5", llama3, WHOLE},
    {"jais-2", jais2, 0},
    {"qwen2", qwen2, 0},
    {"deepseek-r1-qwen", qwen2, 0},
    {"megrez", qwen2, 0},
    {"kormo", qwen2, 0},
    {"f2llmv2", qwen2, 0},
    {"stablelm2", qwen2, 0},
    {"hunyuan", qwen2, 0},
    {"solar-open", qwen2, 0},
    {"grok-2", qwen2, 0},
    {"qwen35", qwen35, 0},
    {"minicpm5", minicpm5, WHOLE},
    {"laguna", laguna, 0},
    {"deepseek-llm", deepseek_llm, 0},
    {"deepseek-coder", deepseek_coder, 0},
    {"deepseek-v3", deepseek3, 0},
    {"hunyuan-dense", deepseek3, 0},
    {"joyai-llm", deepseek3, 0},
    {"hy_v4", deepseek3, 0},
    {"spark2_5", spark, 0},
    {"afmoe", afmoe, 0},
    {"ufakzeka", ufakzeka, 0},
    {"kimi-k2", kimi_k2, 0},
    {"youtu", youtu, WHOLE},
    {"bloom", bloom, 0},
    {"poro-chat", bloom, 0},
    {"gpt3-finnish", bloom, 0},
    {"viking", viking, 0},
    {"tekken", tekken, WHOLE | BOS},
    {"gpt-4o", gpt4o, 0},
    {"llama4", gpt4o, 0},
    {"kanana2", gpt4o, 0},
    {"talkie", gpt4o, 0},
    {"minimax-m2", gpt4o, 0},
    {"granite-embed-multi-97m", gpt4o, WHOLE},
    {"tiny_aya", tiny_aya, 0},
    {"cohere2moe", tiny_aya, 0},
    {"chameleon", chameleon, BOS},
    {"superbpe", superbpe, 0},
    {"bailingmoe", bailing, 0},
    {"bailingmoe2", bailing, 0},
    {"llada-moe", bailing, 0},
    {"seed-coder", seed_coder, 0},
    {"exaone-moe", exaone_moe, 0},
    {"gemma4", lines, GEMMA4},
    {"granite-embed-multi-311m", lines, GEMMA4},
    {"sarvam-moe", lines, MARKED},
    {"whitespace", visible, RAW},
};

enum { N_TABLE = sizeof table / sizeof table[0] };

struct capp_pretokenizer {
    size_t row; /* row of the table */
    size_t n_stages;
    capp_regex *stages[MAX_STAGES];
};

const char *capp_pretokenizer_name_at(size_t i) {
    return i < N_TABLE ? table[i].name : NULL;
}
const char *capp_pretokenizer_name(const capp_pretokenizer *pre) {
    return table[pre->row].name;
}
unsigned capp_pretokenizer_flags(const capp_pretokenizer *pre) {
    return table[pre->row].flags;
}

capp_status capp_pretokenizer_open(capp_pretokenizer **out, capp_str name, capp_error *err) {
    *out = NULL;
    size_t row = 0;
    while (row < N_TABLE &&
           (strlen(table[row].name) != name.size || memcmp(table[row].name, name.data, name.size) != 0))
        row++;
    if (row == N_TABLE)
        return capp_fail(err, CAPP_EUNSUPPORTED, "the pre-tokenizer \"%.*s\" is not supported",
                         name.size < 100 ? (int)name.size : 100, name.data ? name.data : "");
    capp_pretokenizer *pre = capp_new0(1, sizeof *pre);
    if (!pre) return capp_fail_memory(err, "a pre-tokenizer");
    capp_status st = CAPP_OK;
    pre->row = row;
    for (; st == CAPP_OK && pre->n_stages < MAX_STAGES && table[row].patterns[pre->n_stages]; pre->n_stages++)
        st = capp_regex_open(&pre->stages[pre->n_stages], capp_str_of(table[row].patterns[pre->n_stages]), false, err);
    if (st != CAPP_OK) {
        capp_pretokenizer_free(pre);
        return st;
    }
    *out = pre;
    return CAPP_OK;
}

void capp_pretokenizer_free(capp_pretokenizer *pre) {
    if (!pre) return;
    for (size_t i = 0; i < pre->n_stages; i++) capp_regex_free(pre->stages[i]);
    capp_free(pre);
}

/* The arguments of one call of capp_pretokenizer_split. */
typedef struct split_call {
    const capp_pretokenizer *pre;
    capp_matcher *matcher;
    capp_word_fn fn;
    void *user;
    capp_error *err;
} split_call;

/* Depth: at most MAX_STAGES. */
static capp_status split(const split_call *call, size_t stage, capp_str text) {
    if (!text.size) return CAPP_OK;
    if (stage == call->pre->n_stages) return call->fn(call->user, text, call->err);
    size_t done = 0, from = 0;
    while (done < text.size) {
        size_t at = from, end = from;
        bool found;
        capp_status st = capp_regex_find(call->pre->stages[stage], call->matcher, text, &at, &end, &found, call->err);
        if (st == CAPP_OK) st = split(call, stage + 1, (capp_str){text.data + done, at - done});
        if (st == CAPP_OK) st = split(call, stage + 1, (capp_str){text.data + at, end - at});
        if (st != CAPP_OK) return st;
        done = from = end;
        if (at == end && from < text.size) { /* an empty match only marks a place; go on after the next character */
            from++;
            while (from < text.size && (text.data[from] & 0xc0) == 0x80) from++;
            if (from == text.size) return split(call, stage + 1, (capp_str){text.data + done, text.size - done});
        }
    }
    return CAPP_OK;
}

capp_status capp_pretokenizer_split(const capp_pretokenizer *pre, capp_str text, capp_word_fn fn, void *user,
                                    capp_error *err) {
    split_call call = {pre, capp_matcher_new(), fn, user, err};
    if (!call.matcher) return capp_fail_memory(err, "cutting a text into words");
    capp_status st = split(&call, 0, text);
    capp_matcher_free(call.matcher);
    return st;
}
