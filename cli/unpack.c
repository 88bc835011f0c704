#define ZLIB_CONST /* next_in points to const */
#include "unpack.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct unpacker {
    packing kind;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool within; /* a member or frame is not yet complete */
    bool ended;  /* a member or frame has ended */
};

static const struct {
    const char *name;
    unsigned char magic[UNPACK_MAGIC];
    size_t size;
} kinds[] = {
    [PACKING_GZIP] = {"gzip", {0x1F, 0x8B, 0x08}, 3},            /* RFC 1952 */
    [PACKING_ZSTD] = {"Zstandard", {0x28, 0xB5, 0x2F, 0xFD}, 4}, /* RFC 8878 */
};

/* A frame without data: pzstd begins its files with one. */
static bool is_skippable(const char *data) {
    return ((unsigned char)data[0] & 0xF0) == 0x50 && !memcmp(data + 1, "\x2A\x4D\x18", 3);
}

packing packing_of(const char *data, size_t size, bool *more) {
    *more = false;
    if (size >= UNPACK_MAGIC && is_skippable(data)) return PACKING_ZSTD;
    for (packing kind = PACKING_GZIP; kind <= PACKING_ZSTD; kind++) {
        size_t n = size < kinds[kind].size ? size : kinds[kind].size;
        if (n && memcmp(data, kinds[kind].magic, n) != 0) continue;
        if (n == kinds[kind].size) return kind;
        *more = true;
    }
    return PACKING_NONE;
}

const char *packing_name(packing kind) {
    return kinds[kind].name;
}

unpacker *unpack_open(packing kind) {
    unpacker *u = allocate(1, sizeof *u);
    *u = (unpacker){.kind = kind};
    bool good = kind == PACKING_GZIP ? inflateInit2(&u->gzip, 16 + MAX_WBITS) == Z_OK
                                     : (u->zstd = ZSTD_createDStream()) != NULL;
    if (!good) out_of_memory();
    return u;
}

void unpack_close(unpacker *unpacker_) {
    if (!unpacker_) return;
    if (unpacker_->kind == PACKING_GZIP) inflateEnd(&unpacker_->gzip);
    ZSTD_freeDStream(unpacker_->zstd);
    free(unpacker_);
}

/* Zeros after the last member fill a block, as on a tape. */
static void skip_zeros(capp_str *in) {
    while (in->size && !*in->data) {
        in->data++;
        in->size--;
    }
}

static bool gunzip_some(unpacker *unpacker_, capp_str *in, Bytef *out, size_t room, size_t *n) {
    if (unpacker_->ended && !unpacker_->within) skip_zeros(in);
    if (!unpacker_->within && !in->size) return true;
    uInt had = in->size < UINT_MAX ? (uInt)in->size : UINT_MAX, space = room < UINT_MAX ? (uInt)room : UINT_MAX;
    if (!unpacker_->within && inflateReset(&unpacker_->gzip) != Z_OK) return false;
    unpacker_->gzip.next_in = (const Bytef *)in->data;
    unpacker_->gzip.avail_in = had;
    unpacker_->gzip.next_out = out;
    unpacker_->gzip.avail_out = space;
    unpacker_->within = true;
    int code = inflate(&unpacker_->gzip, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR) out_of_memory();
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) return false;
    unpacker_->within = code != Z_STREAM_END;
    unpacker_->ended = unpacker_->ended || !unpacker_->within;
    in->data += had - unpacker_->gzip.avail_in;
    in->size -= had - unpacker_->gzip.avail_in;
    *n = space - unpacker_->gzip.avail_out;
    return true;
}

static bool unzstd_some(unpacker *unpacker_, capp_str *in, void *out, size_t room, size_t *n) {
    ZSTD_inBuffer from = {in->data, in->size, 0};
    ZSTD_outBuffer to = {out, room, 0};
    size_t code = ZSTD_decompressStream(unpacker_->zstd, &to, &from);
    if (ZSTD_isError(code)) return false;
    unpacker_->within = code != 0;
    in->data += from.pos;
    in->size -= from.pos;
    *n = to.pos;
    return true;
}

bool unpack_some(unpacker *unpacker_, capp_str *in, char *out, size_t room, size_t *n) {
    *n = 0;
    if (!unpacker_->within && !in->size) return true;
    return unpacker_->kind == PACKING_GZIP ? gunzip_some(unpacker_, in, (Bytef *)out, room, n)
                                           : unzstd_some(unpacker_, in, out, room, n);
}

bool unpack_complete(const unpacker *unpacker_) {
    return !unpacker_->within;
}
