/* Reads rows of CSV with a header, of JSON or JSON lines, or of plain text with one text per line. */
#ifndef CLI_READER_H
#define CLI_READER_H

#include "record.h"

bool reader_open(reader *input, const reader_options *how, capp_error *err);
void reader_close(reader *input);

/* Returns to the first row. The source must be a regular file. */
bool reader_rewind(reader *input, capp_error *err);

/* READ_BAD: the next row is malformed; err describes the error, and the rows after it can be read. wait false:
 * READ_LATER if the next row has not arrived. After READ_BAD and READ_FAILED err->row is the line. */
read_status reader_next(reader *input, record *row, bool wait, capp_error *err);

#endif
