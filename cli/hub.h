/* Fetches models from Hugging Face's hub, or from another server with the same interface, into Hugging Face's cache, in
 * the layout that huggingface_hub uses too. Environment variables: HF_ENDPOINT, HF_TOKEN (or the file that
 * HF_TOKEN_PATH names), HF_HUB_OFFLINE, HF_HOME, HF_HUB_CACHE, and libcurl's variables for proxies. */
#ifndef CLI_HUB_H
#define CLI_HUB_H

#include "names.h"

/* How the progress of a fetch is shown: a bar on a terminal, otherwise a line every so many seconds, or nothing if 0.
 */
typedef struct hub_progress {
    bool quiet, bar;
    double seconds;
} hub_progress;

/* Fetches the files that the name requires and the cache does not have, and checks them against the hashes from the
 * server. Gives the path of the model; the caller frees it. */
bool hub_fetch(const model_name *name, hub_progress how, char **path, capp_error *err);

#endif
