#include "members.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { PART = 1 << 16, GZIP_WINDOW = 15 + 16, GZIP_MEMORY = 8 }; /* + 16: zlib writes and reads gzip */

/* ---- Packing --------------------------------------------------------------------------------------------------- */

static void out_of_memory(const char *what) {
    complain("out of memory for %s", what);
    exit(EXIT_FAILED);
}

static void pack_gzip(capp_str data, buffer *packed) {
    z_stream z = {0};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        out_of_memory("gzip");
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
    if (!z) out_of_memory("zstd");
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    size_t room = ZSTD_compressBound(data.size);
    grow(&packed->data, &packed->capacity, packed->size + room, 1);
    size_t n = ZSTD_compress2(z, packed->data + packed->size, room, data.data, data.size);
    if (ZSTD_isError(n)) out_of_memory("zstd");
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

/* What unpacking has found so far. */
typedef struct unpacking {
    FILE *file;
    row_counter counter;
    uint64_t taken; /* packed bytes of whole members */
    size_t rows;    /* in them */
    uint64_t read;  /* packed bytes before the part in memory */
    char in[PART], out[PART];
} unpacking;

/* A member ends at this offset of the file. False where a row goes on behind it, so that the rest is not a run's. */
static bool end_member(unpacking *u, uint64_t at) {
    if (u->counter.whole != u->counter.seen) return false;
    u->taken = at;
    u->rows = u->counter.rows;
    return true;
}

static void unpack_gzip(unpacking *u) {
    z_stream z = {0};
    bool good = inflateInit2(&z, GZIP_WINDOW) == Z_OK;
    for (size_t n; good && (n = fread(u->in, 1, PART, u->file)) > 0; u->read += n) {
        z.next_in = (Bytef *)u->in;
        z.avail_in = (uInt)n;
        for (bool more = true; good && more;) {
            z.next_out = (Bytef *)u->out;
            z.avail_out = PART;
            int status = inflate(&z, Z_NO_FLUSH);
            count_rows(&u->counter, (capp_str){u->out, PART - z.avail_out});
            more = z.avail_in || !z.avail_out;
            if (status == Z_STREAM_END)
                good = end_member(u, u->read + n - z.avail_in) && inflateReset(&z) == Z_OK;
            else
                good = status == Z_OK || status == Z_BUF_ERROR; /* the latter: no more input here */
        }
    }
    inflateEnd(&z);
}

static void unpack_zstd(unpacking *u) {
    ZSTD_DStream *z = ZSTD_createDStream();
    if (!z) out_of_memory("zstd");
    bool good = true;
    for (size_t n; good && (n = fread(u->in, 1, PART, u->file)) > 0; u->read += n) {
        ZSTD_inBuffer in = {u->in, n, 0};
        for (bool more = true; good && more;) {
            ZSTD_outBuffer out = {u->out, PART, 0};
            size_t left = ZSTD_decompressStream(z, &out, &in);
            good = !ZSTD_isError(left);
            if (!good) break;
            count_rows(&u->counter, (capp_str){u->out, out.pos});
            if (!left) good = end_member(u, u->read + in.pos);
            more = in.pos < in.size || out.pos == out.size;
        }
    }
    ZSTD_freeDStream(z);
}

static void read_plain(unpacking *u) {
    for (size_t n; (n = fread(u->in, 1, PART, u->file)) > 0;) count_rows(&u->counter, (capp_str){u->in, n});
    u->rows = u->counter.rows;
    u->taken = u->counter.whole;
}

bool whole_rows(const char *path, packing how, bool quotes, size_t *rows, uint64_t *bytes, capp_error *err) {
    unpacking *u = take(1, sizeof *u);
    memset(u, 0, sizeof *u);
    u->counter.quotes = quotes;
    u->file = fopen(path, "rbe");
    bool good = u->file != NULL;
    if (good) {
        (how == PACKING_GZIP ? unpack_gzip : how == PACKING_ZSTD ? unpack_zstd : read_plain)(u);
        good = !ferror(u->file);
    }
    if (!good) fail_at(err, 0, "%s: cannot be read: %s", path, strerror(errno));
    if (u->file) fclose(u->file);
    *rows = u->rows;
    *bytes = u->taken;
    free(u);
    return good;
}
