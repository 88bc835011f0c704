/* /v1/systemone: questions about a text, answered with probabilities. The interface of typesafe-sdk, as far as a causal
 * model can answer: choices, scores and yes/no questions, not images. */
#include "classify.h"

#include <stdlib.h>
#include <string.h>

#include "prepare.h"

enum { MOST_QUESTIONS = 100 };

typedef struct question {
    const char *name;
    const char *type; /* "noul", "choice" or "score" */
    const json_t *criteria;
    text prompt;
    capp_str *options;
    text *labels; /* [n] of a score: its number */
    size_t n;
    double *probabilities;
    size_t best;
} question;

typedef struct asking {
    part part;
    request *request;
    question *questions;
    size_t n, input_tokens, output_tokens;
    capp_example *examples;
    capp_run_options how;
} asking;

const size_t systemone_state = sizeof(asking);

/* ---- The request ---- */

/* Text as it is; objects and arrays as JSON. */
static void put_content(text *t, const json_t *content) {
    if (json_is_string(content)) {
        text_add(t, json_string_value(content), json_string_length(content));
        return;
    }
    char *json = json_dumps(content, JSON_ENCODE_ANY | JSON_PRESERVE_ORDER);
    if (json)
        text_put(t, json);
    else
        t->failed = true;
    free(json);
}

static bool is_content(const json_t *value) {
    return json_is_string(value) || json_is_object(value) || json_is_array(value);
}

/* Appends "- label: description" for each option. */
static void put_options(text *t, const question *q, const json_t *const *descriptions) {
    for (size_t i = 0; i < q->n; i++) {
        text_put(t, "\n- ");
        text_add(t, q->options[i].data, q->options[i].size);
        if (!descriptions[i] || json_is_null(descriptions[i])) continue;
        text_put(t, ": ");
        put_content(t, descriptions[i]);
    }
}

static bool make_options(question *q, size_t n, failure *f) {
    q->n = n;
    q->options = calloc(n, sizeof *q->options);
    q->labels = calloc(n, sizeof *q->labels);
    q->probabilities = calloc(n, sizeof *q->probabilities);
    return (q->options && q->labels && q->probabilities) || refuse(f, 503, "questions", "out of memory");
}

/* The options of a question and what describes them. */
static bool read_options(question *q, const json_t **descriptions, failure *f) {
    if (!strcmp(q->type, "noul")) {
        if (q->criteria && !fields_known(q->criteria, "true false", "criteria.", f)) return false;
        q->options[0] = capp_str_of("yes");
        q->options[1] = capp_str_of("no");
        descriptions[0] = json_object_get(q->criteria, "true");
        descriptions[1] = json_object_get(q->criteria, "false");
        return true;
    }
    if (!strcmp(q->type, "score")) {
        for (size_t i = 0; i < q->n; i++) {
            text_printf(&q->labels[i], "%zu", i);
            if (q->labels[i].failed) return refuse(f, 503, "questions", "out of memory");
            q->options[i] = text_view(&q->labels[i]);
            descriptions[i] = json_array_get(q->criteria, i);
        }
        return true;
    }
    const char *label;
    json_t *description;
    size_t i = 0;
    json_object_foreach((json_t *)q->criteria, label, description) {
        if (!*label) return refuse(f, 400, "questions", "question '%s' has a choice without a name", q->name);
        descriptions[i] = description;
        q->options[i++] = capp_str_of(label);
    }
    return true;
}

/* Whether what describes options is text, an object or an array; or nothing, if it need not be there. */
static bool check_contents(const question *q, const json_t *const *descriptions, bool needed, failure *f) {
    for (size_t i = 0; i < q->n; i++) {
        bool missing = !descriptions[i] || json_is_null(descriptions[i]);
        if (missing ? needed : !is_content(descriptions[i]))
            return refuse(f, 400, "questions", "the criteria of question '%.100s' must be text, objects or arrays",
                          q->name);
    }
    return true;
}

/* Number of options, or 0 and an error. */
static size_t count_options(const question *q, size_t most, failure *f) {
    bool noul = !strcmp(q->type, "noul"), choice = !strcmp(q->type, "choice"), score = !strcmp(q->type, "score");
    size_t n = noul ? 2 : choice ? json_object_size(q->criteria) : score ? json_array_size(q->criteria) : 0;
    if (!noul && !choice && !score)
        refuse(f, 400, "questions", "question '%.100s' has type '%.30s'; this model answers noul, choice and score",
               q->name, q->type);
    else if (!n || n > most)
        refuse(f, 400, "questions", "question '%.100s' must have 1 to %zu criteria", q->name, most);
    else if (noul && q->criteria && !json_is_object(q->criteria))
        refuse(f, 400, "questions", "the criteria of question '%.100s' must be an object", q->name);
    else
        return n;
    return 0;
}

static bool read_question(asking *a, question *q, const json_t *state, const json_t *given, failure *f) {
    const json_t *instructions = field(given, "instructions");
    q->type = json_string_value(json_object_get(given, "type"));
    q->criteria = field(given, "criteria");
    if (!q->type) return refuse(f, 400, "questions", "question '%.100s' must be an object with a type", q->name);
    if (!fields_known(given, "type instructions criteria", "questions[].", f)) return false;
    if (instructions && !is_content(instructions))
        return refuse(f, 400, "questions", "the instructions of question '%.100s' must be text, an object or an array",
                      q->name);
    size_t n = count_options(q, a->request->server->options->most_classes, f);
    if (!n || !make_options(q, n, f)) return false;
    const json_t **descriptions = calloc(n, sizeof *descriptions);
    if (!descriptions) return refuse(f, 503, "questions", "out of memory");
    bool good = read_options(q, descriptions, f) && check_contents(q, descriptions, !strcmp(q->type, "score"), f);
    text *t = &q->prompt;
    put_content(t, state);
    text_put(t, "\n\nQuestion: ");
    if (instructions)
        put_content(t, instructions);
    else
        text_put(t, !strcmp(q->type, "noul") ? "Is it true?" : "Which one applies?");
    if (good) put_options(t, q, descriptions);
    text_put(t, "\nAnswer:");
    free(descriptions);
    if (t->failed) return refuse(f, 503, "questions", "out of memory");
    if (t->size > request_room(a->request))
        return refuse(f, 413, "questions",
                      "the questions with their states have too many bytes; ask fewer questions, or shorten the state");
    a->request->prompt_bytes += t->size;
    return good;
}

bool systemone_parse(request *r, failure *f) {
    asking *a = r->state;
    const json_t *state = field(r->json, "state"), *questions = field(r->json, "questions");
    const char *name;
    json_t *given;
    a->request = r;
    capp_run_options_init(&a->how);
    if (!fields_known(r->json, "model state questions", "", f)) return false;
    if (!is_content(state)) return refuse(f, 400, "state", "'state' must be text, an object or an array");
    size_t n = json_object_size(questions);
    if (!n || n > MOST_QUESTIONS)
        return refuse(f, 400, "questions", "'questions' must be an object with 1 to %d questions", MOST_QUESTIONS);
    a->questions = calloc(n, sizeof *a->questions);
    a->examples = calloc(n, sizeof *a->examples);
    if (!a->questions || !a->examples) return refuse(f, 503, "questions", "out of memory");
    json_object_foreach((json_t *)questions, name, given) {
        question *q = &a->questions[a->n];
        q->name = name;
        a->n++;
        if (!read_question(a, q, state, given, f)) return false;
        a->examples[a->n - 1] = (capp_example){
            .prompt = text_view(&q->prompt), .completions = q->options, .n_completions = q->n, .normalize = q->n > 1};
    }
    return true;
}

/* ---- The answer ---- */

static bool on_result(void *user, const capp_result *result) {
    asking *a = user;
    question *q = &a->questions[result->row];
    memcpy(q->probabilities, result->posterior, q->n * sizeof *q->probabilities);
    if (q->n == 1) q->probabilities[0] = 1;
    q->best = result->prediction;
    a->input_tokens += result->n_prompt_ids;
    a->output_tokens += result->offset[result->n_completions];
    return true;
}

bool systemone_prepare(request *r, failure *f) {
    asking *a = r->state;
    a->how.chat = r->model->chat; /* models with a template were trained to answer users */
    for (size_t i = 0; i < a->n; i++) {
        const question *q = &a->questions[i];
        for (size_t k = 0; k < q->n; k++)
            if (!prepare_fits(r, q->options[k], f, "a choice of question '%.100s'", q->name)) return false;
        if (!prepare_fits(r, text_view(&q->prompt), f, "question '%.100s' with the state", q->name)) return false;
    }
    return true;
}

static void on_done(void *user, capp_status status, const capp_error *err) {
    const asking *a = user;
    capp_error at;
    bool row = status != CAPP_OK && err->row < a->n;
    part_done(user, status, row ? error_at(&at, err, "question '%.100s'", a->questions[err->row].name) : err);
}

bool systemone_begin(request *r, failure *f) {
    asking *a = r->state;
    capp_error err;
    if (!request_add(r, &a->part, f)) return false;
    capp_status st =
        capp_queue_score(r->model->queue, a->examples, a->n, &a->how, on_result, on_done, a, &a->part.job, &err);
    return part_begun(&a->part, st, &err, f);
}

static void put_probabilities(text *t, const question *q) {
    text_put(t, ", \"probabilities\": {");
    for (size_t i = 0; i < q->n; i++) {
        if (i) text_put(t, ", ");
        text_string(t, q->options[i].data, q->options[i].size);
        text_put(t, ": ");
        text_double(t, q->probabilities[i]);
    }
    text_put(t, "}");
}

static void put_score(text *t, const question *q) {
    double score = 0;
    for (size_t i = 0; i < q->n; i++) score += (double)i * q->probabilities[i];
    text_put(t, ", \"score\": ");
    text_double(t, score);
    text_put(t, ", \"legend\": {");
    for (size_t i = 0; i < q->n; i++) {
        char *json = json_dumps(json_array_get(q->criteria, i), JSON_ENCODE_ANY);
        text_printf(t, "%s\"%zu\": %s", i ? ", " : "", i, json ? json : "null");
        free(json);
    }
    text_put(t, "}");
}

static void put_answer(text *t, const question *q) {
    text_put(t, "{\"type\": ");
    text_word(t, q->type);
    if (!strcmp(q->type, "noul")) {
        text_put(t, ", \"noul\": ");
        text_double(t, q->probabilities[0]);
    } else {
        text_put(t, ", \"confidence\": ");
        text_double(t, q->probabilities[q->best]);
        if (!strcmp(q->type, "score")) {
            put_score(t, q);
        } else {
            text_put(t, ", \"choice\": ");
            text_string(t, q->options[q->best].data, q->options[q->best].size);
        }
        put_probabilities(t, q);
    }
    text_put(t, "}");
}

void systemone_finish(request *r) {
    const asking *a = r->state;
    text t = {0};
    text_put(&t, "{\"model\": ");
    text_word(&t, r->model->name);
    text_put(&t, ", \"answers\": {");
    for (size_t i = 0; i < a->n; i++) {
        if (i) text_put(&t, ", ");
        text_word(&t, a->questions[i].name);
        text_put(&t, ": ");
        put_answer(&t, &a->questions[i]);
    }
    text_printf(&t, "}, \"usage\": {\"input_tokens\": %zu, \"output_tokens\": %zu}}\n", a->input_tokens,
                a->output_tokens);
    request_answer(r, 200, "application/json", &t);
}

void systemone_drop(request *r) {
    asking *a = r->state;
    for (size_t i = 0; i < a->n; i++) {
        question *q = &a->questions[i];
        text_free(&q->prompt);
        for (size_t k = 0; k < q->n && q->labels; k++) text_free(&q->labels[k]);
        free(q->options);
        free(q->labels);
        free(q->probabilities);
    }
    free(a->questions);
    free(a->examples);
}
