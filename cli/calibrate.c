#include "calibrate.h"

#include "capp_arrays.h"
#include "position.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The penalty of a fit is one of these: the one with the best log-loss on rows that were not fitted. */
static const double PENALTIES[] = {1e-3, 1e-2, 1e-1, 1};
enum { CHOOSE_ROWS = 2000, FEWEST = 10 };

/* The rows of a fit. */
typedef struct sample {
    size_t n, width;
    double *scores;                    /* [n][width] */
    size_t *labels;                    /* [n]; SIZE_MAX: none */
    size_t *fold;                      /* [n] */
    double (*right)[CALIBRATION_FITS]; /* [n] posterior of the label after each fit; for sets */
    size_t scores_capacity, labels_capacity, fold_capacity, right_capacity;
    decider *decider; /* whose rows are collected */
    const store_labels *given;
} sample;

static void free_sample(sample *s) {
    free(s->scores);
    free(s->labels);
    free(s->fold);
    free(s->right);
    *s = (sample){0};
}

static size_t label_of(const sample *s, const stored_row *stored) {
    return s->given ? store_labels_of(s->given, s->decider, stored) : SIZE_MAX;
}

/* ---- Collecting ------------------------------------------------------------------------------------------------ */

/* Batch calibration takes the mean of what the scores alone say; the other fits are to scores with the prior. */
static void add_scores(sample *s, const decided_row *decided, calibration_method method, size_t label, size_t fold) {
    const double *prior = method == CALIBRATE_BATCH ? NULL : decided->row.example.prior;
    size_t k = s->width;
    grow(&s->scores, &s->scores_capacity, (s->n + 1) * k, sizeof *s->scores);
    grow(&s->labels, &s->labels_capacity, s->n + 1, sizeof *s->labels);
    grow(&s->fold, &s->fold_capacity, s->n + 1, sizeof *s->fold);
    for (size_t i = 0; i < k; i++) s->scores[s->n * k + i] = decided->score[i] + (prior ? log(prior[i]) : 0);
    s->labels[s->n] = label;
    s->fold[s->n++] = fold;
}

static bool add_row(void *user, const stored_row *stored, capp_error *err) {
    sample *s = user;
    decider *d = s->decider;
    calibration *c = &d->calibration;
    decided_row decided;
    if (row_is_bad(&stored->row)) return true;
    size_t label = label_of(s, stored);
    if (calibration_needs_labels(c->method) && label == SIZE_MAX) return true;
    if (!c->width) decider_completions(d, stored, &c->width);
    capp_error why;
    if (decider_skips(d, stored, &why)) return true;
    if (!decider_fit_row(d, stored, CALIBRATION_OFF, &decided, err)) return false;
    s->width = c->width;
    add_scores(s, &decided, c->method, label, calibration_fold(stored->index));
    return true;
}

/* The shifts that one row of the sample gives. */
static void add_shift(void *user, size_t index, const double *shift, size_t width) {
    sample *s = user;
    s->width = width;
    grow(&s->scores, &s->scores_capacity, (s->n + 1) * width, sizeof *s->scores);
    grow(&s->labels, &s->labels_capacity, s->n + 1, sizeof *s->labels);
    grow(&s->fold, &s->fold_capacity, s->n + 1, sizeof *s->fold);
    memcpy(s->scores + s->n * width, shift, width * sizeof *shift);
    s->labels[s->n] = SIZE_MAX;
    s->fold[s->n++] = calibration_fold(index);
}

/* The posteriors of a labeled row's label after each fit. */
static bool add_right(void *user, const stored_row *stored, capp_error *err) {
    sample *s = user;
    decider *d = s->decider;
    if (row_is_bad(&stored->row)) return true;
    size_t label = label_of(s, stored);
    capp_error why;
    if (label == SIZE_MAX || decider_skips(d, stored, &why)) return true;
    grow(&s->right, &s->right_capacity, s->n + 1, sizeof *s->right);
    grow(&s->fold, &s->fold_capacity, s->n + 1, sizeof *s->fold);
    for (size_t f = 0; f < CALIBRATION_FITS; f++) {
        decided_row decided;
        if (!decider_fit_row(d, stored, f, &decided, err)) return false;
        s->right[s->n][f] = decided.posterior[label];
    }
    s->fold[s->n++] = calibration_fold(stored->index);
    return true;
}

static bool collect(sample *s, store_row_fn add, capp_error *err) {
    if (!store_each(s->decider->store, s->decider->facts, add, s, err)) return false;
    return !interrupted() || fail_at(err, 0, "stopped by a signal");
}

/* ---- Fits ------------------------------------------------------------------------------------------------------ */

/* Copies the rows outside of the fold. */
static sample part_of(const sample *s, size_t left_out) {
    sample part = {.width = s->width};
    part.scores = allocate(s->n * s->width, sizeof *part.scores);
    part.labels = allocate(s->n, sizeof *part.labels);
    for (size_t i = 0; i < s->n; i++) {
        if (s->fold[i] == left_out) continue;
        memcpy(part.scores + part.n * s->width, s->scores + i * s->width, s->width * sizeof *part.scores);
        part.labels[part.n++] = s->labels[i];
    }
    return part;
}

static capp_status cross(const sample *s, double penalty, bool shifts, double *posterior, size_t n, capp_error *err) {
    return capp_calibrate_cross(s->scores, s->labels, n, s->width, penalty, shifts, CALIBRATION_FOLDS, posterior, err);
}

/* The penalty whose fits to other folds give the best log-loss. *posterior: what they give, for all rows. */
static capp_status choose_penalty(const sample *s, bool shifts, double *penalty, double *posterior, capp_error *err) {
    double best = INFINITY;
    size_t n = s->n < CHOOSE_ROWS ? s->n : CHOOSE_ROWS;
    for (size_t p = 0; p < sizeof PENALTIES / sizeof *PENALTIES; p++) {
        double loss = 0;
        capp_status st = cross(s, PENALTIES[p], shifts, posterior, n, err);
        if (st != CAPP_OK) return st;
        for (size_t i = 0; i < n; i++) loss -= log(fmax(posterior[i * s->width + s->labels[i]], 1e-300));
        if (loss >= best) continue;
        best = loss;
        *penalty = PENALTIES[p];
    }
    return cross(s, *penalty, shifts, posterior, s->n, err);
}

static capp_status fit_labels(calibration *c, const sample *s, size_t f, capp_error *err) {
    bool shifts = c->method == CALIBRATE_AFFINE;
    double penalty = 1, *posterior = allocate(s->n * s->width, sizeof *posterior);
    capp_status st = choose_penalty(s, shifts, &penalty, posterior, err);
    if (st == CAPP_OK && c->coverage > 0)
        st = capp_calibrate_sets(posterior, s->labels, s->n, s->width, c->coverage, &c->least[f], err);
    free(posterior);
    if (shifts) c->shift[f] = allocate(s->width, sizeof **c->shift);
    if (st == CAPP_OK)
        st = capp_calibrate_fit(s->scores, s->labels, s->n, s->width, penalty, &c->scale[f], c->shift[f], err);
    return st;
}

static capp_status fit_prior(calibration *c, const sample *s, const double *assumed, size_t f, capp_error *err) {
    double *shift = c->shift[f] = allocate(s->width, sizeof *shift);
    capp_status st = capp_calibrate_prior(s->scores, s->n, s->width, assumed, shift, err);
    for (size_t k = 0; k < s->width && st == CAPP_OK; k++)
        shift[k] = log(shift[k] * (assumed ? 1 / assumed[k] : (double)s->width));
    return st;
}

/* The mean of the rows' shifts: that of their log-probabilities, up to a constant for all classes. */
static void fit_position(calibration *c, const sample *s, size_t f) {
    double *shift = c->shift[f] = allocate(s->width, sizeof *shift);
    for (size_t k = 0; k < s->width; k++) {
        shift[k] = 0;
        for (size_t i = 0; i < s->n; i++) shift[k] += s->scores[i * s->width + k] / (double)s->n;
    }
}

static bool fit_part(decider *d, const sample *s, size_t f, capp_error *err) {
    calibration *c = &d->calibration;
    capp_error cause;
    capp_status st = CAPP_OK;
    c->scale[f] = 1;
    if (c->method == CALIBRATE_BATCH) {
        c->shift[f] = allocate(s->width, sizeof **c->shift);
        st = capp_calibrate_shift(s->scores, s->n, s->width, c->shift[f], &cause);
    } else if (c->method == CALIBRATE_POSITION) {
        fit_position(c, s, f);
    } else if (c->method == CALIBRATE_PRIOR) {
        st = fit_prior(c, s, d->rules.n_prior ? d->rules.prior : NULL, f, &cause);
    } else {
        st = fit_labels(c, s, f, &cause);
    }
    if (st != CAPP_OK) return fail_at(err, 0, "--calibrate %s: %s", calibration_name(c->method), cause.message);
    return c->scale[f] > 0 || fail_at(err, 0,
                                      "--calibrate %s: the scores say nothing about the labels (the fitted scale is "
                                      "%.3g); look at the labels, or label more rows",
                                      calibration_name(c->method), c->scale[f]);
}

static bool fit_rows(decider *d, const store_labels *labels, capp_error *err) {
    sample all = {.decider = d, .given = labels};
    calibration *c = &d->calibration;
    bool places = c->method == CALIBRATE_POSITION;
    bool good = places ? position_read(d, add_shift, &all, err) : collect(&all, add_row, err);
    if (places) c->width = d->rules.n_classes;
    if (good && all.n < FEWEST)
        good =
            fail_at(err, 0, "--calibrate %s needs at least %d rows%s, but there are %zu", calibration_name(c->method),
                    FEWEST, calibration_needs_labels(c->method) ? " with a label" : "", all.n);
    for (size_t f = 0; good && f < CALIBRATION_FITS; f++) {
        sample part = part_of(&all, f);
        good = fit_part(d, &part, f, err);
        free_sample(&part);
    }
    c->fitted = good;
    free_sample(&all);
    return good;
}

/* Sets after fits that used no label of the rows: the bound comes from the labeled rows outside of the fold. */
static bool fit_sets(decider *d, const store_labels *labels, capp_error *err) {
    sample all = {.decider = d, .given = labels};
    calibration *c = &d->calibration;
    capp_error cause;
    bool good = collect(&all, add_right, err);
    double *right = allocate(all.n, sizeof *right);
    size_t *zeros = allocate(all.n, sizeof *zeros);
    for (size_t f = 0; good && f < CALIBRATION_FITS; f++) {
        size_t n = 0;
        for (size_t i = 0; i < all.n; i++) {
            if (all.fold[i] == f) continue;
            zeros[n] = 0;
            right[n++] = all.right[i][f];
        }
        good = !capp_calibrate_sets(right, zeros, n, 1, c->coverage, &c->least[f], &cause) ||
               fail_at(err, 0, "--sets: %s", cause.message);
    }
    free(right);
    free(zeros);
    free_sample(&all);
    return good;
}

bool calibrate_needs_labels(const decider *d) {
    return calibration_needs_labels(d->calibration.method) || d->calibration.coverage > 0;
}

bool calibrate(decider *d, const store_labels *labels, capp_error *err) {
    calibration *c = &d->calibration;
    const calibration wanted = {.method = c->method, .coverage = c->coverage};
    calibration_free(c);
    *c = wanted;
    if (calibration_fits_rows(c->method) && !fit_rows(d, labels, err)) return false;
    return !(c->coverage > 0) || calibration_needs_labels(c->method) || fit_sets(d, labels, err);
}
