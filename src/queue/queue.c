/* A list of jobs that run together, step by step. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "queue/job.h"

enum { SPREAD_BYTES = 32 << 20 }; /* memory for the distributions of a step */

void capp_queue_options_init(capp_queue_options *options) {
    *options = (capp_queue_options){.wave_seconds = 0.05, .keep_tokens = 16384};
}

capp_status capp_queue_open(capp_queue **out, capp_session *session, const capp_queue_options *options,
                            capp_error *err) {
    *out = NULL;
    capp_queue *queue = capp_new0(1, sizeof *queue);
    if (!queue) return capp_fail_memory(err, "the queue");
    queue->session = session;
    capp_queue_options_init(&queue->options);
    if (options) queue->options = *options;
    if (!(queue->options.wave_seconds > 0)) {
        capp_free(queue);
        return capp_fail(err, CAPP_EINVAL, "wave_seconds of a queue must be positive");
    }
    size_t outputs = capp_model_outputs(capp_session_model(session)), bytes = outputs * sizeof *queue->spreads;
    queue->most_spreads = SPREAD_BYTES / bytes ? SPREAD_BYTES / bytes : 1;
    for (size_t i = 0; i < CAPP_TURNS; i++) queue->lines[i].room = capp_rate_first(queue->options.least_tokens);
    queue->stats.step_tokens = queue->lines[CAPP_TURN_FAST].room;
    *out = queue;
    return CAPP_OK;
}

static void end_job(capp_job *job, capp_status status, const capp_error *err) {
    job->done(job->user, status, err);
    job->kind->drop(job);
}

void capp_queue_free(capp_queue *queue) {
    capp_error err;
    if (!queue) return;
    capp_error_fill(&err, CAPP_ECANCELLED, "cancelled");
    for (size_t i = 0; i < queue->n; i++) end_job(queue->jobs[i], CAPP_ECANCELLED, &err);
    capp_free(queue->jobs);
    capp_free(queue->groups);
    capp_free(queue->spreads);
    capp_free(queue->weights);
    capp_free(queue->order);
    capp_free(queue);
}

capp_status capp_queue_take(capp_queue *queue, capp_job *job, capp_job **out, capp_error *err) {
    if (!capp_grow(&queue->jobs, &queue->capacity, queue->n + 1, sizeof *queue->jobs)) {
        job->kind->drop(job);
        return capp_fail_memory(err, "the queue");
    }
    queue->jobs[queue->n++] = job;
    *out = job;
    return CAPP_OK;
}

void capp_job_cancel(capp_job *job) {
    job->cancelled = true;
}

void capp_job_set_caller(capp_job *job, const void *caller) {
    job->caller = caller;
}

void capp_queue_get_stats(const capp_queue *queue, capp_queue_stats *stats) {
    *stats = queue->stats;
}

/* ---- A step ---- */

/* The next steps have more or less room, but not suddenly. */
static void learn(capp_queue *queue, size_t rows, double seconds) {
    capp_queue_stats *stats = &queue->stats;
    capp_line *line = &queue->lines[queue->turn];
    stats->steps++;
    stats->seconds += seconds;
    stats->last_seconds = seconds;
    if (seconds > stats->longest_seconds) stats->longest_seconds = seconds;
    capp_rate_learn(&line->rate, rows, seconds);
    size_t wanted = capp_rate_rows(&line->rate, queue->options.wave_seconds, queue->options.least_tokens);
    size_t most = 2 * line->room, least = (line->room + 1) / 2;
    if (wanted) line->room = wanted > most ? most : wanted < least ? least : wanted;
    stats->step_tokens = queue->lines[CAPP_TURN_FAST].room;
}

/* Tells the session the longest path of all jobs. */
static void expect_paths(const capp_queue *queue) {
    size_t longest = 0;
    for (size_t i = 0; i < queue->n; i++)
        if (queue->jobs[i]->longest > longest) longest = queue->jobs[i]->longest;
    capp_session_expect(queue->session, longest);
}

/* Runs the wave and lets the jobs read their parts. */
static void run_step(capp_queue *queue) {
    capp_error err;
    capp_session *session = queue->session;
    uint64_t before = capp_session_stats(session)->tokens_computed;
    double start = capp_seconds();
    capp_lane *lane = queue->turn == CAPP_TURN_EXACT ? capp_session_exact(session) : capp_session_fast(session);
    capp_status st = capp_session_run(session, lane, NULL, NULL, &err);
    learn(queue, (size_t)(capp_session_stats(session)->tokens_computed - before), capp_seconds() - start);
    for (size_t i = 0; i < queue->n; i++) {
        capp_job *job = queue->jobs[i];
        if (!job->in_step || job->status != CAPP_OK) continue;
        if (st != CAPP_OK)
            job->err = err, job->status = st;
        else
            job->status = job->kind->read(job, &job->err);
    }
    for (size_t i = 0; i < queue->n; i++) {
        capp_job *job = queue->jobs[i];
        if (job->in_step && job->status == CAPP_OK) job->status = job->kind->deliver(job, &job->err);
    }
}

/* Ends the jobs that are complete, cancelled or failed. */
static void end_jobs(capp_queue *queue) {
    size_t kept = 0, next[CAPP_TURNS] = {0}, n = queue->n;
    for (size_t i = 0; i < n; i++) {
        capp_job *job = queue->jobs[i];
        for (size_t k = 0; k < CAPP_TURNS; k++)
            if (i == queue->lines[k].next) next[k] = kept;
        if (job->cancelled && job->status == CAPP_OK && !job->ended)
            job->status = capp_fail(&job->err, CAPP_ECANCELLED, "cancelled");
        if (job->ended || job->status != CAPP_OK)
            end_job(job, job->status, &job->err);
        else
            queue->jobs[kept++] = job;
    }
    queue->n = kept;
    for (size_t k = 0; k < CAPP_TURNS; k++) queue->lines[k].next = next[k] < kept ? next[k] : 0;
}

/* Texts whose recurrent states have slots between steps. Always the same number: new scratch memory loses what is
 * resident. */
enum { KEPT_PATHS = 16 };

/* Fills the window of the step. */
static capp_status fill_step(capp_queue *queue, capp_error *err) {
    capp_session *session = queue->session;
    capp_status st;
    queue->n_spreads = 0;
    for (size_t i = 0; i < queue->n; i++) queue->jobs[i]->in_step = queue->jobs[i]->starved = false;
    capp_session_keep(session, queue->options.keep_tokens, KEPT_PATHS);
    expect_paths(queue);
    if ((st = capp_session_make_room(session, err)) != CAPP_OK) return st;
    if ((st = capp_make_groups(queue, err)) != CAPP_OK) return st;
    capp_take_turn(queue);
    if ((st = capp_tree_next_window(capp_step_tree(queue), err)) != CAPP_OK) return st;
    const capp_line *line = &queue->lines[queue->turn];
    size_t room = line->room, trial = queue->options.least_tokens ? room : capp_rate_trial(&line->rate, room);
    if (queue->turn == CAPP_TURN_FAST) capp_take_seats(queue, &room);
    capp_share_step(queue, room, trial);
    expect_paths(queue); /* rows that begin in this step may be longer */
    return CAPP_OK;
}

size_t capp_queue_step(capp_queue *queue) {
    capp_session *session = queue->session;
    capp_error err;
    if (!queue->n) return 0;
    unsigned arithmetic = capp_session_begin(session);
    capp_status st = fill_step(queue, &err);
    if (st == CAPP_OK) run_step(queue);
    for (size_t i = 0; i < queue->n && st != CAPP_OK; i++) queue->jobs[i]->err = err, queue->jobs[i]->status = st;
    capp_session_expect(session, 0);
    capp_session_end(session, arithmetic);
    end_jobs(queue);
    return queue->n;
}
