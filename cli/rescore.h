/* Computes what a store lacks for a decision: capp decide --rescore. */
#ifndef CLI_RESCORE_H
#define CLI_RESCORE_H

#include "calibrate.h"

/* Opens the model that the options name, which must be that of the store, and adds to the store the marginals that the
 * decider's discount or contextual calibration needs, the rotations of position debiasing, and the scores in the exact
 * precision of rows that it leaves undecided. labels: NULL if the calibration needs none. */
bool rescore(store *s, decider *d, const store_labels *labels, const options *settings, capp_error *err);

#endif
