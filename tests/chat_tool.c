/* chat_tool < cases: renders chat templates. Each line is one JSON object: {"template": text, "messages": [{"role",
 * "content"}, ...], "variables": {...}, "tokens": {"bos_token": text, ...}, "now": seconds}. Every field is optional;
 * without "template", the template of the line before is used. For each line it prints one line: {"text": ..., "given":
 * "0011..."} (one digit per byte), or {"error": message, "status": name}. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jinja/jinja.h"

enum { MOST = 64 };

static char *decode(capp_json string, capp_str *out) {
    bool escapes;
    capp_str raw = capp_json_raw(string, &escapes);
    char *text = malloc(raw.size + 1);
    if (!text) abort();
    *out = (capp_str){text, capp_json_decode(raw, text)};
    text[out->size] = 0;
    return text;
}

static void print_json(const char *text, size_t size) {
    putchar('"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_marked(const capp_marked *out) {
    printf("{\"text\": ");
    print_json(out->text, out->size);
    printf(", \"given\": \"");
    for (size_t i = 0; i < out->size; i++) putchar('0' + out->given[i]);
    printf("\"}\n");
}

static void print_error(const capp_error *err) {
    printf("{\"error\": ");
    print_json(err->message, strlen(err->message));
    printf(", \"status\": \"%s\"}\n", capp_status_name(err->status));
}

static void render(const capp_jinja *t, capp_json line) {
    capp_message messages[MOST];
    capp_jinja_constant tokens[MOST];
    char *texts[3 * MOST];
    size_t n = 0, n_texts = 0, n_tokens = 0;
    uint32_t now = 0;
    capp_marked out;
    capp_error err;
    for (capp_json_walk w = capp_json_begin(capp_json_get(line, "messages")); capp_json_next(&w) && n < MOST; n++) {
        texts[n_texts++] = decode(capp_json_get(w.value, "role"), &messages[n].role);
        texts[n_texts++] = decode(capp_json_get(w.value, "content"), &messages[n].content);
    }
    for (capp_json_walk w = capp_json_begin(capp_json_get(line, "tokens"));
         capp_json_next(&w) && n_tokens < MOST / 2;) {
        capp_str name;
        texts[n_texts++] = decode(w.name, &name);
        texts[n_texts] = decode(w.value, &tokens[n_tokens].text);
        n_texts++;
        tokens[n_tokens++].name = name.data;
    }
    (void)capp_json_u32(capp_json_get(line, "now"), UINT32_MAX, &now);
    const capp_jinja_input in = {.messages = messages,
                                 .n_messages = n,
                                 .constants = tokens,
                                 .n_constants = n_tokens,
                                 .variables = capp_json_get(line, "variables"),
                                 .now = now,
                                 .generation_prompt = true};
    if (capp_jinja_render(t, &in, &out, &err) == CAPP_OK)
        print_marked(&out);
    else
        print_error(&err);
    capp_marked_free(&out);
    while (n_texts) free(texts[--n_texts]);
}

int main(void) {
    char *line = NULL;
    size_t capacity = 0;
    capp_jinja *t = NULL;
    capp_status st = CAPP_EINVAL;
    capp_error err = {.message = "no template yet"};
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        capp_json root;
        capp_str source;
        if (capp_json_check((capp_str){line, (size_t)n}, &root, &err) != CAPP_OK) {
            fprintf(stderr, "chat_tool: %s\n", err.message);
            return 2;
        }
        if (capp_json_get(root, "template")) {
            char *text = decode(capp_json_get(root, "template"), &source);
            capp_jinja_free(t);
            st = capp_jinja_open(&t, source, &err);
            free(text);
        }
        if (st == CAPP_OK)
            render(t, root);
        else
            print_error(&err);
        fflush(stdout);
    }
    capp_jinja_free(t);
    free(line);
    return 0;
}
