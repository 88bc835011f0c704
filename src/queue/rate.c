/* How long a step takes: a + b * rows. The weights are read once for a step of any size (a), and each row costs b. A
 * line through the times of recent steps tells both, if their sizes differ. Other programs only make steps longer, so
 * long steps count little. */
#include <math.h>

#include "queue/job.h"

/* Of a step before anything is known, and at least: fewer rows lose more than the line says, because they do not fill
 * the tiles of the products. */
enum { FIRST_ROWS = 64 };

enum { MOST_ROWS = 768 };                  /* a wave of this many rows has the full throughput */
enum { MEMORY = 256 };                     /* steps after which a time counts 1 / e */
enum { TRIAL_STEPS = 8, TRIAL_PARTS = 4 }; /* a step of every eight may be a trial, with a quarter of the rows */

/* Part of the throughput that a step keeps at least: 85 %, and what the callers' own work takes. */
static const double KEPT = 0.9;

/* The variance of sizes, relative to their mean square, from which on a line is known well enough. Steps of one size
 * with a trial now and then have about this. */
static const double VARIANCE = 0.05;

/* The variance of sizes, relative to their mean square. */
static double variance_of(const capp_rate *rate) {
    return rate->steps ? 1 - rate->x * rate->x / (rate->w * rate->xx) : 0;
}

/* The line through the times. False: not known. */
static bool fit(const capp_rate *rate, double *a, double *b) {
    if (variance_of(rate) < VARIANCE / 4) return false;
    *b = (rate->w * rate->xy - rate->x * rate->y) / (rate->w * rate->xx - rate->x * rate->x);
    *a = fmax(0, (rate->y - *b * rate->x) / rate->w);
    return *b > 0;
}

/* How much a step counts that took longer than expected, by the quotient of the two times. Twice as long: 1 / 64. */
static double trust(double quotient) {
    double cube = quotient * quotient * quotient;
    return cube * cube;
}

void capp_rate_learn(capp_rate *rate, size_t rows, double seconds) {
    double *sums[] = {&rate->w, &rate->x, &rate->y, &rate->xx, &rate->xy};
    double x = (double)rows, y = fmax(seconds, 1e-6), weight = 1 / (y * y), a, b; /* errors are relative */
    if (!rows) return;
    if (fit(rate, &a, &b) && y > a + b * x) weight *= trust(fmax((a + b * x) / y, 0.5));
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) *sums[i] *= 1 - 1.0 / MEMORY;
    rate->w += weight, rate->x += weight * x, rate->y += weight * y;
    rate->xx += weight * x * x, rate->xy += weight * x * y;
    rate->steps++;
}

size_t capp_rate_trial(const capp_rate *rate, size_t rows) {
    bool turn = rate->steps % TRIAL_STEPS == TRIAL_PARTS && variance_of(rate) < VARIANCE;
    return turn && rows >= TRIAL_PARTS ? rows / TRIAL_PARTS : rows;
}

size_t capp_rate_rows(const capp_rate *rate, double seconds, size_t least) {
    double a, b;
    if (!fit(rate, &a, &b)) return 0;
    double k = a / b, part = KEPT * MOST_ROWS / (k + MOST_ROWS);
    double enough = least ? (double)least : fmax(FIRST_ROWS, k * part / (1 - part));
    return (size_t)fmin(fmax((seconds - a) / b, enough), 1e6);
}

size_t capp_rate_first(size_t least) {
    return least ? least : FIRST_ROWS;
}
