/* Parts of queues that need no model: drawn tokens, the size of a step. */
#include "queue/job.h"
#include "test.h"

TEST(draws_follow_the_distribution) {
    enum { N = 6, DRAWS = 20000 };
    const double p[N] = {0.4, 0.05, 0.3, 0.05, 0.15, 0.05};
    float logprobs[N];
    double weights[N];
    uint32_t order[N];
    for (size_t i = 0; i < N; i++) logprobs[i] = (float)log(p[i]);
    for (int narrow = 0; narrow < 2; narrow++)
        for (double temperature = 0.5; temperature < 2.5; temperature *= 2) {
            double expected[N], sum = 0, count[N] = {0};
            for (size_t i = 0; i < N; i++) expected[i] = pow(p[i], 1 / temperature);
            for (size_t i = 0; i < N; i++) sum += expected[i];
            /* Tokens 0, 2 and 4 have more than 0.55 of any of these distributions, 0 and 2 alone less only at 2. */
            double top_p = narrow ? 0.55 : 1;
            if (narrow) {
                double all = sum, so_far = 0;
                const size_t rank[N] = {0, 2, 4, 1, 3, 5};
                for (size_t k = 0; k < N; k++) {
                    bool in = so_far < top_p * all;
                    so_far += expected[rank[k]];
                    if (!in) sum -= expected[rank[k]], expected[rank[k]] = 0;
                }
            }
            capp_continuation how;
            capp_continuation_init(&how);
            how.temperature = temperature;
            how.top_p = top_p;
            how.seed = 7;
            for (size_t d = 0; d < DRAWS; d++) count[capp_draw_token(logprobs, N, &how, d, weights, order)]++;
            for (size_t i = 0; i < N; i++) CHECK_NEAR(count[i] / DRAWS, expected[i] / sum, 0.015);
        }
    capp_continuation greedy;
    capp_continuation_init(&greedy);
    CHECK_INT(capp_draw_token(logprobs, N, &greedy, 3, weights, order), 0);
}

TEST(the_most_probable_tokens) {
    const float logprobs[] = {-3, -1, -2, -1, -5, -1};
    int32_t ids[6];
    float top[6];
    CHECK_INT(capp_top_tokens(logprobs, 6, 4, ids, top), 4);
    CHECK_INT(ids[0], 1);
    CHECK_INT(ids[1], 3);
    CHECK_INT(ids[2], 5);
    CHECK_INT(ids[3], 2);
    CHECK_INT(capp_top_tokens(logprobs, 2, 5, ids, top), 2);
    CHECK_INT(capp_top_tokens(logprobs, 2, 0, ids, top), 0);
}

/* ---- The size of a step ---- */

/* Other programs make some steps up to three times as long. */
static double noisy(test_random *r, double seconds) {
    return seconds * (test_random_below(r, 3) ? 1 + 2 * test_random_unit(r) : 1 + 0.03 * test_random_unit(r));
}

/* Steps of a model that needs `fixed` seconds for each step and `each` for each row. full: there is always enough to
 * do, so that steps have all the rows for which there is room. */
static size_t learned_rows(uint64_t seed, double fixed, double each, double seconds, size_t least, bool full) {
    capp_rate rate = {0};
    test_random r = {seed};
    CHECK_INT(capp_rate_rows(&rate, seconds, least), 0);
    size_t room = capp_rate_first(least);
    for (size_t i = 0; i < 600; i++) {
        size_t rows = full ? capp_rate_trial(&rate, room) : 1 + test_random_below(&r, (uint32_t)room);
        capp_rate_learn(&rate, rows, noisy(&r, fixed + (double)rows * each));
        size_t wanted = capp_rate_rows(&rate, seconds, least);
        if (wanted) room = wanted < 2 * room ? wanted : 2 * room;
    }
    return room;
}

static double throughput(double fixed, double each, double rows) {
    return rows / (fixed + rows * each);
}

TEST(a_step_keeps_most_of_the_throughput) {
    const double fixed[] = {0.003, 0.015, 0.1, 0.6}, each[] = {2.5e-4, 2.5e-4, 1e-3, 5e-3};
    for (size_t i = 0; i < 32; i++) {
        double a = fixed[i / 2 % 4], b = each[i / 2 % 4];
        bool full = i % 2;
        size_t rows = learned_rows(i, a, b, 1e-9, 0, full);
        double kept = throughput(a, b, (double)rows) / throughput(a, b, 768);
        CHECK(kept > 0.87 && kept < 0.97);
        CHECK_NEAR((double)learned_rows(i, a, b, a + 600 * b, 0, full) / 600, 0.95, 0.07);
        CHECK_INT(learned_rows(i, a, b, 1e-9, 30, full), 30);
    }
}

/* Steps of one size tell nothing, so some are smaller. A model that has become slower is noticed. */
TEST(the_speed_of_a_model_changes) {
    capp_rate rate = {0};
    size_t trials = 0, before = 0;
    for (size_t i = 0; i < 6000; i++) {
        size_t rows = capp_rate_trial(&rate, 200);
        trials += rows < 200;
        capp_rate_learn(&rate, rows, (0.01 + (double)rows * 1e-4) * (i < 1000 ? 1 : 4));
        if (i == 999) before = capp_rate_rows(&rate, 0.2, 0);
    }
    CHECK(trials > 50 && trials < 6000 / 8);
    CHECK_NEAR((double)before, 1900, 20);
    CHECK_NEAR((double)capp_rate_rows(&rate, 0.2, 0), 400, 20);
}
