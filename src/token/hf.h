/* Tokenizers as tokenizer.json describes them (the format of the tokenizers package): a text is cut at added tokens,
 * normalised, cut again at those added tokens that are found in normalised text, cut into words by pre-tokenizers, and
 * the words become ids by a model. Ids equal those of the package. */
#ifndef CAPP_TOKEN_HF_H
#define CAPP_TOKEN_HF_H

#include "base/json.h"
#include "file/map.h"
#include "token/charsmap.h"
#include "token/regex.h"
#include "token/unicode.h"
#include "token/unigram.h"
#include "token/vocab_impl.h"

enum { CAPP_HF_MOST_STEPS = 32, CAPP_HF_BOUNDARIES = 1 << 16 };

/* ---- Normalisers ------------------------------------------------------------------------------------------------- */

typedef enum capp_normal_kind {
    CAPP_NORMAL_FORM, /* NFC and the like */
    CAPP_NORMAL_LOWER_CASE,
    CAPP_NORMAL_STRIP,
    CAPP_NORMAL_STRIP_ACCENTS,
    CAPP_NORMAL_PREPEND,
    CAPP_NORMAL_REPLACE,
    CAPP_NORMAL_CHARSMAP,
    CAPP_NORMAL_NMT,
    CAPP_NORMAL_BYTE_LEVEL
} capp_normal_kind;

typedef struct capp_normal_step {
    capp_normal_kind kind;
    unsigned form;        /* CAPP_NORMAL_FORM: CAPP_COMPOSE, CAPP_COMPATIBLE */
    bool left, right;     /* CAPP_NORMAL_STRIP */
    capp_str text;        /* what is put there: PREPEND, REPLACE */
    capp_str pattern;     /* REPLACE by a plain text: the text */
    capp_regex *regex;    /* REPLACE by a regular expression, else NULL */
    capp_charsmap *chars; /* CHARSMAP */
} capp_normal_step;

/* ---- Pre-tokenizers ---------------------------------------------------------------------------------------------- */

typedef enum capp_pre_kind {
    CAPP_CUT_REGEX,      /* at matches of a regular expression */
    CAPP_CUT_CHARACTERS, /* at characters of a kind */
    CAPP_CUT_SPACE,      /* nowhere: puts a space first where there is none */
    CAPP_CUT_BYTES,      /* nowhere: writes bytes as characters */
    CAPP_CUT_METASPACE   /* nowhere: writes spaces as a mark, and one first by the scheme */
} capp_pre_kind;

/* What becomes of a match: a piece of its own, nothing, part of the piece before or after it; contiguous ones are one
 * piece. */
typedef enum capp_behaviour {
    CAPP_ISOLATED,
    CAPP_REMOVED,
    CAPP_MERGED_WITH_PREVIOUS,
    CAPP_MERGED_WITH_NEXT,
    CAPP_CONTIGUOUS
} capp_behaviour;

typedef enum capp_scheme { CAPP_PREPEND_ALWAYS, CAPP_PREPEND_FIRST, CAPP_PREPEND_NEVER } capp_scheme;

typedef struct capp_pre_step {
    capp_pre_kind kind;
    capp_behaviour behaviour;
    bool invert;               /* what lies between matches is the match */
    capp_scheme scheme;        /* METASPACE */
    capp_str mark;             /* METASPACE: its replacement of a space */
    capp_regex *regex;         /* REGEX */
    bool (*is_match)(int32_t); /* CHARACTERS; NULL: those equal to character */
    int32_t character;
} capp_pre_step;

/* ---- Added tokens ------------------------------------------------------------------------------------------------ */

typedef struct capp_added {
    capp_str content; /* borrowed from the file */
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
} capp_added;

/* ---- Decoder: what it does to one token -------------------------------------------------------------------------- */

enum { CAPP_HF_MOST_REPLACED = 8, CAPP_HF_LONGEST_CONTENT = 256 };

typedef struct capp_decoder {
    bool byte_level, byte_fallback;
    struct {
        capp_str from, to;
    } replaced[CAPP_HF_MOST_REPLACED]; /* in order */
    size_t n_replaced;
} capp_decoder;

/* ---- The whole --------------------------------------------------------------------------------------------------- */

typedef struct capp_chunk capp_chunk; /* memory of decoded texts */

typedef struct capp_hf {
    char *path;
    capp_map map;
    capp_chunk *chunks;
    capp_str *texts;   /* [n_tokens]; {NULL, 0}: no token has this id */
    uint8_t *in_model; /* [n_tokens] */
    uint32_t n_model;  /* entries of the model's vocabulary */
    uint32_t n_texts;  /* room in the above; info.n_tokens is at most this */

    capp_normal_step normal[CAPP_HF_MOST_STEPS];
    size_t n_normal;
    capp_pre_step pre[CAPP_HF_MOST_STEPS];
    size_t n_pre;
    bool bytes_last; /* there was a last step CUT_BYTES; the model, of plain symbols, does its work by byte_id */

    capp_added *added;
    size_t n_added, added_capacity;
    capp_trie raw, normalised; /* their values are places in added */
    bool special_normalised;   /* some of the latter are special */

    capp_ids front; /* what the post-processor puts before a text */
    capp_ids back;  /* and after it: told, never put there */

    capp_decoder decoder;

    /* BPE. */
    bool bpe, fuse_unknown, byte_fallback, ignore_merges;
    capp_str prefix, suffix;                 /* of all symbols of a word but the first; of the last */
    int32_t fallback[256];                   /* ids of "<0x00>" and on, or CAPP_NO_TOKEN */
    int32_t ascii[128];                      /* ids of one-byte characters, or CAPP_NO_TOKEN */
    uint64_t joins[CAPP_HF_BOUNDARIES / 64]; /* a set of hashes: characters that some merge brings together */

    /* Unigram. */
    capp_unigram unigram;
} capp_hf;

/* Of one call of capp_vocab_encode. */
typedef struct capp_hf_run {
    const capp_vocab *vocab;
    const capp_hf *hf;
    capp_scratch *scratch;
    capp_matcher *matcher;
    capp_ids *out;
    capp_text normal[2];               /* normalised text, and what it was made from */
    capp_text pre[CAPP_HF_MOST_STEPS]; /* what a step made of its piece */
    capp_text word;
    capp_path *paths; /* Unigram */
    size_t paths_capacity;
    const uint8_t *given; /* of the text: 1 where a byte is part of no special token; NULL: nowhere */
    bool parse_special;
} capp_hf_run;

void capp_hf_run_free(capp_hf_run *run); /* all but scratch and out */

/* hf_config.c: what stands before a text: the post-processor and tokenizer_config.json, which may be missing. */
capp_status capp_hf_parse_post(capp_vocab *vocab, capp_json value, capp_error *err);
capp_status capp_hf_read_config(capp_vocab *vocab, capp_str text, capp_error *err);

/* hf_parse.c: sections of tokenizer.json into steps. Errors name the section. */
capp_status capp_hf_parse_normaliser(capp_hf *hf, capp_json value, capp_error *err);
capp_status capp_hf_parse_pre(capp_hf *hf, capp_json value, capp_error *err);

/* A string of the file, borrowed or decoded into memory of hf. CAPP_EFORMAT with name for another kind of value. */
capp_status capp_hf_str(capp_hf *hf, capp_json value, const char *name, capp_str *out, capp_error *err);
/* A bool that may be missing or null: *out keeps its value. */
capp_status capp_hf_bool(capp_json object, const char *name, bool *out, capp_error *err);
capp_status capp_hf_bool_of(capp_json value, const char *name, bool *out, capp_error *err);

/* hf_model.c: the model's vocabulary into texts, and the rest of it; then its words. */
capp_status capp_hf_parse_model(capp_vocab *vocab, const capp_json_fields *model, capp_error *err);
capp_status capp_hf_bpe_word(capp_hf_run *run, capp_str word, capp_error *err);
int32_t capp_hf_model_id(const capp_vocab *vocab, capp_str text);

/* unigram.c */
capp_status capp_hf_unigram_word(capp_hf_run *run, capp_str word, capp_error *err);

/* hf_normal.c, hf_pre.c, hf_added.c: a text's way. first: how many bytes at the front of text stand where the whole
 * text begins. */
capp_status capp_hf_normalise(capp_hf_run *run, capp_str text, capp_str *normal, size_t *first, capp_error *err);
capp_status capp_hf_words(capp_hf_run *run, capp_str text, size_t first, capp_error *err);
capp_status capp_hf_add(capp_vocab *vocab, capp_added added, capp_error *err);
capp_status capp_hf_make_tries(capp_vocab *vocab, capp_error *err);
capp_status capp_hf_cut_added(capp_hf_run *run, capp_str text, capp_error *err);

/* hf_decode.c: what ids stand for, to vocab->pieces. */
capp_status capp_hf_parse_decoder(capp_hf *hf, capp_json value, capp_error *err);
capp_status capp_hf_make_pieces(capp_vocab *vocab, capp_error *err);

#endif
