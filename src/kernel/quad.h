/* Four floats as one vector of GCC's and Clang's portable kind, for sums that the compiler would otherwise keep in
 * memory and for choices between floats that it would otherwise make with branches. */
#ifndef CAPP_KERNEL_QUAD_H
#define CAPP_KERNEL_QUAD_H

#include <stdint.h>

typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_bits __attribute__((vector_size(16)));
enum { QUAD = 4 };

#endif
