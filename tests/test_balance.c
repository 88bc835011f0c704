/* How evenly the tasks of a wave load 2 to 16 threads: work is counted, not timed. Each thread that is free takes the
 * next task, as those of the pool do. Threads may differ in speed. Work is multiply-adds, and what a task needs
 * besides: to read or make its panels, or to read its keys. Best is the time of the largest tasks in equal shares. */
#include "forward/forward.h"
#include "forward/tasks.h"
#include "lone.h"
#include "test.h"

/* Rows of the largest task with panels that are kept. */
enum { MOST_THREADS = 16, BLOCK = 192 };

/* Replaces the library's pool by one that counts. It runs the tasks in order, each on the thread that is free first. */
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

/* Of the running task: */
static double counted;          /* multiply-adds */
static const char *first, *end; /* rows of products: the first one, and behind the last one */
static size_t row_bytes;        /* of such a row */
static size_t extra;            /* rows that take as long as what else a task of a product does */

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
        counted = 0, first = end = NULL;
        fn(user, i, 0);
        if (first) counted *= 1 + (double)extra / (double)((size_t)(end - first) / row_bytes);
        pool->all += counted;
        assign(done, (size_t)pool->threads, counted);
    }
    pool->longest += most_of(done, (size_t)pool->threads);
}

/* How much longer its runs took than if all threads had been busy all the time. work: of the largest tasks; 0: of those
 * that ran. */
static double excess_of(const capp_pool *pool, double work) {
    CHECK(pool->all > 0);
    return pool->longest * speeds(pool->threads) / (work > 0 ? work : pool->all) - 1;
}

/* Attention ------------------------------------------------------------------------------------------------------- */

enum { KEYS = 2 }; /* to read keys or values takes as long as to multiply so many queries by them */

static void count_scores(float *s, size_t lds, const float *q, size_t ldq, size_t rows, const float *kt, size_t d,
                         size_t skip, size_t n) {
    (void)s, (void)lds, (void)q, (void)ldq, (void)kt, (void)skip;
    counted += (double)((rows + KEYS) * d * n);
}

static void count_values(float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *v, size_t ldv,
                         size_t d, size_t n) {
    (void)out, (void)ldo, (void)p, (void)ldp, (void)v, (void)ldv;
    counted += (double)((rows + KEYS) * d * n);
}

static float no_most(const float *x, size_t n) {
    (void)x, (void)n;
    return 0;
}

static void no_exps(float *s, size_t lo, size_t hi, float top, float *lanes) {
    (void)s, (void)lo, (void)hi, (void)top, (void)lanes;
}

/* A wave of attention: the last rows of each of several prompts, and all rows of their completions. */
typedef struct wave {
    const char *name;
    double most[3]; /* highest excess of up to 8 threads, of 16, and of threads of different speeds */
    size_t n;
    uint32_t length[5], rows[5];  /* tokens of a prompt, and how many of them are in the wave */
    uint32_t completions, tokens; /* of each prompt; of each completion */
    uint32_t copies;              /* of all this; 0: 1 */
} wave;

static const wave waves_of_attention[] = {
    {"16 rows", {0.05, 0.9, 1.7}, .n = 1, .length = {16}, .rows = {16}},
    {"32 rows", {0.05, 0.12, 0.6}, .n = 1, .length = {32}, .rows = {32}},
    {"64 rows", {0.05, 0.07, 0.5}, .n = 1, .length = {64}, .rows = {64}},
    {"100 rows", {0.05, 0.08, 0.35}, .n = 1, .length = {100}, .rows = {100}},
    {"255 rows", {0.05, 0.06, 0.1}, .n = 1, .length = {255}, .rows = {255}},
    {"512 rows", {0.05, 0.05, 0.12}, .n = 1, .length = {512}, .rows = {512}},
    {"the last 64 rows of 512", {0.08, 0.22, 0.6}, .n = 1, .length = {512}, .rows = {64}},
    {"the last 16 rows of 300", {0.27, 0.6, 1.2}, .n = 1, .length = {300}, .rows = {16}},
    {"the last 512 rows of 8000", {0.05, 0.08, 0.1}, .n = 1, .length = {8000}, .rows = {512}},
    {"unequal prompts", {0.05, 0.07, 0.4}, .n = 5, .length = {8000, 20, 700, 60, 100}, .rows = {400, 20, 100, 60, 100}},
    {"unequal prompts, few rows",
     {0.12, 0.22, 0.8},
     .n = 5,
     .length = {2000, 20, 700, 60, 100},
     .rows = {40, 20, 10, 60, 30}},
    {"the ends of equal prompts", {0.05, 0.07, 0.6}, .n = 4, .length = {300, 300, 300, 300}, .rows = {32, 32, 32, 32}},
    {"questions with two answers",
     {0.05, 0.05, 0.08},
     .n = 1,
     .length = {20},
     .rows = {20},
     .completions = 2,
     .tokens = 8,
     .copies = 16},
    {"questions with two answers, few",
     {0.05, 0.05, 0.28},
     .n = 1,
     .length = {20},
     .rows = {20},
     .completions = 2,
     .tokens = 8,
     .copies = 3},
    {"77 classes",
     {0.05, 0.09, 0.12},
     .n = 1,
     .length = {60},
     .rows = {60},
     .completions = 77,
     .tokens = 4,
     .copies = 1},
    {"77 classes, without the prompt",
     {0.05, 0.1, 0.16},
     .n = 1,
     .length = {60},
     .rows = {0},
     .completions = 77,
     .tokens = 4,
     .copies = 1},
    {"77 classes of a long prompt",
     {0.05, 0.11, 0.16},
     .n = 1,
     .length = {1000},
     .rows = {0},
     .completions = 77,
     .tokens = 4,
     .copies = 1},
    {"8 classes", {0.17, 0.6, 1.4}, .n = 1, .length = {200}, .rows = {0}, .completions = 8, .tokens = 3, .copies = 1},
    {"8 classes of several prompts",
     {0.05, 0.05, 0.6},
     .n = 1,
     .length = {100},
     .rows = {0},
     .completions = 8,
     .tokens = 3,
     .copies = 8},
};

typedef struct heads_of {
    const char *name;
    uint16_t heads, kv_heads, d;
} heads_of;

static const heads_of attentions[] = {{"SmolLM2", 9, 3, 64},
                                      {"Gemma 3", 4, 1, 256},
                                      {"7B", 28, 4, 128},
                                      {"mixture", 32, 4, 128},
                                      {"without groups", 12, 12, 64}};

/* Appends a node after another one; one in the wave goes to order. */
typedef struct layout {
    capp_node *nodes;
    uint32_t *order;
    size_t n, rows;
} layout;

static uint32_t append(layout *l, uint32_t parent, bool in_wave) {
    capp_node *x = &l->nodes[++l->n];
    *x = (capp_node){.depth = parent == CAPP_ROOT ? 1 : l->nodes[parent].depth + 1, .slot = (uint32_t)l->n - 1};
    x->parent = parent, x->first_child = CAPP_NO_NODE;
    if (in_wave) l->order[l->rows++] = (uint32_t)l->n;
    return (uint32_t)l->n;
}

/* One path after another. Returns the number of rows. */
static size_t lay_out(const wave *w, capp_node *nodes, uint32_t *order) {
    layout l = {nodes, order, 0, 0};
    for (size_t copy = 0; copy < (w->copies ? w->copies : 1); copy++)
        for (size_t p = 0; p < w->n; p++) {
            uint32_t leaf = CAPP_ROOT;
            for (uint32_t i = 0; i < w->length[p]; i++) leaf = append(&l, leaf, i + w->rows[p] >= w->length[p]);
            for (uint32_t c = 0; c < w->completions; c++)
                for (uint32_t i = 0, at = leaf; i < w->tokens; i++) at = append(&l, at, true);
        }
    return l.rows;
}

/* The time of the busiest thread, summed; *all: the work of all threads. */
static double time_of_attention(const wave *x, const heads_of *h, int threads, double *all) {
    enum { MOST_NODES = 9000 };
    static capp_node nodes[MOST_NODES];
    static uint32_t order[MOST_NODES];
    static lone l;
    const capp_shape of = {.heads = h->heads, .kv_heads = h->kv_heads, .key = h->d, .value = h->d};
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
    const double longest = pool->longest;
    *all = pool->all;
    capp_forward_free(f);
    capp_pool_free(pool);
    return longest;
}

/* How much longer the wave takes than with equally busy threads and the tiles of one thread. */
static double excess_of_attention(const wave *x, const heads_of *h, int threads) {
    double work, all;
    time_of_attention(x, h, 1, &work);
    return time_of_attention(x, h, threads, &all) * speeds(threads) / work - 1;
}

/* most: which of a wave's limits. */
static void expect_attention(int threads, size_t most) {
    for (size_t i = 0; i < sizeof waves_of_attention / sizeof *waves_of_attention; i++)
        for (size_t h = 0; h < sizeof attentions / sizeof *attentions; h++) {
            const wave *w = &waves_of_attention[i];
            const double more = excess_of_attention(w, &attentions[h], threads);
            if (more > w->most[most])
                FAIL("%s, %s, %d threads: %.1f %% more than the best", attentions[h].name, w->name, threads,
                     100 * more);
        }
}

/* Where a thread has only a few rows of a head, smaller tiles would read more keys than they balance. */
TEST(attention_loads_all_threads) {
    for (int threads = 2; threads < MOST_THREADS; threads *= 2) expect_attention(threads, 0);
    expect_attention(MOST_THREADS, 1);
}

/* Products --------------------------------------------------------------------------------------------------------- */

enum { MOST_NR = 32, MOST_EXPERTS = 256 };

static void count_matmul(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                         size_t k, bool add) {
    const char *from = a, *to = from + m * lda * sizeof(float);
    (void)c, (void)ldc, (void)panel, (void)add;
    counted += (double)(m * n * k);
    if (!first || from < first) first = from;
    if (!end || to > end) end = to;
    row_bytes = lda * sizeof(float);
}

static void count_matmul_on(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                            size_t k) {
    count_matmul(c, ldc, a, lda, panel, m, n, k, false);
}

static size_t panel_of_floats(uint32_t type, size_t k) {
    (void)type;
    return k * MOST_NR * sizeof(float);
}

static void no_unpack(void *panel, const char *const *rows, size_t n, size_t k) {
    (void)panel, (void)rows, (void)n, (void)k;
}

static capp_unpack_fn unpack_nothing(uint32_t type) {
    (void)type;
    return no_unpack;
}

static void no_add(float *y, const float *x, size_t n) {
    (void)y, (void)x, (void)n;
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

/* Panels have 16 columns with AVX2 and 32 with AVX-512. */
static capp_products counting = {.name = "f32",
                                 .nr = MOST_NR,
                                 .element = sizeof(float),
                                 .step = 1,
                                 .block = CAPP_BLOCK_K,
                                 .panel_bytes = panel_of_floats,
                                 .unpack = unpack_nothing,
                                 .narrow = no_narrow,
                                 .matmul = count_matmul,
                                 .matmul_on = count_matmul_on};

/* A matrix whose panels are in the cache; nothing reads them. */
static capp_matrix matrix_of(size_t n, size_t k, size_t parts) {
    enum { MOST_PANELS = 1 << 16, MOST_ROWS = 1 << 20 };
    static atomic_uchar states[MOST_PANELS];
    static char panels[1];
    static capp_kept kept = {.panels = panels, .uses = CAPP_KEPT_FROM, .states = states};
    static const capp_tensor source = {.type = CAPP_TYPE_F32, .data = panels, .dims = {1, MOST_ROWS}};
    capp_matrix m = {.n = n, .k = k, .columns = n / parts, .parts = parts, .source = {&source}, .n_sources = 1};
    m.panels = parts * ((m.columns + counting.nr - 1) / counting.nr), m.kept = &kept;
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
    kernels->silu_mul = no_silu_mul, kernels->logsumexp = no_logsumexp, kernels->add = no_add;
    w->kernels = kernels, w->products = &counting, w->arch = &arch;
    CHECK(capp_pool_open(&pool, threads, &err) == CAPP_OK);
    CHECK(capp_forward_open(&f, w, NULL, pool, &room, &err) == CAPP_OK);
    f->weights = w, f->n = rows;
    return f;
}

static double close_counted(capp_forward *f, double work) {
    capp_pool *pool = f->pool;
    const double more = excess_of(pool, work);
    capp_forward_free(f);
    capp_pool_free(pool);
    return more;
}

/* The work of a product in the largest tasks. */
static double work_of(const capp_matrix *m, size_t rows, size_t most) {
    return (double)(m->n * m->k) * (double)(rows + (rows + most - 1) / most * extra);
}

/* Products of a layer: the numbers of inputs and outputs. The third one has an activation. */
typedef struct shape {
    const char *name;
    size_t product[4][2];
} shape;

static const shape shapes[] = {{"SmolLM2", {{576, 960}, {576, 576}, {576, 3072}, {1536, 576}}},
                               {"Gemma 3", {{640, 1536}, {1024, 640}, {640, 4096}, {2048, 640}}},
                               {"1B", {{2048, 3072}, {2048, 2048}, {2048, 16384}, {8192, 2048}}},
                               {"7B", {{3584, 4608}, {3584, 3584}, {3584, 37888}, {18944, 3584}}},
                               {"mixture", {{2048, 5120}, {4096, 2048}, {2048, 1536}, {768, 128}}}};

/* How much longer a layer's products take than with equally busy threads. kept: their panels are in the cache; else
 * each task makes those it needs. */
static double excess_of_layer(const shape *s, size_t rows, int threads, bool kept) {
    static capp_weights w;
    capp_kernels kernels;
    capp_matrix m[4];
    capp_layer layer = {.score_scale = 1};
    double work = 0;
    memset(&w, 0, sizeof w);
    extra = kept ? CAPP_KEPT_ROWS : CAPP_MADE_ROWS;
    for (size_t i = 0; i < 4; i++) {
        m[i] = matrix_of(s->product[i][1], s->product[i][0], i == 2 ? 2 : 1);
        if (!kept) m[i].kept = NULL;
        work += work_of(&m[i], rows, kept ? BLOCK : rows);
    }
    layer.qkv = m[0], layer.out = m[1], layer.up = m[2], layer.down = m[3];
    w.layers = &layer, w.hparams.layers = 1, w.hparams.width = 64, w.hparams.kinds[0] = CAPP_FEEDS;
    w.hparams.activation = CAPP_SILU_GATED;
    capp_forward *f = open_counted(&w, &kernels, rows, threads);
    capp_product(f, &layer.qkv, f->h, s->product[0][0], f->t, s->product[0][1], rows, false);
    capp_product(f, &layer.out, f->h, s->product[1][0], f->x, s->product[1][1], rows, true);
    f->h_stride = s->product[2][0], f->g_stride = s->product[3][0];
    capp_product_activated(f, &layer.up, &layer.down, f->h, rows);
    capp_product(f, &layer.down, f->g, f->g_stride, f->x, s->product[3][1], rows, true);
    return close_counted(f, work);
}

static void expect_at_most(double most, double more, const char *what, size_t rows, int threads) {
    if (more > most) FAIL("%s, %zu rows, %d threads: %.1f %% more than the best", what, rows, threads, 100 * more);
}

/* The highest excess of products whose panels are kept, or made. Where rows are few, small tasks would cost more than
 * they bring: each reads or makes its panels. */
static double most_excess(size_t rows, bool kept) {
    static const struct {
        size_t rows;
        double kept, made;
    } limits[] = {{77, 0.05, 0.05}, {64, 0.05, 0.06}, {24, 0.05, 0.1}, {16, 0.07, 0.13}, {0, 0.1, 0.18}};
    size_t i = 0;
    while (rows < limits[i].rows) i++;
    return kept ? limits[i].kept : limits[i].made;
}

TEST(a_layers_products_load_all_threads) {
    static const size_t waves[] = {8, 16, 24, 32, 48, 64, 77, 96, 128, 160, 192, 255, 256, 300, 512, 700, 1024, 2048};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t w = 0; w < sizeof waves / sizeof *waves; w++)
            for (int threads = 2; threads <= MOST_THREADS; threads *= 2)
                for (int kind = 0; kind < 4; kind++) {
                    const bool kept = kind % 2;
                    counting.nr = kind / 2 ? MOST_NR / 2 : MOST_NR;
                    expect_at_most(most_excess(waves[w], kept), excess_of_layer(&shapes[s], waves[w], threads, kept),
                                   shapes[s].name, waves[w], threads);
                }
    counting.nr = MOST_NR;
}

/* Products of every size: each column of each row is in one task, none is larger than it may be, and the time is that
 * of threads that take the next task when they are free. (All large tasks count alike.) One thread has large ones. */
static void check_cut(const capp_load *l) {
    enum { MOST = 1 << 17 };
    static unsigned char seen[MOST];
    const capp_cut c = capp_cut_of(l);
    double done[MOST_THREADS] = {0};
    size_t work = 0;
    CHECK(l->rows * l->units <= MOST);
    memset(seen, 0, l->rows * l->units);
    for (size_t task = 0; task < capp_cut_tasks(&c); task++) {
        const capp_piece p = capp_cut_piece(&c, task);
        CHECK(p.units && p.rows && p.units <= l->width && p.rows <= l->most);
        CHECK(p.unit + p.units <= l->units && p.row + p.rows <= l->rows);
        for (size_t i = 0; i < p.rows * p.units; i++)
            CHECK(!seen[(p.row + i / p.units) * l->units + p.unit + i % p.units]++);
        const bool large = p.unit < c.wide;
        const size_t width = large ? c.width : 1, rows = large ? c.block : c.small;
        assign(done, l->threads, (double)(width * (rows + l->extra)));
        work += p.units * (p.rows + l->extra);
    }
    for (size_t i = 0; i < l->rows * l->units; i++) CHECK(seen[i]);
    CHECK((size_t)most_of(done, l->threads) == capp_cut_time(l, &c));
    if (l->threads == 1) CHECK(work == l->units * (l->rows + (l->rows + l->most - 1) / l->most * l->extra));
}

TEST(tasks_are_all_of_a_product) {
    for (size_t rows = 0; rows < 700; rows += rows < 20 ? 1 : 53)
        for (size_t units = 1; units < 150; units += units < 20 ? 1 : 17)
            for (size_t threads = 1; threads <= MOST_THREADS; threads += threads < 4 ? 1 : 3)
                for (size_t kind = 0; kind < 4; kind++)
                    check_cut(&(capp_load){.rows = rows,
                                           .units = units,
                                           .width = kind / 2 + 1,
                                           .most = kind % 2 && rows ? rows : BLOCK,
                                           .extra = kind % 2 ? CAPP_MADE_ROWS : CAPP_KEPT_ROWS,
                                           .threads = threads});
}

/* The count sees tasks that are too few. */
TEST(large_tasks_alone_do_not_load_all_threads) {
    const capp_load out = {64, 18, 2, BLOCK, CAPP_KEPT_ROWS, 16}; /* of SmolLM2 */
    const capp_cut large = {64, 18, 2, 64, 18, 64}, small = capp_cut_of(&out);
    CHECK(capp_cut_time(&out, &large) * 10 > capp_cut_time(&out, &small) * 14);
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
    return close_counted(f, 0);
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

static double excess_of_head(uint32_t vocabulary, size_t rows, int threads, bool kept) {
    static capp_weights w;
    capp_kernels kernels;
    capp_layer layer = {.score_scale = 1};
    capp_tree tree = {.nodes = NULL};
    capp_error err;
    memset(&w, 0, sizeof w);
    extra = kept ? CAPP_KEPT_ROWS : CAPP_MADE_ROWS;
    w.layers = &layer, w.hparams.layers = 1, w.hparams.width = 576, w.hparams.kinds[0] = CAPP_FEEDS;
    w.hparams.vocabulary = vocabulary, w.head = matrix_of(vocabulary, 576, 1);
    if (!kept) w.head.kept = NULL;
    capp_forward *f = open_counted(&w, &kernels, rows, threads);
    f->n_heads = rows;
    memset(f->head_spread, 0, rows * sizeof *f->head_spread);
    CHECK(capp_head_logprobs(f, &tree, &err) == CAPP_OK);
    return close_counted(f, work_of(&w.head, rows, rows));
}

TEST(the_head_loads_all_threads) {
    static const uint32_t vocabularies[] = {32000, 49152, 50257, 128256, 151936, 262144};
    static const size_t waves[] = {1, 4, 8, 16, 32, 64, 128, 256, 700};
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++)
        for (size_t r = 0; r < sizeof waves / sizeof *waves; r++)
            for (int threads = 2; threads <= MOST_THREADS; threads *= 2)
                for (int kept = 0; kept < 2; kept++) {
                    const size_t rows = waves[r];
                    const double most = rows < 8 ? 0.15 : rows < 16 ? 0.1 : kept || rows > 16 ? 0.05 : 0.08;
                    expect_at_most(most, excess_of_head(vocabularies[i], rows, threads, kept), "head", rows, threads);
                }
}

/* Threads of different speeds ---------------------------------------------------------------------------------------
 */

/* Half of the threads have half the speed, as on a chip with two kinds of cores or where threads share a core. If each
 * had the same share of the work, all would wait for the slow ones: half as long again. */
TEST(fast_threads_do_not_wait_for_slow_ones) {
    static const size_t waves[] = {64, 128, 256, 512, 1024};
    for (size_t t = 0; t < MOST_THREADS; t++) speed[t] = t % 2 ? 0.5 : 1;
    for (int threads = 2; threads <= MOST_THREADS; threads *= 2) {
        for (size_t r = 0; r < sizeof waves / sizeof *waves; r++) {
            const size_t rows = waves[r];
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
                expect_at_most(rows < 256 ? 0.22 : 0.14, excess_of_layer(&shapes[s], rows, threads, true),
                               shapes[s].name, rows, threads);
            for (size_t i = 0; i < sizeof mixtures / sizeof *mixtures; i++)
                expect_at_most(0.05, excess_of_experts(&mixtures[i], rows, threads), mixtures[i].name, rows, threads);
            expect_at_most(0.1, excess_of_head(49152, rows, threads, true), "head", rows, threads);
        }
        expect_attention(threads, 2);
    }
}
