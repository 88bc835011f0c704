/* The measured maximum speed of one core's arithmetic unit, with which kernels are compared. */
#ifndef CAPP_KERNEL_PEAK_H
#define CAPP_KERNEL_PEAK_H

/* Billions of operations a second of products and sums in registers (or tiles) alone, on the calling thread, with the
 * instructions of the kernel table named isa, of float32 ("f32"; "ref": SSE2, a product and a sum apart), bfloat16
 * ("bf16") or integers of two digits ("i16"): the best of the slices measured in about `seconds`. 0 for a name that is
 * none and for what the table or the machine lacks. */
double capp_peak_gflops(const char *isa, const char *products, double seconds);

#endif
