#define PCRE2_CODE_UNIT_WIDTH 8
#include "token/regex.h"

#include <pcre2.h>
#include <string.h>

#include "base/mem.h"
#include "token/regex_translate.h"
#include "token/unicode.h"

/* Patterns come from files. Those of known models need a few steps for each byte. The limits are for one match. */
enum { HEAP_LIMIT_KIB = 256 * 1024, MATCH_LIMIT = 100 * 1000 * 1000 };

struct capp_regex {
    pcre2_general_context *general; /* allocates through base/mem.h */
    pcre2_match_context *match;
    pcre2_code *code;
    bool jit;
};

struct capp_matcher {
    pcre2_general_context *general;
    pcre2_match_data *data; /* has one pair: the whole match */
};

static capp_status fail_match(int code, capp_error *err) {
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT || code == PCRE2_ERROR_HEAP_FAILED)
        return capp_fail_memory(err, "cutting a text into words");
    char message[200] = "";
    pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
    return capp_fail(err, CAPP_EINVAL, "PCRE2 cannot cut the text into words: %s", message);
}

static capp_status compile(capp_regex *regex, capp_str pattern, uint32_t options, capp_error *err) {
    pcre2_compile_context *context = pcre2_compile_context_create(regex->general);
    if (!context) return capp_fail_memory(err, "a regular expression");
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int code;
    PCRE2_SIZE at;
    regex->code = pcre2_compile((PCRE2_SPTR)pattern.data, pattern.size, options, &code, &at, context);
    pcre2_compile_context_free(context);
    if (!regex->code) {
        if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED)
            return capp_fail_memory(err, "a regular expression");
        char message[200] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
        return capp_fail(err, CAPP_EUNSUPPORTED, "PCRE2 reports: %s", message);
    }
    /* Without JIT (not built in, no executable memory) pcre2_match interprets the pattern. */
    regex->jit = !pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    pcre2_set_match_limit(regex->match, MATCH_LIMIT);
    pcre2_set_depth_limit(regex->match, MATCH_LIMIT);
    pcre2_set_heap_limit(regex->match, HEAP_LIMIT_KIB);
    return CAPP_OK;
}

capp_status capp_regex_open(capp_regex **out, capp_str pattern, bool literal, capp_error *err) {
    *out = NULL;
    capp_text translated = {0};
    capp_regex *regex = capp_new0(1, sizeof *regex);
    if (regex) regex->general = pcre2_general_context_create(capp_callback_new, capp_callback_free, NULL);
    if (regex && regex->general) regex->match = pcre2_match_context_create(regex->general);
    capp_status st = regex && regex->match ? CAPP_OK : capp_fail_memory(err, "a regular expression");
    uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE);
    if (st == CAPP_OK && !literal) st = capp_regex_translate(&translated, pattern, err);
    if (st == CAPP_OK)
        st = compile(regex, literal ? pattern : (capp_str){translated.data, translated.size}, options, err);
    capp_free(translated.data);
    if (st == CAPP_OK) {
        *out = regex;
        return st;
    }
    capp_regex_free(regex);
    if (st == CAPP_ENOMEM) return st;
    char prefix[300];
    int size = pattern.size < 200 ? (int)pattern.size : 200;
    const char *rest = pattern.size < 200 ? "" : "...";
    capp_regex_quote(prefix, sizeof prefix, "the regular expression", (capp_str){pattern.data, (size_t)size}, rest);
    capp_error_prefix(err, prefix);
    return st;
}

void capp_regex_free(capp_regex *regex) {
    if (!regex) return;
    pcre2_code_free(regex->code);
    pcre2_match_context_free(regex->match);
    pcre2_general_context_free(regex->general);
    capp_free(regex);
}

capp_matcher *capp_matcher_new(void) {
    capp_matcher *matcher = capp_new0(1, sizeof *matcher);
    if (!matcher) return NULL;
    matcher->general = pcre2_general_context_create(capp_callback_new, capp_callback_free, NULL);
    if (matcher->general) matcher->data = pcre2_match_data_create(1, matcher->general);
    if (matcher->data) return matcher;
    capp_matcher_free(matcher);
    return NULL;
}

void capp_matcher_free(capp_matcher *matcher) {
    if (!matcher) return;
    pcre2_match_data_free(matcher->data);
    pcre2_general_context_free(matcher->general);
    capp_free(matcher);
}

capp_status capp_regex_find(const capp_regex *regex, capp_matcher *matcher, capp_str text, size_t *at, size_t *end,
                            bool *found, capp_error *err) {
    PCRE2_SPTR subject = (PCRE2_SPTR)text.data;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    /* The caller guarantees valid UTF-8: checking it for each match would take quadratic time in long texts. */
    if (regex->jit) rc = pcre2_jit_match(regex->code, subject, text.size, *at, 0, matcher->data, regex->match);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(regex->code, subject, text.size, *at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, matcher->data,
                         regex->match);
    *found = rc != PCRE2_ERROR_NOMATCH;
    if (!*found) {
        *at = *end = text.size;
        return CAPP_OK;
    }
    if (rc < 0) return fail_match(rc, err);
    const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(matcher->data);
    *at = pair[0];
    *end = pair[1];
    return CAPP_OK;
}

capp_status capp_regex_next(const capp_regex *regex, capp_matcher *matcher, capp_str text, capp_regex_walk *walk,
                            size_t *at, size_t *end, bool *found, capp_error *err) {
    *found = false;
    while (walk->from <= text.size) {
        *at = *end = walk->from;
        capp_status st = capp_regex_find(regex, matcher, text, at, end, found, err);
        if (st != CAPP_OK || !*found) return st;
        if (*at != *end || walk->last != *end + 1) {
            walk->from = *end;
            walk->last = *end + 1;
            return CAPP_OK;
        }
        walk->from += walk->from < text.size ? capp_utf8_size(text.data + walk->from) : 1;
        *found = false;
    }
    return CAPP_OK;
}
