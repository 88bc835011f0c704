/* The rows that classify and evaluate write, as JSON, CSV or TSV. Their columns are the kept columns of the input and
 * those that capp adds. */
#ifndef CLI_OUTPUT_ROWS_H
#define CLI_OUTPUT_ROWS_H

#include "output_file.h"
#include "rows.h"

typedef struct column column;

typedef struct table {
    const options *options;
    const row_rules *rules;
    output_form form;
    bool labeled;          /* rows have a label */
    bool may_be_undecided; /* the rows come from a store whose precision has a margin */
    bool sets;             /* rows have a set of classes */
    bool by_name;     /* probabilities have the names of the classes, because all rows have the same distinct classes */
    bool keep_all;    /* every column of the input is kept */
    bool begun;       /* columns are known */
    bool told;        /* the user knows that a field of a row has no column */
    capp_str *kept;   /* [n_kept] named by --keep */
    column *columns;  /* [n_columns] */
    capp_str *rename; /* [2 * n_rename] old and new names, one after the other */
    size_t n_kept, kept_capacity, n_columns, columns_capacity, n_rename;
    size_t *order; /* classes by probability, for --top */
    size_t order_capacity;
    arena memory;
} table;

/* Reads --keep and --rename. */
bool table_open(table *layout, const options *settings, const row_rules *rules, output_form form, bool labeled,
                capp_error *err);
void table_close(table *layout);

/* Chooses the columns when those of the input are known: names [n_names]. Two columns with one name are an error. */
bool table_begin(table *layout, const capp_str *names, size_t n_names, capp_error *err);

/* Whether the row can be written in the columns. */
bool table_takes(table *layout, const row *this_row, capp_error *err);

/* The header as a row of CSV or TSV; nothing for JSON lines. */
void put_header(buffer *b, const table *layout);

/* What only the rows of a store have. */
typedef struct choice_notes {
    bool undecided;
    double least; /* the set of the row: the classes with at least this posterior */
} choice_notes;

/* Append a row. It has a label if rows are labeled. */
void put_choice(buffer *b, table *layout, const row *this_row, const capp_result *result, choice_notes of_store);
void put_decision(buffer *b, table *layout, const row *this_row, const capp_decision *decision);
void put_bad(buffer *b, table *layout, const row *this_row); /* the reason, and a null prediction */

/* Reads back what an earlier run wrote for a row of the input that has a label: the prediction, and the probability of
 * the correct class (NaN if the columns do not contain it). Returns false if the row is not of this form. Takes memory
 * of a. */
bool table_read(const table *layout, const record *written, const row *this_row, arena *a, size_t *prediction,
                double *probability);

#endif
