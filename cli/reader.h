/* Rows of CSV with a header, of JSON lines, or of plain text, one text a line. */
#ifndef CLI_READER_H
#define CLI_READER_H

#include "source.h"

#include <csv.h>
#include <jansson.h>

typedef enum input_format { FORMAT_GUESS, FORMAT_CSV, FORMAT_JSONL, FORMAT_TEXT } input_format;

typedef struct reader {
    source source;
    input_format format; /* FORMAT_GUESS until the first row is asked for */

    /* Columns: known from the header of CSV on; "text" for plain text; none for JSON lines. */
    buffer names; /* one behind the other */
    capp_str *columns;
    size_t n_columns;

    /* One JSON line. */
    json_t *object;

    /* One CSV row under construction: cells one behind the other, and where each ends. */
    struct csv_parser parser;
    bool parsing;  /* parser is to be freed */
    capp_str rest; /* of the line, not yet parsed; borrowed from source */
    buffer cells;
    size_t *ends;
    size_t n_cells, cells_capacity;
    bool begun, complete;
    size_t begun_line;
    size_t rows; /* complete ones, the header not counted */
    capp_str *values;
} reader;

/* A row. Borrowed from the reader until its next row. */
typedef struct record {
    reader *reader;
    size_t line;            /* where it begins, from 1 */
    const json_t *object;   /* JSON lines only */
    const capp_str *values; /* [n_columns], not for JSON lines */
} record;

/* "csv", "jsonl", "text", or NULL for FORMAT_GUESS: by the name of path, else by the first byte. */
bool reader_open(reader *r, const char *path, const char *format, capp_error *err);
void reader_close(reader *r);

/* READ_BAD: the next row is there and is malformed; err says how, and the rows behind it can be read. wait false:
 * READ_LATER where the next row is not yet here. On READ_FAILED err->row is the line. */
read_status reader_next(reader *r, record *row, bool wait, capp_error *err);

/* Whether the row has a field of that name; its text goes to *text, in memory of a: strings as they are, other JSON
 * values as JSON, null as nothing. */
bool record_text(const record *row, capp_str name, arena *a, capp_str *text);

/* A column of a row as it stood in the input. */
typedef struct row_field {
    capp_str name, text;
    bool json; /* text is JSON, and not of a string */
} row_field;

/* All columns of the row, in their order, in memory of a. */
const row_field *record_fields(const record *row, arena *a, size_t *n);

/* The JSON value of a field: NULL where there is none, where it is null, and where the row is not JSON. */
const json_t *record_json(const record *row, const char *name);

/* Fails with a message that lists what fields there are. */
bool fail_field(capp_error *err, const record *row, capp_str name);

/* Where columns are known before any row: whether name is one, else as fail_field. */
bool reader_knows(reader *r, capp_str name, capp_error *err);

#endif
