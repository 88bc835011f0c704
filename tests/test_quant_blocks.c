/* Blocks made of the tensors of quantized folders (kernel/quant_blocks.h): read as integers, they give what
 * capp_quant_rows gives; their panels are about as large as the tensors. */
#include "emulated.h"
#include "kernel_check.h"

#include "base/tensor.h"
#include "kernel/integers.h"
#include "kernel/quant.h"
#include "kernel/quant_blocks.h"

enum { BLOCK = CAPP_INTEGER_BLOCK };

/* A layout of kernel/quant_layout.h whose numbers, zeros and scales are known by construction: its blocks, read as
 * integers, give what capp_quant_rows gives. */
static void check_blocks(capp_quant_layout layout, unsigned bits, size_t group, bool zeros) {
    enum { N = 48, K = 256, MOST_GROUPS = K / 32 };
    static float want[N * K], blocks[N * K], scratch[4096];
    static capp_integer_block got[K / BLOCK];
    static uint32_t groups[K];
    const size_t count = K / group, words = N * K * bits / 32;
    uint32_t *weights = (uint32_t *)(void *)array(words), *zero = (uint32_t *)(void *)array(N * MOST_GROUPS);
    uint16_t *scales = (uint16_t *)(void *)array(N * MOST_GROUPS);
    for (size_t i = 0; i < words; i++) weights[i] = (uint32_t)test_random_u64(&random_state);
    for (size_t i = 0; i < N * MOST_GROUPS; i++) zero[i] = (uint32_t)test_random_u64(&random_state);
    for (size_t i = 0; i < N * MOST_GROUPS; i++) scales[i] = (uint16_t)(between(0, 1) << 15 | between(0, 0x4400));
    for (size_t i = 0; i < K; i++) groups[i] = (uint32_t)(i / group);
    capp_quant q = {.layout = layout,
                    .n = N,
                    .k = K,
                    .groups = count,
                    .bits = bits,
                    .zeros_less_one = group == 64,
                    .weights = weights,
                    .zeros = zeros ? zero : NULL,
                    .scales = scales,
                    .scale_type = group == 32 ? CAPP_TYPE_BF16 : CAPP_TYPE_F16,
                    .scale_rows = N,
                    .group = groups};
    static uint32_t room[2 * K];
    capp_quant_find_blocks(&q, room);
    const uint32_t type = q.blocks;
    const capp_integer_form *form = capp_integer_form_of(type);
    CHECK_INT(form->group, group < K ? group : 512);
    CHECK(form->bits == bits && form->bfloat == (q.scale_type == CAPP_TYPE_BF16));
    CHECK(capp_quant_scratch(&q) <= sizeof scratch / sizeof *scratch);
    capp_quant_rows(want, &q, 0, N, scratch);
    capp_quant_blocks(blocks, &q, 0, N, scratch);
    for (size_t r = 0; r < N; r++) {
        capp_integers_read(got, type, blocks + r * K, K);
        for (size_t i = 0; i < K; i++) {
            const capp_integer_block *b = &got[i / BLOCK];
            const double value = (double)b->scale[0] * b->number[i % BLOCK] - (double)b->minimum[0];
            near("a number of a block", value, (double)want[r * K + i], fabs((double)b->scale[0]) * 1e-4);
        }
    }
    q.scale_type = CAPP_TYPE_F32;
    capp_quant_find_blocks(&q, room);
    CHECK(q.blocks == CAPP_TYPE_QUANTIZED);
    release();
}

/* Groups of 32 inputs in any order: blocks have the inputs in the order of their groups. A group of 31 has no blocks.
 */
TEST(groups_in_any_order) {
    enum { N = 16, K = 96 };
    static float want[N * K], blocks[N * K], scratch[2048];
    static uint32_t groups[K], room[2 * K];
    static capp_integer_block got[K / BLOCK];
    uint32_t weights[N * K / 8], zeros[3 * N / 8];
    uint16_t scales[3 * N];
    for (size_t i = 0; i < N * K / 8; i++) weights[i] = (uint32_t)test_random_u64(&random_state);
    for (size_t i = 0; i < 3 * N / 8; i++) zeros[i] = (uint32_t)test_random_u64(&random_state);
    for (size_t i = 0; i < 3 * N; i++) scales[i] = (uint16_t)between(0x3000, 0x3c00);
    for (size_t i = 0; i < K; i++) groups[i] = (uint32_t)(i * 7 % 3);
    capp_quant q = {.layout = CAPP_QUANT_GPTQ,
                    .n = N,
                    .k = K,
                    .groups = 3,
                    .bits = 4,
                    .weights = weights,
                    .zeros = zeros,
                    .scales = scales,
                    .scale_type = CAPP_TYPE_F16,
                    .group = groups};
    capp_quant_find_blocks(&q, room);
    CHECK(q.blocks == CAPP_TYPE_G4_32 && q.inputs == room);
    capp_quant_rows(want, &q, 0, N, scratch);
    capp_quant_blocks(blocks, &q, 0, N, scratch);
    for (size_t r = 0; r < N; r++) {
        capp_integers_read(got, q.blocks, blocks + r * K, K);
        for (size_t i = 0; i < K; i++) {
            const float value = got[i / BLOCK].scale[0] * (float)got[i / BLOCK].number[i % BLOCK];
            CHECK(groups[q.inputs[i]] == i / BLOCK && value == want[r * K + q.inputs[i]]);
        }
    }
    groups[0] = 1;
    q.inputs = NULL;
    capp_quant_find_blocks(&q, room);
    CHECK(q.blocks == CAPP_TYPE_QUANTIZED);
}

TEST(folders_become_blocks) {
    static const size_t groups[] = {32, 64, 128, 256};
    for (unsigned bits = 2; bits <= 8; bits += bits < 4 ? 1 : 4)
        for (size_t g = 0; g < 4; g++)
            for (int zeros = 0; zeros < 2; zeros++) {
                if (zeros) check_blocks(CAPP_QUANT_GPTQ, bits, groups[g], true);
                if (zeros && bits == 4) check_blocks(CAPP_QUANT_AWQ, bits, groups[g], true);
                if (bits != 3) check_blocks(CAPP_QUANT_PACKED, bits, groups[g], zeros);
                if (bits == 8) check_blocks(CAPP_QUANT_INT8, bits, groups[g], zeros);
            }
    if (!(worst <= 1)) FAIL("%s", first);
}

/* Bytes of the panels of `nr` rows of k inputs. */
static size_t panel_bytes(const capp_products *p, uint32_t type, size_t k) {
    size_t bytes = 0;
    for (size_t i = 0; i < k; i += p->block) bytes += p->panel_bytes(type, k - i < p->block ? k - i : p->block);
    return bytes;
}

/* Panels are at most 5 % larger than the tensors of a folder: numbers, a scale of 16 bits for each group, and zeros, if
 * any. Prints a table of all forms; docs/design.md has its largest numbers. */
TEST(panels_beside_tensors) {
    static const size_t inputs[] = {1024, 3584, 4096, 18944}, groups[] = {32, 64, 128, 256, 512, 1024, 18944};
    static const unsigned bits[] = {2, 3, 4, 8};
    static uint32_t group[18944], room[2 * 18944];
    const capp_products *p = &emulated_integers;
    printf("bits group inputs | %% more than tensors with zeros, without\n");
    for (size_t i = 0; i < 4 * 7 * 4; i++) {
        const size_t k = inputs[i % 4], size = groups[i / 4 % 7] < k ? groups[i / 4 % 7] : k,
                     count = (k + size - 1) / size;
        for (size_t j = 0; j < k; j++) group[j] = (uint32_t)(j / size);
        capp_quant q = {.layout = CAPP_QUANT_GPTQ, .k = k, .bits = bits[i / 28], .group = group};
        q.scale_type = i % 2 ? CAPP_TYPE_BF16 : CAPP_TYPE_F16;
        capp_quant_find_blocks(&q, room);
        const double panel = (double)panel_bytes(p, q.blocks, k) / (double)p->nr;
        const double none = ((double)k * q.bits + (double)count * 16) / 8, zeros = none + (double)count * q.bits / 8;
        printf("%4u %5zu %6zu | %.1f %.1f\n", q.bits, size, k, 100 * (panel / zeros - 1), 100 * (panel / none - 1));
        CHECK(panel >= none && panel <= 1.05 * none);
    }
}
