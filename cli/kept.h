/* Reads the rows that an earlier run wrote, one by one: evaluate --resume reports on them too. */
#ifndef CLI_KEPT_H
#define CLI_KEPT_H

#include "output_file.h"
#include "record.h"

typedef struct kept_rows {
    reader reader;
    bool open;
} kept_rows;

/* Reads the rows of the output from the first one on. Borrows from both parameters until kept_close. */
bool kept_open(kept_rows *k, const output *out, const options *settings, capp_error *err);
void kept_close(kept_rows *k);

/* The next row. Returns false and a message if it is not a row that a run writes, and after a signal. */
bool kept_next(kept_rows *k, record *written, capp_error *err);

#endif
