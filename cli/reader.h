/* Rows of CSV with a header, of JSON or JSON lines, or of plain text, one text a line. */
#ifndef CLI_READER_H
#define CLI_READER_H

#include "json.h"
#include "sniff.h"
#include "source.h"

#include <csv.h>

typedef struct reader_options {
    const char *path;   /* NULL or "-": standard input */
    const char *format; /* as --format names it; NULL: found out */
    char separator;     /* of CSV; 0: found out */
    size_t max_record;  /* bytes of one record; 0: no limit */
    bool quiet;         /* no word on what the input was taken for, and no warnings */
    /* [n_asked] Fields that the run looks for: they help to tell CSV from text, and may not stand twice. Borrowed until
     * reader_close. */
    const capp_str *asked;
    size_t n_asked;
} reader_options;

typedef struct member {
    capp_str name;
    json_value value;
    size_t place; /* among the members of its object */
} member;

typedef struct reader {
    source source;
    reader_options how;
    input_format named; /* what the input's name says */
    char named_separator;
    sniffed is;
    bool known, told; /* what the input is; that it was said */
    bool warned;      /* of a name that stands twice */

    /* Columns: known from the header of CSV on; "text" for plain text; none for JSON. */
    buffer names; /* one behind the other */
    capp_str *columns;
    size_t n_columns;
    capp_str *values; /* [n_columns] */
    size_t rows;      /* read, malformed ones counted, the header not */

    /* One JSON object. */
    arena memory;
    member *members; /* [n_members] in their order */
    size_t n_members, members_capacity;
    json_scan scan; /* of the element under way */
    size_t scanned; /* bytes of it */
    enum { ELEMENT_FIRST, ELEMENT_ITEM, ELEMENT_NEXT, ELEMENT_BARE, ELEMENT_AFTER } element;

    /* One CSV row under construction: cells one behind the other, and where each ends. */
    struct csv_parser parser;
    bool parsing; /* parser is to be freed */
    buffer cells;
    size_t *ends;
    size_t n_cells, cells_capacity;
    bool begun, complete, bad;
    size_t begun_line, bytes;
    capp_error cause; /* where bad, or the text line that waits is */

    /* Plain text: empty lines, which are no rows where nothing follows, and the line behind them. */
    size_t blanks, blank_line;
    capp_str waiting;
    read_status waits; /* READ_LATER: none does */
} reader;

/* A row. Borrowed from the reader until its next row. */
typedef struct record {
    reader *reader;
    size_t line;            /* where it begins, from 1 */
    json_value object;      /* JSON only */
    const capp_str *values; /* [n_columns], not for JSON */
} record;

bool reader_open(reader *r, const reader_options *how, capp_error *err);
void reader_close(reader *r);

/* Begins again with the first row. Only where r->source.regular. */
bool reader_rewind(reader *r, capp_error *err);

/* READ_BAD: the next row is there and is malformed; err says how, and the rows behind it can be read. wait false:
 * READ_LATER where the next row is not yet here. On READ_BAD and READ_FAILED err->row is the line. */
read_status reader_next(reader *r, record *row, bool wait, capp_error *err);

/* Whether the row has a field of that name; its text goes to *text, in memory of a: strings as they are, other JSON
 * values as they are written, without spaces between their parts; null as nothing. */
bool record_text(const record *row, capp_str name, arena *a, capp_str *text);

/* A column of a row as it stood in the input. */
typedef struct field {
    capp_str name, text;
    bool json; /* text is JSON, and not of a string */
} field;

/* All columns of the row, in their order, in memory of a. */
const field *record_fields(const record *row, arena *a, size_t *n);

/* The JSON value of a field: none (size 0) where there is none, where it is null, and where the row is not JSON. */
json_value record_json(const record *row, const char *name);

/* Fails with a message that lists what fields there are. */
bool fail_field(capp_error *err, const record *row, capp_str name);

/* Where columns are known before any row: whether name is one, else as fail_field. */
bool reader_knows(reader *r, capp_str name, capp_error *err);

/* For reader.c and its parts: adds a name to a list for people, which ends in "..." where it is long. */
void list_name(buffer *list, capp_str name);

#endif
