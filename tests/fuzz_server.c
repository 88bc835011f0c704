/* fuzz_server MUTATIONS SEED: damages requests of the server and reads them as it does, up to where a model is needed.
 * See fuzz.h. It also fails where a refusal has no status or no message. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "endpoints.h"

enum { READ, TAKEN }; /* what fuzz_counts counts */

static const char *const texts[] = {
    "{\"model\": \"m\", \"prompt\": [\"the way\", \"a\"], \"echo\": true, \"logprobs\": 3, \"max_tokens\": 5, \"n\": 2,"
    " \"stop\": [\"a\", \"\\n\"], \"temperature\": 0.5, \"top_p\": 0.9, \"seed\": -1, \"stream\": true,"
    " \"stream_options\": {\"include_usage\": true}, \"user\": \"u\", \"logit_bias\": {}, \"best_of\": null}",
    "{\"prompt\": [[1, 2], [3]], \"choice\": [\"a\", \"b\"], \"presence_penalty\": 0.0, \"ignore_eos\": false}",
    "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": [{\"type\": "
    "\"text\","
    " \"text\": \"\\ud83d\\ude00\"}]}], \"logprobs\": true, \"top_logprobs\": 4, \"max_completion_tokens\": 9}",
    "{\"texts\": [{\"text\": \"b\", \"x\": \"y\"}], \"classes\": [\"c\", \"d\"], \"template\": \"{{{text}}} "
    "{x}\","
    " \"prior\": [0.25, 0.75], \"aggregate\": \"bytes\", \"end_of_prompt\": \"\", \"multi_label\": false, \"chat\": "
    "true,"
    " \"system\": \"s\"}",
    "{\"texts\": [{\"text\": -1.50, \"x\": 7}, {\"x\": true, \"text\": \"a\", \"y\": [1, {\"a\": null}]}],"
    " \"classes\": [\"c\"], \"multi_label\": true, \"template\": \"{x}{text}\"}",
    "{\"texts\": \"a\", \"classes\": [\"c\", \"c\", \"\\u0000\"], \"likelihoods\": true, \"template\": \"{text}\"}",
    "{\"state\": {\"a\": [1, null, 2.5]}, \"questions\": {\"q\": {\"type\": \"choice\", \"criteria\": {\"x\": null, "
    "\"y\":"
    " \"z\"}}, \"r\": {\"type\": \"score\", \"criteria\": [\"low\", {\"high\": 1}]}, \"s\": {\"type\": \"noul\","
    " \"instructions\": \"?\", \"criteria\": {\"true\": \"t\"}}}}",
    "{\"content\": \"the way\", \"add_special\": true, \"parse_special\": false}",
    "{\"tokens\": [1, 2, 300]}",
};

enum { N_TEXTS = sizeof texts / sizeof *texts };

static bytes seeds[N_TEXTS];
static serve_options options;
static server fake_server;
static model fake_model = {.name = "m"};

static const char *const words[] = {"\"",
                                    "{",
                                    "}",
                                    "[",
                                    "]",
                                    ":",
                                    ",",
                                    "\\",
                                    "\\u0000",
                                    "\\ud800",
                                    "null",
                                    "true",
                                    "-1",
                                    "1e999",
                                    "9223372036854775808",
                                    "0.1",
                                    "\"a\"",
                                    "[]",
                                    "{}",
                                    "\"\"",
                                    "{text}",
                                    "}}",
                                    "\xC3",
                                    "\xF0\x9F\x98\x80",
                                    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                                    "\"prompt\":",
                                    "\"texts\":",
                                    "\"classes\":",
                                    "\"criteria\":",
                                    "\"messages\":",
                                    " "};

static void mutate(bytes *b, uint64_t *r) {
    size_t at = fuzz_place(b, r), left = b->size - at, cut = up_to(r, 3) ? 0 : up_to(r, left < 8 ? left : 8);
    fuzz_text(b, at, cut, words[up_to(r, sizeof words / sizeof *words - 1)], &seeds[up_to(r, N_TEXTS - 1)], r);
}

/* Reads a body as the request of an endpoint. */
static void use(const endpoint *e, const bytes *body) {
    failure f = {0};
    request *r = request_new(&fake_server, e);
    if (!r) fuzz_fail("there is no memory for a request");
    r->model = &fake_model;
    r->json = fields_read((const char *)body->data, body->size, &f);
    bool read = r->json != NULL, taken = read && e->parse(r, &f);
    if (!taken && (f.status < 400 || f.status > 503 || !f.message[0])) fuzz_fail("a refusal without status or message");
    if (taken && f.status) fuzz_fail("a request is taken and refused");
    fuzz_counts[READ] += read;
    fuzz_counts[TAKEN] += taken;
    request_release(r);
}

static const endpoint *posts[16];
static size_t n_posts;

static void begin(int n, char **paths) {
    (void)n, (void)paths;
    serve_options_init(&options);
    fake_server.options = &options;
    for (size_t i = 0; i < n_endpoints; i++)
        if (!strcmp(endpoints[i].method, "POST")) posts[n_posts++] = &endpoints[i];
    for (size_t i = 0; i < N_TEXTS; i++) {
        seeds[i] =
            (bytes){.data = (unsigned char *)strdup(texts[i]), .size = strlen(texts[i]), .head = strlen(texts[i])};
        uint64_t before = fuzz_counts[TAKEN];
        for (size_t k = 0; k < n_posts; k++) use(posts[k], &seeds[i]);
        if (fuzz_counts[TAKEN] == before) fuzz_fail("no endpoint takes an undamaged seed");
    }
}

static void try_one(uint64_t *r) {
    static const size_t home[N_TEXTS] = {0, 0, 1, 2, 2, 2, 3, 4, 5}; /* the endpoint that takes the seed */
    size_t seed = up_to(r, N_TEXTS - 1);
    bytes b = fuzz_mutant(&seeds[seed], mutate, r);
    use(posts[up_to(r, 7) ? home[seed] : up_to(r, n_posts - 1)], &b);
    free(b.data);
}

static void end(void) {
    for (size_t i = 0; i < N_TEXTS; i++) free(seeds[i].data);
}

int main(int argc, char **argv) {
    const fuzzer f = {.name = "fuzz_server",
                      .failing = 40,
                      .arguments = "",
                      .counts = {"bodies are JSON", "requests are taken"},
                      .begin = begin,
                      .try_one = try_one,
                      .end = end};
    return fuzz_main(&f, argc, argv);
}
