/* Values of a running template, and the run itself.
 *
 * A run fails once: the first failure is kept, and from then on every value is undefined and every loop ends. So what
 * computes values returns them, and whoever loops looks at run->status. All memory is the run's heap. */
#ifndef CAPP_CHAT_VALUE_H
#define CAPP_CHAT_VALUE_H

#include "chat/jinja.h"

/* ---- Memory that ends at once, up to a limit ----------------------------------------------------------------------
 */

typedef struct capp_jheap {
    struct capp_jblock *blocks; /* newest first */
    size_t used, most;          /* bytes */
} capp_jheap;

/* Aligned for pointers and numbers, cleared; NULL where memory or the limit is short. */
void *capp_jheap_take(capp_jheap *heap, size_t n, size_t size);
void capp_jheap_free(capp_jheap *heap);

/* ---- Values ------------------------------------------------------------------------------------------------------ */

typedef enum capp_jkind {
    CAPP_J_UNDEFINED, /* name or, where function is not 0, node: what there is none of; NULL: not given */
    CAPP_J_NONE,
    CAPP_J_BOOL,
    CAPP_J_INT,
    CAPP_J_FLOAT,
    CAPP_J_STR,
    CAPP_J_LIST,
    CAPP_J_TUPLE,
    CAPP_J_VIEW,   /* of a dict: walked, not indexed */
    CAPP_J_STREAM, /* walked once: what map, select and the like give */
    CAPP_J_DICT,
    CAPP_J_NAMESPACE,
    CAPP_J_LOOP,
    CAPP_J_MACRO,
    CAPP_J_GLOBAL, /* a function; function: which */
    CAPP_J_METHOD
} capp_jkind;

typedef struct capp_jval capp_jval;

typedef struct capp_jstr {
    const char *text;     /* valid UTF-8 */
    const uint8_t *given; /* [size] as in capp_marked */
    size_t size;
} capp_jstr;

typedef struct capp_jlist {
    capp_jval *at; /* [n] */
    size_t n, capacity;
    size_t taken; /* STREAM: how many have been walked */
} capp_jlist;

typedef struct capp_jdict {
    capp_jval *keys, *values; /* [n], in order of insertion */
    size_t n, capacity;
} capp_jdict;

typedef struct capp_jloop capp_jloop;
typedef struct capp_jmethod capp_jmethod;

struct capp_jval {
    capp_jkind kind;
    int function;
    union {
        bool truth;
        int64_t integer;
        double number;
        const capp_jstr *str;
        capp_jlist *list;
        capp_jdict *dict;
        capp_jloop *loop;
        const struct capp_jmacro *macro;
        const capp_jmethod *method;
        const capp_str *name;
        const struct capp_jnode *node;
    } of;
};

struct capp_jloop {
    const capp_jlist *items;
    size_t index, depth;
    capp_jval changed; /* what changed() saw last; UNDEFINED: nothing */
};

struct capp_jmethod {
    capp_jval self;
    int which;
};

/* Arguments of a call: n by place, then the named ones. */
typedef struct capp_jargs {
    const capp_jval *at;   /* [n + n_named] */
    const capp_str *names; /* [n_named] */
    size_t n, n_named;
} capp_jargs;

/* ---- The run ----------------------------------------------------------------------------------------------------- */

/* A text that grows in the heap. */
typedef struct capp_jbuffer {
    char *text;
    uint8_t *given;
    size_t size, capacity;
} capp_jbuffer;

typedef struct capp_jscope capp_jscope;

typedef struct capp_jrun {
    capp_jheap heap;
    capp_status status;
    capp_error *err;
    int line; /* of the node at work */
    unsigned depth;
    uint64_t steps, most_steps;
    int64_t now;
    capp_jscope *scope;
    capp_jbuffer *out;
    capp_jval hole;
} capp_jrun;

enum { CAPP_J_MOST_DEPTH = 400 }; /* of evaluations inside each other, and of values that are looked through */

/* Keeps the first failure: "line N: ...". */
capp_jval capp_jfail(capp_jrun *r, capp_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Fails because of what v is: "'EXPRESSION' is undefined", or "WHAT a KIND". */
capp_jval capp_jfail_undefined(capp_jrun *r, capp_jval v);
capp_jval capp_jfail_kind(capp_jrun *r, const char *what, capp_jval v);

/* How many bytes of a text a message shows: whole characters. */
int capp_jshown(capp_str text, size_t most);

/* Memory of the run; NULL and a failure where there is none. */
void *capp_jtake(capp_jrun *r, size_t n, size_t size);

/* Counts work; false once the run has failed. */
bool capp_jwork(capp_jrun *r, size_t amount);

/* One level deeper; false and a failure where that is too deep. Each true is followed by capp_jleave. */
bool capp_jenter(capp_jrun *r);
void capp_jleave(capp_jrun *r);

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static inline capp_jval capp_jnone(void) {
    return (capp_jval){.kind = CAPP_J_NONE};
}
static inline capp_jval capp_jbool(bool truth) {
    return (capp_jval){.kind = CAPP_J_BOOL, .of.truth = truth};
}
static inline capp_jval capp_jint(int64_t integer) {
    return (capp_jval){.kind = CAPP_J_INT, .of.integer = integer};
}
static inline capp_jval capp_jfloat(double number) {
    return (capp_jval){.kind = CAPP_J_FLOAT, .of.number = number};
}
capp_jval capp_jundefined(capp_jrun *r, capp_str name);

/* Copies. The text of the first two counts as the template's; a given one is the conversation's. */
capp_jval capp_jstr_of(capp_jrun *r, const char *text);
capp_jval capp_jstr_own(capp_jrun *r, capp_str text);
capp_jval capp_jstr_given(capp_jrun *r, capp_str text);
/* Borrows a part of a string of the run: size bytes at byte at. */
capp_jval capp_jpart(capp_jrun *r, const capp_jstr *s, size_t at, size_t size);
capp_jval capp_jbuffer_str(capp_jrun *r, const capp_jbuffer *b);

void capp_jput(capp_jrun *r, capp_jbuffer *b, const capp_jstr *s);
void capp_jput_bytes(capp_jrun *r, capp_jbuffer *b, const char *text, size_t size, uint8_t given);
void capp_jput_text(capp_jrun *r, capp_jbuffer *b, const char *text);

capp_jval capp_jlist_new(capp_jrun *r, capp_jkind kind, size_t room);
void capp_jlist_push(capp_jrun *r, capp_jval list, capp_jval item);
capp_jval capp_jdict_new(capp_jrun *r, capp_jkind kind);
void capp_jdict_put(capp_jrun *r, capp_jval dict, capp_jval key, capp_jval value);
/* Whether Python would take it for a key; else false and a failure. */
bool capp_jhashable(capp_jrun *r, capp_jval v);
/* NULL where there is none. */
capp_jval *capp_jdict_get(capp_jrun *r, const capp_jdict *dict, capp_jval key);
capp_jval *capp_jdict_named(const capp_jdict *dict, capp_str key);

/* A JSON value; its texts count as given. */
capp_jval capp_jfrom_json(capp_jrun *r, capp_json value);

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

static inline bool capp_jis_list(capp_jval v) { /* list, tuple, view, stream: has of.list */
    return v.kind >= CAPP_J_LIST && v.kind <= CAPP_J_STREAM;
}
static inline bool capp_jis_number(capp_jval v) {
    return v.kind == CAPP_J_BOOL || v.kind == CAPP_J_INT || v.kind == CAPP_J_FLOAT;
}
bool capp_jinteger(capp_jval v, int64_t *out); /* of INT and BOOL */
double capp_jnumber(capp_jval v);              /* of numbers */
bool capp_jstr_is(capp_jval v, const char *text);

const char *capp_jkind_name(capp_jval v); /* as Python calls the type */
bool capp_jtruth(capp_jval v);
bool capp_jequal(capp_jrun *r, capp_jval a, capp_jval b);
/* -1, 0, 1; fails where the two have no order. */
int capp_jcompare(capp_jrun *r, capp_jval a, capp_jval b, const char *op);
bool capp_jcontains(capp_jrun *r, capp_jval in, capp_jval item);

/* What a for loop walks: a LIST, TUPLE, ... with of.list; of a stream what is left, which is then gone. Fails where v
 * cannot be walked. */
capp_jval capp_jwalk(capp_jrun *r, capp_jval v);

size_t capp_jcharacters(const capp_jstr *s);

/* str(v): as {{ v }} prints it. Never NULL: an empty text after a failure. */
const capp_jstr *capp_jtext(capp_jrun *r, capp_jval v);

/* json.dumps(v, ensure_ascii=False, ...). indent: NULL or what one level is indented by. */
typedef struct capp_jjson_style {
    bool ascii, sorted;
    const capp_jstr *indent, *comma, *colon; /* the latter two never NULL */
} capp_jjson_style;
void capp_jput_json(capp_jrun *r, capp_jbuffer *b, capp_jval v, const capp_jjson_style *style);

/* As Python writes a double. */
enum { CAPP_J_NUMBER = 40 };
void capp_jdouble(double number, char out[CAPP_J_NUMBER]);

bool capp_jis_space(int32_t c); /* str.isspace */

/* ---- What filters.c, methods.c and checks.c have --------------------------------------------------------------------
 */

/* Binds arguments to the names of parameters, "old new count", at most 6; those not given are UNDEFINED. False and a
 * failure where one does not fit. */
enum { CAPP_J_MOST_PARAMETERS = 6 };
bool capp_jbind(capp_jrun *r, const char *what, const char *parameters, const capp_jargs *args,
                capp_jval bound[CAPP_J_MOST_PARAMETERS]);

capp_jval capp_jfilter(capp_jrun *r, capp_str name, capp_jval input, const capp_jargs *args);
bool capp_jcheck(capp_jrun *r, capp_str name, capp_jval input, const capp_jargs *args);

/* The method of a value: METHOD; UNDEFINED where there is none; a failure for one that capp does not know. */
capp_jval capp_jmethod_of(capp_jrun *r, capp_jval self, capp_str name);
capp_jval capp_jmethod_call(capp_jrun *r, const capp_jmethod *method, const capp_jargs *args);

/* str methods that filters are too. */
typedef enum capp_jcase { CAPP_J_LOWER, CAPP_J_UPPER, CAPP_J_TITLE, CAPP_J_CAPITAL } capp_jcase;
capp_jval capp_jchange_case(capp_jrun *r, const capp_jstr *s, capp_jcase to);
capp_jval capp_jstrip(capp_jrun *r, const capp_jstr *s, const capp_jstr *characters, bool left, bool right);
capp_jval capp_jreplace(capp_jrun *r, const capp_jstr *s, const capp_jstr *old, const capp_jstr *by, int64_t most);
capp_jval capp_jsplit_lines(capp_jrun *r, const capp_jstr *s, bool keep); /* keep: their ends */
capp_jval capp_jjoin(capp_jrun *r, const capp_jstr *between, const capp_jlist *items);
bool capp_jis_case(const capp_jstr *s, bool upper); /* str.isupper, str.islower */

/* eval.c */
capp_jval capp_jattribute(capp_jrun *r, capp_jval of, capp_str name);
capp_jval capp_jitem(capp_jrun *r, capp_jval of, capp_jval key);
capp_jval capp_jglobal(capp_jrun *r, capp_str name); /* UNDEFINED: there is none */
capp_jval capp_jglobal_call(capp_jrun *r, int function, const capp_jargs *args);

#endif
