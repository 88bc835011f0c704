/* Settings for all runs on this machine: variables CAPP_MODEL, CAPP_THREADS and so on, then a file of lines
 * "name = value". An option on the command line counts more. */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "util.h"

typedef struct config_entry {
    const char *name, *value; /* of the long option */
    const char *where;        /* "CAPP_THREADS" or "FILE:3", for messages */
} config_entry;

typedef struct config {
    config_entry *entries; /* [n] at most one for each name */
    size_t n, capacity;
    arena memory;
} config;

/* Reads both. The file is that of CAPP_CONFIG (empty: none), otherwise capp/config in XDG_CONFIG_HOME or ~/.config,
 * which may be missing. */
bool config_open(config *c, capp_error *err);
void config_close(config *c);

#endif
