/* Vocabularies of RWKV in GGUF files ("rwkv"): a text is cut from left to right, at each place into the longest token
 * that begins there. Tokens are bytes, not characters. Files store them escaped: \t, \n, \r, \x and two hexadecimal
 * digits, and \ before any other character stands for this character. */
#include <string.h>

#include "base/mem.h"
#include "token/vocab_tables.h"

static int digit_of(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Writes the bytes of an escaped text to out and their number to *n. False: an escape is not complete. */
static bool unescape(capp_str text, char *out, size_t *n) {
    static const char letters[] = "tnr", bytes[] = "\t\n\r";
    *n = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '\\') {
            if (++i == text.size) return false;
            c = text.data[i];
            const char *letter = c ? strchr(letters, c) : NULL;
            if (letter)
                c = bytes[letter - letters];
            else if (c == 'x') {
                if (text.size - i < 3) return false;
                int high = digit_of(text.data[i + 1]), low = digit_of(text.data[i + 2]);
                if (high < 0 || low < 0) return false;
                c = (char)(high * 16 + low);
                i += 2;
            }
        }
        out[(*n)++] = c;
    }
    return true;
}

/* Later tokens win over earlier ones with the same bytes. Tokens that texts never contain are left out: a text may
 * spell the name of a control token. */
capp_status capp_greedy_open(capp_vocab *vocab, capp_error *err) {
    char *bytes = capp_new(vocab->longest + 1, 1);
    capp_status st = bytes ? CAPP_OK : capp_fail_memory(err, "a vocabulary");
    vocab->info.pre = "";
    for (uint32_t i = vocab->info.n_tokens; st == CAPP_OK && i--;) {
        size_t n;
        uint8_t type = vocab->types[i];
        if (!unescape(vocab->texts[i], bytes, &n))
            st = capp_fail(err, CAPP_EFORMAT,
                           "%s: tokenizer.ggml.tokens: token %u has an incomplete escape; convert the model again",
                           vocab->path, i);
        else if (type == CAPP_TOKEN_NORMAL || type == CAPP_TOKEN_USER_DEFINED || type == CAPP_TOKEN_BYTE)
            st = capp_trie_add(&vocab->greedy, (capp_str){bytes, n}, (int32_t)i, err);
    }
    capp_free(bytes);
    return st;
}

size_t capp_greedy_piece(const capp_vocab *vocab, int32_t id, char *out) {
    size_t n;
    (void)unescape(vocab->texts[id], out, &n); /* capp_greedy_open has checked it */
    return n;
}

capp_status capp_greedy_encode(const capp_vocab *vocab, capp_str text, capp_ids *out, capp_error *err) {
    for (size_t at = 0, size; at < text.size; at += size) {
        int32_t id = capp_trie_longest(&vocab->greedy, (capp_str){text.data + at, text.size - at}, &size);
        if (id == CAPP_NO_TOKEN) id = vocab->info.unk, size = 1;
        if (id == CAPP_NO_TOKEN)
            return capp_fail(
                err, CAPP_EINVAL,
                "the vocabulary has no token for byte %zu of the text, 0x%02x, and none for what is unknown", at,
                (unsigned)(unsigned char)text.data[at]);
        if (!capp_ids_push(out, id)) return capp_fail_memory(err, "ids");
    }
    return CAPP_OK;
}
