/* Functions on arrays, which need no model: decisions from stored log-probabilities, calibration, metrics. The
 * conventions are those of capp.h.
 */
#ifndef CAPP_ARRAYS_H
#define CAPP_ARRAYS_H

#include "capp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Decisions from stored log-probabilities ------------------------------------------------------------------ */

/* The log-probabilities of one list of completions after n prompts, as capp_score delivered them and the caller kept
 * them. All pointers are borrowed for the call. A row is one prompt; its log-probabilities follow those of the row
 * before it. */
typedef struct capp_logprobs {
    size_t n;              /* rows */
    const size_t *offset;  /* [n_completions + 1] completion i has tokens offset[i] .. offset[i + 1] - 1; offset[0] = 0,
                              and each completion has at least one token */
    const float *logprobs; /* [n][offset[n_completions]] first_logprobs of capp_result, or logprobs if it is NULL */
    /* For rows of a model whose margin is above 0; otherwise NULL and 0. */
    const float *exact;   /* [n][offset[n_completions]] logprobs of capp_result; used only where `rescored` is true */
    const bool *rescored; /* [n][n_completions] rescored of capp_result; false if it is NULL */
    const int32_t *ids;   /* [offset[n_completions]] token ids, to recognize completions with equal tokens; NULL: all
                             differ */
    double margin;        /* of capp_model_info */
} capp_logprobs;

/* What capp_decide writes. The caller owns the arrays. Each may be NULL. n_classes is that of capp_result. */
typedef struct capp_decided {
    double *score;      /* [n][n_classes] logarithm of the likelihood */
    double *posterior;  /* [n][n_classes] */
    size_t *prediction; /* [n] */
    bool *undecided;    /* [n] whether scores within the margin depend on completions that were not rescored. The other
                           results of such a row are those of the log-probabilities that there are. */
} capp_decided;

/* Decides rows without a model: the results are those of capp_score with the same log-probabilities, bit for bit.
 * example has the completions, the prior and normalize for all rows; its prompt is not used. options may be NULL; its
 * aggregate and scoring are used. A discount needs marginals: CAPP_EINVAL if scoring has none. */
CAPP_API capp_status capp_decide(const capp_logprobs *logprobs, const capp_example *example,
                                 const capp_run_options *options, const capp_decided *decided, capp_error *err);

/* ---- Calibration ----------------------------------------------------------------------------------------------- */

/* A calibration maps the log-likelihoods of a row's classes (score of capp_decided) to others: scale * score + shift of
 * the class. scores: [n][n_classes], finite. */

/* shift[k] = -log of the mean probability of class k over n rows. With rows whose texts say nothing ("N/A"), this is
 * contextual calibration (Zhao et al., arXiv 2102.09690). With the rows that are to be decided, it is batch calibration
 * (Zhou et al., arXiv 2309.17249). Both use scale 1. shift: [n_classes]. */
CAPP_API capp_status capp_calibrate_shift(const double *scores, size_t n, size_t n_classes, double *shift,
                                          capp_error *err);

/* For prompts that list the classes: how much the model favors each place of the list (PriDe: Zheng et al., arXiv
 * 2309.03882). scores: [n][n_classes][n_classes] of n rows, each with every rotation of the list; in rotation r class k
 * stands at place (k - r) mod n_classes. Each class stands at each place once, so the mean over the rotations has
 * nothing of the classes. shift[i] = -log of the softmax of the mean log-probability at place i: add it, with scale 1,
 * to the score of the class that stands there. shift: [n_classes]. */
CAPP_API capp_status capp_calibrate_position(const double *scores, size_t n, size_t n_classes, double *shift,
                                             capp_error *err);

/* Estimates by expectation maximization (Saerens et al. 2002) how frequent each class is among the n rows, without
 * labels. assumed: [n_classes] the prior of the scores; NULL: uniform. prior: [n_classes]. Ends when no probability
 * changes by more than 1e-12, at the latest after 10,000 steps. */
CAPP_API capp_status capp_calibrate_prior(const double *scores, size_t n, size_t n_classes, const double *assumed,
                                          double *prior, capp_error *err);

/* Fits the scale, and the shifts unless shift is NULL (then the scale alone: an inverse temperature), to the labels of
 * n rows: minimizes the mean of -log probability of the label, plus penalty / 2 times (scale - 1)^2 plus the squares of
 * the shifts. penalty > 0. labels: [n]. */
CAPP_API capp_status capp_calibrate_fit(const double *scores, const size_t *labels, size_t n, size_t n_classes,
                                        double penalty, double *scale, double *shift, capp_error *err);

/* posterior[i][k] = the probability of class k in row i after the calibration. shift: NULL for none. */
CAPP_API capp_status capp_calibrate_apply(const double *scores, size_t n, size_t n_classes, double scale,
                                          const double *shift, double *posterior, capp_error *err);

/* The same for each row by a fit to the rows of the other folds: row i is in fold i % folds. So posterior
 * [n][n_classes] shows what the calibration does to rows that it was not fitted to. shifts: as in capp_calibrate_fit.
 */
CAPP_API capp_status capp_calibrate_cross(const double *scores, const size_t *labels, size_t n, size_t n_classes,
                                          double penalty, bool shifts, size_t folds, double *posterior,
                                          capp_error *err);

/* Split conformal prediction: the set of classes whose posterior is at least *least contains the correct class of a new
 * row with a probability of at least `coverage`, if new rows are like these n labeled ones. posterior: [n][n_classes].
 * *least is 0, the set of all classes, if there are too few rows for the coverage. */
CAPP_API capp_status capp_calibrate_sets(const double *posterior, const size_t *labels, size_t n, size_t n_classes,
                                         double coverage, double *least, capp_error *err);

/* ---- Metrics --------------------------------------------------------------------------------------------------- */

/* Sizes of the arrays of capp_metrics. */
typedef enum capp_measure_size {
    CAPP_MEASURE_BINS = 15,  /* bins of the prediction's probability */
    CAPP_MEASURE_POINTS = 20 /* points of risk by coverage */
} capp_measure_size;

/* Sums over labeled rows, for metrics. */
typedef struct capp_measure capp_measure;

/* On success the caller owns *measure and frees it with capp_measure_free. On failure *measure is NULL. */
CAPP_API capp_status capp_measure_open(capp_measure **measure, size_t n_classes, capp_error *err);
CAPP_API void capp_measure_free(capp_measure *measure);

/* Adds n rows. posterior: [n][width], width <= n_classes, probabilities that sum to 1. labels, prediction: [n] indices
 * below width. prediction may be NULL: the most probable class, of equals the first. */
CAPP_API capp_status capp_measure_add(capp_measure *measure, const double *posterior, size_t n, size_t width,
                                      const size_t *labels, const size_t *prediction, capp_error *err);

typedef struct capp_metrics {
    size_t n, correct;
    double accuracy, accuracy_low, accuracy_high; /* with Wilson's interval for 95 % */
    double macro_f1;                              /* mean of F1 over the classes that are a label or a prediction */
    double log_loss; /* mean of -log of the label's probability, which counts as at least 2.2e-308 */
    double brier;    /* mean of the sum over classes of (probability - 1 for the label, 0 otherwise)^2 */
    double ece;      /* expected calibration error: over equal bins of the prediction's probability, the mean
                        difference between this probability and the share of correct rows, weighted by rows */
    size_t bin_n[CAPP_MEASURE_BINS];
    double bin_confidence[CAPP_MEASURE_BINS], bin_accuracy[CAPP_MEASURE_BINS]; /* means; 0 in an empty bin */
    /* Deciding only the most certain rows: point i is the error rate among the (i + 1) / CAPP_MEASURE_POINTS of all
     * rows whose predictions are most probable. */
    double risk[CAPP_MEASURE_POINTS];
} capp_metrics;

/* All numbers are 0 without rows. */
CAPP_API capp_status capp_measure_get(const capp_measure *measure, capp_metrics *metrics, capp_error *err);

/* Of the class: rows with this label, rows with this prediction, and rows with both. */
CAPP_API void capp_measure_class(const capp_measure *measure, size_t class_index, size_t *labels, size_t *predictions,
                                 size_t *both);

/* Number of rows with this label and this prediction. */
CAPP_API size_t capp_measure_confusion(const capp_measure *measure, size_t label, size_t prediction);

/* The largest share of rows that can be decided with an error rate of at most `risk` among them, most certain rows
 * first. CAPP_ENOMEM if memory is short. */
CAPP_API capp_status capp_measure_coverage(const capp_measure *measure, double risk, double *coverage, capp_error *err);

/* McNemar's exact test for two classifiers of the same rows: how probable it is that the numbers of rows that only one
 * of them has right differ at least this much, if both are equally good. */
CAPP_API double capp_measure_mcnemar(size_t only_first, size_t only_second);

/* Corrects n p-values for their number (Holm 1979): the probability that one of the tests that find nothing seems to
 * find something stays below the level. Replaces each by the smallest level at which its test still counts. */
CAPP_API void capp_measure_holm(double *p, size_t n);

#ifdef __cplusplus
}
#endif
#endif
