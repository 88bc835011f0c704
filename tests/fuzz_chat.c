/* fuzz_chat MUTATIONS SEED FILE...: damages chat templates (.jinja files) at random, in memory, opens them and, where
 * they open, renders conversations. Built with sanitizers. Fails on a crash, on memory that is not freed, on a failure
 * without a message, on a text whose marks do not fit, on allocations above the limits and on hanging.
 *
 * Mutation number i draws from SEED + i alone: `fuzz_chat 1 N FILE...` repeats the one that a failure names. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "chat/jinja.h"
#include "token/utf8.h"

enum { MOST_SEEDS = 64, MOST_FILE = 1 << 20, SECONDS = 60, BEFORE = 16, MOST_BYTES = 200 << 20 };

typedef struct bytes {
    char *data;
    size_t size;
} bytes;

static bytes seeds[MOST_SEEDS];
static size_t n_seeds, live;
static uint64_t current, opened, rendered;
static uint64_t until_failure; /* allocations that succeed; then one fails */

static void report(void) {
    fprintf(stderr, "fuzz_chat: failed; repeat with: fuzz_chat 1 %llu FILE...\n", (unsigned long long)current);
}

static void hang(int signal) {
    (void)signal;
    fprintf(stderr, "fuzz_chat: no progress for %d s of processor time\n", SECONDS);
    report();
    _exit(1);
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "fuzz_chat: %s\n", what);
    report();
    exit(1);
}

/* ---- An allocator that counts, and fails now and then ------------------------------------------------------------ */

static size_t size_of(const void *p) {
    size_t n;
    memcpy(&n, (const unsigned char *)p - BEFORE, sizeof n);
    return n;
}

static void *fuzz_realloc(void *p, size_t n) {
    if (until_failure == 0 || --until_failure == 0) return NULL;
    size_t old = p ? size_of(p) : 0;
    if (live + n > MOST_BYTES) fail("more memory than the limits allow");
    unsigned char *q = realloc(p ? (unsigned char *)p - BEFORE : NULL, n + BEFORE);
    if (!q) return NULL;
    memcpy(q, &n, sizeof n);
    live += n - old;
    return q + BEFORE;
}

static void *fuzz_malloc(size_t n) {
    return fuzz_realloc(NULL, n);
}

static void fuzz_free(void *p) {
    live -= size_of(p);
    free((unsigned char *)p - BEFORE);
}

/* ---- Mutations --------------------------------------------------------------------------------------------------- */

static uint64_t next(uint64_t *r) { /* splitmix64 */
    uint64_t z = (*r += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t up_to(uint64_t *r, size_t most) {
    return (size_t)(next(r) % ((uint64_t)most + 1));
}

/* Replaces [at, at + cut) by n bytes. */
static void splice(bytes *b, size_t at, size_t cut, const char *with, size_t n) {
    char *made = malloc(b->size - cut + n + 1);
    if (!made) abort();
    memcpy(made, b->data, at);
    if (n) memcpy(made + at, with, n);
    memcpy(made + at + n, b->data + at + cut, b->size - at - cut);
    free(b->data);
    *b = (bytes){made, b->size - cut + n};
}

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
    size_t at = up_to(r, b->size), left = b->size - at;
    const bytes *other = &seeds[up_to(r, n_seeds - 1)];
    size_t from = up_to(r, other->size), most = other->size - from < 200 ? other->size - from : 200;
    const char *word = words[up_to(r, sizeof words / sizeof words[0] - 1)];
    /* Inside a tag, mostly, where there is something to break. */
    for (size_t tries = up_to(r, 60); tries && at < b->size && !strchr("{%|.([ ", b->data[at]); tries--) at++;
    left = b->size - at;
    switch (up_to(r, 9)) {
    case 0:
        if (left) b->data[at] = (char)(b->data[at] ^ 1 << up_to(r, 7));
        break;
    case 1: splice(b, at, up_to(r, left < 40 ? left : 40), "", 0); break;
    case 2: splice(b, at, 0, other->data + from, up_to(r, most)); break;
    case 3: splice(b, at, up_to(r, left < 40 ? left : 40), other->data + from, up_to(r, most)); break;
    case 4: b->size = up_to(r, 20) ? b->size : at; break;
    case 5: splice(b, at, up_to(r, left < 8 ? left : 8), word, strlen(word)); break;
    default: splice(b, at, 0, word, strlen(word)); break;
    }
}

/* Exactly as many bytes as there are, so that AddressSanitizer sees a read past the end. */
static bytes mutant(uint64_t *r) {
    const bytes *seed = &seeds[up_to(r, n_seeds - 1)];
    bytes b = {malloc(seed->size + 1), seed->size};
    if (!b.data) abort();
    memcpy(b.data, seed->data, seed->size);
    for (size_t n = 1 + up_to(r, up_to(r, 7) ? 2 : 12); n; n--) mutate(&b, r);
    bytes exact = {malloc(b.size ? b.size : 1), b.size};
    if (!exact.data) abort();
    memcpy(exact.data, b.data, b.size);
    free(b.data);
    return exact;
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static void render(const capp_jinja *t, size_t n) {
    static const capp_message turns[] = {{{"system", 6}, {"Be \xc3\xa9 brief.\n", 13}},
                                         {{"user", 4}, {" a,b <|im_end|> aab\xe2\x80\xa8 {{ x }}", 30}},
                                         {{"assistant", 9}, {"<think>no</think>yes", 20}},
                                         {{"user", 4}, {"", 0}}};
    static const capp_jinja_token tokens[] = {{"bos_token", {"<s>", 3}}, {"eos_token", {"</s>", 4}}};
    static const char variables[] = "{\"x\": {\"a\": [1, 2.5, null, \"w\"]}, \"enable_thinking\": false}";
    capp_json root;
    capp_error err = {.status = CAPP_OK};
    capp_marked out;
    uint64_t kept = until_failure;
    until_failure = UINT64_MAX;
    if (capp_json_check((capp_str){variables, sizeof variables - 1}, &root, &err) != CAPP_OK) fail("the variables");
    until_failure = kept;
    const capp_jinja_input in = {turns + (n < 2), n, NULL, tokens, 2, root, 1700000000, true};
    capp_status st = capp_jinja_render(t, &in, &out, &err);
    if (st != CAPP_OK) {
        if (!err.message[0] || err.status != st || out.text) fail("a failure without a message, or with a text");
        return;
    }
    rendered++;
    if (capp_utf8_invalid_at((capp_str){out.text, out.size}) < out.size) fail("a text that is no UTF-8");
    for (size_t i = 0; i < out.size; i++)
        if (out.given[i] > 1) fail("a mark that is none");
    capp_marked_free(&out);
}

static void try_one(bytes b) {
    capp_jinja *t;
    capp_error err = {.status = CAPP_OK};
    capp_status st = capp_jinja_open(&t, (capp_str){b.data, b.size}, &err);
    if ((st != CAPP_OK) != !t) fail("capp_jinja_open: status and pointer disagree");
    if (st != CAPP_OK && (err.status != st || !err.message[0])) fail("capp_jinja_open: failure without a message");
    if (st == CAPP_OK) {
        opened++;
        render(t, 1);
        render(t, 4);
    }
    capp_jinja_free(t);
    if (live) fail("memory is not freed");
}

static bool add_file(const char *path) {
    FILE *f = fopen(path, "rb");
    char *data = malloc(MOST_FILE + 1);
    size_t size = f && data ? fread(data, 1, MOST_FILE + 1, f) : 0;
    if (f) fclose(f);
    if (!size || size > MOST_FILE || n_seeds == MOST_SEEDS) {
        fprintf(stderr, "fuzz_chat: %s: cannot be read, is empty or is larger than %d bytes\n", path, MOST_FILE);
        free(data);
        return false;
    }
    seeds[n_seeds++] = (bytes){data, size};
    return true;
}

/* The sanitizers', where they are linked. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: fuzz_chat MUTATIONS SEED FILE...\n");
        return 2;
    }
    uint64_t mutations = strtoull(argv[1], NULL, 10), seed = strtoull(argv[2], NULL, 10);
    for (int i = 3; i < argc; i++)
        if (!add_file(argv[i])) return 2;
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(report);
    /* Of the processor's time: a busy machine is no hanging. */
    const struct itimerval limit = {.it_value = {.tv_sec = SECONDS}};
    signal(SIGPROF, hang);
    capp_set_allocator(fuzz_malloc, fuzz_realloc, fuzz_free);
    until_failure = UINT64_MAX;
    for (size_t i = 0; i < n_seeds; i++) try_one(seeds[i]);
    if (opened < n_seeds) fail("a seed does not open"); /* that would make all this idle */
    opened = rendered = 0;
    for (uint64_t i = 0; i < mutations; i++) {
        setitimer(ITIMER_PROF, &limit, NULL);
        current = seed + i;
        uint64_t r = current;
        bytes b = mutant(&r);
        until_failure = up_to(&r, 15) ? UINT64_MAX : 1 + up_to(&r, 40);
        try_one(b);
        free(b.data);
    }
    for (size_t i = 0; i < n_seeds; i++) free(seeds[i].data);
    printf("%llu mutations: %llu templates open, %llu conversations rendered; no failures\n",
           (unsigned long long)mutations, (unsigned long long)opened, (unsigned long long)rendered);
    return 0;
}
