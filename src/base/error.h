/* Failures: one status and one message, made at the place that knows the cause. */
#ifndef CAPP_BASE_ERROR_H
#define CAPP_BASE_ERROR_H

#include "capp.h"

/* Fills *err (may be NULL) with status, no row, and the formatted message. Longer messages are cut. */
void capp_error_fill(capp_error *err, capp_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline capp_status capp_failed(capp_status status) {
    return status;
}

/* Fills *err and returns the status, so that a caller can write `return capp_fail(err, CAPP_EFORMAT, "%s: ...",
 * path);`. The status is visible at the call, so analyzers know that it is not CAPP_OK. */
#define capp_fail(err, status, ...) (capp_error_fill(err, status, __VA_ARGS__), capp_failed(status))

static inline capp_status capp_fail_memory(capp_error *err, const char *what) {
    return capp_fail(err, CAPP_ENOMEM, "out of memory for %s", what);
}

/* Puts "PREFIX: " before the message of *err; for callers that know the file. err may be NULL. */
void capp_error_prefix(capp_error *err, const char *prefix);

#endif
