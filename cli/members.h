/* Whole rows of an output file: gzip members and zstd frames, one a flush, and where the last whole row of a file ends
 * that a stopped run left behind. */
#ifndef CLI_MEMBERS_H
#define CLI_MEMBERS_H

#include "unpack.h"

/* Appends data to packed as a member or frame of its own, with a checksum; as it is for PACKING_NONE. */
void pack(packing how, capp_str data, buffer *packed);

/* Counts rows that end in what it is shown, part by part. All zero begins; quotes: a line feed between two quotes does
 * not end a row, as in CSV. */
typedef struct row_counter {
    bool quotes, quoted;
    size_t rows;
    uint64_t seen, whole; /* bytes shown; up to the end of the last whole row */
} row_counter;

void count_rows(row_counter *c, capp_str data);

/* Whole rows of a file, and the bytes that they take: up to the last whole row, or where the file is packed, the last
 * whole member that ends with a row. False and a message where the file cannot be read. */
bool whole_rows(const char *path, packing how, bool quotes, size_t *rows, uint64_t *bytes, capp_error *err);

#endif
