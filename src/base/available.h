/* How much memory this process could take now. */
#ifndef CAPP_BASE_AVAILABLE_H
#define CAPP_BASE_AVAILABLE_H

#include <stdint.h>

/* Bytes that the system could give without swapping, but no more than is left to the process's control group and to
 * those around it (cgroup 2: memory.max; cgroup 1: memory.limit_in_bytes). Pages of files count as free: they are given
 * up when memory is short. UINT64_MAX where the system does not say. root: where /proc and /sys are, "" but in tests.
 */
uint64_t capp_available_memory(const char *root);

#endif
