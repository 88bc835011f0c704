/* Texts are continued: tokens arrive from the queue and become an answer, at once or piece by piece. */
#include "continue.h"

#include <stdlib.h>
#include <string.h>

#include "choose.h"
#include "prepare.h"

const size_t continue_state = sizeof(continuing);

/* ---- Writing ---- */

static void put_finish(text *t, const char *finish) {
    text_put(t, ", \"finish_reason\": ");
    if (finish)
        text_word(t, finish);
    else
        text_put(t, "null");
    text_put(t, "}");
}

static void put_choice(text *t, const choice *ch) {
    text_printf(t, "{\"index\": %zu, ", ch->index);
    text_put(t,
             ch->of->chat ? "\"message\": {\"role\": \"assistant\", \"refusal\": null, \"content\": " : "\"text\": ");
    text_string(t, ch->text.data, ch->text.size);
    text_put(t, ch->of->chat ? "}, \"logprobs\": " : ", \"logprobs\": ");
    put_logprobs(t, ch, 0, ch->n_records);
    put_finish(t, ch->finish);
}

/* Sends the text up to `end` as an event. False: there is no room for it. */
static bool send_piece(choice *ch, size_t end, const char *finish) {
    const continuing *c = ch->of;
    text t = {0};
    size_t to = ch->records_passed;
    while (to < ch->n_records && ch->records[to].start + ch->records[to].size <= end) to++;
    if (finish) to = ch->n_records;
    text_put(&t, "data: ");
    put_head(&t, c, true);
    text_printf(&t, ", \"choices\": [{\"index\": %zu, ", ch->index);
    text_put(&t, !c->chat    ? "\"text\": "
                 : ch->begun ? "\"delta\": {\"content\": "
                             : "\"delta\": {\"role\": \"assistant\", \"content\": ");
    text_string(&t, ch->text.data + ch->passed, end - ch->passed);
    text_put(&t, c->chat ? "}, \"logprobs\": " : ", \"logprobs\": ");
    put_logprobs(&t, ch, ch->records_passed, to);
    put_finish(&t, finish);
    text_put(&t, c->usage ? "], \"usage\": null}\n\n" : "]}\n\n");
    ch->passed = end;
    ch->records_passed = to;
    ch->begun = true;
    return request_stream(c->request, "text/event-stream", &t, false);
}

/* The end of the text that can be sent: the rest may be the beginning of a stop string, or a part of a character. */
static size_t safe_end(const choice *ch) {
    size_t hold = ch->of->longest_stop ? ch->of->longest_stop - 1 : 0;
    size_t own = ch->text.size - ch->echoed, end = ch->text.size - (hold < own ? hold : own);
    size_t back = 0;
    while (back < 3 && back < end - ch->passed) {
        back++;
        unsigned char c = (unsigned char)ch->text.data[end - back];
        if ((c & 0xc0) == 0x80) continue;
        if (text_character(ch->text.data + end - back, back) == SIZE_MAX) end -= back;
        break;
    }
    return end;
}

/* ---- Tokens ---- */

enum { TOP_BYTES = sizeof(top) + 48, RECORD_BYTES = sizeof(record) + 96 }; /* in memory and in the answer */

static bool add_record(choice *ch, const capp_token *token, capp_str piece, bool end) {
    if (!request_take_answer(ch->of->request, RECORD_BYTES + token->n_top * TOP_BYTES)) return false;
    if (ch->n_records == ch->records_capacity) {
        size_t capacity = ch->records_capacity ? 2 * ch->records_capacity : 64;
        record *records = realloc(ch->records, capacity * sizeof *records);
        if (!records) return false;
        ch->records = records;
        ch->records_capacity = capacity;
    }
    if (ch->n_tops + token->n_top > ch->tops_capacity) {
        size_t capacity = 2 * (ch->n_tops + token->n_top);
        top *tops = realloc(ch->tops, capacity * sizeof *tops);
        if (!tops) return false;
        ch->tops = tops;
        ch->tops_capacity = capacity;
    }
    ch->records[ch->n_records++] =
        (record){token->id, token->logprob, end, ch->text.size, piece.size, ch->n_tops, token->n_top};
    for (size_t i = 0; i < token->n_top; i++) ch->tops[ch->n_tops++] = (top){token->top[i], token->top_logprobs[i]};
    return true;
}

/* Adds to the text of the answer, if there is room for it. */
static bool add_text(choice *ch, const char *data, size_t size) {
    size_t before = ch->text.capacity;
    text_add(&ch->text, data, size);
    return request_take_answer(ch->of->request, ch->text.capacity - before) && !ch->text.failed;
}

/* Whether a stop string is in the text that the last `size` bytes have completed. If so, the text ends before the first
 * one. */
static bool find_stop(choice *ch, size_t size) {
    const continuing *c = ch->of;
    size_t back = size + c->longest_stop, own = ch->text.size - ch->echoed;
    size_t from = ch->text.size - (back < own ? back : own), first = SIZE_MAX;
    for (size_t i = 0; i < c->n_stop; i++)
        for (size_t at = from; at + c->stop[i].size <= ch->text.size && at < first; at++)
            if (!memcmp(ch->text.data + at, c->stop[i].data, c->stop[i].size)) first = at;
    if (first == SIZE_MAX) return false;
    ch->text.size = first;
    ch->text.data[first] = 0;
    while (ch->n_records && ch->records[ch->n_records - 1].start >= first && ch->n_records > ch->records_passed)
        ch->n_records--;
    if (ch->n_records) {
        record *last = &ch->records[ch->n_records - 1];
        if (last->start + last->size > first) last->size = first > last->start ? first - last->start : 0;
    }
    return true;
}

static bool on_token(void *user, const capp_token *token) {
    choice *ch = user;
    continuing *c = ch->of;
    capp_str piece = token->piece;
    if (!token->generated && token->index < ch->first) return true;
    bool end = token->finish && !strcmp(token->finish, "eos");
    if (token->generated) ch->generated++, c->completion_tokens++;
    if (!token->generated && token->index == ch->first && ch->drop_space) piece.data++, piece.size--;
    if (end) piece.size = 0;
    if (c->logprobs && !(end && c->chat) && !add_record(ch, token, piece, end)) ch->failed = true;
    if (!add_text(ch, piece.data, piece.size)) ch->failed = true;
    if (!token->generated) ch->echoed = ch->text.size;
    if (ch->failed) return false;
    if (token->generated && find_stop(ch, piece.size)) {
        ch->finish = "stop";
        ch->part.complete = true;
        return false;
    }
    if (token->finish) ch->finish = end ? "stop" : "length";
    if (c->stream && !token->finish) {
        size_t safe = safe_end(ch);
        if (safe > ch->passed && !send_piece(ch, safe, NULL)) return false;
    }
    return true;
}

/* ---- Beginning ---- */

/* Finds what the tokens of a prompt give for its text: tokenizers may begin with BOS and with a space. */
static bool fit_echo(choice *ch, const prompt *p, failure *f) {
    const int32_t *ids = p->ids;
    size_t n = p->n_ids;
    capp_error err;
    char *joined;
    size_t size;
    const capp_model *opened = ch->of->request->model->model;
    capp_model_info info;
    capp_model_get_info(opened, &info);
    if (p->text.data && n > 1 && info.add_bos && ids[0] == info.bos) ch->first = 1;
    if (capp_detokenize(opened, ids + ch->first, n - ch->first, &joined, &size, &err) != CAPP_OK) {
        failure_of(f, &err);
        return false;
    }
    ch->drop_space =
        p->text.data && size == p->text.size + 1 && joined[0] == ' ' && !memcmp(joined + 1, p->text.data, p->text.size);
    bool has_room = ch->of->logprobs || add_text(ch, joined + ch->drop_space, size - ch->drop_space);
    ch->echoed = ch->text.size;
    capp_free(joined);
    if (!has_room) *f = ch->of->request->failure;
    return has_room;
}

/* The conversation fits if its messages do. */
static bool fits(const continuing *c, const prompt *p, failure *f) {
    for (size_t i = 0; c->chat && i < c->n_messages; i++)
        if (!prepare_fits(c->request, c->messages[i].content, f, "message %zu", i)) return false;
    return prepare_fits(c->request, p->text, f, "prompt %zu", (size_t)(p - c->prompts));
}

/* An error of a prompt, or of the conversation. */
static const capp_error *at_prompt(capp_error *to, const capp_error *err, const continuing *c, size_t i) {
    return c->chat ? err : error_at(to, err, "prompt %zu", i);
}

/* The tokens of a prompt, or of the conversation. */
static bool encode(const continuing *c, prompt *p, failure *f) {
    capp_error err, named;
    const model *m = c->request->model;
    unsigned special = c->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
    capp_status st;
    if (!fits(c, p, f)) return false;
    if (c->chat && !m->chat) {
        failure_of(f, &m->chat_error);
        return false;
    }
    st = c->chat ? capp_chat_tokenize(m->chat, c->messages, c->n_messages, special, &p->made, &p->n_ids, &err)
                 : capp_tokenize(m->model, p->text, CAPP_TOKENIZE_BOS | special, &p->made, &p->n_ids, &err);
    p->ids = p->made;
    if (st == CAPP_OK) return true;
    failure_of(f, at_prompt(&named, &err, c, (size_t)(p - c->prompts)));
    return false;
}

bool continue_prepare(request *r, failure *f) {
    continuing *c = r->state;
    if (c->n_options) return choose_prepare(r, f);
    if (c->chat) { /* its messages are one prompt */
        if (!(c->prompts = calloc(1, sizeof *c->prompts))) return refuse(f, 503, "", "out of memory");
        c->n_prompts = 1;
    }
    if (!(c->choices = calloc(c->n_prompts * c->n, sizeof *c->choices))) return refuse(f, 503, "", "out of memory");
    for (size_t i = 0; i < c->n_prompts; i++) {
        prompt *p = &c->prompts[i];
        if (!p->ids && !encode(c, p, f)) return false;
        c->prompt_tokens += p->n_ids;
        for (size_t k = 0; k < c->n; k++) {
            choice *ch = &c->choices[c->n_choices];
            ch->of = c;
            ch->index = c->n_choices++;
            if (c->echo && !fit_echo(ch, p, f)) return false;
        }
    }
    return true;
}

static bool add_choice(continuing *c, choice *ch, failure *f) {
    capp_error err, named;
    capp_continuation how;
    size_t prompt_index = ch->index / c->n;
    const prompt *p = &c->prompts[prompt_index];
    size_t context = c->request->model->info.context;
    capp_continuation_init(&how);
    how.ids = p->ids;
    how.n_ids = p->n_ids;
    how.score = c->echo && c->logprobs;
    how.top = c->top;
    how.max_tokens = c->max_tokens;
    if (!c->limited && context > p->n_ids && how.max_tokens > context - p->n_ids) how.max_tokens = context - p->n_ids;
    how.temperature = c->temperature;
    how.top_p = c->top_p;
    how.seed = c->seed + ch->index % c->n;
    how.ignore_eos = c->ignore_eos;
    if (!how.max_tokens) ch->finish = "length";
    if (!request_add(c->request, &ch->part, f)) return false;
    capp_status st = capp_queue_continue(c->request->model->queue, &how, on_token, part_done, ch, &ch->part.job, &err);
    return part_begun(&ch->part, st, st == CAPP_OK ? &err : at_prompt(&named, &err, c, prompt_index), f);
}

bool continue_begin(request *r, failure *f) {
    continuing *c = r->state;
    if (c->n_options) return choose_begin(r, f);
    for (size_t i = 0; i < c->n_choices; i++)
        if (!add_choice(c, &c->choices[i], f)) return false;
    return true;
}

/* ---- The end ---- */

static void finish_stream(request *r) {
    continuing *c = r->state;
    text t = {0};
    for (size_t i = 0; i < c->n_choices; i++) {
        choice *ch = &c->choices[i];
        send_piece(ch, ch->text.size, ch->finish);
    }
    if (c->usage) {
        text_put(&t, "data: ");
        put_head(&t, c, true);
        text_put(&t, ", \"choices\": []");
        put_usage(&t, c);
        text_put(&t, "}\n\n");
    }
    text_put(&t, "data: [DONE]\n\n");
    request_stream(r, "text/event-stream", &t, true);
}

void continue_finish(request *r) {
    continuing *c = r->state;
    text t = {0};
    if (c->n_options) {
        choose_finish(r);
        return;
    }
    if (c->stream) {
        finish_stream(r);
        return;
    }
    put_head(&t, c, false);
    for (size_t i = 0; i < c->n_choices; i++) {
        text_put(&t, i ? ", " : ", \"choices\": [");
        put_choice(&t, &c->choices[i]);
    }
    text_put(&t, "]");
    put_usage(&t, c);
    text_put(&t, "}\n");
    request_answer(r, 200, "application/json", &t);
}

void continue_drop(request *r) {
    continuing *c = r->state;
    for (size_t i = 0; i < c->n_choices; i++) {
        text_free(&c->choices[i].text);
        free(c->choices[i].records);
        free(c->choices[i].tops);
    }
    for (size_t i = 0; i < c->n_prompts; i++) {
        prompt *p = &c->prompts[i];
        if (p->ids != p->made) free(p->ids);
        capp_free(p->made);
    }
    choose_drop(c);
    free(c->choices);
    free(c->prompts);
    free(c->messages);
    free(c->options);
    free(c->stop);
}
