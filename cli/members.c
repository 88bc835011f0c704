#include "members.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { PART = 1 << 16, GZIP_WINDOW = 15 + 16, GZIP_MEMORY = 8 }; /* + 16: zlib writes and reads gzip */

/* ---- Packing --------------------------------------------------------------------------------------------------- */

static void pack_gzip(capp_str data, buffer *packed) {
    z_stream z = {0};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        out_of_memory();
    uLong room = deflateBound(&z, data.size);
    grow(&packed->data, &packed->capacity, packed->size + room, 1);
    z.next_in = (Bytef *)(uintptr_t)data.data;
    z.avail_in = (uInt)data.size;
    z.next_out = (Bytef *)packed->data + packed->size;
    z.avail_out = (uInt)room;
    deflate(&z, Z_FINISH); /* the bound is never too small */
    packed->size += z.total_out;
    deflateEnd(&z);
}

static void pack_zstd(capp_str data, buffer *packed) {
    ZSTD_CCtx *z = ZSTD_createCCtx();
    if (!z) out_of_memory();
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    size_t room = ZSTD_compressBound(data.size);
    grow(&packed->data, &packed->capacity, packed->size + room, 1);
    size_t n = ZSTD_compress2(z, packed->data + packed->size, room, data.data, data.size);
    if (ZSTD_isError(n)) out_of_memory();
    packed->size += n;
    ZSTD_freeCCtx(z);
}

void pack(packing how, capp_str data, buffer *packed) {
    if (how == PACKING_GZIP)
        pack_gzip(data, packed);
    else if (how == PACKING_ZSTD)
        pack_zstd(data, packed);
    else
        buffer_str(packed, data);
}

/* ---- Whole rows ------------------------------------------------------------------------------------------------ */

void count_rows(row_counter *c, capp_str data) {
    for (size_t i = 0; i < data.size; i++) {
        if (data.data[i] == '"') c->quoted = c->quotes && !c->quoted;
        if (data.data[i] != '\n' || c->quoted) continue;
        c->rows++;
        c->whole = c->seen + i + 1;
    }
    c->seen += data.size;
}

/* What was found so far. */
typedef struct finding {
    FILE *file;
    row_counter counter;
    uint64_t taken; /* bytes of whole rows, or of whole members */
    size_t rows;    /* number of rows in them */
    char in[PART], out[PART];
} finding;

static void find_members(finding *f, packing how) {
    unpacker *u = unpack_open(how);
    uint64_t read = 0;
    bool good = true;
    for (size_t n; good && (n = fread(f->in, 1, PART, f->file)) > 0; read += n) {
        capp_str in = {f->in, n};
        for (size_t got = PART; good && (in.size || got == PART);) {
            good = unpack_some(u, &in, f->out, PART, &got);
            if (!good) break;
            count_rows(&f->counter, (capp_str){f->out, got});
            if (!unpack_complete(u)) continue;
            good = f->counter.whole == f->counter.seen; /* a member that capp wrote ends here */
            if (!good) break;
            f->taken = read + n - in.size;
            f->rows = f->counter.rows;
        }
    }
    unpack_close(u);
}

static void find_rows(finding *f) {
    for (size_t n; (n = fread(f->in, 1, PART, f->file)) > 0;) count_rows(&f->counter, (capp_str){f->in, n});
    f->rows = f->counter.rows;
    f->taken = f->counter.whole;
}

bool whole_rows(const char *path, packing how, bool quotes, size_t *rows, uint64_t *bytes, capp_error *err) {
    finding *f = allocate(1, sizeof *f);
    memset(f, 0, sizeof *f);
    f->counter.quotes = quotes;
    f->file = fopen(path, "rbe");
    bool good = f->file != NULL;
    if (good && how == PACKING_NONE) find_rows(f);
    if (good && how != PACKING_NONE) find_members(f, how);
    good = good && !ferror(f->file);
    if (!good) fail_at(err, 0, "%s: cannot read the file: %s", path, strerror(errno));
    if (f->file) fclose(f->file);
    *rows = f->rows;
    *bytes = f->taken;
    free(f);
    return good;
}
