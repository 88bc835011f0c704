/* How much memory this process can allocate now. */
#ifndef CAPP_BASE_AVAILABLE_H
#define CAPP_BASE_AVAILABLE_H

#include <stdint.h>

/* Bytes that the system can give without swapping, but no more than the limits of the process's control group and its
 * ancestors allow (cgroup 2: memory.max; cgroup 1: memory.limit_in_bytes). File pages count as free, because the system
 * drops them when memory is short. UINT64_MAX if the system does not tell. root: the folder that contains /proc and
 * /sys; "" except in tests. */
uint64_t capp_available_memory(const char *root);

#endif
