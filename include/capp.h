/* capp: completion after prompt probability.
 * capp scores completions after a prompt with a causal language model. For each token of each completion it computes
 * log Pr(token | prompt, completion tokens before it), from the full softmax over the vocabulary. From these
 * log-probabilities it makes one probability for each completion.
 *
 * capp_arrays.h has the functions that need no model; capp_forecast.h tells what a call has to do.
 *
 * Conventions
 * - A function that can fail returns a capp_status. On failure it also fills *err with one message, which says what is
 *   wrong, in which file, row or tensor, and what to do. err may be NULL. After a failure each output pointer is NULL
 *   or unchanged; the function's comment says which.
 * - Text is UTF-8 with an explicit length. A function borrows text only for the duration of the call. Invalid UTF-8 is
 *   CAPP_EINVAL.
 * - The library never prints, exits or aborts. It changes no state of the process, with one exception: when it selects
 *   AMX, it asks the kernel for permission to use AMX tiles (arch_prctl). The permission lasts until the process ends.
 * - After a capp_model is opened, only its cache of weights changes. Any number of threads may use it at the same time.
 * - A capp_session owns the scratch memory, the worker threads and the KV store of a run. Only one thread at a time may
 *   use a session. Several sessions of one model may run at the same time.
 * - For one build, one instruction set and one precision, the log-probabilities of an example are always the same bits.
 *   They do not depend on the other examples in the call, their order, the number of threads, the memory budget, or
 *   earlier calls. In precisions F32, I16, MIXED and I8 they do not depend on the instruction set: CAPP_ARITHMETIC.
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

/* Returns the version of the library, for example "0.1.0". The string is static. */
CAPP_API const char *capp_version(void);

/* The version of the arithmetic in precisions F32, I16, MIXED and I8. It changes whenever a release gives other bits
 * for the same model and text. Results of machines or releases with the same number can be compared bit for bit. */
#define CAPP_ARITHMETIC 2

/* ---- Status -------------------------------------------------------------------------------------------------- */

/* X(name, value, meaning) */
#define CAPP_STATUS_MAP(X)                                                                                             \
    X(OK, 0, "success")                                                                                                \
    X(ENOMEM, 1, "out of memory")                                                                                      \
    X(EIO, 2, "cannot open, read or map a file")                                                                       \
    X(EFORMAT, 3, "malformed file or text")                                                                            \
    X(EUNSUPPORTED, 4, "valid file that uses a feature capp does not support")                                         \
    X(EINVAL, 5, "invalid argument")                                                                                   \
    X(ETOOLONG, 6, "a prompt with its completions is longer than the context")                                         \
    X(EBUDGET, 7, "memory budget too small")                                                                           \
    X(ECANCELLED, 8, "cancelled by the caller")

typedef enum capp_status {
#define X(name, value, meaning) CAPP_##name = (value),
    CAPP_STATUS_MAP(X)
#undef X
} capp_status;

/* Returns the name of a status, for example "CAPP_EINVAL", or "CAPP_UNKNOWN" for any other number. The string is
 * static. */
CAPP_API const char *capp_status_name(capp_status status);

#define CAPP_NO_ROW SIZE_MAX

/* Details of a failure. The caller owns the structure and need not initialize it. */
typedef struct capp_error {
    capp_status status;
    size_t row;         /* index of the example or text in the call that caused the failure, or CAPP_NO_ROW */
    char message[1000]; /* one or two sentences without newlines, NUL-terminated */
} capp_error;

/* ---- Text ---------------------------------------------------------------------------------------------------- */

/* size bytes at data, not NUL-terminated. data may be NULL if size is 0. */
typedef struct capp_str {
    const char *data;
    size_t size;
} capp_str;

/* Returns the bytes of a NUL-terminated string. The result borrows the string. */
CAPP_API capp_str capp_str_of(const char *text);

/* ---- Allocation ---------------------------------------------------------------------------------------------- */

/* Replaces malloc, realloc and free for all memory that capp allocates. File mappings, the stacks of worker threads and
 * allocations inside the C library are not affected. Call this function before any other capp function. It is not
 * thread-safe. Three NULLs restore the functions of the C library. Returns CAPP_EINVAL if only some are NULL. */
CAPP_API capp_status capp_set_allocator(void *(*malloc_fn)(size_t), void *(*realloc_fn)(void *, size_t),
                                        void (*free_fn)(void *));

/* ---- Models -------------------------------------------------------------------------------------------------- */

/* The arithmetic of a model. F32, I16, I8 and MIXED give the same bits on every machine. */
typedef enum capp_precision {
    CAPP_PRECISION_AUTO = 0, /* The fastest choice that keeps decisions. The model alone determines which precision
                                decides: I16 if its layers' matrices, except small ones that usually stay floats, are
                                stored as integers and no adapter changes its experts, else F32. If another precision is
                                faster, it scores all rows in that one, and scores completions close to the best of
                                their row again in the precision that decides. So all processors decide alike. */
    CAPP_PRECISION_F32 = 1,  /* The reference: float32 throughout. */
    CAPP_PRECISION_BF16 = 2, /* Rounds the inputs of matrix products to bfloat16, with them attention's queries, keys,
                                values and weights. The KV store holds bfloat16. Sums and all else are float32.
                                CAPP_EUNSUPPORTED if the instruction set does not multiply bfloat16. */
    CAPP_PRECISION_I16 = 3,  /* Multiplies the integers that the file of a quantised model stores. The inputs of matrix
                                products become integers of 16 bits with one scale for 32 of them, which changes a
                                log-probability about 40 times less than BF16 does. Other matrices, experts that an
                                adapter changes, and all else: as in F32. CAPP_EUNSUPPORTED without integers. */
    CAPP_PRECISION_I8 = 4,   /* The same with inputs of 8 bits: faster, and about 5 times less accurate than BF16. */
    CAPP_PRECISION_MIXED = 5 /* I16 where 32 inputs are large beside the others of their row, elsewhere I8: nearly as
                                fast as I8, with half of its error. */
} capp_precision;

/* A LoRA adapter, which modifies a model's weight matrices and embeddings. path names one of these:
 * - a folder that PEFT saved, with adapter_config.json and adapter_model.safetensors, or one of these two files
 * - a GGUF file written by llama.cpp's convert_lora_to_gguf.py
 *
 * Both kinds work with a GGUF model and with a model folder, if the adapter was trained for that model. */
typedef struct capp_lora {
    const char *path;
    double weight; /* factor for the adapter's changes: 1 applies them as trained, 0 disables them */
} capp_lora;

/* Reports progress. Called from the calling thread at irregular intervals. done and total count the rows of a call, or
 * the steps of opening a model. Return false to cancel the operation. */
typedef bool (*capp_progress_fn)(void *user, size_t done, size_t total);

/* Values of weights_memory. The weights stay in the file as it stores them. A wave of token rows needs them unpacked.
 * The fourth use of a matrix with a place in the cache unpacks it there. Others are unpacked once in each wave,
 * so waves of few rows spend a larger share of their time on this. No result depends on what is cached. */
#define CAPP_WEIGHTS_DEFAULT ((uint64_t)0) /* all weights if they fit a quarter of the free memory, otherwise none */
#define CAPP_WEIGHTS_NONE    ((uint64_t)1) /* cache no weights */
#define CAPP_WEIGHTS_ALL     UINT64_MAX

/* Options of capp_model_open. */
typedef struct capp_model_options {
    int threads;              /* worker threads of each session; 0: one for each CPU that the process may use */
    uint64_t memory;          /* memory budget of a session in bytes, without the weights; 0: a quarter of the free
                                 memory, at most 4 GiB */
    uint64_t weights_memory;  /* memory budget of the cache of unpacked weights in bytes, or CAPP_WEIGHTS_DEFAULT, _NONE
                                 or _ALL. The cache holds whole matrices, as many as fit. */
    capp_precision precision; /* default: CAPP_PRECISION_AUTO */
    const char *isa;          /* instruction set: "ref"; on x86-64 "avx2", "avxvnni", "avx512", "avx512vnni",
                                 "avx512bf16" or "amx"; on AArch64 "neon", "neondot", "neoni8mm" or "neonbf16". NULL:
                                 the value of the environment variable CAPP_ISA if it is set, otherwise the best that
                                 the CPU and the operating system support. Borrowed for the call. */
    uint32_t context; /* maximum number of tokens of a prompt and a completion together. 0: the model's limit. For a
                         LongRoPE model, 0 means the limit for short texts; a larger value selects the model's factors
                         for long texts. */
    bool vocab_only;  /* open only the tokenizer: a GGUF file without tensors, a tokenizer.json or .model, or a folder
                         that contains one is enough. Such a model cannot open sessions. */
    const capp_lora
        *lora; /* [n_lora] adapters, added in float32, in this order, to the weights when these are unpacked or to
                  sums of integers. Not opened if vocab_only. The array and its paths are borrowed for the call; the
                  files are not read after it. If an adapter does not fit the model, or needs more than an
                  addition (DoRA, biases, fully trained modules), the error names the tensor or the field. */
    size_t n_lora;
    capp_progress_fn progress; /* called before the weights are found in the file, before the tokenizer is read, and at
                                  the end, with done 0, 1 and 2; may be NULL. If it returns false, capp_model_open fails
                                  with CAPP_ECANCELLED. Not called if vocab_only. */
    void *progress_user;
} capp_model_options;

/* Sets *options to the defaults described above. */
CAPP_API void capp_model_options_init(capp_model_options *options);

typedef struct capp_model capp_model;

/* Opens a model. path names one of these:
 * - a GGUF file, or the first file of a split set (NAME-00001-of-0000N.gguf)
 * - a folder with config.json, tokenizer.json or .model, and model.safetensors or the files that its index lists
 *
 * options may be NULL, for the defaults.
 *
 * On success the caller owns *model and frees it with capp_model_free, after all its sessions. On failure *model is
 * NULL.
 *
 * The files stay open, and sessions read them until capp_model_free. Before and after each wave of token rows a session
 * compares size, time of modification and inode of each file with what was opened. If a file was truncated, written to
 * or replaced, the call fails with CAPP_EIO and a message that names the file and the tensor. A change that leaves
 * size, time and inode as they were is not detected. A read beyond the end of a file that was truncated during a wave,
 * or from a failing disk, raises SIGBUS, which ends the process unless capp_guard_files was called. */
CAPP_API capp_status capp_model_open(capp_model **model, const char *path, const capp_model_options *options,
                                     capp_error *err);

/* Frees a model. model may be NULL. */
CAPP_API void capp_model_free(capp_model *model);

/* Facts about an open model. All pointers are valid until capp_model_free. */
typedef struct capp_model_info {
    const char *architecture; /* general.architecture of a GGUF file, or model_type of config.json */
    const char *name;         /* general.name, or "" */
    const char *isa;          /* instruction set in use; "" if vocab_only */
    capp_precision precision; /* precision in use: I16 or F32 instead of AUTO if that one scores all rows */
    int threads;              /* worker threads of each session */
    uint32_t vocabulary;      /* number of tokens */
    uint32_t context;         /* maximum number of tokens of a sequence */
    uint32_t layers, width;   /* 0 if vocab_only */
    uint64_t parameters;
    uint64_t file_bytes;         /* size of all files of the model */
    uint64_t weight_bytes;       /* of weights that the cache holds now (see weights_memory), and of adapters. Grows as
                                    waves use weights, up to capp_model_forecast_weights (capp_forecast.h). */
    uint64_t whole_weight_bytes; /* the same if all weights were cached */
    uint64_t streamed_bytes;     /* of weights that do not fit memory: each wave of rows reads them from the disk */
    int32_t bos, eos;            /* token ids, or -1 if the model has none */
    bool add_bos;                /* whether the tokenizer begins a text with BOS */
    bool assumed_pretokenizer;   /* the GGUF file names no pre-tokenizer; capp uses "default", as llama.cpp does */
    double load_seconds;
    const char *adapters; /* "PATH=WEIGHT" of each adapter in order, separated by ", "; "" if there are none */
    double margin;        /* AUTO rescores completions closer than this to the best if all have one token; 0: never */
    capp_precision deciding; /* that of rescored completions: I16 or F32; without them, `precision` */
    capp_precision scoring;  /* that of all rows: F32, BF16 or MIXED if `precision` is AUTO, else `precision` */
} capp_model_info;

/* Fills *info. */
CAPP_API void capp_model_get_info(const capp_model *model, capp_model_info *info);

/* Measures, for a tenth of a second, how many operations per second one thread can execute in matrix products with the
 * model's instruction set and the precision that scores all rows (MIXED: like I8). The operands stay in registers, so
 * the result is an upper limit. Returns 0 if vocab_only. */
CAPP_API double capp_model_measure_peak(const capp_model *model);

/* Returns how many bytes of the model's files the system holds in its page cache. This memory does not belong to the
 * process: the system takes it back when memory is short, and reads the file again. Takes some milliseconds for each
 * GB. */
CAPP_API uint64_t capp_model_measure_resident(const capp_model *model);

/* Makes a failed read of a model file an error of the call (CAPP_EIO) instead of a SIGBUS that ends the process.
 * Installs a handler of SIGBUS for the whole process. If no model file caused the signal, it calls the handler that was
 * installed before. A handler that is installed later replaces this one. One call is enough, at any time. CAPP_EIO if
 * the system refuses. */
CAPP_API capp_status capp_guard_files(capp_error *err);

/* Receives one fact about a file. section is "file", "model" (or "adapter" for a LoRA adapter), "adapters",
 * "tokenizer", "metadata" or "tensors"; facts arrive in this order. The strings are valid only during the call. Return
 * false to stop. */
typedef bool (*capp_describe_fn)(void *user, const char *section, const char *key, const char *value);

/* Describes a file without loading its weights. Also works for files with architectures or tensor types that capp
 * cannot run. */
CAPP_API capp_status capp_describe(const char *path, capp_describe_fn fn, void *user, capp_error *err);

/* Describes a model together with n adapters. The section "adapters" says for each adapter whether it fits the model
 * and what it changes. */
CAPP_API capp_status capp_describe_lora(const char *path, const capp_lora *lora, size_t n, capp_describe_fn fn,
                                        void *user, capp_error *err);

/* ---- Tokens -------------------------------------------------------------------------------------------------- */

enum {
    CAPP_TOKENIZE_BOS = 1,    /* begin with BOS if the tokenizer adds one */
    CAPP_TOKENIZE_SPECIAL = 2 /* parse special tokens: text such as "<|im_start|>" becomes the special token */
};

/* Converts text to token ids. flags: CAPP_TOKENIZE_*. On success *ids holds *n ids and is never NULL; the caller owns
 * it and frees it with capp_free. On failure *ids is NULL. */
CAPP_API capp_status capp_tokenize(const capp_model *model, capp_str text, unsigned flags, int32_t **ids, size_t *n,
                                   capp_error *err);

/* Converts n token ids to text. On success *text holds *size bytes and a terminating NUL; the caller owns it and frees
 * it with capp_free. On failure *text is NULL. */
CAPP_API capp_status capp_detokenize(const capp_model *model, const int32_t *ids, size_t n, char **text, size_t *size,
                                     capp_error *err);

/* Frees memory that another function of this header returned, if its comment says so. p may be NULL. */
CAPP_API void capp_free(void *p);

/* ---- Chat templates ---------------------------------------------------------------------------------------------- */

/* One message of a conversation. */
typedef struct capp_message {
    capp_str role; /* "system", "user", "assistant", or another role that the template knows. Letters, digits and
                      underscores only. */
    capp_str content;
} capp_message;

/* Options of a chat. All pointers are borrowed for the call. */
typedef struct capp_chat_options {
    const char *template_name;    /* which template to use, if the model has several; NULL: "default" */
    capp_str template_text;       /* a template to use instead of the model's own */
    const char *template_path;    /* file that template_text comes from, for error messages; NULL: none */
    const capp_message *messages; /* [n_messages] the start of each conversation: a system message, examples */
    size_t n_messages;
    capp_str variables; /* JSON object with more variables for the template: {"enable_thinking": false} */
    int64_t now;        /* current time for templates that print the date, in seconds since 1970; 0: the time at which
                           the chat is opened */
} capp_chat_options;

/* Sets *options to the defaults: no messages, no variables, the model's own template. */
CAPP_API void capp_chat_options_init(capp_chat_options *options);

/* A model's chat template, which writes a conversation as the model expects it. If the options of a call name a chat,
 * each prompt becomes a user message and the assistant's answer begins after it: the completions are the assistant's
 * words. A chat does not change after it is opened. Any number of threads and sessions may use it at the same time.
 *
 * Templates are Jinja programs. capp implements the part of Jinja that docs/chat.md lists. Special tokens in the text
 * of the template become special tokens. Special tokens in messages and variables stay ordinary text, unless the call
 * asks to parse them, so a message cannot end its own turn. capp adds no BOS to the output of a template. */
typedef struct capp_chat capp_chat;

/* Opens the chat template of a model. options may be NULL. On success the caller owns *chat and frees it with
 * capp_chat_free, before the model. On failure *chat is NULL. The status is CAPP_EINVAL if the model has no such
 * template, CAPP_EFORMAT if the template is not valid Jinja, and CAPP_EUNSUPPORTED if it uses a feature that capp does
 * not support. The message names the line. */
CAPP_API capp_status capp_chat_open(capp_chat **chat, const capp_model *model, const capp_chat_options *options,
                                    capp_error *err);

/* Frees a chat. chat may be NULL. */
CAPP_API void capp_chat_free(capp_chat *chat);

/* Writes a conversation as text: the chat's own messages, then these n messages, then the start of the assistant's
 * answer. On success *text holds *size bytes and a terminating NUL; the caller owns it and frees it with capp_free. If
 * the template rejects the conversation, the status is CAPP_EINVAL and the message quotes the template. */
CAPP_API capp_status capp_chat_render(const capp_chat *chat, const capp_message *messages, size_t n, char **text,
                                      size_t *size, capp_error *err);

/* Converts the same conversation to token ids. flags: 0, or CAPP_TOKENIZE_SPECIAL to parse special tokens in messages
 * too. On success *ids holds *n_ids ids; the caller owns it and frees it with capp_free. */
CAPP_API capp_status capp_chat_tokenize(const capp_chat *chat, const capp_message *messages, size_t n, unsigned flags,
                                        int32_t **ids, size_t *n_ids, capp_error *err);

/* ---- Sessions ------------------------------------------------------------------------------------------------ */

typedef struct capp_session capp_session;

/* Opens a session. On success the caller owns *session and frees it with capp_session_free, before the model. On
 * failure *session is NULL. */
CAPP_API capp_status capp_session_open(capp_session **session, const capp_model *model, capp_error *err);

/* Frees a session. session may be NULL. */
CAPP_API void capp_session_free(capp_session *session);

/* Cancels the call that runs on session, if there is one. The call returns CAPP_ECANCELLED within milliseconds for any
 * size of model, because it also stops in the middle of a wave. May be called from any thread and from a signal
 * handler. Calls that begin later are not affected. */
CAPP_API void capp_session_cancel(capp_session *session);

/* Statistics of a session: totals over its life. */
typedef struct capp_stats {
    uint64_t rows;            /* examples, texts and prompts finished */
    uint64_t rows_rescored;   /* of these, rows with completions that were scored again (CAPP_PRECISION_AUTO) */
    uint64_t tokens_computed; /* token rows that ran through the layers */
    uint64_t tokens_saved;    /* additional token rows that would run if each completion ran alone with its prompt */
    uint64_t head_rows;       /* token rows that ran through the head: distinct contexts whose next token was scored */
    uint64_t experts_run;     /* mixtures of experts: experts that some row chose, over all layers and waves */
    uint64_t expert_layers_run; /* layers with experts that ran, over all waves */
    double product_flops;       /* operations in products with weight matrices: two for each weight and row */
    uint64_t planned_bytes;     /* planned peak memory of the run; the largest of all calls */
    uint64_t used_bytes;        /* allocated peak memory: KV store, buffers, token tree and plan */
    double seconds;             /* time spent in calls */
} capp_stats;

/* Fills *stats. */
CAPP_API void capp_session_get_stats(const capp_session *session, capp_stats *stats);

/* ---- Scoring ------------------------------------------------------------------------------------------------- */

/* A prefix: text that comes before prompts, tokenized once. See prefixes in capp_run_options. A prefix does not change
 * after it is opened. Any number of threads and sessions may use it at the same time.
 *
 * A prefix does not make a run faster: a session detects what prompts have in common and computes it once in any case.
 * A prefix fixes where its tokens end and those of the prompt begin, as CAPPr's cached models do. */
typedef struct capp_prefix capp_prefix;

/* Opens a prefix. The prompt follows the prefix after one space. Prefix and prompt are tokenized separately. If the
 * tokenizer adds BOS, it comes first. parent, which may be NULL, is a prefix that comes before text. One space joins
 * parent and text; if text begins with a space, no other is added. parent is copied. flags: 0 or CAPP_TOKENIZE_SPECIAL.
 * On success the caller owns *prefix and frees it with capp_prefix_free, before the model. On failure *prefix is NULL.
 */
CAPP_API capp_status capp_prefix_open(capp_prefix **prefix, const capp_model *model, const capp_prefix *parent,
                                      capp_str text, unsigned flags, capp_error *err);

/* Frees a prefix. prefix may be NULL. */
CAPP_API void capp_prefix_free(capp_prefix *prefix);

/* Returns the *n token ids of a prefix. They are valid until capp_prefix_free. */
CAPP_API const int32_t *capp_prefix_ids(const capp_prefix *prefix, size_t *n);

/* A prompt and its possible completions. All pointers are borrowed for the call. */
typedef struct capp_example {
    capp_str prompt;             /* not empty */
    const capp_str *completions; /* [n_completions], none empty. Equal completions are allowed and get equal scores. */
    size_t n_completions;        /* at least 1 */
    const double *prior;         /* [n_completions] probabilities in [0, 1] with sum 1; NULL: uniform */
    const char *end_of_prompt;   /* text between prompt and completion: " " or "". NULL: " ", or "" with a chat. */
    bool normalize;              /* divide by the sum over the completions; needs at least two completions */
} capp_example;

/* The result for one example. All pointers are valid only during the callback. */
typedef struct capp_result {
    size_t row; /* index of the example in the call */
    size_t n_completions;
    size_t n_classes;         /* n_classes of capp_scoring if it defines classes, otherwise n_completions */
    size_t prediction;        /* index of the highest posterior; the first one if several are equal */
    const double *likelihood; /* [n_classes] exp of the aggregate of the completion's (discounted) log-probabilities.
                                 For a class with several phrasings, the sum of their likelihoods. */
    const double *posterior;  /* [n_classes] likelihood, times the prior if there is one, divided by the sum over the
                                 classes if normalize */
    size_t n_prompt_ids;      /* includes BOS and a prefix */
    const int32_t *prompt_ids;
    const size_t *offset;  /* [n_completions + 1] completion i has tokens offset[i] .. offset[i + 1] - 1 of the arrays
                              below */
    const int32_t *ids;    /* [offset[n_completions]] */
    const float *logprobs; /* [offset[n_completions]] log Pr(token | prompt, completion tokens before it); <= 0 */
    const bool *rescored;  /* [n_completions] the completions that precision AUTO scored again; NULL: none */
    const float *first_logprobs; /* logprobs before completions were scored again; NULL if rescored is */
    const double *marginals;     /* [offset[n_completions]] the marginals that the call computed for a discount (see
                                    capp_scoring); NULL: none */
} capp_result;

/* Receives one result. Called once for each example, in order, from the calling thread. Return false to end the call
 * with CAPP_ECANCELLED. */
typedef bool (*capp_result_fn)(void *user, const capp_result *result);

/* How the log-probabilities of a completion's tokens combine into the logarithm of its likelihood. */
typedef enum capp_aggregate {
    CAPP_AGGREGATE_MEAN = 0,  /* mean, the default of CAPPr: does not favor short or long completions */
    CAPP_AGGREGATE_SUM = 1,   /* sum: the likelihood is the probability of exactly these tokens */
    CAPP_AGGREGATE_BYTES = 2, /* sum divided by the number of bytes of the completion: comparable between tokenizers */
    CAPP_AGGREGATE_CALLER = 3 /* the value that aggregate_fn of capp_scoring returns */
} capp_aggregate;

/* Returns the logarithm of the likelihood of a completion whose n tokens have these (discounted) log-probabilities. If
 * it returns NaN, the call fails with CAPP_EINVAL. Called from the calling thread, possibly several times for one
 * completion. */
typedef double (*capp_aggregate_fn)(void *user, const double *logprobs, size_t n, capp_str completion);

/* Optional steps between log-probabilities and likelihoods. All pointers are borrowed for the call. */
typedef struct capp_scoring {
    capp_aggregate_fn aggregate_fn; /* used only with CAPP_AGGREGATE_CALLER */
    void *aggregate_user;
    /* Before the aggregate, discount times the token's marginal log-probability is added to the log-probability of each
     * token. 0: no discount. A negative discount lowers completions that the model finds likely after any prompt. */
    double discount;
    /* Marginal log-probabilities have one of three sources. Give at most one of marginals and domain. (1) marginals, if
     * it is not NULL: all examples must have the same n_marginals completions, and the layout is that of logprobs in
     * capp_result. NaN counts as 0. (2) domain, if it is not empty: a prompt that says only what is asked ("Topic:").
     * The marginal is log Pr(token | domain, completion tokens before it). With discount -1 the score is then pointwise
     * mutual information (with CAPP_AGGREGATE_SUM, PMI_DC: Holtzman et al., arXiv 2104.08315). (3) Otherwise log
     * Pr(token | completion tokens before it), without BOS and without a prefix. The first token has no marginal; 0
     * takes its place. */
    const double *marginals;       /* [marginal_offset[n_marginals]] */
    const size_t *marginal_offset; /* [n_marginals + 1] */
    size_t n_marginals;
    capp_str domain;
    /* Classes with phrasings. Completion i of n_phrasings is a phrasing of class class_of[i]. The likelihoods of a
     * class's phrasings are added. Each class 0 .. n_classes - 1 has at least one phrasing. Each example has
     * n_phrasings completions, and its prior has n_classes entries. NULL: each completion is its own class. */
    const size_t *class_of;
    size_t n_phrasings, n_classes;
} capp_scoring;

/* Sets *scoring to the defaults: no discount, no classes. */
CAPP_API void capp_scoring_init(capp_scoring *scoring);

/* Options of a call that scores. All pointers are borrowed for the call. */
typedef struct capp_run_options {
    bool parse_special;        /* parse special tokens in prompts and completions */
    capp_aggregate aggregate;  /* default: CAPP_AGGREGATE_MEAN */
    capp_progress_fn progress; /* may be NULL */
    void *progress_user;
    const capp_prefix *const *prefixes; /* [n_prefixes] the prompt or text of row i follows prefixes[i % n_prefixes] */
    size_t n_prefixes;                  /* 0: no prefixes */
    const capp_scoring *scoring;        /* discount, classes and aggregate_fn; NULL: none */
    const capp_chat *chat;              /* prompts and texts become user messages; prefixes are not allowed. NULL: none
                                         */
    double window_seconds; /* capp_score and capp_token_logprobs: results arrive at intervals of about this many
                              seconds. The first window has a few rows. Later windows have as many as the measured speed
                              allows, but enough to fill a wave, so with a slow model they take longer. 0: windows are
                              as large as the memory budget allows, up to 4096 rows, as they always are if weights do
                              not fit the memory (streamed_bytes). The bits of the results do not change. */
} capp_run_options;

/* Sets *options to the defaults described above. */
CAPP_API void capp_run_options_init(capp_run_options *options);

/* Checks one example without running it: the prompt, the completions, the prior and normalize. Finds the same errors as
 * capp_score without a capp_scoring. */
CAPP_API capp_status capp_example_check(const capp_example *example, capp_error *err);

/* Scores n examples and passes each result to fn. options may be NULL.
 *
 * The session works on a window of rows at a time. What prompts or completions have in common at their start is
 * computed once within a window. Prefixes that are used often stay in the KV store for later windows and calls. The
 * memory budget decides how many token rows run at once.
 *
 * If an example is invalid, err->row is its index, and fn has received the results of all examples before it. If memory
 * runs out (CAPP_ENOMEM), fn may not have received the results of the current window. */
CAPP_API capp_status capp_score(capp_session *session, const capp_example *examples, size_t n,
                                const capp_run_options *options, capp_result_fn fn, void *user, capp_error *err);

/* Scores n examples and writes their posteriors to proba, one example after the other. The caller owns proba. Its size
 * is the sum of n_completions over all examples, or of n_classes if there are classes. */
CAPP_API capp_status capp_predict_proba(capp_session *session, const capp_example *examples, size_t n,
                                        const capp_run_options *options, double *proba, capp_error *err);

/* The result of capp_predict_early for one example. */
typedef struct capp_decision {
    size_t row;        /* index of the example in the call */
    size_t prediction; /* index of the highest posterior; the first one if several are equal */
    double score;      /* its log-likelihood (the aggregate), plus the logarithm of its prior if there is one */
    /* The work that was done. What completions have in common at their start counts once. */
    size_t completion_tokens;        /* token rows that run when every completion is finished. The last token of a
                                        completion never runs, unless another completion continues after it. */
    size_t completion_tokens_run;    /* token rows that did run; with CAPP_PRECISION_AUTO, in all races of the row */
    size_t completion_logprobs;      /* log-probabilities that are used when every completion is finished: one for each
                                        token */
    size_t completion_logprobs_read; /* how many of these were used. Includes those of the first tokens of all
                                        completions, which cost nothing: the last token of the prompt gives them all at
                                        once. */
} capp_decision;

/* Receives one decision. Called like capp_result_fn. */
typedef bool (*capp_decision_fn)(void *user, const capp_decision *decision);

/* Finds the prediction of each example without finishing completions that can no longer win. The prediction is that of
 * capp_score. A log-probability is at most 0, so the tokens read so far give an upper bound for the score of a
 * completion. With thousands of completions only a small part of the work remains. There are no probabilities.
 *
 * Options, order of results and errors are those of capp_score. normalize has no effect. CAPP_AGGREGATE_CALLER, a
 * discount and classes give no upper bound: the status is CAPP_EINVAL, and capp_score is the function to use. */
CAPP_API capp_status capp_predict_early(capp_session *session, const capp_example *examples, size_t n,
                                        const capp_run_options *options, capp_decision_fn fn, void *user,
                                        capp_error *err);

/* Writes the index of the most probable completion (or class) of each example to prediction [n]; the first one if
 * several are equal. Uses capp_predict_early if the options allow it, otherwise capp_score. CAPP_EINVAL if an example
 * has only one completion (or class). */
CAPP_API capp_status capp_predict(capp_session *session, const capp_example *examples, size_t n,
                                  const capp_run_options *options, size_t *prediction, capp_error *err);

/* Log-probabilities of the tokens of one text. Pointers are valid only during the callback. */
typedef struct capp_text_result {
    size_t row;            /* index of the text in the call */
    size_t n;              /* number of tokens */
    const int32_t *ids;    /* [n] token ids. The first is BOS, if flags ask for it and the tokenizer adds one. */
    const float *logprobs; /* [n] log Pr(token i | tokens before i). NaN for the first token, because no token precedes
                              it. After a prefix, which is not listed, the first token has a log-probability. */
} capp_text_result;

/* Receives one result. Called like capp_result_fn. */
typedef bool (*capp_text_result_fn)(void *user, const capp_text_result *result);

/* Computes the log-probability of each token of n texts. No text may be empty. flags: CAPP_TOKENIZE_*. After a prefix
 * neither BOS nor a space is added. options may be NULL; aggregate and scoring are ignored. */
CAPP_API capp_status capp_token_logprobs(capp_session *session, const capp_str *texts, size_t n, unsigned flags,
                                         const capp_run_options *options, capp_text_result_fn fn, void *user,
                                         capp_error *err);

/* ---- Generation ---------------------------------------------------------------------------------------------- */

/* Options of capp_generate. All pointers are borrowed for the call. */
typedef struct capp_generate_options {
    size_t max_tokens;    /* maximum number of tokens for each prompt; default: 16 */
    const capp_str *stop; /* [n_stop] stop strings: the text ends before the first of them; may be NULL */
    size_t n_stop;
    bool ignore_eos;           /* continue after the end-of-sequence token, up to exactly max_tokens */
    bool parse_special;        /* parse special tokens in prompts */
    capp_progress_fn progress; /* counts finished rows; may be NULL */
    void *progress_user;
    const capp_chat *chat; /* prompts become user messages; NULL: none */
} capp_generate_options;

/* Sets *options to the defaults described above. */
CAPP_API void capp_generate_options_init(capp_generate_options *options);

/* The text generated for one prompt. Pointers are valid only during the callback. */
typedef struct capp_generation {
    size_t row; /* index of the prompt in the call */
    size_t n;   /* number of tokens generated */
    const int32_t *ids;
    const float *logprobs; /* [n] log-probability of each token, from the full softmax */
    capp_str text;         /* without the stop string */
    const char *finish;    /* "length", "eos" or "stop" */
} capp_generation;

/* Receives one result. Called like capp_result_fn. */
typedef bool (*capp_generation_fn)(void *user, const capp_generation *result);

/* Generates text after n prompts, all at the same time. Each step takes the most probable next token; if several are
 * equal, the one with the lowest id. options may be NULL. */
CAPP_API capp_status capp_generate(capp_session *session, const capp_str *prompts, size_t n,
                                   const capp_generate_options *options, capp_generation_fn fn, void *user,
                                   capp_error *err);

#ifdef __cplusplus
}
#endif
#endif
