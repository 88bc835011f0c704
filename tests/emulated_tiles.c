/* Compiles tiles.inc over emulated AMX tiles. It exits where the unit would fault. */
#include "emulated.h"

#include <stdatomic.h>

#include "emulated_rows.h"
#include "test.h"

#include "kernel/bf16.inc"

static __thread struct {
    unsigned char config[64];
    float tile[8][16][16];
    bool configured;
} unit;

static struct { atomic_size_t configurations, open, loads, streamed, lines, dots, rows; } counted;

tile_counts emulated_tile_counts(void) {
    return (tile_counts){counted.configurations, counted.open, counted.loads, counted.streamed,
                         counted.lines,          counted.dots, counted.rows};
}

void emulated_tiles_reset(void) {
    counted.configurations = counted.loads = counted.streamed = counted.lines = counted.dots = counted.rows = 0;
}

static size_t rows_of(int tile) {
    CHECK(unit.configured && tile >= 0 && tile < 8 && unit.config[48 + tile] && unit.config[48 + tile] <= 16);
    CHECK(unit.config[16 + 2 * tile] == 64 && !unit.config[17 + 2 * tile]);
    return unit.config[48 + tile];
}

static void t_configure(const void *config) {
    counted.configurations++;
    counted.open += !unit.configured;
    memset(&unit, 0, sizeof unit);
    memcpy(unit.config, config, sizeof unit.config);
    CHECK(unit.config[0] == 1 && !unit.config[1]);
    for (size_t i = 2; i < 16; i++) CHECK(!unit.config[i]); /* reserved, like tiles 8 to 15: else #GP */
    for (size_t i = 32; i < 48; i++) CHECK(!unit.config[i]);
    for (size_t i = 56; i < 64; i++) CHECK(!unit.config[i]);
    for (size_t i = 0; i < 8; i++) CHECK((unit.config[48 + i] != 0) == (unit.config[16 + 2 * i] != 0));
    unit.configured = true;
}

static void t_release(void) {
    CHECK(unit.configured);
    counted.open--;
    memset(&unit, 0, sizeof unit);
}

static void t_zero(int tile) {
    (void)rows_of(tile);
    memset(unit.tile[tile], 0, sizeof unit.tile[tile]);
}

static void t_load(int tile, const void *p, size_t stride) {
    counted.loads++;
    counted.lines += rows_of(tile);
    memset(unit.tile[tile], 0, sizeof unit.tile[tile]);
    for (size_t r = 0; r < rows_of(tile); r++) memcpy(unit.tile[tile][r], (const char *)p + r * stride, 64);
}

static void t_stream(int tile, const void *p, size_t stride) {
    counted.streamed++;
    t_load(tile, p, stride);
}

static void t_store(int tile, void *p, size_t stride) {
    for (size_t r = 0; r < rows_of(tile); r++) memcpy((char *)p + r * stride, unit.tile[tile][r], 64);
}

/* TDPBF16PS: sums the even and the odd elements along k separately, adds the two sums, then adds the result to the
 * tile. */
static void t_dot(int tile, int a, int b) {
    CHECK(rows_of(a) == rows_of(tile) && rows_of(b) == 16);
    counted.dots++;
    counted.rows += rows_of(tile);
    uint16_t x[16][32], y[16][16][2];
    memcpy(x, unit.tile[a], sizeof x);
    memcpy(y, unit.tile[b], sizeof y);
    for (size_t r = 0; r < rows_of(tile); r++)
        for (size_t j = 0; j < 16; j++) {
            float even = 0, odd = 0;
            for (size_t i = 0; i < 16; i++) {
                even = emulated_fma(x[r][2 * i], y[i][j][0], even);
                odd = emulated_fma(x[r][2 * i + 1], y[i][j][1], odd);
            }
            const float sum = emulated_flush(even + odd), before = emulated_flush(unit.tile[tile][r][j]);
            unit.tile[tile][r][j] = emulated_flush(before + sum);
        }
}

#include "kernel/tiles.inc"

#define EMULATED emulated_tiles
#define REST     rest
#include "emulated_table.inc"
