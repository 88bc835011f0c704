/* The parts of a precision. */
#ifndef CAPP_ENGINE_PRECISION_H
#define CAPP_ENGINE_PRECISION_H

#include "model/model.h"

/* The lanes of a model. exact.floats NULL: there is one lane. */
typedef struct capp_lanes {
    capp_arithmetic fast, exact;
} capp_lanes;

/* whole: all matrices of the model are stored as integers. */
capp_lanes capp_lanes_choose(capp_precision precision, const capp_kernels *kernels, bool whole);

/* Whether the instruction set has the precision. */
capp_status capp_precision_check(capp_precision precision, const capp_kernels *kernels, capp_error *err);

/* Whether the weights allow it. */
capp_status capp_precision_check_weights(capp_precision precision, const capp_weights *weights, capp_error *err);

#endif
