/* The files of a repository on a hub. */
#ifndef CLI_HUB_LIST_H
#define CLI_HUB_LIST_H

#include "names.h"

typedef struct hub_file {
    const char *name; /* relative, such as "model.gguf" */
    const char *hash; /* SHA-256 for a large file, otherwise SHA-1 as git computes it, in hexadecimal digits */
    uint64_t size;
    bool large;
} hub_file;

typedef struct hub_list {
    arena memory;
    const char *commit; /* 40 hexadecimal digits */
    hub_file *files;    /* [n] */
    size_t n, capacity;
} hub_list;

/* Reads the server's answer to api/models/OWNER/NAME/revision/main?blobs=true. Unsafe file names
 * and malformed hashes are errors. */
bool hub_list_read(hub_list *list, capp_str answer, const char *about, capp_error *err);

/* Keeps the files that the name requires: one GGUF file with its parts, or a folder of transformers. */
bool hub_list_choose(hub_list *list, const model_name *name, capp_error *err);

void hub_list_free(hub_list *list);

#endif
