/* Calibrations with labels: Newton's method on a convex function, cross-validation, conformal sets. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "calibrate/calibrate.h"

enum { MOST_STEPS = 100, MOST_HALVINGS = 40 };

static const double FLAT = 1e-12; /* of the gradient */

/* The rows that a fit uses: all but those with i % folds == left_out. folds 0: all. */
typedef struct fit {
    const double *scores;
    const size_t *labels;
    size_t n, n_classes, folds, left_out, m; /* m: unknowns: the scale, then the shifts */
    double penalty;
    double *at, *next; /* [m] */
    double *gradient;  /* [m] */
    double *hessian;   /* [m][m] lower triangle; then its Cholesky factor */
    double *posterior; /* [n_classes] */
} fit;

static bool takes(const fit *f, size_t i) {
    return !f->folds || i % f->folds != f->left_out;
}

/* The function to minimize; with its derivatives if `derive`. */
static double evaluate(const fit *f, const double *at, bool derive) {
    size_t k = f->n_classes, used = 0;
    const double *shift = f->m > 1 ? at + 1 : NULL;
    double loss = 0;
    for (size_t i = 0; derive && i < f->m; i++) f->gradient[i] = 0;
    for (size_t i = 0; derive && i < f->m * f->m; i++) f->hessian[i] = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (!takes(f, i)) continue;
        const double *s = f->scores + i * k;
        size_t label = f->labels[i];
        double *p = f->posterior, mean = 0, square = 0;
        loss += capp_calibrate_row(s, k, at[0], shift, p) - at[0] * s[label] - (shift ? shift[label] : 0);
        used++;
        if (!derive) continue;
        for (size_t c = 0; c < k; c++) {
            mean += p[c] * s[c];
            square += p[c] * s[c] * s[c];
        }
        f->gradient[0] += mean - s[label];
        f->hessian[0] += square - mean * mean;
        for (size_t c = 0; c + 1 < f->m; c++) {
            double *line = f->hessian + (c + 1) * f->m;
            f->gradient[c + 1] += p[c] - (c == label);
            line[0] += p[c] * (s[c] - mean);
            for (size_t d = 0; d <= c; d++) line[d + 1] += (c == d ? p[c] : 0) - p[c] * p[d];
        }
    }
    loss /= (double)used;
    for (size_t i = 0; i < f->m; i++) {
        double away = at[i] - (i ? 0 : 1);
        loss += f->penalty / 2 * away * away;
        if (!derive) continue;
        f->gradient[i] = f->gradient[i] / (double)used + f->penalty * away;
        for (size_t j = 0; j <= i; j++) f->hessian[i * f->m + j] /= (double)used;
        f->hessian[i * f->m + i] += f->penalty;
    }
    return loss;
}

/* Replaces the gradient by Newton's step: Cholesky's factor of the Hessian, which is positive definite. */
static void solve(const fit *f) {
    size_t m = f->m;
    double *h = f->hessian, *g = f->gradient;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = h[i * m + j];
            for (size_t l = 0; l < j; l++) sum -= h[i * m + l] * h[j * m + l];
            h[i * m + j] = i == j ? sqrt(sum) : sum / h[j * m + j];
        }
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < i; j++) g[i] -= h[i * m + j] * g[j];
        g[i] /= h[i * m + i];
    }
    for (size_t i = m; i-- > 0;) {
        for (size_t j = i + 1; j < m; j++) g[i] -= h[j * m + i] * g[j];
        g[i] /= h[i * m + i];
    }
}

static void minimize(const fit *f) {
    for (size_t i = 0; i < f->m; i++) f->at[i] = i ? 0 : 1;
    for (size_t step = 0; step < MOST_STEPS; step++) {
        double loss = evaluate(f, f->at, true), steepest = 0, part = 1, lower = loss;
        for (size_t i = 0; i < f->m; i++) steepest = fmax(steepest, fabs(f->gradient[i]));
        if (!(steepest > FLAT)) return;
        solve(f);
        for (size_t half = 0; half < MOST_HALVINGS; half++) {
            for (size_t i = 0; i < f->m; i++) f->next[i] = f->at[i] - part * f->gradient[i];
            if ((lower = evaluate(f, f->next, false)) <= loss) break;
            part /= 2;
        }
        if (!(lower < loss)) { /* rounding hides what is left; the last whole step makes it smaller still */
            for (size_t i = 0; i < f->m; i++) f->at[i] -= f->gradient[i];
            return;
        }
        for (size_t i = 0; i < f->m; i++) f->at[i] = f->next[i];
    }
}

static void close_fit(fit *f) {
    capp_free(f->at);
    capp_free(f->gradient);
    capp_free(f->hessian);
    capp_free(f->posterior);
}

static capp_status open_fit(fit *f, capp_error *err) {
    capp_status st = capp_calibrate_check(f->scores, f->n, f->n_classes, err);
    if (st != CAPP_OK) return st;
    if (!(f->penalty > 0)) return capp_fail(err, CAPP_EINVAL, "the penalty is %g; use a number above 0", f->penalty);
    for (size_t i = 0; i < f->n; i++)
        if (f->labels[i] >= f->n_classes)
            return capp_fail(err, CAPP_EINVAL, "the label of row %zu is %zu, but there are %zu classes; count from 0",
                             i, f->labels[i], f->n_classes);
    size_t square;
    if (!capp_mul(f->m, f->m, &square)) return capp_fail_memory(err, "the calibration");
    f->at = capp_new(f->m, 2 * sizeof *f->at);
    f->gradient = capp_new(f->m, sizeof *f->gradient);
    f->hessian = capp_new(square, sizeof *f->hessian);
    f->posterior = capp_new(f->n_classes, sizeof *f->posterior);
    if (!f->at || !f->gradient || !f->hessian || !f->posterior) {
        close_fit(f);
        return capp_fail_memory(err, "the calibration");
    }
    f->next = f->at + f->m;
    return CAPP_OK;
}

capp_status capp_calibrate_fit(const double *scores, const size_t *labels, size_t n, size_t n_classes, double penalty,
                               double *scale, double *shift, capp_error *err) {
    fit f = {scores, labels, n, n_classes, 0, 0, shift ? n_classes + 1 : 1, penalty, NULL, NULL, NULL, NULL, NULL};
    capp_status st = open_fit(&f, err);
    if (st != CAPP_OK) return st;
    minimize(&f);
    *scale = f.at[0];
    for (size_t k = 0; k < n_classes && shift; k++) shift[k] = f.at[k + 1];
    close_fit(&f);
    return CAPP_OK;
}

capp_status capp_calibrate_cross(const double *scores, const size_t *labels, size_t n, size_t n_classes, double penalty,
                                 bool shifts, size_t folds, double *posterior, capp_error *err) {
    fit f = {scores, labels, n, n_classes, folds, 0, shifts ? n_classes + 1 : 1, penalty, NULL, NULL, NULL, NULL, NULL};
    if (folds < 2 || folds > n)
        return capp_fail(err, CAPP_EINVAL, "%zu rows in %zu folds; use from 2 folds to as many as rows", n, folds);
    capp_status st = open_fit(&f, err);
    if (st != CAPP_OK) return st;
    for (; f.left_out < folds; f.left_out++) {
        minimize(&f);
        for (size_t i = f.left_out; i < n; i += folds)
            capp_calibrate_row(scores + i * n_classes, n_classes, f.at[0], shifts ? f.at + 1 : NULL,
                               posterior + i * n_classes);
    }
    close_fit(&f);
    return CAPP_OK;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The correct classes' posteriors in rising order: at most floor((n + 1) (1 - coverage)) rows may lie below the bound,
 * counting the new one. */
capp_status capp_calibrate_sets(const double *posterior, const size_t *labels, size_t n, size_t n_classes,
                                double coverage, double *least, capp_error *err) {
    if (!(coverage > 0 && coverage < 1))
        return capp_fail(err, CAPP_EINVAL, "the coverage is %g; use a number between 0 and 1", coverage);
    for (size_t i = 0; i < n; i++) {
        if (labels[i] >= n_classes)
            return capp_fail(err, CAPP_EINVAL, "the label of row %zu is %zu, but there are %zu classes; count from 0",
                             i, labels[i], n_classes);
        if (!isfinite(posterior[i * n_classes + labels[i]]))
            return capp_fail(err, CAPP_EINVAL,
                             "row %zu has the probability %g for its label; give finite probabilities", i,
                             posterior[i * n_classes + labels[i]]);
    }
    size_t kept = (size_t)ceil((double)(n + 1) * coverage);
    *least = 0;
    if (kept > n) return CAPP_OK;
    double *right = capp_new(n, sizeof *right);
    if (!right) return capp_fail_memory(err, "the calibration");
    for (size_t i = 0; i < n; i++) right[i] = posterior[i * n_classes + labels[i]];
    qsort(right, n, sizeof *right, by_value);
    *least = right[n - kept];
    capp_free(right);
    return CAPP_OK;
}
