/* capp: completion after prompt probability.
 *
 * A causal language model chooses: for a prompt and a set of completions, capp gives
 * log Pr(completion token | prompt, completion tokens before it) for every token of every completion, of the full
 * softmax over the vocabulary, and from them a distribution over the completions.
 *
 * Conventions
 * - Functions that can fail return a capp_status and fill *err (which may be NULL) with one message that names the
 *   file, row or tensor and the cure. On failure every output pointer is NULL or untouched, as its comment says.
 * - Text is UTF-8 with an explicit length; it is borrowed for the call only. Invalid UTF-8 is CAPP_EINVAL.
 * - Nothing here prints, exits, aborts or changes global state, but for one thing: where AMX tiles are chosen, the
 *   process asks the kernel for leave to use them (arch_prctl), which lasts.
 * - A capp_model is immutable once open: any number of threads may use it. A capp_session owns the scratch memory,
 *   the worker threads and the KV cache of one run; one thread at a time may use it. Sessions of one model may run at
 *   the same time.
 * - With one build, one instruction set and one precision, the log-probabilities of an example are the same bits
 *   whatever the other examples of the call, their order, the number of threads, the memory budget and what was
 *   scored before.
 */
#ifndef CAPP_H
#define CAPP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(CAPP_BUILDING) && defined(__GNUC__)
#define CAPP_API __attribute__((visibility("default")))
#else
#define CAPP_API
#endif

#define CAPP_VERSION_MAJOR 0
#define CAPP_VERSION_MINOR 1
#define CAPP_VERSION_PATCH 0

/* "0.1.0". Static; never NULL. */
CAPP_API const char *capp_version(void);

/* Raised by each release in which a model and a text give other bits than in the one before. */
#define CAPP_ARITHMETIC 1

/* ---- Status -------------------------------------------------------------------------------------------------- */

/* X(name, value, meaning) */
#define CAPP_STATUS_MAP(X)                                                                                             \
    X(OK, 0, "success")                                                                                                \
    X(ENOMEM, 1, "out of memory")                                                                                      \
    X(EIO, 2, "a file cannot be opened, read or mapped")                                                               \
    X(EFORMAT, 3, "a file or text is malformed")                                                                       \
    X(EUNSUPPORTED, 4, "a valid file uses something that capp does not know")                                          \
    X(EINVAL, 5, "an argument is invalid")                                                                             \
    X(ETOOLONG, 6, "a prompt with its completions is longer than the context")                                         \
    X(EBUDGET, 7, "the memory budget is too small")                                                                    \
    X(ECANCELLED, 8, "cancelled by the caller")

typedef enum capp_status {
#define X(name, value, meaning) CAPP_##name = (value),
    CAPP_STATUS_MAP(X)
#undef X
} capp_status;

/* "CAPP_EINVAL" and the like; "CAPP_UNKNOWN" for a number that is no status. Static. */
CAPP_API const char *capp_status_name(capp_status status);

#define CAPP_NO_ROW SIZE_MAX

/* Owned by the caller; need not be initialised. message is NUL-terminated, one sentence or two, no newline. */
typedef struct capp_error {
    capp_status status;
    size_t row; /* index of the example or text in the call that is to blame, or CAPP_NO_ROW */
    char message[1000];
} capp_error;

/* ---- Text ---------------------------------------------------------------------------------------------------- */

/* size bytes at data; not NUL-terminated. data may be NULL where size is 0. */
typedef struct capp_str {
    const char *data;
    size_t size;
} capp_str;

/* The bytes of a NUL-terminated string. Borrows it. */
CAPP_API capp_str capp_str_of(const char *text);

/* ---- Allocation ---------------------------------------------------------------------------------------------- */

/* Replaces malloc, realloc and free for everything that capp allocates itself (file mappings, worker threads' stacks
 * and what the C library needs excepted). Call it before any other function, or not at all; not thread-safe.
 * All three or none: NULL for all restores the C library's. Returns CAPP_EINVAL where some are missing. */
CAPP_API capp_status capp_set_allocator(void *(*malloc_fn)(size_t), void *(*realloc_fn)(void *, size_t),
                                        void (*free_fn)(void *));

/* ---- Models -------------------------------------------------------------------------------------------------- */

typedef enum capp_precision {
    CAPP_PRECISION_AUTO = 0, /* the fastest that keeps decisions: BF16 where the instruction set has a unit for it, and
                                those that are too close to the best in it scored again in F32; else F32 */
    CAPP_PRECISION_F32 = 1,  /* the reference: float32 throughout */
    CAPP_PRECISION_BF16 = 2  /* inputs of matrix products rounded to bfloat16, sums and all else in float32;
                                CAPP_EUNSUPPORTED where there is no unit for it */
} capp_precision;

/* A LoRA adapter, which changes a model's products and embeddings: the folder that PEFT saves (adapter_config.json,
 * adapter_model.safetensors; the path of either will do) or a GGUF file of llama.cpp's convert_lora_to_gguf.py. Either
 * goes on a GGUF file and on a folder of the model that it was made for. */
typedef struct capp_lora {
    const char *path;
    double weight; /* a factor of what it changes: 1 as it was trained; 0 is the model without it */
} capp_lora;

/* Called now and then from the calling thread; done and total count rows of a call, or pieces of a model's weights.
 * Return false to cancel. */
typedef bool (*capp_progress_fn)(void *user, size_t done, size_t total);

typedef struct capp_model_options {
    int threads;              /* workers of each session; 0: as many as the process may run on */
    uint64_t memory;          /* bytes for a session's run, weights not counted; 0: a share of what is free */
    capp_precision precision; /* default CAPP_PRECISION_AUTO */
    const char *isa;  /* "ref", "avx2", "avx512", "avx512bf16", "amx"; NULL: the environment's CAPP_ISA, else the best
                         that CPU and operating system support. Borrowed for the call. */
    uint32_t context; /* most tokens of prompt and completion together; 0: the model's own limit, or that up
                         to which LongRoPE has its factors for short texts: more takes those for long */
    bool vocab_only;  /* open the tokenizer alone: a file without tensors will do, or a tokenizer.json or a
                         folder with one; no sessions */
    const capp_lora *lora; /* [n_lora] added to the weights in float32 when they are unpacked, one after the other; not
                              opened for vocab_only. Borrowed for the call, paths too; the files are not read later. An
                              adapter that does not fit the model, or asks for more than such a sum (DoRA, biases,
                              modules that were trained whole), is an error that names the tensor or field. */
    size_t n_lora;
    capp_progress_fn progress; /* of packing the weights: called before it and then many times a second; false makes
                                  capp_model_open end soon with CAPP_ECANCELLED; the last call may come before the end.
                                  May be NULL; not for vocab_only */
    void *progress_user;
} capp_model_options;

/* The defaults described above. */
CAPP_API void capp_model_options_init(capp_model_options *options);

typedef struct capp_model capp_model;

/* Opens a GGUF file (the first of a split set stands for all: NAME-00001-of-0000N.gguf) or a folder with config.json,
 * model.safetensors (or the files of its index) and tokenizer.json. options may be NULL.
 * On success the caller owns *model and ends it with capp_model_free after all its sessions. On failure *model is
 * NULL. The file must not change while the model is open. */
CAPP_API capp_status capp_model_open(capp_model **model, const char *path, const capp_model_options *options,
                                     capp_error *err);

/* model may be NULL. */
CAPP_API void capp_model_free(capp_model *model);

typedef struct capp_model_info {
    const char *architecture; /* general.architecture, or model_type of config.json; valid until capp_model_free, as all
                                 pointers here */
    const char *name;         /* general.name, or "" */
    const char *isa;          /* kernels in use, "" for vocab_only */
    capp_precision precision; /* in use: F32 where AUTO found no unit for bfloat16 */
    int threads;              /* workers of each session */
    uint32_t vocabulary;      /* tokens */
    uint32_t context;         /* most tokens of one sequence */
    uint32_t layers, width;   /* 0 for vocab_only */
    uint64_t parameters;
    uint64_t file_bytes;   /* all parts */
    uint64_t weight_bytes; /* packed weights in memory, and adapters */
    int32_t bos, eos;      /* token ids, or -1 */
    bool add_bos;          /* whether a text begins with BOS */
    double load_seconds;
    const char *adapters; /* what besides the file the model is: "PATH=WEIGHT" of each adapter in their order, with ", "
                             between them; "" for none */
} capp_model_info;

CAPP_API void capp_model_get_info(const capp_model *model, capp_model_info *info);

/* What one thread could do at most in matrix products with the model's instruction set and precision: operations a
 * second, measured in registers for a tenth of a second. 0 for vocab_only. */
CAPP_API double capp_model_measure_peak(const capp_model *model);

/* Called once a fact, in order; strings are valid during the call only. section: "file", "model" (or "adapter", of a
 * LoRA adapter), "adapters", "tokenizer", "metadata", "tensors". Return false to stop. */
typedef bool (*capp_describe_fn)(void *user, const char *section, const char *key, const char *value);

/* Says what a file is without loading its weights. Works for files whose architecture or tensor types capp cannot run.
 */
CAPP_API capp_status capp_describe(const char *path, capp_describe_fn fn, void *user, capp_error *err);

/* The same of a model with n adapters: the section "adapters" has a fact for each, whether it fits and what it changes.
 */
CAPP_API capp_status capp_describe_lora(const char *path, const capp_lora *lora, size_t n, capp_describe_fn fn,
                                        void *user, capp_error *err);

/* ---- Tokens -------------------------------------------------------------------------------------------------- */

enum {
    CAPP_TOKENIZE_BOS = 1,    /* begin with BOS where the tokenizer adds one */
    CAPP_TOKENIZE_SPECIAL = 2 /* text of special tokens ("<|im_start|>") becomes those tokens */
};

/* Ids of text. On success the caller owns *ids (capp_free; never NULL) of *n ids. On failure *ids is NULL. */
CAPP_API capp_status capp_tokenize(const capp_model *model, capp_str text, unsigned flags, int32_t **ids, size_t *n,
                                   capp_error *err);

/* Bytes of the text that ids stand for. On success the caller owns *text (capp_free; NUL-terminated, *size bytes). */
CAPP_API capp_status capp_detokenize(const capp_model *model, const int32_t *ids, size_t n, char **text, size_t *size,
                                     capp_error *err);

/* Ends what a function of this header says is ended by capp_free. p may be NULL. */
CAPP_API void capp_free(void *p);

/* ---- Chat templates ---------------------------------------------------------------------------------------------- */

/* A turn of a conversation. */
typedef struct capp_message {
    capp_str role; /* "system", "user", "assistant" or what else the template knows: letters, digits and underscores */
    capp_str content;
} capp_message;

/* All pointers are borrowed for the call. */
typedef struct capp_chat_options {
    const char *template_name;    /* which of several templates the model has; NULL: "default" */
    capp_str template_text;       /* a template to use instead of the model's */
    const char *template_path;    /* where that was read, for messages; NULL: nowhere */
    const capp_message *messages; /* [n_messages] what each conversation begins with: a system's turn, examples */
    size_t n_messages;
    capp_str variables; /* a JSON object with more that the template may look at: {"enable_thinking": false} */
    int64_t now;        /* seconds since 1970, for templates that tell the date; 0: when the chat is opened */
} capp_chat_options;

/* No messages, no variables, the model's own template. */
CAPP_API void capp_chat_options_init(capp_chat_options *options);

/* A model's chat template: how a conversation is written for it. In the options of a call it makes each prompt a user's
 * turn, behind which the assistant's answer begins, so that completions are the assistant's words. Immutable: any
 * number of threads and sessions may use one.
 *
 * Templates are programs in Jinja, of which capp knows what docs/chat.md lists. Text of special tokens in the template
 * becomes those tokens, text of special tokens in messages and variables stays text (unless a call is told to parse
 * it): a conversation cannot end its own turn. No BOS is added to what the template writes. */
typedef struct capp_chat capp_chat;

/* options may be NULL. On success the caller owns *chat and ends it with capp_chat_free before the model. On failure
 * *chat is NULL: CAPP_EINVAL where the model has no such template, CAPP_EFORMAT and CAPP_EUNSUPPORTED with the line of
 * the template that is no Jinja or that capp does not know. */
CAPP_API capp_status capp_chat_open(capp_chat **chat, const capp_model *model, const capp_chat_options *options,
                                    capp_error *err);

/* chat may be NULL. */
CAPP_API void capp_chat_free(capp_chat *chat);

/* The text of a conversation: the chat's own messages, then these, then where the assistant begins. On success the
 * caller owns *text (capp_free; NUL-terminated, *size bytes). CAPP_EINVAL with the template's words where it refuses.
 */
CAPP_API capp_status capp_chat_render(const capp_chat *chat, const capp_message *messages, size_t n, char **text,
                                      size_t *size, capp_error *err);

/* Ids of that conversation. flags: 0, or CAPP_TOKENIZE_SPECIAL for special tokens in messages too. On success the
 * caller owns *ids (capp_free) of *n_ids ids. */
CAPP_API capp_status capp_chat_tokenize(const capp_chat *chat, const capp_message *messages, size_t n, unsigned flags,
                                        int32_t **ids, size_t *n_ids, capp_error *err);

/* ---- Sessions ------------------------------------------------------------------------------------------------ */

typedef struct capp_session capp_session;

/* The caller owns *session and ends it with capp_session_free before the model. On failure *session is NULL. */
CAPP_API capp_status capp_session_open(capp_session **session, const capp_model *model, capp_error *err);

/* session may be NULL. */
CAPP_API void capp_session_free(capp_session *session);

/* Makes the call that runs on session, if any, end soon with CAPP_ECANCELLED: in milliseconds, whatever the size of the
 * model, for a wave is left in its middle. From any thread or signal handler. A call that begins later is not affected.
 */
CAPP_API void capp_session_cancel(capp_session *session);

/* Sums over the life of the session. */
typedef struct capp_stats {
    uint64_t rows;            /* examples, texts and prompts finished */
    uint64_t rows_again;      /* of them, with completions scored again in float32 (precision auto) */
    uint64_t tokens_computed; /* token rows run through the layers */
    uint64_t tokens_saved;    /* token rows that a run of each completion with its prompt, one by one, would add */
    uint64_t head_rows;       /* rows of the head: distinct contexts whose next token was asked for */
    double product_flops;     /* operations of the matrix products by weights, two for each weight and row */
    uint64_t planned_bytes;   /* peak of the run's memory as planned, the largest call's */
    uint64_t used_bytes;      /* peak of the KV store, buffers, token tree and plan as allocated */
    double seconds;           /* spent in calls */
} capp_stats;

CAPP_API void capp_session_get_stats(const capp_session *session, capp_stats *stats);

/* ---- Scoring ------------------------------------------------------------------------------------------------- */

/* The beginning that prompts have in common, tokenised once: see capp_run_options. Immutable: any number of threads and
 * sessions may use one. A session finds what prompts have in common by itself and computes it once, with or without a
 * handle; a handle says where the seam between the tokens of both lies, as CAPPr's cached models do. */
typedef struct capp_prefix capp_prefix;

/* A prompt follows the text after one space, and both are tokenised apart; BOS, where the tokenizer adds one, stands at
 * the very beginning. parent, which may be NULL, comes before text, which joins it by one space too (by its own, where
 * it begins with one); it is copied. flags: 0 or CAPP_TOKENIZE_SPECIAL. On success the caller owns *prefix and ends it
 * with capp_prefix_free before the model. On failure *prefix is NULL. */
CAPP_API capp_status capp_prefix_open(capp_prefix **prefix, const capp_model *model, const capp_prefix *parent,
                                      capp_str text, unsigned flags, capp_error *err);

/* prefix may be NULL. */
CAPP_API void capp_prefix_free(capp_prefix *prefix);

/* Ids of the prefix, [*n]; valid until capp_prefix_free. */
CAPP_API const int32_t *capp_prefix_ids(const capp_prefix *prefix, size_t *n);

/* A prompt and what may follow it. All pointers are borrowed for the call. */
typedef struct capp_example {
    capp_str prompt;             /* not empty */
    const capp_str *completions; /* [n_completions], none empty; equal ones are allowed and score alike */
    size_t n_completions;        /* at least 1 */
    const double *prior;         /* [n_completions], in [0, 1], sum 1; NULL: uniform */
    const char *end_of_prompt;   /* " " or "": stands between prompt and completion; NULL: " ", with a chat "" */
    bool normalize;              /* divide by the sum over completions; needs at least 2 completions */
} capp_example;

/* What an example gave. All pointers are valid during the callback only. */
typedef struct capp_result {
    size_t row;               /* index of the example in the call */
    size_t n_completions;     /* */
    size_t n_classes;         /* n_completions, or capp_scoring's n_classes where its classes are given */
    size_t prediction;        /* index of the highest posterior; the first of equals */
    const double *likelihood; /* [n_classes]: exp of the aggregate of its tokens' (discounted) log-probabilities, or the
                                 sum of those of its phrasings */
    const double *posterior;  /* [n_classes]: likelihood times prior, where one is given, divided by its sum where
                                 normalize */
    size_t n_prompt_ids;      /* BOS included, and a prefix */
    const int32_t *prompt_ids;
    const size_t *offset;  /* [n_completions + 1]: tokens of completion i are offset[i] .. offset[i + 1] - 1 of: */
    const int32_t *ids;    /* [offset[n_completions]] */
    const float *logprobs; /* [offset[n_completions]]: log Pr(token | prompt, completion tokens before it), <= 0 */
} capp_result;

/* Called once for each example, in the order of examples, from the calling thread. Return false to end the call with
 * CAPP_ECANCELLED. */
typedef bool (*capp_result_fn)(void *user, const capp_result *result);

/* What the log-probabilities of a completion's tokens come to: the logarithm of its likelihood. */
typedef enum capp_aggregate {
    CAPP_AGGREGATE_MEAN = 0,  /* their mean, CAPPr's default: the length does not count */
    CAPP_AGGREGATE_SUM = 1,   /* their sum: exp of it is the probability of exactly these tokens */
    CAPP_AGGREGATE_BYTES = 2, /* their sum divided by the bytes of the completion's text: the same for any tokenizer */
    CAPP_AGGREGATE_CALLER = 3 /* what capp_scoring's aggregate_fn says */
} capp_aggregate;

/* Logarithm of the likelihood of a completion whose n tokens have these (discounted) log-probabilities. NaN makes the
 * call fail with CAPP_EINVAL. Called from the calling thread, for a completion perhaps more than once. */
typedef double (*capp_aggregate_fn)(void *user, const double *logprobs, size_t n, capp_str completion);

/* What else becomes of the log-probabilities of completions, besides the aggregate. All pointers are borrowed for the
 * call. */
typedef struct capp_scoring {
    capp_aggregate_fn aggregate_fn; /* for CAPP_AGGREGATE_CALLER, else not looked at */
    void *aggregate_user;
    /* discount times the token's marginal log-probability is added to the log-probability of each token. 0: none.
     * Completions that the model likes after any prompt lose by a negative one. */
    double discount;
    /* Where the marginals come from: (1) marginals, laid out by offset as the logprobs of a capp_result are, for
     * examples that all have the same n_marginals completions; NaN counts 0. (2) domain, a prompt that says only what
     * is asked ("Topic:"): log Pr(token | domain, completion tokens before it), so that discount -1 makes the score
     * pointwise mutual information (with CAPP_AGGREGATE_SUM, PMI_DC: Holtzman et al., arXiv 2104.08315). (3) Neither:
     * log Pr(token | completion tokens before it), no BOS and no prefix before them; the first token has none, and 0
     * stands for it. */
    const double *marginals;       /* [marginal_offset[n_marginals]] */
    const size_t *marginal_offset; /* [n_marginals + 1] */
    size_t n_marginals;
    capp_str domain;
    /* Completions as phrasings of classes, whose likelihoods add: completion i of n_phrasings is one of class_of[i],
     * each class 0 .. n_classes - 1 has at least one, each example n_phrasings completions, its prior n_classes. NULL:
     * each completion is its own class. */
    const size_t *class_of;
    size_t n_phrasings, n_classes;
} capp_scoring;

/* No discount, no classes. */
CAPP_API void capp_scoring_init(capp_scoring *scoring);

typedef struct capp_run_options {
    bool parse_special;        /* text of special tokens in prompts and completions becomes those tokens */
    capp_aggregate aggregate;  /* default CAPP_AGGREGATE_MEAN */
    capp_progress_fn progress; /* may be NULL */
    void *progress_user;
    const capp_prefix *const *prefixes; /* [n_prefixes] row i's prompt or text follows prefixes[i % n_prefixes] */
    size_t n_prefixes;                  /* 0: none */
    const capp_scoring *scoring;        /* discounts, classes, aggregate_fn; NULL: none */
    const capp_chat *chat;              /* prompts and texts are user's turns; no prefixes then. NULL: none */
    double window_seconds; /* capp_score, capp_token_logprobs: results come at intervals of about this many seconds. The
                              first window has a few rows, later ones as many as the measured speed allows, but never
                              less than fills a wave: on a slow model they take longer. 0: windows as large as the
                              memory budget allows, up to 4096 rows. The results are the same bits */
} capp_run_options;

CAPP_API void capp_run_options_init(capp_run_options *options);

/* Checks one example as capp_score would without a capp_scoring, and without running it: the prompt, the completions,
 * the prior, normalize. */
CAPP_API capp_status capp_example_check(const capp_example *example, capp_error *err);

/* Scores examples and hands each result to fn. Prompts, their common beginnings and those of completions are computed
 * once within a window of rows, and what is hot stays for the next call. The session's memory budget decides how much
 * runs at once. options may be NULL. Where an example is at fault (err->row), the results of all examples before it
 * have been handed over; where memory runs out (CAPP_ENOMEM), those of its window may not. */
CAPP_API capp_status capp_score(capp_session *session, const capp_example *examples, size_t n,
                                const capp_run_options *options, capp_result_fn fn, void *user, capp_error *err);

/* Posteriors of n examples, one after the other, in proba [sum of n_completions, or of n_classes]; owned by the caller.
 */
CAPP_API capp_status capp_predict_proba(capp_session *session, const capp_example *examples, size_t n,
                                        const capp_run_options *options, double *proba, capp_error *err);

/* What capp_decide found. */
typedef struct capp_decision {
    size_t row;        /* index of the example in the call */
    size_t prediction; /* index of the highest posterior; the first of equals */
    double score;      /* its log-likelihood (the aggregate) plus the logarithm of its prior, where one is given */
    /* The work. What completions begin with in common counts once. */
    size_t completion_tokens;        /* that finishing every completion would run through the model behind the prompt: a
                                        token with nothing behind it never runs */
    size_t completion_tokens_run;    /* those that were run; under precision auto in all races of the row */
    size_t completion_logprobs;      /* distinct tokens of all completions */
    size_t completion_logprobs_read; /* those whose log-probability was looked at. The first tokens of all completions
                                        are among them and cost nothing: the prompt's last token tells all at once */
} capp_decision;

/* As capp_result_fn. */
typedef bool (*capp_decision_fn)(void *user, const capp_decision *decision);

/* Decides each example as capp_score does, to the same prediction, but without finishing completions that cannot win
 * any more: log-probabilities are at most 0, so that the tokens seen so far bound a completion's score from above.
 * Thousands of completions are decided for a small share of the work; there are no probabilities. Options, order of
 * results and errors as of capp_score; normalize changes nothing. CAPP_AGGREGATE_CALLER, a discount or classes give no
 * such bound and are CAPP_EINVAL: they need capp_score. */
CAPP_API capp_status capp_decide(capp_session *session, const capp_example *examples, size_t n,
                                 const capp_run_options *options, capp_decision_fn fn, void *user, capp_error *err);

/* Index of the most probable completion of each example, the first of equals, in prediction [n]: by capp_decide,
 * or by capp_score where the options ask for what that cannot do. An example with one completion (one class) is
 * CAPP_EINVAL. */
CAPP_API capp_status capp_predict(capp_session *session, const capp_example *examples, size_t n,
                                  const capp_run_options *options, size_t *prediction, capp_error *err);

/* Log-probabilities of the tokens of a text. Pointers are valid during the callback only. */
typedef struct capp_text_result {
    size_t row;
    size_t n;
    const int32_t *ids;    /* [n], BOS first where asked for and the tokenizer adds one */
    const float *logprobs; /* [n]: log Pr(token i | tokens before i); NaN for the first, which nothing precedes (or a
                              prefix, which is not listed) */
} capp_text_result;

typedef bool (*capp_text_result_fn)(void *user, const capp_text_result *result);

/* For each of n texts (none empty). flags: CAPP_TOKENIZE_*; after a prefix no BOS is added, nor a space. options may be
 * NULL; its aggregate and scoring are not looked at. */
CAPP_API capp_status capp_token_logprobs(capp_session *session, const capp_str *texts, size_t n, unsigned flags,
                                         const capp_run_options *options, capp_text_result_fn fn, void *user,
                                         capp_error *err);

/* ---- Generation ---------------------------------------------------------------------------------------------- */

typedef struct capp_generate_options {
    size_t max_tokens;    /* at most this many for each prompt; default 16 */
    const capp_str *stop; /* [n_stop]: text ends before the first of these; may be NULL */
    size_t n_stop;
    bool ignore_eos; /* go on past the end-of-sequence token, to exactly max_tokens */
    bool parse_special;
    capp_progress_fn progress; /* rows finished; may be NULL */
    void *progress_user;
    const capp_chat *chat; /* prompts are user's turns; NULL: none */
} capp_generate_options;

CAPP_API void capp_generate_options_init(capp_generate_options *options);

typedef struct capp_generation {
    size_t row;
    size_t n; /* tokens generated */
    const int32_t *ids;
    const float *logprobs; /* [n]: of each token, of the full softmax */
    capp_str text;         /* without the stop string */
    const char *finish;    /* "length", "eos" or "stop" */
} capp_generation;

typedef bool (*capp_generation_fn)(void *user, const capp_generation *result);

/* The most probable next token, again and again, for all prompts at once. The lowest id of equals. */
CAPP_API capp_status capp_generate(capp_session *session, const capp_str *prompts, size_t n,
                                   const capp_generate_options *options, capp_generation_fn fn, void *user,
                                   capp_error *err);

#ifdef __cplusplus
}
#endif
#endif
