/* Opening and rendering a template. */
#include "jinja/jinja.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "jinja/describe.h"
#include "jinja/execute.h"
#include "jinja/from_json.h"
#include "jinja/parse_template.h"
#include "jinja/scope.h"

struct capp_jinja {
    capp_jinja_heap heap; /* of the nodes and the source */
    capp_jinja_node *body;
};

enum {
    MOST_SOURCE = 1 << 18, /* the largest known templates have a tenth of it; a byte makes at most 48 bytes of nodes */
    RUN_BYTES = 64 << 20,
    RUN_STEPS = 4000000,
    RUN_BYTES_A_BYTE = 64, /* additional, for each byte of the conversation */
    RUN_STEPS_A_BYTE = 64
};

/* Makes all line ends \n and drops the last one. */
static char *copy_source(capp_jinja_heap *heap, capp_str source, size_t *size) {
    char *copy = capp_jinja_heap_allocate(heap, source.size, 1);
    size_t n = 0;
    for (size_t i = 0; copy && i < source.size; i++) {
        char c = source.data[i];
        if (c == '\r' && i + 1 < source.size && source.data[i + 1] == '\n') continue;
        copy[n++] = (char)(c == '\r' ? '\n' : c);
    }
    if (n && copy[n - 1] == '\n') n--;
    *size = n;
    return copy;
}

capp_status capp_jinja_open(capp_jinja **out, capp_str source, capp_error *err) {
    *out = NULL;
    if (source.size > MOST_SOURCE)
        return capp_fail(err, CAPP_EUNSUPPORTED, "the template has %zu bytes; at most %d are supported", source.size,
                         MOST_SOURCE);
    if (capp_utf8_invalid_at(source) < source.size)
        return capp_fail(err, CAPP_EFORMAT, "the template is not valid UTF-8 at byte %zu",
                         capp_utf8_invalid_at(source));
    capp_jinja *template = capp_new0(1, sizeof *template);
    if (!template) return capp_fail_memory(err, "a chat template");
    template->heap.limit = SIZE_MAX;
    size_t size;
    char *copy = copy_source(&template->heap, source, &size);
    capp_status st = copy ? capp_jinja_parse_template(&template->heap, (capp_str){copy, size}, &template->body, err)
                          : capp_fail_memory(err, "a chat template");
    if (st != CAPP_OK) {
        capp_jinja_free(template);
        return st;
    }
    *out = template;
    return CAPP_OK;
}

void capp_jinja_free(capp_jinja *template) {
    if (!template) return;
    capp_jinja_heap_free(&template->heap);
    capp_free(template);
}

void capp_marked_free(capp_marked *text) {
    capp_free(text->text);
    capp_free(text->given);
    *text = (capp_marked){0};
}

static capp_jinja_value message_value(capp_jinja_run *run, const capp_message *m) {
    capp_jinja_value dict = capp_jinja_dict_new(run, CAPP_JINJA_DICT);
    capp_jinja_dict_set(run, dict, capp_jinja_string_from_c(run, "role"), capp_jinja_string_of_template(run, m->role));
    capp_jinja_dict_set(run, dict, capp_jinja_string_from_c(run, "content"),
                        capp_jinja_string_of_conversation(run, m->content));
    return dict;
}

static void set_variables(capp_jinja_run *run, const capp_jinja_input *input) {
    capp_jinja_value messages = capp_jinja_list_new(run, CAPP_JINJA_LIST, input->n_messages + 1);
    for (size_t i = 0; i < input->n_messages && run->status == CAPP_OK; i++)
        capp_jinja_list_append(run, messages, message_value(run, &input->messages[i]));
    if (input->last && run->status == CAPP_OK) capp_jinja_list_append(run, messages, message_value(run, input->last));
    capp_jinja_assign(run, run->scope, capp_str_of("messages"), messages);
    capp_jinja_assign(run, run->scope, capp_str_of("tools"), capp_jinja_none());
    capp_jinja_assign(run, run->scope, capp_str_of("documents"), capp_jinja_none());
    capp_jinja_assign(run, run->scope, capp_str_of("add_generation_prompt"),
                      capp_jinja_boolean(input->generation_prompt));
    for (size_t i = 0; i < input->n_constants; i++)
        capp_jinja_assign(run, run->scope, capp_str_of(input->constants[i].name),
                          capp_jinja_string_of_template(run, input->constants[i].text));
    for (capp_json_walk w = capp_json_begin(input->variables); run->status == CAPP_OK && capp_json_next(&w);) {
        capp_jinja_value name = capp_jinja_value_from_json(run, w.name),
                         value = capp_jinja_value_from_json(run, w.value);
        if (run->status == CAPP_OK)
            capp_jinja_assign(run, run->scope, (capp_str){name.string->text, name.string->size}, value);
    }
}

static capp_status copy_out(capp_jinja_run *run, const capp_jinja_buffer *b, capp_marked *out) {
    out->text = capp_new(b->size + 1, 1);
    out->given = capp_new(b->size, 1);
    if (!out->text || !out->given) {
        capp_marked_free(out);
        return capp_fail_memory(run->err, "a rendered prompt");
    }
    if (b->size) {
        memcpy(out->text, b->text, b->size);
        memcpy(out->given, b->given, b->size);
    }
    out->text[b->size] = 0;
    out->size = b->size;
    return CAPP_OK;
}

static size_t conversation_bytes(const capp_jinja_input *input) {
    size_t bytes = input->last ? input->last->content.size : 0;
    for (size_t i = 0; i < input->n_messages; i++) bytes += input->messages[i].content.size;
    return bytes;
}

capp_status capp_jinja_render(const capp_jinja *template, const capp_jinja_input *input, capp_marked *out,
                              capp_error *err) {
    capp_error local = {.status = CAPP_OK};
    capp_jinja_buffer text = {0};
    size_t bytes = conversation_bytes(input);
    capp_jinja_run run = {.heap.limit = RUN_BYTES + RUN_BYTES_A_BYTE * bytes,
                          .max_steps = RUN_STEPS + (uint64_t)RUN_STEPS_A_BYTE * bytes,
                          .err = err ? err : &local,
                          .status = CAPP_OK,
                          .line = 1,
                          .now = input->now,
                          .out = &text,
                          .call_macro = capp_jinja_call_macro,
                          .describe_node = capp_jinja_describe};
    *out = (capp_marked){0};
    capp_jinja_scope *globals = run.scope = capp_jinja_new_scope(&run, NULL);
    if (globals) set_variables(&run, input);
    run.scope = capp_jinja_new_scope(&run, globals);
    if (run.scope) capp_jinja_execute(&run, template->body);
    capp_status st = run.status == CAPP_OK ? copy_out(&run, &text, out) : run.status;
    capp_jinja_heap_free(&run.heap);
    return st;
}
