/* Chat templates through the public functions: a chat in the options of each call, refused chats, failing allocations.
 * tests/test_chat.py compares the templates themselves with jinja2. */
#include <unistd.h>

#include "capp.h"
#include "counted.h"
#include "jinja/jinja.h"
#include "test.h"
#include "tiny.h"

static const char template[] = "{{ bos_token }}{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}be";

static void add_template(gguf_writer *w) {
    gguf_writer_str(w, "tokenizer.chat_template", template);
}

typedef struct fixture {
    char path[64];
    capp_model *model;
    capp_session *session;
    capp_chat *chat;
    capp_error err;
} fixture;

static const capp_message before[] = {{{"system", 6}, {"aeon <s>", 8}}};

static void setup(fixture *f) {
    capp_model_options options;
    capp_chat_options how;
    capp_model_options_init(&options);
    capp_chat_options_init(&how);
    options.threads = 1;
    options.memory = 8 << 20;
    how.messages = before;
    how.n_messages = 1;
    tiny_model_file_with("llama", 1, add_template, f->path);
    CHECK_OK(capp_model_open(&f->model, f->path, &options, &f->err), f->err);
    CHECK_OK(capp_session_open(&f->session, f->model, &f->err), f->err);
    CHECK_OK(capp_chat_open(&f->chat, f->model, &how, &f->err), f->err);
}

static void teardown(fixture *f) {
    capp_chat_free(f->chat);
    capp_session_free(f->session);
    capp_model_free(f->model);
    unlink(f->path);
}

typedef struct seen {
    size_t n_prompt, n;
    int32_t prompt[64], ids[64];
    float logprobs[64];
} seen;

static bool see_result(void *user, const capp_result *result) {
    seen *s = user;
    s->n_prompt = result->n_prompt_ids;
    s->n = result->offset[result->n_completions];
    memcpy(s->prompt, result->prompt_ids, s->n_prompt * sizeof *s->prompt);
    memcpy(s->ids, result->ids, s->n * sizeof *s->ids);
    memcpy(s->logprobs, result->logprobs, s->n * sizeof *s->logprobs);
    return true;
}

static bool see_text(void *user, const capp_text_result *result) {
    seen *s = user;
    s->n = result->n;
    memcpy(s->ids, result->ids, s->n * sizeof *s->ids);
    return true;
}

static bool see_generation(void *user, const capp_generation *result) {
    seen *s = user;
    s->n = result->n;
    memcpy(s->ids, result->ids, s->n * sizeof *s->ids);
    memcpy(s->logprobs, result->logprobs, s->n * sizeof *s->logprobs);
    return true;
}

static const capp_str completions[] = {{"aeon", 4}, {"code", 4}};

TEST(a_chat_is_another_prompt) {
    fixture f;
    seen mine, theirs;
    char *text;
    size_t size, n;
    int32_t *ids;
    setup(&f);
    const capp_message turn = {capp_str_of("user"), capp_str_of("the code")};
    CHECK_OK(capp_chat_render(f.chat, &turn, 1, &text, &size, &f.err), f.err);
    CHECK_STR(text, "<s>system aeon <s> user the code be");
    CHECK_OK(capp_chat_tokenize(f.chat, &turn, 1, 0, &ids, &n, &f.err), f.err);
    capp_run_options options;
    capp_run_options_init(&options);
    options.chat = f.chat;
    capp_example example = {turn.content, completions, 2, NULL, NULL, true};
    CHECK_OK(capp_score(f.session, &example, 1, &options, see_result, &mine, &f.err), f.err);
    CHECK_INT(mine.n_prompt, n);
    CHECK(!memcmp(mine.prompt, ids, n * sizeof *ids));
    capp_model_info info;
    capp_model_get_info(f.model, &info);
    CHECK_INT(ids[0], info.bos); /* only the template's BOS: the system's text stays text */
    for (size_t i = 1; i < n; i++) CHECK(ids[i] != info.bos);
    /* The same text, written by hand and parsed; nothing separates it from the completions. */
    options.parse_special = true;
    CHECK_OK(capp_score(f.session, &example, 1, &options, see_result, &mine, &f.err), f.err);
    options.chat = NULL;
    size_t bos = info.add_bos ? 3 : 0;
    example = (capp_example){{text + bos, size - bos}, completions, 2, NULL, "", true};
    CHECK_OK(capp_score(f.session, &example, 1, &options, see_result, &theirs, &f.err), f.err);
    CHECK_INT(mine.n_prompt, theirs.n_prompt);
    CHECK_INT(mine.n, theirs.n);
    CHECK(!memcmp(mine.prompt, theirs.prompt, mine.n_prompt * sizeof *ids));
    CHECK(!memcmp(mine.logprobs, theirs.logprobs, mine.n * sizeof *mine.logprobs));
    capp_free(ids);
    capp_free(text);
    teardown(&f);
}

TEST(every_call_takes_a_chat) {
    fixture f;
    seen s, by_hand;
    size_t n, prediction, other;
    int32_t *ids;
    setup(&f);
    const capp_message turn = {capp_str_of("user"), capp_str_of("the code")};
    CHECK_OK(capp_chat_tokenize(f.chat, &turn, 1, 0, &ids, &n, &f.err), f.err);
    capp_run_options options;
    capp_run_options_init(&options);
    options.chat = f.chat;
    CHECK_OK(capp_token_logprobs(f.session, &turn.content, 1, CAPP_TOKENIZE_BOS, &options, see_text, &s, &f.err),
             f.err);
    CHECK_INT(s.n, n);
    CHECK(!memcmp(s.ids, ids, n * sizeof *ids));
    capp_example example = {turn.content, completions, 2, NULL, NULL, true};
    CHECK_OK(capp_score(f.session, &example, 1, &options, see_result, &s, &f.err), f.err);
    CHECK_OK(capp_predict(f.session, &example, 1, &options, &prediction, &f.err), f.err);
    capp_generate_options how;
    capp_generate_options_init(&how);
    how.chat = f.chat;
    how.ignore_eos = true;
    CHECK_OK(capp_generate(f.session, &turn.content, 1, &how, see_generation, &by_hand, &f.err), f.err);
    CHECK_INT(by_hand.n, 16);
    /* The domain of pointwise mutual information is a turn too: as likely as the prompt, so no completion gains. */
    double proba[2];
    capp_scoring scoring;
    capp_scoring_init(&scoring);
    scoring.discount = -1;
    scoring.domain = turn.content;
    options.scoring = &scoring;
    CHECK_OK(capp_predict_proba(f.session, &example, 1, &options, proba, &f.err), f.err);
    CHECK_NEAR(proba[0], 0.5, 1e-5);
    scoring.domain = (capp_str){NULL, 0};
    CHECK_OK(capp_predict(f.session, &example, 1, &options, &other, &f.err), f.err);
    capp_free(ids);
    teardown(&f);
}

TEST(what_a_chat_refuses) {
    fixture f, g;
    seen s;
    setup(&f);
    setup(&g);
    capp_run_options options;
    capp_prefix *prefix;
    capp_run_options_init(&options);
    options.chat = f.chat;
    capp_example example = {capp_str_of("the code"), completions, 2, NULL, NULL, true};
    CHECK_INT(capp_score(g.session, &example, 1, &options, see_result, &s, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "another model");
    CHECK_OK(capp_prefix_open(&prefix, f.model, NULL, capp_str_of("bade"), 0, &f.err), f.err);
    options.prefixes = (const capp_prefix *const[]){prefix};
    options.n_prefixes = 1;
    CHECK_INT(capp_score(f.session, &example, 1, &options, see_result, &s, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "a chat cannot have a prefix");
    CHECK_INT(f.err.row, 0);
    capp_prefix_free(prefix);
    const capp_message bad[] = {{capp_str_of("us er"), capp_str_of("a")}, {capp_str_of("user"), capp_str_of("\xff")}};
    char *text;
    size_t size;
    CHECK_INT(capp_chat_render(f.chat, &bad[0], 1, &text, &size, &f.err), CAPP_EINVAL);
    CHECK(!text);
    CHECK_INT(capp_chat_render(f.chat, &bad[1], 1, &text, &size, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "invalid UTF-8 at byte 0");
    capp_chat_options how;
    capp_chat *chat;
    capp_chat_options_init(&how);
    how.template_name = "rag";
    CHECK_INT(capp_chat_open(&chat, f.model, &how, &f.err), CAPP_EINVAL);
    CHECK_CONTAINS(f.err.message, "it has default");
    CHECK(!chat);
    teardown(&g);
    teardown(&f);
}

/* The size of a template's tree per byte of the template, where it consists of the parts that need most memory. */
TEST(a_tree_is_small) {
    static const char *const parts[] = {"+1",   "<1", "+-1", ".y", "()",  "<()",  "+[]",        "+''",
                                        "+'a'", "|f", "[1]", ",1", "[:]", "+(1)", " and not x", "}}{{x"};
    capp_jinja *t;
    capp_error err;
    static char source[60000];
    counted_install();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t n = strlen(parts[i]), size = 3;
        memcpy(source, "{{x", 3);
        for (; size + n < sizeof source - 8; size += n) memcpy(source + size, parts[i], n);
        memcpy(source + size, "}}", 2);
        if (capp_jinja_open(&t, (capp_str){source, size + 2}, &err) != CAPP_OK) FAIL("%s: %s", parts[i], err.message);
        if (counted.live > 48 * size) FAIL("%s: %zu bytes for %zu", parts[i], counted.live, size);
        capp_jinja_free(t);
        CHECK_INT(counted.live, 0);
    }
}

/* A template that uses most features. */
static const char busy[] =
    "{% macro up(x, y='d') %}{{ x|upper }}{{ y }}{% endmacro %}{% set ns = namespace(n=0) %}"
    "{% for m in messages if m.role != 'tool' %}{% set ns.n = ns.n + 1 %}{{ up(m.role) }}{{ m.content|trim|tojson }}"
    "{{ m.content.split(' ')|join('-') }}{{ loop.index }}{% endfor %}{% set x %}a{{ ns.n }}{% endset %}{{ x ~ [1, "
    "{'k': x}] }}"
    "{{ messages|map(attribute='role')|list }}{{ words|sort|reverse|list }}{{ strftime_now('%Y') }}{{ 'abc'[::-1] }}";

static capp_status use_chat(fixture *f, const char *text, capp_error *err) {
    capp_chat_options how;
    capp_chat *chat;
    seen s;
    char *out;
    size_t size, n;
    int32_t *ids;
    capp_chat_options_init(&how);
    if (text) how.template_text = capp_str_of(text);
    how.messages = before;
    how.n_messages = 1;
    how.variables = capp_str_of("{\"words\": [\"a\", \"B\", \"\\u00e9\"], \"n\": 1.5}");
    capp_status st = capp_chat_open(&chat, f->model, &how, err);
    if (st != CAPP_OK) return st;
    const capp_message turn = {capp_str_of("user"), capp_str_of("a b")};
    st = capp_chat_render(chat, &turn, 1, &out, &size, err);
    if (st == CAPP_OK) {
        capp_free(out);
        st = capp_chat_tokenize(chat, &turn, 1, 0, &ids, &n, err);
    }
    if (st == CAPP_OK) {
        capp_free(ids);
        capp_run_options options;
        capp_run_options_init(&options);
        options.chat = chat;
        capp_example example = {turn.content, completions, 2, NULL, NULL, true};
        if (!text) st = capp_score(f->session, &example, 1, &options, see_result, &s, err);
    }
    capp_chat_free(chat);
    return st;
}

static void check_every_failure(const char *text) {
    fixture f;
    counted_install();
    setup(&f);
    size_t held = counted.live, failures = 0;
    CHECK_OK(use_chat(&f, text, &f.err), f.err);
    for (size_t n = 1;; n++) {
        size_t floor = counted.live;
        counted_fail_after(n - 1);
        capp_status st = use_chat(&f, text, &f.err);
        bool done = !counted.failed;
        counted_fail_after(COUNTED_NEVER);
        if (text && counted.live != held)
            FAIL("allocation %zu failing leaks %zu bytes of %zu", n, counted.live - floor, floor);
        if (done) break;
        if (st != CAPP_ENOMEM) FAIL("allocation %zu failing gives %s: %s", n, capp_status_name(st), f.err.message);
        CHECK_CONTAINS(f.err.message, "memory");
        failures++;
    }
    CHECK(failures > 10);
    teardown(&f);
    CHECK_INT(counted.live, 0);
}

TEST(allocations_fail_in_turn) {
    check_every_failure(busy);
}
TEST(allocations_fail_in_turn_scoring) {
    check_every_failure(NULL);
}
