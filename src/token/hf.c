#define _GNU_SOURCE
#include "token/hf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { CHUNK = 1 << 16, MOST_HOLES = 1 << 16 };

/* Decoded strings, many in one block. */
struct capp_chunk {
    capp_chunk *next;
    size_t used, size;
    char data[];
};

static char *room_for(capp_hf *hf, size_t size) {
    capp_chunk *chunk = hf->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t wanted = size > CHUNK ? size : CHUNK;
        chunk = capp_new(sizeof *chunk + wanted, 1);
        if (!chunk) return NULL;
        *chunk = (capp_chunk){.next = hf->chunks, .size = wanted};
        hf->chunks = chunk;
    }
    char *room = chunk->data + chunk->used;
    chunk->used += size;
    return room;
}

capp_status capp_hf_str(capp_hf *hf, capp_json value, const char *name, capp_str *out, capp_error *err) {
    bool escapes;
    capp_str raw = capp_json_raw(value, &escapes);
    if (!raw.data) return capp_fail(err, CAPP_EFORMAT, "%s is missing or not a string", name);
    if (escapes) {
        char *room = room_for(hf, raw.size);
        if (!room) return capp_fail_memory(err, "a tokenizer");
        raw = (capp_str){room, capp_json_decode(raw, room)};
    }
    *out = raw;
    return CAPP_OK;
}

capp_status capp_hf_bool(capp_json object, const char *name, bool *out, capp_error *err) {
    return capp_hf_bool_of(capp_json_get(object, name), name, out, err);
}

capp_status capp_hf_bool_of(capp_json value, const char *name, bool *out, capp_error *err) {
    if (capp_json_kind_of(value) <= CAPP_JSON_NULL || capp_json_bool(value, out)) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s is neither true nor false", name);
}

/* ---- The vocabulary ---------------------------------------------------------------------------------------------- */

static capp_status make_room(capp_vocab *vocab, size_t n_ids, size_t n_added, capp_error *err) {
    capp_hf *hf = vocab->hf;
    size_t n = n_ids + n_added;
    if (n > INT32_MAX) return capp_fail(err, CAPP_EFORMAT, "model.vocab has too many tokens");
    hf->n_texts = (uint32_t)n;
    hf->texts = capp_new0(n, sizeof *hf->texts);
    hf->in_model = capp_new0(n, 1);
    vocab->types = capp_new(n, 1);
    vocab->texts = hf->texts;
    if (!hf->texts || !hf->in_model || !vocab->types) return capp_fail_memory(err, "a vocabulary");
    memset(vocab->types, CAPP_TOKEN_NORMAL, n);
    vocab->info.n_tokens = (uint32_t)n_ids;
    return CAPP_OK;
}

static capp_status make_index(capp_vocab *vocab, capp_error *err) {
    capp_free(vocab->index.slots);
    vocab->index.slots = NULL;
    return capp_text_index_make(&vocab->index, vocab->texts, vocab->info.n_tokens, err);
}

/* Of tokens that stand in the file several times only the last counts: the others lose their ids. */
static capp_status drop_repeated(capp_vocab *vocab, capp_json entries, capp_error *err) {
    capp_hf *hf = vocab->hf;
    uint8_t *seen = capp_new0(vocab->info.n_tokens, 1);
    uint32_t *last = capp_new0(vocab->info.n_tokens, sizeof *last); /* by the lowest id of a text, its last one */
    capp_status st = seen && last ? CAPP_OK : capp_fail_memory(err, "a vocabulary");
    for (capp_json_walk w = capp_json_begin(entries); st == CAPP_OK && capp_json_next(&w);) {
        capp_str text = {"", 0};
        uint32_t id = 0;
        st = capp_hf_str(hf, w.name, "a token", &text, err);
        (void)capp_json_u32(w.value, INT32_MAX, &id);
        int32_t lowest = st == CAPP_OK ? capp_text_index_find(&vocab->index, text) : CAPP_NO_TOKEN;
        if (lowest != CAPP_NO_TOKEN) {
            last[lowest] = id;
            seen[lowest] = 1;
        }
    }
    hf->n_model = 0;
    for (uint32_t i = 0; st == CAPP_OK && i < vocab->info.n_tokens; i++) {
        int32_t lowest = hf->texts[i].size ? capp_text_index_find(&vocab->index, hf->texts[i]) : CAPP_NO_TOKEN;
        bool keep = hf->texts[i].data && (lowest == CAPP_NO_TOKEN || !seen[lowest] || last[lowest] == i);
        hf->in_model[i] = keep ? 1 : hf->in_model[i] ? 2 : 0; /* 2: goes, once the index is no more needed */
        hf->n_model += keep;
    }
    for (uint32_t i = 0; st == CAPP_OK && i < vocab->info.n_tokens; i++) {
        if (hf->in_model[i] != 2) continue;
        hf->in_model[i] = 0;
        hf->texts[i] = (capp_str){NULL, 0};
    }
    capp_free(seen);
    capp_free(last);
    return st == CAPP_OK ? make_index(vocab, err) : st;
}

static capp_status highest_id(capp_json entries, size_t *n, uint32_t *highest, capp_error *err) {
    *n = *highest = 0;
    for (capp_json_walk w = capp_json_begin(entries); capp_json_next(&w); (*n)++) {
        uint32_t id;
        if (!capp_json_u32(w.value, INT32_MAX - 1, &id))
            return capp_fail(err, CAPP_EFORMAT, "model.vocab: entry %zu has no id", *n);
        if (id > *highest) *highest = id;
    }
    /* Gaps are allowed, but not so many that a small file takes much memory. */
    if (*highest > 8 * *n + MOST_HOLES)
        return capp_fail(err, CAPP_EFORMAT, "model.vocab has %zu tokens, but one has the id %u", *n, *highest);
    return CAPP_OK;
}

/* {"text": id, ...} */
static capp_status read_bpe_vocab(capp_vocab *vocab, capp_json entries, size_t n_added, capp_error *err) {
    capp_hf *hf = vocab->hf;
    size_t n;
    uint32_t highest;
    capp_status st = highest_id(entries, &n, &highest, err);
    if (st == CAPP_OK) st = make_room(vocab, n ? (size_t)highest + 1 : 0, n_added, err);
    bool repeated = false;
    for (capp_json_walk w = capp_json_begin(entries); st == CAPP_OK && capp_json_next(&w);) {
        uint32_t id = 0;
        capp_str text;
        (void)capp_json_u32(w.value, INT32_MAX, &id);
        if ((st = capp_hf_str(hf, w.name, "a token", &text, err)) != CAPP_OK) break;
        capp_str other = hf->texts[id];
        if (other.data && (other.size != text.size || memcmp(other.data, text.data, text.size) != 0))
            return capp_fail(err, CAPP_EFORMAT, "model.vocab: two tokens have the id %u", id);
        repeated = repeated || other.data;
        hf->texts[id] = text;
        hf->in_model[id] = 1;
        hf->n_model += !other.data;
        if (text.size > vocab->longest) vocab->longest = text.size;
    }
    if (st == CAPP_OK) st = make_index(vocab, err);
    for (uint32_t i = 0; st == CAPP_OK && !repeated && i < vocab->info.n_tokens; i++)
        repeated = hf->texts[i].size && capp_text_index_find(&vocab->index, hf->texts[i]) != (int32_t)i;
    return st == CAPP_OK && repeated ? drop_repeated(vocab, entries, err) : st;
}

/* [["text", score], ...] */
static capp_status read_unigram_vocab(capp_vocab *vocab, const capp_json_fields *model, size_t n_added,
                                      capp_error *err) {
    capp_hf *hf = vocab->hf;
    capp_json entries = capp_json_field(model, "vocab"), unknown = capp_json_field(model, "unk_id");
    size_t n = capp_json_count(entries), i = 0;
    double *scores = capp_new(n, sizeof *scores);
    capp_status st = scores ? make_room(vocab, n, n_added, err) : capp_fail_memory(err, "a vocabulary's scores");
    for (capp_json_walk w = capp_json_begin(entries); st == CAPP_OK && capp_json_next(&w); i++) {
        capp_json_walk pair = capp_json_begin(w.value);
        bool two = capp_json_count(w.value) == 2 && capp_json_next(&pair);
        st = capp_hf_str(hf, two ? pair.value : NULL, "a piece of model.vocab", &hf->texts[i], err);
        if (st == CAPP_OK && (!capp_json_next(&pair) || !capp_json_f64(pair.value, &scores[i])))
            st = capp_fail(err, CAPP_EFORMAT, "model.vocab: piece %zu has no score", i);
        hf->in_model[i] = 1;
    }
    hf->n_model = (uint32_t)n;
    double least = INFINITY;
    for (i = 0; st == CAPP_OK && i < n; i++) least = scores[i] < least ? scores[i] : least;
    if (st == CAPP_OK) st = capp_unigram_open(&hf->unigram, hf->texts, scores, (uint32_t)n, least, err);
    if (st == CAPP_OK) st = make_index(vocab, err);
    capp_free(scores);
    uint32_t id;
    if (st != CAPP_OK || capp_json_kind_of(unknown) <= CAPP_JSON_NULL) return st;
    if (!capp_json_u32(unknown, INT32_MAX, &id) || id >= n)
        return capp_fail(err, CAPP_EFORMAT, "model.unk_id is not the id of a piece");
    vocab->info.unk = (int32_t)id;
    return CAPP_OK;
}

static capp_status read_model(capp_vocab *vocab, const capp_json_fields *root, capp_error *err) {
    capp_json_fields fields, *model = &fields;
    if (!capp_json_read_fields(capp_json_field(root, "model"), model))
        return capp_fail(err, CAPP_EFORMAT, "model has more than %d members", CAPP_JSON_MOST_FIELDS);
    capp_json type = capp_json_field(model, "type"), entries = capp_json_field(model, "vocab");
    size_t n_added = capp_json_count(capp_json_field(root, "added_tokens"));
    bool escapes;
    /* Old files do not say: BPE has merges, Unigram a list of pieces. */
    bool bpe = type ? capp_json_is(type, "BPE") : capp_json_field(model, "merges") != NULL;
    bool unigram = type ? capp_json_is(type, "Unigram") : !bpe && capp_json_kind_of(entries) == CAPP_JSON_ARRAY;
    capp_str name = capp_json_raw(type, &escapes);
    if (!bpe && !unigram)
        return capp_fail(err, CAPP_EUNSUPPORTED, "the model is of type \"%.*s\"; BPE and Unigram are supported",
                         name.size < 100 ? (int)name.size : 100, name.data ? name.data : "");
    if (capp_json_kind_of(entries) != (bpe ? CAPP_JSON_OBJECT : CAPP_JSON_ARRAY))
        return capp_fail(err, CAPP_EFORMAT, "model.vocab is missing or no %s", bpe ? "object" : "array");
    vocab->hf->bpe = bpe;
    vocab->info.model = bpe ? "BPE" : "Unigram";
    capp_status st =
        bpe ? read_bpe_vocab(vocab, entries, n_added, err) : read_unigram_vocab(vocab, model, n_added, err);
    return st == CAPP_OK ? capp_hf_parse_model(vocab, model, err) : st;
}

/* ---- Added tokens ------------------------------------------------------------------------------------------------ */

static capp_status read_added(capp_vocab *vocab, capp_json list, capp_error *err) {
    capp_status st = CAPP_OK;
    bool outside = false;
    for (capp_json_walk w = capp_json_begin(list); st == CAPP_OK && capp_json_next(&w);) {
        capp_added a = {.normalized = true};
        st = capp_hf_str(vocab->hf, capp_json_get(w.value, "content"), "added_tokens: content", &a.content, err);
        if (st == CAPP_OK) st = capp_hf_bool(w.value, "special", &a.special, err);
        if (st == CAPP_OK) st = capp_hf_bool(w.value, "single_word", &a.single_word, err);
        if (st == CAPP_OK) st = capp_hf_bool(w.value, "lstrip", &a.lstrip, err);
        if (st == CAPP_OK) st = capp_hf_bool(w.value, "rstrip", &a.rstrip, err);
        if (st == CAPP_OK) st = capp_hf_bool(w.value, "normalized", &a.normalized, err);
        if (st == CAPP_OK) st = capp_hf_add(vocab, a, err);
    }
    for (size_t i = 0; i < vocab->hf->n_added; i++) {
        uint32_t id = (uint32_t)vocab->hf->added[i].id;
        outside = outside || !vocab->hf->in_model[id];
        if (id >= vocab->info.n_tokens) vocab->info.n_tokens = id + 1;
    }
    if (st == CAPP_OK && !vocab->info.n_tokens) return capp_fail(err, CAPP_EFORMAT, "there are no tokens");
    if (st == CAPP_OK && outside) st = make_index(vocab, err);
    return st == CAPP_OK ? capp_hf_make_tries(vocab, err) : st;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static capp_status read_tokenizer(capp_vocab *vocab, capp_str text, capp_error *err) {
    capp_hf *hf = vocab->hf;
    capp_json value;
    capp_json_fields fields, *root = &fields;
    capp_status st = capp_json_check(text, &value, err);
    if (st == CAPP_OK && capp_json_kind_of(value) != CAPP_JSON_OBJECT)
        st = capp_fail(err, CAPP_EFORMAT, "is not a tokenizer: not an object");
    if (st == CAPP_OK && !capp_json_read_fields(value, root))
        st = capp_fail(err, CAPP_EFORMAT, "has more than %d members", CAPP_JSON_MOST_FIELDS);
    if (st == CAPP_OK) st = read_model(vocab, root, err);
    if (st == CAPP_OK) st = capp_hf_parse_normaliser(hf, capp_json_field(root, "normalizer"), err);
    if (st == CAPP_OK) st = capp_hf_parse_pre(hf, capp_json_field(root, "pre_tokenizer"), err);
    if (st == CAPP_OK && hf->bytes_last) hf->n_pre--;
    if (st == CAPP_OK) st = capp_hf_parse_decoder(hf, capp_json_field(root, "decoder"), err);
    if (st == CAPP_OK) st = read_added(vocab, capp_json_field(root, "added_tokens"), err);
    if (st == CAPP_OK) st = capp_hf_make_pieces(vocab, err);
    if (st == CAPP_OK) st = capp_hf_parse_post(vocab, capp_json_field(root, "post_processor"), err);
    if (st != CAPP_OK) capp_error_prefix(err, hf->path);
    return st;
}

static capp_status read_texts(capp_vocab *vocab, capp_str tokenizer, const char *config_path, capp_str config,
                              capp_error *err) {
    capp_status st = read_tokenizer(vocab, tokenizer, err);
    if (st == CAPP_OK && config.data && (st = capp_hf_read_config(vocab, config, err)) != CAPP_OK)
        capp_error_prefix(err, config_path);
    if (st == CAPP_OK) st = capp_special_find_ends(vocab, err);
    return st == CAPP_OK ? capp_vocab_find_rule(vocab, err) : st;
}

static capp_status join_path(char **out, const char *folder, size_t size, const char *name, capp_error *err) {
    size_t n = size + strlen(name) + 2;
    *out = capp_new(n, 1);
    if (!*out) return capp_fail_memory(err, "a path");
    bool slash = size && *name && folder[size - 1] != '/';
    snprintf(*out, n, "%.*s%s%s", (int)size, folder, slash ? "/" : "", name);
    return CAPP_OK;
}

static capp_status open_files(capp_vocab *vocab, const char *path, capp_error *err) {
    struct stat info;
    bool folder = !stat(path, &info) && S_ISDIR(info.st_mode);
    const char *slash = strrchr(path, '/');
    size_t n = folder ? strlen(path) : slash ? (size_t)(slash + 1 - path) : 0;
    char *config_path = NULL;
    capp_map config = {0};
    capp_status st = join_path(&vocab->hf->path, path, strlen(path), folder ? "tokenizer.json" : "", err);
    vocab->path = vocab->hf->path;
    if (st == CAPP_OK) st = join_path(&config_path, path, n, "tokenizer_config.json", err);
    if (st == CAPP_OK) st = capp_map_open(&vocab->hf->map, vocab->path, err);
    if (st == CAPP_OK && !access(config_path, F_OK)) st = capp_map_open(&config, config_path, err);
    if (st == CAPP_OK)
        st = read_texts(vocab, (capp_str){vocab->hf->map.data, vocab->hf->map.size}, config_path,
                        (capp_str){config.data, config.size}, err);
    capp_map_close(&config);
    capp_free(config_path);
    return st;
}

static capp_vocab *new_vocab(void) {
    capp_vocab *vocab = capp_new0(1, sizeof *vocab);
    if (vocab) vocab->hf = capp_new0(1, sizeof *vocab->hf);
    if (!vocab || !vocab->hf) {
        capp_vocab_free(vocab);
        return NULL;
    }
    vocab->kind = CAPP_VOCAB_HF;
    vocab->info = (capp_vocab_info){.pre = "", .bos = -1, .eos = -1, .eot = -1, .unk = -1, .pad = -1};
    return vocab;
}

static capp_status finish(capp_vocab **out, capp_vocab *vocab, capp_status st) {
    if (st != CAPP_OK)
        capp_vocab_free(vocab);
    else
        *out = vocab;
    return st;
}

capp_status capp_vocab_open_json(capp_vocab **out, const char *folder_or_file, capp_error *err) {
    *out = NULL;
    capp_vocab *vocab = new_vocab();
    if (!vocab) return capp_fail_memory(err, "a vocabulary");
    return finish(out, vocab, open_files(vocab, folder_or_file, err));
}

capp_status capp_vocab_parse_json(capp_vocab **out, capp_str tokenizer, capp_str config, const char *name,
                                  capp_error *err) {
    *out = NULL;
    capp_vocab *vocab = new_vocab();
    if (!vocab) return capp_fail_memory(err, "a vocabulary");
    capp_status st = join_path(&vocab->hf->path, name, strlen(name), "", err);
    vocab->path = vocab->hf->path;
    if (st == CAPP_OK) st = read_texts(vocab, tokenizer, name, config, err);
    return finish(out, vocab, st);
}

void capp_hf_free(capp_hf *hf) {
    if (!hf) return;
    for (size_t i = 0; i < hf->n_normal; i++) {
        capp_regex_free(hf->normal[i].regex);
        capp_charsmap_free(hf->normal[i].chars);
    }
    for (size_t i = 0; i < CAPP_HF_MOST_STEPS; i++) capp_regex_free(hf->pre[i].regex);
    while (hf->chunks) {
        capp_chunk *next = hf->chunks->next;
        capp_free(hf->chunks);
        hf->chunks = next;
    }
    capp_unigram_free(&hf->unigram);
    capp_free(hf->texts);
    capp_free(hf->in_model);
    capp_free(hf->added);
    capp_free(hf->raw.nodes);
    capp_free(hf->normalised.nodes);
    capp_ids_free(&hf->front);
    capp_ids_free(&hf->back);
    capp_free(hf->path);
    capp_map_close(&hf->map);
    capp_free(hf);
}

/* ---- Encoding ---------------------------------------------------------------------------------------------------- */

void capp_hf_run_free(capp_hf_run *run) {
    capp_matcher_free(run->matcher);
    capp_free(run->normal[0].data);
    capp_free(run->normal[1].data);
    for (size_t i = 0; i < CAPP_HF_MOST_STEPS; i++) capp_free(run->pre[i].data);
    capp_free(run->word.data);
    capp_free(run->paths);
}

capp_status capp_hf_encode(const capp_vocab *vocab, capp_scratch *scratch, capp_str text, const uint8_t *given,
                           unsigned flags, capp_ids *out, capp_error *err) {
    const capp_hf *hf = vocab->hf;
    capp_hf_run run = {.vocab = vocab,
                       .hf = hf,
                       .scratch = scratch,
                       .matcher = capp_matcher_new(),
                       .out = out,
                       .given = given,
                       .parse_special = flags & CAPP_TOKENIZE_SPECIAL};
    capp_status st = run.matcher ? CAPP_OK : capp_fail_memory(err, "cutting a text into words");
    for (size_t i = 0; st == CAPP_OK && flags & CAPP_TOKENIZE_BOS && vocab->info.add_bos && i < hf->front.n; i++)
        if (!capp_ids_push(out, hf->front.data[i])) st = capp_fail_memory(err, "ids");
    if (st == CAPP_OK) st = capp_hf_cut_added(&run, text, err);
    capp_hf_run_free(&run);
    return st;
}
