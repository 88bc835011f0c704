/* Weights that stay in the file: caching changes no bit, and a file that changes while it is in use is an error. */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/platform.h"
#include "capp_forecast.h"
#include "engine/handles.h"
#include "file/guard.h"
#include "packed.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"

enum { ROWS = 12, PARTS = 5 };

/* ---- Bits ----------------------------------------------------------------------------------------------------------
 */

static capp_model *open_model(const char *path, uint64_t weights_memory, capp_precision precision) {
    capp_model_options options;
    capp_model *model;
    capp_error err;
    capp_model_options_init(&options);
    options.threads = 2;
    options.weights_memory = weights_memory;
    options.precision = precision;
    CHECK_OK(capp_model_open(&model, path, &options, &err), err);
    return model;
}

static capp_status score_some(const capp_model *model, const row *rows, size_t n, scores *out, capp_error *err) {
    capp_session *session;
    capp_example examples[ROWS];
    for (size_t i = 0; i < n; i++) examples[i] = rows[i].example;
    CHECK_OK(capp_session_open(&session, model, err), *err);
    capp_status st = capp_score(session, examples, n, NULL, keep, out, err);
    capp_session_free(session);
    return st;
}

static capp_status score(const capp_model *model, const row *rows, scores *out, capp_error *err) {
    return score_some(model, rows, ROWS, out, err);
}

static scores *scored(const capp_model *model, const row *rows) {
    capp_error err;
    scores *out = calloc(ROWS, sizeof *out);
    CHECK(out);
    CHECK_OK(score(model, rows, out, &err), err);
    return out;
}

/* Scores rows so often that every panel with a place in the cache is there. Returns the last scores. */
static scores *scored_often(const capp_model *model, const row *rows) {
    for (size_t i = 1; i < CAPP_KEPT_FROM; i++) free_scores(scored(model, rows), ROWS);
    return scored(model, rows);
}

/* The scores without a cache. */
static scores *scored_plainly(const char *path, const row *rows, capp_precision precision) {
    capp_model *model = open_model(path, CAPP_WEIGHTS_NONE, precision);
    scores *out = scored(model, rows);
    capp_model_free(model);
    return out;
}

static void check_same(const scores *a, const scores *b) {
    for (size_t i = 0; i < ROWS; i++) {
        CHECK_INT(a[i].n, b[i].n);
        CHECK(a[i].n && !memcmp(a[i].logprobs, b[i].logprobs, a[i].n * sizeof *a[i].logprobs));
    }
}

static capp_model_info info_of(const capp_model *model) {
    capp_model_info info;
    capp_model_get_info(model, &info);
    return info;
}

/* With a budget of part / PARTS of the whole. */
static void check_part(const char *path, const row *rows, const scores *whole, uint64_t bytes, size_t part,
                       capp_precision precision) {
    capp_model *model = open_model(path, part ? bytes * part / PARTS : CAPP_WEIGHTS_NONE, precision);
    capp_model_info info = info_of(model);
    const uint64_t planned = capp_model_forecast_weights(model);
    CHECK(info.whole_weight_bytes == bytes && planned <= bytes * part / PARTS && !info.weight_bytes);
    CHECK(!part || part + 1 < PARTS || planned > bytes / 2);
    for (int again = 0; again <= CAPP_KEPT_FROM; again++) {
        scores *own = scored(model, rows);
        check_same(own, whole);
        free_scores(own, ROWS);
        if (again + 1 >= CAPP_KEPT_FROM) CHECK_INT(info_of(model).weight_bytes, planned);
    }
    capp_model_free(model);
    CHECK_INT(capp_cache_unused(), 0);
}

static void check_parts(const char *arch, capp_precision precision) {
    char path[64];
    tiny_model_file(arch, 5, path);
    row *rows = make_rows(8, ROWS);
    capp_model *model = open_model(path, CAPP_WEIGHTS_ALL, precision);
    uint64_t bytes = info_of(model).whole_weight_bytes;
    CHECK(bytes && capp_model_forecast_weights(model) == bytes && capp_cache_unused() == bytes);
    CHECK_INT(info_of(model).weight_bytes, 0);
    scores *whole = scored_often(model, rows);
    CHECK(info_of(model).weight_bytes == bytes && !capp_cache_unused());
    capp_model_free(model);
    for (size_t part = 0; part <= PARTS; part++) check_part(path, rows, whole, bytes, part, precision);
    model = open_model(path, CAPP_WEIGHTS_DEFAULT, precision);
    CHECK(capp_model_forecast_weights(model) == bytes); /* small models are cached whole */
    capp_model_free(model);
    CHECK_INT(capp_cache_unused(), 0);
    free_scores(whole, ROWS);
    free(rows);
    unlink(path);
}

TEST(cached_in_part_llama) {
    check_parts("llama", CAPP_PRECISION_F32);
}
TEST(cached_in_part_gemma3) {
    check_parts("gemma3", CAPP_PRECISION_F32);
}
TEST(cached_in_part_gpt2) {
    check_parts("gpt2", CAPP_PRECISION_F32);
}
TEST(cached_in_part_i16) {
    check_parts("llama_integers", CAPP_PRECISION_I16);
}
TEST(cached_in_part_auto_integers) {
    check_parts("llama_integers", CAPP_PRECISION_AUTO);
}
TEST(cached_in_part_auto) {
    check_parts("llama", CAPP_PRECISION_AUTO);
}

/* As if the file did not fit in memory: layers that are released after use are read again, and waves are larger. */
TEST(streamed) {
    char path[64];
    tiny_model_file("llama", 5, path);
    row *rows = make_rows(8, ROWS);
    capp_model *model = open_model(path, CAPP_WEIGHTS_ALL, CAPP_PRECISION_F32);
    scores *whole = scored(model, rows);
    capp_model_free(model);
    model = open_model(path, CAPP_WEIGHTS_NONE, CAPP_PRECISION_F32);
    CHECK_INT(info_of(model).streamed_bytes, 0);
    uint64_t before = UINT64_MAX;
    for (uint64_t room = 0; room <= info_of(model).file_bytes; room += info_of(model).file_bytes / 4) {
        capp_weights_keep(model->weights, room);
        CHECK(info_of(model).streamed_bytes <= before);
        before = info_of(model).streamed_bytes;
        CHECK((room || before) && before <= info_of(model).file_bytes);
        scores *own = scored(model, rows);
        check_same(own, whole);
        free_scores(own, ROWS);
    }
    CHECK_INT(before, 0);
    capp_model_free(model);
    free_scores(whole, ROWS);
    free(rows);
    unlink(path);
}

/* ---- The cache -----------------------------------------------------------------------------------------------------
 */

static size_t most_bytes;

static void *small_malloc(size_t bytes) {
    return bytes < most_bytes ? malloc(bytes) : NULL;
}

/* By default a model works without a cache whose memory the process may not have. A cache that the caller asks for is
 * an error then. */
TEST(a_cache_that_gets_no_memory) {
    char path[64];
    capp_error err;
    capp_model_options options;
    capp_model *model;
    tiny_model_file("llama", 5, path);
    row *rows = make_rows(8, ROWS);
    scores *whole = scored_plainly(path, rows, CAPP_PRECISION_F32);
    model = open_model(path, CAPP_WEIGHTS_NONE, CAPP_PRECISION_F32);
    most_bytes = info_of(model).whole_weight_bytes;
    capp_model_free(model);
    CHECK_INT(capp_set_allocator(small_malloc, realloc, free), CAPP_OK);
    capp_model_options_init(&options);
    options.weights_memory = CAPP_WEIGHTS_ALL;
    options.precision = CAPP_PRECISION_F32;
    CHECK_INT(capp_model_open(&model, path, &options, &err), CAPP_ENOMEM);
    CHECK_CONTAINS(err.message, "--weights-memory 0");
    model = open_model(path, CAPP_WEIGHTS_DEFAULT, CAPP_PRECISION_F32);
    CHECK_INT(capp_set_allocator(NULL, NULL, NULL), CAPP_OK);
    CHECK(!capp_model_forecast_weights(model) && !capp_cache_unused());
    scores *own = scored(model, rows);
    check_same(own, whole);
    CHECK_INT(info_of(model).weight_bytes, 0);
    free_scores(own, ROWS);
    free_scores(whole, ROWS);
    capp_model_free(model);
    free(rows);
    unlink(path);
}

/* As if a thread that does not run, or that does not exist after a fork, were making some of the panels. */
TEST(panels_that_another_thread_makes) {
    char path[64];
    tiny_model_file("llama", 5, path);
    row *rows = make_rows(8, ROWS);
    scores *whole = scored_plainly(path, rows, CAPP_PRECISION_F32);
    for (size_t period = 1; period < 4; period++) {
        capp_model *model = open_model(path, CAPP_WEIGHTS_ALL, CAPP_PRECISION_F32);
        const capp_weights *w = model->weights;
        const capp_kept *last = &w->kept[w->n_kept - 1];
        const size_t panels = (size_t)(last->states - w->states);
        for (size_t i = 0; i < panels; i += period) atomic_store(&w->states[i], CAPP_PANEL_BUSY);
        scores *own = scored_often(model, rows);
        check_same(own, whole);
        free_scores(own, ROWS);
        const uint64_t bytes = info_of(model).weight_bytes, all = info_of(model).whole_weight_bytes;
        CHECK(period > 1 ? bytes > last->whole && bytes < all : bytes == last->whole);
        for (size_t i = 0; i < panels; i++)
            CHECK_INT(atomic_load(&w->states[i]), i % period ? CAPP_PANEL_READY : CAPP_PANEL_BUSY);
        capp_model_free(model);
    }
    free_scores(whole, ROWS);
    free(rows);
    unlink(path);
}

static void use_often(const capp_weights *w, const capp_matrix *m, float *scratch, const char **part) {
    for (size_t i = 0; i < CAPP_KEPT_FROM; i++) {
        capp_matrix_use(m);
        capp_matrix_parts(w, m, 0, 1, 0, scratch, part);
        CHECK(i + 1 == CAPP_KEPT_FROM || *part != m->kept->panels);
    }
}

/* Its zeros may be used by the call, which fails, but stay out of the cache. */
TEST(a_failed_read_is_not_kept) {
    char path[64];
    capp_error err;
    const char *part;
    tiny_model_file("llama", 5, path);
    CHECK_OK(capp_guard_files(&err), err);
    capp_model *model = open_model(path, CAPP_WEIGHTS_ALL, CAPP_PRECISION_F32);
    const capp_weights *w = model->weights;
    const capp_matrix *good = &w->layers[0].qkv, *bad = &w->layers[w->hparams.layers - 1].down;
    float *scratch =
        capp_aligned_new(capp_matrix_scratch(w, good, 1) + capp_matrix_scratch(w, bad, 1), sizeof *scratch);
    CHECK(scratch && good->kept && bad->kept);
    use_often(w, good, scratch, &part);
    CHECK(part == good->kept->panels && capp_cache_bytes(w) == good->panel_bytes);
    CHECK(!truncate(path, 8192));
    use_often(w, bad, scratch, &part);
    CHECK(part != bad->kept->panels && atomic_load(&bad->kept->states[0]) == CAPP_PANEL_BUSY);
    CHECK_INT(capp_source_check(&model->source, &err), CAPP_EIO);
    CHECK_INT(capp_cache_bytes(w), good->panel_bytes);
    capp_matrix_parts(w, good, 0, 1, 0, scratch, &part);
    CHECK(part == good->kept->panels);
    capp_aligned_delete(scratch);
    capp_model_free(model);
    unlink(path);
}

/* Opening and the first wave touch nothing of the cache. */
TEST(the_cache_takes_memory_when_it_is_used) {
    const char *path = test_model("smollm2");
    if (!path) SKIP("no smollm2: make models");
    capp_error err;
    scores *some = calloc(2, sizeof *some);
    row *rows = make_rows(8, ROWS);
    CHECK(some);
    capp_model *model = open_model(path, CAPP_WEIGHTS_ALL, CAPP_PRECISION_F32);
    const capp_weights *w = model->weights;
    const size_t page = capp_page_size(), huge = 2 << 20;
    const char *block = w->block + (page - (uintptr_t)w->block % page) % page;
    CHECK(capp_resident_bytes(block, w->packed_bytes - page) <= page); /* AddressSanitizer fills 4,096 bytes */
    CHECK(w->packed_bytes > 16 * huge);
    CHECK_OK(score_some(model, rows, 1, some, &err), err);
    CHECK(!info_of(model).weight_bytes && capp_resident_bytes(block, w->packed_bytes - page) <= page);
    keep_from_now(w);
    CHECK_OK(score_some(model, rows, 1, some + 1, &err), err);
    const uint64_t bytes = info_of(model).weight_bytes, used = capp_resident_bytes(block, w->packed_bytes - page);
    CHECK(bytes == capp_model_forecast_weights(model) && used + 2 * page >= bytes);
    free_scores(some, 2);
    capp_model_free(model);
    free(rows);
}

/* ---- Files that change ---------------------------------------------------------------------------------------------
 */

static void cut(const char *path) {
    CHECK(!truncate(path, 8192));
}

static void grow_file(const char *path) {
    int fd = open(path, O_WRONLY | O_APPEND);
    CHECK(fd >= 0 && write(fd, "x", 1) == 1 && !close(fd));
}

static void write_within(const char *path) {
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, "G", 1, 0) == 1 && !close(fd));
}

static void replace(const char *path) {
    char other[64];
    tiny_model_file("llama", 6, other);
    CHECK(!rename(other, path));
}

static void check_change(void (*change)(const char *path), const char *part, bool tensor) {
    char path[64];
    capp_error err = {0};
    tiny_model_file("llama", 5, path);
    row *rows = make_rows(8, ROWS);
    scores *out = calloc(ROWS, sizeof *out);
    CHECK(out);
    capp_model *model = open_model(path, CAPP_WEIGHTS_NONE, CAPP_PRECISION_F32);
    CHECK(!usleep(20000)); /* a tick of the clock of modification times */
    change(path);
    CHECK_INT(score(model, rows, out, &err), CAPP_EIO);
    CHECK_CONTAINS(err.message, path);
    CHECK_CONTAINS(err.message, part);
    CHECK(!strstr(err.message, ": tensor ") == !tensor);
    capp_model_free(model);
    free_scores(out, ROWS);
    free(rows);
    unlink(path);
}

TEST(a_file_that_is_cut_short) {
    check_change(cut, "the file has 8192 bytes", true);
}
TEST(a_file_that_grows) {
    check_change(grow_file, "bytes, but had", false);
}
TEST(a_file_that_is_written_to) {
    check_change(write_within, "was written to", false);
}
TEST(a_file_that_is_replaced) {
    check_change(replace, "was replaced", false);
}

TEST(a_file_that_is_removed) {
    char path[64];
    tiny_model_file("llama", 5, path);
    row *rows = make_rows(8, ROWS);
    capp_model *model = open_model(path, CAPP_WEIGHTS_NONE, CAPP_PRECISION_F32);
    unlink(path);
    free_scores(scored(model, rows), ROWS);
    capp_model_free(model);
    free(rows);
}

/* ---- The guard -----------------------------------------------------------------------------------------------------
 */

static volatile sig_atomic_t seen;
static void *foreign;

static void earlier(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    seen += info->si_addr == foreign;
    if (mmap(foreign, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) _exit(1);
}

/* A file that is mapped first and then loses all pages except the first. */
static int lost_file(char *path, size_t pages) {
    snprintf(path, 64, "/tmp/capp-test-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && !ftruncate(fd, (off_t)(pages * 4096)));
    return fd;
}

TEST(a_guarded_read_gives_zeros_and_is_noted) {
    enum { PAGES = 64 };
    char path[64];
    capp_map map;
    capp_error err;
    uint64_t at;
    int fd = lost_file(path, PAGES);
    CHECK(pwrite(fd, "ab", 2, 0) == 2);
    CHECK_OK(capp_guard_files(&err), err);
    CHECK_OK(capp_map_open(&map, path, &err), err);
    CHECK_INT(capp_map_look(&map, &at), CAPP_SAME);
    CHECK(!ftruncate(fd, 4096));
    const volatile char *data = map.data;
    for (size_t i = PAGES; i-- > 1;) CHECK_INT(data[i * 4096 + 5], 0);
    CHECK(data[0] == 'a' && data[1] == 'b');
    CHECK_INT(capp_map_look(&map, &at), CAPP_UNREADABLE);
    CHECK_INT(at, (PAGES - 1) * 4096 + 5);
    capp_map_close(&map);
    close(fd);
    unlink(path);
}

TEST(other_signals_go_to_the_handler_before) {
    char path[64];
    capp_error err;
    struct sigaction action = {.sa_sigaction = earlier, .sa_flags = SA_SIGINFO};
    int fd = lost_file(path, 1);
    foreign = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(foreign != MAP_FAILED && !ftruncate(fd, 0));
    CHECK(!sigaction(SIGBUS, &action, NULL));
    CHECK_OK(capp_guard_files(&err), err);
    CHECK_OK(capp_guard_files(&err), err); /* a second call has no further effect */
    CHECK_INT(*(const volatile char *)foreign, 0);
    CHECK_INT(seen, 1);
    close(fd);
    unlink(path);
}
