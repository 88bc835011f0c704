/* Kernels: the arithmetic of one instruction set, behind one table. No allocation, no threads, no words of models.
 *
 * Contracts that every instruction set keeps
 * - Bits. Each output element is computed by a chain of operations that depends only on its own inputs and their
 *   index, never on how many rows or columns a call covers or where in a vector the element falls. A remainder uses
 *   the same arithmetic as a full tile, a tail the same exp as a full vector.
 * - Every instruction set gives the same bits in float32 (CAPP_ARITHMETIC is their version).
 * - Sums over K of float32 (matmul, scores, values) are one chain in rising order of the index: acc = a[i] * b[i] +
 * acc, fused: rounded once. Splitting a call of values along the sum gives the same bits. Sums of bfloat16 are what the
 * unit makes of pairs or tiles of them, in rising order (tests/emulation.h says it in plain C).
 * - Sums over a row (norms, softmax, logsumexp) go into LANES accumulators, element i into lane i % LANES, in rising
 *   order, which are then added pairwise: lane l and l + 8, then + 4, + 2, + 1. Products in them are
 *   fused.
 * - Pointers need no alignment unless said. Nothing is read or written outside of what is described.
 * - The rounding mode is to nearest; denormals are kept.
 */
#ifndef CAPP_KERNEL_KERNEL_H
#define CAPP_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CAPP_LANES = 16 };  /* accumulators of a sum over a row; positions of a block of keys */
enum { CAPP_MAX_NR = 64 }; /* no kernel's panel is wider */
enum { CAPP_MAX_STEP = 32 };
enum { CAPP_BLOCK_K = 1024 }; /* 192 rows of it are 768 KB of float32 */

/* X(name, return type, parameters, what it does) */
#define CAPP_OP_MAP(X)                                                                                                 \
    /* y[i] = x[i] * w[i] / sqrt(mean(x^2) + eps), i < n; y may be x. (Zhang & Sennrich, arXiv 1910.07467) */          \
    X(rms_norm, void, (float *y, const float *x, const float *w, size_t n, float eps))                                 \
    /* y[i] = (x[i] - mean) / sqrt(variance + eps) * w[i] + b[i]; two passes; b may be NULL; y may be x. */            \
    X(layer_norm, void, (float *y, const float *x, const float *w, const float *b, size_t n, float eps))               \
    /* y[i] += x[i] */                                                                                                 \
    X(add, void, (float *y, const float *x, size_t n))                                                                 \
    /* y[i] = y[i] * s */                                                                                              \
    X(scale, void, (float *y, float s, size_t n))                                                                      \
    /* Rotates x[i] and x[i + half] by the angle of which c[i] and s[i] are cosine and sine, i < half. */              \
    X(rope_halves, void, (float *x, const float *c, const float *s, size_t half))                                      \
    /* Rotates x[2 i] and x[2 i + 1] likewise. */                                                                      \
    X(rope_pairs, void, (float *x, const float *c, const float *s, size_t half))                                       \
    /* y[i] = silu(gate[i]) * up[i]; silu(x) = x / (1 + exp(-x)); y may be gate or up; so in the following. */         \
    X(silu_mul, void, (float *y, const float *gate, const float *up, size_t n))                                        \
    /* y[i] = gelu(gate[i]) * up[i], the tanh form: x / (1 + exp(-2 sqrt(2/pi) (x + 0.044715 x^3))). */                \
    X(gelu_mul, void, (float *y, const float *gate, const float *up, size_t n))                                        \
    /* x[i] = gelu(x[i]), the tanh form. */                                                                            \
    X(gelu, void, (float *x, size_t n))                                                                                \
    /* Attention, scores of a run of keys: s[r][j] = sum over i < d of q[r][i] * key(skip + j)[i], j < n, r < rows.    \
     * kt [block][d][LANES]: key x is lane x % LANES of block x / LANES; skip < LANES. Whole blocks of kt are          \
     * readable. lds, ldq: row strides. */                                                                             \
    X(scores, void,                                                                                                    \
      (float *s, size_t lds, const float *q, size_t ldq, size_t rows, const float *kt, size_t d, size_t skip,          \
       size_t n))                                                                                                      \
    /* s[i] = exp(s[i] - max over lo <= j < hi of s[j]) for lo <= i < hi, and 0 for the other i of the blocks of LANES \
     * that [lo, hi) touches (s covers them); returns the sum. Lane of element i: i % LANES; lo < hi. */               \
    X(softmax, float, (float *s, size_t lo, size_t hi))                                                                \
    /* Attention, a run of values: out[r][i] += sum over j < n of p[r][j] * v[j][i], i < d. v [n][ldv]. */             \
    X(values, void,                                                                                                    \
      (float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *v, size_t ldv, size_t d,          \
       size_t n))                                                                                                      \
    /* max = max of x, sum = sum of exp(x[i] - max), i < n, n > 0. */                                                  \
    X(logsumexp, void, (float *max, float *sum, const float *x, size_t n))

/* Products of a precision: activations are rows of elements, float32 or bfloat16, weights are panels. X as above. */
#define CAPP_PRODUCT_MAP(X)                                                                                            \
    /* One panel from n <= nr rows of weights w [n][k], row stride ldw: column j of the panel is row j; missing        \
     * columns are 0. panel: panel_bytes(k) bytes, 64-byte aligned. */                                                 \
    X(pack, void, (void *panel, const float *w, size_t ldw, size_t n, size_t k))                                       \
    /* y [padded] elements = x [n] rounded to the nearest, halves to even, then zeros. y may not be x. */              \
    X(narrow, void, (void *y, const float *x, size_t n, size_t padded))                                                \
    /* c [m][n] = a [m][k] times the panel's first n <= nr columns; add: c = c + a times the panel, rounded once more  \
     * at the end. Rows of a have zeros from k to the next multiple of `step` elements, which may be read. lda, ldc:   \
     * row strides in elements. Writes no other element of c. Fastest where the panel used next follows this one in    \
     * memory (it is prefetched, which touches nothing), with some 192 rows to a call, strides that are no multiple of \
     * 4096 bytes and the rows of a within the second cache. */                                                        \
    X(matmul, void,                                                                                                    \
      (float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n, size_t k, bool add))    \
    /* The same for what follows along k, with a panel of its own: the chain of each sum goes on from c. A sum that is \
     * cut at multiples of CAPP_MAX_STEP has the bits of the whole. */                                                 \
    X(matmul_on, void,                                                                                                 \
      (float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n, size_t k))

/* One panel from stored blocks of a type: what pack makes of the rows that capp_dequant gives, which are n <= nr, of k
 * weights each, a multiple of the type's block. rows[i]: the blocks of row i, of which nothing else is read. */
typedef void (*capp_unpack_fn)(void *panel, const char *const *rows, size_t n, size_t k);

typedef struct capp_products {
    const char *name; /* "f32", "bf16", "i16" */
    size_t nr;        /* columns of a panel; at most CAPP_MAX_NR */
    size_t element;   /* bytes of an activation */
    size_t step;      /* activations are padded to a multiple of it; at most CAPP_MAX_STEP */
    size_t block;     /* of k: a product over more goes block by block, so that rows' parts stay in the second cache; a
                         multiple of CAPP_MAX_STEP; 0: no product does */
    size_t (*panel_bytes)(size_t k);         /* a multiple of 64 */
    capp_unpack_fn (*unpack)(uint32_t type); /* NULL for a type whose rows are to be dequantised and packed */
    /* Products of integers, else NULL: leaves out the low digits of those blocks of 32 of a row of n elements whose
     * step is small beside the row: 256 steps are at most `share` times the row's root mean square. The high digit is
     * rounded to nearest. The row alone decides. */
    void (*coarsen)(void *row, size_t n, float share);
#define X(name, type, parameters) type(*name) parameters;
    CAPP_PRODUCT_MAP(X)
#undef X
} capp_products;

typedef struct capp_kernels {
    const char *name; /* as capp_model_options names instruction sets */
    unsigned needs;   /* CAPP_CPU_* bits */
    const capp_products *f32;
    const capp_products *bf16; /* NULL: this instruction set has no unit for it */
    const capp_products *i16;  /* of integers: kernel/integers.h */
#define X(name, type, parameters) type(*name) parameters;
    CAPP_OP_MAP(X)
#undef X
} capp_kernels;

/* bfloat16 products with VDPBF16PS, and with AMX tiles. */
extern const capp_products capp_products_dpbf16;
extern const capp_products capp_products_tiles;

extern const capp_kernels capp_kernels_ref;     /* runs everywhere */
extern const capp_kernels capp_kernels_ref_fma; /* the same bits, where the processor has FMA; also named "ref" */
extern const capp_kernels capp_kernels_avx2;
extern const capp_kernels capp_kernels_avxvnni; /* avx2 with products of integers by VPDPBUSD */
extern const capp_kernels capp_kernels_avx512;
extern const capp_kernels capp_kernels_avx512vnni; /* avx512 with the same */
extern const capp_kernels capp_kernels_avx512bf16; /* avx512 with products of bfloat16 by capp_products_dpbf16 */
extern const capp_kernels capp_kernels_amx;        /* and by capp_products_tiles */

/* All tables, slowest first; NULL past the end. Not filtered by what the machine has. */
const capp_kernels *capp_kernels_at(size_t i);

/* The table of that name; NULL for a name that is none. */
const capp_kernels *capp_kernels_named(const char *name);

/* The fastest table that the machine supports. */
const capp_kernels *capp_kernels_best(unsigned cpu_features);

#endif
