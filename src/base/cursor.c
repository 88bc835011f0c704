#include "base/cursor.h"

#include <string.h>

capp_cursor capp_cursor_of(const void *data, size_t size) {
    return (capp_cursor){data, size, 0, false};
}

size_t capp_cursor_left(const capp_cursor *c) {
    return c->failed ? 0 : c->size - c->at;
}

const void *capp_cursor_take(capp_cursor *c, uint64_t n) {
    if (c->failed || n > c->size - c->at) {
        c->failed = true;
        return NULL;
    }
    const void *p = c->data + c->at;
    c->at += (size_t)n;
    return p;
}

/* x86-64 is little-endian, as the formats are. */
#define READ(name, type)                                                                                               \
    type capp_cursor_##name(capp_cursor *c) {                                                                          \
        const void *p = capp_cursor_take(c, sizeof(type));                                                             \
        type value = 0;                                                                                                \
        if (p) memcpy(&value, p, sizeof value);                                                                        \
        return value;                                                                                                  \
    }

READ(u8, uint8_t)
READ(u16, uint16_t)
READ(u32, uint32_t)
READ(u64, uint64_t)
READ(f32, float)
READ(f64, double)
