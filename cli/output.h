/* Rows out: JSON lines or CSV, whole rows only, errors of the system kept for the caller. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "util.h"

#include <stdio.h>

typedef struct output {
    const char *path; /* NULL: standard output */
    const char *name; /* for messages */
    int file;
    bool csv;       /* by the name */
    bool begun;     /* what the file held before is gone */
    buffer row;     /* under construction */
    buffer rows;    /* complete, not yet written */
    double flushed; /* seconds_now */
    int error;      /* errno of the first write that failed, or 0 */
} output;

/* path NULL or "-": standard output. Files named in inputs (NULLs allowed, "@FILE" too) are not written over. The
 * file keeps what it holds until the first write. */
bool output_open(output *out, const char *path, const char *const *inputs, size_t n_inputs, capp_error *err);

/* The row is complete. Written when there is much, or a second has gone by. False after an error. */
bool output_end_row(output *out);

/* Writes all complete rows. */
bool output_flush(output *out);

/* Flushes and closes; false after any error. A file that was never written to becomes empty where truncate. */
bool output_close(output *out, bool truncate);

/* EXIT_DONE for a reader that has gone (EPIPE), else EXIT_FAILED and a message; out->error must not be 0. */
int output_failed(const output *out);

/* Text to standard output; the exit status. */
int output_print(capp_str text);

/* ---- Values. Numbers read back as the same bits. ----------------------------------------------------------------- */

void put_string(buffer *b, capp_str text); /* JSON; bytes that are not UTF-8 become U+FFFD */
void put_double(buffer *b, double value);  /* the fewest digits that read back; null where not finite */
void put_float(buffer *b, float value);    /* %.9g; null where not finite */
void put_doubles(buffer *b, const double *values, size_t n); /* JSON array */
void put_floats(buffer *b, const float *values, size_t n);
void put_ids(buffer *b, const int32_t *ids, size_t n);
void put_cell(buffer *b, capp_str text); /* CSV, in quotes where it needs them */

#endif
