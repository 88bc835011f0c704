/* Decides the rows of a store under options that may differ from those of the run. */
#ifndef CLI_DECIDER_H
#define CLI_DECIDER_H

#include "calibration.h"
#include "store_read.h"

/* A decided row. Valid until the next one. */
typedef struct decided_row {
    row row; /* as the output shows it: with the chosen classes and the prior of the options */
    size_t prediction;
    const double *posterior; /* [row.example.n_completions] */
    const double *score;     /* the same, of log-likelihoods; without calibration */
    const double *prior;     /* the row's, with the effect of a calibration's shifts; NULL: uniform */
    double least;            /* posterior of the classes in the set of the row; 0: no sets */
    bool undecided;          /* scores within the margin of the model depend on classes that were not rescored */
} decided_row;

typedef struct decider {
    store *store;
    const char *path; /* of the store */
    const store_facts *facts;
    row_rules rules;  /* classes and prior of the options, where they are given; otherwise those of the run */
    size_t *chosen;   /* [n_chosen] the completions of the run that count; NULL: all */
    size_t *class_of; /* [n_chosen] the class of each */
    size_t n_chosen, chosen_capacity, class_of_capacity;
    bool multi_label; /* the options say so */
    capp_run_options how;
    capp_scoring scoring;
    capp_str domain; /* "": none */
    calibration calibration;
    bool cross;       /* each row gets the fit to the other folds */
    capp_str *blanks; /* [n_blanks] prompts that say nothing, for contextual calibration */
    size_t n_blanks;
    arena memory;
    /* of the list of completions of the last row */
    const stored_completions *of; /* NULL: none */
    size_t list;
    double *marginals; /* [offset[n]], or NULL */
    double *shift;     /* [n] of contextual calibration, or NULL */
    size_t *offset;    /* [n + 1] of the chosen completions */
    int32_t *ids;
    capp_str *texts; /* [n] */
    size_t n, width; /* completions; classes */
    arena list_memory;
    /* of the last row */
    float *first, *exact;
    bool *rescored;
    double *posterior, *score, *prior, *logs;
    size_t tokens_capacity, exact_capacity, rescored_capacity, posterior_capacity, score_capacity, prior_capacity,
        logs_capacity;
} decider;

/* Takes aggregate, prior, discount, classes and --multi-label from the options where they are given, otherwise from the
 * run. If the options choose among the classes, the prior of the run is divided by its sum over these. */
bool decider_open(decider *d, store *s, const char *path, const store_facts *facts, const options *settings,
                  capp_error *err);
void decider_close(decider *d);

/* The class of the run from which all completions of a class come; SIZE_MAX: several. */
size_t decider_run_class(const decider *d, size_t class);

/* The completions of a row that is not bad, as the output shows them. */
const capp_str *decider_completions(const decider *d, const stored_row *stored, size_t *n);

/* Whether the options do not fit the row, which is not bad, and --on-error of the run lets such a row be bad. *why has
 * the reason. */
bool decider_skips(const decider *d, const stored_row *stored, capp_error *why);

/* Decides a row that is not bad, after the fit to all rows or, if `cross`, to the other folds. Fails if the options do
 * not fit it. */
bool decider_row(decider *d, const stored_row *stored, decided_row *decided, capp_error *err);

/* The same after this fit; CALIBRATION_OFF: without the calibration of the options. */
bool decider_fit_row(decider *d, const stored_row *stored, size_t fit, decided_row *decided, capp_error *err);

#endif
