/* Computes what a store lacks for a decision: capp decide --rescore. */
#ifndef CLI_RESCORE_H
#define CLI_RESCORE_H

#include "decider.h"

/* Opens the model that the options name, which must be that of the store, and adds to the store the marginals that the
 * decider's discount needs, and the float32 scores of rows that it leaves undecided. */
bool rescore(store *s, decider *d, const options *settings, capp_error *err);

#endif
