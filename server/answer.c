/* Parts of answers, in the two forms of OpenAI's interfaces. */
#include "answer.h"

#include <string.h>

void put_head(text *t, const continuing *c, bool piece) {
    const char *object = !c->chat ? "text_completion" : piece ? "chat.completion.chunk" : "chat.completion";
    text_printf(t, "{\"id\": \"%s\", \"object\": \"%s\", \"created\": %lld, \"model\": ", c->request->id, object,
                (long long)c->request->created);
    text_word(t, c->request->model->name);
}

void put_usage(text *t, const continuing *c) {
    text_printf(t, ", \"usage\": {\"prompt_tokens\": %zu, \"completion_tokens\": %zu, \"total_tokens\": %zu}",
                c->prompt_tokens, c->completion_tokens, c->prompt_tokens + c->completion_tokens);
}

/* ---- Log-probabilities of tokens ---- */

static capp_str piece_of(const choice *ch, const record *r) {
    return (capp_str){ch->text.data + r->start, r->size};
}

/* The bytes of a token that is not part of the text. */
typedef struct token_bytes {
    char *data; /* freed with capp_free */
    size_t size;
} token_bytes;

static token_bytes bytes_of(const choice *ch, int32_t id) {
    token_bytes bytes = {0};
    if (capp_detokenize(ch->of->request->model->model, &id, 1, &bytes.data, &bytes.size, NULL) != CAPP_OK)
        bytes.size = 0;
    return bytes;
}

static bool is_text(const char *data, size_t size) {
    for (size_t i = 0, n; i < size; i += n)
        if (!(n = text_character(data + i, size - i)) || n == SIZE_MAX) return false;
    return true;
}

/* A token as a string. Bytes that are a part of a character are written as "bytes:\xe2\x82". */
static void put_token(text *t, const char *data, size_t size) {
    if (is_text(data, size)) {
        text_string(t, data, size);
        return;
    }
    text_put(t, "\"bytes:");
    for (size_t i = 0; i < size; i++) text_printf(t, "\\\\x%02x", (unsigned char)data[i]);
    text_put(t, "\"");
}

static void put_id(text *t, const choice *ch, int32_t id) {
    token_bytes bytes = bytes_of(ch, id);
    put_token(t, bytes.data, bytes.size);
    capp_free(bytes.data);
}

static bool is_among(const token_bytes *all, size_t n, const token_bytes *one) {
    for (size_t i = 0; i < n; i++)
        if (all[i].size == one->size && (!one->size || !memcmp(all[i].data, one->data, one->size))) return true;
    return false;
}

/* ---- /v1/completions ---- */

/* The most probable tokens, and the token itself if it is not one of them. Of tokens with the same bytes, the most
 * probable one. */
static void put_tops(text *t, const choice *ch, const record *r) {
    token_bytes all[CAPP_MOST_TOP + 1];
    if (!r->n_top) {
        text_put(t, "null");
        return;
    }
    text_put(t, "{");
    for (size_t i = 0; i <= r->n_top; i++) {
        const top own = {r->id, r->logprob}, *of = i < r->n_top ? &ch->tops[r->top + i] : &own;
        all[i] = bytes_of(ch, of->id);
        if (is_among(all, i, &all[i])) continue;
        if (i) text_put(t, ", ");
        put_token(t, all[i].data, all[i].size);
        text_put(t, ": ");
        text_float(t, of->logprob);
    }
    text_put(t, "}");
    for (size_t i = 0; i <= r->n_top; i++) capp_free(all[i].data);
}

static void put_completion_logprobs(text *t, const choice *ch, size_t from, size_t to) {
    text_put(t, "{\"tokens\": [");
    for (size_t i = from; i < to; i++) {
        capp_str piece = piece_of(ch, &ch->records[i]);
        if (i > from) text_put(t, ", ");
        if (ch->records[i].end)
            put_id(t, ch, ch->records[i].id);
        else
            put_token(t, piece.data, piece.size);
    }
    text_put(t, "], \"token_logprobs\": [");
    for (size_t i = from; i < to; i++) {
        if (i > from) text_put(t, ", ");
        text_float(t, ch->records[i].logprob);
    }
    text_put(t, "], \"top_logprobs\": ");
    for (size_t i = from; i < to && ch->of->top; i++) {
        text_put(t, i > from ? ", " : "[");
        put_tops(t, ch, &ch->records[i]);
    }
    text_put(t, !ch->of->top ? "null" : from < to ? "]" : "[]");
    text_put(t, ", \"text_offset\": [");
    /* The number of characters before the token. A token that begins within a character has the place of that
     * character. */
    size_t at = 0, characters = 0;
    for (size_t i = from; i < to; i++) {
        characters += text_characters(ch->text.data, ch->text.size, ch->records[i].start, &at);
        text_printf(t, i > from ? ", %zu" : "%zu", characters);
    }
    text_put(t, "]}");
}

/* ---- /v1/chat/completions ---- */

static void put_bytes(text *t, const char *data, size_t size) {
    text_put(t, "[");
    for (size_t i = 0; i < size; i++) text_printf(t, i ? ", %u" : "%u", (unsigned char)data[i]);
    text_put(t, "]");
}

static void put_chat_token(text *t, const char *data, size_t size, float logprob) {
    text_put(t, "{\"token\": ");
    put_token(t, data, size);
    text_put(t, ", \"logprob\": ");
    text_float(t, logprob);
    text_put(t, ", \"bytes\": ");
    put_bytes(t, data, size);
}

static void put_chat_logprobs(text *t, const choice *ch, size_t from, size_t to) {
    text_put(t, "{\"content\": [");
    for (size_t i = from; i < to; i++) {
        const record *r = &ch->records[i];
        capp_str piece = piece_of(ch, r);
        if (i > from) text_put(t, ", ");
        put_chat_token(t, piece.data, piece.size, r->logprob);
        text_put(t, ", \"top_logprobs\": [");
        for (size_t k = 0; k < r->n_top; k++) {
            const top *of = &ch->tops[r->top + k];
            token_bytes bytes = bytes_of(ch, of->id);
            if (k) text_put(t, ", ");
            put_chat_token(t, bytes.data, bytes.size, of->logprob);
            text_put(t, "}");
            capp_free(bytes.data);
        }
        text_put(t, "]}");
    }
    text_put(t, "], \"refusal\": null}");
}

void put_logprobs(text *t, const choice *ch, size_t from, size_t to) {
    if (!ch->of->logprobs)
        text_put(t, "null");
    else if (ch->of->chat)
        put_chat_logprobs(t, ch, from, to);
    else
        put_completion_logprobs(t, ch, from, to);
}
