#ifndef CLI_DISK_H
#define CLI_DISK_H

#include <stdint.h>

/* Measures how many bytes per second the disk reads from a file, or from a folder's largest *.safetensors file. Reads
 * up to 64 MiB, after removing these pages from the page cache. Returns 0 if the file cannot be read, or is too small
 * to measure. */
double disk_rate(const char *path);

#endif
