/* Four floats in one portable vector of GCC and Clang. Without it, the compiler would keep some sums in memory and
 * would choose between floats with branches. */
#ifndef CAPP_KERNEL_QUAD_H
#define CAPP_KERNEL_QUAD_H

#include <stdint.h>

typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_bits __attribute__((vector_size(16)));
enum { QUAD = 4 };

#endif
