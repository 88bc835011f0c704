/* Translates patterns from Oniguruma to PCRE2 (with PCRE2_UTF, PCRE2_UCP and PCRE2_MULTILINE). */
#ifndef CAPP_TOKEN_REGEX_TRANSLATE_H
#define CAPP_TOKEN_REGEX_TRANSLATE_H

#include "token/unicode.h"

/* Appends the translated pattern to *out. CAPP_EUNSUPPORTED, with the construct: the two engines read it differently,
 * and it cannot be translated. */
capp_status capp_regex_translate(capp_text *out, capp_str pattern, capp_error *err);

/* Writes `WHAT "TEXT" REST` to buffer; cuts it if it is too long. */
void capp_regex_quote(char *buffer, size_t size, const char *what, capp_str text, const char *rest);

#endif
