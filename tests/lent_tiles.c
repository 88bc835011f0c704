/* The instructions are as the Intel SDM, volume 2, specifies them: their encodings, what faults, and TDPBF16PS with
 * even and odd products summed separately, with denormals as 0. What would fault remains an illegal instruction. */
#define _GNU_SOURCE
#include "lent_tiles.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "base/cpu.h"

unsigned __real_capp_cpu_features(void);
bool __real_capp_cpu_request(unsigned features);
unsigned __wrap_capp_cpu_features(void);
bool __wrap_capp_cpu_request(unsigned features);

static atomic_bool lent;
enum { TILES = CAPP_CPU_AMX_BF16 | CAPP_CPU_AMX_INT8 };

unsigned __wrap_capp_cpu_features(void) {
    return __real_capp_cpu_features() | (atomic_load(&lent) ? TILES : 0);
}

bool __wrap_capp_cpu_request(unsigned features) {
    return __real_capp_cpu_request(atomic_load(&lent) ? features & ~(unsigned)TILES : features);
}

/* ThreadSanitizer has signal handlers of its own, which do not return to another instruction. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#include <immintrin.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/platform.h"

/* LDTILECFG's operand. */
typedef struct configuration {
    uint8_t palette, start_row, reserved[14];
    uint16_t column_bytes[16];
    uint8_t rows[16];
} configuration;

enum { MOST_TILES = 8, MOST_ROWS = 16, MOST_BYTES = 64 };

static __thread struct {
    configuration is; /* palette 0: none */
    unsigned char tile[MOST_TILES][MOST_ROWS][MOST_BYTES];
} unit;

/* An instruction with a VEX prefix of three bytes. */
typedef struct instruction {
    unsigned prefix, opcode, reg, rm, third; /* prefix: 0, 0x66, 0xf3, 0xf2; third: the register in VEX.vvvv */
    bool memory, has_index;
    uintptr_t address; /* of a memory operand, without the index */
    uint64_t index;    /* scaled */
    size_t length;
} instruction;

static uint64_t register_of(const ucontext_t *c, unsigned number) {
    static const int places[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return (uint64_t)c->uc_mcontext.gregs[places[number]];
}

/* Reads ModRM's memory operand, from p on. Returns what follows it. */
static const uint8_t *read_memory(instruction *in, const ucontext_t *c, const uint8_t *p, unsigned mode, unsigned x,
                                  unsigned b) {
    unsigned base = in->rm;
    bool no_base = false;
    if (base == 4) {
        const unsigned sib = *p++, index = (sib >> 3 & 7) | x << 3;
        base = sib & 7;
        in->has_index = true;
        in->index = index == 4 ? 0 : register_of(c, index) << (sib >> 6);
        no_base = base == 5 && mode == 0;
    } else if (base == 5 && mode == 0) {
        return NULL; /* relative to the instruction: GCC does not use it for these operands */
    }
    int32_t offset = 0;
    if (mode == 1) {
        offset = (int8_t)*p++;
    } else if (mode == 2 || no_base) {
        memcpy(&offset, p, sizeof offset);
        p += sizeof offset;
    }
    in->address = (no_base ? 0 : register_of(c, base | b << 3)) + (uint64_t)(int64_t)offset;
    return p;
}

/* A prefix, or the trap that took its place. */
enum { VEX = 0xc4, TRAP = 0xcc };

/* Whether it may be an instruction of tiles: VEX.128.0F38.W0. */
static bool decode(instruction *in, const ucontext_t *c, const uint8_t *p) {
    static const unsigned prefixes[] = {0, 0x66, 0xf3, 0xf2};
    const uint8_t *from = p;
    if ((p[0] != VEX && p[0] != TRAP) || (p[1] & 0x1f) != 2 || (p[2] & 0x84)) return false;
    const unsigned r = !(p[1] & 0x80), x = !(p[1] & 0x40), b = !(p[1] & 0x20);
    *in = (instruction){
        .prefix = prefixes[p[2] & 3], .third = ~p[2] >> 3 & 15, .opcode = p[3], .reg = p[4] >> 3 & 7, .rm = p[4] & 7};
    const unsigned mode = p[4] >> 6;
    in->memory = mode != 3;
    p += 5;
    if (r || (mode == 3 && b)) return false; /* there are eight tiles */
    if (in->memory && !(p = read_memory(in, c, p, mode, x, b))) return false;
    in->length = (size_t)(p - from);
    return true;
}

static bool configure(const void *from) {
    configuration to;
    memcpy(&to, from, sizeof to);
    for (size_t i = 0; i < sizeof to.reserved; i++)
        if (to.reserved[i]) return false;
    if (to.palette > 1 || (to.palette && to.start_row)) return false;
    for (size_t t = 0; t < MOST_ROWS; t++) {
        if (!to.rows[t] != !to.column_bytes[t]) return false;
        if (to.rows[t] > MOST_ROWS || to.column_bytes[t] > MOST_BYTES) return false;
        if (t >= MOST_TILES && to.rows[t]) return false;
    }
    memset(&unit, 0, sizeof unit);
    if (to.palette) unit.is = to;
    return true;
}

static bool has(unsigned tile) {
    return tile < MOST_TILES && unit.is.palette && unit.is.rows[tile];
}

static void load(unsigned tile, uintptr_t address, uint64_t stride) {
    memset(unit.tile[tile], 0, sizeof unit.tile[tile]);
    for (size_t r = 0; r < unit.is.rows[tile]; r++)
        memcpy(unit.tile[tile][r], (const void *)(address + r * stride), unit.is.column_bytes[tile]);
}

static void store(unsigned tile, uintptr_t address, uint64_t stride) {
    for (size_t r = 0; r < unit.is.rows[tile]; r++)
        memcpy((void *)(address + r * stride), unit.tile[tile][r], unit.is.column_bytes[tile]);
}

/* A row of sums. Columns and rows beyond the tiles' are zeros, and are not stored. */
__attribute__((target("avx512f"))) static void dot_row(float *sums, const uint32_t *a, const unsigned char (*b)[64]) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (size_t k = 0; k < 16; k++) {
        const __m512i x = _mm512_set1_epi32((int)a[k]), y = _mm512_loadu_si512(b[k]);
        even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                               _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), even);
        odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, high)),
                              _mm512_castsi512_ps(_mm512_and_si512(y, high)), odd);
    }
    _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), _mm512_add_ps(even, odd)));
}

static bool dot(unsigned to, unsigned a, unsigned b) {
    if (!has(to) || !has(a) || !has(b) || to == a || to == b || a == b) return false;
    const configuration *is = &unit.is;
    if (is->rows[a] != is->rows[to] || is->column_bytes[b] != is->column_bytes[to]) return false;
    if (is->column_bytes[a] != 4 * is->rows[b] || is->column_bytes[to] % 4) return false;
    enum { ROUNDED_WITHOUT_DENORMALS = 0x9fc0 };
    const unsigned saved = _mm_getcsr();
    _mm_setcsr(ROUNDED_WITHOUT_DENORMALS);
    for (size_t r = 0; r < is->rows[to]; r++) {
        uint32_t x[16];
        float sums[16];
        memcpy(x, unit.tile[a][r], sizeof x);
        memcpy(sums, unit.tile[to][r], sizeof sums);
        dot_row(sums, x, unit.tile[b]);
        memcpy(unit.tile[to][r], sums, is->column_bytes[to]);
    }
    _mm_setcsr(saved);
    return true;
}

static bool execute(const instruction *in) {
    enum { CONFIGURATION = 0x49, TILE = 0x4b, DOTS = 0x5c };
    if (in->opcode == CONFIGURATION && in->memory && !in->prefix && !in->reg && !in->third)
        return configure((const void *)in->address);
    if (in->opcode == CONFIGURATION && !in->memory && !in->prefix && !in->reg && !in->rm && !in->third) {
        memset(&unit, 0, sizeof unit);
        return true;
    }
    if (in->opcode == CONFIGURATION && !in->memory && in->prefix == 0xf2 && !in->rm && !in->third && has(in->reg)) {
        memset(unit.tile[in->reg], 0, sizeof unit.tile[in->reg]);
        return true;
    }
    if (in->opcode == TILE && in->memory && in->has_index && !in->third && has(in->reg) && in->prefix) {
        (in->prefix == 0xf3 ? store : load)(in->reg, in->address, in->index);
        return true;
    }
    if (in->opcode == DOTS && !in->memory && in->prefix == 0xf3) return dot(in->reg, in->rm, in->third);
    return false;
}

/* Puts a trap in place of the instruction's first byte, because a hypervisor does not see traps as it sees illegal
 * instructions: they take less time. Other threads that stop there meanwhile do the same. */
static void trap_at(uint8_t *p) {
    const uintptr_t size = capp_page_size(), page = (uintptr_t)p / size * size;
    if (!mprotect((void *)page, size, PROT_READ | PROT_WRITE | PROT_EXEC)) *(volatile uint8_t *)p = TRAP;
}

/* Executes instructions up to the first one that is not of tiles. If that is the one that stopped the thread, it stops
 * it again, for good. */
static void on_stop(int number, siginfo_t *info, void *context) {
    ucontext_t *c = context;
    if (info->si_code <= 0) { /* from another process */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    uint8_t *p = (uint8_t *)c->uc_mcontext.gregs[REG_RIP];
    if (number == SIGTRAP) p--;
    instruction in;
    size_t n = 0;
    for (; decode(&in, c, p) && execute(&in); n++) {
        if (*p == VEX) trap_at(p);
        p += in.length;
    }
    c->uc_mcontext.gregs[REG_RIP] = (greg_t)p;
    if (!n) signal(number, SIG_DFL);
}

void lend_tiles(void) {
    const unsigned features = __wrap_capp_cpu_features();
    if (!(features & CAPP_CPU_AVX512_BF16) || features & CAPP_CPU_AMX_BF16) return;
    struct sigaction action = {.sa_sigaction = on_stop, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    if (!sigaction(SIGILL, &action, NULL) && !sigaction(SIGTRAP, &action, NULL)) atomic_store(&lent, true);
}

__attribute__((constructor)) static void lend_if_told(void) {
    if (getenv("CAPP_LEND_TILES")) lend_tiles();
}

#else

void lend_tiles(void) {}

#endif
