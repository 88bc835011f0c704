/* What --calibrate and --sets do to the scores of a row. calibrate.h fits it. */
#ifndef CLI_CALIBRATION_H
#define CLI_CALIBRATION_H

#include "util.h"

/* X(NAME, name, labels, rows): whether the fit needs labels, and whether it is a fit to rows of the store. */
#define CALIBRATION_MAP(X)                                                                                             \
    X(NONE, none, false, false)                                                                                        \
    X(BATCH, batch, false, true)                                                                                       \
    X(CONTEXTUAL, contextual, false, false)                                                                            \
    X(PMI, pmi, false, false)                                                                                          \
    X(PRIOR, prior, false, true)                                                                                       \
    X(POSITION, position, false, true)                                                                                 \
    X(TEMPERATURE, temperature, true, true)                                                                            \
    X(AFFINE, affine, true, true)

typedef enum calibration_method {
#define X(NAME, name, labels, rows) CALIBRATE_##NAME,
    CALIBRATION_MAP(X)
#undef X
} calibration_method;

/* Fit f < CALIBRATION_FOLDS is to the rows outside of fold f. CALIBRATION_ALL is to all rows. */
enum {
    CALIBRATION_FOLDS = 5,
    CALIBRATION_ALL = CALIBRATION_FOLDS,
    CALIBRATION_FITS,
    CALIBRATION_OFF = CALIBRATION_FITS
};

/* The logarithm of a posterior is scale * (score + log prior) + shift of the class, up to a constant. */
typedef struct calibration {
    calibration_method method;
    bool fitted; /* the arrays below hold fits to rows */
    size_t width;
    double scale[CALIBRATION_FITS];
    double *shift[CALIBRATION_FITS]; /* [width]; NULL: none */
    double coverage;                 /* of the sets of classes; 0: no sets */
    double least[CALIBRATION_FITS];  /* the least posterior of a class in a set */
} calibration;

bool calibration_method_of(const char *name, calibration_method *method);
const char *calibration_name(calibration_method method);
bool calibration_needs_labels(calibration_method method);
bool calibration_fits_rows(calibration_method method);

/* The fold of a row of the store: the same for one index. */
size_t calibration_fold(size_t index);

void calibration_free(calibration *c);

#endif
