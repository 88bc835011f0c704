/* Metrics of decisions on labeled rows. A row leaves its place in the confusion matrix and two numbers. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/math.h"
#include "base/mem.h"
#include "capp_arrays.h"

/* What a row leaves: how probable its prediction was, and whether it was right. */
typedef struct certainty {
    double confidence;
    bool right;
} certainty;

struct capp_measure {
    size_t n_classes, n, correct, capacity;
    size_t *confusion; /* [n_classes][n_classes] label, prediction */
    certainty *rows;   /* [n] */
    double loss, brier;
};

capp_status capp_measure_open(capp_measure **measure, size_t n_classes, capp_error *err) {
    size_t square;
    *measure = NULL;
    if (!n_classes) return capp_fail(err, CAPP_EINVAL, "there are no classes; metrics need at least one");
    capp_measure *m = capp_new0(1, sizeof *m);
    if (m && capp_mul(n_classes, n_classes, &square)) m->confusion = capp_new0(square, sizeof *m->confusion);
    if (!m || !m->confusion) {
        capp_measure_free(m);
        return capp_fail_memory(err, "the metrics");
    }
    m->n_classes = n_classes;
    *measure = m;
    return CAPP_OK;
}

void capp_measure_free(capp_measure *m) {
    if (!m) return;
    capp_free(m->confusion);
    capp_free(m->rows);
    capp_free(m);
}

static void add_row(capp_measure *m, const double *p, size_t width, size_t label, size_t prediction) {
    double sum = 0;
    for (size_t k = 0; k < width; k++) {
        double away = p[k] - (k == label);
        sum += away * away;
    }
    m->brier += sum;
    m->loss -= capp_log(p[label] > DBL_MIN ? p[label] : DBL_MIN);
    m->correct += label == prediction;
    m->confusion[label * m->n_classes + prediction]++;
    m->rows[m->n++] = (certainty){p[prediction], label == prediction};
}

static size_t best_of(const double *p, size_t width) {
    size_t best = 0;
    for (size_t k = 1; k < width; k++)
        if (p[k] > p[best]) best = k;
    return best;
}

static capp_status check_row(const double *p, size_t row, size_t width, size_t label, size_t prediction,
                             capp_error *err) {
    if (label >= width || prediction >= width)
        return capp_fail(err, CAPP_EINVAL, "row %zu has a label or prediction that is not below %zu", row, width);
    for (size_t k = 0; k < width; k++)
        if (!isfinite(p[k]))
            return capp_fail(err, CAPP_EINVAL,
                             "row %zu has the probability %g for class %zu; give finite probabilities", row, p[k], k);
    return CAPP_OK;
}

capp_status capp_measure_add(capp_measure *m, const double *posterior, size_t n, size_t width, const size_t *labels,
                             const size_t *prediction, capp_error *err) {
    if (!width || width > m->n_classes)
        return capp_fail(err, CAPP_EINVAL, "rows have %zu classes, but the metrics have %zu", width, m->n_classes);
    if (!capp_grow(&m->rows, &m->capacity, m->n + n, sizeof *m->rows)) return capp_fail_memory(err, "the metrics");
    for (size_t i = 0; i < n; i++) {
        capp_status st = check_row(posterior + i * width, i, width, labels[i], prediction ? prediction[i] : 0, err);
        if (st != CAPP_OK) return st;
    }
    for (size_t i = 0; i < n; i++) {
        const double *p = posterior + i * width;
        add_row(m, p, width, labels[i], prediction ? prediction[i] : best_of(p, width));
    }
    return CAPP_OK;
}

void capp_measure_class(const capp_measure *m, size_t class, size_t *labels, size_t *predictions, size_t *both) {
    *labels = *predictions = 0;
    for (size_t k = 0; k < m->n_classes; k++) {
        *labels += m->confusion[class * m->n_classes + k];
        *predictions += m->confusion[k * m->n_classes + class];
    }
    *both = m->confusion[class * m->n_classes + class];
}

size_t capp_measure_confusion(const capp_measure *m, size_t label, size_t prediction) {
    return m->confusion[label * m->n_classes + prediction];
}

static double macro_f1(const capp_measure *m) {
    double sum = 0;
    size_t present = 0;
    for (size_t k = 0; k < m->n_classes; k++) {
        size_t labels, predictions, both;
        capp_measure_class(m, k, &labels, &predictions, &both);
        if (!(labels + predictions)) continue;
        present++;
        sum += 2 * (double)both / (double)(labels + predictions);
    }
    return present ? sum / (double)present : 0;
}

static void set_interval(capp_metrics *x) {
    const double z = 1.959963984540054; /* the normal distribution's 97.5 % */
    double n = (double)x->n, p = x->accuracy, middle = p + z * z / (2 * n);
    double half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    x->accuracy_low = (middle - half) / (1 + z * z / n);
    x->accuracy_high = (middle + half) / (1 + z * z / n);
}

/* A confidence on the border of two bins belongs to the lower one. */
static void set_bins(const capp_measure *m, capp_metrics *x) {
    double right[CAPP_MEASURE_BINS] = {0};
    for (size_t i = 0; i < m->n; i++) {
        double place = ceil(m->rows[i].confidence * CAPP_MEASURE_BINS) - 1;
        size_t bin = place <= 0 ? 0 : place >= CAPP_MEASURE_BINS ? CAPP_MEASURE_BINS - 1 : (size_t)place;
        x->bin_n[bin]++;
        x->bin_confidence[bin] += m->rows[i].confidence;
        right[bin] += m->rows[i].right;
    }
    for (size_t b = 0; b < CAPP_MEASURE_BINS; b++) {
        if (!x->bin_n[b]) continue;
        x->ece += fabs(x->bin_confidence[b] - right[b]) / (double)m->n;
        x->bin_confidence[b] /= (double)x->bin_n[b];
        x->bin_accuracy[b] = right[b] / (double)x->bin_n[b];
    }
}

static int by_confidence(const void *a, const void *b) {
    const certainty *x = a, *y = b;
    return (x->confidence < y->confidence) - (x->confidence > y->confidence);
}

/* wrong[i]: how many of the i + 1 most certain rows are wrong. Rows of equal confidence are decided together: all of
 * them have the number after the last one. NULL if memory is short. */
static size_t *count_wrong(const capp_measure *m) {
    certainty *sorted = capp_new(m->n, sizeof *sorted);
    size_t *wrong = capp_new(m->n, sizeof *wrong), sum = 0;
    if (sorted && wrong) {
        for (size_t i = 0; i < m->n; i++) sorted[i] = m->rows[i];
        qsort(sorted, m->n, sizeof *sorted, by_confidence);
        for (size_t i = 0; i < m->n; i++) wrong[i] = sum += !sorted[i].right;
        for (size_t i = m->n; i-- > 1;)
            if (sorted[i - 1].confidence <= sorted[i].confidence) wrong[i - 1] = wrong[i];
    } else {
        capp_free(wrong);
        wrong = NULL;
    }
    capp_free(sorted);
    return wrong;
}

capp_status capp_measure_get(const capp_measure *m, capp_metrics *x, capp_error *err) {
    *x = (capp_metrics){.n = m->n, .correct = m->correct};
    if (!m->n) return CAPP_OK;
    double n = (double)m->n;
    x->accuracy = (double)m->correct / n;
    x->log_loss = m->loss / n;
    x->brier = m->brier / n;
    x->macro_f1 = macro_f1(m);
    set_interval(x);
    set_bins(m, x);
    size_t *wrong = count_wrong(m);
    if (!wrong) return capp_fail_memory(err, "the metrics");
    for (size_t i = 0; i < CAPP_MEASURE_POINTS; i++) {
        size_t rows = (size_t)ceil(n * (double)(i + 1) / CAPP_MEASURE_POINTS);
        double share = (double)wrong[rows - 1] / (double)rows;
        x->risk[i] = share < 1 ? share : 1;
    }
    capp_free(wrong);
    return CAPP_OK;
}

capp_status capp_measure_coverage(const capp_measure *m, double risk, double *coverage, capp_error *err) {
    *coverage = 0;
    if (!m->n) return CAPP_OK;
    size_t *wrong = count_wrong(m);
    if (!wrong) return capp_fail_memory(err, "the metrics");
    for (size_t i = 0; i < m->n; i++) {

        if ((double)wrong[i] <= risk * (double)(i + 1)) *coverage = (double)(i + 1) / (double)m->n;
    }
    capp_free(wrong);
    return CAPP_OK;
}

/* Twice the smaller tail of the binomial distribution of n halves, at most 1. */
double capp_measure_mcnemar(size_t only_first, size_t only_second) {
    size_t n = only_first + only_second, low = only_first < only_second ? only_first : only_second;
    double term = -(double)n * capp_log(2), sum = 0;
    for (size_t i = 0; i <= low; i++) {
        if (i) term += capp_log((double)(n - i + 1)) - capp_log((double)i);
        sum += capp_exp(term);
    }
    return 2 * sum < 1 ? 2 * sum : 1;
}

void capp_measure_holm(double *p, size_t n) {
    double least = 0;
    for (size_t i = 0; i < n; i++) p[i] = fabs(p[i]);
    /* From the smallest on: each times the number of those that are left. What is done has a minus. */
    for (size_t left = n; left > 0; left--) {
        size_t next = n;
        for (size_t i = 0; i < n; i++)
            if (!signbit(p[i]) && (next == n || p[i] < p[next])) next = i;
        if (next == n) break; /* NaN */
        double corrected = (double)left * p[next];
        least = corrected > least ? corrected : least;
        p[next] = -(least < 1 ? least : 1);
    }
    for (size_t i = 0; i < n; i++) p[i] = fabs(p[i]);
}
