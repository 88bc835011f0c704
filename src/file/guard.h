/* Mappings whose reads cannot end the process. If the system cannot provide a page of a mapped file (the file was cut
 * short, or its disk fails), it sends SIGBUS. The guard's handler then replaces the rest of the mapping with zeros,
 * notes the place, and lets the read continue. Users of the mapping must call capp_guard_fault before they trust the
 * data. A SIGBUS with any other cause goes to the handler that was installed before. */
#ifndef CAPP_FILE_GUARD_H
#define CAPP_FILE_GUARD_H

#include <stddef.h>

#include "base/error.h"

/* Installs the handler, once for the process. */
capp_status capp_guard_install(capp_error *err);

/* Adds a mapping, whether or not the handler is installed. The result is the number for capp_guard_leave and
 * capp_guard_fault; -1 if there are too many mappings: then this mapping is not guarded. */
int capp_guard_enter(const void *data, size_t size);

/* Call this before the mapping ends. */
void capp_guard_leave(int number);

/* The first address that could not be read, or NULL. */
const void *capp_guard_fault(int number);

#endif
