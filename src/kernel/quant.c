/* In the integer layouts the inputs of an output are down a column. The code reads COLUMNS columns at a time, so that
 * it uses all of every 64 bytes of the file. It spreads the scales and zeros of these columns out once, so that groups
 * in any order cost the same. */
#include "kernel/quant.h"

#include "base/tensor.h"
#include "kernel/quant_rows.h"

#define SMALL static inline __attribute__((always_inline))

enum { COLUMNS = 16, INPUTS = 32, MOST_BITS = 8 };

/* Columns that are unpacked together. Entries from n on repeat the first column. */
typedef struct columns {
    size_t n;
    size_t at[COLUMNS];
} columns;

static columns columns_of(const capp_quant *q, size_t first, size_t n) {
    columns c = {.n = n};
    for (size_t i = 0; i < COLUMNS; i++) {
        size_t row = first + (i < n ? i : 0);
        c.at[i] = q->order ? q->order[row] : row;
    }
    return c;
}

/* ---- Scales and zeros ----------------------------------------------------------------------------------------------
 */

/* The position, in bits, of output i of the 8 in a word of AWQ. From the lowest bits up, the outputs are 0, 2, 4, 6, 1,
 * 3, 5, 7. */
SMALL unsigned awq_shift(size_t i) {
    return (unsigned)(4 * (i % 8 / 2 + i % 2 * 4));
}

/* Zero `column` of GPTQ's first format. Its writers subtract 1 from each zero. GPTQModel, with which transformers reads
 * the format, subtracts from the whole word at once (utils/model.py, convert_gptq_v2_to_v1_format_module), so that a
 * zero of 0 borrows from its neighbor. Therefore 1 is also added to all zeros of the word at once
 * (convert_gptq_v1_to_v2_format_module). Zeros of 3 bits cross words, so 1 is added to each alone. All ones become 0:
 * no writer has a zero of 2^bits, but kernels that only add 1 turn all ones into 2^bits. */
static uint32_t first_format_zero(const char *zeros, size_t column, unsigned bits) {
    uint32_t most = (1u << bits) - 1;
    if (bits == 3) return (capp_of_stream(zeros, column, bits) + 1) & most;
    size_t each = 32 / bits;
    return (capp_load_word(zeros, column / each) + UINT32_MAX / most) >> (column % each * bits) & most;
}

static uint32_t zero_of(const capp_quant *q, size_t g, size_t column) {
    const char *zeros = q->zeros;
    if (q->layout == CAPP_QUANT_AWQ)
        return capp_load_word(zeros, g * (q->n / 8) + column / 8) >> awq_shift(column) & 15;
    size_t row = (q->n * q->bits + 31) / 32 * sizeof(uint32_t);
    return q->zeros_less_one ? first_format_zero(zeros + g * row, column, q->bits)
                             : capp_of_stream(zeros + g * row, column, q->bits);
}

/* table [groups][scales, zeros][COLUMNS] */
static void spread(float *table, const capp_quant *q, const columns *c) {
    capp_dequant_fn dequant = capp_dequant(q->scale_type);
    size_t size = capp_type_get(q->scale_type).block_bytes;
    for (size_t g = 0; g < q->groups; g++, table += 2 * COLUMNS)
        for (size_t i = 0; i < COLUMNS; i++) {
            dequant(table + i, (const char *)q->scales + (g * q->n + c->at[i]) * size, 1);
            table[COLUMNS + i] = (float)zero_of(q, g, c->at[i]);
        }
}

/* ---- Integers ------------------------------------------------------------------------------------------------------
 */

/* y [c->n][k], from input i on, m inputs = the transpose of tile [m][COLUMNS]. */
SMALL void turn(float *restrict y, size_t k, const float (*restrict tile)[COLUMNS], const columns *c, size_t m) {
    for (size_t j = 0; j < c->n; j++)
        for (size_t i = 0; i < m; i++) y[j * k + i] = tile[i][j];
}

SMALL void scaled(float *restrict out, const uint32_t *restrict values, const float *restrict table, uint32_t group) {
    const float *scale = table + (size_t)group * 2 * COLUMNS, *zero = scale + COLUMNS;
    for (size_t c = 0; c < COLUMNS; c++) out[c] = scale[c] * ((float)(int32_t)values[c] - zero[c]);
}

SMALL void gptq(float *restrict out, const capp_quant *q, const columns *c, const float *restrict table,
                const unsigned bits) {
    uint32_t words[MOST_BITS][COLUMNS] = {{0}}, values[COLUMNS];
    float tile[INPUTS][COLUMNS];
    for (size_t i = 0; i < q->k; i += INPUTS) {
        size_t m = q->k - i < INPUTS ? q->k - i : INPUTS;
        for (size_t r = 0; r < m * bits / 32; r++)
            for (size_t x = 0; x < COLUMNS; x++)
                words[r][x] = capp_load_word(q->weights, (i * bits / 32 + r) * q->n + c->at[x]);
        for (unsigned j = 0; j < m; j++) {
            unsigned r = j * bits / 32, shift = j * bits % 32;
            for (size_t x = 0; x < COLUMNS; x++) {
                uint32_t value = words[r][x] >> shift;
                if (shift + bits > 32) value |= words[r + 1][x] << (32 - shift);
                values[x] = value & ((1u << bits) - 1);
            }
            scaled(tile[j], values, table, q->group[i + j]);
        }
        turn(out + i, q->k, tile, c, m);
    }
}

static void awq(float *restrict out, const capp_quant *q, const columns *c, const float *restrict table) {
    uint32_t values[COLUMNS];
    unsigned shifts[COLUMNS];
    float tile[INPUTS][COLUMNS];
    for (size_t x = 0; x < COLUMNS; x++) shifts[x] = awq_shift(c->at[x]);
    for (size_t i = 0; i < q->k; i += INPUTS) {
        size_t m = q->k - i < INPUTS ? q->k - i : INPUTS;
        for (size_t j = 0; j < m; j++) {
            for (size_t x = 0; x < COLUMNS; x++)
                values[x] = capp_load_word(q->weights, (i + j) * (q->n / 8) + c->at[x] / 8) >> shifts[x] & 15;
            scaled(tile[j], values, table, q->group[i + j]);
        }
        turn(out + i, q->k, tile, c, m);
    }
}

/* A table of scales that are 1 and zeros that are 0. */
static void spread_ones(float *table, const capp_quant *q) {
    for (size_t i = 0; i < q->groups * 2 * COLUMNS; i++) table[i] = i / COLUMNS % 2 ? 0 : 1;
}

static void integers(float *out, const capp_quant *q, const columns *c, const float *table) {
    if (q->layout == CAPP_QUANT_AWQ) {
        awq(out, q, c, table);
        return;
    }
    switch (q->bits) {
    case 2: gptq(out, q, c, table, 2); break;
    case 3: gptq(out, q, c, table, 3); break;
    case 4: gptq(out, q, c, table, 4); break;
    default: gptq(out, q, c, table, 8); break;
    }
}

/* ---- All -----------------------------------------------------------------------------------------------------------
 */

static bool is_columns(const capp_quant *q) {
    return q->layout == CAPP_QUANT_GPTQ || q->layout == CAPP_QUANT_AWQ;
}

size_t capp_quant_scratch(const capp_quant *q) {
    return is_columns(q) ? 2 * COLUMNS * q->groups : capp_quant_row_scratch(q);
}

static void rows_of(float *out, const capp_quant *q, size_t first, size_t n, float *scratch, bool numbers) {
    if (!is_columns(q)) {
        capp_quant_row_begin(q, scratch);
        for (size_t i = 0; i < n; i++) {
            const size_t row = q->order ? q->order[first + i] : first + i;
            (numbers ? capp_quant_row_numbers : capp_quant_row)(out + i * q->k, q, row, scratch);
        }
        return;
    }
    if (numbers) spread_ones(scratch, q);
    for (size_t i = 0; i < n; i += COLUMNS) {
        columns c = columns_of(q, first + i, n - i < COLUMNS ? n - i : COLUMNS);
        if (!numbers) spread(scratch, q, &c);
        integers(out + i * q->k, q, &c, scratch);
    }
}

void capp_quant_rows(float *out, const capp_quant *q, size_t first, size_t n, float *scratch) {
    rows_of(out, q, first, n, scratch, false);
}

void capp_quant_numbers(float *out, const capp_quant *q, size_t first, size_t n, float *scratch) {
    rows_of(out, q, first, n, scratch, true);
}

uint16_t capp_quant_scale_of(const capp_quant *q, size_t row, size_t g) {
    const size_t at = is_columns(q) ? g * q->n + row : (q->scale_rows > 1 ? row : 0) * q->groups + g;
    uint16_t scale;
    memcpy(&scale, (const char *)q->scales + at * sizeof scale, sizeof scale);
    return scale;
}

uint32_t capp_quant_zero_of(const capp_quant *q, size_t row, size_t g) {
    return is_columns(q) ? zero_of(q, g, row) : capp_quant_row_zero(q, row, g);
}
