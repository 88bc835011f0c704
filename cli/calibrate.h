/* Fits the calibration of a decider to the rows of its store. */
#ifndef CLI_CALIBRATE_H
#define CLI_CALIBRATE_H

#include "store_labels.h"

/* labels: NULL if neither the method nor --sets needs them. Does nothing if nothing is to be fitted. */
bool calibrate(decider *d, const store_labels *labels, capp_error *err);

/* Whether the decider's calibration needs labels. */
bool calibrate_needs_labels(const decider *d);

#endif
