/* Memory: every allocation of the library goes through here, so that tests can make each fail in turn. */
#ifndef CAPP_BASE_MEM_H
#define CAPP_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* NULL where memory is short or n * size does not fit a size_t. n or size 0 gives a pointer that must be freed too.
 * capp_new's memory is not cleared; capp_new0's is. */
void *capp_new(size_t n, size_t size);
void *capp_new0(size_t n, size_t size);

/* p may be NULL; on failure p stays as it was and NULL is returned. */
void *capp_renew(void *p, size_t n, size_t size);

/* 64-byte aligned, for vectors; not cleared. Ends with capp_aligned_delete, not capp_free. */
void *capp_aligned_new(size_t n, size_t size);
void capp_aligned_delete(void *p);

/* array: address of a pointer to *capacity elements of size bytes (or of a NULL). Makes room for at least need
 * elements, growing by half. False, and nothing changed, where memory is short. */
bool capp_grow(void *array, size_t *capacity, size_t need, size_t size);

/* product = a * b; false where it does not fit. */
bool capp_mul(size_t a, size_t b, size_t *product);

#endif
