/* Products of bfloat16 with AMX tiles.
 *
 * The instructions are asm statements that declare the memory they read and write. GCC 12's _tile_loadconfig and
 * _tile_loadd do not declare it, so the optimizer drops the stores that fill their operands. */
#include "kernel/kernel.h"

#include "kernel/bf16_avx512.h"
#include "kernel/unpack.h"

#include "kernel/bf16.inc"

#define t_configure(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(config)) : "memory")
#define t_release()         __asm__ volatile("tilerelease" ::: "memory")
#define t_zero(tile)        __asm__ volatile("tilezero %%tmm" #tile ::)
#define t_load(tile, p, stride)                                                                                        \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(p), "r"((long)(stride)) : "memory")
#define t_stream(tile, p, stride)                                                                                      \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #tile ::"r"(p), "r"((long)(stride)) : "memory")
#define t_store(tile, p, stride)                                                                                       \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(p), "r"((long)(stride)) : "memory")
#define t_dot(tile, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #tile ::)

#include "kernel/tiles.inc"

const capp_products capp_products_tiles = {
    .block = BLOCK_K, .tail = MOST_TAIL, .strip = STRIP_ROWS, .rest = rest, BF16_PRODUCTS};
