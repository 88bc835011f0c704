/* How evenly the tasks of a wave load 2 to 16 threads: multiply-adds are counted, not timed. Each thread that is free
 * takes the next task, as those of the pool do. Threads may differ in speed. */
#include "forward/forward.h"
#include "forward/tasks.h"
#include "lone.h"
#include "test.h"

/* Columns of a group of panels; rows of the largest task, and those that take as long as reading the panels. */
enum { MOST_THREADS = 16, COLUMNS = 64, BLOCK = 192, PANEL = 12 };

/* The library's pool is replaced by one that counts: it runs the tasks in order, each on the thread that is free first.
 */
struct capp_pool {
    int threads;
    double longest; /* time of the busiest thread, summed over runs */
    double all;     /* work of all threads */
};

static double speed[MOST_THREADS]; /* 0: as fast as the first thread */

static double speed_of(size_t thread) {
    return speed[thread] > 0 ? speed[thread] : 1;
}

static double speeds(int threads) {
    double all = 0;
    for (int t = 0; t < threads; t++) all += speed_of((size_t)t);
    return all;
}

static double counted; /* multiply-adds of the running task */

capp_status capp_pool_open(capp_pool **pool, int threads, capp_error *err) {
    (void)err;
    *pool = calloc(1, sizeof **pool);
    CHECK(*pool != NULL);
    (*pool)->threads = threads;
    return CAPP_OK;
}

void capp_pool_free(capp_pool *pool) {
    free(pool);
}

int capp_pool_threads(const capp_pool *pool) {
    return pool->threads;
}

void capp_pool_set_stop(capp_pool *pool, const atomic_bool *stop) {
    (void)pool, (void)stop;
}

bool capp_pool_stopped(const capp_pool *pool) {
    (void)pool;
    return false;
}

/* Adds a task to the thread that is free first. */
static void assign(double *done, size_t threads, double work) {
    size_t next = 0;
    for (size_t t = 1; t < threads; t++)
        if (done[t] < done[next]) next = t;
    done[next] += work / speed_of(next);
}

static double most_of(const double *done, size_t threads) {
    double most = 0;
    for (size_t t = 0; t < threads; t++) most = done[t] > most ? done[t] : most;
    return most;
}

void capp_pool_run(capp_pool *pool, capp_task_fn fn, void *user, size_t n_tasks) {
    double done[MOST_THREADS] = {0};
    for (size_t i = 0; i < n_tasks; i++) {
        counted = 0;
        fn(user, i, 0);
        pool->all += counted;
        assign(done, (size_t)pool->threads, counted);
    }
    pool->longest += most_of(done, (size_t)pool->threads);
}

/* How much longer its runs took than if all threads had been busy all the time. */
static double excess_of(const capp_pool *pool) {
    CHECK(pool->all > 0);
    return pool->longest * speeds(pool->threads) / pool->all - 1;
}

/* Products of a layer: the numbers of inputs and outputs. */
typedef struct shape {
    const char *name;
    size_t n;
    size_t product[4][2];
} shape;

static const shape shapes[] = {{"SmolLM2", 4, {{576, 960}, {576, 576}, {576, 3072}, {1536, 576}}},
                               {"7B", 4, {{3584, 4608}, {3584, 3584}, {3584, 37888}, {18944, 3584}}},
                               {"mixture", 3, {{2048, 5120}, {4096, 2048}, {2048, 128}}}}; /* all but the experts */

/* Multiply-adds of the busiest thread; tasks of `rows` rows go block by block, each block column by column. */
static double busiest(size_t rows, size_t k, size_t n, size_t block, size_t threads) {
    double done[MOST_THREADS] = {0};
    for (size_t row = 0; row < rows; row += block)
        for (size_t column = 0; column < n; column += COLUMNS) {
            const size_t height = rows - row < block ? rows - row : block;
            assign(done, threads, (double)(height * k * (n - column < COLUMNS ? n - column : COLUMNS)));
        }
    return most_of(done, threads);
}

/* How much longer a layer's products take than with equally busy threads. fixed: rows of every task, 0: as capp has it.
 */
static double excess(const shape *s, size_t rows, size_t threads, size_t most, size_t fixed) {
    double time = 0, work = 0;
    for (size_t i = 0; i < s->n; i++) {
        const size_t k = s->product[i][0], n = s->product[i][1], groups = (n + COLUMNS - 1) / COLUMNS;
        time += busiest(rows, k, n, fixed ? fixed : capp_task_rows(rows, groups, threads, most, PANEL), threads);
        work += (double)(rows * k * n) / speeds((int)threads);
    }
    return time / work - 1;
}

/* Waves of prompts and of completions, with panels that are cached and with those that are packed when used. */
TEST(a_layers_products_load_all_threads) {
    static const size_t waves[] = {64, 128, 256, 300, 512, 700, 768, 1024, 1536, 2048};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t w = 0; w < sizeof waves / sizeof *waves; w++)
            for (size_t threads = 2; threads <= MOST_THREADS; threads *= 2)
                for (int cached = 0; cached < 2; cached++) {
                    const double more = excess(&shapes[s], waves[w], threads, cached ? BLOCK : waves[w], 0);
                    /* With few rows smaller tasks would cost more than they bring: each reads its panels. */
                    if (more > (waves[w] <= 64 ? 0.13 : waves[w] <= 128 ? 0.08 : 0.05))
                        FAIL("%s, %zu rows, %zu threads: %.1f %% more than the best", shapes[s].name, waves[w], threads,
                             100 * more);
                }
}

/* The count sees tasks that are too few or too uneven. */
TEST(whole_blocks_do_not) {
    CHECK(excess(&shapes[0], 512, 16, 0, BLOCK) > 0.1);
    CHECK(excess(&shapes[0], 64, 16, 0, BLOCK) > 0.25);
}

TEST(a_task_is_no_larger_than_it_may_be) {
    for (size_t rows = 0; rows < 800; rows += rows < 70 ? 1 : 37)
        for (size_t groups = 1; groups < 70; groups += 3)
            for (size_t threads = 1; threads <= 64; threads += 7) {
                const size_t block = capp_task_rows(rows, groups, threads, BLOCK, PANEL);
                CHECK(block > 0 && block <= BLOCK);
                CHECK(threads > 1 || block + 1 >= (rows < BLOCK ? rows : BLOCK) / 2);
            }
}

/* Attention ------------------------------------------------------------------------------------------------------- */

static void count_scores(float *s, size_t lds, const float *q, size_t ldq, size_t rows, const float *kt, size_t d,
                         size_t skip, size_t n) {
    (void)s, (void)lds, (void)q, (void)ldq, (void)kt, (void)skip;
    counted += (double)(rows * d * n);
}

static void count_values(float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *v, size_t ldv,
                         size_t d, size_t n) {
    (void)out, (void)ldo, (void)p, (void)ldp, (void)v, (void)ldv;
    counted += (double)(rows * d * n);
}

static float no_most(const float *x, size_t n) {
    (void)x, (void)n;
    return 0;
}

static void no_exps(float *s, size_t lo, size_t hi, float top, float *lanes) {
    (void)s, (void)lo, (void)hi, (void)top, (void)lanes;
}

/* A wave of attention: the last rows of each of several prompts. */
typedef struct wave {
    const char *name;
    uint16_t heads, kv_heads, d;
    size_t n;
    uint32_t length[5], rows[5]; /* tokens of a prompt, and how many of them are in the wave */
    double most;                 /* highest excess */
} wave;

static const wave waves_of_attention[] = {
    {"SmolLM2", 9, 3, 64, 1, {512}, {512}, 0.05},
    {"SmolLM2, long", 9, 3, 64, 1, {8000}, {512}, 0.05},
    {"SmolLM2, unequal", 9, 3, 64, 5, {8000, 20, 700, 60, 100}, {400, 20, 100, 60, 100}, 0.05},
    {"SmolLM2, completions", 9, 3, 64, 4, {300, 300, 300, 300}, {32, 32, 32, 32}, 0.13},
    {"Gemma 3", 4, 1, 256, 1, {512}, {512}, 0.05},
    {"Gemma 3, long", 4, 1, 256, 1, {2048}, {512}, 0.05},
    {"Gemma 3, unequal", 4, 1, 256, 5, {2048, 20, 700, 60, 100}, {400, 20, 100, 60, 100}, 0.05},
    {"7B", 28, 4, 128, 1, {2048}, {512}, 0.05},
    {"mixture", 32, 4, 128, 3, {300, 40, 2000}, {300, 40, 400}, 0.05},
};

/* Nodes of all prompts, one path after another; those in the wave go to order. Returns their number. */
static size_t lay_out(const wave *w, capp_node *nodes, uint32_t *order) {
    size_t n = 0, rows = 0;
    for (size_t p = 0; p < w->n; p++)
        for (uint32_t i = 0; i < w->length[p]; i++) {
            capp_node *x = &nodes[++n];
            x->depth = i + 1, x->slot = (uint32_t)n - 1, x->parent = i ? (uint32_t)n - 1 : CAPP_ROOT;
            x->first_child = CAPP_NO_NODE;
            if (i + w->rows[p] >= w->length[p]) order[rows++] = (uint32_t)n;
        }
    return rows;
}

/* How much longer the wave takes than with equally busy threads. */
static double excess_of_attention(const wave *x, int threads) {
    enum { MOST_NODES = 9000 };
    static capp_node nodes[MOST_NODES];
    static uint32_t order[MOST_NODES];
    static lone l;
    const capp_shape of = {.heads = x->heads, .kv_heads = x->kv_heads, .key = x->d, .value = x->d};
    const capp_tree tree = {.nodes = nodes};
    capp_pool *pool;
    capp_error err;
    const size_t rows = lay_out(x, nodes, order);
    lone_set_up(&l, &capp_kernels_ref, capp_kernels_ref.f32, &of);
    l.kernels.scores = count_scores, l.kernels.values = count_values;
    l.kernels.most = no_most, l.kernels.exps = no_exps;
    CHECK(capp_pool_open(&pool, threads, &err) == CAPP_OK);
    capp_forward *f = lone_wave(&l, pool, &tree, order, rows, MOST_NODES, MOST_NODES);
    CHECK(f);
    capp_attention(f, 0, &f->all);
    const double more = excess_of(pool);
    capp_forward_free(f);
    capp_pool_free(pool);
    return more;
}

TEST(attention_loads_all_threads) {
    for (size_t i = 0; i < sizeof waves_of_attention / sizeof *waves_of_attention; i++)
        for (int threads = 2; threads <= MOST_THREADS; threads *= 2) {
            const wave *w = &waves_of_attention[i];
            const double more = excess_of_attention(w, threads);
            if (more > w->most) FAIL("%s, %d threads: %.1f %% more than the best", w->name, threads, 100 * more);
        }
}

/* Experts and the head --------------------------------------------------------------------------------------------- */

enum { NR = 32, MOST_EXPERTS = 256 };

static void count_matmul(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                         size_t k, bool add) {
    (void)c, (void)ldc, (void)a, (void)lda, (void)panel, (void)add;
    counted += (double)(m * n * k);
}

static void count_matmul_on(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                            size_t k) {
    count_matmul(c, ldc, a, lda, panel, m, n, k, false);
}

static size_t panel_of_floats(uint32_t type, size_t k) {
    (void)type;
    return k * NR * sizeof(float);
}

static void no_narrow(void *y, const float *x, size_t n, size_t padded) {
    (void)y, (void)x, (void)n, (void)padded;
}

static void no_silu_mul(float *y, const float *gate, const float *up, size_t n) {
    (void)y, (void)gate, (void)up, (void)n;
}

static void no_logsumexp(float *max, float *sum, const float *x, size_t n) {
    (void)x, (void)n;
    *max = 0, *sum = 1;
}

static const capp_products counting = {.name = "f32",
                                       .nr = NR,
                                       .element = sizeof(float),
                                       .step = 1,
                                       .block = CAPP_BLOCK_K,
                                       .panel_bytes = panel_of_floats,
                                       .narrow = no_narrow,
                                       .matmul = count_matmul,
                                       .matmul_on = count_matmul_on};

/* A matrix whose panels are in the cache; nothing reads them. */
static capp_matrix matrix_of(size_t n, size_t k, size_t parts) {
    enum { MOST_PANELS = 1 << 16 };
    static atomic_uchar states[MOST_PANELS];
    static char panels[1];
    static capp_kept kept = {.panels = panels, .uses = CAPP_KEPT_FROM, .states = states};
    static const capp_tensor source = {.type = CAPP_TYPE_F32};
    capp_matrix m = {.n = n, .k = k, .columns = n / parts, .parts = parts, .source = {&source}, .n_sources = 1};
    m.panels = parts * ((m.columns + NR - 1) / NR), m.kept = &kept;
    CHECK(m.panels <= MOST_PANELS);
    for (size_t i = 0; i < m.panels; i++) atomic_init(&states[i], CAPP_PANEL_READY);
    return m;
}

/* Opens a wave of one layer, which the test fills, with a pool that counts. */
static capp_forward *open_counted(capp_weights *w, capp_kernels *kernels, size_t rows, int threads) {
    static const capp_arch arch;
    const capp_room room = {.slots = CAPP_LANES, .rows = rows, .longest = CAPP_LANES};
    capp_forward *f;
    capp_pool *pool;
    capp_error err;
    *kernels = capp_kernels_ref;
    kernels->silu_mul = no_silu_mul, kernels->logsumexp = no_logsumexp;
    w->kernels = kernels, w->products = &counting, w->arch = &arch;
    CHECK(capp_pool_open(&pool, threads, &err) == CAPP_OK);
    CHECK(capp_forward_open(&f, w, NULL, pool, &room, &err) == CAPP_OK);
    f->weights = w, f->n = rows;
    return f;
}

static double close_counted(capp_forward *f) {
    capp_pool *pool = f->pool;
    const double more = excess_of(pool);
    capp_forward_free(f);
    capp_pool_free(pool);
    return more;
}

typedef struct mixture {
    const char *name;
    uint32_t width, feed, experts, used;
} mixture;

static const mixture mixtures[] = {
    {"8 large experts", 4096, 14336, 8, 2}, {"128 experts", 2048, 768, 128, 8}, {"32 experts", 2880, 2880, 32, 4}};

/* The experts of a wave. Some are chosen far more often than others, as in real models. */
static double excess_of_experts(const mixture *x, size_t rows, int threads) {
    static capp_weights w;
    static capp_matrix up[MOST_EXPERTS], down[MOST_EXPERTS];
    capp_kernels kernels;
    capp_layer layer = {.router = matrix_of(x->experts, x->width, 1)};
    test_random random = {7};
    memset(&w, 0, sizeof w);
    for (uint32_t e = 0; e < x->experts; e++)
        up[e] = matrix_of(2 * x->feed, x->width, 2), down[e] = matrix_of(x->width, x->feed, 1);
    layer.expert_up = up, layer.expert_down = down;
    w.layers = &layer, w.hparams.layers = 1, w.hparams.width = x->width, w.hparams.feed = x->feed;
    w.hparams.kinds[0] = CAPP_FEEDS, w.hparams.experts = x->experts, w.hparams.experts_used = x->used;
    w.hparams.activation = CAPP_SILU_GATED, w.hparams.router_scale = 1;
    capp_forward *f = open_counted(&w, &kernels, rows, threads);
    memset(f->shares, 0, rows * x->experts * sizeof *f->shares);
    for (size_t i = 0; i < rows * x->experts; i++)
        f->shares[i] = (float)(test_random_normal(&random) + (double)(i % x->experts) / x->experts);
    capp_experts(f, &layer, rows);
    return close_counted(f);
}

TEST(experts_load_all_threads) {
    static const size_t waves[] = {64, 256, 512, 1024};
    for (size_t i = 0; i < sizeof mixtures / sizeof *mixtures; i++)
        for (size_t r = 0; r < sizeof waves / sizeof *waves; r++)
            for (int threads = 2; threads <= MOST_THREADS; threads *= 2) {
                const double more = excess_of_experts(&mixtures[i], waves[r], threads);
                if (more > 0.01)
                    FAIL("%s, %zu rows, %d threads: %.1f %% more than the best", mixtures[i].name, waves[r], threads,
                         100 * more);
            }
}

static double excess_of_head(uint32_t vocabulary, size_t rows, int threads) {
    static capp_weights w;
    capp_kernels kernels;
    capp_layer layer = {.score_scale = 1};
    capp_tree tree = {.nodes = NULL};
    capp_error err;
    memset(&w, 0, sizeof w);
    w.layers = &layer, w.hparams.layers = 1, w.hparams.width = 576, w.hparams.kinds[0] = CAPP_FEEDS;
    w.hparams.vocabulary = vocabulary, w.head = matrix_of(vocabulary, 576, 1);
    capp_forward *f = open_counted(&w, &kernels, rows, threads);
    f->n_heads = rows;
    memset(f->head_spread, 0, rows * sizeof *f->head_spread);
    CHECK(capp_head_logprobs(f, &tree, &err) == CAPP_OK);
    return close_counted(f);
}

TEST(the_head_loads_all_threads) {
    static const uint32_t vocabularies[] = {32000, 49152, 50257, 128256, 151936, 262144};
    static const size_t waves[] = {32, 128, 256, 700}; /* each task reads its panels: few rows are not divided */
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++)
        for (size_t r = 0; r < sizeof waves / sizeof *waves; r++)
            for (int threads = 2; threads <= MOST_THREADS; threads *= 2) {
                const double more = excess_of_head(vocabularies[i], waves[r], threads);
                if (more > (waves[r] < 128 ? 0.15 : 0.05))
                    FAIL("%u tokens, %zu rows, %d threads: %.1f %% more than the best", vocabularies[i], waves[r],
                         threads, 100 * more);
            }
    CHECK(excess_of_head(50257, 1, 16) > 0.1);
}

/* Threads of different speeds ---------------------------------------------------------------------------------------
 */

static void expect_at_most(double most, double more, const char *what, size_t rows, int threads) {
    if (more > most) FAIL("%s, %zu rows, %d threads: %.1f %% more than the best", what, rows, threads, 100 * more);
}

/* Half of the threads have half the speed, as on a chip with two kinds of cores or where threads share a core. If each
 * had the same share of the work, all would wait for the slow ones: half as long again. */
TEST(fast_threads_do_not_wait_for_slow_ones) {
    static const size_t waves[] = {64, 128, 256, 512, 1024};
    for (size_t t = 0; t < MOST_THREADS; t++) speed[t] = t % 2 ? 0.5 : 1;
    for (int threads = 2; threads <= MOST_THREADS; threads *= 2) {
        for (size_t r = 0; r < sizeof waves / sizeof *waves; r++) {
            const size_t rows = waves[r];
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
                expect_at_most(rows < 256 ? 0.35 : 0.1, excess(&shapes[s], rows, (size_t)threads, BLOCK, 0),
                               shapes[s].name, rows, threads);
            for (size_t i = 0; i < sizeof mixtures / sizeof *mixtures; i++)
                expect_at_most(0.05, excess_of_experts(&mixtures[i], rows, threads), mixtures[i].name, rows, threads);
            expect_at_most(0.1, excess_of_head(49152, rows, threads), "head", rows, threads);
        }
        for (size_t i = 0; i < sizeof waves_of_attention / sizeof *waves_of_attention; i++)
            expect_at_most(0.15, excess_of_attention(&waves_of_attention[i], threads), waves_of_attention[i].name, 0,
                           threads);
    }
    CHECK(excess(&shapes[0], 64, 16, 0, BLOCK) > 0.4);
}
