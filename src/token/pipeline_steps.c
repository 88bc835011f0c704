/* Turns the sections normalizer and pre_tokenizer of tokenizer.json into steps. */
#include <string.h>

#include "base/mem.h"
#include "token/pipeline.h"

#define GPT2_WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

static capp_status fail_type(capp_json value, const char *what, capp_error *err) {
    bool escapes;
    capp_str type = capp_json_raw(capp_json_get(value, "type"), &escapes);
    return capp_fail(err, CAPP_EUNSUPPORTED, "%s of type \"%.*s\" is not supported", what,
                     type.size < 100 ? (int)type.size : 100, type.data ? type.data : "");
}

static bool is_type(capp_json value, const char *name) {
    return capp_json_is(capp_json_get(value, "type"), name);
}

/* A string that is inserted into texts. It must be short, so that a small file cannot make texts large. */
static capp_status short_str(capp_pipeline *pipeline, capp_json object, const char *name, capp_str *out,
                             capp_error *err) {
    capp_status st = capp_pipeline_read_string(pipeline, capp_json_get(object, name), name, out, err);
    if (st == CAPP_OK && out->size > CAPP_PIPELINE_MAX_CONTENT)
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s has %zu bytes; at most %d are supported", name, out->size,
                         CAPP_PIPELINE_MAX_CONTENT);
    return st;
}

/* {"String": text} or {"Regex": pattern}. */
static capp_status pattern_of(capp_pipeline *pipeline, capp_json object, capp_str *text, bool *literal,
                              capp_error *err) {
    capp_json pattern = capp_json_get(object, "pattern"), string = capp_json_get(pattern, "String");
    *literal = string != NULL;
    return capp_pipeline_read_string(pipeline, string ? string : capp_json_get(pattern, "Regex"), "pattern", text, err);
}

/* ---- Normalizers ------------------------------------------------------------------------------------------------- */

static capp_status open_charsmap(capp_pipeline *pipeline, capp_json value, capp_charsmap **out, capp_error *err) {
    capp_str text;
    size_t size;
    capp_status st = capp_pipeline_read_string(pipeline, capp_json_get(value, "precompiled_charsmap"),
                                               "precompiled_charsmap", &text, err);
    if (st != CAPP_OK) return st;
    char *bytes = capp_new(text.size / 4 + 1, 3);
    if (!bytes) return capp_fail_memory(err, "a character map");
    st = capp_decode_base64(text, bytes, &size) ? capp_charsmap_open(out, (capp_str){bytes, size}, err)
                                                : capp_fail(err, CAPP_EFORMAT, "precompiled_charsmap is not base64");
    capp_free(bytes);
    return st;
}

static capp_status read_replace(capp_pipeline *pipeline, capp_json value, capp_normalizer *step, capp_error *err) {
    capp_str pattern;
    bool literal;
    capp_status st = pattern_of(pipeline, value, &pattern, &literal, err);
    if (st == CAPP_OK) st = short_str(pipeline, value, "content", &step->text, err);
    if (st != CAPP_OK) return st;
    if (literal && pattern.size) {
        step->pattern = pattern;
        return CAPP_OK;
    }
    return capp_regex_open(&step->regex, pattern, literal, err);
}

/* Types of normalizers and their kinds. */
static const struct {
    const char *type;
    capp_normalizer_kind kind;
    unsigned form;
} plain_normal[] = {
    {"NFD", CAPP_NORMALIZER_FORM, 0},
    {"NFC", CAPP_NORMALIZER_FORM, CAPP_NORMALIZE_COMPOSE},
    {"NFKD", CAPP_NORMALIZER_FORM, CAPP_NORMALIZE_COMPATIBLE},
    {"NFKC", CAPP_NORMALIZER_FORM, CAPP_NORMALIZE_COMPATIBLE | CAPP_NORMALIZE_COMPOSE},
    {"Lowercase", CAPP_NORMALIZER_LOWER_CASE, 0},
    {"StripAccents", CAPP_NORMALIZER_STRIP_ACCENTS, 0},
    {"Nmt", CAPP_NORMALIZER_NMT, 0},
    {"ByteLevel", CAPP_NORMALIZER_BYTE_LEVEL, 0},
    {"Strip", CAPP_NORMALIZER_STRIP, 0},
    {"Prepend", CAPP_NORMALIZER_PREPEND, 0},
    {"Replace", CAPP_NORMALIZER_REPLACE, 0},
    {"Precompiled", CAPP_NORMALIZER_CHARSMAP, 0},
};

static capp_status add_normal(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    size_t row = 0, n_rows = sizeof plain_normal / sizeof plain_normal[0];
    while (row < n_rows && !is_type(value, plain_normal[row].type)) row++;
    if (row == n_rows) return fail_type(value, "a normalizer", err);
    if (pipeline->n_normalizers == CAPP_PIPELINE_MAX_STEPS)
        return capp_fail(err, CAPP_EUNSUPPORTED, "more than %d normalizers are not supported", CAPP_PIPELINE_MAX_STEPS);
    capp_normalizer *step = &pipeline->normalizers[pipeline->n_normalizers++];
    *step =
        (capp_normalizer){.kind = plain_normal[row].kind, .form = plain_normal[row].form, .left = true, .right = true};
    capp_status st = CAPP_OK;
    switch (step->kind) {
    case CAPP_NORMALIZER_STRIP:
        st = capp_pipeline_read_bool(value, "strip_left", &step->left, err);
        return st == CAPP_OK ? capp_pipeline_read_bool(value, "strip_right", &step->right, err) : st;
    case CAPP_NORMALIZER_PREPEND: return short_str(pipeline, value, "prepend", &step->text, err);
    case CAPP_NORMALIZER_REPLACE: return read_replace(pipeline, value, step, err);
    case CAPP_NORMALIZER_CHARSMAP: return open_charsmap(pipeline, value, &step->chars, err);
    default: return CAPP_OK;
    }
}

/* Depth: at most CAPP_JSON_DEPTH. */
static capp_status add_normals(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    if (capp_json_kind_of(value) <= CAPP_JSON_NULL) return CAPP_OK;
    if (!is_type(value, "Sequence")) return add_normal(pipeline, value, err);
    capp_status st = CAPP_OK;
    for (capp_json_walk w = capp_json_begin(capp_json_get(value, "normalizers")); st == CAPP_OK && capp_json_next(&w);)
        st = add_normals(pipeline, w.value, err);
    return st;
}

capp_status capp_pipeline_parse_normalizer(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    capp_status st = add_normals(pipeline, value, err);
    if (st != CAPP_OK) capp_error_prefix(err, "normalizer");
    return st;
}

/* ---- Pre-tokenizers ---------------------------------------------------------------------------------------------- */

static capp_status new_step(capp_pipeline *pipeline, capp_pretokenizer_kind kind, capp_pretokenizer_step **step,
                            capp_error *err) {
    if (pipeline->n_steps == CAPP_PIPELINE_MAX_STEPS)
        return capp_fail(err, CAPP_EUNSUPPORTED, "more than %d steps are not supported", CAPP_PIPELINE_MAX_STEPS);
    *step = &pipeline->steps[pipeline->n_steps++];
    **step = (capp_pretokenizer_step){.kind = kind};
    return CAPP_OK;
}

static capp_status add_characters(capp_pipeline *pipeline, bool (*is_match)(int32_t), capp_split_behavior behavior,
                                  capp_error *err) {
    capp_pretokenizer_step *step = NULL;
    capp_status st = new_step(pipeline, CAPP_CUT_CHARACTERS, &step, err);
    if (st != CAPP_OK) return st;
    step->is_match = is_match;
    step->behavior = behavior;
    return CAPP_OK;
}

static capp_status read_behavior(capp_json value, capp_split_behavior *out, capp_error *err) {
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    capp_json behavior = capp_json_get(value, "behavior");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (capp_json_is(behavior, names[i])) {
            *out = (capp_split_behavior)i;
            return CAPP_OK;
        }
    return capp_fail(err, CAPP_EUNSUPPORTED, "behavior is missing or not a known one");
}

static capp_status add_split(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    capp_pretokenizer_step *step = NULL;
    capp_str pattern;
    bool literal;
    capp_status st = new_step(pipeline, CAPP_CUT_REGEX, &step, err);
    if (st == CAPP_OK) st = read_behavior(value, &step->behavior, err);
    if (st == CAPP_OK) st = capp_pipeline_read_bool(value, "invert", &step->invert, err);
    if (st == CAPP_OK) st = pattern_of(pipeline, value, &pattern, &literal, err);
    return st == CAPP_OK ? capp_regex_open(&step->regex, pattern, literal, err) : st;
}

static capp_status add_byte_level(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    bool prefix = true, words = true;
    capp_pretokenizer_step *step = NULL;
    capp_status st = capp_pipeline_read_bool(value, "add_prefix_space", &prefix, err);
    if (st == CAPP_OK) st = capp_pipeline_read_bool(value, "use_regex", &words, err);
    if (st == CAPP_OK && prefix) st = new_step(pipeline, CAPP_CUT_SPACE, &step, err);
    if (st == CAPP_OK && words) {
        st = new_step(pipeline, CAPP_CUT_REGEX, &step, err);
        if (st == CAPP_OK) st = capp_regex_open(&step->regex, capp_str_of(GPT2_WORDS), false, err);
    }
    return st == CAPP_OK ? new_step(pipeline, CAPP_CUT_BYTES, &step, err) : st;
}

/* Reads a string that must be one character. */
static capp_status one_character(capp_pipeline *pipeline, capp_json value, const char *name, capp_str *text,
                                 capp_error *err) {
    capp_status st = capp_pipeline_read_string(pipeline, capp_json_get(value, name), name, text, err);
    if (st == CAPP_OK && (!text->size || capp_utf8_size(text->data) != text->size))
        return capp_fail(err, CAPP_EFORMAT, "%s must be one character", name);
    return st;
}

static capp_status read_scheme(capp_json value, capp_prepend_scheme *out, capp_error *err) {
    static const char *const names[] = {"always", "first", "never"};
    capp_json scheme = capp_json_get(value, "prepend_scheme");
    bool prefix = true;
    capp_status st = capp_pipeline_read_bool(value, "add_prefix_space", &prefix, err);
    *out = prefix ? CAPP_PREPEND_ALWAYS : CAPP_PREPEND_NEVER;
    if (st != CAPP_OK || capp_json_kind_of(scheme) <= CAPP_JSON_NULL) return st;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (capp_json_is(scheme, names[i])) {
            *out = (capp_prepend_scheme)i;
            return prefix || *out == CAPP_PREPEND_NEVER
                       ? CAPP_OK
                       : capp_fail(err, CAPP_EFORMAT, "add_prefix_space is false, so prepend_scheme must be \"never\"");
        }
    return capp_fail(err, CAPP_EUNSUPPORTED, "prepend_scheme must be \"always\", \"first\" or \"never\"");
}

static capp_status add_metaspace(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    capp_pretokenizer_step *step = NULL;
    bool split = true;
    capp_status st = new_step(pipeline, CAPP_CUT_METASPACE, &step, err);
    if (st == CAPP_OK) st = one_character(pipeline, value, "replacement", &step->mark, err);
    if (st == CAPP_OK) st = read_scheme(value, &step->scheme, err);
    if (st == CAPP_OK) st = capp_pipeline_read_bool(value, "split", &split, err);
    if (st != CAPP_OK || !split) return st;
    size_t size;
    int32_t mark = capp_utf8_character(step->mark.data, &size);
    st = add_characters(pipeline, NULL, CAPP_MERGED_WITH_NEXT, err);
    if (st == CAPP_OK) pipeline->steps[pipeline->n_steps - 1].character = mark;
    return st;
}

static capp_status add_delimiter(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    capp_str delimiter;
    size_t size;
    capp_status st = one_character(pipeline, value, "delimiter", &delimiter, err);
    if (st == CAPP_OK) st = add_characters(pipeline, NULL, CAPP_REMOVED, err);
    if (st == CAPP_OK) pipeline->steps[pipeline->n_steps - 1].character = capp_utf8_character(delimiter.data, &size);
    return st;
}

static capp_status add_pre(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    bool individual = false;
    capp_split_behavior behavior = CAPP_ISOLATED;
    capp_status st = CAPP_OK;
    if (is_type(value, "Split")) return add_split(pipeline, value, err);
    if (is_type(value, "ByteLevel")) return add_byte_level(pipeline, value, err);
    if (is_type(value, "Metaspace")) return add_metaspace(pipeline, value, err);
    if (is_type(value, "CharDelimiterSplit")) return add_delimiter(pipeline, value, err);
    if (is_type(value, "WhitespaceSplit")) return add_characters(pipeline, capp_is_white_space, CAPP_REMOVED, err);
    if (is_type(value, "Digits")) {
        st = capp_pipeline_read_bool(value, "individual_digits", &individual, err);
        if (st != CAPP_OK) return st;
        return add_characters(pipeline, capp_is_number, individual ? CAPP_ISOLATED : CAPP_CONTIGUOUS, err);
    }
    if (is_type(value, "Punctuation")) {
        if (capp_json_get(value, "behavior")) st = read_behavior(value, &behavior, err);
        return st == CAPP_OK ? add_characters(pipeline, capp_is_punctuation, behavior, err) : st;
    }
    bool words = is_type(value, "Whitespace"); /* \w+|[^\w\s]+ */
    if (!words && !is_type(value, "BertPreTokenizer")) return fail_type(value, "a pre-tokenizer", err);
    st = add_characters(pipeline, capp_is_white_space, CAPP_REMOVED, err);
    if (st != CAPP_OK) return st;
    return words ? add_characters(pipeline, capp_is_word, CAPP_CONTIGUOUS, err)
                 : add_characters(pipeline, capp_is_punctuation, CAPP_ISOLATED, err);
}

/* Depth: at most CAPP_JSON_DEPTH. */
static capp_status add_pres(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    if (capp_json_kind_of(value) <= CAPP_JSON_NULL) return CAPP_OK;
    if (!is_type(value, "Sequence")) return add_pre(pipeline, value, err);
    capp_status st = CAPP_OK;
    for (capp_json_walk w = capp_json_begin(capp_json_get(value, "pretokenizers"));
         st == CAPP_OK && capp_json_next(&w);)
        st = add_pres(pipeline, w.value, err);
    return st;
}

capp_status capp_pipeline_parse_pretokenizer(capp_pipeline *pipeline, capp_json value, capp_error *err) {
    capp_status st = add_pres(pipeline, value, err);
    if (st != CAPP_OK) {
        capp_error_prefix(err, "pre_tokenizer");
        return st;
    }
    bool plain = pipeline->bpe && !pipeline->prefix.size && !pipeline->suffix.size;
    pipeline->bytes_last = plain && pipeline->n_steps && pipeline->steps[pipeline->n_steps - 1].kind == CAPP_CUT_BYTES;
    return CAPP_OK;
}
