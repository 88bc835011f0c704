/* What the files of the reader share; only they include it. */
#ifndef CLI_READER_PARTS_H
#define CLI_READER_PARTS_H

#include "reader.h"

read_status next_csv(reader *r, record *row, bool wait, capp_error *err);
read_status next_json_line(reader *r, record *row, bool wait, capp_error *err);
read_status next_json_element(reader *r, record *row, bool wait, capp_error *err);

/* Index of the column, or n_columns. */
size_t column_of(const reader *r, capp_str name);

/* Whether the run looks for a field of that name. */
bool reader_asks(const reader *r, capp_str name);

/* Says once what the input was taken for. */
void reader_tell(reader *r);

#endif
