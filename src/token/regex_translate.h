/* Patterns written for Oniguruma, as PCRE2 must be given them (with PCRE2_UTF, PCRE2_UCP and PCRE2_MULTILINE). */
#ifndef CAPP_TOKEN_REGEX_TRANSLATE_H
#define CAPP_TOKEN_REGEX_TRANSLATE_H

#include "token/unicode.h"

/* Appends the pattern, rewritten, to *out. CAPP_EUNSUPPORTED, with the construct, for what the two read differently and
 * is not rewritten. */
capp_status capp_regex_translate(capp_text *out, capp_str pattern, capp_error *err);

/* buffer = `WHAT "TEXT" REST`, cut where it is too long. */
void capp_regex_quote(char *buffer, size_t size, const char *what, capp_str text, const char *rest);

#endif
