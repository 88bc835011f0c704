/* Regular expressions of tokenizers: written for Oniguruma, run by PCRE2. Most patterns mean the same in both. Where
 * they differ, or where PCRE2's Unicode is older, the pattern is translated; where that is impossible, it is an error.
 */
#ifndef CAPP_TOKEN_REGEX_H
#define CAPP_TOKEN_REGEX_H

#include "base/error.h"

/* Immutable once open: any number of threads may use one. */
typedef struct capp_regex capp_regex;

/* literal: the pattern is a text, not an expression. CAPP_EUNSUPPORTED, with the pattern: it cannot be translated, or
 * PCRE2 rejects it. The caller owns *out; NULL on failure. */
capp_status capp_regex_open(capp_regex **out, capp_str pattern, bool literal, capp_error *err);

/* regex may be NULL. */
void capp_regex_free(capp_regex *regex);

/* Scratch memory of matching, for one thread. */
typedef struct capp_matcher capp_matcher;

/* NULL: out of memory. */
capp_matcher *capp_matcher_new(void);
void capp_matcher_free(capp_matcher *matcher);

/* Finds the first match in text (valid UTF-8) at or after *at, and sets *at and *end. Without a match *found is false
 * and *at == *end == text.size. CAPP_EINVAL: the pattern needs too many steps for this text. */
capp_status capp_regex_find(const capp_regex *regex, capp_matcher *matcher, capp_str text, size_t *at, size_t *end,
                            bool *found, capp_error *err);

/* Walks the matches of a text. Initially {0}. An empty match directly after another one does not count. */
typedef struct capp_regex_walk {
    size_t from; /* where to look */
    size_t last; /* where the last match ended, plus 1; 0: there was none */
} capp_regex_walk;

capp_status capp_regex_next(const capp_regex *regex, capp_matcher *matcher, capp_str text, capp_regex_walk *walk,
                            size_t *at, size_t *end, bool *found, capp_error *err);

#endif
