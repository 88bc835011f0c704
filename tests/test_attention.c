/* Attention alone, in float32 and in bfloat16, against double precision: over paths of a random tree, whose slots lie
 * anywhere in the store, with windows, chunks, soft caps, slopes and sinks. The bits of a row do not depend on the
 * other rows of its wave. Each deliberate error must show. */
#include <math.h>

#include "emulated.h"
#include "emulation.h"
#include "lone.h"
#include "test.h"
#include "units.h"

enum { NODES = 700, ROWS = 110, MOST_D = 80, MOST_HEADS = 12, SLOTS = 2 * NODES };

/* What a model's attention is like. */
typedef struct kind {
    const char *name;
    uint16_t heads, kv_heads, d, dv;
    uint32_t window;
    bool chunks, sinks, slopes, rounded;
    float cap;
} kind;

static const kind kinds[] = {
    {"plain", 9, 3, 64, 64, 0, false, false, false, false, 0},
    {"one head for all", 5, 1, 40, 24, 0, false, false, false, false, 0},
    {"window", 4, 2, 32, 32, 70, false, true, false, false, 0},
    {"chunks", 2, 2, 80, 80, 90, true, false, false, false, 0},
    {"cap", 6, 2, 33, 17, 0, false, true, false, false, 5},
    {"slopes", 4, 4, 16, 16, 0, false, false, true, false, 0},
    {"rounded slopes", 8, 1, 32, 16, 0, false, false, true, true, 0},
};

static test_random state = {5};
static capp_node nodes[NODES + 1];
static uint32_t order[NODES];
static float q[NODES + 1][MOST_HEADS * MOST_D], k[NODES + 1][MOST_HEADS * MOST_D], v[NODES + 1][MOST_HEADS * MOST_D];
static float slopes[MOST_HEADS], sinks[MOST_HEADS];

static size_t below(size_t n) {
    return (size_t)test_random_below(&state, n);
}

static void fill(float *x, size_t n, float by) {
    for (size_t i = 0; i < n; i++) x[i] = by * (float)test_random_normal(&state);
}

/* A path of 320 to 520 nodes, more than a block of positions, whose last ones are rows, then branches of it, all of
 * whose nodes are rows. Slots are in runs that lie in any order. Returns the number of rows; their nodes go to order.
 */
static size_t make_tree(void) {
    const size_t trunk = 320 + below(200), own = below(40), all = trunk + 30 + below(ROWS - 70), length = 1 + below(40);
    const size_t runs = (all + length - 1) / length, shift = below(20);
    static size_t place[NODES];
    size_t n = 0;
    for (size_t i = 0; i < runs; i++) { /* shuffles */
        const size_t j = below(i + 1);
        place[i] = place[j], place[j] = i;
    }
    for (uint32_t i = 1; i <= all; i++) {
        const bool branch = i > trunk && (i == trunk + 1 || below(9) == 0);
        const uint32_t parent = i == 1 ? CAPP_ROOT : branch ? (uint32_t)(trunk - below(trunk / 2)) : i - 1;
        nodes[i] = (capp_node){.depth = (parent == CAPP_ROOT ? 0 : nodes[parent].depth) + 1,
                               .slot = (uint32_t)(shift + place[(i - 1) / length] * length + (i - 1) % length),
                               .parent = parent,
                               .first_child = CAPP_NO_NODE};
        if (i > trunk - own) order[n++] = i;
    }
    return n;
}

static float narrowed(bool narrow, float x) {
    return narrow ? emulated_wide(emulated_narrow(x)) : x;
}

static size_t first_seen(const kind *x, size_t depth) {
    if (x->chunks) return (depth - 1) / x->window * x->window;
    return x->window && depth > x->window ? depth - x->window : 0;
}

/* The score of the key of a node at `position`. */
static double score(const kind *x, size_t row, size_t node, size_t head, size_t position, float scale, bool narrow) {
    const size_t kv = head / (x->heads / x->kv_heads);
    double s = 0;
    for (size_t i = 0; i < x->d; i++)
        s += (double)narrowed(narrow, scale * q[row][head * x->d + i]) *
             (double)narrowed(narrow, k[node][kv * x->d + i]);
    if (x->cap > 0) s = (double)x->cap * tanh(s / (double)x->cap);
    if (x->slopes && x->rounded)
        s += (double)(scale * narrowed(true, narrowed(true, slopes[head]) * narrowed(true, (float)position)));
    else if (x->slopes)
        s -= (double)slopes[head] * (double)(nodes[row].depth - 1 - position);
    return s;
}

/* out [dv] of a head of a node's row; returns the mean size of the values, by weight. */
static double attend(const kind *x, size_t row, size_t head, float scale, bool narrow, double *out) {
    const size_t from = first_seen(x, nodes[row].depth), kv = head / (x->heads / x->kv_heads);
    double most = x->sinks ? (double)sinks[head] : -HUGE_VAL, sum = 0, size = 0;
    static double s[NODES];
    for (uint32_t n = (uint32_t)row; n != CAPP_ROOT && nodes[n].depth > from; n = nodes[n].parent) {
        s[nodes[n].depth - 1] = score(x, row, n, head, nodes[n].depth - 1, scale, narrow);
        most = fmax(most, s[nodes[n].depth - 1]);
    }
    memset(out, 0, x->dv * sizeof *out);
    for (uint32_t n = (uint32_t)row; n != CAPP_ROOT && nodes[n].depth > from; n = nodes[n].parent) {
        const double p = exp(s[nodes[n].depth - 1] - most);
        sum += p;
        for (size_t i = 0; i < x->dv; i++) {
            const double value = (double)narrowed(narrow, v[n][kv * x->dv + i]);
            out[i] += p * value, size += p * fabs(value) / (double)x->dv;
        }
    }
    if (x->sinks) sum += exp((double)sinks[head] - most);
    for (size_t i = 0; i < x->dv; i++) out[i] /= sum;
    return size / sum;
}

static void set_up(lone *l, const kind *x, const capp_kernels *kernels, const capp_products *products) {
    const capp_shape shape = {.heads = x->heads, .kv_heads = x->kv_heads, .key = x->d, .value = x->dv};
    lone_set_up(l, kernels, products, &shape);
    capp_hparams *h = &l->weights.hparams;
    h->score_cap = x->cap, h->chunks = x->chunks, h->alibi_rounded = x->rounded, h->score_scale = l->layer.score_scale;
    l->layer.window = x->window, l->layer.sinks = x->sinks ? sinks : NULL;
    l->weights.alibi = x->slopes ? slopes : NULL;
}

/* Runs the rows in order[]; their outputs replace q in f->t. */
static capp_forward *run(lone *l, const kind *x, capp_pool *pool, size_t rows) {
    const capp_tree tree = {.nodes = nodes};
    capp_forward *f = lone_wave(l, pool, &tree, order, rows, SLOTS, NODES);
    CHECK(f);
    for (size_t i = 1; nodes[i].depth; i++) capp_store_row(f, &l->layer, nodes[i].slot, k[i], v[i]);
    for (size_t r = 0; r < rows; r++) memcpy(f->t + r * f->t_stride, q[order[r]], x->heads * x->d * sizeof(float));
    capp_attention(f, 0, &f->all);
    return f;
}

/* The greatest error of a round, in units of its tolerance. */
static double error_of(lone *s, const kind *x, int threads) {
    const bool narrow = s->products.put_rows;
    const double tolerance = narrow ? 0x1p-8 : 1e-5;
    capp_pool *pool;
    capp_error err;
    double worst = 0, want[MOST_D];
    memset(nodes, 0, sizeof nodes);
    const size_t rows = make_tree();
    fill(q[0], sizeof q / sizeof **q, 3), fill(k[0], sizeof k / sizeof **k, 1), fill(v[0], sizeof v / sizeof **v, 1);
    for (size_t h = 0; h < MOST_HEADS; h++) slopes[h] = ldexpf(0.7f, -(int)h), sinks[h] = 2 * (float)h + 1;
    CHECK_OK(capp_pool_open(&pool, threads, &err), err);
    capp_forward *f = run(s, x, pool, rows);
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < x->heads; h++) {
            const double size = attend(x, order[r], h, s->layer.score_scale, narrow, want);
            const float *got = f->t + r * f->t_stride + h * x->d;
            for (size_t i = 0; i < x->dv; i++) {
                const double error = fabs((double)got[i] - want[i]) / (tolerance * size);
                worst = error <= worst ? worst : error; /* NaN counts */
            }
        }
    capp_forward_free(f);
    capp_pool_free(pool);
    return worst;
}

static void check(const char *isa, const capp_products *products) {
    const capp_kernels *kernels = need_isa(isa);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int round = 0; round < 2; round++) {
            lone s;
            set_up(&s, &kinds[i], kernels, products ? products : kernels->bf16);
            const double worst = error_of(&s, &kinds[i], 1 + round % 2);
            if (!(worst <= 1)) FAIL("%s %s, %s: %g times the tolerance", isa, s.products.name, kinds[i].name, worst);
        }
}
TEST(emulated_vdpbf16ps) {
    check("ref", &emulated_dpbf16);
}
TEST(slow_emulated_amx) {
    check("ref", &emulated_tiles);
}
TEST(slow_emulated_bfmmla) {
    check("ref", &emulated_bfmmla);
}

typedef enum outcome { FINITE, NONE } outcome;

/* Elements of q are 1e20 times 1 to 2, those of keys `by` times 1 to 2 up to position LOST, which is in the second
 * block, then 0. All outputs of rows that see more than these positions must be finite, or none. */
static void check_overflow(const capp_products *of, float by, outcome want) {
    enum { LOST = 300 };
    lone s;
    capp_error err;
    capp_pool *pool;
    set_up(&s, &kinds[0], need_isa("ref"), of);
    CHECK_OK(capp_pool_open(&pool, 1, &err), err);
    memset(nodes, 0, sizeof nodes);
    const size_t rows = make_tree();
    fill(q[0], sizeof q / sizeof **q, 3), fill(k[0], sizeof k / sizeof **k, 1), fill(v[0], sizeof v / sizeof **v, 1);
    for (size_t i = 1; nodes[i].depth; i++) {
        for (size_t x = 0; x < MOST_HEADS * MOST_D; x++) q[i][x] = 1e20f * (1 + (float)below(1000) / 1000);
        const float key = by * (1 + (float)below(1000) / 1000);
        for (size_t x = 0; x < MOST_HEADS * MOST_D; x++) k[i][x] = nodes[i].depth <= LOST ? key : 0;
    }
    capp_forward *f = run(&s, &kinds[0], pool, rows);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; nodes[order[r]].depth > LOST && i < (size_t)kinds[0].heads * kinds[0].dv; i++)
            CHECK(!isfinite(f->t[r * f->t_stride + i]) == (want == NONE));
    capp_forward_free(f);
    capp_pool_free(pool);
}

/* Scores of whole blocks may overflow to -inf, or nearly: their weights are 0, and what follows counts. */
TEST(overflow_below) {
    static const float by[] = {-1e20f, -1e6f, -1e-10f};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
        check_overflow(capp_kernels_ref.f32, by[i], FINITE);
        check_overflow(&emulated_dpbf16, by[i], FINITE);
    }
}

/* Scores that are too great, or NaN, are not lost. */
TEST(overflow_above) {
    static const float by[] = {1e20f, 1e-8f, NAN};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
        check_overflow(capp_kernels_ref.f32, by[i], NONE);
        check_overflow(&emulated_dpbf16, by[i], NONE);
    }
}

/* With a window, positions before the first one that a tile's rows see are left out, also within a block. */
static size_t counted;
static void count_values(float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *of, size_t ldv,
                         size_t d, size_t n) {
    counted += rows * n;
    capp_kernels_ref.values(out, ldo, p, ldp, rows, of, ldv, d, n);
}

TEST(positions_before_the_window_cost_nothing) {
    enum { MOST_QUERIES = 48 };
    lone s;
    capp_error err;
    capp_pool *pool;
    set_up(&s, &kinds[2], need_isa("ref"), capp_kernels_ref.f32);
    s.kernels.values = count_values;
    CHECK_OK(capp_pool_open(&pool, 1, &err), err);
    memset(nodes, 0, sizeof nodes);
    const size_t rows = make_tree();
    capp_forward_free(run(&s, &kinds[2], pool, rows));
    capp_pool_free(pool);
    CHECK(counted && counted <= rows * kinds[2].heads * (kinds[2].window + MOST_QUERIES));
}

/* Bits ------------------------------------------------------------------------------------------------------------- */

/* Which rows of order[] a wave has, and its threads: more threads make smaller tiles. */
static const struct wave {
    size_t first, step;
    int threads;
} waves[] = {{0, 1, 1}, {0, 1, 7}, {0, 3, 1}, {17, ROWS, 1}};

/* Whether the outputs of rows have the same bits in each of these waves. */
static bool same_bits(lone *s, const kind *x) {
    static float want[ROWS][MOST_HEADS * MOST_D];
    uint32_t all[ROWS];
    bool same = true;
    memset(nodes, 0, sizeof nodes);
    const size_t rows = make_tree();
    memcpy(all, order, sizeof all);
    fill(q[0], sizeof q / sizeof **q, 3), fill(k[0], sizeof k / sizeof **k, 1), fill(v[0], sizeof v / sizeof **v, 1);
    for (size_t i = 0; i < sizeof waves / sizeof *waves; i++) {
        capp_pool *pool;
        capp_error err;
        size_t n = 0;
        for (size_t r = waves[i].first; r < rows; r += waves[i].step) order[n++] = all[r];
        CHECK_OK(capp_pool_open(&pool, waves[i].threads, &err), err);
        capp_forward *f = run(s, x, pool, n);
        for (size_t r = 0; r < n; r++)
            for (size_t h = 0; h < x->heads; h++) {
                const float *got = f->t + r * f->t_stride + h * x->d;
                float *of = want[waves[i].first + r * waves[i].step] + h * x->d;
                if (!i) memcpy(of, got, x->dv * sizeof *of);
                same = same && !memcmp(of, got, x->dv * sizeof *of);
            }
        capp_forward_free(f);
        capp_pool_free(pool);
    }
    return same;
}

static void check_bits(const char *isa, const capp_products *products) {
    const capp_kernels *kernels = need_isa(isa);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        lone s;
        set_up(&s, &kinds[i], kernels, products ? products : kernels->bf16);
        if (!same_bits(&s, &kinds[i]))
            FAIL("%s %s, %s: other bits in other waves", isa, s.products.name, kinds[i].name);
    }
}

#define UNIT(unit, isa, products)                                                                                      \
    TEST(unit) {                                                                                                       \
        check(isa, products);                                                                                          \
    }                                                                                                                  \
    TEST(bits_##unit) {                                                                                                \
        check_bits(isa, products);                                                                                     \
    }

UNIT(float32, "ref", capp_kernels_ref.f32)
UNIT(float32_avx2, "avx2", need_isa("avx2")->f32)
UNIT(float32_avx512, "avx512", need_isa("avx512")->f32)
UNIT(float32_neon, "neon", need_isa("neon")->f32)
UNIT(avx512bf16, "avx512bf16", NULL)
UNIT(amx, "amx", NULL)
UNIT(neonbf16, "neonbf16", NULL)
TEST(slow_bits_emulated_amx) {
    check_bits("ref", &emulated_tiles);
}
TEST(slow_bits_emulated_bfmmla) {
    check_bits("ref", &emulated_bfmmla);
}

/* Deliberate errors ------------------------------------------------------------------------------------------------ */

static const capp_kernels *kernels;
static const capp_products *products;

static void unscaled(float *y, float s, size_t n) { /* the sum stays as it is when the greatest score rises */
    if (n == CAPP_LANES && s < 1) return;
    kernels->scale(y, s, n);
}
static void blind(uint16_t *y, float *s, size_t lo, size_t hi, float top, float *lanes) {
    kernels->exps_coarse(y, s, lo, hi > lo + 1 ? hi - 1 : hi, top, lanes);
}
static void late_rows(void *vectors, size_t k_, size_t at, const void *rows, size_t ld, size_t n, size_t columns) {
    if (n > 1) products->put_rows(vectors, k_, at, (const char *)rows + ld * products->element, ld, n - 1, columns);
}
static void first_column(void *vector, size_t column, const void *row, size_t d) {
    products->put_column(vector, column & 14, row, d);
}
static void short_product(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                          size_t depth) {
    products->matmul_on(c, ldc, a, lda, panel, m > 1 ? m - 1 : m, n, depth);
}
static void short_scores(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                         size_t depth, bool add) {
    products->matmul(c, ldc, a, lda, panel, m, n > 1 ? n - 1 : n, depth, add);
}

TEST(each_error_shows) {
    kernels = need_isa("ref");
    products = &emulated_dpbf16;
    for (size_t i = 0; i < 6; i++) {
        lone s;
        set_up(&s, &kinds[0], kernels, products);
        if (i == 0) s.kernels.scale = unscaled;
        if (i == 1) s.kernels.exps_coarse = blind;
        if (i == 2) s.products.put_rows = late_rows;
        if (i == 3) s.products.put_column = first_column;
        if (i == 4) s.products.matmul_on = short_product;
        if (i == 5) s.products.matmul = short_scores;
        if (error_of(&s, &kinds[0], 1) < 5) FAIL("error %zu does not show", i);
    }
}

static void blind_float32(float *s, size_t lo, size_t hi, float top, float *lanes) {
    kernels->exps(s, lo, hi > lo + 1 ? hi - 1 : hi, top, lanes);
}
static void short_values(float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *of, size_t ldv,
                         size_t d, size_t n) { /* forgets a position */
    kernels->values(out, ldo, p, ldp, rows, of, ldv, d, n > 16 ? n - 1 : n);
}
static void late_scores(float *s, size_t lds, const float *x, size_t ldq, size_t rows, const float *kt, size_t d,
                        size_t skip, size_t n) { /* as if a run began where a block of keys does */
    (void)skip;
    kernels->scores(s, lds, x, ldq, rows, kt, d, 0, n);
}
static void missed_scale(float *y, float s, size_t n) { /* outputs are not divided by their sums */
    if (n != kinds[0].dv) kernels->scale(y, s, n);
}

TEST(each_error_in_float32_shows) {
    kernels = need_isa("ref");
    for (size_t i = 0; i < 5; i++) {
        lone s;
        set_up(&s, &kinds[0], kernels, capp_kernels_ref.f32);
        if (i == 0) s.kernels.exps = blind_float32;
        if (i == 1) s.kernels.values = short_values;
        if (i == 2) s.kernels.scores = late_scores;
        if (i == 3) s.kernels.scale = missed_scale;
        if (i == 4) s.kernels.scale = unscaled;
        if (error_of(&s, &kinds[0], 1) < 5) FAIL("error %zu does not show", i);
    }
}

/* A part of attention that is forgotten, or off by one, in each precision. */
static void forget(lone *s, size_t of) {
    static const float none[MOST_HEADS];
    if (of == 2) s->layer.window++;
    if (of == 3) s->weights.hparams.chunks = false;
    if (of == 4) s->weights.hparams.score_cap = 0;
    if (of == 5) s->weights.alibi = none;
    if (of == 6) s->weights.hparams.alibi_rounded = false;
}

TEST(each_part_that_is_forgotten_shows) {
    const capp_products *const precisions[] = {capp_kernels_ref.f32, &emulated_dpbf16};
    kernels = need_isa("ref");
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 2; i < sizeof kinds / sizeof *kinds; i++) {
            lone s;
            set_up(&s, &kinds[i], kernels, precisions[p]);
            forget(&s, i);
            if (error_of(&s, &kinds[i], 1) < 5) FAIL("%s in %s: not seen", kinds[i].name, precisions[p]->name);
            if (!kinds[i].sinks) continue;
            set_up(&s, &kinds[i], kernels, precisions[p]);
            s.layer.sinks = NULL;
            if (error_of(&s, &kinds[i], 1) < 5) FAIL("%s in %s: sinks not seen", kinds[i].name, precisions[p]->name);
        }
}

TEST(other_bits_show) {
    lone s;
    kernels = need_isa("ref");
    products = &emulated_dpbf16;
    set_up(&s, &kinds[0], kernels, products);
    CHECK(same_bits(&s, &kinds[0]));
    s.products.matmul_on = short_product;
    CHECK(!same_bits(&s, &kinds[0]));
}
