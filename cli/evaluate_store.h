/* capp evaluate on a store: no model runs. */
#ifndef CLI_EVALUATE_STORE_H
#define CLI_EVALUATE_STORE_H

#include "options.h"

/* Returns the exit status. */
int evaluate_store(const options *settings);

#endif
