/* Races of random completions compared with the decision over all of them finished: ties, certain and impossible
 * tokens, priors with zeros. */
#include "decide/decide.h"
#include "race/bounds.h"
#include "test.h"

enum { MOST = 60, LONGEST = 5 };

/* Completions of a few letters, so that many begin alike. A letter's log-probability depends on all earlier ones. */
typedef struct field {
    size_t n;
    char text[MOST][LONGEST + 1];
    float logprobs[MOST][LONGEST];
    double priors[MOST];
    const double *prior; /* priors or NULL */
    capp_aggregate aggregate;
    uint32_t order[MOST];
    double final[MOST]; /* sums of all log-probabilities */
    double too_low;     /* sabotage: bounds of unfinished completions are this much too low */
} field;

static float logprob_of(uint64_t seed, const char *text, size_t n, int kind) {
    test_random r = {seed};
    for (size_t i = 0; i < n; i++) r.state = test_random_u64(&r) ^ (uint64_t)text[i];
    uint64_t x = test_random_below(&r, 8);
    if (kind == 0) return -(float)test_random_below(&r, 4); /* many ties */
    if (kind == 1 && x < 2) return x ? 0 : -INFINITY;
    return (float)(-3 * test_random_unit(&r));
}

static const field *sorted_field;

static int by_text(const void *a, const void *b) {
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    int order = strcmp(sorted_field->text[i], sorted_field->text[j]);
    return order ? order : i < j ? -1 : 1;
}

static void make_field(field *f, uint64_t seed) {
    test_random r = {seed};
    uint64_t values = test_random_u64(&r);
    int kind = (int)test_random_below(&r, 3);
    double sum = 0;
    memset(f, 0, sizeof *f);
    f->n = 1 + test_random_below(&r, MOST);
    f->aggregate = (capp_aggregate)test_random_below(&r, CAPP_AGGREGATE_CALLER);
    for (size_t i = 0; i < f->n; i++) {
        size_t length = 1 + test_random_below(&r, LONGEST);
        for (size_t t = 0; t < length; t++) f->text[i][t] = (char)('a' + test_random_below(&r, 3));
        for (size_t t = 0; t < length; t++) f->logprobs[i][t] = logprob_of(values, f->text[i], t + 1, kind);
        for (size_t t = 0; t < length; t++) f->final[i] += (double)f->logprobs[i][t];
        f->priors[i] = test_random_below(&r, 3) ? (double)test_random_below(&r, 4) : 0;
        sum += f->priors[i];
        f->order[i] = (uint32_t)i;
    }
    if (sum > 0 && test_random_below(&r, 2)) f->prior = f->priors;
    for (size_t i = 0; i < f->n && f->prior; i++) f->priors[i] /= sum;
    sorted_field = f;
    qsort(f->order, f->n, sizeof *f->order, by_text);
}

/* As if each letter were a token of three bytes, the first one of four. */
static double aggregate_of(const field *f, size_t i, double sum) {
    size_t length = strlen(f->text[i]);
    return capp_decide_aggregate(f->aggregate, sum, length, 3 * length + 1);
}

static double score_of(const void *user, uint32_t i, double sum) {
    const field *f = user;
    double aggregate = aggregate_of(f, i, sum);
    double low = f->too_low != 0 && sum != f->final[i] ? f->too_low : 0;
    return capp_decide_score(aggregate, f->prior, i) - low;
}

/* A number for the first n letters, the same for all completions with this beginning: letters are digits, base 4. */
static uint32_t place_of(const char *text, size_t n) {
    uint32_t place = 0;
    for (size_t i = 0; i < n; i++) place = 4 * place + (uint32_t)(text[i] - 'a' + 1);
    return place;
}

static size_t depth_of(uint32_t place) {
    size_t n = 0;
    for (; place; place /= 4) n++;
    return n;
}

typedef struct outcome {
    capp_race race;
    capp_runner runners[MOST];
    bool finished[MOST];
    size_t advances;
    double lowest; /* lowest bound of a runner that was the best of a chosen place */
} outcome;

static void run_race(outcome *o, const field *f, double margin, size_t most) {
    capp_race *race = &o->race;
    capp_place places[8];
    memset(o, 0, sizeof *o);
    o->lowest = INFINITY;
    capp_race_begin(race, o->runners, f->order, f->n, score_of, f, margin);
    for (size_t n; (n = capp_race_choose(race, most, places)) > 0;) {
        CHECK(n <= most);
        for (size_t k = 0; k < n; k++)
            for (size_t i = places[k].first; i < places[k].first + places[k].n; i++) {
                const capp_runner *x = &o->runners[i];
                size_t depth = depth_of(x->place), length = strlen(f->text[x->index]);
                if (i == places[k].best && x->bound < o->lowest) o->lowest = x->bound;
                bool last = depth + 1 == length;
                o->advances++;
                if (last) o->finished[x->index] = true;
                capp_race_advance(race, i, f->logprobs[x->index][depth], place_of(f->text[x->index], depth + 1), last);
            }
        capp_race_settle(race);
    }
}

/* Index of the winner over all completions, its score in *score. */
static size_t decide_all(const field *f, double *score) {
    double aggregate[MOST];
    for (size_t i = 0; i < f->n; i++) aggregate[i] = aggregate_of(f, i, f->final[i]);
    size_t best = capp_decide_best(aggregate, f->prior, f->n);
    *score = capp_decide_score(aggregate[best], f->prior, best);
    return best;
}

static bool same_decision(const field *f, const outcome *o) {
    double score;
    return o->race.leader == decide_all(f, &score) && o->race.best == score;
}

TEST(races_end_as_if_all_had_been_finished) {
    size_t advances = 0, all = 0;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        field f;
        outcome o;
        make_field(&f, seed);
        run_race(&o, &f, 0, 1 + seed % 5);
        if (!same_decision(&f, &o)) FAIL("seed %llu: another decision", (unsigned long long)seed);
        advances += o.advances;
        for (size_t i = 0; i < f.n; i++) all += strlen(f.text[i]);
    }
    CHECK(advances < all * 9 / 10);
}

/* Best first, one place at a time: no runner is extended that a bound had already ruled out. */
TEST(one_place_at_a_time_wastes_nothing) {
    for (uint64_t seed = 0; seed < 5000; seed++) {
        field f;
        outcome o;
        make_field(&f, seed);
        run_race(&o, &f, 0, 1);
        if (o.lowest < o.race.best) FAIL("seed %llu: extended below the winner", (unsigned long long)seed);
    }
}

TEST(within_the_margin_all_are_finished) {
    for (uint64_t seed = 0; seed < 10000; seed++) {
        static const double margins[] = {1e-3, 0.3, 1, 100};
        field f;
        outcome o;
        make_field(&f, seed);
        double margin = margins[seed % 4], second = -INFINITY;
        run_race(&o, &f, margin, 1 + seed % 3);
        if (!same_decision(&f, &o)) FAIL("seed %llu: another decision", (unsigned long long)seed);
        for (size_t i = 0; i < f.n; i++) {
            double score = score_of(&f, (uint32_t)i, f.final[i]);
            if (strcmp(f.text[i], f.text[o.race.leader]) != 0 && score > second) second = score;
            if (score + margin >= o.race.best && !o.finished[i])
                FAIL("seed %llu: %zu is not finished", (unsigned long long)seed, i);
        }
        if (second + margin >= o.race.best ? o.race.second != second : o.race.second > second)
            FAIL("seed %llu: second is %g, not %g", (unsigned long long)seed, o.race.second, second);
    }
}

/* The test above detects errors: with bounds a little too low, some decisions change. */
TEST(bounds_too_low_show) {
    size_t wrong = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        field f;
        outcome o;
        make_field(&f, seed);
        f.too_low = 0.3;
        run_race(&o, &f, 0, 1 + seed % 5);
        f.too_low = 0;
        wrong += !same_decision(&f, &o);
    }
    CHECK(wrong > 20);
}

/* Compares picking with sorting. */
TEST(the_most_promising_places_are_picked) {
    for (uint64_t seed = 0; seed < 3000; seed++) {
        test_random r = {seed};
        capp_runner runners[MOST];
        capp_race race = {.runners = runners, .n = 1 + test_random_below(&r, MOST), .leader = CAPP_NO_LEADER};
        capp_place places[MOST], picked[MOST];
        size_t n = 0, most = 1 + test_random_below(&r, 12);
        for (size_t i = 0; i < race.n; i++) {
            bool fresh = !i || test_random_below(&r, 2);
            runners[i] =
                (capp_runner){0, -(double)test_random_below(&r, 6), (uint32_t)(7 * i % MOST * 61 % 10007), 0, false};
            if (fresh) places[n++] = (capp_place){i, 0, i};
            runners[i].place = (uint32_t)n;
            capp_place *p = &places[n - 1];
            const capp_runner *x = &runners[i], *best = &runners[p->best];
            p->n++;
            if (x->bound > best->bound || (x->bound == best->bound && x->index < best->index)) p->best = i;
        }
        size_t n_picked = capp_race_choose(&race, most, picked);
        CHECK_INT(n_picked, n < most ? n : most);
        for (size_t k = 0; k < n_picked; k++) { /* fewer than n_picked places are better than each */
            const capp_runner *x = &runners[picked[k].best];
            size_t better = 0;
            for (size_t j = 0; j < n; j++) {
                const capp_runner *y = &runners[places[j].best];
                better += y->bound > x->bound || (y->bound == x->bound && y->index < x->index);
                if (places[j].first == picked[k].first)
                    CHECK(places[j].n == picked[k].n && places[j].best == picked[k].best);
            }
            CHECK(better < n_picked);
            for (size_t j = 0; j < k; j++) CHECK(picked[j].first != picked[k].first);
        }
    }
}
