/* BPE of tokenizer.json: a vocabulary, merges in the order of their rank, and rules for characters without a token. */
#include <string.h>

#include "base/mem.h"
#include "token/pipeline.h"

enum { MERGE_BATCH = CAPP_INDEX_BATCH / 3, SHORT_WORD = 24 };

int32_t capp_pipeline_model_id(const capp_vocab *vocab, capp_str text) {
    if (!vocab->pipeline->bpe) return capp_unigram_find(&vocab->pipeline->unigram, text);
    int32_t id = capp_text_index_find(&vocab->index, text);
    return id != CAPP_NO_TOKEN && vocab->pipeline->in_model[id] ? id : CAPP_NO_TOKEN;
}

/* A word can be cut between two characters that no merge joins: its ids stay the same. The set holds hashes of the
 * pairs that merges join. A collision only costs time. */
static uint32_t boundary(int32_t left, int32_t right) {
    uint32_t h = ((uint32_t)left * 0x9e3779b1u) ^ ((uint32_t)right * 0x85ebca77u);
    return (h ^ h >> 15) % CAPP_PIPELINE_BOUNDARIES;
}

static bool may_join(const capp_pipeline *pipeline, int32_t left, int32_t right) {
    uint32_t b = boundary(left, right);
    return pipeline->joins[b / 64] >> b % 64 & 1;
}

static void note_join(capp_pipeline *pipeline, capp_str left, capp_str right) {
    size_t size;
    int32_t last = capp_utf8_character(left.data + left.size - capp_utf8_size_before(left.data + left.size), &size);
    uint32_t b = boundary(last, capp_utf8_character(right.data, &size));
    pipeline->joins[b / 64] |= (uint64_t)1 << b % 64;
}

/* ---- Merges ------------------------------------------------------------------------------------------------------ */

/* A batch of merges, three texts each: left, right, and both joined. The buffers hold the joined texts and decoded
 * escapes. */
typedef struct merge_batch {
    capp_vocab *vocab;
    capp_str texts[CAPP_INDEX_BATCH];
    capp_text buffers[MERGE_BATCH];
    size_t n, first; /* first: rank of the batch's first merge */
} merge_batch;

static capp_status fail_merge(const merge_batch *b, size_t i, const char *why, capp_error *err) {
    return capp_fail(err, CAPP_EFORMAT, "model.merges: number %zu %s", b->first + i, why);
}

/* Reads "LEFT RIGHT" or ["LEFT", "RIGHT"]: decodes both to *text, one after the other, and gives the size of LEFT. */
static bool read_pair(capp_json value, capp_text *text, size_t *left) {
    capp_json parts[2] = {value, NULL};
    bool escapes, pair = capp_json_kind_of(value) == CAPP_JSON_ARRAY;
    size_t n = pair ? 0 : 1;
    for (capp_json_walk w = capp_json_begin(value); pair && capp_json_next(&w); n++)
        if (n < 2) parts[n] = w.value;
    text->size = 0;
    if (n != (pair ? 2 : 1)) return false;
    for (size_t i = 0; i < n; i++) {
        capp_str raw = capp_json_raw(parts[i], &escapes);
        if (!raw.data) return false;
        text->size += capp_json_decode(raw, text->data + text->size);
        if (!i) *left = text->size;
    }
    if (pair) return true;
    char *space = memchr(text->data, ' ', text->size);
    if (!space || memchr(space + 1, ' ', (size_t)(text->data + text->size - space - 1))) return false;
    *left = (size_t)(space - text->data);
    text->size--;
    memmove(space, space + 1, text->size - *left);
    return true;
}

/* The maximum number of bytes that the strings of a merge take. */
static size_t most_bytes(capp_json value) {
    bool escapes;
    size_t n = capp_json_raw(value, &escapes).size;
    for (capp_json_walk w = capp_json_begin(value); capp_json_next(&w);) n += capp_json_raw(w.value, &escapes).size;
    return n;
}

static capp_status add_to_batch(merge_batch *b, capp_json value, capp_error *err) {
    capp_text *text = &b->buffers[b->n];
    capp_str prefix = b->vocab->pipeline->prefix;
    size_t left, need = most_bytes(value);
    if (!capp_grow(&text->data, &text->capacity, 2 * need + 1, 1))
        return capp_fail_memory(err, "a vocabulary's merges");
    if (!read_pair(value, text, &left))
        return fail_merge(b, b->n, "is not of the form \"LEFT RIGHT\" or [\"LEFT\", \"RIGHT\"]", err);
    capp_str *texts = &b->texts[3 * b->n];
    size_t right = text->size - left;
    texts[0] = (capp_str){text->data, left};
    texts[1] = (capp_str){text->data + left, right};
    texts[2] = (capp_str){text->data, text->size};
    if (right < prefix.size)
        return fail_merge(b, b->n, "has a second piece shorter than continuing_subword_prefix", err);
    if (prefix.size) { /* the prefix disappears where a piece is joined to the previous one */
        char *made = text->data + text->size;
        memcpy(made, text->data, left);
        memcpy(made + left, text->data + left + prefix.size, right - prefix.size);
        texts[2] = (capp_str){made, text->size - prefix.size};
    }
    b->n++;
    return CAPP_OK;
}

/* If merges are equal, the last one counts. */
static capp_status end_batch(merge_batch *b, capp_error *err) {
    capp_vocab *vocab = b->vocab;
    int32_t ids[CAPP_INDEX_BATCH];
    capp_text_index_find_batch(&vocab->index, b->texts, 3 * b->n, ids);
    for (size_t i = 0; i < b->n; i++) capp_merge_table_prefetch(&vocab->merges, ids[3 * i], ids[3 * i + 1]);
    for (size_t i = 0; i < b->n; i++) {
        const int32_t *id = &ids[3 * i];
        if (id[0] == CAPP_NO_TOKEN || id[1] == CAPP_NO_TOKEN || id[2] == CAPP_NO_TOKEN)
            return fail_merge(b, i, "has a piece, or gives a joined piece, that is missing in model.vocab", err);
        capp_merge_table_set(&vocab->merges, (capp_merge_slot){id[0], id[1], (uint32_t)(b->first + i), id[2]}, true);
        if (b->texts[3 * i].size && b->texts[3 * i + 1].size)
            note_join(vocab->pipeline, b->texts[3 * i], b->texts[3 * i + 1]);
    }
    b->first += b->n;
    b->n = 0;
    return CAPP_OK;
}

static capp_status parse_merges(capp_vocab *vocab, capp_json merges, capp_error *err) {
    if (capp_json_kind_of(merges) != CAPP_JSON_ARRAY)
        return capp_fail(err, CAPP_EFORMAT, "model.merges is missing or not an array");
    size_t n = capp_json_count(merges);
    if (n > INT32_MAX) return capp_fail(err, CAPP_EFORMAT, "model.merges has too many elements");
    merge_batch *b = capp_new0(1, sizeof *b);
    capp_status st = b ? capp_merge_table_open(&vocab->merges, n, err) : capp_fail_memory(err, "a vocabulary's merges");
    if (b) b->vocab = vocab;
    for (capp_json_walk w = capp_json_begin(merges); st == CAPP_OK && capp_json_next(&w);) {
        st = add_to_batch(b, w.value, err);
        if (st == CAPP_OK && b->n == MERGE_BATCH) st = end_batch(b, err);
    }
    if (st == CAPP_OK) st = end_batch(b, err);
    for (size_t i = 0; b && i < MERGE_BATCH; i++) capp_free(b->buffers[i].data);
    capp_free(b);
    return st;
}

/* ---- The model's fields ------------------------------------------------------------------------------------------ */

static capp_status optional_str(capp_pipeline *pipeline, const capp_json_fields *model, const char *name, capp_str *out,
                                capp_error *err) {
    capp_json value = capp_json_field(model, name);
    capp_json_kind kind = capp_json_kind_of(value);
    *out = (capp_str){NULL, 0};
    return kind == CAPP_JSON_NONE || kind == CAPP_JSON_NULL
               ? CAPP_OK
               : capp_pipeline_read_string(pipeline, value, name, out, err);
}

static void find_fallback(capp_vocab *vocab) {
    static const char digits[] = "0123456789ABCDEF";
    for (unsigned b = 0; b < 256; b++) {
        char text[] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        vocab->pipeline->fallback[b] = capp_pipeline_model_id(vocab, (capp_str){text, sizeof text});
    }
}

static capp_status read_bool(const capp_json_fields *model, const char *name, bool *out, capp_error *err) {
    return capp_pipeline_read_bool_value(capp_json_field(model, name), name, out, err);
}

capp_status capp_pipeline_parse_model(capp_vocab *vocab, const capp_json_fields *model, capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    capp_json dropout = capp_json_field(model, "dropout");
    double chance = 0;
    capp_str unknown;
    capp_status st = CAPP_OK;
    find_fallback(vocab);
    if ((st = read_bool(model, "byte_fallback", &pipeline->byte_fallback, err)) != CAPP_OK || !pipeline->bpe) return st;
    if (capp_json_kind_of(dropout) > CAPP_JSON_NULL && (!capp_json_f64(dropout, &chance) || chance != 0))
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "model.dropout is not supported: it drops merges at random; set it to null");
    if ((st = read_bool(model, "fuse_unk", &pipeline->fuse_unknown, err)) != CAPP_OK) return st;
    if ((st = read_bool(model, "ignore_merges", &pipeline->ignore_merges, err)) != CAPP_OK) return st;
    if ((st = optional_str(pipeline, model, "unk_token", &unknown, err)) != CAPP_OK) return st;
    if ((st = optional_str(pipeline, model, "continuing_subword_prefix", &pipeline->prefix, err)) != CAPP_OK) return st;
    if ((st = optional_str(pipeline, model, "end_of_word_suffix", &pipeline->suffix, err)) != CAPP_OK) return st;
    if (unknown.data) {
        vocab->info.unk = capp_pipeline_model_id(vocab, unknown);
        if (vocab->info.unk == CAPP_NO_TOKEN)
            return capp_fail(err, CAPP_EFORMAT, "model.unk_token, \"%.*s\", is not in model.vocab",
                             unknown.size < 100 ? (int)unknown.size : 100, unknown.data);
    }
    for (unsigned b = 0; b < 256; b++) {
        char text[2];
        vocab->byte_id[b] =
            capp_pipeline_model_id(vocab, (capp_str){text, capp_byte_level_write((unsigned char)b, text)});
    }
    for (int c = 0; c < 128; c++) pipeline->ascii[c] = capp_pipeline_model_id(vocab, (capp_str){&(char){(char)c}, 1});
    return parse_merges(vocab, capp_json_field(model, "merges"), err);
}

/* ---- Words ------------------------------------------------------------------------------------------------------- */

/* A word that is being cut into parts. */
typedef struct bpe_word {
    capp_pipeline_run *run;
    int32_t before; /* the last character if it is a token by itself; -1: the word cannot be cut here */
    bool unknown;   /* an unknown token is pending: the next one may join it */
    bool may_cut;
    capp_error *err;
} bpe_word;

static capp_status flush(bpe_word *w) {
    capp_encode_scratch *scratch = w->run->scratch;
    capp_status st =
        capp_merge_parts(w->run->vocab, capp_find_ranked_merge, scratch, NULL, (uint32_t)scratch->n_parts, w->err);
    for (size_t i = 0; st == CAPP_OK && i < scratch->n_parts; i++)
        if (!capp_ids_push(w->run->out, scratch->parts[i].id)) st = capp_fail_memory(w->err, "ids");
    scratch->n_parts = 0;
    return st;
}

/* The place of a part is its number, which identifies merged parts. */
static capp_status push_part(bpe_word *w, int32_t id) {
    capp_encode_scratch *scratch = w->run->scratch;
    size_t n = scratch->n_parts;
    if (!capp_grow(&scratch->parts, &scratch->parts_capacity, n + 2, sizeof *scratch->parts))
        return capp_fail_memory(w->err, "the merges of a word");
    scratch->parts[scratch->n_parts++] = (capp_merge_part){(uint32_t)n, id, CAPP_NO_MERGE, CAPP_NO_TOKEN};
    return CAPP_OK;
}

static capp_status end_unknown(bpe_word *w) {
    bool waits = w->unknown;
    w->unknown = false;
    return waits ? push_part(w, w->run->vocab->info.unk) : CAPP_OK;
}

/* Adds a symbol that is a token. character: the symbol if it is a single character, else -1. */
static capp_status push_known(bpe_word *w, int32_t id, int32_t character) {
    bool cut = w->may_cut && !w->unknown && w->before >= 0 && character >= 0 &&
               !may_join(w->run->pipeline, w->before, character);
    capp_status st = cut ? flush(w) : end_unknown(w);
    w->before = character;
    return st == CAPP_OK ? push_part(w, id) : st;
}

/* Adds a symbol that is not a token: its bytes if all of them are tokens, else the unknown token, else nothing. A
 * pending unknown token comes after the bytes, as in the tokenizers package. */
static capp_status push_other(bpe_word *w, capp_str symbol) {
    const capp_pipeline *pipeline = w->run->pipeline;
    bool bytes = pipeline->byte_fallback;
    w->before = -1;
    for (size_t i = 0; bytes && i < symbol.size; i++)
        bytes = pipeline->fallback[(unsigned char)symbol.data[i]] != CAPP_NO_TOKEN;
    if (bytes) {
        capp_status st = CAPP_OK;
        for (size_t i = 0; st == CAPP_OK && i < symbol.size; i++)
            st = push_part(w, pipeline->fallback[(unsigned char)symbol.data[i]]);
        return st;
    }
    if (w->run->vocab->info.unk == CAPP_NO_TOKEN) return CAPP_OK;
    capp_status st = pipeline->fuse_unknown ? CAPP_OK : end_unknown(w);
    w->unknown = true;
    return st;
}

/* Adds a symbol with the prefix and suffix that its place requires. */
static capp_status push_decorated(bpe_word *w, capp_str symbol, bool first, bool last) {
    const capp_pipeline *pipeline = w->run->pipeline;
    capp_text *text = &w->run->word;
    text->size = 0;
    bool put = (first || capp_text_append(text, pipeline->prefix.data, pipeline->prefix.size)) &&
               capp_text_append(text, symbol.data, symbol.size) &&
               (!last || capp_text_append(text, pipeline->suffix.data, pipeline->suffix.size));
    if (!put) return capp_fail_memory(w->err, "a word");
    capp_str whole = {text->data, text->size};
    int32_t id = capp_pipeline_model_id(w->run->vocab, whole);
    return id == CAPP_NO_TOKEN ? push_other(w, whole) : push_known(w, id, -1);
}

static capp_status push_characters(bpe_word *w, capp_str word) {
    const capp_pipeline *pipeline = w->run->pipeline;
    bool plain = !pipeline->prefix.size && !pipeline->suffix.size;
    capp_status st = CAPP_OK;
    for (size_t i = 0, size; st == CAPP_OK && i < word.size; i += size) {
        int32_t c = capp_utf8_character(word.data + i, &size);
        capp_str symbol = {word.data + i, size};
        if (!plain) {
            st = push_decorated(w, symbol, !i, i + size == word.size);
            continue;
        }
        int32_t id = c < 128 ? pipeline->ascii[c] : capp_pipeline_model_id(w->run->vocab, symbol);
        st = id == CAPP_NO_TOKEN ? push_other(w, symbol) : push_known(w, id, c);
    }
    return st;
}

/* Adds the word's bytes, which the vocabulary writes as characters. */
static capp_status push_bytes(bpe_word *w, capp_str word) {
    const capp_vocab *vocab = w->run->vocab;
    capp_status st = CAPP_OK;
    for (size_t i = 0; st == CAPP_OK && i < word.size; i++) {
        unsigned char b = (unsigned char)word.data[i];
        int32_t id = vocab->byte_id[b];
        if (id != CAPP_NO_TOKEN) {
            st = push_known(w, id, (int32_t)capp_byte_level_character(b));
            continue;
        }
        char text[2];
        size_t size = capp_byte_level_write(b, text);
        st = push_other(w, (capp_str){text, size});
    }
    return st;
}

static capp_status whole_word(capp_pipeline_run *run, capp_str word, int32_t *id, capp_error *err) {
    *id = CAPP_NO_TOKEN;
    if (word.size > run->vocab->longest) return CAPP_OK;
    if (run->pipeline->bytes_last) {
        run->word.size = 0;
        if (!capp_grow(&run->word.data, &run->word.capacity, 2 * word.size, 1)) return capp_fail_memory(err, "a word");
        for (size_t i = 0; i < word.size; i++)
            run->word.size += capp_byte_level_write((unsigned char)word.data[i], run->word.data + run->word.size);
        word = (capp_str){run->word.data, run->word.size};
    }
    *id = capp_pipeline_model_id(run->vocab, word);
    return CAPP_OK;
}

capp_status capp_pipeline_encode_bpe_word(capp_pipeline_run *run, capp_str word, capp_error *err) {
    const capp_pipeline *pipeline = run->pipeline;
    if (pipeline->ignore_merges) {
        int32_t id;
        capp_status st = whole_word(run, word, &id, err);
        if (st != CAPP_OK) return st;
        if (id != CAPP_NO_TOKEN) return capp_ids_push(run->out, id) ? CAPP_OK : capp_fail_memory(err, "ids");
    }
    bpe_word w = {run, -1, false, word.size > SHORT_WORD, err};
    run->scratch->n_parts = 0;
    capp_status st = pipeline->bytes_last ? push_bytes(&w, word) : push_characters(&w, word);
    if (st == CAPP_OK) st = end_unknown(&w);
    return st == CAPP_OK ? flush(&w) : st;
}
