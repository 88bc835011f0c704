#include "jinja/heap.h"

#include <string.h>

#include "base/mem.h"
#include "capp.h"

enum { BLOCK_SIZE = 1 << 14, ALIGNMENT = 8 };

struct capp_jinja_block {
    struct capp_jinja_block *next;
    size_t used, size;
    _Alignas(ALIGNMENT) char data[];
};

void *capp_jinja_heap_allocate(capp_jinja_heap *heap, size_t n, size_t size) {
    size_t bytes;
    if (!capp_mul(n, size, &bytes) || bytes > heap->limit || heap->used > heap->limit - bytes) return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct capp_jinja_block *block = heap->blocks;
    if (!block || block->size - block->used < bytes) {
        size_t room = bytes > BLOCK_SIZE ? bytes : BLOCK_SIZE;
        block = capp_new(sizeof *block + room, 1);
        if (!block) return NULL;
        *block = (struct capp_jinja_block){.next = heap->blocks, .size = room};
        heap->blocks = block;
    }
    void *p = block->data + block->used;
    block->used += bytes;
    heap->used += bytes;
    return memset(p, 0, bytes);
}

void capp_jinja_heap_free(capp_jinja_heap *heap) {
    while (heap->blocks) {
        struct capp_jinja_block *next = heap->blocks->next;
        capp_free(heap->blocks);
        heap->blocks = next;
    }
    heap->used = 0;
}
