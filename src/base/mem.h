/* Memory. Every allocation of the library goes through these functions, so that tests can make each one fail. */
#ifndef CAPP_BASE_MEM_H
#define CAPP_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Returns NULL if there is not enough memory or n * size does not fit a size_t. If n or size is 0, the result is a
 * pointer that must be freed too. capp_new does not clear the memory; capp_new0 does. */
void *capp_new(size_t n, size_t size);
void *capp_new0(size_t n, size_t size);

/* p may be NULL. On failure p is unchanged and the result is NULL. */
void *capp_renew(void *p, size_t n, size_t size);

/* Aligned to 64 bytes, for vectors; not cleared. Freed with capp_aligned_delete, not capp_free. */
void *capp_aligned_new(size_t n, size_t size);
void capp_aligned_delete(void *p);

/* For libraries that call functions of their caller, with its data, for memory. */
void *capp_callback_new(size_t bytes, void *unused);
void capp_callback_free(void *p, void *unused);

/* array: address of a pointer to *capacity elements of size bytes (or of a NULL). Makes room for at least need
 * elements; grows by half. Returns false and changes nothing if there is not enough memory. */
bool capp_grow(void *array, size_t *capacity, size_t need, size_t size);

/* product = a * b; false if it does not fit. */
bool capp_mul(size_t a, size_t b, size_t *product);

#endif
