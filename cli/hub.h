/* Fetches models from Hugging Face's hub, or another server with its interface, into Hugging Face's cache, in the
 * layout that huggingface_hub uses too. The environment: HF_ENDPOINT, HF_TOKEN (or the file that HF_TOKEN_PATH names),
 * HF_HUB_OFFLINE, HF_HOME, HF_HUB_CACHE, and libcurl's variables for proxies. */
#ifndef CLI_HUB_H
#define CLI_HUB_H

#include "names.h"

/* How far a fetch is: a bar on a terminal, else a line each so many seconds, or nothing where 0. */
typedef struct hub_progress {
    bool quiet, bar;
    double seconds;
} hub_progress;

/* Fetches what the name wants and the cache lacks, compares it with the hashes that the server tells, and gives the
 * path of the model; the caller frees it. */
bool hub_fetch(const model_name *name, hub_progress how, char **path, capp_error *err);

#endif
