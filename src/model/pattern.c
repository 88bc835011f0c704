#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/pattern.h"

#include <math.h>
#include <pcre2.h>
#include <string.h>

#include "base/mem.h"

/* Limits, because patterns come from files that we do not trust. Those of real adapters are a few hundred names of
 * modules. An adapter that names the products of each of 128 experts in 48 layers has 18,432. The unit of work is one
 * item of an expression that PCRE2 tries. */
enum {
    MOST_PATTERNS = 20000,
    MOST_PATTERN = 1000,           /* bytes */
    MOST_CODE = 4 << 20,           /* bytes of all compiled patterns */
    MOST_WORK = 100 * 1000 * 1000, /* for all matches together */
    MATCH_LIMIT = 1000 * 1000,
    HEAP_LIMIT_KIB = 16 * 1024,
    OUT_OF_WORK = -1000 /* returned by the counter; not an error number of PCRE2 */
};

/* An expression, or a plain name. Most patterns are plain names; capp compares these instead of matching them. */
typedef struct pattern {
    const char *text; /* only a plain name; with its escapes */
    size_t size, characters;
    pcre2_code *code; /* only an expression */
    capp_str raw;     /* as in the file, for messages */
    double value;
} pattern;

struct capp_patterns {
    pcre2_general_context *general; /* allocates through base/mem.h */
    pcre2_match_context *match;
    pcre2_match_data *data; /* for one pair of offsets */
    char *text;             /* the plain names */
    size_t text_used, code_bytes;
    uint64_t work;
    size_t n;
    pattern items[]; /* [n] */
};

/* PCRE2 calls this before each item of an expression that it tries. */
static int count_work(pcre2_callout_block *block, void *work) {
    (void)block;
    return ++*(uint64_t *)work > MOST_WORK ? OUT_OF_WORK : 0;
}

static capp_status fail_pattern(capp_str raw, const char *what, const char *more, capp_error *err) {
    bool whole = raw.size <= 200;
    return capp_fail(err, CAPP_EUNSUPPORTED, "the pattern \"%.*s%s\" %s%s", whole ? (int)raw.size : 60, raw.data,
                     whole ? "" : "...", what, more);
}

static capp_status fail_code(capp_str raw, int code, capp_error *err) {
    char message[200] = "";
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED)
        return capp_fail_memory(err, "a pattern of names");
    if (code == OUT_OF_WORK)
        return fail_pattern(raw, "and the patterns before it take too long to match", "; use plain names of modules",
                            err);
    pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
    return fail_pattern(raw, "is not a valid pattern: ", message, err);
}

/* Whether text has only letters, digits, underscores, points and escaped points. *characters: the number of characters
 * that it matches. */
static bool is_plain(const char *text, size_t size, size_t *characters) {
    *characters = 0;
    for (size_t i = 0; i < size; i++, ++*characters) {
        char c = text[i];
        if (c == '\\' && (++i == size || text[i] != '.')) return false;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '\\') return false;
    }
    return true;
}

/* Matches like the expression: the whole name or the part after a point; a point stands for any character. */
static bool plain_matches(const pattern *p, const char *module, size_t size) {
    if (size < p->characters || (size > p->characters && module[size - p->characters - 1] != '.')) return false;
    const char *at = module + size - p->characters;
    for (size_t i = 0; i < p->size; i++, at++) {
        if (p->text[i] == '.') continue;
        if (p->text[i] == '\\') i++;
        if (*at != p->text[i]) return false;
    }
    return true;
}

/* Compiles the pattern as PEFT uses it: re.match("(.*\.)?(PATTERN)$", name). text has room for the end. */
static capp_status compile(capp_patterns *p, pattern *item, char *text, size_t n, capp_error *err) {
    size_t bytes = 0;
    int code = 0;
    PCRE2_SIZE at;
    memcpy(text + n, ")$", sizeof ")$");
    pcre2_compile_context *context = pcre2_compile_context_create(p->general);
    if (!context) return capp_fail_memory(err, "a pattern of names");
    item->code = pcre2_compile((PCRE2_SPTR)text, n + 2, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_AUTO_CALLOUT,
                               &code, &at, context);
    pcre2_compile_context_free(context);
    if (!item->code) return fail_code(item->raw, code, err);
    pcre2_pattern_info(item->code, PCRE2_INFO_SIZE, &bytes);
    if ((p->code_bytes += bytes) > MOST_CODE)
        return fail_pattern(item->raw, "and the patterns before it take too much memory",
                            "; use plain names of modules", err);
    return CAPP_OK;
}

static capp_status add(capp_patterns *p, capp_json name, capp_json number, capp_error *err) {
    static const char before[] = "(?:.*\\.)?(?:";
    char text[sizeof before + MOST_PATTERN + sizeof ")$"];
    size_t n = sizeof before - 1;
    bool escapes;
    pattern *item = &p->items[p->n++];
    item->raw = capp_json_raw(name, &escapes);
    if (item->raw.size > MOST_PATTERN) return fail_pattern(item->raw, "has more than 1000 bytes", "", err);
    if (!capp_json_f64(number, &item->value) || !isfinite(item->value))
        return fail_pattern(item->raw, "must have a number", "", err);
    memcpy(text, before, n);
    size_t size = capp_json_decode(item->raw, text + n);
    if (!is_plain(text + n, size, &item->characters)) return compile(p, item, text, n + size, err);
    item->text = p->text + p->text_used;
    item->size = size;
    memcpy(p->text + p->text_used, text + n, size);
    p->text_used += size;
    return CAPP_OK;
}

static capp_status fill(capp_patterns *p, capp_json object, capp_error *err) {
    size_t bytes = 1;
    bool escapes;
    for (capp_json_walk w = capp_json_begin(object); capp_json_next(&w);) bytes += capp_json_raw(w.name, &escapes).size;
    p->text = capp_new(bytes, 1);
    p->general = pcre2_general_context_create(capp_callback_new, capp_callback_free, NULL);
    if (p->general) p->match = pcre2_match_context_create(p->general);
    if (p->match) p->data = pcre2_match_data_create(1, p->general);
    if (!p->data || !p->text) return capp_fail_memory(err, "a pattern of names");
    pcre2_set_match_limit(p->match, MATCH_LIMIT);
    pcre2_set_depth_limit(p->match, MATCH_LIMIT);
    pcre2_set_heap_limit(p->match, HEAP_LIMIT_KIB);
    pcre2_set_callout(p->match, count_work, &p->work);
    for (capp_json_walk w = capp_json_begin(object); capp_json_next(&w);) {
        capp_status st = add(p, w.name, w.value, err);
        if (st != CAPP_OK) return st;
    }
    return CAPP_OK;
}

capp_status capp_patterns_open(capp_patterns **out, capp_json object, capp_error *err) {
    capp_json_kind kind = capp_json_kind_of(object);
    *out = NULL;
    if (kind == CAPP_JSON_NONE || kind == CAPP_JSON_NULL) return CAPP_OK;
    if (kind != CAPP_JSON_OBJECT) return capp_fail(err, CAPP_EFORMAT, "must be an object of patterns and numbers");
    size_t n = capp_json_count(object);
    if (n > MOST_PATTERNS)
        return capp_fail(err, CAPP_EUNSUPPORTED, "has %zu patterns; capp supports at most %d", n, MOST_PATTERNS);
    capp_patterns *p = capp_new0(1, sizeof *p + n * sizeof *p->items);
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
    capp_free(p->text);
    pcre2_match_data_free(p->data);
    pcre2_match_context_free(p->match);
    pcre2_general_context_free(p->general);
    capp_free(p);
}

capp_status capp_patterns_find(capp_patterns *p, const char *module, double *value, capp_error *err) {
    size_t size = strlen(module);
    for (size_t i = 0; p && i < p->n; i++) {
        const pattern *item = &p->items[i];
        bool matches = !item->code && plain_matches(item, module, size);
        if (item->code) {
            int rc = pcre2_match(item->code, (PCRE2_SPTR)module, size, 0, 0, p->data, p->match);
            if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) return fail_code(item->raw, rc, err);
            matches = rc >= 0;
        }
        if (!matches) continue;
        *value = item->value;
        return CAPP_OK;
    }
    return CAPP_OK;
}
