/* Calibrations without labels, and what a calibration does to rows. */
#include <math.h>

#include "base/mem.h"
#include "calibrate/calibrate.h"

static const double SETTLED = 1e-12;
enum { MOST_STEPS = 10000 };

capp_status capp_calibrate_check(const double *scores, size_t n, size_t n_classes, capp_error *err) {
    if (!n) return capp_fail(err, CAPP_EINVAL, "there are no rows; a calibration needs at least one");
    if (n_classes < 2) return capp_fail(err, CAPP_EINVAL, "there are %zu classes; give at least two", n_classes);
    for (size_t i = 0; i < n * n_classes; i++)
        if (!isfinite(scores[i]))
            return capp_fail(err, CAPP_EINVAL, "score %zu of row %zu is %g; a calibration needs finite scores",
                             i % n_classes, i / n_classes, scores[i]);
    return CAPP_OK;
}

double capp_calibrate_row(const double *scores, size_t n_classes, double scale, const double *shift,
                          double *posterior) {
    double top = -INFINITY, sum = 0;
    for (size_t k = 0; k < n_classes; k++) {
        posterior[k] = scale * scores[k] + (shift ? shift[k] : 0);
        if (posterior[k] > top) top = posterior[k];
    }
    for (size_t k = 0; k < n_classes; k++) sum += posterior[k] = capp_exp(posterior[k] - top);
    for (size_t k = 0; k < n_classes; k++) posterior[k] /= sum;
    return top + capp_log(sum);
}

/* A shift of -inf leaves a class out; one class must remain. */
static capp_status check_scale(double scale, const double *shift, size_t n_classes, capp_error *err) {
    bool some = !shift;
    if (!isfinite(scale)) return capp_fail(err, CAPP_EINVAL, "the scale is %g; use a finite number", scale);
    for (size_t k = 0; shift && k < n_classes; k++) {
        if (!(shift[k] < INFINITY))
            return capp_fail(err, CAPP_EINVAL,
                             "the shift of class %zu is %g; use a finite number, or -inf to leave the class out", k,
                             shift[k]);
        some = some || isfinite(shift[k]);
    }
    return some ? CAPP_OK
                : capp_fail(err, CAPP_EINVAL, "the shifts of all classes are -inf; leave at least one class in");
}

capp_status capp_calibrate_apply(const double *scores, size_t n, size_t n_classes, double scale, const double *shift,
                                 double *posterior, capp_error *err) {
    capp_status st = capp_calibrate_check(scores, n, n_classes, err);
    if (st != CAPP_OK || (st = check_scale(scale, shift, n_classes, err)) != CAPP_OK) return st;
    for (size_t i = 0; i < n; i++)
        capp_calibrate_row(scores + i * n_classes, n_classes, scale, shift, posterior + i * n_classes);
    return CAPP_OK;
}

capp_status capp_calibrate_shift(const double *scores, size_t n, size_t n_classes, double *shift, capp_error *err) {
    capp_status st = capp_calibrate_check(scores, n, n_classes, err);
    if (st != CAPP_OK) return st;
    double *posterior = capp_new(n_classes, sizeof *posterior);
    if (!posterior) return capp_fail_memory(err, "the calibration");
    for (size_t k = 0; k < n_classes; k++) shift[k] = 0;
    for (size_t i = 0; i < n; i++) {
        capp_calibrate_row(scores + i * n_classes, n_classes, 1, NULL, posterior);
        for (size_t k = 0; k < n_classes; k++) shift[k] += posterior[k];
    }
    capp_free(posterior);
    for (size_t k = 0; k < n_classes; k++) {
        if (shift[k] <= 0) return capp_fail(err, CAPP_EINVAL, "class %zu has probability 0 in every row; remove it", k);
        shift[k] = -capp_log(shift[k] / (double)n);
    }
    return CAPP_OK;
}

capp_status capp_calibrate_position(const double *scores, size_t n, size_t n_classes, double *shift, capp_error *err) {
    size_t lines;
    if (!capp_mul(n, n_classes, &lines)) return capp_fail_memory(err, "the calibration");
    capp_status st = capp_calibrate_check(scores, lines, n_classes, err);
    if (st != CAPP_OK) return st;
    double *mean = capp_new(n_classes, 2 * sizeof *mean);
    if (!mean) return capp_fail_memory(err, "the calibration");
    double *posterior = mean + n_classes;
    for (size_t i = 0; i < n_classes; i++) mean[i] = 0;
    for (size_t i = 0; i < lines; i++) {
        const double *line = scores + i * n_classes;
        double divisor = capp_calibrate_row(line, n_classes, 1, NULL, posterior);
        for (size_t k = 0; k < n_classes; k++)
            mean[(k + n_classes - i % n_classes) % n_classes] += (line[k] - divisor) / (double)lines;
    }
    double divisor = capp_calibrate_row(mean, n_classes, 1, NULL, posterior);
    for (size_t i = 0; i < n_classes; i++) shift[i] = divisor - mean[i];
    capp_free(mean);
    return CAPP_OK;
}

/* One step: the mean over the rows of the posteriors under the current prior. Returns the largest change. */
static double step(const double *scores, size_t n, size_t n_classes, double *shift, double *posterior, double *prior,
                   const double *assumed) {
    double most = 0;
    for (size_t k = 0; k < n_classes; k++) {
        double before = assumed ? assumed[k] : 1 / (double)n_classes;
        shift[k] = prior[k] > 0 ? capp_log(prior[k] / before) : -INFINITY;
    }
    double *sum = shift + n_classes;
    for (size_t k = 0; k < n_classes; k++) sum[k] = 0;
    for (size_t i = 0; i < n; i++) {
        capp_calibrate_row(scores + i * n_classes, n_classes, 1, shift, posterior);
        for (size_t k = 0; k < n_classes; k++) sum[k] += posterior[k];
    }
    for (size_t k = 0; k < n_classes; k++) {
        double mean = sum[k] / (double)n;
        if (fabs(mean - prior[k]) > most) most = fabs(mean - prior[k]);
        prior[k] = mean;
    }
    return most;
}

capp_status capp_calibrate_prior(const double *scores, size_t n, size_t n_classes, const double *assumed, double *prior,
                                 capp_error *err) {
    capp_status st = capp_calibrate_check(scores, n, n_classes, err);
    if (st != CAPP_OK) return st;
    for (size_t k = 0; k < n_classes && assumed; k++)
        if (!(assumed[k] > 0 && assumed[k] <= 1))
            return capp_fail(err, CAPP_EINVAL, "the assumed prior of class %zu is %g; use numbers above 0, at most 1",
                             k, assumed[k]);
    double *room = capp_new(n_classes, 3 * sizeof *room);
    if (!room) return capp_fail_memory(err, "the calibration");
    for (size_t k = 0; k < n_classes; k++) prior[k] = assumed ? assumed[k] : 1 / (double)n_classes;
    for (size_t i = 0; i < MOST_STEPS; i++)
        if (step(scores, n, n_classes, room, room + 2 * n_classes, prior, assumed) <= SETTLED) break;
    capp_free(room);
    return CAPP_OK;
}
