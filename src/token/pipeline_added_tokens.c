/* Added tokens: texts that are tokens wherever they occur. Some are found in the raw text. The others are normalized
 * first, and found in normalized text. */
#include <string.h>

#include "base/mem.h"
#include "token/pipeline.h"

/* The added token with this content, among the tokens whose id is (or is not) in the model. */
static capp_added_token *find_added(const capp_pipeline *pipeline, capp_str content, bool in_model) {
    for (size_t i = 0; i < pipeline->n_added; i++) {
        capp_added_token *added = &pipeline->added[i];
        if ((bool)pipeline->in_model[added->id] != in_model || added->content.size != content.size) continue;
        if (!memcmp(added->content.data, content.data, content.size)) return added;
    }
    return NULL;
}

/* The next free id, as the tokenizers package counts them. It ignores the id in the file. */
static int32_t new_id(const capp_pipeline *pipeline) {
    int32_t highest = CAPP_NO_TOKEN;
    for (size_t i = 0; i < pipeline->n_added; i++)
        if (pipeline->added[i].id > highest) highest = pipeline->added[i].id;
    return highest >= (int32_t)pipeline->n_model ? highest + 1 : (int32_t)pipeline->n_model;
}

capp_status capp_pipeline_add_token(capp_vocab *vocab, capp_added_token added, capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    if (!added.content.size) return CAPP_OK;
    int32_t id = capp_pipeline_model_id(vocab, added.content);
    bool in_model = id != CAPP_NO_TOKEN;
    bool seen = !in_model || vocab->types[id] == CAPP_TOKEN_CONTROL || vocab->types[id] == CAPP_TOKEN_USER_DEFINED;
    capp_added_token *known = seen ? find_added(pipeline, added.content, in_model) : NULL;
    added.id = known ? known->id : in_model ? id : new_id(pipeline);
    if ((uint32_t)added.id >= pipeline->n_texts || (!in_model && !known && pipeline->texts[added.id].data))
        return capp_fail(err, CAPP_EFORMAT, "added_tokens: \"%.*s\" needs the id %d, which another token has",
                         added.content.size < 100 ? (int)added.content.size : 100, added.content.data, added.id);
    if (known) { /* special and normalized stay as they are, the rest may change */
        known->single_word = added.single_word;
        known->lstrip = added.lstrip;
        known->rstrip = added.rstrip;
        known->special = known->special || added.special;
    }
    if (!capp_grow(&pipeline->added, &pipeline->added_capacity, pipeline->n_added + 1, sizeof *pipeline->added))
        return capp_fail_memory(err, "added tokens");
    pipeline->added[pipeline->n_added++] = added;
    pipeline->texts[added.id] = added.content;
    vocab->types[added.id] = added.special ? CAPP_TOKEN_CONTROL : CAPP_TOKEN_USER_DEFINED;
    return CAPP_OK;
}

/* The tokenizers package finds an empty text everywhere, and panics inside a character. */
static capp_status fail_nothing(capp_str content, capp_error *err) {
    return capp_fail(err, CAPP_EUNSUPPORTED,
                     "added_tokens: nothing is left of \"%.*s\" after normalization; set its \"normalized\" to false",
                     content.size < 100 ? (int)content.size : 100, content.data);
}

capp_status capp_pipeline_make_tries(capp_vocab *vocab, capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    capp_encode_scratch scratch = {0};
    capp_pipeline_run run = {.vocab = vocab, .pipeline = pipeline, .scratch = &scratch, .matcher = capp_matcher_new()};
    capp_status st = run.matcher ? CAPP_OK : capp_fail_memory(err, "added tokens");
    /* If texts are equal, the first one counts; special tokens come before others. */
    for (int special = 1; st == CAPP_OK && special >= 0; special--)
        for (size_t i = 0; st == CAPP_OK && i < pipeline->n_added; i++) {
            const capp_added_token *added = &pipeline->added[i];
            capp_str text = added->content;
            size_t front = 0;
            if (added->special != special) continue;
            pipeline->special_normalized = pipeline->special_normalized || (special && added->normalized);
            if (added->normalized) st = capp_pipeline_normalize(&run, text, &text, &front, err);
            if (st == CAPP_OK && !text.size) st = fail_nothing(added->content, err);
            if (st == CAPP_OK)
                st = capp_trie_add(added->normalized ? &pipeline->normalized : &pipeline->raw, text, (int32_t)i, err);
        }
    capp_pipeline_run_free(&run);
    return st;
}

static bool word_before(capp_str text, size_t at) {
    size_t size;
    return at && capp_is_word(capp_utf8_character(text.data + at - capp_utf8_size_before(text.data + at), &size));
}

static bool word_after(capp_str text, size_t at) {
    size_t size;
    return at < text.size && capp_is_word(capp_utf8_character(text.data + at, &size));
}

static size_t back_over_space(capp_str text, size_t at, size_t least) {
    while (at > least) {
        size_t before = capp_utf8_size_before(text.data + at), size;
        if (!capp_is_white_space(capp_utf8_character(text.data + at - before, &size))) break;
        at -= before;
    }
    return at > least ? at : least;
}

static bool any_given(const uint8_t *given, size_t n) {
    return given && n && memchr(given, 1, n);
}

/* The next token of the trie at or after *from: sets *at and *end. done: where the text that is already encoded ends.
 */
static const capp_added_token *next_added(const capp_pipeline_run *run, const capp_trie *trie, capp_str text,
                                          size_t done, size_t *from, size_t *at, size_t *end) {
    size_t size = 0;
    for (size_t i = *from; trie->n && i < text.size; i++) {
        if (!trie->first[(unsigned char)text.data[i]]) continue;
        int32_t found = capp_trie_longest(trie, (capp_str){text.data + i, text.size - i}, &size);
        if (found == CAPP_NO_TOKEN) continue;
        const capp_added_token *added = &run->pipeline->added[found];
        *from = i + size;
        bool alone = !word_before(text, i) && !word_after(text, i + size);
        *at = added->lstrip ? back_over_space(text, i, done) : i;
        *end = added->rstrip ? capp_after_white_space(text, i + size) : i + size;
        bool given = trie == &run->pipeline->raw && any_given(run->given ? run->given + i : NULL, size);
        bool other = (added->special && (given || !run->parse_special)) || (added->single_word && !alone);
        /* A token inside the white space that the previous token has stripped is removed. */
        if (!other && *at < *end) return added;
        i += size - 1;
    }
    return NULL;
}

static capp_status push(capp_pipeline_run *run, const capp_added_token *added, capp_error *err) {
    return capp_ids_push(run->out, added->id) ? CAPP_OK : capp_fail_memory(err, "ids");
}

/* Counts the special tokens of the text after normalization. */
static capp_status count_special(capp_pipeline_run *run, capp_str raw, size_t *n, capp_error *err) {
    capp_str text = {NULL, 0};
    size_t front = 0, from = 0, at, end, done = 0;
    const capp_added_token *added;
    capp_status st = capp_pipeline_normalize(run, raw, &text, &front, err);
    *n = 0;
    while (st == CAPP_OK && (added = next_added(run, &run->pipeline->normalized, text, done, &from, &at, &end))) {
        *n += added->special;
        done = end;
    }
    return st;
}

/* Whether special tokens may be parsed in normalized text to which a conversation has contributed. The text without the
 * conversation's bytes must have the same number of special tokens. If it has none, none are parsed. */
static capp_status may_have_special(capp_pipeline_run *run, capp_str raw, const uint8_t *given, bool *may,
                                    capp_error *err) {
    size_t n = 0, with = 0, without = 0;
    char *own = capp_new(raw.size, 1);
    if (!own) return capp_fail_memory(err, "added tokens");
    for (size_t i = 0; i < raw.size; i++)
        if (!given[i] || !i || !given[i - 1]) own[n++] = (char)(given[i] ? ' ' : raw.data[i]);
    capp_status st = count_special(run, (capp_str){own, n}, &without, err);
    capp_free(own);
    *may = without > 0;
    if (st != CAPP_OK || !*may) return st;
    st = count_special(run, raw, &with, err);
    if (st == CAPP_OK && with != without)
        st = capp_fail(err, CAPP_EINVAL,
                       "a message contains the text of a special token, or changes one of the template; this tokenizer "
                       "looks for special tokens after normalization, when capp no longer knows which text is of the "
                       "message; remove such text from the message");
    return st;
}

static capp_status cut_normalized(capp_pipeline_run *run, capp_str raw, const uint8_t *given, size_t front,
                                  capp_error *err) {
    capp_str text = {NULL, 0};
    bool special = run->parse_special;
    capp_status st = CAPP_OK;
    if (special && run->pipeline->special_normalized && any_given(given, raw.size))
        st = may_have_special(run, raw, given, &run->parse_special, err);
    if (st == CAPP_OK) st = capp_pipeline_normalize(run, raw, &text, &front, err);
    size_t done = 0, from = 0, at, end;
    const capp_added_token *added;
    while (st == CAPP_OK && (added = next_added(run, &run->pipeline->normalized, text, done, &from, &at, &end))) {
        if (at > done)
            st = capp_pipeline_pretokenize(run, (capp_str){text.data + done, at - done},
                                           front > done ? front - done : 0, err);
        if (st == CAPP_OK) st = push(run, added, err);
        done = end;
    }
    run->parse_special = special;
    if (st != CAPP_OK || done >= text.size) return st;
    return capp_pipeline_pretokenize(run, (capp_str){text.data + done, text.size - done},
                                     front > done ? front - done : 0, err);
}

static capp_status cut_part(capp_pipeline_run *run, capp_str text, size_t begin, size_t end, size_t front,
                            capp_error *err) {
    const uint8_t *given = run->given ? run->given + begin : NULL;
    return cut_normalized(run, (capp_str){text.data + begin, end - begin}, given, begin ? 0 : front, err);
}

capp_status capp_pipeline_encode_around_added_tokens(capp_pipeline_run *run, capp_str text, capp_error *err) {
    size_t done = 0, from = 0, at, end;
    size_t front = text.size ? capp_utf8_size(text.data) : 0;
    const capp_added_token *added;
    capp_status st = CAPP_OK;
    while (st == CAPP_OK && (added = next_added(run, &run->pipeline->raw, text, done, &from, &at, &end))) {
        if (at > done) st = cut_part(run, text, done, at, front, err);
        if (st == CAPP_OK) st = push(run, added, err);
        done = end;
    }
    if (st != CAPP_OK || done >= text.size) return st;
    return cut_part(run, text, done, text.size, front, err);
}
