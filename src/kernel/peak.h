/* What one core's unit can do at most, measured: the yardstick of kernels. */
#ifndef CAPP_KERNEL_PEAK_H
#define CAPP_KERNEL_PEAK_H

/* Billions of float32 operations a second of products and sums in registers alone, on the calling thread, with the
 * instructions of the kernel table named isa ("ref": SSE2, a product and a sum apart): the best of the slices measured
 * in about `seconds`. 0 for a name that is none and for what the machine lacks. */
double capp_peak_gflops(const char *isa, double seconds);

#endif
