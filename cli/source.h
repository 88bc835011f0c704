/* Bytes of a file or of standard input, unpacked where they are compressed, given out as lines or as pieces. Where the
 * input is live a caller may ask for what is here without waiting. Memory is bounded by the longest record. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "unpack.h"

#include <sys/types.h>

typedef enum read_status {
    READ_ROW,   /* here it is */
    READ_END,   /* there are no more, or a signal came */
    READ_BAD,   /* it is here and malformed; what follows can be read */
    READ_LATER, /* none is here yet, and the caller did not want to wait */
    READ_FAILED
} read_status;

typedef struct source {
    const char *path; /* NULL: standard input */
    const char *name; /* for messages */
    int file;
    bool regular;      /* a file that source_rewind can read again */
    off_t start;       /* where it was when it was opened */
    size_t max_record; /* bytes; a line that is longer is refused */
    bool cr;           /* a carriage return ends a line too */

    packing packing;
    unpacker *unpacker; /* NULL: the input is not compressed */
    buffer packed;      /* read and not yet unpacked, from packed_at on */
    size_t packed_at;

    char *data; /* [capacity], of which begin .. end are read and not yet given out */
    size_t begin, end, capacity;
    size_t scanned; /* no line ends in begin .. scanned */
    bool ended;     /* there is nothing behind end */
    bool opened;    /* the first bytes are there, packing is known and a byte order mark is gone */
    bool after_cr;  /* what was given out last ends in a carriage return: a line feed there is the same line's */
    bool discard;   /* the rest of a line that is too long is to be left out */
    size_t line;    /* number of the line given out last, from 1 */
    uint64_t read;  /* bytes read from the file */
    uint64_t total; /* size of a regular file from start on, or 0 */
} source;

/* path NULL or "-": standard input. max_record 0: no limit. */
bool source_open(source *s, const char *path, size_t max_record, capp_error *err);
void source_close(source *s);

/* Begins again. s->regular must be true. */
bool source_rewind(source *s, capp_error *err);

/* The next line with its end (LF, CR where s->cr says so, or none at the end of the file). Borrowed until the next
 * call. READ_BAD: the line is longer than max_record and is left out, with *line empty; or it is not UTF-8, and *line
 * is its bytes. */
read_status source_line(source *s, bool wait, capp_str *line, capp_error *err);

/* What is read and not yet given out, at least `least` bytes of it, or all that the input has left: READ_ROW. Nothing
 * is left: READ_END. Borrowed until the next call. */
read_status source_ahead(source *s, size_t least, bool wait, capp_str *view, capp_error *err);

/* Gives out the first n bytes of what source_ahead showed, and counts their lines. */
void source_skip(source *s, size_t n);

/* Part of the file read, 0 to 1; -1 where its size is unknown. */
double source_share(const source *s);

#endif
