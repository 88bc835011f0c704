/* Where the command's model is: a path, or a name that a cache or a hub knows. */
#ifndef CLI_MODELS_H
#define CLI_MODELS_H

#include "options.h"

/* Turns -m NAME, and inspect's NAME, into the path of a cached model. With --fetch, a missing model is fetched. */
bool models_locate(options *o, capp_error *err);

#endif
