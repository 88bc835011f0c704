/* The parts of a precision. */
#ifndef CAPP_ENGINE_PRECISION_H
#define CAPP_ENGINE_PRECISION_H

#include "model/model.h"

/* The lanes of a model. exact.floats NULL: there is one lane. */
typedef struct capp_lanes {
    capp_arithmetic fast, exact;
} capp_lanes;

/* features: those of the processor. whole: all matrices of the model are stored as integers. Under auto the exact lane
 * depends on `whole` alone, so that close rows are decided alike on every machine. */
capp_lanes capp_lanes_choose(capp_precision precision, const capp_kernels *kernels, unsigned features, bool whole);

/* Whether the lanes of precision auto pay for these weights, whose arithmetic is that of the fast one. If not, the
 * exact one scores all rows. */
bool capp_lanes_pay(const capp_weights *weights);

/* How far apart the two highest scores of a row must be for the fast lane to decide, if its completions have one token
 * (see capp_decide_margin). */
double capp_lanes_margin(const capp_weights *fast, const capp_weights *exact);

/* The precision that decides close rows: that of the exact lane if there is one, otherwise that of the model. */
capp_precision capp_lanes_deciding(capp_precision precision, const capp_weights *exact);

/* The precision that scores all rows: that of the fast lane. fast: NULL if only the vocabulary is open. */
capp_precision capp_lanes_scoring(capp_precision precision, const capp_weights *fast);

/* Whether the instruction set has the precision. */
capp_status capp_precision_check(capp_precision precision, const capp_kernels *kernels, capp_error *err);

/* Whether the weights allow it. */
capp_status capp_precision_check_weights(capp_precision precision, const capp_weights *weights, capp_error *err);

#endif
