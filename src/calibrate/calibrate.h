/* Calibrations of scores: maps that make probabilities mean what they say. Everything is in double precision. */
#ifndef CAPP_CALIBRATE_CALIBRATE_H
#define CAPP_CALIBRATE_CALIBRATE_H

#include "base/error.h"
#include "base/math.h"
#include "capp_arrays.h"

/* Checks whether there are rows and classes, and whether all scores are finite. */
capp_status capp_calibrate_check(const double *scores, size_t n, size_t n_classes, capp_error *err);

/* Softmax of scale * scores + shift (NULL: none) over the classes of one row. Returns the logarithm of its divisor. */
double capp_calibrate_row(const double *scores, size_t n_classes, double scale, const double *shift, double *posterior);

#endif
