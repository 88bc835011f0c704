#include "queues.h"

#include <unistd.h>

#include "test.h"
#include "units.h"

void open_model(fixture *f, const char *arch, uint64_t memory, const capp_queue_options *how) {
    capp_model_options options;
    capp_model_options_init(&options);
    options.threads = 1;
    options.precision = CAPP_PRECISION_F32;
    options.memory = memory;
    f->exact = NULL;
    tiny_model_file(arch, 5, f->path);
    CHECK_OK(capp_model_open(&f->model, f->path, &options, &f->err), f->err);
    CHECK_OK(capp_session_open(&f->session, f->model, &f->err), f->err);
    CHECK_OK(capp_session_open(&f->other, f->model, &f->err), f->err);
    CHECK_OK(capp_queue_open(&f->queue, f->session, how, &f->err), f->err);
}

void open_lanes(fixture *f, const char *unit, const capp_queue_options *how) {
    const char *arch = strstr(unit, "i16") ? "llama_integers" : "llama";
    tiny_model_file(arch, 5, f->path);
    tiny_model_file(arch, 6, f->exact_path);
    f->model = open_unit(f->path, unit, 1, 0);
    f->exact = open_unit(f->exact_path, unit, 1, 0);
    CHECK_OK(capp_session_open(&f->session, f->model, &f->err), f->err);
    CHECK_OK(capp_session_open(&f->other, f->model, &f->err), f->err);
    CHECK(f->session->exact.weights);
    f->session->exact.weights = f->other->exact.weights = f->exact->exact;
    CHECK_OK(capp_queue_open(&f->queue, f->session, how, &f->err), f->err);
}

void close_fixture(fixture *f) {
    capp_queue_free(f->queue);
    capp_session_free(f->session);
    capp_session_free(f->other);
    capp_model_free(f->model);
    unlink(f->path);
    if (!f->exact) return;
    capp_model_free(f->exact);
    unlink(f->exact_path);
}

bool on_result(void *user, const capp_result *r) {
    caller *c = user;
    CHECK_INT(r->row, c->n_rows);
    c->posterior[r->row] = r->posterior[r->prediction];
    for (size_t i = 0; r->rescored && i < r->n_completions; i++)
        for (size_t k = r->offset[i]; k < r->offset[i + 1]; k++) {
            uint32_t bits;
            memcpy(&bits, &r->first_logprobs[k], sizeof bits);
            c->again[r->row] = c->again[r->row] * 0x100000001b3u + bits + r->rescored[i];
        }
    c->n_rows++;
    return keep(c->rows, r);
}

bool on_token(void *user, const capp_token *t) {
    caller *c = user;
    CHECK(t->index < MOST_TOKENS);
    c->ids[c->n] = t->id;
    c->logprobs[c->n] = t->logprob;
    for (size_t k = 0; k < t->n_top; k++) c->top[c->n][k] = t->top[k], c->top_logprobs[c->n][k] = t->top_logprobs[k];
    c->n++;
    c->n_generated += t->generated;
    c->finish = t->finish;
    return !c->most || c->n < c->most;
}

void on_done(void *user, capp_status status, const capp_error *err) {
    caller *c = user;
    c->status = status;
    c->ended++;
    if (status != CAPP_OK) c->err = *err;
}

caller new_caller(size_t rows) {
    return (caller){.rows = calloc(rows + 1, sizeof(scores)),
                    .posterior = calloc(rows + 1, sizeof(double)),
                    .again = calloc(rows + 1, sizeof(uint64_t))};
}

void free_caller(caller *c) {
    free_scores(c->rows, c->n_rows);
    free(c->posterior);
    free(c->again);
}

void drain(capp_queue *queue) {
    size_t steps = 0;
    while (capp_queue_step(queue))
        if (++steps > 100000) FAIL("the queue does not end");
}

void check_row(const scores *a, const scores *b) {
    CHECK_INT(a->n, b->n);
    CHECK_INT(a->n_prompt, b->n_prompt);
    CHECK(!memcmp(a->ids, b->ids, a->n * sizeof *a->ids));
    CHECK(!memcmp(a->logprobs, b->logprobs, a->n * sizeof *a->logprobs));
}
