/* Mappings whose reads cannot kill the process. Where the system cannot give a page of a mapped file (the file was cut
 * short, its disk fails), it sends SIGBUS. The guard's handler puts zeros in place of the rest of the mapping, notes
 * where, and lets the read go on; whoever uses the mapping must look before it trusts what it has read. A SIGBUS from
 * anywhere else goes to the handler that was there before. */
#ifndef CAPP_FILE_GUARD_H
#define CAPP_FILE_GUARD_H

#include <stddef.h>

#include "base/error.h"

/* Installs the handler, once for the process. */
capp_status capp_guard_install(capp_error *err);

/* Enters a mapping, whether or not the handler is there. The number is capp_guard_leave's and capp_guard_fault's; -1
 * where too many are mapped: the mapping is then not guarded. */
int capp_guard_enter(const void *data, size_t size);

/* Before the mapping ends. */
void capp_guard_leave(int number);

/* The first address that could not be read, or NULL. */
const void *capp_guard_fault(int number);

#endif
