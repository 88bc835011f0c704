/* Kernels: the arithmetic of one instruction set, behind one table. They allocate nothing, use no threads and know
 * nothing about models.
 *
 * Contracts that every instruction set keeps
 * - Bits. A chain of operations computes each output element. The chain depends only on the element's own inputs and
 *   their index. It never depends on how many rows or columns a call covers, or on the element's place in a vector. A
 *   remainder uses the same arithmetic as a full tile, a tail the same exp as a full vector.
 * - Every instruction set gives the same bits in float32 (CAPP_ARITHMETIC is the version of these bits).
 * - Sums over K of float32 (matmul, scores, values) are one chain in rising order of the index:
 *   acc = a[i] * b[i] + acc, fused: rounded once. A call of values may be split along the sum; the bits stay the same.
 *   Sums of bfloat16 are what the unit makes of pairs or tiles of them, in rising order (tests/emulation.h shows it in
 *   plain C).
 * - Sums over a row (norms, softmax, logsumexp) use LANES accumulators: element i is added to lane i % LANES, in rising
 *   order. The lanes are then added pairwise: lane l and l + 8, then + 4, + 2, + 1. Products in these sums are fused.
 * - Pointers need no alignment unless stated. Kernels read and write nothing outside of what is described.
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
enum { CAPP_BLOCK_K = 1024 }; /* 192 rows of this length are 768 KB of float32 */
enum { CAPP_STRIP_ROWS = 48 };

#define CAPP_LOG2E 0x1.715476p+0f /* log2(e) */

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
    /* Rotates the pair x[i], x[i + half] by the angle with cosine c[i] and sine s[i], i < half, in each row of        \
     * x [heads][ldx]. */                                                                                              \
    X(rope_halves, void, (float *x, size_t ldx, size_t heads, const float *c, const float *s, size_t half))            \
    /* The same for the pair x[2 i], x[2 i + 1]. */                                                                    \
    X(rope_pairs, void, (float *x, size_t ldx, size_t heads, const float *c, const float *s, size_t half))             \
    /* y[i] = silu(gate[i]) * up[i]; silu(x) = x / (1 + exp(-x)); y may be gate or up; likewise in gelu_mul. */        \
    X(silu_mul, void, (float *y, const float *gate, const float *up, size_t n))                                        \
    /* y[i] = gelu(gate[i]) * up[i], the tanh form: x / (1 + exp(-2 sqrt(2/pi) (x + 0.044715 x^3))). */                \
    X(gelu_mul, void, (float *y, const float *gate, const float *up, size_t n))                                        \
    /* x[i] = gelu(x[i]), the tanh form. */                                                                            \
    X(gelu, void, (float *x, size_t n))                                                                                \
    /* Attention, scores of a run of keys: s[r][j] = sum over i < d of q[r][i] * key(skip + j)[i], j < n, r < rows.    \
     * kt [block][d][LANES]: key x is lane x % LANES of block x / LANES; skip < LANES. The kernel may read whole       \
     * blocks of kt. lds, ldq: row strides. */                                                                         \
    X(scores, void,                                                                                                    \
      (float *s, size_t lds, const float *q, size_t ldq, size_t rows, const float *kt, size_t d, size_t skip,          \
       size_t n))                                                                                                      \
    /* The greatest x[i], i < n, n > 0. */                                                                             \
    X(most, float, (const float *x, size_t n))                                                                         \
    /* s[i] = 2^t for t = s[i] CAPP_LOG2E - top, lo <= i < hi, lo < hi; 2^-125 for t < -125, NaN for NaN. top is so    \
     * large that t is at most 1. The relative error is below (3 + |t|) 2^-24. The other elements of the blocks of     \
     * LANES that [lo, hi) touches become 0 (s covers these blocks). Adds element i of these blocks to lanes[i %       \
     * LANES], in rising order; so a row may be cut into calls at multiples of LANES. */                               \
    X(exps, void, (float *s, size_t lo, size_t hi, float top, float *lanes))                                           \
    /* The same, but rounded to 8 significant bits and written to y as bfloat16; the touched blocks of s are lost. */  \
    X(exps_coarse, void, (uint16_t * y, float *s, size_t lo, size_t hi, float top, float *lanes))                      \
    /* Attention, a run of values: out[r][i] += sum over j < n of p[r][j] * v[j][i], i < d. v [n][ldv]. */             \
    X(values, void,                                                                                                    \
      (float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *v, size_t ldv, size_t d,          \
       size_t n))                                                                                                      \
    /* A recurrent state: s[i][j] = a[i] * b[j] + (s[i][j] * decay[i * each]), the sum fused, i < rows, j < n. each: 0 \
     * or 1. s [rows][lds]. Then out[j] = sum over i < rows of c[i] * s[i][j], with the bits of values from 0. */      \
    X(renew, void,                                                                                                     \
      (float *out, const float *c, float *s, size_t lds, const float *decay, size_t each, const float *a,              \
       const float *b, size_t rows, size_t n))                                                                         \
    /* The same with the decay exp(step[j] * rate[i][j]). rate [rows][ldr]. */                                         \
    X(fade, void,                                                                                                      \
      (float *out, const float *c, float *s, size_t lds, const float *step, const float *rate, size_t ldr,             \
       const float *a, const float *b, size_t rows, size_t n))                                                         \
    /* max = max of x, sum = sum of exp(x[i] - max), i < n, n > 0. */                                                  \
    X(logsumexp, void, (float *max, float *sum, const float *x, size_t n))

/* Products of one precision. Activations are rows of elements, float32 or bfloat16; weights are panels. X as above. */
#define CAPP_PRODUCT_MAP(X)                                                                                            \
    /* Makes one panel from n <= nr rows of weights w [n][k], row stride ldw: row j becomes column j of the panel;     \
     * missing columns are 0. panel: panel_bytes(type, k) bytes, 64-byte aligned. */                                   \
    X(pack, void, (void *panel, const float *w, size_t ldw, size_t n, size_t k))                                       \
    /* y [padded] elements = x [n] rounded to the nearest, halves to even, then zeros. y must not be x. */             \
    X(narrow, void, (void *y, const float *x, size_t n, size_t padded))                                                \
    /* c [m][n] = a [m][k] times the panel's first n <= nr columns. add: c = c + this product, rounded once more at    \
     * the end. Rows of a have zeros from k to the next multiple of `step` elements; the kernel may read these. lda,   \
     * ldc: row strides in elements. Writes no other element of c. It is fastest if the panel used next follows this   \
     * one in memory (it is prefetched, which touches nothing), a call has about 192 rows, the strides are not         \
     * multiples of 4096 bytes and the rows of a fit into the second-level cache. */                                   \
    X(matmul, void,                                                                                                    \
      (float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n, size_t k, bool add))    \
    /* Continues a product along k, with a panel for the next part of k: the chain of each sum starts from c. A sum    \
     * that is cut at multiples of CAPP_MAX_STEP has the same bits as the whole sum. */                                \
    X(matmul_on, void,                                                                                                 \
      (float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n, size_t k))

/* Makes one panel from stored blocks of a type, as pack does from the rows that capp_dequant gives. There are n <= nr
 * rows of k weights each; k is a multiple of the type's block. rows[i]: the blocks of row i; nothing else of it is
 * read. */
typedef void (*capp_unpack_fn)(void *panel, const char *const *rows, size_t n, size_t k);

/* c [m][n] = a [m][k] times the transpose of n <= nr rows of stored blocks, m <= CAPP_FEW_ROWS: without a panel, but
 * with the bits of a panel that is unpacked from them and multiplied. */
enum { CAPP_FEW_ROWS = 4 };
typedef void (*capp_few_fn)(float *c, size_t ldc, const float *a, size_t lda, const char *const *rows, size_t m,
                            size_t n, size_t k);

struct capp_quant;

typedef struct capp_products {
    const char *name; /* "f32", "bf16", "i16" */
    size_t nr;        /* columns of a panel; at most CAPP_MAX_NR */
    size_t element;   /* bytes of an activation */
    size_t step;      /* activations are padded to a multiple of it; at most CAPP_MAX_STEP */
    size_t block; /* most inputs, along k, of a product: one over more goes block by block, so that the parts of rows
                     stay in the second-level cache; a multiple of CAPP_MAX_STEP; 0: any number */
    size_t tail;  /* the last block may have so many more */
    size_t strip; /* most rows whose sums a task keeps before it makes something else of them; 0: CAPP_STRIP_ROWS */
    void (*rest)(void); /* a thread calls it after its last product, at the end of a task; NULL: there is no need */
    size_t (*panel_bytes)(uint32_t type, size_t k); /* a multiple of 64; only products of integers, which store blocks
                                                       of that type, use type */
    capp_unpack_fn (*unpack)(uint32_t type); /* returns NULL for a type whose rows must be dequantized and packed */
    capp_few_fn (*few)(uint32_t type);       /* only float32; NULL, or returns NULL, where few rows need a panel, too */
    /* Makes a whole panel from the rows first .. first + nr - 1 of a folder's weight (kernel/quant_layout.h), of their
     * inputs from .. from + k - 1: as capp_quant_rows and then pack do. Returns false, and has done nothing, where
     * these must be used. NULL: always. */
    bool (*unpack_quant)(void *panel, const struct capp_quant *q, size_t first, size_t from, size_t k);
    /* Only for products of integers, else NULL. In a row of n elements, removes the low digits of those blocks of 32
     * whose step is small compared with the row: 256 steps are at most `share` times the row's root mean square. The
     * high digit is rounded to nearest. The result depends on the row alone. */
    void (*coarsen)(void *row, size_t n, float share);
    /* Only for products of bfloat16, else NULL: panels of attention. A panel's vector is 16 columns of it; vectors
     * follow each other in memory. put_column writes row [d] to one column of a vector. put_rows makes rows [n][ld] the
     * rows at .. at + n - 1 along k of vectors with k rows, as many as `columns` columns take; k is a multiple of
     * `step`, columns of CAPP_LANES. d is padded with zeros to a multiple of `step`. */
    void (*put_column)(void *vector, size_t column, const void *row, size_t d);
    void (*put_rows)(void *vectors, size_t k, size_t at, const void *rows, size_t ld, size_t n, size_t columns);
#define X(name, type, parameters) type(*name) parameters;
    CAPP_PRODUCT_MAP(X)
#undef X
} capp_products;

/* The elements of a row of n activations, with padding. */
static inline size_t capp_padded(const capp_products *products, size_t n) {
    return (n + products->step - 1) / products->step * products->step;
}

static inline size_t capp_strip_of(const capp_products *products) {
    return products->strip ? products->strip : CAPP_STRIP_ROWS;
}

static inline void capp_rest(const capp_products *products) {
    if (products->rest) products->rest();
}

typedef struct capp_kernels {
    const char *name; /* the name of the instruction set in capp_model_options */
    unsigned needs;   /* CAPP_CPU_* bits */
    const capp_products *f32;
    const capp_products *bf16; /* NULL: this instruction set has no unit for it */
    const capp_products *i16;  /* products of integers: kernel/integers.h */
#define X(name, type, parameters) type(*name) parameters;
    CAPP_OP_MAP(X)
#undef X
} capp_kernels;

/* bfloat16 products with VDPBF16PS, with its bits but by multiply-adds of float32, with AMX tiles, and with BFMMLA. */
extern const capp_products capp_products_dpbf16;
extern const capp_products capp_products_fmabf16;
extern const capp_products capp_products_tiles;
extern const capp_products capp_products_bfmmla;

extern const capp_kernels capp_kernels_ref;     /* runs everywhere */
extern const capp_kernels capp_kernels_ref_fma; /* for processors with FMA, the same bits; also named "ref" */
extern const capp_kernels capp_kernels_avx2;
extern const capp_kernels capp_kernels_avxvnni; /* avx2 with products of integers by VPDPBUSD */
extern const capp_kernels capp_kernels_avx512;
extern const capp_kernels capp_kernels_avx512vnni; /* avx512 with products of integers by VPDPBUSD */
extern const capp_kernels capp_kernels_avx512bf16; /* avx512vnni with products of bfloat16 by capp_products_dpbf16 */
extern const capp_kernels capp_kernels_avx512bf16_fma; /* the same bits, for processors without CAPP_CPU_FAST_BF16; has
                                                          the same name */
extern const capp_kernels capp_kernels_amx;            /* avx512vnni with products of bfloat16 by capp_products_tiles */
extern const capp_kernels capp_kernels_neon;           /* every AArch64 */
extern const capp_kernels capp_kernels_neondot;        /* neon with products of integers by SDOT */
extern const capp_kernels capp_kernels_neoni8mm;       /* neon with products of integers by SMMLA */
extern const capp_kernels capp_kernels_neonbf16;       /* neoni8mm with products of bfloat16 by capp_products_bfmmla */

/* Table i of all tables of this processor's family, slowest first; NULL past the end. It may be one that the machine
 * does not support. */
const capp_kernels *capp_kernels_at(size_t i);

/* The table with that name; NULL for an unknown name. */
const capp_kernels *capp_kernels_named(const char *name);

/* The fastest table that the machine supports. */
const capp_kernels *capp_kernels_best(unsigned cpu_features);

#endif
