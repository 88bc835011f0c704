/* The output file: JSON lines, CSV or TSV, compressed or not, or a store; always complete rows. Errors of the system
 * are kept for the caller. */
#ifndef CLI_OUTPUT_FILE_H
#define CLI_OUTPUT_FILE_H

#include "members.h"
#include "options.h"
#include "values.h"

#include <stdio.h>

struct store;

typedef enum output_form { OUTPUT_JSONL, OUTPUT_CSV, OUTPUT_TSV } output_form;

typedef struct output {
    const char *path; /* NULL: standard output */
    const char *name; /* for messages */
    int file;
    output_form form; /* from the ending of the name; also packing */
    packing packing;
    bool stored;           /* rows go to a store, not to `rows` */
    struct store *store;   /* NULL before the first row, unless `resumed` */
    bool regular;          /* a file that a later run can continue: it has a manifest */
    bool fsync;            /* each flush waits for the disk */
    bool created;          /* the file is new: it is removed if nothing is written to it */
    bool resumed;          /* the file has contents of an earlier run, which are kept */
    bool begun;            /* the old contents of the file are removed, except what is kept */
    uint64_t size;         /* bytes of complete rows in a regular file: kept ones, then also written ones */
    size_t lines;          /* complete rows in it, including the header of CSV and TSV */
    size_t pending;        /* number of rows in `rows`, or in the open transaction of the store */
    buffer manifest;       /* written to PATH.run when the first row is written; empty: none */
    buffer row;            /* the row that is being written */
    buffer rows;           /* complete rows that are not yet written */
    buffer packed;         /* these rows, compressed as a member */
    double flushed;        /* time of the last flush (seconds_now) */
    struct output *before; /* an output that is flushed first, or NULL */
    const char *wrong;     /* what could not be written, if it is not the file itself */
    int error;             /* errno of the first write that failed, or 0 */
} output;

/* Opens a file of any name, for a report; NULL or "-": standard output. Refuses to overwrite files named in inputs
 * (which may have NULLs and "@FILE"). The file is locked and keeps its contents until the first write. */
bool output_open(output *out, const char *path, const char *const *inputs, size_t n_inputs, capp_error *err);

/* Opens a file for rows. The ending of the name selects the format (CSV and TSV only if columns). Rows of an earlier
 * run are refused, kept or replaced, as the options say. If they are kept, out->lines and out->size describe the
 * complete ones. */
bool output_open_rows(output *out, const options *settings, bool columns, const char *const *inputs, size_t n_inputs,
                      capp_error *err);

/* The format and the packing for the ending. Returns false and a message that lists the endings if the ending is
 * unknown. */
bool output_form_of(const char *path, output_form *form, packing *packed, capp_error *err);

/* PATH followed by an ending such as ".run"; the caller frees it. */
char *output_beside(const output *out, const char *ending);

/* Number of rows in the file and in its buffer, without the header. */
size_t output_rows(const output *out);

/* Removes the old contents of the file, except what is kept. */
bool output_begin(output *out);

/* Ends a row. It is written when there is much to write, or after a second. False after an error. */
bool output_end_row(output *out);

/* Keeps the error of the store, which could not take a row. Returns false. */
bool output_store_failed(output *out);

/* Writes rows that have waited for some tenths of a second. */
bool output_idle(output *out);

/* Writes all complete rows. */
bool output_flush(output *out);

/* Flushes and closes; false after any error. truncate: a file that was never written to becomes empty;
 * otherwise such a file is removed if output_open made it. */
bool output_close(output *out, bool truncate);

/* EXIT_DONE if the reader of a pipe has closed it (EPIPE), otherwise EXIT_FAILED and a message; out->error must not be
 * 0. */
int output_failed(const output *out);

/* Writes text to standard output; returns the exit status. */
int output_print(capp_str text);

/* Writes a small file at once: other processes never see a part of it. False and errno on failure. */
bool write_whole_file(const char *path, capp_str content);

#endif
