/* dequant_tool TYPE < blocks > floats: converts blocks of type number TYPE to float32; exits with 77 where capp cannot
 * read the type. */
#include <stdio.h>
#include <stdlib.h>

#include "base/tensor.h"
#include "kernel/dequant.h"

static int convert(uint32_t type, capp_dequant_fn fn) {
    capp_type_info info = capp_type_get(type);
    enum { BATCH = 64 }; /* blocks */
    unsigned char *blocks = malloc(BATCH * info.block_bytes);
    float *out = malloc(BATCH * info.block_elems * sizeof *out);
    int status = blocks && out ? 0 : 1;
    for (size_t n; !status && (n = fread(blocks, info.block_bytes, BATCH, stdin)) > 0;) {
        fn(out, blocks, n * info.block_elems);
        if (fwrite(out, sizeof *out * info.block_elems, n, stdout) != n) status = 1;
    }
    free(blocks);
    free(out);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: dequant_tool TYPE < blocks > floats\n");
        return 2;
    }
    uint32_t type = (uint32_t)strtoul(argv[1], NULL, 10);
    capp_dequant_fn fn = capp_dequant(type);
    return fn ? convert(type, fn) : 77;
}
