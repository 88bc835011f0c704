/* Complete rows of an output file: gzip members and zstd frames, one for each flush; and where the last complete row
 * ends in a file that a stopped run left. */
#ifndef CLI_MEMBERS_H
#define CLI_MEMBERS_H

#include "unpack.h"

/* Appends data to packed as a separate member or frame with a checksum; unchanged for PACKING_NONE. */
void pack(packing how, capp_str data, buffer *packed);

/* Counts the rows that end in the data, which may arrive in parts. Initially all zero. quotes: a line feed between two
 * quotes does not end a row, as in CSV. */
typedef struct row_counter {
    bool quotes, quoted;
    size_t rows;
    uint64_t seen, whole; /* bytes so far; bytes up to the end of the last complete row */
} row_counter;

void count_rows(row_counter *c, capp_str data);

/* Finds the complete rows of a file, and their size in bytes: up to the last complete row or, if the file is
 * compressed, the last complete member that ends with a row. False and a message if the file cannot be read. */
bool whole_rows(const char *path, packing how, bool quotes, size_t *rows, uint64_t *bytes, capp_error *err);

#endif
