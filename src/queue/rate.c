/* How long a step takes: a + b * rows. The weights are read once for a step of any size (a), and each row costs b. */
#include "queue/job.h"

enum { MOST_ROWS = 768 }; /* a wave of this many rows has the full throughput */

static const double KEPT = 0.85;   /* part of the throughput that a step keeps at least */
static const double MEMORY = 0.99; /* what a step forgets of those before it */
static const double SPREAD = 0.15; /* steps must differ by this part of their size to tell a from b */
enum { ENOUGH = 6 };               /* steps, before they tell anything */
enum { FIRST_ROWS = 192 };         /* of a step, before anything is known */

void capp_rate_learn(capp_rate *rate, size_t rows, double seconds) {
    double x = (double)rows;
    rate->n = MEMORY * rate->n + 1;
    rate->x = MEMORY * rate->x + x;
    rate->y = MEMORY * rate->y + seconds;
    rate->xx = MEMORY * rate->xx + x * x;
    rate->xy = MEMORY * rate->xy + x * seconds;
    double mean = rate->x / rate->n, variance = rate->xx / rate->n - mean * mean;
    if (rate->n < ENOUGH || variance < SPREAD * SPREAD * mean * mean) return;
    double b = (rate->xy / rate->n - mean * rate->y / rate->n) / variance, a = rate->y / rate->n - b * mean;
    if (!(b > 0)) return;
    rate->row = b;
    rate->fixed = a > 0 ? a : 0;
}

size_t capp_rate_rows(const capp_rate *rate, double seconds, size_t least) {
    if (!(rate->row > 0)) return least ? least : FIRST_ROWS;
    double k = rate->fixed / rate->row, part = KEPT * MOST_ROWS / (k + MOST_ROWS);
    double fit = (seconds - rate->fixed) / rate->row, enough = least ? (double)least : k * part / (1 - part);
    if (fit < enough) fit = enough;
    return fit < 1 ? 1 : fit > 1e6 ? (size_t)1e6 : (size_t)fit;
}
