/* Looks at the columns of an input: which one is probably the text, which one the class. */
#ifndef CLI_LOOK_H
#define CLI_LOOK_H

#include "options.h"

enum { LOOK_VALUES = 200 }; /* a column with more different values has no classes */

typedef struct looked_column {
    capp_str name;
    size_t rows, bytes; /* rows that have it; the sum of its sizes */
    capp_str values[LOOK_VALUES + 1];
    size_t n_values; /* different values, in their order; at most LOOK_VALUES + 1 */
} looked_column;

typedef struct look {
    looked_column *columns; /* [n] */
    size_t n, rows;
    const looked_column *text, *label; /* NULL: there is none */
    arena memory;
} look;

/* Reads the first thousands of rows. label: name of the column with the class if it is known, otherwise NULL. */
bool look_at(look *l, const options *settings, const char *label, capp_error *err);
void look_free(look *l);

#endif
