/* The piece of each id, as the decoder of tokenizer.json makes it token by token. Steps that work on a whole text, such
 * as stripping its first space, are left out: joined pieces are running text. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>

#include "base/mem.h"
#include "base/platform.h"
#include "token/pipeline.h"

static capp_status add_replaced(capp_pipeline *pipeline, capp_str from, capp_str to, capp_error *err) {
    capp_decoder *d = &pipeline->decoder;
    if (d->n_replaced == CAPP_PIPELINE_MAX_REPLACEMENTS)
        return capp_fail(err, CAPP_EUNSUPPORTED, "more than %d replacements are not supported",
                         CAPP_PIPELINE_MAX_REPLACEMENTS);
    if (to.size > CAPP_PIPELINE_MAX_CONTENT)
        return capp_fail(err, CAPP_EUNSUPPORTED, "a replacement has %zu bytes; at most %d are supported", to.size,
                         CAPP_PIPELINE_MAX_CONTENT);
    d->replaced[d->n_replaced].from = from;
    d->replaced[d->n_replaced++].to = to;
    return CAPP_OK;
}

static bool is_type(capp_json value, const char *name) {
    return capp_json_is(capp_json_get(value, "type"), name);
}

static capp_status add_decoder(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    capp_str from, to = {" ", 1};
    capp_status st;
    if (is_type(value, "ByteLevel")) {
        pipeline->decoder.byte_level = true;
    } else if (is_type(value, "ByteFallback")) {
        pipeline->decoder.byte_fallback = true;
    } else if (is_type(value, "Metaspace")) {
        st = capp_pipeline_read_string(pipeline, capp_json_get(value, "replacement"), "replacement", &from, err);
        return st == CAPP_OK ? add_replaced(pipeline, from, to, err) : st;
    } else if (is_type(value, "BPEDecoder")) {
        st = capp_pipeline_read_string(pipeline, capp_json_get(value, "suffix"), "suffix", &from, err);
        return st == CAPP_OK ? add_replaced(pipeline, from, to, err) : st;
    } else if (is_type(value, "Replace")) {
        capp_json pattern = capp_json_get(value, "pattern");
        if (!capp_json_get(pattern, "String"))
            return capp_fail(err, CAPP_EUNSUPPORTED, "replacing by a regular expression is not supported");
        st = capp_pipeline_read_string(pipeline, capp_json_get(pattern, "String"), "pattern", &from, err);
        if (st == CAPP_OK)
            st = capp_pipeline_read_string(pipeline, capp_json_get(value, "content"), "content", &to, err);
        return st == CAPP_OK ? add_replaced(pipeline, from, to, err) : st;
    } else if (!is_type(value, "Fuse") && !is_type(value, "Strip")) {
        bool escapes;
        capp_str type = capp_json_raw(capp_json_get(value, "type"), &escapes);
        return capp_fail(err, CAPP_EUNSUPPORTED, "a decoder of type \"%.*s\" is not supported",
                         type.size < 100 ? (int)type.size : 100, type.data ? type.data : "");
    }
    return CAPP_OK;
}

/* Depth: at most CAPP_JSON_DEPTH. */
static capp_status add_decoders(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    if (capp_json_kind_of(value) <= CAPP_JSON_NULL) return CAPP_OK;
    if (!is_type(value, "Sequence")) return add_decoder(pipeline, value, err);
    capp_status st = CAPP_OK;
    for (capp_json_walk w = capp_json_begin(capp_json_get(value, "decoders")); st == CAPP_OK && capp_json_next(&w);)
        st = add_decoders(pipeline, w.value, err);
    return st;
}

capp_status capp_pipeline_parse_decoder(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    capp_status st = add_decoders(pipeline, value, err);
    if (st != CAPP_OK) capp_error_prefix(err, "decoder");
    return st;
}

/* Appends the bytes that the characters of text stand for. Returns false and appends nothing if a character does not
 * stand for a byte. */
static bool bytes_of(const capp_vocab *vocab, capp_str text, capp_text *out) {
    for (size_t i = 0, size; i < text.size; i += size) {
        int32_t c = capp_utf8_character(text.data + i, &size);
        if (c >= CAPP_BYTE_CHARACTERS || vocab->byte_of[c] < 0) return false;
    }
    for (size_t i = 0, size; i < text.size; i += size) {
        char byte = (char)vocab->byte_of[capp_utf8_character(text.data + i, &size)];
        if (!capp_text_append(out, &byte, 1)) return false;
    }
    return true;
}

static bool put_replaced(capp_text *out, capp_text *spare, capp_str text, const capp_decoder *d) {
    if (!capp_text_append(out, text.data, text.size)) return false;
    for (size_t r = 0; r < d->n_replaced; r++) {
        capp_str from = d->replaced[r].from, to = d->replaced[r].to;
        if (!from.size || !out->size || !capp_find_bytes(out->data, out->size, from.data, from.size)) continue;
        spare->size = 0;
        for (size_t i = 0; i < out->size;) {
            bool match = out->size - i >= from.size && !memcmp(out->data + i, from.data, from.size);
            if (!(match ? capp_text_append(spare, to.data, to.size) : capp_text_append(spare, out->data + i, 1)))
                return false;
            i += match ? from.size : 1;
        }
        capp_text swap = *out;
        *out = *spare;
        *spare = swap;
    }
    return true;
}

/* Writes the piece of an id to *piece. */
static bool decode(const capp_vocab *vocab, uint32_t id, capp_text *piece, capp_text *spare) {
    const capp_decoder *d = &vocab->pipeline->decoder;
    capp_str text = vocab->texts[id];
    piece->size = 0;
    if (vocab->types[id] != CAPP_TOKEN_NORMAL) return capp_text_append(piece, text.data, text.size);
    for (int b = 0; d->byte_fallback && text.size == 6 && b < 256; b++)
        if (vocab->pipeline->fallback[b] == (int32_t)id) return capp_text_append(piece, &(char){(char)b}, 1);
    if (d->byte_level && bytes_of(vocab, text, piece)) return true;
    piece->size = 0;
    return put_replaced(piece, spare, text, d);
}

capp_status capp_pipeline_make_pieces(capp_vocab *vocab, capp_error *err) {
    uint32_t n = vocab->info.n_tokens;
    capp_text piece = {0}, spare = {0}, all = {0};
    memset(vocab->byte_of, 0xff, sizeof vocab->byte_of);
    for (unsigned b = 0; b < 256; b++) vocab->byte_of[capp_byte_level_character((unsigned char)b)] = (int16_t)b;
    vocab->piece_at = capp_new((size_t)n + 1, sizeof *vocab->piece_at);
    bool made = vocab->piece_at && capp_text_append(&all, "", 1);
    all.size = 0;
    for (uint32_t i = 0; made && i < n; i++) {
        vocab->piece_at[i] = (uint32_t)all.size;
        made = decode(vocab, i, &piece, &spare) && capp_text_append(&all, piece.data, piece.size) &&
               all.size <= UINT32_MAX;
    }
    if (made) vocab->piece_at[n] = (uint32_t)all.size;
    vocab->pieces = all.data;
    capp_free(piece.data);
    capp_free(spare.data);
    return made ? CAPP_OK : capp_fail_memory(err, "a vocabulary's pieces");
}
