/* The models that other programs have downloaded to this machine. */
#ifndef CLI_CACHES_H
#define CLI_CACHES_H

#include "names.h"

typedef enum cache_kind { CACHE_HUB, CACHE_LLAMA_CPP, CACHE_OLLAMA, CACHE_LM_STUDIO, N_CACHES } cache_kind;

/* A model in a cache: a GGUF file, the first file of a complete split set, or a folder. Strings are valid during the
 * call. */
typedef struct cached_model {
    cache_kind kind;
    const char *repository; /* "owner/name"; "" if the cache does not tell */
    const char *file;       /* its name in the repository, Ollama's tag, or "" for a folder */
    const char *path;
} cached_model;

/* Returning false ends the walk. */
typedef bool (*cached_model_fn)(void *user, const cached_model *model);

/* "Hugging Face" and so on. */
const char *cache_name(cache_kind kind);

/* Calls fn for each model of a cache, in the order of names. False: fn has ended the walk. */
bool cache_walk(cache_kind kind, cached_model_fn fn, void *user);

/* The path of the model with this name, from the first cache that has it; the caller frees it. NULL: no cache has it.
 * Returns false and a message if the name fits several files of a cache. */
bool cache_find(const model_name *name, char **path, capp_error *err);

/* The same in only one folder. */
bool folder_find(const char *folder, const model_name *name, char **path, capp_error *err);

#endif
