/* Jobs of a queue that end before they are complete: cancelled, ended by their caller, or invalid. What they have
 * delivered until then, and the results of the others, have the bits of capp_score. */
#include "queues.h"
#include "test.h"
#include "units.h"

enum { ROWS = 24, JOBS = 3 };

TEST(jobs_end_early) {
    fixture f;
    open_model(&f, "llama", 0, NULL);
    row *rows = make_rows(2, 3);
    capp_example examples[] = {rows[0].example, rows[1].example, rows[2].example};
    capp_job *job;
    caller bad = new_caller(3), left = new_caller(3), stopped = new_caller(0), dropped = new_caller(3);
    examples[1].n_completions = 0;
    CHECK_OK(capp_queue_score(f.queue, examples, 3, NULL, on_result, on_done, &bad, &job, &f.err), f.err);
    CHECK_OK(capp_queue_score(f.queue, examples, 1, NULL, on_result, on_done, &left, &job, &f.err), f.err);
    capp_job_cancel(job);
    const int32_t ids[] = {5, 6, 7};
    capp_continuation c;
    capp_continuation_init(&c);
    c.ids = ids;
    c.n_ids = 3;
    c.max_tokens = 50;
    c.ignore_eos = true;
    stopped.most = 4;
    CHECK_OK(capp_queue_continue(f.queue, &c, on_token, on_done, &stopped, &job, &f.err), f.err);
    drain(f.queue);
    CHECK_INT(bad.status, CAPP_EINVAL);
    CHECK_INT(bad.err.row, 1);
    CHECK_INT(bad.n_rows, 1);
    CHECK_INT(left.status, CAPP_ECANCELLED);
    CHECK_INT(left.n_rows, 0);
    CHECK_INT(stopped.status, CAPP_ECANCELLED);
    CHECK_INT(stopped.n, 4);
    CHECK_OK(capp_queue_score(f.queue, examples, 1, NULL, on_result, on_done, &dropped, &job, &f.err), f.err);
    capp_queue_free(f.queue);
    f.queue = NULL;
    CHECK_INT(dropped.status, CAPP_ECANCELLED);
    CHECK_INT(bad.ended + left.ended + stopped.ended + dropped.ended, 4);
    free_caller(&bad), free_caller(&left), free_caller(&stopped), free_caller(&dropped);
    free(rows);
    close_fixture(&f);
}

/* Checks the rows that a job has delivered. */
static void check_beginning(const caller *c, const caller *alone) {
    for (size_t k = 0; k < c->n_rows; k++) {
        check_row(&c->rows[k], &alone->rows[k]);
        CHECK(c->again[k] == alone->again[k]);
    }
}

/* One of three jobs is cancelled after the n-th step in which a part of one of its rows was in the exact lane. */
static void cancel_one(const char *unit, size_t n) {
    fixture f;
    const capp_queue_options how = {.wave_seconds = 1e-9, .least_tokens = 3, .keep_tokens = 200};
    open_lanes(&f, unit, &how);
    row *rows = make_rows(3, ROWS);
    capp_example examples[ROWS];
    caller jobs[JOBS], alone = new_caller(ROWS);
    capp_job *added[JOBS];
    capp_run_options options;
    capp_run_options_init(&options);
    options.aggregate = CAPP_AGGREGATE_SUM; /* its margin is the widest */
    for (size_t i = 0; i < ROWS; i++) examples[i] = rows[i].example;
    CHECK_OK(capp_score(f.other, examples, ROWS, &options, on_result, &alone, &f.err), f.err);
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = new_caller(ROWS);
        CHECK_OK(capp_queue_score(f.queue, examples, ROWS, &options, on_result, on_done, &jobs[i], &added[i], &f.err),
                 f.err);
    }
    for (size_t seen = 0; seen < n;) {
        capp_queue_step(f.queue);
        CHECK(!jobs[0].ended);
        seen += added[0]->in_parts;
    }
    capp_job_cancel(added[0]);
    drain(f.queue);
    CHECK_INT(jobs[0].status, CAPP_ECANCELLED);
    for (size_t i = 0; i < JOBS; i++) {
        CHECK_INT(jobs[i].ended, 1);
        if (i) CHECK_INT(jobs[i].n_rows, ROWS);
        check_beginning(&jobs[i], &alone);
        free_caller(&jobs[i]);
    }
    free_caller(&alone);
    free(rows);
    close_fixture(&f);
}

TEST(a_job_is_cancelled_in_the_exact_lane_avx512bf16) {
    need_unit("avx512bf16_auto");
    for (size_t n = 1; n < 4; n++) cancel_one("avx512bf16_auto", n);
}

TEST(slow_a_job_is_cancelled_in_the_exact_lane_emulated) {
    cancel_one("tiles_emulated", 2);
}
