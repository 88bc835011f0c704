/* Failures: one status, one message, made where the cause is known. */
#ifndef CAPP_BASE_ERROR_H
#define CAPP_BASE_ERROR_H

#include "capp.h"

/* Fills *err (may be NULL) with status, no row, and the formatted message; returns status, so that a caller writes
 * `return capp_fail(err, CAPP_EFORMAT, "%s: ...", path);`. Longer messages are cut. */
capp_status capp_fail(capp_error *err, capp_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* capp_fail(err, CAPP_ENOMEM, "out of memory for WHAT"). */
capp_status capp_fail_memory(capp_error *err, const char *what);

/* Puts "PREFIX: " before the message of *err; for callers that know the file. err may be NULL. */
void capp_error_prefix(capp_error *err, const char *prefix);

#endif
