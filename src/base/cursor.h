/* A bounded, latched reader of little-endian bytes. After a read past the end, every read gives 0 and the cursor stays
 * failed. So a parser needs only one check for a group of reads. */
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

/* Number of bytes left; 0 after a failure. */
size_t capp_cursor_left(const capp_cursor *c);

/* The next n bytes, borrowed from the data. If fewer are left: NULL, and the cursor fails. */
const void *capp_cursor_take(capp_cursor *c, uint64_t n);

uint8_t capp_cursor_u8(capp_cursor *c);
uint16_t capp_cursor_u16(capp_cursor *c);
uint32_t capp_cursor_u32(capp_cursor *c);
uint64_t capp_cursor_u64(capp_cursor *c);
float capp_cursor_f32(capp_cursor *c);
double capp_cursor_f64(capp_cursor *c);

#endif
