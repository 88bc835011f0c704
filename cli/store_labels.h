/* The labels of a store's rows: a column of the input (--label), or those that capp label put into the store. */
#ifndef CLI_STORE_LABELS_H
#define CLI_STORE_LABELS_H

#include "decider.h"

typedef struct store_labels {
    const char *column; /* NULL: the table of labels */
    label_reading way;
    size_t n, n_bad; /* rows with a label: of a class; of none, which are left out as --on-error allows */
} store_labels;

/* Reads all labels once. Fails if there are none, if they do not name classes in one way, or if one names none and
 * --on-error does not leave such rows out. */
bool store_labels_open(store_labels *l, store *s, const decider *d, const options *settings, capp_error *err);

/* The class of the row's label; SIZE_MAX if it has none. The row is not bad. */
size_t store_labels_of(const store_labels *l, const decider *d, const stored_row *stored);

#endif
