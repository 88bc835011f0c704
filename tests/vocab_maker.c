#include "vocab_maker.h"

#include "counted.h"
#include "test.h"

void token_list_add(token_list *list, const char *text, float score, int32_t type) {
    CHECK(list->n < sizeof list->texts / sizeof list->texts[0]);
    size_t size = strlen(text) + 1;
    CHECK((list->texts[list->n] = malloc(size)) != NULL);
    memcpy(list->texts[list->n], text, size);
    list->scores[list->n] = score;
    list->types[list->n++] = type;
}

void token_list_add_bytes(token_list *list) {
    unsigned substitute = 0x100;
    for (unsigned b = 0; b < 256; b++) {
        bool prints = (b > ' ' && b < 0x7f) || (b > 0xa0 && b != 0xad);
        unsigned c = prints ? b : substitute++;
        char text[3] = {(char)c, 0, 0};
        if (c >= 0x80) {
            text[0] = (char)(0xc0 | c >> 6);
            text[1] = (char)(0x80 | (c & 0x3f));
        }
        token_list_add(list, text, 0, 1);
    }
}

void token_list_add_byte_pieces(token_list *list) {
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        token_list_add(list, text, 0, 6);
    }
}

void token_list_free(token_list *list) {
    for (size_t i = 0; i < list->n; i++) free(list->texts[i]);
    list->n = 0;
}

gguf_writer *vocab_writer(const char *model, const char *pre, const token_list *list) {
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "tokenizer.ggml.model", model);
    if (pre) gguf_writer_str(w, "tokenizer.ggml.pre", pre);
    gguf_writer_str_array(w, "tokenizer.ggml.tokens", (const char *const *)list->texts, NULL, list->n);
    gguf_writer_i32_array(w, "tokenizer.ggml.token_type", list->types, list->n);
    if (!strcmp(model, "llama") || !strcmp(model, "plamo2"))
        gguf_writer_f32_array(w, "tokenizer.ggml.scores", list->scores, list->n);
    return w;
}

void write_merges(gguf_writer *w, const char *const *merges, size_t n) {
    gguf_writer_str_array(w, "tokenizer.ggml.merges", merges, NULL, n);
}

gguf_writer *greedy_writer(const char *further) {
    static const char *const texts[] = {"ab", "abc\\n",       "\\'x\\\\", "\\xe6\\xbc", "\\xe6\\xbc\\xa2b",
                                        "ab", "\\\"\\t\\r\\q"};
    token_list list = {0};
    char text[8];
    for (unsigned b = 0; b < 256; b++) {
        snprintf(text, sizeof text, b >= 32 && b < 127 && b != '\\' ? "%c" : "\\x%02x", b);
        token_list_add(&list, text, 0, NORMAL);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) token_list_add(&list, texts[i], 0, NORMAL);
    token_list_add(&list, "<s>", 0, CONTROL); /* 263 */
    token_list_add(&list, "[PAD]", 0, UNUSED);
    token_list_add(&list, "<user>", 0, USER);
    if (further) token_list_add(&list, further, 0, NORMAL);
    gguf_writer *w = vocab_writer("rwkv", NULL, &list);
    gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", 263);
    gguf_writer_u32(w, "tokenizer.ggml.eot_token_id", 257);
    token_list_free(&list);
    return w;
}

made_vocab make_vocab(gguf_writer *w) {
    made_vocab made = {0};
    size_t size;
    made.file = gguf_writer_finish(w, &size);
    made.status = capp_gguf_parse(&made.gguf, made.file, size, "tiny.gguf", &made.error);
    if (made.status == CAPP_OK) made.status = capp_vocab_open_gguf(&made.vocab, made.gguf, &made.error);
    return made;
}

void made_vocab_free(made_vocab *made) {
    capp_vocab_free(made->vocab);
    capp_gguf_free(made->gguf);
    free(made->file);
    *made = (made_vocab){0};
}

const char *ids_of(const capp_vocab *vocab, const char *text, unsigned flags) {
    static char line[20000];
    capp_ids ids = {0};
    capp_error err;
    if (capp_vocab_encode(vocab, capp_str_of(text), flags, &ids, &err) != CAPP_OK) {
        snprintf(line, sizeof line, "ERROR: %s", err.message);
    } else {
        size_t n = 0;
        line[0] = 0;
        for (size_t i = 0; i < ids.n && n < sizeof line - 20; i++)
            n += (size_t)snprintf(line + n, sizeof line - n, "%s%d", i ? " " : "", ids.data[i]);
    }
    capp_ids_free(&ids);
    return line;
}

void check_piece(const capp_vocab *vocab, int32_t id, const char *bytes, size_t size) {
    capp_str piece = capp_vocab_piece(vocab, id);
    if (piece.size != size || memcmp(piece.data, bytes, size) != 0)
        FAIL("piece %d is \"%.*s\", not \"%s\"", id, (int)piece.size, piece.data, bytes);
}

void check_refused(gguf_writer *w, capp_status status, const char *part) {
    made_vocab made = make_vocab(w);
    if (made.status != status || made.vocab) FAIL("status %d, not %d (%s)", made.status, status, part);
    CHECK_CONTAINS(made.error.message, "tiny.gguf: ");
    CHECK_CONTAINS(made.error.message, part);
    made_vocab_free(&made);
}

bool run_failing(gguf_writer *w, const char *text, size_t n) {
    size_t size;
    capp_gguf *gguf;
    capp_vocab *vocab = NULL;
    capp_error err;
    void *file = gguf_writer_finish(w, &size);
    CHECK_OK(capp_gguf_parse(&gguf, file, size, "tiny.gguf", &err), err);
    size_t before = counted.live;
    counted_fail_after(n - 1);
    err.message[0] = 0;
    capp_ids ids = {0};
    capp_status st = capp_vocab_open_gguf(&vocab, gguf, &err);
    if (st == CAPP_OK) st = capp_vocab_encode(vocab, capp_str_of(text), CAPP_TOKENIZE_SPECIAL, &ids, &err);
    bool reached = counted.failed;
    counted_fail_after(COUNTED_NEVER);
    CHECK(st == CAPP_OK || (reached && st == CAPP_ENOMEM && err.message[0]));
    if (!reached) CHECK_OK(st, err);
    capp_ids_free(&ids);
    capp_vocab_free(vocab);
    CHECK_INT(counted.live, before);
    capp_gguf_free(gguf);
    free(file);
    return reached;
}
