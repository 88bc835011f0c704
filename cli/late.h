/* Shared libraries that are loaded when they are first needed. libcurl brings some thirty others, which would cost
 * every start of the command 20 ms. */
#ifndef CLI_LATE_H
#define CLI_LATE_H

#include "util.h"

/* The addresses of n functions of a library, such as "libcurl.so.4". Returns false and a message if it is not
 * installed. */
bool late_load(const char *library, const char *const *names, void **functions, size_t n, capp_error *err);

/* What `capp --version` says if this program cannot load them, else "". */
extern const char late_without[];

#endif
