/* tokenizer.model is a message of Protocol Buffers (sentencepiece, src/sentencepiece_model.proto). It is read by field
 * numbers and written to memory as the metadata of a GGUF file, as converters do it, so that one code knows what these
 * vocabularies mean.
 *
 *   message: fields; a field: varint (number << 3 | wire), then for wire 0 a varint, 1 eight bytes, 2 a varint n and n
 *   bytes (a text or a message), 5 four bytes
 */
#define _POSIX_C_SOURCE 200809L /* access, stat */
#include "token/sentencepiece_model.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/json.h"
#include "base/mem.h"
#include "token/unicode.h"

enum { UNIGRAM = 1, BPE = 2, NORMAL = 1, CONTROL = 3, UNUSED = 5, BYTE = 6 };
enum { MOST_HOLES = 1 << 16 };

typedef struct piece {
    capp_str text;
    float score;
    uint32_t type;
} piece;

typedef struct reader {
    const char *path;
    capp_error *err;
    piece *pieces;
    size_t n, capacity;
    int32_t kind, unk, bos, eos, pad; /* ids: -1: none */
    capp_str charsmap;
    bool prefix, merge_spaces, escape, suffix;
    bool add_bos, prefix_once;
    capp_sentencepiece_model *model;
    capp_str *special; /* texts of special tokens that the JSON files beside the model name */
    size_t n_special, special_capacity;
    char *texts; /* of the JSON files, decoded */
    size_t used;
} reader;

static capp_status fail(const reader *r, capp_status st, const char *what) {
    return capp_fail(r->err, st, "%s: %s", r->path, what);
}

/* ---- Protocol Buffers ----------------------------------------------------------------------------------------------
 */

typedef struct field {
    uint64_t number, value; /* value: for wires 0, 1 and 5 */
    capp_str bytes;         /* for wire 2 */
} field;

static uint64_t varint(capp_cursor *c) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = capp_cursor_u8(c);
        value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return value;
    }
    (void)capp_cursor_take(c, UINT64_MAX); /* no number has so many bytes: the cursor fails */
    return 0;
}

/* Reads the next field; false at the end, or if the message is damaged: then the cursor has failed. */
static bool next(capp_cursor *c, field *f) {
    if (c->failed || !capp_cursor_left(c)) return false;
    const uint64_t tag = varint(c);
    *f = (field){.number = tag >> 3, .bytes = {"", 0}};
    switch (tag & 7) {
    case 0: f->value = varint(c); break;
    case 1: f->value = capp_cursor_u64(c); break;
    case 2: {
        const uint64_t size = varint(c);
        const char *bytes = capp_cursor_take(c, size);
        if (bytes) f->bytes = (capp_str){bytes, (size_t)size};
        break;
    }
    case 5: f->value = capp_cursor_u32(c); break;
    default: (void)capp_cursor_take(c, UINT64_MAX);
    }
    return !c->failed;
}

static capp_status fail_damaged(const reader *r) {
    return fail(r, CAPP_EFORMAT, "is not a model of the sentencepiece library, or is damaged; download it again");
}

/* ---- The model -----------------------------------------------------------------------------------------------------
 */

static capp_status add_piece(reader *r, piece p) {
    if (!capp_grow(&r->pieces, &r->capacity, r->n + 1, sizeof *r->pieces))
        return capp_fail_memory(r->err, "a vocabulary");
    r->pieces[r->n++] = p;
    return CAPP_OK;
}

static capp_status read_piece(reader *r, capp_str bytes) {
    capp_cursor c = capp_cursor_of(bytes.data, bytes.size);
    piece p = {.text = {"", 0}, .type = NORMAL};
    for (field f; next(&c, &f);) {
        const uint32_t bits = (uint32_t)f.value;
        if (f.number == 1) p.text = f.bytes;
        if (f.number == 2) memcpy(&p.score, &bits, sizeof p.score);
        if (f.number == 3) p.type = bits;
    }
    if (c.failed || p.type < NORMAL || p.type > BYTE || p.score != p.score || r->n >= INT32_MAX - MOST_HOLES)
        return fail_damaged(r);
    return add_piece(r, p);
}

static capp_status read_trainer(reader *r, capp_str bytes) {
    capp_cursor c = capp_cursor_of(bytes.data, bytes.size);
    for (field f; next(&c, &f);) {
        const int32_t value = (int32_t)(uint32_t)f.value;
        switch (f.number) {
        case 3: r->kind = value; break;
        case 24: r->suffix = value; break;
        case 40: r->unk = value; break;
        case 41: r->bos = value; break;
        case 42: r->eos = value; break;
        case 43: r->pad = value; break;
        default: break;
        }
    }
    return c.failed ? fail_damaged(r) : CAPP_OK;
}

static capp_status read_normalizer(reader *r, capp_str bytes) {
    capp_cursor c = capp_cursor_of(bytes.data, bytes.size);
    for (field f; next(&c, &f);) {
        if (f.number == 2) r->charsmap = f.bytes;
        if (f.number == 3) r->prefix = f.value;
        if (f.number == 4) r->merge_spaces = f.value;
        if (f.number == 5) r->escape = f.value;
    }
    return c.failed ? fail_damaged(r) : CAPP_OK;
}

static capp_status check_model(const reader *r) {
    if (!r->n) return fail_damaged(r);
    if (r->kind != BPE && r->kind != UNIGRAM)
        return fail(r, CAPP_EUNSUPPORTED, "is a model of words or characters; capp supports BPE and Unigram");
    if (r->suffix || !r->escape)
        return fail(r, CAPP_EUNSUPPORTED,
                    "does not mark the beginnings of words; save the tokenizer as tokenizer.json");
    return CAPP_OK;
}

static capp_status read_model(reader *r, const capp_map *map) {
    capp_cursor c = capp_cursor_of(map->data, map->size);
    capp_status st = CAPP_OK;
    for (field f; st == CAPP_OK && next(&c, &f);) {
        if (f.number == 1) st = read_piece(r, f.bytes);
        if (f.number == 2) st = read_trainer(r, f.bytes);
        if (f.number == 3) st = read_normalizer(r, f.bytes);
    }
    if (st != CAPP_OK) return st;
    return c.failed ? fail_damaged(r) : check_model(r);
}

/* ---- The JSON files beside it ---------------------------------------------------------------------------------------
 */

enum { CONFIG, ADDED, SPECIAL, N_FILES };
static const char *const file_names[N_FILES] = {"tokenizer_config.json", "added_tokens.json",
                                                "special_tokens_map.json"};

/* The text of a string, decoded; {NULL, 0} for another kind of value. */
static capp_str text_of(reader *r, capp_json value) {
    bool escapes;
    const capp_str raw = capp_json_raw(value, &escapes);
    if (!raw.data || !escapes) return raw;
    char *to = r->texts + r->used;
    const size_t size = capp_json_decode(raw, to);
    r->used += size;
    return (capp_str){to, size};
}

static int32_t find(const reader *r, capp_str text) {
    for (size_t i = 0; text.data && i < r->n; i++)
        if (r->pieces[i].text.size == text.size && !memcmp(r->pieces[i].text.data, text.data, text.size))
            return (int32_t)i;
    return -1;
}

/* Sets *id to the token that the member names, as its text or as {"content": TEXT}, if there is one. */
static void named(reader *r, capp_json config, const char *name, int32_t *id) {
    const capp_json value = capp_json_get(config, name), content = capp_json_get(value, "content");
    const int32_t found = find(r, text_of(r, content ? content : value));
    if (found >= 0) *id = found;
}

/* Reads the digits of an id below `end`. */
static bool read_id(capp_json name, size_t end, size_t *id) {
    bool escapes;
    const capp_str digits = capp_json_raw(name, &escapes);
    *id = 0;
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') return false;
        *id = *id * 10 + (size_t)(digits.data[i] - '0');
        if (*id >= end) return false;
    }
    return digits.size;
}

/* Sets the text of piece id, which may lie beyond the others. A text that is neither special nor a piece of the model
 * is found in any text: its piece is never used otherwise. */
static capp_status add_token(reader *r, capp_str text, size_t id, bool special) {
    capp_sentencepiece_model *m = r->model;
    capp_status st = CAPP_OK;
    while (st == CAPP_OK && r->n <= id) st = add_piece(r, (piece){.text = {"", 0}, .type = UNUSED});
    if (st != CAPP_OK) return st;
    piece *p = &r->pieces[id];
    p->text = text;
    if (special) p->type = CONTROL;
    if (p->type != UNUSED) return CAPP_OK;
    if (!capp_grow(&m->added, &m->added_capacity, m->n_added + 1, sizeof *m->added))
        return capp_fail_memory(r->err, "a vocabulary");
    m->added[m->n_added++] = (int32_t)id;
    return CAPP_OK;
}

/* "ID": {"content": TEXT, "special": true} */
static capp_status read_entry(reader *r, capp_json name, capp_json token) {
    const capp_str text = text_of(r, capp_json_get(token, "content"));
    bool special = false;
    size_t id;
    if (!read_id(name, r->n + MOST_HOLES, &id) || !text.data)
        return fail(r, CAPP_EFORMAT,
                    "in the tokenizer_config.json beside it, an entry of added_tokens_decoder has no content, or an id "
                    "far above the others");
    (void)capp_json_bool(capp_json_get(token, "special"), &special);
    return add_token(r, text, id, special);
}

/* TEXT: ID of added_tokens.json. */
static capp_status read_older_entry(reader *r, capp_json name, capp_json value) {
    const capp_str text = text_of(r, name);
    bool special = false;
    double id;
    if (!capp_json_f64(value, &id) || !(id >= 0 && id < (double)(r->n + MOST_HOLES)) || id != (double)(size_t)id ||
        !text.data)
        return fail(r, CAPP_EFORMAT,
                    "in the added_tokens.json beside it, an entry has no id, or one far above the others");
    for (size_t i = 0; i < r->n_special && !special; i++)
        special = r->special[i].size == text.size && !memcmp(r->special[i].data, text.data, text.size);
    return add_token(r, text, (size_t)id, special);
}

/* Notes the text of a special token: TEXT or {"content": TEXT}. */
static capp_status note_special(reader *r, capp_json value) {
    const capp_json content = capp_json_get(value, "content");
    const capp_str text = text_of(r, content ? content : value);
    if (!text.data) return CAPP_OK;
    if (!capp_grow(&r->special, &r->special_capacity, r->n_special + 1, sizeof *r->special))
        return capp_fail_memory(r->err, "a vocabulary");
    r->special[r->n_special++] = text;
    return CAPP_OK;
}

/* Notes which texts are special tokens in a JSON file. */
static capp_status note_all_special(reader *r, capp_json file) {
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                        "sep_token", "cls_token", "mask_token"};
    capp_status st = CAPP_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && st == CAPP_OK; i++)
        st = note_special(r, capp_json_get(file, names[i]));
    for (capp_json_walk w = capp_json_begin(capp_json_get(file, "additional_special_tokens"));
         st == CAPP_OK && capp_json_next(&w);)
        st = note_special(r, w.value);
    return st;
}

static void read_names(reader *r, capp_json file) {
    named(r, file, "bos_token", &r->bos);
    named(r, file, "eos_token", &r->eos);
    named(r, file, "pad_token", &r->pad);
    named(r, file, "unk_token", &r->unk);
}

/* "legacy": false: only the beginning of a text gets a space in front, if it gets one. */
static capp_status read_legacy(reader *r, capp_json config) {
    bool legacy = true, prefix = true;
    (void)capp_json_bool(capp_json_get(config, "legacy"), &legacy);
    (void)capp_json_bool(capp_json_get(config, "add_prefix_space"), &prefix);
    if (legacy) return CAPP_OK;
    r->prefix_once = true;
    r->prefix = r->prefix && prefix;
    if (!r->merge_spaces) return CAPP_OK;
    return fail(
        r, CAPP_EUNSUPPORTED,
        "merges spaces, and the tokenizer_config.json beside it has \"legacy\": false, which capp does not support "
        "together; save the tokenizer as tokenizer.json");
}

/* The older files count if tokenizer_config.json does not list the added tokens. */
static capp_status read_older(reader *r, const capp_json *files) {
    capp_status st = note_all_special(r, files[SPECIAL]);
    if (st == CAPP_OK) st = note_all_special(r, files[CONFIG]);
    for (capp_json_walk w = capp_json_begin(files[ADDED]); st == CAPP_OK && capp_json_next(&w);)
        st = read_older_entry(r, w.name, w.value);
    read_names(r, files[SPECIAL]);
    return st;
}

static capp_status read_config(reader *r, const capp_json *files) {
    const capp_json config = files[CONFIG], added = capp_json_get(config, "added_tokens_decoder");
    capp_status st = added ? CAPP_OK : read_older(r, files);
    for (capp_json_walk w = capp_json_begin(added); st == CAPP_OK && capp_json_next(&w);)
        if (w.name) st = read_entry(r, w.name, w.value);
    read_names(r, config);
    (void)capp_json_bool(capp_json_get(config, "add_bos_token"), &r->add_bos);
    return st == CAPP_OK ? read_legacy(r, config) : st;
}

/* Parses a file, which must be an object. */
static capp_status parse(const reader *r, const capp_map *map, const char *path, capp_json *out) {
    capp_status st = capp_json_check((capp_str){map->data, map->size}, out, r->err);
    if (st == CAPP_OK && capp_json_kind_of(*out) != CAPP_JSON_OBJECT)
        st = capp_fail(r->err, CAPP_EFORMAT, "the file must be a JSON object");
    if (st != CAPP_OK) capp_error_prefix(r->err, path);
    return st;
}

/* ---- As GGUF -------------------------------------------------------------------------------------------------------
 */

enum { U8_VALUE = 0, I32_VALUE = 5, U32_VALUE = 4, F32_VALUE = 6, BOOL_VALUE = 7, STRING_VALUE = 8, ARRAY_VALUE = 9 };

typedef struct writer {
    capp_text text;
    uint64_t n;
    bool failed;
} writer;

static void put(writer *w, const void *bytes, size_t size) {
    w->failed = w->failed || !capp_text_append(&w->text, bytes, size);
}

static void put_string(writer *w, capp_str text) {
    const uint64_t size = text.size;
    put(w, &size, sizeof size);
    put(w, text.data, text.size);
}

static void put_key(writer *w, const char *key, uint32_t type) {
    char name[64];
    snprintf(name, sizeof name, "tokenizer.ggml.%s", key);
    put_string(w, capp_str_of(name));
    put(w, &type, sizeof type);
    w->n++;
}

static void put_array(writer *w, const char *key, uint32_t type, uint64_t count) {
    put_key(w, key, ARRAY_VALUE);
    put(w, &type, sizeof type);
    put(w, &count, sizeof count);
}

static void put_bool(writer *w, const char *key, bool value) {
    put_key(w, key, BOOL_VALUE);
    put(w, &(char){value}, 1);
}

static void put_id(writer *w, const char *key, int32_t id) {
    put_key(w, key, I32_VALUE);
    put(w, &id, sizeof id);
}

static void put_pieces(writer *w, const reader *r) {
    put_array(w, "tokens", STRING_VALUE, r->n);
    for (size_t i = 0; i < r->n; i++) put_string(w, r->pieces[i].text);
    put_array(w, "scores", F32_VALUE, r->n);
    for (size_t i = 0; i < r->n; i++) put(w, &r->pieces[i].score, sizeof(float));
    put_array(w, "token_type", U32_VALUE, r->n);
    for (size_t i = 0; i < r->n; i++) put(w, &r->pieces[i].type, sizeof(uint32_t));
}

static int32_t valid(const reader *r, int32_t id) {
    return id >= 0 && (size_t)id < r->n ? id : -1;
}

static capp_status write_gguf(capp_sentencepiece_model *model, const reader *r) {
    enum { HEADER = 24, COUNT_AT = 16, ALIGNMENT = 32 };
    static const char head[HEADER] = {'G', 'G', 'U', 'F', 3};
    static const char padding[ALIGNMENT] = {0};
    writer w = {.text = {0}};
    put(&w, head, sizeof head);
    put_key(&w, "model", STRING_VALUE);
    put_string(&w, capp_str_of(r->kind == BPE ? "llama" : "t5"));
    put_pieces(&w, r);
    put_id(&w, "bos_token_id", valid(r, r->bos));
    put_id(&w, "eos_token_id", valid(r, r->eos));
    put_id(&w, "unknown_token_id", valid(r, r->unk));
    put_id(&w, "padding_token_id", valid(r, r->pad));
    put_bool(&w, "add_bos_token", r->add_bos && valid(r, r->bos) >= 0);
    put_bool(&w, "add_eos_token", false);
    put_bool(&w, "add_space_prefix", r->prefix);
    put_bool(&w, "remove_extra_whitespaces", r->merge_spaces);
    put_array(&w, "precompiled_charsmap", U8_VALUE, r->charsmap.size);
    put(&w, r->charsmap.data, r->charsmap.size);
    put(&w, padding, sizeof padding);
    model->bytes = w.text.data;
    if (w.failed) return capp_fail_memory(r->err, "a vocabulary");
    memcpy(model->bytes + COUNT_AT, &w.n, sizeof w.n);
    return capp_gguf_parse(&model->gguf, model->bytes, w.text.size, model->path, r->err);
}

/* ---- Opening -------------------------------------------------------------------------------------------------------
 */

static bool is_folder(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

/* The path of a file in the folder of path, or in path if it is a folder; NULL if there is not enough memory. */
static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    const bool folder = is_folder(path);
    const size_t n = folder ? strlen(path) : slash ? (size_t)(slash + 1 - path) : 0, size = n + strlen(name) + 2;
    char *made = capp_new(size, 1);
    if (made) snprintf(made, size, "%.*s%s%s", (int)n, path, folder ? "/" : "", name);
    return made;
}

static bool has(const char *path, const char *name) {
    char *file = beside(path, name);
    const bool there = file && !access(file, F_OK);
    capp_free(file);
    return there;
}

bool capp_sentencepiece_model_is(const char *path) {
    static const char end[] = ".model";
    const size_t n = strlen(path), size = sizeof end - 1;
    if (is_folder(path)) return !has(path, "tokenizer.json") && has(path, "tokenizer.model");
    return n > size && !strcmp(path + n - size, end);
}

/* Maps and parses a file beside the model, if there is one. */
static capp_status open_file(reader *r, const char *path, size_t file, capp_map *map, capp_json *out) {
    capp_status st = CAPP_OK;
    char *name = beside(path, file_names[file]);
    if (!name) return capp_fail_memory(r->err, "a path");
    if (!access(name, F_OK)) {
        st = capp_map_open(map, name, r->err);
        if (st == CAPP_OK) st = parse(r, map, name, out);
    }
    capp_free(name);
    return st;
}

static capp_status read_files(capp_sentencepiece_model *model, reader *r, const char *path) {
    capp_map map = {0}, maps[N_FILES] = {0};
    capp_json files[N_FILES] = {NULL};
    size_t bytes = 0;
    capp_status st = capp_map_open(&map, model->path, r->err);
    if (st == CAPP_OK) st = read_model(r, &map);
    r->add_bos = r->kind == BPE;
    for (size_t i = 0; i < N_FILES && st == CAPP_OK; bytes += maps[i++].size)
        st = open_file(r, path, i, &maps[i], &files[i]);
    if (st == CAPP_OK && !(r->texts = capp_new(2 * bytes, 1))) st = capp_fail_memory(r->err, "a vocabulary");
    if (st == CAPP_OK) st = read_config(r, files);
    if (st == CAPP_OK) st = write_gguf(model, r);
    capp_map_close(&map);
    for (size_t i = 0; i < N_FILES; i++) capp_map_close(&maps[i]);
    return st;
}

capp_status capp_sentencepiece_model_open(capp_sentencepiece_model *model, const char *path, capp_error *err) {
    model->path = is_folder(path) ? beside(path, "tokenizer.model") : beside("", path);
    reader r = {.path = model->path,
                .err = err,
                .kind = UNIGRAM,
                .bos = 1,
                .eos = 2,
                .pad = -1,
                .charsmap = {"", 0},
                .prefix = true,
                .merge_spaces = true,
                .escape = true,
                .model = model};
    capp_status st = model->path ? read_files(model, &r, path) : capp_fail_memory(err, "a path");
    model->prefix_once = r.prefix_once;
    capp_free(r.pieces);
    capp_free(r.special);
    capp_free(r.texts);
    return st;
}

void capp_sentencepiece_model_free(capp_sentencepiece_model *model) {
    capp_gguf_free(model->gguf);
    capp_free(model->bytes);
    capp_free(model->added);
    capp_free(model->path);
}
