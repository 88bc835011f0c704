/* PEFT's patterns: a number for the modules whose name, or the end of it after a dot, a regular expression matches.
 * They come from outside: their number, their memory and the work of matching them are bounded. */
#ifndef CAPP_MODEL_PATTERN_H
#define CAPP_MODEL_PATTERN_H

#include "base/json.h"

typedef struct capp_patterns capp_patterns;

/* object: {PATTERN: NUMBER, ...}, which must outlive *patterns; NULL or null: none. CAPP_EFORMAT for anything else,
 * CAPP_EUNSUPPORTED for a regular expression that PCRE2 does not take, and for too many or too large ones; the message
 * names the pattern. On success the caller owns *patterns. */
capp_status capp_patterns_open(capp_patterns **patterns, capp_json object, capp_error *err);

/* patterns may be NULL. */
void capp_patterns_free(capp_patterns *patterns);

/* The number of the first pattern that matches, in *value, which is left as it is where none does. module is ASCII.
 * CAPP_EUNSUPPORTED where that takes too long; the message names the pattern. One thread at a time. */
capp_status capp_patterns_find(capp_patterns *patterns, const char *module, double *value, capp_error *err);

#endif
