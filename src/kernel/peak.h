/* The measured maximum speed of one core's arithmetic unit. Kernels are compared with it. */
#ifndef CAPP_KERNEL_PEAK_H
#define CAPP_KERNEL_PEAK_H

/* Measures the speed of products and sums in registers (or tiles) alone, on the calling thread, with the instructions
 * of the kernel table named isa. products: "f32" (float32; for "ref" with SSE2, where the product and the sum are
 * separate instructions), "bf16" (bfloat16), "i16" (integers of two digits) or "i8" (one digit: also the limit of
 * precision mixed, which multiplies the second digit of few blocks). Returns billions of operations a second: the best
 * of the slices measured in about `seconds`. Returns 0 for an unknown name and for what the table or the machine does
 * not support. */
double capp_peak_gflops(const char *isa, const char *products, double seconds);

#endif
