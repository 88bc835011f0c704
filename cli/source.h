/* Lines of a file or of standard input, checked for UTF-8, with leave to say "none yet" where the input is live. */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include "util.h"

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
    char *data; /* [capacity], of which begin .. end are read and not yet handed out */
    size_t begin, end, capacity;
    size_t scanned; /* no line ends in begin .. scanned */
    bool ended;     /* end of file was read */
    bool opened;    /* the first bytes are there and a byte order mark is gone */
    size_t line;    /* number of the line handed out last, from 1 */
    uint64_t taken; /* bytes handed out */
    uint64_t total; /* size of a regular file, or 0 */
} source;

/* path NULL or "-": standard input. */
bool source_open(source *s, const char *path, capp_error *err);
void source_close(source *s);

/* The next line with its end (LF, or none at the end of the file). Borrowed until the next call. */
read_status source_line(source *s, bool wait, capp_str *line, capp_error *err);

/* The first byte (after a byte order mark) without handing it out, in *byte; READ_END where there is none. */
read_status source_peek(source *s, char *byte, capp_error *err);

/* Part of the file handed out, 0 to 1; -1 where its size is unknown. */
double source_share(const source *s);

#endif
