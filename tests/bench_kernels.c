/* Micro-benchmark of the kernels: `bench_kernels [ISA|all [OP|all [THREADS]]]` prints, for each operation, shape and
 * instruction set, the rate of the best of several repeats and its share of the unit's measured peak. With THREADS, so
 * many threads run the same case at once, each on its own data (400 MB), and rates and peaks are their sums. This is
 * not a test. */
#define _POSIX_C_SOURCE 200809L

#include "base/cpu.h"
#include "base/tensor.h"
#include "kernel/integers.h"
#include "kernel/kernel.h"
#include "kernel/peak.h"
#include "kernel/quant_layout.h"
#include "lone.h"

#include <float.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 32 << 20 }; /* floats of the largest array */
enum { MOST_TOKENS = 8192 };
enum { STORED = 96 << 20 }; /* bytes of b before the blocks of case_few */

enum { MOST_THREADS = 64 };

static int threads = 1;
static double parts[MOST_THREADS]; /* of a sum over all threads */

/* What a thread works on. */
static _Thread_local int self; /* 0: the thread that prints */
static _Thread_local const capp_kernels *kernels;
static _Thread_local const capp_products *products;
static _Thread_local float *a, *b, *c; /* [MOST] each, 64-byte aligned */
static _Thread_local size_t shape[4];  /* arguments of a case */
static _Thread_local float share;      /* of `coarsen`: 0 for i16, FLT_MAX for i8 */

/* Only one thread prints. A function, because all threads must compute what it is given. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    va_list args;
    if (self) return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

/* Returns when all threads have come here. They do not sleep: what follows is to begin at once. */
static void meet(void) {
    static atomic_int here;
    static atomic_uint round;
    const unsigned now = atomic_load(&round);
    if (atomic_fetch_add(&here, 1) + 1 == threads) {
        atomic_store(&here, 0);
        atomic_fetch_add(&round, 1);
    }
    while (atomic_load(&round) == now) (void)sched_yield();
}

/* The sum of x over all threads. */
static double sum_of_all(double x) {
    double sum = 0;
    parts[self] = x;
    meet();
    for (int i = 0; i < threads; i++) sum += parts[i];
    meet();
    return sum;
}

/* This thread's own processor time: other programs that share the processor do not count. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill(float *x, size_t n, float size) {
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = size * ((float)(state >> 8) * 0x1p-23f - 1.0f);
    }
}

static size_t least(size_t x, size_t y) {
    return x < y ? x : y;
}

/* The type of panels of integers with k inputs: Q4_K, or Q4_1 where its blocks of 256 do not fit. */
static uint32_t type_of(size_t k) {
    return k % 256 ? CAPP_TYPE_Q4_1 : CAPP_TYPE_Q4_K;
}

/* Each case runs its operation once and returns the number of mathematical operations done; an exp counts as one.
 * cases[] lists the shapes. */

/* rows, k, n, columns of c: multiplies a block of rows by n columns of panels, as the engine does; rows are padded by
 * one vector. Where c is narrower than n, as for tiles of the head, panels overwrite each other's columns. */
static double case_matmul(void) {
    const size_t m = shape[0], k = shape[1], n = shape[2], lda = k + CAPP_MAX_STEP,
                 bytes = products->panel_bytes(type_of(k), k);
    const size_t columns = shape[3] ? shape[3] : n;
    for (size_t j = 0; j < n; j += products->nr) {
        const size_t width = n - j < products->nr ? n - j : products->nr;
        products->matmul(c + j % columns, columns + CAPP_LANES, a, lda, (const char *)b + j / products->nr * bytes, m,
                         width, k, false);
    }
    return 2.0 * (double)m * (double)k * (double)n;
}

/* rows, k, n, block: the same with k in blocks, as the engine does it: the rows' part of a block stays in the L2 cache
 * while two panels pass. */
static double case_blocks(void) {
    const size_t m = shape[0], k = shape[1], n = shape[2], block = shape[3], lda = k + CAPP_MAX_STEP, nr = products->nr;
    for (size_t j = 0; j < n; j += 2 * nr)
        for (size_t from = 0, part; from < k; from += part) {
            part = k - from < block ? k - from : block;
            for (size_t i = j; i < j + 2 * nr; i += nr) {
                const char *panel = (const char *)b + i / nr % 2 * products->panel_bytes(type_of(part), part),
                           *x = (const char *)a;
                if (from)
                    products->matmul_on(c + i, n + CAPP_LANES, x + from * products->element, lda, panel, m, nr, part);
                else
                    products->matmul(c + i, n + CAPP_LANES, x, lda, panel, m, nr, part, false);
            }
        }
    return 2.0 * (double)m * (double)k * (double)n;
}

static double case_pack(void) {
    const size_t k = shape[1], n = shape[2], bytes = products->panel_bytes(type_of(k), k);
    for (size_t j = 0; j + products->nr <= n; j += products->nr)
        products->pack((char *)b + j / products->nr * bytes, a + j * k, k, products->nr, k);
    return (double)(n * k);
}

/* Unpacks stored blocks of type shape[3] to panels: k, n columns. Returns the number of weights. */
static double case_unpack(void) {
    const size_t k = shape[1], n = shape[2], nr = products->nr, bytes = products->panel_bytes((uint32_t)shape[3], k);
    const capp_type_info info = capp_type_get((uint32_t)shape[3]);
    const char *rows[CAPP_MAX_NR];
    capp_unpack_fn unpack = products->unpack((uint32_t)shape[3]);
    for (size_t j = 0; unpack && j + nr <= n; j += nr) {
        for (size_t i = 0; i < nr; i++) rows[i] = (const char *)a + (j + i) * k / info.block_elems * info.block_bytes;
        unpack((char *)b + j / nr % 2 * bytes, rows, nr, k); /* two panels take turns */
    }
    return (double)(n * k);
}

/* The same for a weight of a folder in layout shape[3]: 4 bits in groups of 128, or float8 with a scale for each row.
 */
static double case_unpack_quant(void) {
    uint32_t groups[1024];
    const size_t k = shape[1], n = shape[2], nr = products->nr, bytes = products->panel_bytes(CAPP_TYPE_F32, k);
    const bool float8 = shape[3] == CAPP_QUANT_E4M3;
    for (size_t i = 0; i < k; i++) groups[i] = (uint32_t)(i / 128);
    const capp_quant q = {.layout = (capp_quant_layout)shape[3],
                          .n = n,
                          .k = k,
                          .groups = float8 ? 1 : k / 128,
                          .bits = 4,
                          .zeros_less_one = true,
                          .weights = a,
                          .zeros = (const char *)a + n * k,
                          .scales = (const char *)a + 2 * n * k,
                          .scale_type = CAPP_TYPE_F16,
                          .group = groups,
                          .block_rows = 1,
                          .block_columns = k};
    for (size_t j = 0; j + nr <= n; j += nr) products->unpack_quant((char *)b + j / nr % 2 * bytes, &q, j, 0, k);
    return (double)(n * k);
}

/* rows, k, n, block: an expert that few rows chose. Panels are unpacked from blocks in the file, block by block along
 * k, and used once. block 0: without panels. */
static double multiply_few(uint32_t type) {
    const size_t m = shape[0], k = shape[1], n = shape[2], lda = k + CAPP_MAX_STEP, nr = products->nr;
    const size_t block = shape[3] ? shape[3] : k;
    const capp_type_info info = capp_type_get(type);
    const capp_unpack_fn unpack = products->unpack(type);
    const char *rows[CAPP_MAX_NR];
    for (size_t j = 0; j < n; j += nr)
        for (size_t from = 0, part; from < k; from += part) {
            part = least(k - from, block);
            for (size_t i = 0; i < nr; i++)
                rows[i] = (const char *)b + STORED + ((j + i) * k + from) / info.block_elems * info.block_bytes;
            if (!shape[3]) {
                products->few(type)(c + j, n + CAPP_LANES, a, lda, rows, m, nr, k);
                continue;
            }
            unpack(b, rows, nr, part);
            if (from)
                products->matmul_on(c + j, n + CAPP_LANES, (const char *)a + from * products->element, lda, b, m, nr,
                                    part);
            else
                products->matmul(c + j, n + CAPP_LANES, a, lda, b, m, nr, part, false);
        }
    return 2.0 * (double)m * (double)k * (double)n;
}

static double case_few(void) {
    return multiply_few(CAPP_TYPE_Q4_K);
}
static double case_few_q6_k(void) {
    return multiply_few(CAPP_TYPE_Q6_K);
}

/* Reads all of b, from memory; returns bytes. */
static double case_read(void) {
    volatile float most = kernels->most(b, MOST);
    return (void)most, (double)MOST * sizeof *b;
}

static double case_narrow(void) {
    products->narrow(c, a, shape[0], shape[0]);
    return (double)shape[0];
}

/* rows, d, keys */
static double case_scores(void) {
    kernels->scores(c, shape[2], a, shape[1], shape[0], b, shape[1], 0, shape[2]);
    return 2.0 * (double)(shape[0] * shape[1] * shape[2]);
}

static double case_values(void) {
    kernels->values(c, shape[1], a, shape[2], shape[0], b, shape[1], shape[1], shape[2]);
    return 2.0 * (double)(shape[0] * shape[1] * shape[2]);
}

/* What case_attention works on: it is made when the case begins. */
static _Thread_local capp_pool *pool;
static _Thread_local capp_forward *forward;
static _Thread_local lone layer;

/* tokens, heads, heads of keys, dimensions: attention of the rows of a text, by one thread. */
static double case_attention(void) {
    const size_t n = shape[0], width = shape[1] * shape[3];
    for (size_t i = 0; i < n; i++) memcpy(forward->t + i * forward->t_stride, a + i, width * sizeof *a);
    capp_attention(forward, 0, &forward->all);
    return 2.0 * (double)(n * (n + 1) * width);
}

static void begin_attention(void) {
    static _Thread_local capp_node nodes[MOST_TOKENS + 1];
    static _Thread_local uint32_t order[MOST_TOKENS];
    const capp_shape of = {.heads = (uint16_t)shape[1],
                           .kv_heads = (uint16_t)shape[2],
                           .key = (uint16_t)shape[3],
                           .value = (uint16_t)shape[3]};
    const capp_tree tree = {.nodes = nodes};
    for (uint32_t i = 1; i <= shape[0]; i++) {
        nodes[i] = (capp_node){.depth = i, .slot = i - 1, .parent = i - 1, .first_child = CAPP_NO_NODE};
        order[i - 1] = i;
    }
    capp_forward_free(forward);
    lone_set_up(&layer, kernels, products, &of);
    forward = lone_wave(&layer, pool, &tree, order, shape[0], shape[0], shape[0]);
    if (!forward) exit((fputs("out of memory\n", stderr), 1));
    for (size_t i = 0; i < shape[0]; i++) capp_store_row(forward, &layer.layer, i, b + i, b + 2 * i);
}

/* n */
static double case_rms_norm(void) {
    return kernels->rms_norm(c, a, b, shape[0], 1e-5f), 4.0 * (double)shape[0];
}
static double case_layer_norm(void) {
    return kernels->layer_norm(c, a, b, b, shape[0], 1e-5f), 8.0 * (double)shape[0];
}
static double case_add(void) {
    return kernels->add(c, a, shape[0]), (double)shape[0];
}
static double case_scale(void) {
    return kernels->scale(c, 1.0f, shape[0]), (double)shape[0];
}
static double case_rope_halves(void) {
    return kernels->rope_halves(c, shape[0], shape[1], a, b, shape[0] / 2), 3.0 * (double)(shape[0] * shape[1]);
}
static double case_rope_pairs(void) {
    return kernels->rope_pairs(c, shape[0], shape[1], a, b, shape[0] / 2), 3.0 * (double)(shape[0] * shape[1]);
}
static double case_silu_mul(void) {
    return kernels->silu_mul(c, a, b, shape[0]), 4.0 * (double)shape[0];
}
static double case_gelu_mul(void) {
    return kernels->gelu_mul(c, a, b, shape[0]), 8.0 * (double)shape[0];
}

static double case_gelu(void) {
    memcpy(c, a, shape[0] * sizeof *c);
    return kernels->gelu(c, shape[0]), 7.0 * (double)shape[0];
}

static double case_most(void) {
    volatile float most = kernels->most(a, shape[0]);
    return (void)most, (double)shape[0];
}

static double case_exps(void) {
    float lanes[CAPP_LANES] = {0};
    memcpy(c, a, shape[0] * sizeof *c);
    return kernels->exps(c, 0, shape[0], 2.0f, lanes), 3.0 * (double)shape[0];
}

static double case_logsumexp(void) {
    float max, sum;
    return kernels->logsumexp(&max, &sum, a, shape[0]), 4.0 * (double)shape[0];
}

/* SmolLM2's shapes, and GPT-2's. */
static const struct {
    const char *op;
    double (*run)(void);
    size_t shape[4];
} cases[] = {
    {"matmul", case_matmul, {192, 576, 576}},
    {"matmul", case_matmul, {192, 576, 3072}},
    {"matmul", case_matmul, {192, 1536, 576}},
    {"matmul", case_matmul, {192, 3072, 768}},
    {"matmul", case_matmul, {48, 576, 49152, 2048}}, /* weights from memory */
    {"matmul", case_matmul, {96, 576, 49152, 2048}},
    {"matmul", case_matmul, {128, 576, 49152, 2048}},
    {"matmul", case_matmul, {192, 576, 49152, 2048}},
    {"matmul", case_matmul, {256, 576, 49152, 2048}},
    {"matmul", case_matmul, {384, 576, 49152, 2048}},
    {"matmul", case_matmul, {96, 3072, 8192, 768}},
    {"matmul", case_matmul, {192, 3072, 8192, 768}},
    {"matmul", case_matmul, {64, 576, 3072}},
    {"matmul", case_matmul, {48, 576, 3072}},
    {"matmul", case_matmul, {32, 576, 3072}},
    {"matmul", case_matmul, {16, 576, 3072}},
    {"matmul", case_matmul, {13, 576, 3072}},
    {"matmul", case_matmul, {4, 576, 3072}},
    {"matmul", case_matmul, {1, 576, 3072}},
    {"large", case_matmul, {192, 1024, 1024}}, /* of models with 7 billion parameters and more */
    {"large", case_matmul, {192, 3584, 1024}},
    {"large", case_matmul, {192, 18944, 512}},
    {"large", case_blocks, {192, 3584, 1024, 512}},
    {"large", case_blocks, {192, 18944, 128, 512}},
    {"large", case_blocks, {192, 3584, 1024, 1024}},
    {"large", case_blocks, {192, 18944, 128, 1024}},
    {"large", case_blocks, {192, 28672, 128, 1024}},
    {"large", case_blocks, {192, 8192, 128, 1024}},
    {"large", case_blocks, {384, 8192, 512, 1024}},
    {"large", case_blocks, {1024, 8192, 512, 1024}},
    {"7b", case_blocks, {192, 3584, 4608, 1024}}, /* all products of a model of 7 billion: q, k and v */
    {"7b", case_blocks, {192, 3584, 3584, 1024}},
    {"7b", case_blocks, {192, 3584, 18944, 1024}},
    {"7b", case_blocks, {192, 18944, 3584, 1024}},
    {"few", case_few, {1, 2048, 768, 1024}}, /* an expert of a model with 30 billion parameters */
    {"few", case_few, {1, 2048, 768, 0}},
    {"few", case_few_q6_k, {1, 2048, 768, 1024}},
    {"few", case_few_q6_k, {1, 2048, 768, 0}},
    {"few", case_few, {2, 2048, 768, 1024}},
    {"few", case_few, {2, 2048, 768, 0}},
    {"few", case_few_q6_k, {2, 2048, 768, 1024}},
    {"few", case_few_q6_k, {2, 2048, 768, 0}},
    {"few", case_few, {4, 2048, 768, 1024}},
    {"few", case_few, {4, 2048, 768, 0}},
    {"few", case_few_q6_k, {4, 2048, 768, 1024}},
    {"few", case_few_q6_k, {4, 2048, 768, 0}},
    {"few", case_few, {8, 2048, 768, 1024}},
    {"few", case_few_q6_k, {8, 2048, 768, 1024}},
    {"few", case_few, {32, 2048, 768, 1024}},
    {"few", case_few_q6_k, {32, 2048, 768, 1024}},
    {"few", case_few, {96, 2048, 768, 1024}},
    {"few", case_few_q6_k, {96, 2048, 768, 1024}},
    {"pack", case_pack, {0, 576, 3072}},
    {"narrow", case_narrow, {576}},
    {"scores", case_scores, {1, 64, 256}},
    {"scores", case_scores, {3, 64, 256}},
    {"scores", case_scores, {8, 64, 256}},
    {"scores", case_scores, {48, 64, 256}},
    {"scores", case_scores, {48, 256, 256}},
    {"values", case_values, {1, 64, 256}},
    {"values", case_values, {3, 64, 256}},
    {"values", case_values, {8, 64, 256}},
    {"values", case_values, {48, 64, 256}},
    {"values", case_values, {48, 256, 256}},
    {"attention", case_attention, {512, 9, 3, 64}}, /* SmolLM2, Gemma 3, a model of 7 billion */
    {"attention", case_attention, {2048, 9, 3, 64}},
    {"attention", case_attention, {8000, 9, 3, 64}},
    {"attention", case_attention, {2048, 4, 1, 256}},
    {"attention", case_attention, {2048, 8, 2, 128}},
    {"rms_norm", case_rms_norm, {576}},
    {"layer_norm", case_layer_norm, {768}},
    {"add", case_add, {576}},
    {"scale", case_scale, {576}},
    {"rope_halves", case_rope_halves, {64, 12}},
    {"rope_pairs", case_rope_pairs, {64, 12}},
    {"silu_mul", case_silu_mul, {1536}},
    {"gelu_mul", case_gelu_mul, {1536}},
    {"gelu", case_gelu, {3072}},
    {"most", case_most, {2048}},
    {"exps", case_exps, {128}},
    {"exps", case_exps, {1024}},
    {"logsumexp", case_logsumexp, {2048}},
};

/* Types that are unpacked straight into panels. */
static const uint32_t types[] = {CAPP_TYPE_Q4_0,  CAPP_TYPE_Q4_1, CAPP_TYPE_Q5_0,   CAPP_TYPE_Q5_1,
                                 CAPP_TYPE_Q8_0,  CAPP_TYPE_Q2_K, CAPP_TYPE_Q3_K,   CAPP_TYPE_Q4_K,
                                 CAPP_TYPE_Q5_K,  CAPP_TYPE_Q6_K, CAPP_TYPE_IQ4_NL, CAPP_TYPE_IQ4_XS,
                                 CAPP_TYPE_MXFP4, CAPP_TYPE_F16,  CAPP_TYPE_BF16,   CAPP_TYPE_F32};

static const struct {
    const char *name;
    capp_quant_layout layout;
} layouts[] = {{"GPTQ", CAPP_QUANT_GPTQ}, {"AWQ", CAPP_QUANT_AWQ}, {"float8", CAPP_QUANT_E4M3}};

/* GFLOP/s of all threads: the best of at least three repeats, each at least a millisecond long, for about 0.15 s. All
 * threads begin a repeat together. */
static double measure(double (*run)(void)) {
    double best = 0, total = 0;
    size_t calls = 1;
    for (int repeat = 0; repeat < 3 || total < 0.15 * threads; repeat++) {
        double operations = 0, before, seconds;
        meet();
        before = now();
        for (size_t i = 0; i < calls; i++) operations += run();
        seconds = now() - before;
        const double rate = sum_of_all(seconds > 0 ? operations / seconds : 0), spent = sum_of_all(seconds);
        if (spent < 1e-3 * threads) calls *= 2;
        total += spent;
        if (rate > best) best = rate;
    }
    return best * 1e-9;
}

/* Panels of integers begin with their type. */
static void begin_panel(size_t i, size_t k) {
    const uint32_t type = type_of(k);
    memcpy((char *)b + i * products->panel_bytes(type, k), &type, sizeof type);
}

/* Activations are digits; a fifth of a row's blocks, others in each row, are four times as large as the rest. */
static void begin_integers(void) {
    const size_t k = shape[1], lda = k + CAPP_MAX_STEP;
    const size_t block = shape[3] ? least(shape[3], products->block) : products->block;
    if (!products->coarsen) return;
    for (size_t i = 0; i * products->nr < shape[2]; i++) begin_panel(i, k);
    for (size_t from = 0, part; from < k; from += part) {
        part = least(k - from, block);
        begin_panel(1, part);
    }
    for (size_t i = 0; i < shape[0]; i++) {
        fill(c, lda, 1.0f);
        for (size_t j = 0; j < lda; j++)
            if ((j / CAPP_INTEGER_BLOCK * 7 + i * 3 + i / 5) % 5 == 0) c[j] *= 4;
        products->narrow((char *)a + i * lda * products->element, c, k, lda);
        products->coarsen((char *)a + i * lda * products->element, k, share);
    }
}

/* Stored blocks with usual scales. */
static void usual_bytes(unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)(32 + bytes[i] % 64);
}

/* For each type, nanoseconds per weight, and that time as a share of a product of 256 rows. */
static void bench_unpack(void) {
    if (!products->unpack(CAPP_TYPE_Q4_K)) return;
    memcpy(shape, (size_t[4]){256, 1024, 1024}, sizeof shape);
    begin_integers();
    const double product = 2 * 256 / measure(case_matmul);
    usual_bytes((unsigned char *)a, 1024 * 1024 * sizeof *a);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        shape[3] = types[t];
        const double weight = 1 / measure(case_unpack);
        say("%-10s %-4s %-12s %-20s %8.3f ns a weight %5.1f %% of 256 rows\n", kernels->name, products->name, "unpack",
            capp_type_get(types[t]).name, weight, 100 * weight / (weight + product));
    }
    for (size_t t = 0; products->unpack_quant && t < sizeof layouts / sizeof *layouts; t++) {
        shape[3] = layouts[t].layout;
        const double weight = 1 / measure(case_unpack_quant);
        say("%-10s %-4s %-12s %-20s %8.3f ns a weight %5.1f %% of 256 rows\n", kernels->name, products->name, "unpack",
            layouts[t].name, weight, 100 * weight / (weight + product));
    }
}

/* What the products of a case with weights from memory read of them, beside what one thread reads at most. */
static void print_reading(const char *name, double rate) {
    const double panel = (double)products->panel_bytes(type_of(shape[1]), shape[1]);
    const double each = panel / (2.0 * (double)(shape[0] * shape[1] * products->nr));
    say("%-10s %-4s %-12s %-20s %8.1f GB/s of %.1f GB/s\n", kernels->name, name, "weights", "", rate * each,
        measure(case_read));
}

/* Runs all cases of the table for float32, or those of its other products. op: run only this one, unless NULL. */
static void bench(const capp_products *of, const char *op, const char *name, float less) {
    share = less;
    meet();
    const double peak = sum_of_all(capp_peak_gflops(kernels->name, share > 0 ? "i8" : of->name, 0.2));
    products = of;
    fill(b, MOST, 1.0f); /* panels of any element */
    say("%-10s %-4s %-12s %-20s %8.1f GFLOP/s\n", kernels->name, name, "peak", "", peak);
    for (size_t j = 0; j < sizeof cases / sizeof *cases; j++) {
        char text[64];
        const bool few = !strcmp(cases[j].op, "few");
        const bool product = cases[j].run == case_matmul || cases[j].run == case_blocks || cases[j].run == case_pack ||
                             few || cases[j].run == case_narrow || (cases[j].run == case_attention && !of->coarsen);
        if ((op && strcmp(op, cases[j].op) != 0) || (of != kernels->f32 && !product)) continue;
        if (cases[j].run == case_pack && !of->pack) continue;
        if (cases[j].run == case_matmul && of->coarsen && cases[j].shape[1] > of->block) continue;
        if (few && (!of->unpack(CAPP_TYPE_Q4_K) || (!cases[j].shape[3] && !of->few))) continue;
        memcpy(shape, cases[j].shape, sizeof shape);
        begin_integers();
        if (cases[j].run == case_attention) begin_attention();
        if (few) usual_bytes((unsigned char *)b + STORED, 8 << 20);
        const double rate = measure(cases[j].run);
        capp_rest(of);
        snprintf(text, sizeof text, "%zu %zu %zu %zu", shape[0], shape[1], shape[2], shape[3]);
        say("%-10s %-4s %-12s %-20s %8.1f GFLOP/s %5.1f %%\n", kernels->name, name, cases[j].op, text, rate,
            100 * rate / peak);
        if (cases[j].run == case_matmul && shape[3]) print_reading(name, rate);
    }
    if (!(share > 0) && (!op || !strcmp(op, "unpack"))) bench_unpack();
}

typedef struct choice {
    const char *isa, *op; /* NULL: all */
} choice;

static void bench_tables(const choice *of) {
    for (size_t i = 0; (kernels = capp_kernels_at(i)) != NULL; i++) {
        if (of->isa && strcmp(of->isa, kernels->name) != 0) continue;
        if (!capp_cpu_request(kernels->needs)) {
            say("%s: this machine lacks it\n", kernels->name);
            continue;
        }
        bench(kernels->f32, of->op, "f32", 0);
        if (kernels->bf16) bench(kernels->bf16, of->op, "bf16", 0);
        /* ref's products of integers are a definition and take minutes: only if ref is asked for. */
        if (!of->isa && !strcmp(kernels->name, "ref")) continue;
        bench(kernels->i16, of->op, "i16", 0);
        bench(kernels->i16, of->op, "mixed", 0.02F);
        bench(kernels->i16, of->op, "i8", FLT_MAX);
    }
}

static void work(void *choice_of, size_t task, int worker) {
    const size_t bytes = MOST * sizeof(float);
    capp_error err;
    (void)task;
    self = worker;
    if (capp_pool_open(&pool, 1, &err) != CAPP_OK) exit((fprintf(stderr, "%s\n", err.message), 1));
    a = aligned_alloc(64, bytes), b = aligned_alloc(64, bytes), c = aligned_alloc(64, bytes);
    if (!a || !b || !c) exit((fputs("out of memory\n", stderr), 1));
    fill(a, MOST, 2.0f), fill(b, MOST, 1.0f), fill(c, MOST, 1.0f);
    bench_tables(choice_of);
    capp_forward_free(forward);
    capp_pool_free(pool);
    free(a), free(b), free(c);
}

static const char *chosen(int argc, char **argv, int i) {
    return argc > i && strcmp(argv[i], "all") != 0 ? argv[i] : NULL;
}

int main(int argc, char **argv) {
    choice of = {chosen(argc, argv, 1), chosen(argc, argv, 2)};
    threads = argc > 3 ? atoi(argv[3]) : 1;
    if (argc > 4 || threads < 1 || threads > MOST_THREADS)
        return fprintf(stderr, "usage: bench_kernels [ISA|all [OP|all [THREADS]]], 1 to %d threads\n", MOST_THREADS), 2;
    capp_error err;
    capp_pool *team; /* every thread takes one task, because a task ends after all have begun */
    if (capp_pool_open(&team, threads, &err) != CAPP_OK) return fprintf(stderr, "%s\n", err.message), 1;
    capp_pool_run(team, work, &of, (size_t)threads);
    capp_pool_free(team);
    return 0;
}
