/* The terminal of a person who presses keys, and colors on a terminal. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "util.h"

/* Whether output to this descriptor may have colors: it is a terminal, and NO_COLOR is not set (no-color.org). */
bool terminal_has_colors(int file);

/* From now on keys arrive without Enter and are not shown. False: standard input is not a terminal. */
bool terminal_begin_keys(void);
void terminal_end_keys(void);

/* The next key, which is one byte; -1 at the end or after a signal. */
int terminal_key(void);

/* Reads a line that is shown while it is typed, without its end. False at the end or after a signal. */
bool terminal_line(buffer *line);

/* Appends text in which control characters, which could move the cursor, are spaces. Line feeds and tabs stay. */
void put_plain(buffer *b, capp_str text);

#endif
