#define _POSIX_C_SOURCE 200809L
#include "token/charsmap.h"

#include <string.h>

#include "base/mem.h"

enum { SHORT_CLUSTER = 5 };

struct capp_charsmap {
    uint32_t *units;
    size_t n_units;
    char *replacements;
    size_t size;
};

capp_status capp_charsmap_open(capp_charsmap **out, capp_str bytes, capp_error *err) {
    const unsigned char *p = (const unsigned char *)bytes.data;
    *out = NULL;
    uint32_t size = bytes.size < 4 ? 0 : p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (!size || size % 4 || size > bytes.size - 4)
        return capp_fail(err, CAPP_EFORMAT, "precompiled_charsmap is not a valid character map");
    size_t left = bytes.size - 4 - size;
    capp_charsmap *map = capp_new0(1, sizeof *map);
    if (map) map->units = capp_new(size / 4, sizeof *map->units);
    if (map) map->replacements = capp_new(left, 1);
    if (!map || !map->units || !map->replacements) {
        capp_charsmap_free(map);
        return capp_fail_memory(err, "a character map");
    }
    map->n_units = size / 4;
    memcpy(map->units, p + 4, size); /* little-endian, like this machine */
    map->size = left;
    if (left) memcpy(map->replacements, p + 4 + size, left);
    *out = map;
    return CAPP_OK;
}

void capp_charsmap_free(capp_charsmap *map) {
    if (!map) return;
    capp_free(map->units);
    capp_free(map->replacements);
    capp_free(map);
}

/* The offset from a unit to its children. */
static size_t offset_of(uint32_t unit) {
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

static capp_str replacement_at(const capp_charsmap *map, uint32_t leaf) {
    size_t at = leaf & 0x7fffffff;
    if (at >= map->size) return (capp_str){"", 0};
    return (capp_str){map->replacements + at, strnlen(map->replacements + at, map->size - at)};
}

size_t capp_charsmap_find(const capp_charsmap *map, capp_str text, bool longest, capp_str *replacement) {
    size_t found = 0, at = offset_of(map->units[0]);
    for (size_t i = 0; i < text.size && text.data[i]; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        at ^= byte;
        if (at >= map->n_units) break;
        uint32_t unit = map->units[at];
        if ((unit & (0x80000000u | 0xff)) != byte) break;
        at ^= offset_of(unit);
        if (!(unit & 0x100) || at >= map->n_units) continue;
        *replacement = replacement_at(map, map->units[at]);
        found = i + 1;
        if (!longest) break;
    }
    return found;
}

/* A text that is being mapped. */
typedef struct mapping {
    const capp_charsmap *map;
    capp_text *out;
    capp_text_front *front; /* NULL: the caller does not need it */
    bool held;              /* the last character has not been added to front yet: */
    ptrdiff_t change;       /* its change; removed characters after it are added to it */
    size_t at;              /* where it was written */
} mapping;

static void tell(mapping *m) {
    if (m->held) capp_text_front_step(m->front, m->change, m->at);
    m->held = false;
}

static size_t characters(capp_str text) {
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) n += (text.data[i] & 0xc0) != 0x80;
    return n;
}

/* Records that `to` replaces `from`. The last character of `to` replaces all remaining characters of `from`. What is
 * removed at the very front is not recorded, as in the tokenizers package. */
static void follow(mapping *m, capp_str from, capp_str to) {
    size_t before = characters(from), after = characters(to), n = 0;
    for (size_t i = 0; i < to.size; i++) {
        if ((to.data[i] & 0xc0) == 0x80) continue;
        tell(m);
        m->held = true;
        m->change = n++ < before ? 0 : 1;
        m->at = m->out->size + i;
    }
    if (after < before) m->change -= (ptrdiff_t)(before - after);
}

static bool put(mapping *m, capp_str from, capp_str to) {
    if (m->front && !m->front->over) follow(m, from, to);
    return capp_text_append(m->out, to.data, to.size);
}

/* Maps a grapheme cluster. If it is short and in the map, it is mapped as a whole (only its beginning must match, as in
 * the tokenizers package); otherwise each character is mapped by itself. */
static bool put_cluster(mapping *m, capp_str cluster) {
    capp_str to;
    if (cluster.size <= SHORT_CLUSTER && capp_charsmap_find(m->map, cluster, false, &to)) return put(m, cluster, to);
    for (size_t i = 0, size; i < cluster.size; i += size) {
        size = capp_utf8_size(cluster.data + i);
        capp_str part = {cluster.data + i, size};
        bool found = capp_charsmap_find(m->map, part, false, &to) > 0;
        if (!put(m, part, found ? to : part)) return false;
    }
    return true;
}

bool capp_charsmap_append(const capp_charsmap *map, capp_text *out, capp_str text, capp_text_front *front) {
    mapping m = {.map = map, .out = out, .front = front};
    size_t begin = 0, size;
    int32_t before = 0, state = 0;
    for (size_t i = 0; i < text.size; i += size) {
        int32_t c = capp_utf8_character(text.data + i, &size);
        if (i && capp_grapheme_cluster_ends(before, c, &state)) {
            if (!put_cluster(&m, (capp_str){text.data + begin, i - begin})) return false;
            begin = i;
        }
        before = c;
    }
    if (begin < text.size && !put_cluster(&m, (capp_str){text.data + begin, text.size - begin})) return false;
    tell(&m);
    return true;
}

static int digit_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool capp_decode_base64(capp_str text, char *out, size_t *size) {
    size_t padding = 0;
    *size = 0;
    if (text.size % 4) return false;
    while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=') padding++;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.size - padding; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 == 1) out[(*size)++] = (char)(bits >> 4);
        if (i % 4 == 2) out[(*size)++] = (char)(bits >> 2);
        if (i % 4 == 3) out[(*size)++] = (char)bits;
    }
    return true;
}
