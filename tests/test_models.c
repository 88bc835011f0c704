/* Files that are well formed but that capp cannot run: they are refused with an error that names the cause, never run
 * as something else. */
#include <unistd.h>

#include "base/tensor.h"
#include "capp.h"
#include "test.h"
#include "tiny.h"

static void refused(const char *arch, tiny_extra extra, capp_status status, const char *message) {
    char path[64];
    capp_model *model;
    capp_error err;
    tiny_model_file_with(arch, 1, extra, path);
    CHECK_INT(capp_model_open(&model, path, NULL, &err), status);
    CHECK_CONTAINS(err.message, message);
    CHECK_CONTAINS(err.message, path);
    CHECK(!model);
    unlink(path);
}

static void add_floats(gguf_writer *w, const char *name, size_t n) {
    float data[64] = {8};
    gguf_writer_tensor(w, name, CAPP_TYPE_F32, 1, (uint64_t[]){n}, data, n * sizeof *data);
}

static void rope_factors(gguf_writer *w) {
    add_floats(w, "rope_freqs.weight", 3);
}
static void query_bias(gguf_writer *w) {
    add_floats(w, "blk.0.attn_q.bias", 60);
}
static void rope_type(gguf_writer *w) {
    gguf_writer_str(w, "llama.rope.scaling.type", "spiral");
}
static void experts(gguf_writer *w) {
    gguf_writer_u32(w, "llama.expert_count", 8);
}
static void soft_cap(gguf_writer *w) {
    gguf_writer_f32(w, "gemma3.final_logit_softcapping", 30);
}
static void window(gguf_writer *w) {
    gguf_writer_u32(w, "gpt2.attention.sliding_window", 16);
}
static void neutral(gguf_writer *w) {
    gguf_writer_f32(w, "llama.rope.scaling.factor", 1);
    gguf_writer_u32(w, "llama.expert_count", 0);
}

TEST(parts_that_capp_does_not_know_are_refused) {
    refused("llama", rope_factors, CAPP_EFORMAT, "tensor rope_freqs.weight is 3 x 1");
    refused("llama", query_bias, CAPP_EFORMAT, "tensor blk.0.attn_k.bias is missing");
    refused("llama", rope_type, CAPP_EUNSUPPORTED, "rope scaling \"spiral\"");
    refused("llama", experts, CAPP_EFORMAT, "llama.expert_used_count is missing");
    refused("gpt2", window, CAPP_EUNSUPPORTED, "gpt2.attention.sliding_window is 16");
    refused("gemma3", soft_cap, CAPP_EUNSUPPORTED, "gemma3.final_logit_softcapping is 30");
}

static bool accept(void *user, const capp_result *result) {
    (void)user;
    return result->n_completions > 0;
}

static bool accept_text(void *user, const capp_generation *result) {
    *(size_t *)user += result->n;
    return true;
}

typedef struct opened {
    char path[64];
    capp_model *model;
    capp_session *session;
    capp_error err;
} opened;

static void open_tiny(opened *o, uint64_t seed, tiny_extra extra, uint64_t memory) {
    capp_model_options options;
    capp_model_options_init(&options);
    options.memory = memory;
    tiny_model_file_with("llama", seed, extra, o->path);
    CHECK_OK(capp_model_open(&o->model, o->path, &options, &o->err), o->err);
    CHECK_OK(capp_session_open(&o->session, o->model, &o->err), o->err);
}

static void close_tiny(opened *o) {
    capp_session_free(o->session);
    capp_model_free(o->model);
    unlink(o->path);
}

TEST(neutral_values_are_accepted) {
    opened o;
    open_tiny(&o, 1, neutral, 0);
    close_tiny(&o);
}

TEST(logits_that_are_no_numbers_are_an_error) {
    opened o;
    size_t size;
    unsigned char *data = tiny_model("llama", 2, &size);
    strcpy(o.path, "/tmp/capp-nan-XXXXXX");
    int fd = mkstemp(o.path);
    memset(data + size - 64, 0xff, 64); /* the end of the head: NaN */
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    free(data);
    CHECK_OK(capp_model_open(&o.model, o.path, NULL, &o.err), o.err);
    CHECK_OK(capp_session_open(&o.session, o.model, &o.err), o.err);
    capp_str pair[] = {capp_str_of("a"), capp_str_of("b")};
    capp_example e = {capp_str_of("code"), pair, 2, NULL, NULL, true};
    CHECK_INT(capp_score(o.session, &e, 1, NULL, accept, NULL, &o.err), CAPP_EFORMAT);
    CHECK_CONTAINS(o.err.message, "not finite");
    close_tiny(&o);
}

TEST(generation_without_end_is_too_long) {
    opened o;
    size_t n = 0;
    capp_generate_options options;
    capp_generate_options_init(&options);
    options.ignore_eos = true;
    capp_str prompt = capp_str_of("code");
    open_tiny(&o, 1, NULL, 0);
    options.max_tokens = SIZE_MAX;
    CHECK_INT(capp_generate(o.session, &prompt, 1, &options, accept_text, &n, &o.err), CAPP_ETOOLONG);
    CHECK_INT(o.err.row, 0);
    options.max_tokens = 90;
    CHECK_OK(capp_generate(o.session, &prompt, 1, &options, accept_text, &n, &o.err), o.err);
    CHECK_INT(n, 90);
    close_tiny(&o);
}

static bool count_row(void *user, const capp_result *result) {
    (void)result;
    ++*(size_t *)user;
    return true;
}

/* An error names a row that does not fit the budget; the rows before it are handed over. */
TEST(a_row_over_the_budget_is_named) {
    enum { MANY = 6000 };
    opened o;
    static char text[MANY][8];
    static capp_str many[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "%c%zu", (char)('a' + i % 7), i);
        many[i] = capp_str_of(text[i]);
    }
    capp_example examples[] = {{capp_str_of("code"), many, 2, NULL, NULL, true},
                               {capp_str_of("ode"), many, 3, NULL, NULL, true},
                               {capp_str_of("bode"), many, MANY, NULL, NULL, true}};
    size_t rows = 0;
    capp_stats stats;
    open_tiny(&o, 1, NULL, 3 << 20);
    CHECK_INT(capp_score(o.session, examples, 3, NULL, count_row, &rows, &o.err), CAPP_EBUDGET);
    CHECK_INT(rows, 2);
    CHECK_INT(o.err.row, 2);
    capp_session_get_stats(o.session, &stats);
    CHECK(stats.used_bytes <= stats.planned_bytes && stats.planned_bytes <= 3 << 20);
    close_tiny(&o);
    rows = 0;
    open_tiny(&o, 1, NULL, 64 << 20);
    CHECK_OK(capp_score(o.session, examples, 3, NULL, count_row, &rows, &o.err), o.err);
    CHECK_INT(rows, 3);
    capp_session_get_stats(o.session, &stats);
    CHECK(stats.used_bytes <= stats.planned_bytes && stats.planned_bytes <= 64 << 20);
    close_tiny(&o);
}

typedef struct asked {
    size_t calls, enough; /* the call that returns false */
    size_t done, total;
} asked;

static bool count_calls(void *user, size_t done, size_t total) {
    asked *a = user;
    CHECK(done <= total && done >= a->done && (!a->calls || total == a->total) && a->calls < a->enough);
    a->done = done, a->total = total;
    return ++a->calls < a->enough;
}

/* Opens with a caller who stops it at call `enough`. */
static capp_status open_asking(const char *path, int threads, size_t enough, asked *a) {
    capp_model_options options;
    capp_model *model;
    capp_error err;
    *a = (asked){.enough = enough};
    capp_model_options_init(&options);
    options.threads = threads;
    options.precision = CAPP_PRECISION_F32;
    options.progress = count_calls;
    options.progress_user = a;
    capp_status st = capp_model_open(&model, path, &options, &err);
    CHECK(!model == (st != CAPP_OK));
    if (st != CAPP_OK) CHECK_INT(err.status, st);
    if (st != CAPP_OK) CHECK_STR(err.message, "cancelled");
    capp_model_free(model);
    return st;
}

TEST(opening_is_cancelled_at_every_step) {
    enum { STEPS = 2 };
    char path[64];
    asked a;
    tiny_model_file("gpt2", 1, path);
    for (size_t enough = 1; enough <= STEPS + 1; enough++) {
        CHECK_INT(open_asking(path, 1, enough, &a), CAPP_ECANCELLED);
        CHECK(a.calls == enough && a.done == enough - 1 && a.total == STEPS);
    }
    CHECK_INT(open_asking(path, 2, SIZE_MAX, &a), CAPP_OK);
    CHECK(a.calls == STEPS + 1 && a.done == STEPS);
    unlink(path);
}
