/* The requests of /v1/completions and /v1/chat/completions. */
#include "completions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"

enum {
    MOST_PROMPTS = 2048,
    MOST_N = 128,
    MOST_CHOICES = 16384,
    MOST_STOP = 16,
    MOST_STOP_BYTES = 1000,
    MOST_MESSAGES = 1000
};

/* Fields whose default value is accepted, because clients send it: any other value is an error. */
static bool check_unused(const json_t *o, failure *f) {
    static const char *const zero[] = {"presence_penalty", "frequency_penalty"};
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) {
        const json_t *value = field(o, zero[i]);
        if (value && !(json_is_number(value) && json_number_value(value) == 0))
            return refuse(f, 400, zero[i], "'%s' is not supported; only 0 is accepted", zero[i]);
    }
    const json_t *bias = field(o, "logit_bias");
    if (bias && !(json_is_object(bias) && !json_object_size(bias)))
        return refuse(f, 400, "logit_bias", "'logit_bias' is not supported; only an empty object is accepted");
    return true;
}

static bool read_stream(continuing *c, const json_t *o, failure *f) {
    const json_t *options = field(o, "stream_options");
    if (!field_bool(o, "stream", &c->stream, f)) return false;
    if (!options) return true;
    if (!json_is_object(options) || !c->stream)
        return refuse(f, 400, "stream_options", "'stream_options' must be an object, with \"stream\": true");
    return fields_known(options, "include_usage", "stream_options.", f) &&
           field_bool(options, "include_usage", &c->usage, f);
}

static bool read_stop(continuing *c, const json_t *o, failure *f) {
    const json_t *stop = field(o, "stop");
    if (json_is_array(stop) && !json_array_size(stop)) return true;
    if (!field_strings(o, "stop", MOST_STOP, &c->stop, &c->n_stop, f)) return false;
    for (size_t i = 0; i < c->n_stop; i++) {
        if (c->stop[i].size > MOST_STOP_BYTES)
            return refuse(f, 400, "stop", "a stop string has %zu bytes; at most %d are supported", c->stop[i].size,
                          MOST_STOP_BYTES);
        if (c->stop[i].size > c->longest_stop) c->longest_stop = c->stop[i].size;
    }
    return true;
}

/* From the device: wheels run with C libraries that have no getrandom yet. */
static bool draw_seed(uint64_t *seed) {
    FILE *device = fopen("/dev/urandom", "rb");
    const bool drawn = device && fread(seed, sizeof *seed, 1, device) == 1;
    if (device) fclose(device);
    return drawn;
}

static bool read_seed(continuing *c, const json_t *o, failure *f) {
    const json_t *seed = field(o, "seed");
    if (seed && !json_is_integer(seed)) return refuse(f, 400, "seed", "'seed' must be a whole number");
    if (seed)
        c->seed = (uint64_t)json_integer_value(seed);
    else if (!draw_seed(&c->seed))
        return refuse(f, 500, "seed", "the system gives no random numbers; send a seed");
    return true;
}

/* With 'choice' nothing is generated. */
static bool check_choice(const continuing *c, failure *f) {
    if (!c->n_options) return true;
    if (c->n_options == 1) return refuse(f, 400, "choice", "'choice' needs at least two strings");
    if (c->n > 1) return refuse(f, 400, "n", "'n' must be 1 with 'choice'");
    if (c->stream) return refuse(f, 400, "stream", "'stream' must be false with 'choice'");
    if (c->n_stop) return refuse(f, 400, "stop", "'stop' must be absent with 'choice'");
    if (c->echo) return refuse(f, 400, "echo", "'echo' must be false with 'choice'");
    return !c->logprobs || refuse(f, 400, "logprobs", "'logprobs' must be absent with 'choice'");
}

/* What both interfaces have in common. */
static bool read_common(request *r, failure *f) {
    continuing *c = r->state;
    const json_t *o = r->json;
    const serve_options *limits = r->server->options;
    capp_str user = {0};
    c->request = r;
    c->n = 1;
    c->temperature = c->top_p = 1;
    if (!check_unused(o, f) || !read_stream(c, o, f) || !read_stop(c, o, f) || !read_seed(c, o, f)) return false;
    if (!field_count(o, "n", 1, MOST_N, &c->n, f) || !field_string(o, "user", &user, f)) return false;
    if (!field_number(o, "temperature", 0, 100, &c->temperature, f)) return false;
    if (!field_number(o, "top_p", 0, 1, &c->top_p, f)) return false;
    if (!field_bool(o, "parse_special", &c->parse_special, f)) return false;
    if (!field_bool(o, "ignore_eos", &c->ignore_eos, f)) return false;
    if (!(c->top_p > 0)) c->temperature = 0, c->top_p = 1; /* nothing is left but the most probable token */
    if (!field_strings(o, "choice", limits->most_classes, &c->options, &c->n_options, f)) return false;
    c->limited = field(o, "max_tokens") || field(o, "max_completion_tokens");
    return true;
}

/* ---- Completions ---- */

static bool read_ids(prompt *p, const json_t *array, failure *f) {
    size_t n = json_array_size(array);
    if (!n) return refuse(f, 400, "prompt", "a prompt has no tokens");
    if (!(p->ids = calloc(n, sizeof *p->ids))) return refuse(f, 503, "prompt", "out of memory");
    p->n_ids = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(array, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return refuse(f, 400, "prompt",
                          "'prompt' must be a string, an array of strings, an array of token ids, or an "
                          "array of arrays of token ids");
        p->ids[i] = (int32_t)json_integer_value(id);
    }
    return true;
}

static bool read_prompts(continuing *c, const json_t *o, failure *f) {
    const json_t *given = field(o, "prompt");
    if (!given) return refuse(f, 400, "prompt", "the field 'prompt' is missing");
    bool single = json_is_string(given) || json_is_integer(json_array_get(given, 0));
    size_t n = single ? 1 : json_array_size(given);
    if (!n || n > MOST_PROMPTS)
        return refuse(f, 400, "prompt", "'prompt' must have 1 to %d prompts; it has %zu", MOST_PROMPTS, n);
    if (!(c->prompts = calloc(n, sizeof *c->prompts))) return refuse(f, 503, "prompt", "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *item = single ? given : json_array_get(given, i);
        c->n_prompts = i + 1;
        if (json_is_string(item)) {
            c->prompts[i].text = string_of(item);
            if (!c->prompts[i].text.size) return refuse(f, 400, "prompt", "prompt %zu is empty", i);
        } else if (!read_ids(&c->prompts[i], item, f)) {
            return false;
        }
    }
    return true;
}

bool completions_parse(request *r, failure *f) {
    static const char known[] =
        "model prompt echo logprobs max_tokens n stream stream_options stop seed temperature top_p "
        "user presence_penalty frequency_penalty logit_bias best_of parse_special ignore_eos "
        "choice";
    continuing *c = r->state;
    const json_t *o = r->json;
    const json_t *best = field(o, "best_of");
    if (!fields_known(o, known, "", f) || !read_common(r, f)) return false;
    c->max_tokens = 16;
    c->limited = true;
    if (!read_prompts(c, o, f) || !field_bool(o, "echo", &c->echo, f)) return false;
    if (!field_count(o, "max_tokens", 0, r->server->options->most_tokens, &c->max_tokens, f)) return false;
    if (!field_count(o, "logprobs", 0, CAPP_MOST_TOP, &c->top, f)) return false;
    c->logprobs = field(o, "logprobs") != NULL;
    if (best && !(json_is_integer(best) && json_integer_value(best) == (json_int_t)c->n))
        return refuse(f, 400, "best_of", "'best_of' must be equal to 'n', which is %zu; leave 'best_of' out", c->n);
    if (c->n_prompts * c->n > MOST_CHOICES)
        return refuse(f, 400, "n", "%zu prompts with n = %zu are more than %d answers", c->n_prompts, c->n,
                      MOST_CHOICES);
    return check_choice(c, f);
}

/* ---- Chats ---- */

/* The content of a message: a string, or an array of {"type": "text", "text": ...} with one element. */
static bool read_content(capp_message *m, const json_t *content, failure *f) {
    const json_t *first = json_array_size(content) == 1 ? json_array_get(content, 0) : NULL;
    const char *type = json_string_value(json_object_get(first, "type"));
    if (type && !strcmp(type, "text")) {
        if (!fields_known(first, "type text", "messages[].content[].", f)) return false;
        content = json_object_get(first, "text");
    }
    if (!json_is_string(content))
        return refuse(f, 400, "messages", "the content of a message must be a string, or an array with one text");
    m->content = string_of(content);
    return true;
}

static bool read_messages(continuing *c, const json_t *o, failure *f) {
    const json_t *given = field(o, "messages");
    size_t n = json_array_size(given);
    if (!n || n > MOST_MESSAGES)
        return refuse(f, 400, "messages", "'messages' must be an array of 1 to %d messages", MOST_MESSAGES);
    if (!(c->messages = calloc(n, sizeof *c->messages))) return refuse(f, 503, "messages", "out of memory");
    c->n_messages = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *message = json_array_get(given, i), *role = json_object_get(message, "role");
        if (!json_is_object(message) || !json_is_string(role))
            return refuse(f, 400, "messages", "message %zu must be an object with 'role' and 'content'", i);
        if (!fields_known(message, "role content", "messages[].", f)) return false;
        c->messages[i].role = string_of(role);
        if (!read_content(&c->messages[i], json_object_get(message, "content"), f)) return false;
    }
    return true;
}

bool chat_parse(request *r, failure *f) {
    static const char known[] = "model messages logprobs top_logprobs max_tokens max_completion_tokens n stream "
                                "stream_options stop seed temperature top_p user presence_penalty frequency_penalty "
                                "logit_bias parse_special ignore_eos choice";
    continuing *c = r->state;
    const json_t *o = r->json;
    size_t most = r->server->options->most_tokens;
    c->chat = true;
    if (!fields_known(o, known, "", f) || !read_common(r, f) || !read_messages(c, o, f)) return false;
    c->max_tokens = most;
    if (!field_count(o, "max_tokens", 1, most, &c->max_tokens, f)) return false;
    if (field(o, "max_tokens") && field(o, "max_completion_tokens"))
        return refuse(f, 400, "max_tokens", "send 'max_tokens' or 'max_completion_tokens', not both");
    if (!field_count(o, "max_completion_tokens", 1, most, &c->max_tokens, f)) return false;
    if (!field_bool(o, "logprobs", &c->logprobs, f)) return false;
    if (!field_count(o, "top_logprobs", 0, CAPP_MOST_TOP, &c->top, f)) return false;
    if (c->top && !c->logprobs) return refuse(f, 400, "top_logprobs", "'top_logprobs' needs \"logprobs\": true");
    return check_choice(c, f);
}
