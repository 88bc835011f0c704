/* /v1/classify: many texts, one list of classes. The results are those of `capp classify` on the same rows. */
#include "classify.h"

#include <stdlib.h>
#include <string.h>

#include "fill.h"
#include "prepare.h"

enum { MOST_TEXTS = 10000 };

typedef struct row {
    text prompt;
    text result; /* of an answer that does not stream */
} row;

typedef struct classifying {
    part part;
    request *request;
    capp_str template, system;
    capp_str *classes;
    size_t n_classes;
    double *prior;
    bool multi_label, chat, stream, logprobs, likelihoods;
    capp_str end_of_prompt;
    char ends[2]; /* end_of_prompt as a string */
    capp_run_options how;
    capp_chat *own_chat; /* with a system message */
    row *rows;
    capp_example *examples;
    size_t n, done, prompt_tokens, tokens;
} classifying;

const size_t classify_state = sizeof(classifying);

/* ---- The request ---- */

static bool read_prior(classifying *c, const json_t *o, failure *f) {
    const json_t *prior = field(o, "prior");
    if (!prior) return true;
    if (!json_is_array(prior) || json_array_size(prior) != c->n_classes)
        return refuse(f, 400, "prior", "'prior' must be an array of %zu numbers, one for each class", c->n_classes);
    if (!(c->prior = calloc(c->n_classes, sizeof *c->prior))) return refuse(f, 503, "prior", "out of memory");
    for (size_t i = 0; i < c->n_classes; i++) {
        const json_t *p = json_array_get(prior, i);
        if (!json_is_number(p)) return refuse(f, 400, "prior", "'prior' must be an array of numbers");
        c->prior[i] = json_number_value(p);
    }
    return true;
}

static bool read_aggregate(classifying *c, const json_t *o, failure *f) {
    static const char *const names[] = {
        [CAPP_AGGREGATE_MEAN] = "mean", [CAPP_AGGREGATE_SUM] = "sum", [CAPP_AGGREGATE_BYTES] = "bytes"};
    capp_str given = capp_str_of("mean");
    if (!field_string(o, "aggregate", &given, f)) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (given.size == strlen(names[i]) && !memcmp(given.data, names[i], given.size)) {
            c->how.aggregate = (capp_aggregate)i;
            return true;
        }
    return refuse(f, 400, "aggregate", "'aggregate' must be mean, sum or bytes");
}

static bool read_end(classifying *c, const json_t *o, failure *f) {
    capp_str end = {0};
    if (!field_string(o, "end_of_prompt", &end, f)) return false;
    if (end.size > 1 || (end.size && *end.data != ' '))
        return refuse(f, 400, "end_of_prompt", "'end_of_prompt' must be \" \" or \"\"");
    c->end_of_prompt = end;
    if (end.size) c->ends[0] = ' ';
    return true;
}

static bool read_rows(classifying *c, const json_t *o, failure *f) {
    const json_t *texts = field(o, "texts");
    size_t n = json_is_array(texts) ? json_array_size(texts) : json_is_string(texts);
    if (!n || n > MOST_TEXTS)
        return refuse(f, 400, "texts", "'texts' must be an array of 1 to %d strings or objects", MOST_TEXTS);
    c->rows = calloc(n, sizeof *c->rows);
    c->examples = calloc(n, sizeof *c->examples);
    if (!c->rows || !c->examples) return refuse(f, 503, "texts", "out of memory");
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        capp_error err;
        const fill_item item = {json_is_array(texts) ? json_array_get(texts, i) : texts, i};
        text *prompt = &c->rows[i].prompt;
        if (!fill_template(prompt, c->template, &item, request_room(c->request), f)) return false;
        if (prompt->failed) return refuse(f, 503, "texts", "out of memory");
        c->request->prompt_bytes += prompt->size;
        c->examples[i] = (capp_example){.prompt = text_view(&c->rows[i].prompt),
                                        .completions = c->classes,
                                        .n_completions = c->n_classes,
                                        .prior = c->prior,
                                        .end_of_prompt = c->end_of_prompt.data ? c->ends : NULL,
                                        .normalize = !c->multi_label};
        if (capp_example_check(&c->examples[i], &err) != CAPP_OK)
            return refuse(f, 400, "", "text %zu: %s", i, err.message);
    }
    return true;
}

bool classify_parse(request *r, failure *f) {
    static const char known[] = "model texts classes template prior multi_label aggregate end_of_prompt chat system "
                                "parse_special stream logprobs likelihoods";
    classifying *c = r->state;
    const json_t *o = r->json;
    c->request = r;
    capp_run_options_init(&c->how);
    if (!fields_known(o, known, "", f)) return false;
    if (!field_strings(o, "classes", r->server->options->most_classes, &c->classes, &c->n_classes, f)) return false;
    if (!c->classes) return refuse(f, 400, "classes", "the field 'classes' is missing");
    if (!field_string(o, "template", &c->template, f) || !field_string(o, "system", &c->system, f)) return false;
    if (!field_bool(o, "multi_label", &c->multi_label, f) || !field_bool(o, "chat", &c->chat, f)) return false;
    if (!field_bool(o, "stream", &c->stream, f) || !field_bool(o, "logprobs", &c->logprobs, f)) return false;
    if (!field_bool(o, "likelihoods", &c->likelihoods, f)) return false;
    if (!field_bool(o, "parse_special", &c->how.parse_special, f)) return false;
    if (c->system.data && !c->chat) return refuse(f, 400, "system", "'system' needs \"chat\": true");
    if (c->n_classes == 1 && !c->multi_label)
        return refuse(f, 400, "classes",
                      "'classes' has only one class, so its probability would always be 1; list at least two, or send "
                      "\"multi_label\": true for its likelihood");
    return read_prior(c, o, f) && read_aggregate(c, o, f) && read_end(c, o, f) && read_rows(c, o, f);
}

/* ---- Results ---- */

static void put_numbers(text *t, const char *name, const double *numbers, size_t n) {
    text_printf(t, ", \"%s\": [", name);
    for (size_t i = 0; i < n; i++) {
        if (i) text_put(t, ", ");
        text_double(t, numbers[i]);
    }
    text_put(t, "]");
}

/* The tokens of each class with their log-probabilities. */
static void put_tokens(text *t, const classifying *c, const capp_result *result) {
    text_put(t, ", \"logprobs\": [");
    for (size_t i = 0; i < result->n_completions; i++) {
        text_put(t, i ? "], [" : "[");
        for (size_t k = result->offset[i]; k < result->offset[i + 1]; k++) {
            char *piece = NULL;
            size_t size = 0;
            if (capp_detokenize(c->request->model->model, &result->ids[k], 1, &piece, &size, NULL) != CAPP_OK) size = 0;
            text_put(t, k > result->offset[i] ? ", {\"token\": " : "{\"token\": ");
            text_string(t, piece, size);
            text_put(t, ", \"logprob\": ");
            text_float(t, result->logprobs[k]);
            text_put(t, "}");
            capp_free(piece);
        }
    }
    text_put(t, "]]");
}

static bool on_result(void *user, const capp_result *result) {
    classifying *c = user;
    text *t = &c->rows[result->row].result;
    capp_str best = c->classes[result->prediction];
    text_printf(t, "{\"index\": %zu, \"prediction\": ", result->row);
    text_string(t, best.data, best.size);
    put_numbers(t, "probabilities", result->posterior, result->n_classes);
    if (c->likelihoods) put_numbers(t, "likelihoods", result->likelihood, result->n_classes);
    if (c->logprobs) put_tokens(t, c, result);
    text_put(t, "}");
    c->done++;
    c->prompt_tokens += result->n_prompt_ids;
    c->tokens += result->offset[result->n_completions];
    if (!c->stream) return request_take_answer(c->request, t->capacity);
    text_put(t, "\n");
    return request_stream(c->request, "application/jsonl", t, false);
}

static void on_done(void *user, capp_status status, const capp_error *err) {
    capp_error at;
    bool known = status != CAPP_OK && err->row != CAPP_NO_ROW;
    part_done(user, status, known ? error_at(&at, err, "text %zu", err->row) : err);
}

static bool open_chat(classifying *c, const model *m, failure *f) {
    capp_error err;
    capp_chat_options options;
    const capp_message system = {capp_str_of("system"), c->system};
    if (!m->chat) {
        failure_of(f, &m->chat_error);
        return false;
    }
    c->how.chat = m->chat;
    if (!c->system.data) return true;
    capp_chat_options_init(&options);
    options.messages = &system;
    options.n_messages = 1;
    if (capp_chat_open(&c->own_chat, m->model, &options, &err) != CAPP_OK) {
        failure_of(f, &err);
        return false;
    }
    c->how.chat = c->own_chat;
    return true;
}

/* The prompts become tokens in the queue, row by row. */
bool classify_prepare(request *r, failure *f) {
    classifying *c = r->state;
    for (size_t i = 0; i < c->n_classes; i++)
        if (!prepare_fits(r, c->classes[i], f, "class %zu", i)) return false;
    for (size_t i = 0; i < c->n; i++)
        if (!prepare_fits(r, c->examples[i].prompt, f, "text %zu", i)) return false;
    return !c->chat || open_chat(c, r->model, f);
}

bool classify_begin(request *r, failure *f) {
    classifying *c = r->state;
    capp_error err;
    if (!request_add(r, &c->part, f)) return false;
    capp_status st =
        capp_queue_score(r->model->queue, c->examples, c->n, &c->how, on_result, on_done, c, &c->part.job, &err);
    return part_begun(&c->part, st, &err, f);
}

void classify_finish(request *r) {
    const classifying *c = r->state;
    text t = {0};
    if (c->stream) {
        request_stream(r, "application/jsonl", &t, true);
        return;
    }
    text_put(&t, "{\"model\": ");
    text_word(&t, r->model->name);
    text_put(&t, ", \"results\": [");
    for (size_t i = 0; i < c->n; i++) {
        if (i) text_put(&t, ", ");
        text_add(&t, c->rows[i].result.data, c->rows[i].result.size);
        t.failed |= c->rows[i].result.failed;
    }
    text_printf(&t, "], \"usage\": {\"prompt_tokens\": %zu, \"completion_tokens\": %zu, \"total_tokens\": %zu}}\n",
                c->prompt_tokens, c->tokens, c->prompt_tokens + c->tokens);
    request_answer(r, 200, "application/json", &t);
}

void classify_drop(request *r) {
    classifying *c = r->state;
    for (size_t i = 0; i < c->n; i++) {
        text_free(&c->rows[i].prompt);
        text_free(&c->rows[i].result);
    }
    capp_chat_free(c->own_chat);
    free(c->rows);
    free(c->examples);
    free(c->classes);
    free(c->prior);
}
