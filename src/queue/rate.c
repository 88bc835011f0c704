/* How long a step takes: a + b * rows. The weights are read once for a step of any size (a), and each row costs b.
 * Other programs only make steps longer, so the shortest steps of each size tell most. */
#include <math.h>

#include "queue/job.h"

enum { MOST_ROWS = 768 };  /* a wave of this many rows has the full throughput */
enum { FEW_ROWS = 16 };    /* smaller steps are noise */
enum { LEAST_ROWS = 192 }; /* on the machines that we know, smaller steps lose more than they should */

static const double KEPT = 0.85;     /* part of the throughput that a step keeps at least */
static const double PROBE = 2;       /* seconds: a step that takes longer is not tried in a larger size */
static const double AGEING = 1.0005; /* an old time counts as so much longer after each step */
static const double SPREAD = 2.5;    /* steps must differ in size by this factor to tell a from b */

/* Fits the line to the shortest times, by their relative errors. */
static void fit(capp_rate *rate) {
    double w = 0, x = 0, y = 0, xx = 0, xy = 0, least = INFINITY, most = 0;
    for (size_t i = 0; i < CAPP_RATE_SIZES; i++) {
        double rows = rate->sizes[i].rows, seconds = rate->sizes[i].seconds, weight = 1 / (seconds * seconds);
        if (!(rows > 0)) continue;
        w += weight, x += weight * rows, y += weight * seconds;
        xx += weight * rows * rows, xy += weight * rows * seconds;
        least = fmin(least, rows), most = fmax(most, rows);
    }
    double b = (w * xy - x * y) / (w * xx - x * x), a = (y - b * x) / w;
    if (most < SPREAD * least || !(b > 0)) return;
    rate->row = b;
    rate->fixed = a > 0 ? a : 0;
}

/* Two sizes for each power of two: twice the logarithm of rows, rounded down. */
static size_t size_of(size_t rows) {
    size_t at = 0;
    for (uint64_t square = (uint64_t)rows * rows; square > 1; square /= 2) at++;
    return at;
}

void capp_rate_learn(capp_rate *rate, size_t rows, double seconds) {
    if (rows < FEW_ROWS) return;
    if (seconds < 1e-6) seconds = 1e-6;
    size_t at = size_of(rows);
    capp_rate_size *size = &rate->sizes[at < CAPP_RATE_SIZES ? at : CAPP_RATE_SIZES - 1];
    for (size_t i = 0; i < CAPP_RATE_SIZES; i++) rate->sizes[i].seconds *= AGEING;
    if (size->rows > 0 && seconds / (double)rows > size->seconds / size->rows) return;
    *size = (capp_rate_size){(double)rows, seconds};
    fit(rate);
}

/* If all steps had about the first size, one must be larger to tell a from b. */
static size_t first_rows(const capp_rate *rate) {
    const capp_rate_size *size = &rate->sizes[size_of(LEAST_ROWS)];
    return size->rows > 0 && size->seconds < PROBE ? 3 * LEAST_ROWS : LEAST_ROWS;
}

size_t capp_rate_rows(const capp_rate *rate, double seconds, size_t least) {
    if (!(rate->row > 0)) return least ? least : first_rows(rate);
    double k = rate->fixed / rate->row, part = KEPT * MOST_ROWS / (k + MOST_ROWS);
    double rows = (seconds - rate->fixed) / rate->row, enough = fmax(LEAST_ROWS, k * part / (1 - part));
    if (least) enough = (double)least;
    return (size_t)fmin(fmax(rows, enough), 1e6);
}
