/* Writes values of JSON, CSV and TSV. Numbers read back as the same bits. */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H

#include "util.h"

void put_string(buffer *b, capp_str text); /* JSON; bytes that are not UTF-8 become U+FFFD */
void put_double(buffer *b, double value);  /* the fewest digits that read back as the same value; null if not finite */
void put_float(buffer *b, float value);    /* %.9g; null if not finite */
void put_doubles(buffer *b, const double *values, size_t n); /* JSON array */
void put_floats(buffer *b, const float *values, size_t n);
void put_ids(buffer *b, const int32_t *ids, size_t n);
void put_cell(buffer *b, capp_str text, char separator); /* CSV or TSV, in quotes if necessary */

#endif
