/* Values of a template, and the run in which they live.
 *
 * A run fails once. The first failure is kept; after it every new value is UNDEFINED and every loop must end. So
 * functions return values, not statuses, and loops check run->status. All memory is in the run's heap. */
#ifndef CAPP_JINJA_VALUE_H
#define CAPP_JINJA_VALUE_H

#include "base/error.h"
#include "jinja/heap.h"

/* ---- Values ------------------------------------------------------------------------------------------------------ */

typedef enum capp_jinja_kind {
    CAPP_JINJA_UNDEFINED, /* what is undefined: node if from_node, else name; NULL: unknown */
    CAPP_JINJA_NONE,
    CAPP_JINJA_BOOLEAN,
    CAPP_JINJA_INTEGER,
    CAPP_JINJA_FLOAT,
    CAPP_JINJA_STRING,
    CAPP_JINJA_LIST,
    CAPP_JINJA_TUPLE,
    CAPP_JINJA_VIEW,   /* the keys, values or items of a dict: can be iterated, not indexed */
    CAPP_JINJA_STREAM, /* can be iterated once: the result of map, select and similar filters */
    CAPP_JINJA_DICT,
    CAPP_JINJA_NAMESPACE,
    CAPP_JINJA_LOOP,
    CAPP_JINJA_MACRO,
    CAPP_JINJA_FUNCTION, /* function: its number */
    CAPP_JINJA_METHOD
} capp_jinja_kind;

typedef struct capp_jinja_value capp_jinja_value;
typedef struct capp_jinja_node capp_jinja_node;   /* tree.h */
typedef struct capp_jinja_scope capp_jinja_scope; /* scope.h */
typedef struct capp_jinja_macro capp_jinja_macro; /* execute.c */

typedef struct capp_jinja_string {
    const char *text;     /* valid UTF-8 */
    const uint8_t *given; /* [size] 1: the byte comes from the conversation, 0: from the template */
    size_t size;
} capp_jinja_string;

typedef struct capp_jinja_list {
    capp_jinja_value *items; /* [n] */
    size_t n, capacity;
    size_t taken; /* STREAM: how many items have been read */
} capp_jinja_list;

typedef struct capp_jinja_dict {
    capp_jinja_value *keys, *values; /* [n], in order of insertion */
    size_t n, capacity;
} capp_jinja_dict;

typedef struct capp_jinja_loop capp_jinja_loop;
typedef struct capp_jinja_method capp_jinja_method;

struct capp_jinja_value {
    capp_jinja_kind kind;
    int16_t function;
    bool from_node;
    union {
        bool truth;
        int64_t integer;
        double number;
        const capp_jinja_string *string;
        capp_jinja_list *list;
        capp_jinja_dict *dict;
        capp_jinja_loop *loop;
        const capp_jinja_macro *macro;
        const capp_jinja_method *method;
        const capp_str *name;
        const capp_jinja_node *node;
    };
};

struct capp_jinja_loop {
    const capp_jinja_list *list;
    size_t index, depth;
    capp_jinja_value changed; /* the last arguments of changed(); UNDEFINED: none */
};

struct capp_jinja_method {
    capp_jinja_value self;
    int row; /* index in the table of methods */
};

/* Arguments of a call: n positional ones, then the named ones. */
typedef struct capp_jinja_arguments {
    const capp_jinja_value *values; /* [n + n_named] */
    const capp_str *names;          /* [n_named] */
    size_t n, n_named;
} capp_jinja_arguments;

/* A text that grows in the heap. */
typedef struct capp_jinja_buffer {
    char *text;
    uint8_t *given;
    size_t size, capacity;
} capp_jinja_buffer;

/* ---- The run ----------------------------------------------------------------------------------------------------- */

typedef struct capp_jinja_run {
    capp_jinja_heap heap;
    capp_status status;
    capp_error *err;
    int line; /* line of the node that is being run */
    unsigned depth;
    uint64_t steps, max_steps;
    int64_t now; /* seconds since 1970 */
    capp_jinja_scope *scope;
    capp_jinja_buffer *out;
    capp_jinja_value captured; /* the output of a CAPTURE node's block */
    /* Parts of the interpreter that are above the values and expressions that need them. */
    capp_jinja_value (*call_macro)(struct capp_jinja_run *run, const capp_jinja_macro *macro,
                                   const capp_jinja_arguments *arguments);
    void (*describe_node)(const capp_jinja_node *node, char *out, size_t size);
} capp_jinja_run;

/* The maximum nesting of evaluations, and of values that are compared or printed. */
enum { CAPP_JINJA_MAX_DEPTH = 400 };

/* Keeps the first failure as "line N: MESSAGE". Returns UNDEFINED. */
capp_jinja_value capp_jinja_fail(capp_jinja_run *run, capp_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fails with "'EXPRESSION' is undefined". */
capp_jinja_value capp_jinja_fail_undefined(capp_jinja_run *run, capp_jinja_value value);

/* Fails because of a value's kind, with "WHAT KIND". If the value is undefined, fails like capp_jinja_fail_undefined.
 */
capp_jinja_value capp_jinja_fail_kind(capp_jinja_run *run, const char *what, capp_jinja_value value);

/* Cleared memory of the run. Returns NULL and fails if there is not enough memory, or above the limit. */
void *capp_jinja_allocate(capp_jinja_run *run, size_t n, size_t size);

/* Counts work against the limit. False: the run has failed. */
bool capp_jinja_count_steps(capp_jinja_run *run, size_t steps);

/* Goes one level deeper. Returns false and fails if this is too deep. After true, the caller must call
 * capp_jinja_leave. */
bool capp_jinja_enter(capp_jinja_run *run);
void capp_jinja_leave(capp_jinja_run *run);

/* ---- Making values ----------------------------------------------------------------------------------------------- */

static inline capp_jinja_value capp_jinja_none(void) {
    return (capp_jinja_value){.kind = CAPP_JINJA_NONE};
}
static inline capp_jinja_value capp_jinja_boolean(bool truth) {
    return (capp_jinja_value){.kind = CAPP_JINJA_BOOLEAN, .truth = truth};
}
static inline capp_jinja_value capp_jinja_integer(int64_t integer) {
    return (capp_jinja_value){.kind = CAPP_JINJA_INTEGER, .integer = integer};
}
static inline capp_jinja_value capp_jinja_float(double number) {
    return (capp_jinja_value){.kind = CAPP_JINJA_FLOAT, .number = number};
}
capp_jinja_value capp_jinja_undefined(capp_jinja_run *run, capp_str name);

/* Copies. The text of the first two counts as part of the template, the text of the third as part of the conversation.
 */
capp_jinja_value capp_jinja_string_from_c(capp_jinja_run *run, const char *text);
capp_jinja_value capp_jinja_string_of_template(capp_jinja_run *run, capp_str text);
capp_jinja_value capp_jinja_string_of_conversation(capp_jinja_run *run, capp_str text);

/* Borrows size bytes of a string of the run, starting at byte `at`. */
capp_jinja_value capp_jinja_substring(capp_jinja_run *run, const capp_jinja_string *string, size_t at, size_t size);
capp_jinja_value capp_jinja_buffer_to_string(capp_jinja_run *run, const capp_jinja_buffer *buffer);

void capp_jinja_append_string(capp_jinja_run *run, capp_jinja_buffer *buffer, const capp_jinja_string *string);
void capp_jinja_append_bytes(capp_jinja_run *run, capp_jinja_buffer *buffer, const char *text, size_t size,
                             uint8_t given);
void capp_jinja_append_text(capp_jinja_run *run, capp_jinja_buffer *buffer, const char *text);

capp_jinja_value capp_jinja_list_new(capp_jinja_run *run, capp_jinja_kind kind, size_t room);
void capp_jinja_list_append(capp_jinja_run *run, capp_jinja_value list, capp_jinja_value item);
capp_jinja_value capp_jinja_dict_new(capp_jinja_run *run, capp_jinja_kind kind);
void capp_jinja_dict_set(capp_jinja_run *run, capp_jinja_value dict, capp_jinja_value key, capp_jinja_value value);

/* Returns false and fails if Python does not accept the value as a key of a dict. */
bool capp_jinja_check_hashable(capp_jinja_run *run, capp_jinja_value value);

/* NULL: there is no such key. */
capp_jinja_value *capp_jinja_dict_get(capp_jinja_run *run, const capp_jinja_dict *dict, capp_jinja_value key);
capp_jinja_value *capp_jinja_dict_get_named(const capp_jinja_dict *dict, capp_str key);

/* ---- Reading values ---------------------------------------------------------------------------------------------- */

/* LIST, TUPLE, VIEW and STREAM have a list. */
static inline bool capp_jinja_has_list(capp_jinja_value value) {
    return value.kind >= CAPP_JINJA_LIST && value.kind <= CAPP_JINJA_STREAM;
}
static inline bool capp_jinja_is_number(capp_jinja_value value) {
    return value.kind == CAPP_JINJA_BOOLEAN || value.kind == CAPP_JINJA_INTEGER || value.kind == CAPP_JINJA_FLOAT;
}
/* UNDEFINED or NONE. */
static inline bool capp_jinja_is_missing(capp_jinja_value value) {
    return value.kind <= CAPP_JINJA_NONE;
}
bool capp_jinja_get_integer(capp_jinja_value value, int64_t *out); /* of INTEGER and BOOLEAN; false: another kind */
double capp_jinja_get_number(capp_jinja_value value);              /* of numbers */
bool capp_jinja_string_is(capp_jinja_value value, const char *text);
size_t capp_jinja_count_characters(const capp_jinja_string *string);

const char *capp_jinja_kind_name(capp_jinja_value value); /* the name of the type in Python */
bool capp_jinja_is_true(capp_jinja_value value);
bool capp_jinja_equal(capp_jinja_run *run, capp_jinja_value a, capp_jinja_value b);

/* -1, 0 or 1. Fails if the two have no order; op: the operator, for the message. */
int capp_jinja_compare(capp_jinja_run *run, capp_jinja_value a, capp_jinja_value b, const char *op);
bool capp_jinja_contains(capp_jinja_run *run, capp_jinja_value container, capp_jinja_value item);

/* The items for a for loop: a value with a list. From a stream it takes the items that are left; they are then read.
 * Fails if the value cannot be iterated. */
capp_jinja_value capp_jinja_iterate(capp_jinja_run *run, capp_jinja_value value);

#endif
