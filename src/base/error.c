#define _POSIX_C_SOURCE 200809L
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *capp_version(void) {
    return "0.1.0";
}

const char *capp_status_name(capp_status status) {
    switch (status) {
#define X(name, value, meaning)                                                                                        \
    case CAPP_##name: return "CAPP_" #name;
        CAPP_STATUS_MAP(X)
#undef X
    }
    return "CAPP_UNKNOWN";
}

void capp_error_fill(capp_error *err, capp_status status, const char *format, ...) {
    if (!err) return;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->status = status;
    err->row = CAPP_NO_ROW;
}

void capp_error_prefix(capp_error *err, const char *prefix) {
    if (!err) return;
    char message[sizeof err->message];
    memcpy(message, err->message, sizeof message);
    size_t n = strlen(prefix), room = sizeof message - 1;
    if (n > room - 2) n = room - 2;
    memcpy(err->message, prefix, n);
    memcpy(err->message + n, ": ", 2);
    size_t rest = strnlen(message, room - n - 2);
    memcpy(err->message + n + 2, message, rest);
    err->message[n + 2 + rest] = 0;
}

capp_str capp_str_of(const char *text) {
    return (capp_str){text, text ? strlen(text) : 0};
}
