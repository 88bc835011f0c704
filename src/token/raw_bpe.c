/* BPE of raw UTF-8, as in Gemma 4: the parts of a word are its characters, not bytes, and merges are applied by rank.
 * In most of these vocabularies spaces are written as U+2581. A character without a token becomes its bytes, the tokens
 * <0x00> to <0xFF>. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/vocab_tables.h"

static const char SPACE_MARK[] = "\xe2\x96\x81"; /* U+2581 */
enum { MARK_SIZE = 3 };

void capp_raw_open(capp_vocab *vocab) {
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        vocab->byte_id[b] = capp_text_index_find(&vocab->index, capp_str_of(text));
    }
}

/* The byte that the text of a token stands for, or -1. */
static int byte_of(const capp_vocab *vocab, int32_t id) {
    for (int b = 0; b < 256; b++)
        if (vocab->byte_id[b] == id) return b;
    return -1;
}

size_t capp_raw_piece(const capp_vocab *vocab, int32_t id, char *out) {
    capp_str text = vocab->texts[id];
    int byte = vocab->types[id] == CAPP_TOKEN_BYTE ? byte_of(vocab, id) : -1;
    bool marks = vocab->types[id] == CAPP_TOKEN_NORMAL && capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_MARKS;
    size_t n = 0;
    if (byte >= 0) {
        out[0] = (char)byte;
        return 1;
    }
    for (size_t i = 0; i < text.size; i++) {
        bool mark = marks && text.size - i >= MARK_SIZE && !memcmp(text.data + i, SPACE_MARK, MARK_SIZE);
        out[n++] = mark ? ' ' : text.data[i];
        if (mark) i += MARK_SIZE - 1;
    }
    return n;
}

capp_status capp_raw_mark(capp_encode_scratch *scratch, capp_str *text, capp_error *err) {
    size_t spaces = 0, n = 0;
    for (size_t i = 0; i < text->size; i++) spaces += text->data[i] == ' ';
    if (!capp_grow(&scratch->text, &scratch->text_capacity, text->size + spaces * (MARK_SIZE - 1), 1))
        return capp_fail_memory(err, "a text");
    for (size_t i = 0; i < text->size; i++) {
        bool space = text->data[i] == ' ';
        memcpy(scratch->text + n, space ? SPACE_MARK : text->data + i, space ? MARK_SIZE : 1);
        n += space ? MARK_SIZE : 1;
    }
    *text = (capp_str){scratch->text, n};
    return CAPP_OK;
}

static bool find_merge(const capp_vocab *vocab, const char *text, const capp_merge_part *left,
                       const capp_merge_part *right, uint32_t end, uint32_t *priority, int32_t *merged) {
    (void)text;
    (void)end;
    if (left->id == CAPP_NO_TOKEN || right->id == CAPP_NO_TOKEN) return false;
    const capp_merge_slot *slot = capp_merge_table_find(&vocab->merges, left->id, right->id);
    if (!slot) return false;
    *priority = slot->rank;
    *merged = slot->merged;
    return true;
}

static bool push_bytes(const capp_vocab *vocab, capp_str character, capp_ids *out) {
    for (size_t i = 0; i < character.size; i++) {
        int32_t id = vocab->byte_id[(unsigned char)character.data[i]];
        if (id != CAPP_NO_TOKEN && !capp_ids_push(out, id)) return false;
    }
    return true;
}

static bool is_newlines(capp_str word) {
    size_t i = 0;
    while (i < word.size && word.data[i] == '\n') i++;
    return i == word.size;
}

capp_status capp_raw_word(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str word, capp_ids *out,
                          capp_error *err) {
    size_t n = 0;
    int32_t whole = CAPP_NO_TOKEN;
    if (capp_pretokenizer_flags(vocab->pre) & CAPP_PRE_NEWLINES && is_newlines(word))
        whole = capp_text_index_find(&vocab->index, word);
    if (whole != CAPP_NO_TOKEN) return capp_ids_push(out, whole) ? CAPP_OK : capp_fail_memory(err, "ids");
    if (!capp_grow(&scratch->parts, &scratch->parts_capacity, word.size + 1, sizeof *scratch->parts))
        return capp_fail_memory(err, "the merges of a word");
    for (size_t i = 0; i < word.size; n++) {
        size_t size = capp_utf8_size(word.data + i);
        int32_t id = capp_text_index_find(&vocab->index, (capp_str){word.data + i, size});
        scratch->parts[n] = (capp_merge_part){(uint32_t)i, id, CAPP_NO_MERGE, CAPP_NO_TOKEN};
        i += size;
    }
    scratch->n_parts = n;
    capp_status st = capp_merge_parts(vocab, find_merge, scratch, word.data, (uint32_t)word.size, err);
    for (size_t i = 0; st == CAPP_OK && i < scratch->n_parts; i++) {
        const capp_merge_part *part = &scratch->parts[i];
        capp_str text = {word.data + part->at, part[1].at - part->at};
        bool pushed = part->id == CAPP_NO_TOKEN ? push_bytes(vocab, text, out) : capp_ids_push(out, part->id);
        if (!pushed) st = capp_fail_memory(err, "ids");
    }
    return st;
}
