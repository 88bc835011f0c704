/* Tokenizers as tokenizer.json describes them (the format of the tokenizers package). First, a text is cut at added
 * tokens. Then it is normalized, cut again at the added tokens that are found in normalized text, and cut into words by
 * pre-tokenizers. A model turns the words into ids. The ids equal those of the package. */
#ifndef CAPP_TOKEN_PIPELINE_H
#define CAPP_TOKEN_PIPELINE_H

#include "base/json.h"
#include "base/utf8.h"
#include "file/map.h"
#include "token/charsmap.h"
#include "token/regex.h"
#include "token/unicode.h"
#include "token/unigram.h"
#include "token/vocab_tables.h"

enum { CAPP_PIPELINE_MAX_STEPS = 32, CAPP_PIPELINE_BOUNDARIES = 1 << 16 };

/* ---- Normalizers ------------------------------------------------------------------------------------------------- */

typedef enum capp_normalizer_kind {
    CAPP_NORMALIZER_FORM, /* NFC and the like */
    CAPP_NORMALIZER_LOWER_CASE,
    CAPP_NORMALIZER_STRIP,
    CAPP_NORMALIZER_STRIP_ACCENTS,
    CAPP_NORMALIZER_PREPEND,
    CAPP_NORMALIZER_REPLACE,
    CAPP_NORMALIZER_CHARSMAP,
    CAPP_NORMALIZER_NMT,
    CAPP_NORMALIZER_BYTE_LEVEL
} capp_normalizer_kind;

typedef struct capp_normalizer {
    capp_normalizer_kind kind;
    unsigned form;        /* FORM: CAPP_NORMALIZE_COMPOSE, CAPP_NORMALIZE_COMPATIBLE */
    bool left, right;     /* STRIP: which ends */
    capp_str text;        /* PREPEND, REPLACE: the text to insert */
    capp_str pattern;     /* REPLACE: the text to find, where regex is NULL */
    capp_regex *regex;    /* REPLACE */
    capp_charsmap *chars; /* CHARSMAP */
} capp_normalizer;

/* ---- Pre-tokenizers ---------------------------------------------------------------------------------------------- */

typedef enum capp_pretokenizer_kind {
    CAPP_CUT_REGEX,      /* cuts at matches of a regular expression */
    CAPP_CUT_CHARACTERS, /* cuts at characters of a kind */
    CAPP_CUT_SPACE,      /* does not cut: adds a space in front if there is none */
    CAPP_CUT_BYTES,      /* does not cut: writes bytes as characters */
    CAPP_CUT_METASPACE   /* does not cut: writes spaces as a mark, and adds one in front as the scheme says */
} capp_pretokenizer_kind;

/* What a match becomes: a piece of its own, nothing, or part of the piece before or after it. CONTIGUOUS: adjacent
 * matches are one piece. */
typedef enum capp_split_behavior {
    CAPP_ISOLATED,
    CAPP_REMOVED,
    CAPP_MERGED_WITH_PREVIOUS,
    CAPP_MERGED_WITH_NEXT,
    CAPP_CONTIGUOUS
} capp_split_behavior;

typedef enum capp_prepend_scheme { CAPP_PREPEND_ALWAYS, CAPP_PREPEND_FIRST, CAPP_PREPEND_NEVER } capp_prepend_scheme;

typedef struct capp_pretokenizer_step {
    capp_pretokenizer_kind kind;
    capp_split_behavior behavior;
    bool invert;                /* the text between matches counts as the match */
    capp_prepend_scheme scheme; /* METASPACE */
    capp_str mark;              /* METASPACE: what replaces a space */
    capp_regex *regex;          /* REGEX */
    bool (*is_match)(int32_t);  /* CHARACTERS; NULL: those equal to character */
    int32_t character;
} capp_pretokenizer_step;

/* ---- Added tokens ------------------------------------------------------------------------------------------------ */

typedef struct capp_added_token {
    capp_str content; /* borrowed from the file */
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
} capp_added_token;

/* ---- The decoder: how it changes one token ----------------------------------------------------------------------- */

enum { CAPP_PIPELINE_MAX_REPLACEMENTS = 8, CAPP_PIPELINE_MAX_CONTENT = 256 };

typedef struct capp_decoder {
    bool byte_level, byte_fallback;
    struct {
        capp_str from, to;
    } replaced[CAPP_PIPELINE_MAX_REPLACEMENTS]; /* applied in order */
    size_t n_replaced;
} capp_decoder;

/* ---- The whole tokenizer ----------------------------------------------------------------------------------------- */

typedef struct capp_pipeline_chunk capp_pipeline_chunk; /* memory of decoded texts */

typedef struct capp_pipeline {
    char *path;
    capp_map map;
    capp_pipeline_chunk *chunks;
    capp_str *texts;   /* [n_tokens]; {NULL, 0}: no token has this id */
    uint8_t *in_model; /* [n_tokens] 1: the token is in the model's vocabulary, not only among the added ones */
    uint32_t n_model;  /* number of entries of the model's vocabulary */
    uint32_t n_texts;  /* capacity of texts and in_model; info.n_tokens is at most this */

    capp_normalizer normalizers[CAPP_PIPELINE_MAX_STEPS];
    size_t n_normalizers;
    capp_pretokenizer_step steps[CAPP_PIPELINE_MAX_STEPS];
    size_t n_steps;
    bool bytes_last; /* the last step was CUT_BYTES and has been dropped: the model uses byte_id instead */

    capp_added_token *added;
    size_t n_added, added_capacity;
    capp_trie raw, normalized; /* tries of added tokens in raw or normalized text; ids are indexes of added */
    bool special_normalized;   /* some tokens of `normalized` are special */

    capp_ids ids_before; /* ids that the post-processor adds before a text */
    capp_ids ids_after;  /* ids that it adds after a text: read, but never used */

    capp_decoder decoder;

    /* BPE. */
    bool bpe, fuse_unknown, byte_fallback, ignore_merges;
    capp_str prefix, suffix; /* prefix: for all symbols of a word but the first; suffix: for the last one */
    int32_t fallback[256];   /* ids of "<0x00>" and so on, or CAPP_NO_TOKEN */
    int32_t ascii[128];      /* ids of one-byte characters, or CAPP_NO_TOKEN */
    uint64_t joins[CAPP_PIPELINE_BOUNDARIES / 64]; /* a set of hashes of the character pairs that some merge joins */

    /* Unigram. */
    capp_unigram unigram;
} capp_pipeline;

/* One call of capp_vocab_encode. */
typedef struct capp_pipeline_run {
    const capp_vocab *vocab;
    const capp_pipeline *pipeline;
    capp_encode_scratch *scratch;
    capp_matcher *matcher;
    capp_ids *out;
    capp_text normal[2];                    /* normalized text, and the text before its last normalizer */
    capp_text pre[CAPP_PIPELINE_MAX_STEPS]; /* the output of each step */
    capp_text word;
    capp_unigram_path *paths; /* for Unigram */
    size_t paths_capacity;
    const uint8_t *given; /* [text size] 1: the byte is part of no special token; NULL: 0 everywhere */
    bool parse_special;
} capp_pipeline_run;

/* Frees everything except scratch and out. */
void capp_pipeline_run_free(capp_pipeline_run *run);

/* ---- Reading tokenizer.json -------------------------------------------------------------------------------------- */

/* pipeline_open.c: fills vocab->pipeline and the tables of vocab, from files or from texts. Errors begin with the path
 * or the name. */
capp_status capp_pipeline_open_files(capp_vocab *vocab, const char *folder_or_file, capp_error *err);
capp_status capp_pipeline_open_texts(capp_vocab *vocab, capp_str tokenizer, capp_str config, const char *name,
                                     capp_error *err);

/* pipeline.c: a string of the file, borrowed or decoded into memory of the pipeline. CAPP_EFORMAT, with the name, for
 * another kind of value. */
capp_status capp_pipeline_read_string(capp_pipeline *pipeline, capp_json value, const char *name, capp_str *out,
                                      capp_error *err);
/* A bool that may be missing or null: then *out is unchanged. */
capp_status capp_pipeline_read_bool(capp_json object, const char *name, bool *out, capp_error *err);
capp_status capp_pipeline_read_bool_value(capp_json value, const char *name, bool *out, capp_error *err);

/* pipeline_steps.c: the sections normalizer and pre_tokenizer. Errors name the section. */
capp_status capp_pipeline_parse_normalizer(capp_pipeline *pipeline, capp_json value, capp_error *err);
capp_status capp_pipeline_parse_pretokenizer(capp_pipeline *pipeline, capp_json value, capp_error *err);

/* pipeline_bpe.c: the rest of the section model, after its vocabulary is in texts. */
capp_status capp_pipeline_parse_model(capp_vocab *vocab, const capp_json_fields *model, capp_error *err);
int32_t capp_pipeline_model_id(const capp_vocab *vocab, capp_str text);

/* pipeline_added_tokens.c */
capp_status capp_pipeline_add_token(capp_vocab *vocab, capp_added_token added, capp_error *err);
capp_status capp_pipeline_make_tries(capp_vocab *vocab, capp_error *err);

/* pipeline_decoder.c: reads the section decoder and fills vocab->pieces with the text of each id. */
capp_status capp_pipeline_parse_decoder(capp_pipeline *pipeline, capp_json value, capp_error *err);
capp_status capp_pipeline_make_pieces(capp_vocab *vocab, capp_error *err);

/* pipeline_post.c: the ids before a text, from the section post_processor and from tokenizer_config.json, which may be
 * missing. */
capp_status capp_pipeline_parse_post_processor(capp_vocab *vocab, capp_json value, capp_error *err);
capp_status capp_pipeline_read_config(capp_vocab *vocab, capp_str text, capp_error *err);

/* ---- The stages of a text, from first to last -------------------------------------------------------------------- */

/* `front`: how many bytes at the front of text stand for the beginning of the whole text. */
capp_status capp_pipeline_encode_around_added_tokens(capp_pipeline_run *run, capp_str text, capp_error *err);
capp_status capp_pipeline_normalize(capp_pipeline_run *run, capp_str text, capp_str *normal, size_t *front,
                                    capp_error *err);
capp_status capp_pipeline_pretokenize(capp_pipeline_run *run, capp_str text, size_t front, capp_error *err);
capp_status capp_pipeline_encode_bpe_word(capp_pipeline_run *run, capp_str word, capp_error *err);
capp_status capp_pipeline_encode_unigram_word(capp_pipeline_run *run, capp_str word, capp_error *err);

#endif
