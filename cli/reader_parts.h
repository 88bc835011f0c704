/* The parts of the reader. Only its files include this header. */
#ifndef CLI_READER_PARTS_H
#define CLI_READER_PARTS_H

#include "record.h"

read_status next_csv(reader *input, record *row, bool wait, capp_error *err);
read_status next_json_line(reader *input, record *row, bool wait, capp_error *err);
read_status next_json_element(reader *input, record *row, bool wait, capp_error *err);

#endif
