/* Answers of /v1/completions and /v1/chat/completions: what they are made of, and their parts in OpenAI's form. */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "request.h"

/* A token of an answer. */
typedef struct record {
    int32_t id;
    float logprob;
    bool end;           /* the end-of-sequence token: it is not in the text */
    size_t start, size; /* its bytes in choice.text */
    size_t top, n_top;  /* elements of choice.top */
} record;

typedef struct top {
    int32_t id;
    float logprob;
} top;

typedef struct continuing continuing;

/* One of the answers to a request. */
typedef struct choice {
    part part;
    continuing *of;
    size_t index;
    size_t first;    /* tokens at the beginning that are not reported: BOS */
    bool drop_space; /* the first token begins with a space that the text does not have */
    text text;       /* the answer so far, in bytes */
    size_t echoed;   /* bytes of it that are the prompt */
    size_t passed;   /* bytes that were sent, of an answer that streams */
    record *records;
    size_t n_records, records_capacity, records_passed;
    top *tops;
    size_t n_tops, tops_capacity;
    size_t generated; /* tokens */
    const char *finish;
    bool begun;  /* the first piece was sent, of a chat that streams */
    bool failed; /* out of memory */
} choice;

typedef struct prompt {
    capp_str text; /* or: */
    int32_t *ids;
    size_t n_ids;
    int32_t *made; /* ids, if they were made of the text; freed with capp_free */
} prompt;

/* The state of a request. */
struct continuing {
    request *request;
    bool chat, stream, echo, usage, logprobs, parse_special, ignore_eos;
    size_t top, n, max_tokens;
    bool limited; /* max_tokens was given */
    double temperature, top_p;
    uint64_t seed;
    capp_str *stop;
    size_t n_stop, longest_stop;
    prompt *prompts;
    size_t n_prompts;
    capp_message *messages; /* of a chat */
    size_t n_messages;
    capp_str *options; /* the field `choice` */
    size_t n_options;
    void *choosing;  /* of choose.c */
    choice *choices; /* [n_prompts * n] */
    size_t n_choices;
    size_t prompt_tokens, completion_tokens;
};

/* The beginning and the end of an answer. piece: it streams. */
void put_head(text *t, const continuing *c, bool piece);
void put_usage(text *t, const continuing *c);

/* The log-probabilities of records [from .. to) in the form of the endpoint. */
void put_logprobs(text *t, const choice *ch, size_t from, size_t to);

#endif
