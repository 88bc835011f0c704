#include "info.h"

#include <stdlib.h>
#include <string.h>

/* ---- Tokens ---- */

/* The fields of llama.cpp and of vLLM. */
typedef struct tokens {
    capp_str text;
    bool special, parse_special;
    int32_t *ids;
    size_t n;
} tokens;

const size_t tokens_state = sizeof(tokens);

bool tokenize_parse(request *r, failure *f) {
    tokens *t = r->state;
    const json_t *o = r->json;
    t->special = t->parse_special = field(o, "prompt") != NULL; /* as vLLM does; llama.cpp does neither */
    if (!fields_known(o, "model content prompt add_special add_special_tokens parse_special", "", f)) return false;
    if (!field_string(o, "content", &t->text, f) || !field_string(o, "prompt", &t->text, f)) return false;
    if (field(o, "content") && field(o, "prompt"))
        return refuse(f, 400, "prompt", "the text is in 'content' or in 'prompt', not in both");
    if (!t->text.data) return refuse(f, 400, "content", "the field 'content' is missing");
    return field_bool(o, "add_special", &t->special, f) && field_bool(o, "add_special_tokens", &t->special, f) &&
           field_bool(o, "parse_special", &t->parse_special, f);
}

bool tokenize_prepare(request *r, failure *f) {
    const tokens *t = r->state;
    capp_error err;
    int32_t *ids;
    size_t n;
    text out = {0};
    unsigned flags = (t->special ? CAPP_TOKENIZE_BOS : 0U) | (t->parse_special ? (unsigned)CAPP_TOKENIZE_SPECIAL : 0U);
    if (capp_tokenize(r->model->model, t->text, flags, &ids, &n, &err) != CAPP_OK) {
        failure_of(f, &err);
        return false;
    }
    text_put(&out, "{\"tokens\": [");
    for (size_t i = 0; i < n; i++) text_printf(&out, i ? ", %d" : "%d", ids[i]);
    text_printf(&out, "], \"count\": %zu, \"max_model_len\": %u}\n", n, r->model->info.context);
    capp_free(ids);
    request_answer(r, 200, "application/json", &out);
    return true;
}

bool detokenize_parse(request *r, failure *f) {
    tokens *t = r->state;
    const json_t *ids = field(r->json, "tokens");
    if (!fields_known(r->json, "model tokens", "", f)) return false;
    if (!json_is_array(ids)) return refuse(f, 400, "tokens", "'tokens' must be an array of token ids");
    t->n = json_array_size(ids);
    if (!(t->ids = calloc(t->n + 1, sizeof *t->ids))) return refuse(f, 503, "tokens", "out of memory");
    for (size_t i = 0; i < t->n; i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return refuse(f, 400, "tokens", "'tokens' must be an array of token ids");
        t->ids[i] = (int32_t)json_integer_value(id);
    }
    return true;
}

bool detokenize_prepare(request *r, failure *f) {
    const tokens *t = r->state;
    capp_error err;
    char *joined;
    size_t size;
    text out = {0};
    if (capp_detokenize(r->model->model, t->ids, t->n, &joined, &size, &err) != CAPP_OK) {
        failure_of(f, &err);
        return false;
    }
    text_put(&out, "{\"content\": ");
    text_string(&out, joined, size);
    text_put(&out, ", \"prompt\": ");
    text_string(&out, joined, size);
    text_put(&out, "}\n");
    capp_free(joined);
    request_answer(r, 200, "application/json", &out);
    return true;
}

static void put_special(text *out, const request *r, const char *name, int32_t id) {
    char *piece = NULL;
    size_t size = 0;
    bool there = id >= 0 && capp_detokenize(r->model->model, &id, 1, &piece, &size, NULL) == CAPP_OK;
    text_printf(out, "\"%s\": ", name);
    if (there)
        text_string(out, piece, size);
    else
        text_put(out, "null");
    capp_free(piece);
}

/* What clients of vLLM's remote tokenizers ask first. */
bool tokenizer_prepare(request *r, failure *f) {
    text out = {0};
    (void)f;
    text_put(&out, "{");
    put_special(&out, r, "bos_token", r->model->info.bos);
    text_put(&out, ", ");
    put_special(&out, r, "eos_token", r->model->info.eos);
    text_printf(&out, ", \"add_bos_token\": %s, \"model_max_length\": %u}\n", r->model->info.add_bos ? "true" : "false",
                r->model->info.context);
    request_answer(r, 200, "application/json", &out);
    return true;
}

void tokens_drop(request *r) {
    free(((tokens *)r->state)->ids);
}

/* ---- Facts ---- */

static void put_model(text *t, const server *s, const model *m) {
    text_put(t, "{\"id\": ");
    text_word(t, m->name);
    text_printf(t, ", \"object\": \"model\", \"created\": %lld, \"owned_by\": \"capp\"}", (long long)s->began);
}

bool model_parse(request *r, failure *f) {
    text t = {0};
    (void)f;
    put_model(&t, r->server, r->model);
    text_put(&t, "\n");
    request_answer(r, 200, "application/json", &t);
    return true;
}

/* A list for OpenAI's clients, and one for typesafe-sdk. */
bool models_parse(request *r, failure *f) {
    const server *s = r->server;
    text t = {0};
    (void)f;
    text_put(&t, "{\"object\": \"list\", \"data\": [");
    for (size_t i = 0; i < s->options->n_models; i++) {
        if (i) text_put(&t, ", ");
        put_model(&t, s, &s->models[i]);
    }
    text_put(&t, "], \"models\": [");
    for (size_t i = 0; i < s->options->n_models; i++) {
        text_put(&t, i ? ", {\"name\": " : "{\"name\": ");
        text_word(&t, s->models[i].name);
        text_put(&t, ", \"description\": \"a causal language model\", \"release_date\": \"1970-01-01\"}");
    }
    text_put(&t, "]}\n");
    request_answer(r, 200, "application/json", &t);
    return true;
}

bool health_parse(request *r, failure *f) {
    text t = {0};
    server *s = r->server;
    (void)f;
    bool stopping = s->stopping;
    text_put(&t, stopping ? "{\"status\": \"stopping\"}\n" : "{\"status\": \"ok\"}\n");
    request_answer(r, stopping ? 503 : 200, "application/json", &t);
    return true;
}

static void put_metric(text *t, const char *name, const char *type, const char *help) {
    text_printf(t, "# HELP capp_%s %s\n# TYPE capp_%s %s\n", name, help, name, type);
}

static void put_model_metric(text *t, const char *name, const model *m, double value) {
    text_printf(t, "capp_%s{model=", name);
    text_word(t, m->name);
    text_put(t, "} ");
    text_double(t, value);
    text_put(t, "\n");
}

static double rows_of(const model *m) {
    return (double)m->stats.rows;
}
static double rescored_of(const model *m) {
    return (double)m->stats.rows_rescored;
}
static double tokens_of(const model *m) {
    return (double)m->stats.tokens_computed;
}
static double used_of(const model *m) {
    return (double)m->stats.used_bytes;
}
static double seconds_of(const model *m) {
    return m->queue_stats.seconds;
}
static double steps_of(const model *m) {
    return (double)m->queue_stats.steps;
}
static double wave_of(const model *m) {
    return (double)m->queue_stats.step_tokens;
}
static double last_of(const model *m) {
    return m->queue_stats.last_seconds;
}
static double longest_of(const model *m) {
    return m->queue_stats.longest_seconds;
}

static const struct {
    const char *name, *type, *help;
    double (*value)(const model *m);
} model_metrics[] = {
    {"rows_total", "counter", "Rows scored and texts continued.", rows_of},
    {"rows_rescored_total", "counter", "Rows scored again in the precision that decides.", rescored_of},
    {"tokens_total", "counter", "Token rows that ran through the model.", tokens_of},
    {"memory_bytes", "gauge", "Memory of the run, without weights.", used_of},
    {"wave_seconds_total", "counter", "Time spent in waves.", seconds_of},
    {"waves_total", "counter", "Waves that have run.", steps_of},
    {"wave_tokens", "gauge", "Token rows that the next wave has room for.", wave_of},
    {"wave_last_seconds", "gauge", "Time of the last wave.", last_of},
    {"wave_longest_seconds", "gauge", "Time of the longest wave.", longest_of},
};

bool metrics_parse(request *r, failure *f) {
    server *s = r->server;
    text t = {0};
    (void)f;
    put_metric(&t, "answers_total", "counter", "Answers by the first digit of their status.");
    for (int i = 2; i < 6; i++)
        text_printf(&t, "capp_answers_total{status=\"%dxx\"} %llu\n", i, (unsigned long long)s->answers[i]);
    put_metric(&t, "refused_total", "counter", "Requests refused because the queue was full.");
    text_printf(&t, "capp_refused_total %llu\n", (unsigned long long)s->full);
    put_metric(&t, "left_total", "counter", "Clients that left before their answer.");
    text_printf(&t, "capp_left_total %llu\n", (unsigned long long)s->left);
    pthread_mutex_lock(&s->lock);
    put_metric(&t, "requests", "gauge", "Requests waiting or running.");
    text_printf(&t, "capp_requests %zu\n", s->requests);
    put_metric(&t, "held_bytes", "gauge", "Memory of the bodies of these requests and of those that arrive.");
    text_printf(&t, "capp_held_bytes %zu\n", (size_t)s->held);
    put_metric(&t, "uptime_seconds", "gauge", "Time since the server began.");
    text_printf(&t, "capp_uptime_seconds %.3f\n", clock_seconds() - s->started);
    for (size_t k = 0; k < sizeof model_metrics / sizeof *model_metrics; k++) {
        put_metric(&t, model_metrics[k].name, model_metrics[k].type, model_metrics[k].help);
        for (size_t i = 0; i < s->options->n_models; i++)
            if (s->models[i].warm)
                put_model_metric(&t, model_metrics[k].name, &s->models[i], model_metrics[k].value(&s->models[i]));
    }
    pthread_mutex_unlock(&s->lock);
    request_answer(r, 200, "text/plain; version=0.0.4", &t);
    return true;
}

bool file_parse(request *r, failure *f) {
    for (size_t i = 0; i < n_web_files; i++) {
        const web_file *file = &web_files[i];
        text t = {0};
        if (strcmp(file->path, r->endpoint->path) != 0) continue;
        text_add(&t, (const char *)file->data, file->size);
        request_answer(r, 200, file->type, &t);
        return true;
    }
    return refuse(f, 404, "", "the program was built without %s", r->endpoint->path);
}
