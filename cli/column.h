/* Columns of the rows that classify and evaluate write. Only output_rows.c and output_rows_read.c include this header.
 */
#ifndef CLI_COLUMN_H
#define CLI_COLUMN_H

#include "util.h"

typedef enum column_kind {
    COLUMN_ID,
    COLUMN_FIELD,  /* a field of the input */
    COLUMN_FIELDS, /* all fields of a JSON row */
    COLUMN_PREDICTION,
    COLUMN_INDEX,
    COLUMN_PROBABILITY,
    COLUMN_SECOND,
    COLUMN_MARGIN,
    COLUMN_CLASS, /* probability of class `number` */
    COLUMN_PROBABILITIES,
    COLUMN_TOP, /* the best `number` classes; in CSV the class at place `number` */
    COLUMN_TOP_PROBABILITY,
    COLUMN_TOKENS,
    COLUMN_TOKENS_RUN,
    COLUMN_LABEL,
    COLUMN_LABEL_INDEX,
    COLUMN_CORRECT,
    COLUMN_UNDECIDED,
    COLUMN_SET,
    COLUMN_ERROR
} column_kind;

typedef struct column {
    column_kind kind;
    capp_str name, source; /* the name as written; the name of the field */
    size_t number;
} column;

#endif
