/* How evenly the tasks of a wave's products load 2 to 16 threads: work is counted, not timed. Each thread that is free
 * takes the next task, as those of the pool do. */
#include "forward/wave.h"
#include "test.h"

enum { MOST_THREADS = 16, COLUMNS = 64, BLOCK = 192 }; /* columns of a group of panels, rows of the largest task */

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
    double done[MOST_THREADS] = {0}, most = 0;
    for (size_t row = 0; row < rows; row += block)
        for (size_t column = 0; column < n; column += COLUMNS) {
            size_t next = 0;
            for (size_t t = 1; t < threads; t++)
                if (done[t] < done[next]) next = t;
            const size_t height = rows - row < block ? rows - row : block,
                         width = n - column < COLUMNS ? n - column : COLUMNS;
            done[next] += (double)(height * width * k);
        }
    for (size_t t = 0; t < threads; t++) most = done[t] > most ? done[t] : most;
    return most;
}

/* How much longer a layer's products take than with equally busy threads. fixed: rows of every task, 0: as capp has it.
 */
static double excess(const shape *s, size_t rows, size_t threads, size_t most, size_t fixed) {
    double time = 0, work = 0;
    for (size_t i = 0; i < s->n; i++) {
        const size_t k = s->product[i][0], n = s->product[i][1], groups = (n + COLUMNS - 1) / COLUMNS;
        time += busiest(rows, k, n, fixed ? fixed : capp_task_rows(rows, groups, threads, most), threads);
        work += (double)(rows * k * n) / (double)threads;
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
                const size_t block = capp_task_rows(rows, groups, threads, BLOCK);
                CHECK(block > 0 && block <= BLOCK);
                CHECK(threads > 1 || block + 1 >= (rows < BLOCK ? rows : BLOCK) / 2);
            }
}
