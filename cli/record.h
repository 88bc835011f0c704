/* Records: rows of the input as the reader has read them, and the state of the reader, from which they borrow. */
#ifndef CLI_RECORD_H
#define CLI_RECORD_H

#include "json_parser.h"
#include "sniff.h"
#include "source.h"

#include <csv.h>

typedef struct reader_options {
    const char *path;   /* NULL or "-": standard input */
    const char *format; /* a name of --format; NULL: detected */
    char separator;     /* for CSV; 0: detected */
    size_t max_record;  /* bytes of one record; 0: no limit */
    bool quiet;         /* print neither what the input was recognized as, nor warnings */
    /* [n_asked] Fields that the run needs: they help to distinguish CSV from text, and may not occur twice. Borrowed
     * until reader_close. */
    const capp_str *asked;
    size_t n_asked;
} reader_options;

typedef struct member {
    capp_str name;
    json_value value;
    size_t place; /* index among the members of its object */
    bool again;   /* a later member has the same name, and counts */
} member;

typedef struct reader {
    source source;
    reader_options how;
    input_format named; /* the format that the input's name tells */
    char named_separator;
    sniffed is;
    bool known, told; /* is: what the input is, once known; told: the user knows it */
    bool warned;      /* about a name that occurs twice */

    /* Columns: known after the header of CSV; "text" for plain text; none for JSON. */
    buffer names; /* one after the other */
    capp_str *columns;
    size_t n_columns;
    capp_str *values; /* [n_columns] */
    size_t rows;      /* rows read, including malformed ones, without the header */

    /* One JSON object. */
    arena memory;
    member *members; /* [n_members] in their order */
    size_t n_members, members_capacity;
    json_scan scan; /* for the current element */
    size_t scanned; /* bytes of the element that were scanned */
    enum { ELEMENT_FIRST, ELEMENT_ITEM, ELEMENT_NEXT, ELEMENT_BARE, ELEMENT_AFTER } element;

    /* One incomplete CSV row: its cells one after another, and where each ends. */
    struct csv_parser parser;
    bool parsing; /* parser is to be freed */
    buffer cells;
    size_t *ends;
    size_t n_cells, cells_capacity;
    bool begun, complete, bad;
    size_t begun_line, bytes;
    capp_error cause; /* the error, if bad or if the waiting text line is */

    /* Plain text: empty lines, which are not rows if nothing follows, and the line after them. */
    size_t blanks, blank_line;
    capp_str waiting;
    read_status waits; /* READ_LATER: no line waits */
} reader;

/* A row. Borrowed from the reader until its next row. */
typedef struct record {
    reader *reader;
    size_t line;            /* where it begins, from 1 */
    json_value object;      /* JSON only */
    const capp_str *values; /* [n_columns], not for JSON */
} record;

/* Returns whether the row has a field of this name. *text is its text, in memory of a: strings as they are, other JSON
 * values as written, without spaces between their parts; null is empty. */
bool record_text(const record *row, capp_str name, arena *a, capp_str *text);

/* A column of a row, as written in the input. */
typedef struct field {
    capp_str name, text;
    bool json; /* text is JSON other than a string */
} field;

/* All columns of the row, in their order, in memory of a. */
const field *record_fields(const record *row, arena *a, size_t *n);

/* The JSON value of a field; size 0 if there is none, if it is null, or if the row is not JSON. */
json_value record_json(const record *row, const char *name);

/* Fails with a message that lists the existing fields. */
bool fail_field(capp_error *err, const record *row, capp_str name);

/* If the columns are known: whether name is one of them, otherwise fails like fail_field. */
bool reader_knows(reader *input, capp_str name, capp_error *err);

/* Adds a name to a list for a message; a long list ends with "...". */
void list_name(buffer *list, capp_str name);

/* Index of the column, or n_columns. */
size_t find_column(const reader *input, capp_str name);

/* Whether the run needs a field of this name. */
bool reader_needs(const reader *input, capp_str name);

/* Prints once what the input was recognized as. */
void report_input(reader *input);

#endif
