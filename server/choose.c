/* The answers are scored, not generated. */
#include "choose.h"

#include <stdlib.h>
#include <string.h>

#include "prepare.h"

typedef struct choosing {
    part part;
    continuing *of;
    capp_run_options how;
    capp_chat *chat;
    capp_example *examples; /* [n] */
    size_t n;
    double *probabilities; /* [n][n_options] */
    size_t *best;          /* [n] */
} choosing;

/* A conversation as a template with one message left, which is the prompt. */
static bool open_chat(choosing *g, const continuing *c, failure *f) {
    capp_error err;
    capp_chat_options options;
    const capp_message *last = &c->messages[c->n_messages - 1];
    capp_chat_options_init(&options);
    options.messages = c->messages;
    options.n_messages = c->n_messages - 1;
    if (last->role.size != 4 || memcmp(last->role.data, "user", 4) != 0)
        return refuse(f, 400, "messages", "with 'choice', the last message must be the user's");
    if (capp_chat_open(&g->chat, c->request->model->model, &options, &err) != CAPP_OK) {
        failure_of(f, &err);
        return false;
    }
    g->how.chat = g->chat;
    return true;
}

static bool on_result(void *user, const capp_result *result) {
    choosing *g = user;
    continuing *c = g->of;
    memcpy(g->probabilities + result->row * c->n_options, result->posterior, c->n_options * sizeof *result->posterior);
    g->best[result->row] = result->prediction;
    c->prompt_tokens += result->n_prompt_ids;
    c->completion_tokens += result->offset[result->n_completions];
    return true;
}

static void on_done(void *user, capp_status status, const capp_error *err) {
    const choosing *g = user;
    capp_error at;
    bool row = status != CAPP_OK && err->row != CAPP_NO_ROW && !g->of->chat;
    part_done(user, status, row ? error_at(&at, err, "prompt %zu", err->row) : err);
}

bool choose_prepare(request *r, failure *f) {
    continuing *c = r->state;
    choosing *g = c->choosing = calloc(1, sizeof *g);
    if (!g) return refuse(f, 503, "", "out of memory");
    g->of = c;
    g->n = c->chat ? 1 : c->n_prompts;
    g->examples = calloc(g->n, sizeof *g->examples);
    g->probabilities = calloc(g->n * c->n_options, sizeof *g->probabilities);
    g->best = calloc(g->n, sizeof *g->best);
    if (!g->examples || !g->probabilities || !g->best) return refuse(f, 503, "", "out of memory");
    capp_run_options_init(&g->how);
    g->how.parse_special = c->parse_special;
    for (size_t i = 0; c->chat && i < c->n_messages; i++)
        if (!prepare_fits(r, c->messages[i].content, f, "message %zu", i)) return false;
    for (size_t i = 0; i < c->n_options; i++)
        if (!prepare_fits(r, c->options[i], f, "choice %zu", i)) return false;
    if (c->chat && !open_chat(g, c, f)) return false;
    for (size_t i = 0; i < g->n; i++) {
        if (!c->chat && c->prompts[i].ids) return refuse(f, 400, "prompt", "with 'choice', 'prompt' must be text");
        g->examples[i] = (capp_example){.prompt = c->chat ? c->messages[c->n_messages - 1].content : c->prompts[i].text,
                                        .completions = c->options,
                                        .n_completions = c->n_options,
                                        .normalize = true};
        if (!c->chat && !prepare_fits(r, c->prompts[i].text, f, "prompt %zu", i)) return false;
    }
    return true;
}

bool choose_begin(request *r, failure *f) {
    const continuing *c = r->state;
    choosing *g = c->choosing;
    capp_error err;
    if (!request_add(r, &g->part, f)) return false;
    capp_status st =
        capp_queue_score(r->model->queue, g->examples, g->n, &g->how, on_result, on_done, g, &g->part.job, &err);
    return part_begun(&g->part, st, &err, f);
}

void choose_finish(request *r) {
    const continuing *c = r->state;
    const choosing *g = c->choosing;
    text t = {0};
    put_head(&t, c, false);
    for (size_t i = 0; i < g->n; i++) {
        capp_str best = c->options[g->best[i]];
        text_printf(&t, "%s{\"index\": %zu, ", i ? ", " : ", \"choices\": [", i);
        text_put(&t,
                 c->chat ? "\"message\": {\"role\": \"assistant\", \"refusal\": null, \"content\": " : "\"text\": ");
        text_string(&t, best.data, best.size);
        text_put(&t, c->chat ? "}, \"choice\": [" : ", \"choice\": [");
        for (size_t k = 0; k < c->n_options; k++) {
            text_put(&t, k ? ", {\"text\": " : "{\"text\": ");
            text_string(&t, c->options[k].data, c->options[k].size);
            text_put(&t, ", \"probability\": ");
            text_double(&t, g->probabilities[i * c->n_options + k]);
            text_put(&t, "}");
        }
        text_put(&t, "], \"logprobs\": null, \"finish_reason\": \"stop\"}");
    }
    text_put(&t, "]");
    put_usage(&t, c);
    text_put(&t, "}\n");
    request_answer(r, 200, "application/json", &t);
}

void choose_drop(continuing *c) {
    choosing *g = c->choosing;
    if (!g) return;
    capp_chat_free(g->chat);
    free(g->examples);
    free(g->probabilities);
    free(g->best);
    free(g);
}
