/* Reads typed values. Converts only without loss. */
#include <string.h>

#include "file/gguf_value.h"

/* An integer in two's complement, or a real number. */
typedef struct number {
    bool integer;
    bool negative; /* an integer below 0 */
    uint64_t bits; /* of an integer */
    double real;
} number;

/* Loads the number of this kind at p (unaligned). Returns false if the kind is not a number. */
static bool load(uint32_t kind, const void *p, number *out) {
    switch (kind) {
#define X(name, type)                                                                                                  \
    case CAPP_GGUF_##name: {                                                                                           \
        type value;                                                                                                    \
        memcpy(&value, p, sizeof value);                                                                               \
        *out = (number){true, INTEGER_SIGN(value), (uint64_t)value, 0};                                                \
        return true;                                                                                                   \
    }
#define INTEGER_SIGN(value) false
        X(U8, uint8_t)
        X(U16, uint16_t)
        X(U32, uint32_t)
        X(U64, uint64_t)
#undef INTEGER_SIGN
#define INTEGER_SIGN(value) ((value) < 0)
        X(I8, int8_t)
        X(I16, int16_t)
        X(I32, int32_t)
        X(I64, int64_t)
#undef INTEGER_SIGN
#undef X
    case CAPP_GGUF_F32: {
        float value;
        memcpy(&value, p, sizeof value);
        *out = (number){false, false, 0, (double)value};
        return true;
    }
    case CAPP_GGUF_F64: {
        double value;
        memcpy(&value, p, sizeof value);
        *out = (number){false, false, 0, value};
        return true;
    }
    default: return false;
    }
}

static bool to_u64(const number *n, uint64_t *out) {
    if (!n->integer || n->negative) return false;
    *out = n->bits;
    return true;
}

static bool to_i64(const number *n, int64_t *out) {
    if (!n->integer || (!n->negative && n->bits > INT64_MAX)) return false;
    *out = (int64_t)n->bits;
    return true;
}

static bool to_f64(const number *n, double *out) {
    if (!n->integer) {
        *out = n->real;
        return true;
    }
    /* A double cannot represent all integers above 2^53. */
    uint64_t magnitude = n->negative ? 0 - n->bits : n->bits;
    if (magnitude > 1ull << 53) return false;
    *out = n->negative ? -(double)magnitude : (double)magnitude;
    return true;
}

size_t capp_gguf_kind_bytes(uint32_t kind) {
    switch (kind) {
    case CAPP_GGUF_U8:
    case CAPP_GGUF_I8:
    case CAPP_GGUF_BOOL: return 1;
    case CAPP_GGUF_U16:
    case CAPP_GGUF_I16: return 2;
    case CAPP_GGUF_U32:
    case CAPP_GGUF_I32:
    case CAPP_GGUF_F32: return 4;
    case CAPP_GGUF_U64:
    case CAPP_GGUF_I64:
    case CAPP_GGUF_F64: return 8;
    default: return 0;
    }
}

static bool scalar(const capp_gguf_value *value, number *out) {
    return value && value->kind != CAPP_GGUF_ARRAY && load(value->kind, value->bytes, out);
}

static bool element(const capp_gguf_value *value, uint64_t i, number *out) {
    if (!value || value->kind != CAPP_GGUF_ARRAY || i >= value->count) return false;
    return load(value->element, (const char *)value->bytes + i * capp_gguf_kind_bytes(value->element), out);
}

bool capp_gguf_value_u64(const capp_gguf_value *value, uint64_t *out) {
    number n;
    return scalar(value, &n) && to_u64(&n, out);
}

bool capp_gguf_value_f64(const capp_gguf_value *value, double *out) {
    number n;
    return scalar(value, &n) && to_f64(&n, out);
}

bool capp_gguf_array_u64(const capp_gguf_value *value, uint64_t i, uint64_t *out) {
    number n;
    return element(value, i, &n) && to_u64(&n, out);
}

bool capp_gguf_array_i64(const capp_gguf_value *value, uint64_t i, int64_t *out) {
    number n;
    return element(value, i, &n) && to_i64(&n, out);
}

bool capp_gguf_array_f64(const capp_gguf_value *value, uint64_t i, double *out) {
    number n;
    return element(value, i, &n) && to_f64(&n, out);
}
