/* Facts about a vocabulary as a whole. */
#ifndef CAPP_TOKEN_VOCAB_INFO_H
#define CAPP_TOKEN_VOCAB_INFO_H

#include "token/ids.h"

typedef struct capp_vocab capp_vocab;

typedef struct capp_vocab_info {
    const char
        *model; /* "gpt2", "gemma4", "llama", "t5", "rwkv", "plamo2"; for tokenizer.json "BPE", "Unigram"; static */
    const char *pre;  /* name of the pre-tokenizer, or "" */
    bool pre_assumed; /* the file does not name it */
    uint32_t n_tokens;
    int32_t bos, eos, eot, unk, pad; /* -1: the word means none */
    bool add_bos;
    bool add_eos;
    bool add_space_prefix;
    /* CAPPr's rule: a completion is tokenized as end_of_prompt + completion (true), or without the space, because the
     * tokenizer adds one itself (false). Found by comparing "a b" with "a" + "b" and "a" + " b", without BOS. If
     * neither is equal (an error in CAPPr), the rule is not known and the space stays. */
    bool completion_needs_space;
    bool completion_rule_known;
} capp_vocab_info;

#endif
