/* Rows out: JSON lines, CSV or TSV, packed or not, whole rows only. Errors of the system are kept for the caller. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include "members.h"
#include "options.h"
#include "values.h"

#include <stdio.h>

typedef enum output_form { OUTPUT_JSONL, OUTPUT_CSV, OUTPUT_TSV } output_form;

typedef struct output {
    const char *path; /* NULL: standard output */
    const char *name; /* for messages */
    int file;
    output_form form; /* by the ending of the name, as packing */
    packing packing;
    bool regular;          /* a file that a later run can go on with: it has a manifest */
    bool fsync;            /* each flush waits for the disk */
    bool begun;            /* what the file held before is gone, but for what is kept */
    uint64_t size;         /* bytes of whole rows in a regular file: kept at first, then written too */
    size_t lines;          /* whole rows in it, the header of CSV and TSV among them */
    size_t pending;        /* in rows */
    buffer manifest;       /* written to PATH.run when the file is begun; empty: none */
    buffer row;            /* under construction */
    buffer rows;           /* complete, not yet written */
    buffer packed;         /* the same as a member */
    double flushed;        /* seconds_now */
    struct output *before; /* is flushed first, or NULL */
    const char *wrong;     /* what could not be written, where it is not the file itself */
    int error;             /* errno of the first write that failed, or 0 */
} output;

/* A file of any name, for a report; NULL or "-": standard output. Files named in inputs (NULLs allowed, "@FILE" too)
 * are not written over. The file is locked, and keeps what it holds until the first write. */
bool output_open(output *out, const char *path, const char *const *inputs, size_t n_inputs, capp_error *err);

/* For rows: the ending of the name says the format (CSV and TSV where columns are allowed), and rows of an earlier run
 * are refused, kept or replaced as the options say. Where they are kept, out->lines and out->size say what is whole. */
bool output_open_rows(output *out, const options *o, bool columns, const char *const *inputs, size_t n_inputs,
                      capp_error *err);

/* The format that the ending names, packing included. False and a message that lists the endings for any other. */
bool output_form_of(const char *path, output_form *form, packing *packed, capp_error *err);

/* PATH with more behind it, such as ".run"; the caller frees it. */
char *output_beside(const output *out, const char *ending);

/* Rows in the file and on their way to it, the header not counted. */
size_t output_rows(const output *out);

/* What the file held before goes now, but for what is kept. */
bool output_begin(output *out);

/* The row is complete. Written when there is much, or a second has gone by. False after an error. */
bool output_end_row(output *out);

/* Writes what has waited for some tenths of a second. */
bool output_idle(output *out);

/* Writes all complete rows. */
bool output_flush(output *out);

/* Flushes and closes; false after any error. A file that was never written to becomes empty where truncate. */
bool output_close(output *out, bool truncate);

/* EXIT_DONE for a reader that has gone (EPIPE), else EXIT_FAILED and a message; out->error must not be 0. */
int output_failed(const output *out);

/* Text to standard output; the exit status. */
int output_print(capp_str text);

/* Writes a small file as a whole: at no time a part of it stands there. False and errno. */
bool write_whole_file(const char *path, capp_str content);

#endif
