#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/pattern.h"

#include <math.h>
#include <pcre2.h>
#include <string.h>

#include "base/mem.h"

/* They come from outside; those of real adapters are names of modules. */
enum { MOST_PATTERN = 1000, MATCH_LIMIT = 1000 * 1000, HEAP_LIMIT_KIB = 16 * 1024 };

struct capp_patterns {
    pcre2_general_context *general; /* allocates through base/mem.h */
    pcre2_match_context *match;
    pcre2_match_data *data; /* of one pair */
    size_t n;
    struct {
        pcre2_code *code;
        double value;
    } items[]; /* [n] */
};

static void *allocate(size_t size, void *unused) {
    (void)unused;
    return capp_new(size, 1);
}

static void release(void *p, void *unused) {
    (void)unused;
    capp_free(p);
}

static capp_status fail_pattern(int code, capp_error *err) {
    char message[200] = "";
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT || code == PCRE2_ERROR_HEAP_FAILED)
        return capp_fail_memory(err, "a pattern of names");
    pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
    return capp_fail(err, CAPP_EUNSUPPORTED, "is no pattern that capp can match: %s", message);
}

/* As PEFT has it: re.match("(.*\.)?(PATTERN)$", name). */
static capp_status compile(capp_patterns *p, capp_json name, double value, capp_error *err) {
    char text[MOST_PATTERN + 32] = "(?:.*\\.)?(?:";
    bool escapes;
    capp_str raw = capp_json_raw(name, &escapes);
    size_t n = strlen(text);
    if (raw.size > MOST_PATTERN)
        return capp_fail(err, CAPP_EUNSUPPORTED, "has a pattern of more than %d bytes", MOST_PATTERN);
    n += capp_json_decode(raw, text + n);
    memcpy(text + n, ")$", sizeof ")$");
    int code = 0;
    PCRE2_SIZE at;
    pcre2_compile_context *context = pcre2_compile_context_create(p->general);
    if (!context) return capp_fail_memory(err, "a pattern of names");
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)text, n + 2, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!compiled) return fail_pattern(code, err);
    p->items[p->n].code = compiled;
    p->items[p->n++].value = value;
    return CAPP_OK;
}

static capp_status fill(capp_patterns *p, capp_json object, capp_error *err) {
    p->general = pcre2_general_context_create(allocate, release, NULL);
    if (p->general) p->match = pcre2_match_context_create(p->general);
    if (p->match) p->data = pcre2_match_data_create(1, p->general);
    if (!p->data) return capp_fail_memory(err, "a pattern of names");
    pcre2_set_match_limit(p->match, MATCH_LIMIT);
    pcre2_set_depth_limit(p->match, MATCH_LIMIT);
    pcre2_set_heap_limit(p->match, HEAP_LIMIT_KIB);
    for (capp_json_walk w = capp_json_begin(object); capp_json_next(&w);) {
        double value;
        capp_status st;
        if (!capp_json_f64(w.value, &value) || !isfinite(value))
            return capp_fail(err, CAPP_EFORMAT, "has a pattern without a number");
        if ((st = compile(p, w.name, value, err)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

capp_status capp_patterns_open(capp_patterns **out, capp_json object, capp_error *err) {
    capp_json_kind kind = capp_json_kind_of(object);
    *out = NULL;
    if (kind == CAPP_JSON_NONE || kind == CAPP_JSON_NULL) return CAPP_OK;
    if (kind != CAPP_JSON_OBJECT) return capp_fail(err, CAPP_EFORMAT, "is no object of patterns and numbers");
    capp_patterns *p = capp_new0(1, sizeof *p + capp_json_count(object) * sizeof *p->items);
    if (!p) return capp_fail_memory(err, "a pattern of names");
    capp_status st = fill(p, object, err);
    if (st == CAPP_OK)
        *out = p;
    else
        capp_patterns_free(p);
    return st;
}

void capp_patterns_free(capp_patterns *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n; i++) pcre2_code_free(p->items[i].code);
    pcre2_match_data_free(p->data);
    pcre2_match_context_free(p->match);
    pcre2_general_context_free(p->general);
    capp_free(p);
}

capp_status capp_patterns_find(const capp_patterns *p, const char *module, double *value, capp_error *err) {
    for (size_t i = 0; p && i < p->n; i++) {
        int rc = pcre2_match(p->items[i].code, (PCRE2_SPTR)module, strlen(module), 0, 0, p->data, p->match);
        if (rc == PCRE2_ERROR_NOMATCH) continue;
        if (rc < 0) return fail_pattern(rc, err);
        *value = p->items[i].value;
        return CAPP_OK;
    }
    return CAPP_OK;
}
