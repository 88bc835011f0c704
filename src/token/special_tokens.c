/* Special tokens of GGUF files: which ids begin and end a text, and which texts are tokens wherever they occur. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/vocab_tables.h"

enum { EOT = 1, END = 2 };

/* Texts with which models end a turn or a generation. If the file has no EOT, it is the first of these that is a token.
 * All of them end a generation. Files often name only one of several (llama.cpp, src/llama-vocab.cpp). */
static const struct {
    const char *text;
    int roles;
} known[] = {
    {"<|eot_id|>", EOT | END},
    {"<|im_end|>", EOT | END},
    {"<|end|>", EOT | END},
    {"<end_of_turn>", EOT | END},
    {"<|endoftext|>", EOT | END},
    {"<|end_of_text|>", EOT | END},
    {"<EOT>", EOT | END},
    {"_<EOT>", EOT | END},
    {"[EOT]", EOT | END},
    {"<｜end▁of▁sentence｜>", EOT | END},
    {"<end_of_utterance>", EOT | END},
    {"<|return|>", END},
    {"<|call|>", END},
    {"<|flush|>", END},
    {"<|calls|>", END},
    {"</s>", END},
    {"<|eom_id|>", END},
    {"[EOS]", END},
    {"<eos>", END},
    {"[e~[", END},
    {"<|fim_pad|>", END},
    {"<fim-pad>", END},
    {"<fim_pad>", END},
    {"<|fim_repo|>", END},
    {"<|repo_name|>", END},
    {"<fim-repo>", END},
    {"<reponame>", END},
    {"<|file_sep|>", END},
};

enum { N_KNOWN = sizeof known / sizeof known[0], N_KEYS = 7 };

/* Reads a key to *id, which is unchanged if there is no such key. Some converters write -1 for none: CAPP_NO_TOKEN. */
static capp_status read_id(const capp_vocab *vocab, const capp_gguf *gguf, const char *key, int32_t *id,
                           capp_error *err) {
    const capp_gguf_value *v = capp_gguf_find(gguf, key);
    uint64_t value;
    int64_t minus;
    if (!v) {
        if (*id >= 0 && (uint32_t)*id >= vocab->info.n_tokens) *id = CAPP_NO_TOKEN;
        return CAPP_OK;
    }
    if (capp_gguf_u64(gguf, key, &value)) {
        if (value == UINT32_MAX) {
            *id = CAPP_NO_TOKEN;
            return CAPP_OK;
        }
        if (value >= vocab->info.n_tokens)
            return capp_fail(err, CAPP_EFORMAT,
                             "%s: %s is %llu, but the vocabulary has %u tokens; convert the model again", vocab->path,
                             key, (unsigned long long)value, vocab->info.n_tokens);
        *id = (int32_t)value;
        return CAPP_OK;
    }
    if (v->kind == CAPP_GGUF_I32 || v->kind == CAPP_GGUF_I64) {
        minus = 0;
        memcpy(&minus, v->bytes, v->kind == CAPP_GGUF_I32 ? 4 : 8);
        if (v->kind == CAPP_GGUF_I32 ? (int32_t)minus == -1 : minus == -1) {
            *id = CAPP_NO_TOKEN;
            return CAPP_OK;
        }
    }
    return capp_fail(err, CAPP_EFORMAT, "%s: %s is not the id of a token; convert the model again", vocab->path, key);
}

static capp_status read_flag(const capp_vocab *vocab, const capp_gguf *gguf, const char *key, bool *flag,
                             capp_error *err) {
    if (!capp_gguf_find(gguf, key) || capp_gguf_bool(gguf, key, flag)) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: %s is not a boolean; convert the model again", vocab->path, key);
}

static void add_end(capp_vocab *vocab, int32_t id) {
    for (size_t i = 0; i < vocab->n_ends; i++)
        if (vocab->ends[i] == id) return;
    if (id != CAPP_NO_TOKEN) vocab->ends[vocab->n_ends++] = id;
}

static void remove_end(capp_vocab *vocab, int32_t id) {
    for (size_t i = 0; i < vocab->n_ends; i++)
        if (vocab->ends[i] == id) vocab->ends[i--] = vocab->ends[--vocab->n_ends];
}

static int32_t id_of(const capp_vocab *vocab, const char *text) {
    return capp_text_index_find(&vocab->index, capp_str_of(text));
}

static void find_known(capp_vocab *vocab) {
    for (size_t i = 0; i < N_KNOWN; i++) {
        int32_t id = id_of(vocab, known[i].text);
        if (id == CAPP_NO_TOKEN) continue;
        /* If it is not a control token, it is an HTML tag. */
        if (vocab->types[id] != CAPP_TOKEN_CONTROL && !strcmp(known[i].text, "</s>")) continue;
        if (known[i].roles & EOT && vocab->info.eot == CAPP_NO_TOKEN) vocab->info.eot = id;
        add_end(vocab, id);
    }
    /* In these families <|end|> ends a message, not a generation. */
    bool harmony = id_of(vocab, "<|return|>") >= 0 && id_of(vocab, "<|call|>") >= 0;
    bool solar = id_of(vocab, "<|flush|>") >= 0 && id_of(vocab, "<|calls|>") >= 0;
    if (harmony || solar) {
        int32_t end = id_of(vocab, "<|end|>");
        remove_end(vocab, end);
        if (end != CAPP_NO_TOKEN && vocab->info.eot == end) vocab->info.eot = CAPP_NO_TOKEN;
    }
}

/* SentencePiece: user-defined pieces are found in normalized text; some converters write them with plain spaces. */
static capp_status add_normalized(capp_vocab *vocab, int32_t id, capp_error *err) {
    capp_str text = vocab->texts[id];
    if (capp_is_plain(vocab->kind) || !text.size || !memchr(text.data, ' ', text.size))
        return capp_trie_add(&vocab->always, text, id, err);
    char *normal = capp_new(text.size, 3);
    if (!normal) return capp_fail_memory(err, "a vocabulary's special tokens");
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        size_t size = text.data[i] == ' ' ? 3 : 1;
        memcpy(normal + n, text.data[i] == ' ' ? "\xe2\x96\x81" : &text.data[i], size);
        n += size;
    }
    capp_status st = capp_trie_add(&vocab->always, (capp_str){normal, n}, id, err);
    capp_free(normal);
    return st;
}

static capp_status fill_tries(capp_vocab *vocab, capp_error *err) {
    capp_status st = CAPP_OK;
    for (uint32_t i = 0; st == CAPP_OK && i < vocab->info.n_tokens; i++) {
        uint8_t type = vocab->types[i];
        /* A token that is part of a character would leave invalid UTF-8 around it. */
        if (capp_utf8_invalid_at(vocab->texts[i]) < vocab->texts[i].size) continue;
        bool user = type == CAPP_TOKEN_USER_DEFINED, special = type == CAPP_TOKEN_CONTROL || type == CAPP_TOKEN_UNKNOWN;
        if (user) st = add_normalized(vocab, (int32_t)i, err);
        if (st == CAPP_OK && (special || (user && capp_is_plain(vocab->kind))))
            st = capp_trie_add(&vocab->special, vocab->texts[i], (int32_t)i, err);
    }
    return st;
}

capp_status capp_special_tokens_find_ends(capp_vocab *vocab, capp_error *err) {
    vocab->ends = capp_new(N_KNOWN + N_KEYS, sizeof *vocab->ends);
    if (!vocab->ends) return capp_fail_memory(err, "a vocabulary's special tokens");
    find_known(vocab);
    add_end(vocab, vocab->info.eos);
    add_end(vocab, vocab->info.eot);
    return CAPP_OK;
}

/* Phi-3 and 3.5, which use SentencePiece: "rstrip" of their tokenizer.json. Phi-4 has the same architecture but byte-
 * level BPE. */
static bool is_phi3(const capp_vocab *vocab, const capp_gguf *gguf) {
    capp_str name;
    return vocab->kind == CAPP_VOCAB_SENTENCEPIECE && capp_gguf_str(gguf, "general.architecture", &name) &&
           name.size == 4 && !memcmp(name.data, "phi3", 4);
}

bool capp_special_token_strips(const capp_vocab *vocab, int32_t id) {
    return vocab->strips_after && id != vocab->info.bos && vocab->types[id] == CAPP_TOKEN_CONTROL &&
           id != id_of(vocab, "<|endoftext|>");
}

capp_status capp_special_tokens_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err) {
    capp_vocab_info *info = &vocab->info;
    bool sentencepiece = vocab->kind == CAPP_VOCAB_SENTENCEPIECE, unigram = vocab->kind == CAPP_VOCAB_UNIGRAM;
    bool plamo = vocab->kind == CAPP_VOCAB_PLAMO;
    /* Defaults if the file has no value: those of sentencepiece, of T5, or of PLaMo. */
    info->unk = sentencepiece || plamo ? 0 : unigram ? 2 : CAPP_NO_TOKEN;
    info->bos = sentencepiece || plamo ? 1 : CAPP_NO_TOKEN;
    info->eos = sentencepiece || plamo ? 2 : unigram ? 1 : CAPP_NO_TOKEN;
    info->eot = CAPP_NO_TOKEN;
    info->pad = unigram ? 0 : plamo ? 3 : CAPP_NO_TOKEN;
    info->add_eos = unigram;
    int32_t eom = CAPP_NO_TOKEN, fim_pad = CAPP_NO_TOKEN;
    const struct {
        const char *key;
        int32_t *id;
    } ids[N_KEYS] = {{"tokenizer.ggml.bos_token_id", &info->bos},     {"tokenizer.ggml.eos_token_id", &info->eos},
                     {"tokenizer.ggml.eot_token_id", &info->eot},     {"tokenizer.ggml.unknown_token_id", &info->unk},
                     {"tokenizer.ggml.padding_token_id", &info->pad}, {"tokenizer.ggml.eom_token_id", &eom},
                     {"tokenizer.ggml.fim_pad_token_id", &fim_pad}};
    capp_status st = CAPP_OK;
    for (size_t i = 0; st == CAPP_OK && i < N_KEYS; i++) st = read_id(vocab, gguf, ids[i].key, ids[i].id, err);
    if (st == CAPP_OK) st = read_flag(vocab, gguf, "tokenizer.ggml.add_bos_token", &info->add_bos, err);
    if (vocab->pre && capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_FORCE_BOS) info->add_bos = true;
    if (st == CAPP_OK) st = read_flag(vocab, gguf, "tokenizer.ggml.add_eos_token", &info->add_eos, err);
    if (st == CAPP_OK && (sentencepiece || unigram))
        st = read_flag(vocab, gguf, "tokenizer.ggml.add_space_prefix", &info->add_space_prefix, err);
    if (st != CAPP_OK) return st;
    vocab->strips_after = is_phi3(vocab, gguf);
    if (info->add_bos && info->bos == CAPP_NO_TOKEN)
        return capp_fail(
            err, CAPP_EFORMAT,
            "%s: tokenizer.ggml.bos_token_id is missing, but texts must begin with BOS; convert the model again",
            vocab->path);
    if ((st = capp_special_tokens_find_ends(vocab, err)) != CAPP_OK) return st;
    add_end(vocab, eom);
    add_end(vocab, fim_pad);
    return fill_tries(vocab, err);
}
