/* What the files of the table share; only they include it. */
#ifndef CLI_TABLE_PARTS_H
#define CLI_TABLE_PARTS_H

#include "table.h"

typedef enum column_kind {
    COLUMN_ID,
    COLUMN_FIELD,  /* of the input */
    COLUMN_FIELDS, /* all that a JSON row has */
    COLUMN_PREDICTION,
    COLUMN_INDEX,
    COLUMN_PROBABILITY,
    COLUMN_SECOND,
    COLUMN_MARGIN,
    COLUMN_CLASS, /* probability of class `number` */
    COLUMN_PROBABILITIES,
    COLUMN_TOP, /* the best `number`, or in CSV the number-th */
    COLUMN_TOP_PROBABILITY,
    COLUMN_TOKENS,
    COLUMN_TOKENS_RUN,
    COLUMN_LABEL,
    COLUMN_LABEL_INDEX,
    COLUMN_CORRECT,
    COLUMN_ERROR
} column_kind;

struct column {
    column_kind kind;
    capp_str name, source; /* as written; of the field */
    size_t number;
};

#endif
