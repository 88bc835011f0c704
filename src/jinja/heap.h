/* Memory that is freed all at once, up to a limit. */
#ifndef CAPP_JINJA_HEAP_H
#define CAPP_JINJA_HEAP_H

#include <stddef.h>

typedef struct capp_jinja_heap {
    struct capp_jinja_block *blocks; /* newest first */
    size_t used, limit;              /* bytes */
} capp_jinja_heap;

/* n * size bytes, aligned for pointers and numbers, cleared. NULL: out of memory, or above the limit. */
void *capp_jinja_heap_allocate(capp_jinja_heap *heap, size_t n, size_t size);
void capp_jinja_heap_free(capp_jinja_heap *heap);

#endif
