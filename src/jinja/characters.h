/* Names and characters, as the parser and the interpreter both need them. */
#ifndef CAPP_JINJA_CHARACTERS_H
#define CAPP_JINJA_CHARACTERS_H

#include "capp.h"

/* Python's str.isspace of one character. */
bool capp_jinja_is_space(int32_t character);

bool capp_jinja_same_name(capp_str a, capp_str b);
bool capp_jinja_name_is(capp_str name, const char *text);

/* How many bytes of a text an error message shows: at most limit, and only whole characters. */
int capp_jinja_shown_bytes(capp_str text, size_t limit);

#endif
