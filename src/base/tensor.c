#include "base/tensor.h"

capp_type_info capp_type_get(uint32_t n) {
    switch (n) {
#define X(name, number, block, bytes)                                                                                  \
    case number: return (capp_type_info){#name, block, bytes};
        CAPP_TYPE_MAP(X)
        CAPP_FOREIGN_TYPE_MAP(X)
#undef X
#define X(name, number, bits, group, bfloat)                                                                           \
    case number:                                                                                                       \
        return (capp_type_info){#name, CAPP_GROUP_BLOCK,                                                               \
                                4 * CAPP_GROUP_WORDS(CAPP_GROUP_BLOCK / (group), bits) +                               \
                                    CAPP_GROUP_BLOCK / 8 * (bits)};
        CAPP_GROUP_TYPE_MAP(X)
#undef X
    default: return (capp_type_info){0, 0, 0};
    }
}
