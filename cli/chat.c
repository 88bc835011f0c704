#include "chat.h"

#include <stdlib.h>
#include <string.h>

static bool check_text(const char *option, capp_str text, capp_error *err) {
    size_t valid = utf8_valid(text.data, text.size);
    return valid == text.size || fail_at(err, 0, "%s: invalid UTF-8 at byte %zu", option, valid + 1);
}

bool chat_open(capp_chat **chat, const options *settings, const capp_message *turns, size_t n, const capp_model *model,
               capp_error *err) {
    capp_chat_options how;
    buffer system = {0}, file = {0};
    *chat = NULL;
    if (!settings->chat) return true;
    capp_chat_options_init(&how);
    if (settings->system) buffer_unescaped(&system, settings->system, strlen(settings->system));
    capp_message *messages = allocate(n + 1, sizeof *messages);
    messages[0] = (capp_message){capp_str_of("system"), buffer_view(&system)};
    how.n_messages = settings->system != NULL;
    for (size_t i = 0; i < n; i++) messages[how.n_messages++] = turns[i];
    how.messages = messages;
    if (settings->chat_variables) how.variables = capp_str_of(settings->chat_variables);
    bool from_file = settings->chat_template && *settings->chat_template == '@';
    if (!from_file) how.template_name = settings->chat_template;
    bool good = check_text("--system", buffer_view(&system), err) &&
                (!from_file || read_file(settings->chat_template + 1, &file, err));
    if (good && from_file) {
        buffer_char(&file, 0); /* data must not be NULL, even for an empty file */
        how.template_text = (capp_str){file.data, file.size - 1};
        how.template_path = settings->chat_template + 1;
    }
    good = good && capp_chat_open(chat, model, &how, err) == CAPP_OK;
    free(messages);
    buffer_free(&system);
    buffer_free(&file);
    return good;
}
