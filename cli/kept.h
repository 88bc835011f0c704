/* Rows that an earlier run has written, read back one by one: a run that goes on with that one reports on them too. */
#ifndef CLI_KEPT_H
#define CLI_KEPT_H

#include "reader.h"
#include "table.h"

typedef struct kept_rows {
    reader reader;
    bool open;
} kept_rows;

/* Reads the rows of the output from the first one on. Borrows from both until kept_close. */
bool kept_open(kept_rows *k, const output *out, const options *o, capp_error *err);
void kept_close(kept_rows *k);

/* The next row. False and a message where it is not there as the earlier run has written it, and after a signal. */
bool kept_next(kept_rows *k, record *written, capp_error *err);

#endif
