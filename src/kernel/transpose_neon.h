/* Transposes numbers of 32 and 64 bits with NEON. */
#ifndef CAPP_KERNEL_TRANSPOSE_NEON_H
#define CAPP_KERNEL_TRANSPOSE_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#define TRANSPOSE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TRANSPOSE_UNROLL _Pragma("GCC unroll 8")
#endif

/* The same as transpose_square for 4 by 4 numbers. */
static inline __attribute__((always_inline)) void transpose_four(uint32_t *y, size_t ldy, const char *x,
                                                                 size_t stride) {
    uint32x4_t row[4], out[4];
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < 4; i++) memcpy(&row[i], x + i * stride, sizeof row[i]);
    const uint64x2_t a = vreinterpretq_u64_u32(vtrn1q_u32(row[0], row[1])),
                     b = vreinterpretq_u64_u32(vtrn2q_u32(row[0], row[1])),
                     c = vreinterpretq_u64_u32(vtrn1q_u32(row[2], row[3])),
                     d = vreinterpretq_u64_u32(vtrn2q_u32(row[2], row[3]));
    out[0] = vreinterpretq_u32_u64(vtrn1q_u64(a, c));
    out[1] = vreinterpretq_u32_u64(vtrn1q_u64(b, d));
    out[2] = vreinterpretq_u32_u64(vtrn2q_u64(a, c));
    out[3] = vreinterpretq_u32_u64(vtrn2q_u64(b, d));
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < 4; i++) memcpy(y + i * ldy, &out[i], sizeof out[i]);
}

/* y [8][8] = the transpose of x [8][8]. The rows of y are ldy numbers apart, the rows of x `stride` bytes. */
static inline __attribute__((always_inline)) void transpose_square(uint32_t *y, size_t ldy, const void *x,
                                                                   size_t stride) {
    const char *bytes = x;
    transpose_four(y, ldy, bytes, stride);
    transpose_four(y + 4 * ldy, ldy, bytes + 16, stride);
    transpose_four(y + 4, ldy, bytes + 4 * stride, stride);
    transpose_four(y + 4 * ldy + 4, ldy, bytes + 4 * stride + 16, stride);
}

/* y [8][2] = the transpose of x [2][8], numbers of 64 bits. The rows of y are `apart` bytes apart, those of x `stride`.
 */
static inline __attribute__((always_inline)) void transpose_quads(void *y, size_t apart, const void *x, size_t stride) {
    const char *from = x;
    char *to = y;
    TRANSPOSE_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        uint64x2_t a, b;
        memcpy(&a, from + 8 * i, sizeof a);
        memcpy(&b, from + stride + 8 * i, sizeof b);
        const uint64x2_t first = vzip1q_u64(a, b), second = vzip2q_u64(a, b);
        memcpy(to + i * apart, &first, sizeof first);
        memcpy(to + (i + 1) * apart, &second, sizeof second);
    }
}

#endif
