#define _POSIX_C_SOURCE 200809L
#include "token/pipeline.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { MAX_HOLES = 1 << 16 };

/* ---- The vocabulary ---------------------------------------------------------------------------------------------- */

static capp_status make_room(capp_vocab *vocab, size_t n_ids, size_t n_added, capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    size_t n = n_ids + n_added;
    if (n > INT32_MAX) return capp_fail(err, CAPP_EFORMAT, "model.vocab has too many tokens");
    pipeline->n_texts = (uint32_t)n;
    pipeline->texts = capp_new0(n, sizeof *pipeline->texts);
    pipeline->in_model = capp_new0(n, 1);
    vocab->types = capp_new(n, 1);
    vocab->texts = pipeline->texts;
    if (!pipeline->texts || !pipeline->in_model || !vocab->types) return capp_fail_memory(err, "a vocabulary");
    memset(vocab->types, CAPP_TOKEN_NORMAL, n);
    vocab->info.n_tokens = (uint32_t)n_ids;
    return CAPP_OK;
}

static capp_status make_index(capp_vocab *vocab, capp_error *err) {
    capp_free(vocab->index.slots);
    vocab->index.slots = NULL;
    return capp_text_index_make(&vocab->index, vocab->texts, vocab->info.n_tokens, err);
}

/* If texts in the file are equal, only the last one counts: the ids of the others become free. */
static capp_status drop_repeated(capp_vocab *vocab, capp_json entries, capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    uint8_t *seen = capp_new0(vocab->info.n_tokens, 1);
    uint32_t *last = capp_new0(vocab->info.n_tokens, sizeof *last); /* [lowest id of a text] the last id of this text */
    capp_status st = seen && last ? CAPP_OK : capp_fail_memory(err, "a vocabulary");
    for (capp_json_walk w = capp_json_begin(entries); st == CAPP_OK && capp_json_next(&w);) {
        capp_str text = {"", 0};
        uint32_t id = 0;
        st = capp_pipeline_read_string(pipeline, w.name, "a token", &text, err);
        (void)capp_json_u32(w.value, INT32_MAX, &id);
        int32_t lowest = st == CAPP_OK ? capp_text_index_find(&vocab->index, text) : CAPP_NO_TOKEN;
        if (lowest != CAPP_NO_TOKEN) {
            last[lowest] = id;
            seen[lowest] = 1;
        }
    }
    pipeline->n_model = 0;
    for (uint32_t i = 0; st == CAPP_OK && i < vocab->info.n_tokens; i++) {
        int32_t lowest =
            pipeline->texts[i].size ? capp_text_index_find(&vocab->index, pipeline->texts[i]) : CAPP_NO_TOKEN;
        bool keep = pipeline->texts[i].data && (lowest == CAPP_NO_TOKEN || !seen[lowest] || last[lowest] == i);
        pipeline->in_model[i] = keep                    ? 1
                                : pipeline->in_model[i] ? 2
                                                        : 0; /* 2: to be removed once the index is no longer needed */
        pipeline->n_model += keep;
    }
    for (uint32_t i = 0; st == CAPP_OK && i < vocab->info.n_tokens; i++) {
        if (pipeline->in_model[i] != 2) continue;
        pipeline->in_model[i] = 0;
        pipeline->texts[i] = (capp_str){NULL, 0};
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
    if (*highest > 8 * *n + MAX_HOLES)
        return capp_fail(err, CAPP_EFORMAT, "model.vocab has %zu tokens, but a token has the id %u", *n, *highest);
    return CAPP_OK;
}

/* {"text": id, ...} */
static capp_status read_bpe_vocab(capp_vocab *vocab, capp_json entries, size_t n_added, capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    size_t n;
    uint32_t highest;
    capp_status st = highest_id(entries, &n, &highest, err);
    if (st == CAPP_OK) st = make_room(vocab, n ? (size_t)highest + 1 : 0, n_added, err);
    bool repeated = false;
    for (capp_json_walk w = capp_json_begin(entries); st == CAPP_OK && capp_json_next(&w);) {
        uint32_t id = 0;
        capp_str text;
        (void)capp_json_u32(w.value, INT32_MAX, &id);
        if ((st = capp_pipeline_read_string(pipeline, w.name, "a token", &text, err)) != CAPP_OK) break;
        capp_str other = pipeline->texts[id];
        if (other.data && (other.size != text.size || memcmp(other.data, text.data, text.size) != 0))
            return capp_fail(err, CAPP_EFORMAT, "model.vocab: two tokens have the id %u", id);
        repeated = repeated || other.data;
        pipeline->texts[id] = text;
        pipeline->in_model[id] = 1;
        pipeline->n_model += !other.data;
        if (text.size > vocab->longest) vocab->longest = text.size;
    }
    if (st == CAPP_OK) st = make_index(vocab, err);
    for (uint32_t i = 0; st == CAPP_OK && !repeated && i < vocab->info.n_tokens; i++)
        repeated = pipeline->texts[i].size && capp_text_index_find(&vocab->index, pipeline->texts[i]) != (int32_t)i;
    return st == CAPP_OK && repeated ? drop_repeated(vocab, entries, err) : st;
}

/* [["text", score], ...] */
static capp_status read_unigram_vocab(capp_vocab *vocab, const capp_json_fields *model, size_t n_added,
                                      capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    capp_json entries = capp_json_field(model, "vocab"), unknown = capp_json_field(model, "unk_id");
    size_t n = capp_json_count(entries), i = 0;
    double *scores = capp_new(n, sizeof *scores);
    capp_status st = scores ? make_room(vocab, n, n_added, err) : capp_fail_memory(err, "a vocabulary's scores");
    for (capp_json_walk w = capp_json_begin(entries); st == CAPP_OK && capp_json_next(&w); i++) {
        capp_json_walk pair = capp_json_begin(w.value);
        bool two = capp_json_count(w.value) == 2 && capp_json_next(&pair);
        st = capp_pipeline_read_string(pipeline, two ? pair.value : NULL, "a piece of model.vocab", &pipeline->texts[i],
                                       err);
        if (st == CAPP_OK && (!capp_json_next(&pair) || !capp_json_f64(pair.value, &scores[i])))
            st = capp_fail(err, CAPP_EFORMAT, "model.vocab: piece %zu has no score", i);
        pipeline->in_model[i] = 1;
    }
    pipeline->n_model = (uint32_t)n;
    double least = INFINITY;
    for (i = 0; st == CAPP_OK && i < n; i++) least = scores[i] < least ? scores[i] : least;
    if (st == CAPP_OK) st = capp_unigram_open(&pipeline->unigram, pipeline->texts, scores, (uint32_t)n, least, err);
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
    /* Old files do not name the type: BPE has merges, and Unigram has a list of pieces. */
    bool bpe = type ? capp_json_is(type, "BPE") : capp_json_field(model, "merges") != NULL;
    bool unigram = type ? capp_json_is(type, "Unigram") : !bpe && capp_json_kind_of(entries) == CAPP_JSON_ARRAY;
    capp_str name = capp_json_raw(type, &escapes);
    if (!bpe && !unigram)
        return capp_fail(err, CAPP_EUNSUPPORTED, "a model of type \"%.*s\" is not supported; BPE and Unigram are",
                         name.size < 100 ? (int)name.size : 100, name.data ? name.data : "");
    if (capp_json_kind_of(entries) != (bpe ? CAPP_JSON_OBJECT : CAPP_JSON_ARRAY))
        return capp_fail(err, CAPP_EFORMAT, "model.vocab is missing or not an %s", bpe ? "object" : "array");
    vocab->pipeline->bpe = bpe;
    vocab->info.model = bpe ? "BPE" : "Unigram";
    capp_status st =
        bpe ? read_bpe_vocab(vocab, entries, n_added, err) : read_unigram_vocab(vocab, model, n_added, err);
    return st == CAPP_OK ? capp_pipeline_parse_model(vocab, model, err) : st;
}

/* ---- Added tokens ------------------------------------------------------------------------------------------------ */

static capp_status read_added(capp_vocab *vocab, capp_json list, capp_error *err) {
    capp_status st = CAPP_OK;
    bool outside = false;
    for (capp_json_walk w = capp_json_begin(list); st == CAPP_OK && capp_json_next(&w);) {
        capp_added_token a = {.normalized = true};
        st = capp_pipeline_read_string(vocab->pipeline, capp_json_get(w.value, "content"), "added_tokens: content",
                                       &a.content, err);
        if (st == CAPP_OK) st = capp_pipeline_read_bool(w.value, "special", &a.special, err);
        if (st == CAPP_OK) st = capp_pipeline_read_bool(w.value, "single_word", &a.single_word, err);
        if (st == CAPP_OK) st = capp_pipeline_read_bool(w.value, "lstrip", &a.lstrip, err);
        if (st == CAPP_OK) st = capp_pipeline_read_bool(w.value, "rstrip", &a.rstrip, err);
        if (st == CAPP_OK) st = capp_pipeline_read_bool(w.value, "normalized", &a.normalized, err);
        if (st == CAPP_OK) st = capp_pipeline_add_token(vocab, a, err);
    }
    for (size_t i = 0; i < vocab->pipeline->n_added; i++) {
        uint32_t id = (uint32_t)vocab->pipeline->added[i].id;
        outside = outside || !vocab->pipeline->in_model[id];
        if (id >= vocab->info.n_tokens) vocab->info.n_tokens = id + 1;
    }
    if (st == CAPP_OK && !vocab->info.n_tokens) return capp_fail(err, CAPP_EFORMAT, "the tokenizer has no tokens");
    if (st == CAPP_OK && outside) st = make_index(vocab, err);
    return st == CAPP_OK ? capp_pipeline_make_tries(vocab, err) : st;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static capp_status read_tokenizer(capp_vocab *vocab, capp_str text, capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    capp_json value;
    capp_json_fields fields, *root = &fields;
    capp_status st = capp_json_check(text, &value, err);
    if (st == CAPP_OK && capp_json_kind_of(value) != CAPP_JSON_OBJECT)
        st = capp_fail(err, CAPP_EFORMAT, "is not a tokenizer: the file must be a JSON object");
    if (st == CAPP_OK && !capp_json_read_fields(value, root))
        st = capp_fail(err, CAPP_EFORMAT, "the file has more than %d members", CAPP_JSON_MOST_FIELDS);
    if (st == CAPP_OK) st = read_model(vocab, root, err);
    if (st == CAPP_OK) st = capp_pipeline_parse_normalizer(pipeline, capp_json_field(root, "normalizer"), err);
    if (st == CAPP_OK) st = capp_pipeline_parse_pretokenizer(pipeline, capp_json_field(root, "pre_tokenizer"), err);
    if (st == CAPP_OK && pipeline->bytes_last) pipeline->n_steps--;
    if (st == CAPP_OK) st = capp_pipeline_parse_decoder(pipeline, capp_json_field(root, "decoder"), err);
    if (st == CAPP_OK) st = read_added(vocab, capp_json_field(root, "added_tokens"), err);
    if (st == CAPP_OK) st = capp_pipeline_make_pieces(vocab, err);
    if (st == CAPP_OK) st = capp_pipeline_parse_post_processor(vocab, capp_json_field(root, "post_processor"), err);
    if (st != CAPP_OK) capp_error_prefix(err, pipeline->path);
    return st;
}

static capp_status read_texts(capp_vocab *vocab, capp_str tokenizer, const char *config_path, capp_str config,
                              capp_error *err) {
    capp_status st = read_tokenizer(vocab, tokenizer, err);
    if (st == CAPP_OK && config.data && (st = capp_pipeline_read_config(vocab, config, err)) != CAPP_OK)
        capp_error_prefix(err, config_path);
    return st == CAPP_OK ? capp_special_tokens_find_ends(vocab, err) : st;
}

static capp_status join_path(char **out, const char *folder, size_t size, const char *name, capp_error *err) {
    size_t n = size + strlen(name) + 2;
    *out = capp_new(n, 1);
    if (!*out) return capp_fail_memory(err, "a path");
    bool slash = size && *name && folder[size - 1] != '/';
    snprintf(*out, n, "%.*s%s%s", (int)size, folder, slash ? "/" : "", name);
    return CAPP_OK;
}

capp_status capp_pipeline_open_files(capp_vocab *vocab, const char *folder_or_file, capp_error *err) {
    struct stat info;
    bool folder = !stat(folder_or_file, &info) && S_ISDIR(info.st_mode);
    const char *slash = strrchr(folder_or_file, '/');
    size_t n = folder ? strlen(folder_or_file) : slash ? (size_t)(slash + 1 - folder_or_file) : 0;
    char *config_path = NULL;
    capp_map config = {0};
    capp_status st =
        join_path(&vocab->pipeline->path, folder_or_file, strlen(folder_or_file), folder ? "tokenizer.json" : "", err);
    vocab->path = vocab->pipeline->path;
    if (st == CAPP_OK) st = join_path(&config_path, folder_or_file, n, "tokenizer_config.json", err);
    if (st == CAPP_OK) st = capp_map_open(&vocab->pipeline->map, vocab->path, err);
    if (st == CAPP_OK && !access(config_path, F_OK)) st = capp_map_open(&config, config_path, err);
    if (st == CAPP_OK)
        st = read_texts(vocab, (capp_str){vocab->pipeline->map.data, vocab->pipeline->map.size}, config_path,
                        (capp_str){config.data, config.size}, err);
    capp_map_close(&config);
    capp_free(config_path);
    return st;
}

capp_status capp_pipeline_open_texts(capp_vocab *vocab, capp_str tokenizer, capp_str config, const char *name,
                                     capp_error *err) {
    capp_status st = join_path(&vocab->pipeline->path, name, strlen(name), "", err);
    vocab->path = vocab->pipeline->path;
    return st == CAPP_OK ? read_texts(vocab, tokenizer, name, config, err) : st;
}
