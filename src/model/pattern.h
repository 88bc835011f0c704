/* PEFT's patterns: a number for the modules whose name, or the end of it after a dot, a regular expression matches. */
#ifndef CAPP_MODEL_PATTERN_H
#define CAPP_MODEL_PATTERN_H

#include "file/json.h"

typedef struct capp_patterns capp_patterns;

/* object: {PATTERN: NUMBER, ...}; NULL or null: none. CAPP_EFORMAT for anything else, CAPP_EUNSUPPORTED for a regular
 * expression that PCRE2 does not take; the message names the pattern. On success the caller owns *patterns. */
capp_status capp_patterns_open(capp_patterns **patterns, capp_json object, capp_error *err);

/* patterns may be NULL. */
void capp_patterns_free(capp_patterns *patterns);

/* The number of the first pattern that matches, in *value, which is left as it is where none does. */
capp_status capp_patterns_find(const capp_patterns *patterns, const char *module, double *value, capp_error *err);

#endif
