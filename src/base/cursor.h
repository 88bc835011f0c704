/* A bounded, latched reader of little-endian bytes: past the end every read gives 0 and the cursor stays failed, so a
 * parser checks once for a group of reads. */
#ifndef CAPP_BASE_CURSOR_H
#define CAPP_BASE_CURSOR_H

#include "capp.h"

typedef struct capp_cursor {
    const unsigned char *data; /* borrowed */
    size_t size;
    size_t at;   /* never above size */
    bool failed; /* a read went past the end */
} capp_cursor;

capp_cursor capp_cursor_of(const void *data, size_t size);

/* Bytes left, 0 once failed. */
size_t capp_cursor_left(const capp_cursor *c);

/* The next n bytes, or NULL and failed where fewer are left. Borrowed from the data. */
const void *capp_cursor_take(capp_cursor *c, uint64_t n);

uint8_t capp_cursor_u8(capp_cursor *c);
uint16_t capp_cursor_u16(capp_cursor *c);
uint32_t capp_cursor_u32(capp_cursor *c);
uint64_t capp_cursor_u64(capp_cursor *c);
float capp_cursor_f32(capp_cursor *c);
double capp_cursor_f64(capp_cursor *c);

#endif
