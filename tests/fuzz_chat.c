/* fuzz_chat MUTATIONS SEED FILE...: damages chat templates (.jinja files) at random, in memory, opens them and, where
 * they open, renders conversations. See fuzz.h. It also fails on a text whose marks do not fit. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "counted.h"
#include "fuzz.h"
#include "jinja/jinja.h"

enum { TEMPLATES, CONVERSATIONS }; /* what fuzz_counts counts */

static bytes seeds[FUZZ_MOST_SEEDS];
static size_t n_seeds;
static capp_json variables;

/* ---- Mutations --------------------------------------------------------------------------------------------------- */

static const char *const words[] = {
    "{{",
    "}}",
    "{%",
    "%}",
    "{%-",
    "-%}",
    "{#",
    "#}",
    "{{ messages }}",
    "{% if true %}",
    "{% endif %}",
    "{% for m in messages %}",
    "{% endfor %}",
    "{% set x = messages %}",
    "{% set ns = namespace(a=x) %}",
    "{% set ns.a = [ns.a] %}",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{% raw %}",
    "{% endraw %}",
    "{% break %}",
    "|tojson",
    "|tojson(indent=2)",
    "|sort",
    "|map('upper')|list",
    "|selectattr('role', 'equalto', 'user')|list",
    "|join(x)",
    "|replace('', x)",
    "|replace('a', x)",
    "|indent(99)",
    "|reverse|list",
    "|dictsort",
    "|string",
    "|length",
    "[::-1]",
    "[1:-1]",
    "[-9223372036854775808:]",
    "[0]",
    ".content",
    ".items()",
    ".split('a')",
    ".split()",
    ".rsplit('a', 1)",
    ".strip('ab')",
    ".title()",
    " * 1000000",
    " ** 99",
    " // 0",
    " % -1",
    " - 9223372036854775807",
    " ~ x",
    " + x",
    "(",
    ")",
    "((((((((((",
    "[[[[[[[[[[",
    "------------",
    "not not not ",
    "'",
    "\"",
    "\\",
    "'\\u0000\\xff\\777'",
    "x",
    "loop.cycle()",
    "loop.changed(loop)",
    "range(100000)",
    "strftime_now('%c %%')",
    "raise_exception(x)",
    " if ",
    " else ",
    " is defined ",
    " in ",
    " and ",
    "1e999",
    "0.1",
    "none",
    ",",
    ":",
    "=",
    "\r\n",
    "\xff",
    "\xc3\xa9",
    "\xe2\x80\xa8",
};

static void mutate(bytes *b, uint64_t *r) {
    size_t at = fuzz_place(b, r);
    const char *word = words[up_to(r, sizeof words / sizeof words[0] - 1)];
    /* Mostly inside a tag, where damage has an effect. */
    for (size_t tries = up_to(r, 60); tries && at < b->size && !strchr("{%|.([ ", b->data[at]); tries--) at++;
    size_t left = b->size - at, cut = up_to(r, 4) ? 0 : up_to(r, left < 8 ? left : 8);
    fuzz_text(b, at, cut, word, &seeds[up_to(r, n_seeds - 1)], r);
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static void render(const capp_jinja *t, size_t n) {
    static const capp_message turns[] = {{{"system", 6}, {"Be \xc3\xa9 brief.\n", 13}},
                                         {{"user", 4}, {" a,b <|im_end|> aab\xe2\x80\xa8 {{ x }}", 30}},
                                         {{"assistant", 9}, {"<think>no</think>yes", 20}},
                                         {{"user", 4}, {"", 0}}};
    static const capp_jinja_constant tokens[] = {{"bos_token", {"<s>", 3}}, {"eos_token", {"</s>", 4}}};
    const capp_jinja_input in = {turns + (n < 2), n, NULL, tokens, 2, variables, 1700000000, true};
    capp_error err = {.status = CAPP_OK};
    capp_marked out;
    capp_status st = capp_jinja_render(t, &in, &out, &err);
    if (!fuzz_opened("capp_jinja_render", st, out.text, &err)) return;
    fuzz_counts[CONVERSATIONS]++;
    if (capp_utf8_invalid_at((capp_str){out.text, out.size}) < out.size) fuzz_fail("a text that is no UTF-8");
    for (size_t i = 0; i < out.size; i++)
        if (out.given[i] > 1) fuzz_fail("a mark that is none");
    capp_marked_free(&out);
}

static void use(bytes b) {
    capp_jinja *t;
    capp_error err = {.status = CAPP_OK};
    capp_status st = capp_jinja_open(&t, (capp_str){(const char *)b.data, b.size}, &err);
    if (!fuzz_opened("capp_jinja_open", st, t, &err)) return;
    fuzz_counts[TEMPLATES]++;
    render(t, 1);
    render(t, 4);
    capp_jinja_free(t);
}

static void try_one(uint64_t *r) {
    bytes b = fuzz_mutant(&seeds[up_to(r, n_seeds - 1)], mutate, r);
    use(b);
    free(b.data);
}

static void begin(int n, char **paths) {
    static const char json[] = "{\"x\": {\"a\": [1, 2.5, null, \"w\"]}, \"enable_thinking\": false}";
    counted.cap = (size_t)200 << 20;
    if (capp_json_check((capp_str){json, sizeof json - 1}, &variables, NULL) != CAPP_OK) fuzz_fail("the variables");
    for (int i = 0; i < n && n_seeds < FUZZ_MOST_SEEDS; i++) use(seeds[n_seeds++] = fuzz_read(NULL, paths[i]));
    if (fuzz_counts[TEMPLATES] < n_seeds) fuzz_fail("a seed does not open");
}

static void end(void) {
    for (size_t i = 0; i < n_seeds; i++) free(seeds[i].data);
}

int main(int argc, char **argv) {
    static const fuzzer f = {"fuzz_chat", "FILE...", 1,  40, {"templates open", "conversations rendered"},
                             begin,       try_one,   end};
    return fuzz_main(&f, argc, argv);
}
