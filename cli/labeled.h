/* The decided rows of a store that have a label. */
#ifndef CLI_LABELED_H
#define CLI_LABELED_H

#include "calibrate.h"

typedef struct labeled {
    store *store;
    store_facts facts;
    decider decider;
    store_rows *rows;
    const options *settings;
    const char *path;
    store_labels labels;
    stored_row stored;  /* the last row */
    size_t n_without;   /* rows without a label, or that could not be scored */
    size_t n_undecided; /* of the rows with a label */
} labeled;

/* Opens the store at path. The options may change its decisions, and name the column of the label. A calibration is
 * fitted for each row to the rows of the other folds. other: a store whose labels count if this one has none, or NULL.
 */
bool labeled_open(labeled *l, const char *path, const char *other, const options *settings, capp_error *err);
void labeled_close(labeled *l);

/* The next row with a label: decided->row.label is its class. index: the row in the input. READ_END after a signal,
 * too. */
read_status labeled_next(labeled *l, decided_row *decided, size_t *index, capp_error *err);

/* Warns of undecided rows among the n rows with a label. */
void labeled_tell(const labeled *l, size_t n);

#endif
