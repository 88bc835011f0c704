/* Columns of the rows that classify and evaluate write: those of the input that are kept, and capp's own. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "output.h"
#include "rows.h"

typedef struct column column;

typedef struct table {
    const options *options;
    const row_rules *rules;
    output_form form;
    bool labelled;    /* rows have a label */
    bool by_name;     /* probabilities have the names of the classes, which hold for all rows and differ */
    bool keep_all;    /* every column of the input is kept */
    bool begun;       /* columns are known */
    bool told;        /* that a field of a row has no column */
    capp_str *kept;   /* [n_kept] named by --keep */
    column *columns;  /* [n_columns] */
    capp_str *rename; /* [2 * n_rename] old and new names, one after the other */
    size_t n_kept, kept_capacity, n_columns, columns_capacity, n_rename;
    size_t *order; /* of classes by probability, for --top */
    size_t order_capacity;
    arena memory;
} table;

/* Reads --keep and --rename. */
bool table_open(table *t, const options *o, const row_rules *rules, output_form form, bool labelled, capp_error *err);
void table_close(table *t);

/* Decides the columns, once the input's are known: names [n_names]. Two columns of one name are an error. */
bool table_begin(table *t, const capp_str *names, size_t n_names, capp_error *err);

/* Whether the row can be written in the columns. */
bool table_takes(table *t, const row *of, capp_error *err);

/* The header as a row of CSV or TSV; nothing for JSON lines. */
void put_header(buffer *b, const table *t);

/* Rows. label: where rows are labelled. */
void put_choice(buffer *b, table *t, const row *of, const capp_result *result);
void put_decision(buffer *b, table *t, const row *of, const capp_decision *decision);
void put_bad(buffer *b, table *t, const row *of); /* its reason, and a null prediction */

#endif
