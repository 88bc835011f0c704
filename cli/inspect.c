#include "manifest.h"
#include "options.h"
#include "output_file.h"

#include <stdlib.h>
#include <string.h>

typedef struct fact {
    capp_str key, value;
} fact;

/* Facts of one section. They are printed when the next section begins, because only then the width of the widest key is
 * known. */
typedef struct listing {
    buffer text;
    bool json;
    arena memory;
    char *section; /* or NULL before the first */
    fact *facts;
    size_t n_facts, capacity;
} listing;

static void print_section(listing *l) {
    enum { VALUE_MOST = 160, KEY_MOST = 44 };
    size_t width = 0;
    for (size_t i = 0; i < l->n_facts; i++)
        if (l->facts[i].key.size > width && l->facts[i].key.size <= KEY_MOST) width = l->facts[i].key.size;
    buffer_printf(&l->text, "%s%s\n", l->text.size ? "\n" : "", l->section);
    for (size_t i = 0; i < l->n_facts; i++) {
        capp_str value = l->facts[i].value;
        buffer_printf(&l->text, "  %-*s  ", (int)width, l->facts[i].key.data);
        for (size_t at = 0; at < value.size && at < VALUE_MOST;) {
            size_t n = utf8_character(value.data + at, value.size - at);
            unsigned char c = (unsigned char)value.data[at];
            if (c == '\n')
                buffer_text(&l->text, "\\n");
            else if (!n || c < 0x20 || c == 0x7F) /* a file may contain characters that move the cursor of a terminal */
                buffer_printf(&l->text, "\\x%02x", c);
            else
                buffer_add(&l->text, value.data + at, n);
            at += n ? n : 1;
        }
        buffer_text(&l->text, value.size > VALUE_MOST ? "...\n" : "\n");
    }
}

static void json_section(listing *l) {
    buffer_text(&l->text, l->text.size ? ",\n " : "{");
    put_string(&l->text, capp_str_of(l->section));
    buffer_text(&l->text, ": {");
    for (size_t i = 0; i < l->n_facts; i++) {
        buffer_text(&l->text, i ? ",\n  " : "\n  ");
        put_string(&l->text, l->facts[i].key);
        buffer_text(&l->text, ": ");
        put_string(&l->text, l->facts[i].value);
    }
    buffer_char(&l->text, '}');
}

static void end_section(listing *l) {
    if (l->section) (l->json ? json_section : print_section)(l);
    l->n_facts = 0;
    arena_reset(&l->memory);
}

static bool on_fact(void *user, const char *section, const char *key, const char *value) {
    listing *l = user;
    if (!l->section || strcmp(l->section, section) != 0) {
        end_section(l);
        l->section = reallocate(l->section, strlen(section) + 1, 1);
        memcpy(l->section, section, strlen(section) + 1);
    }
    grow(&l->facts, &l->capacity, l->n_facts + 1, sizeof *l->facts);
    l->facts[l->n_facts++] =
        (fact){arena_copy(&l->memory, capp_str_of(key)), arena_copy(&l->memory, capp_str_of(value))};
    return !interrupted();
}

static int print_fingerprint(const options *settings) {
    buffer text = {0};
    capp_error err;
    int code = EXIT_FAILED;
    if (manifest_of_model(&text, settings->input, &settings->model_options, &err))
        code = output_print(buffer_view(&text));
    else
        complain("%s", err.message);
    buffer_free(&text);
    return code;
}

int inspect_command(const options *settings) {
    if (settings->fingerprint) return print_fingerprint(settings);
    listing l = {.json = settings->inspect_json};
    capp_error err;
    capp_status status =
        capp_describe_lora(settings->input, settings->lora, settings->model_options.n_lora, on_fact, &l, &err);
    int code = EXIT_FAILED;
    if (interrupted()) {
        code = EXIT_SIGNAL + interrupted();
    } else if (status) {
        complain("%s", err.message);
    } else {
        end_section(&l);
        if (l.json) buffer_text(&l.text, l.text.size ? "}\n" : "{}\n");
        code = output_print(buffer_view(&l.text));
    }
    buffer_free(&l.text);
    arena_free(&l.memory);
    free(l.section);
    free(l.facts);
    return code;
}
