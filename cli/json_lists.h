/* Arrays in JSON. Empty text is an empty array. False if the text is something else than is asked for. */
#ifndef CLI_JSON_LISTS_H
#define CLI_JSON_LISTS_H

#include "json_parser.h"

/* array: size 0 if text is empty. */
bool json_array_in(capp_str text, json_value *array);

/* In memory of a. */
bool json_strings(capp_str text, arena *a, capp_str **strings, size_t *n);
bool json_doubles(capp_str text, arena *a, double **numbers, size_t *n);

#endif
