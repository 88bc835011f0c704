/* Threads of the caller use one model at the same time, each with its own session, and each gets the bits that it gets
 * alone. Under ThreadSanitizer (make check) the test also shows that nothing writes to the model. */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"
#include "capp.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"

enum { THREADS = 4, ROWS = 12, TRIES = 30 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { TURNS = 1 }; /* sanitizers are slow */
#else
enum { TURNS = 2 };
#endif

typedef struct work {
    const capp_model *model;
    const row *rows; /* [ROWS] */
    pthread_barrier_t *start;
    scores *scores; /* [ROWS] of the last turn */
    size_t prediction[ROWS];
    char text[ROWS][64]; /* generated */
    pthread_t thread;
} work;

static bool keep_generated(void *user, const capp_generation *result) {
    work *w = user;
    snprintf(w->text[result->row], sizeof w->text[result->row], "%.*s", (int)result->text.size, result->text.data);
    return true;
}

static void take_turn(work *w, capp_session *session) {
    capp_error err;
    capp_example examples[ROWS], choices[ROWS];
    capp_str prompts[ROWS];
    capp_generate_options options;
    size_t n_choices = 0;
    for (size_t i = 0; i < ROWS; i++) {
        examples[i] = w->rows[i].example;
        prompts[i] = capp_str_of("the code of a bee");
        prompts[i].size -= i % 7;
        if (examples[i].n_completions > 1) choices[n_choices++] = examples[i];
    }
    if (w->scores) free_scores(w->scores, ROWS);
    w->scores = calloc(ROWS, sizeof *w->scores);
    CHECK(w->scores);
    CHECK_OK(capp_score(session, examples, ROWS, NULL, keep, w->scores, &err), err);
    CHECK_OK(capp_predict(session, choices, n_choices, NULL, w->prediction, &err), err);
    capp_generate_options_init(&options);
    options.max_tokens = 4;
    CHECK_OK(capp_generate(session, prompts, ROWS, &options, keep_generated, w, &err), err);
}

/* A new session each turn, used twice: cold, then warm. */
static void *run(void *user) {
    work *w = user;
    capp_error err;
    if (w->start) pthread_barrier_wait(w->start);
    for (size_t turn = 0; turn < TURNS; turn++) {
        capp_session *session;
        CHECK_OK(capp_session_open(&session, w->model, &err), err);
        take_turn(w, session);
        take_turn(w, session);
        capp_session_free(session);
    }
    return NULL;
}

static bool same(const work *a, const work *b) {
    for (size_t i = 0; i < ROWS; i++)
        if (a->scores[i].n != b->scores[i].n ||
            memcmp(a->scores[i].logprobs, b->scores[i].logprobs, a->scores[i].n * sizeof(float)) ||
            strcmp(a->text[i], b->text[i]))
            return false;
    return !memcmp(a->prediction, b->prediction, sizeof a->prediction);
}

static void check_threads(const char *arch, int workers) {
    static work alone[THREADS], together[THREADS];
    capp_model_options options;
    capp_model *model;
    capp_error err;
    pthread_barrier_t start;
    row *rows[THREADS];
    char path[64];
    tiny_model_file(arch, 3, path);
    capp_model_options_init(&options);
    options.threads = workers;
    CHECK_OK(capp_model_open(&model, path, &options, &err), err);
    CHECK(!pthread_barrier_init(&start, NULL, THREADS));
    for (size_t i = 0; i < THREADS; i++) {
        rows[i] = make_rows(20 + i, ROWS);
        alone[i] = (work){.model = model, .rows = rows[i]};
        together[i] = (work){.model = model, .rows = rows[i], .start = &start};
        run(&alone[i]);
    }
    capp_model_free(model);
    CHECK_OK(capp_model_open(&model, path, &options, &err), err); /* its cache of weights is empty again */
    for (size_t i = 0; i < THREADS; i++) together[i].model = model;
    CHECK(!same(&alone[0], &alone[1])); /* the comparison itself */
    for (size_t i = 0; i < THREADS; i++) CHECK(!pthread_create(&together[i].thread, NULL, run, &together[i]));
    for (size_t i = 0; i < THREADS; i++) CHECK(!pthread_join(together[i].thread, NULL));
    for (size_t i = 0; i < THREADS; i++) {
        if (!same(&alone[i], &together[i])) FAIL("%s: thread %zu has other bits than alone", arch, i);
        free_scores(alone[i].scores, ROWS), free_scores(together[i].scores, ROWS), free(rows[i]);
    }
    pthread_barrier_destroy(&start);
    capp_model_free(model);
    unlink(path);
}

TEST(same_bits_in_four_threads_llama) {
    check_threads("llama", 1);
}
TEST(same_bits_in_four_threads_of_two_workers) {
    check_threads("llama", 2);
}
TEST(same_bits_in_four_threads_gemma3) {
    check_threads("gemma3", 1);
}
TEST(same_bits_in_four_threads_gpt2) {
    check_threads("gpt2", 1);
}
TEST(same_bits_in_four_threads_qwen35) {
    check_threads("qwen35", 1);
}
TEST(same_bits_in_four_threads_rwkv7) {
    check_threads("rwkv7", 1);
}

/* ---- Cancelling ------------------------------------------------------------------------------------------------- */

typedef struct canceller {
    capp_session *session;
    double after; /* seconds */
} canceller;

static void *cancel_later(void *user) {
    const canceller *c = user;
    struct timespec wait = {0, (long)(1e9 * c->after)};
    nanosleep(&wait, NULL);
    capp_session_cancel(c->session);
    return NULL;
}

/* A call cancelled at any time, also in the middle of a wave, ends with CAPP_ECANCELLED or with the right bits. The
 * next call has the right bits, whatever state the cancelled one left. */
static void check_cancelling(const char *arch, int workers) {
    char path[64];
    capp_model_options options;
    capp_model *model;
    capp_error err;
    capp_example examples[ROWS];
    row *rows = make_rows(31, ROWS);
    size_t total = 0, n_cancelled = 0;
    test_random random = {5};
    for (size_t i = 0; i < ROWS; i++) examples[i] = rows[i].example, total += rows[i].example.n_completions;
    double *expected = malloc(total * sizeof *expected), *found = malloc(total * sizeof *found);
    CHECK(expected && found);
    tiny_model_file(arch, 3, path);
    capp_model_options_init(&options);
    options.threads = workers;
    CHECK_OK(capp_model_open(&model, path, &options, &err), err);
    canceller c;
    CHECK_OK(capp_session_open(&c.session, model, &err), err);
    CHECK_OK(capp_predict_proba(c.session, examples, ROWS, NULL, expected, &err), err);
    capp_stats stats;
    capp_session_get_stats(c.session, &stats);
    double seconds = stats.seconds; /* of the fastest call: one that had to wait for a processor tells too much */
    for (int i = 0; i < TRIES || (!n_cancelled && i < 100 * TRIES); i++) {
        pthread_t thread;
        c.after = seconds * test_random_unit(&random);
        capp_session_free(c.session); /* with an empty cache */
        CHECK_OK(capp_session_open(&c.session, model, &err), err);
        CHECK(!pthread_create(&thread, NULL, cancel_later, &c));
        capp_status st = capp_predict_proba(c.session, examples, ROWS, NULL, found, &err);
        CHECK(!pthread_join(thread, NULL));
        n_cancelled += st == CAPP_ECANCELLED;
        if (st != CAPP_ECANCELLED) CHECK_OK(st, err);
        if (st == CAPP_OK) {
            CHECK(!memcmp(found, expected, total * sizeof *found));
            capp_session_get_stats(c.session, &stats);
            if (stats.seconds < seconds) seconds = stats.seconds;
        }
        CHECK_OK(capp_predict_proba(c.session, examples, ROWS, NULL, found, &err), err);
        CHECK(!memcmp(found, expected, total * sizeof *found));
    }
    CHECK(n_cancelled > 0);
    capp_session_free(c.session);
    capp_model_free(model);
    unlink(path);
    free(expected), free(found), free(rows);
}

TEST(cancelling_at_any_time_llama) {
    check_cancelling("llama", 1);
}
TEST(cancelling_at_any_time_of_two_workers) {
    check_cancelling("gemma3", 2);
}

/* ---- The pool --------------------------------------------------------------------------------------------------- */

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void sleep_for(long milliseconds) {
    const struct timespec wait = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&wait, NULL);
}

static capp_pool *open_pool(int threads) {
    capp_pool *pool;
    capp_error err;
    CHECK_OK(capp_pool_open(&pool, threads, &err), err);
    return pool;
}

static void no_task(void *user, size_t task, int worker) {
    (void)user, (void)task, (void)worker;
}

/* Task 0 takes long. */
static void long_task(void *user, size_t task, int worker) {
    (void)user, (void)worker;
    if (!task) sleep_for(400);
}

/* Threads that wait for work, or for the others, use the processor for a moment and then sleep. If one of them did not,
 * it would use 0.4 s. */
TEST(threads_that_wait_sleep) {
    capp_pool *pool = open_pool(4);
    capp_pool_run(pool, no_task, NULL, 4);
    double before = processor_seconds();
    sleep_for(400);
    CHECK(processor_seconds() - before < 0.2);
    before = processor_seconds();
    capp_pool_run(pool, long_task, NULL, 4);
    CHECK(processor_seconds() - before < 0.2);
    capp_pool_free(pool);
}

enum { POOL_THREADS = 3, POOL_TASKS = 120 };

/* Worker 1 takes ten times as long as the others, as on a slow core. */
static void uneven_task(void *user, size_t task, int worker) {
    size_t *done = user;
    (void)task;
    done[worker]++;
    sleep_for(worker == 1 ? 20 : 2);
}

/* A slow thread gets fewer tasks, so that the others do not wait for it. With equal shares it would have 40. */
TEST(a_slow_thread_gets_fewer_tasks) {
    capp_pool *pool = open_pool(POOL_THREADS);
    size_t done[POOL_THREADS] = {0};
    capp_pool_run(pool, uneven_task, done, POOL_TASKS);
    CHECK_INT(done[0] + done[1] + done[2], POOL_TASKS);
    if (done[1] > 15) FAIL("%zu of %d tasks", done[1], POOL_TASKS);
    capp_pool_free(pool);
}
