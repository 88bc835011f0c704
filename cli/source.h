/* The bytes of a file or of standard input in lines or pieces. Compressed input is unpacked. If the input is live, a
 * caller can ask for what has arrived without waiting. The longest record limits the memory. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "unpack.h"

#include <sys/types.h>

typedef enum read_status {
    READ_ROW,   /* there is a row */
    READ_END,   /* no more rows, or a signal */
    READ_BAD,   /* the row is malformed; what follows can be read */
    READ_LATER, /* none has arrived yet, and the caller did not want to wait */
    READ_FAILED
} read_status;

typedef struct source {
    const char *path; /* NULL: standard input */
    const char *name; /* for messages */
    int file;
    bool regular;      /* a file that source_rewind can read again */
    off_t start;       /* the offset at which it was opened */
    size_t max_record; /* bytes; a longer line is an error */
    bool cr;           /* a carriage return ends a line too */

    packing packing;
    unpacker *unpacker; /* NULL: the input is not compressed */
    buffer packed;      /* read but not yet unpacked, from packed_at on */
    size_t packed_at;

    char *data; /* [capacity] bytes begin .. end are read but not yet returned */
    size_t begin, end, capacity;
    size_t scanned; /* no line ends in begin .. scanned */
    bool ended;     /* nothing follows `end` */
    bool opened;    /* the first bytes have arrived: packing is known, and a byte order mark was skipped */
    bool after_cr;  /* the last line ended with a carriage return: a line feed that follows belongs to it */
    bool discard;   /* skip the rest of a line that is too long */
    size_t line;    /* number of the last line returned, from 1 */
    uint64_t read;  /* bytes read from the file */
    uint64_t total; /* size of a regular file from start on, or 0 */
} source;

/* path NULL or "-": standard input. max_record 0: no limit. */
bool source_open(source *input, const char *path, size_t max_record, capp_error *err);
void source_close(source *input);

/* Returns to the start. regular must be true. */
bool source_rewind(source *input, capp_error *err);

/* Returns the next line with its end (LF, also CR if cr, or none at the end of the file). Borrowed until the next call.
 * READ_BAD: the line is longer than max_record and is skipped, *line is empty; or it is not UTF-8, and *line is its
 * bytes. */
read_status source_line(source *input, bool wait, capp_str *line, capp_error *err);

/* Returns the bytes that are read but not yet consumed: at least `least` bytes, or everything that is left (READ_ROW).
 * READ_END: nothing is left. Borrowed until the next call. */
read_status source_ahead(source *input, size_t least, bool wait, capp_str *view, capp_error *err);

/* Consumes the first n bytes that source_ahead returned, and counts their lines. */
void source_skip(source *input, size_t n);

/* The share of the file that was read, 0 to 1; -1 if its size is unknown. */
double source_share(const source *input);

#endif
