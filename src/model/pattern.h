/* PEFT's patterns. Each has a regular expression and a number, for all modules whose name matches. The expression
 * matches the whole name or the part after a dot. Patterns come from files that we do not trust, so their number, their
 * memory and the work to match them are bounded. */
#ifndef CAPP_MODEL_PATTERN_H
#define CAPP_MODEL_PATTERN_H

#include "base/json.h"

typedef struct capp_patterns capp_patterns;

/* object: {PATTERN: NUMBER, ...}, which must outlive *patterns; NULL or null: no patterns. Fails with CAPP_EFORMAT for
 * any other value. Fails with CAPP_EUNSUPPORTED if PCRE2 rejects a regular expression, or if the patterns are too many
 * or too large; the message names the pattern. On success the caller owns *patterns. */
capp_status capp_patterns_open(capp_patterns **patterns, capp_json object, capp_error *err);

/* patterns may be NULL. */
void capp_patterns_free(capp_patterns *patterns);

/* Sets *value to the number of the first pattern that matches; if no pattern matches, leaves *value unchanged. module
 * is ASCII. Fails with CAPP_EUNSUPPORTED if matching takes too long; the message names the pattern. Only one thread at
 * a time may call this. */
capp_status capp_patterns_find(capp_patterns *patterns, const char *module, double *value, capp_error *err);

#endif
