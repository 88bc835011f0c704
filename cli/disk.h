#ifndef CLI_DISK_H
#define CLI_DISK_H

#include <stdint.h>

/* Measures how many bytes per second the disk gives of a file, or of a folder's largest *.safetensors file. Reads up to
 * 64 MiB, after these pages have left the page cache. Returns 0 if the file cannot be read, or is too small to tell. */
double disk_rate(const char *path);

#endif
