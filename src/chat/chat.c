/* Opening chats and rendering conversations. */
#include "chat/chat.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "jinja/jinja.h"

enum { N_TOKENS = 4 };

struct capp_chat {
    const capp_model *model;
    capp_jinja *template;
    char *origin;           /* name of the template: error messages begin with it */
    capp_message *messages; /* [n], the conversation before each prompt */
    size_t n;
    char *texts; /* copies of the texts of messages and variables */
    capp_json variables;
    capp_jinja_constant tokens[N_TOKENS];
    size_t n_tokens;
    int64_t now;
};

void capp_chat_options_init(capp_chat_options *options) {
    memset(options, 0, sizeof *options);
}

/* ---- Finding ----------------------------------------------------------------------------------------------------- */

capp_status capp_chat_templates(capp_templates *t, const capp_source *source, const char *path, capp_error *err) {
    if (source->gguf) return capp_templates_read(t, source->gguf, path, err);
    if (capp_is_folder(path)) return capp_templates_read(t, NULL, path, err);
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    char *folder = capp_new(n + 2, 1);
    if (!folder) return capp_fail_memory(err, "a path");
    memcpy(folder, slash ? path : ".", slash ? n : 1);
    folder[slash ? n : 1] = 0;
    capp_status st = capp_templates_read(t, NULL, folder, err);
    capp_free(folder);
    return st;
}

static capp_status no_template(const capp_templates *t, const char *path, const char *name, capp_error *err) {
    char names[300] = "";
    if (!t->n)
        return capp_fail(err, CAPP_EINVAL, "%s: the model has no chat template; set one, or do not use a chat", path);
    for (size_t i = 0; t->at && i < t->n; i++) {
        strncat(names, i ? ", " : "", sizeof names - strlen(names) - 1);
        strncat(names, t->at[i].name, sizeof names - strlen(names) - 1);
    }
    return capp_fail(err, CAPP_EINVAL, "%s: the model has no chat template \"%.60s\"; it has %s", path, name, names);
}

/* "PATH: its chat template NAME", or the caller's name for the caller's own template. */
static char *origin_of(const capp_chat_options *o, const char *path) {
    const char *name = o->template_name ? o->template_name : "", *own = o->template_path;
    if (!own) own = "the chat template";
    size_t n = strlen(path) + strlen(name) + strlen(own) + 32;
    char *origin = capp_new(n, 1);
    if (!origin) return NULL;
    if (o->template_text.data)
        snprintf(origin, n, "%s", own);
    else
        snprintf(origin, n, "%s: its chat template%s%s", path, *name ? " " : "", name);
    return origin;
}

static capp_status fail_template(const capp_chat *chat, capp_status st, capp_error *err) {
    if (st != CAPP_OK) capp_error_prefix(err, chat->origin);
    return st;
}

static capp_status open_template(capp_chat *chat, const capp_chat_options *o, capp_error *err) {
    const char *path = capp_model_path(chat->model), *name = o->template_name ? o->template_name : "default";
    capp_templates all;
    capp_status st;
    if (!(chat->origin = origin_of(o, path))) return capp_fail_memory(err, "a chat template");
    if (o->template_text.data) return fail_template(chat, capp_jinja_open(&chat->template, o->template_text, err), err);
    if ((st = capp_chat_templates(&all, capp_model_source(chat->model), path, err)) != CAPP_OK) return st;
    const capp_template *found = capp_templates_named(&all, name);
    if (!found && !o->template_name && all.at && all.n == 1) found = all.at;
    st = found ? fail_template(chat, capp_jinja_open(&chat->template, (capp_str){found->text, found->size}, err), err)
               : no_template(&all, path, name, err);
    capp_templates_free(&all);
    return st;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* The special tokens that templates see, under the names that transformers uses. Writes at most N_TOKENS. */
static size_t special_tokens(const capp_vocab *vocab, capp_jinja_constant *tokens) {
    capp_vocab_info info;
    size_t n = 0;
    capp_vocab_get_info(vocab, &info);
    const struct {
        const char *name;
        int32_t id;
    } all[N_TOKENS] = {
        {"bos_token", info.bos}, {"eos_token", info.eos}, {"unk_token", info.unk}, {"pad_token", info.pad}};
    for (size_t i = 0; i < N_TOKENS; i++)
        if (all[i].id >= 0) tokens[n++] = (capp_jinja_constant){all[i].name, capp_vocab_piece(vocab, all[i].id)};
    return n;
}

static capp_status check_role(capp_str role, capp_error *err) {
    bool good = role.size > 0;
    for (size_t i = 0; i < role.size; i++) {
        unsigned char c = (unsigned char)role.data[i];
        good = good && ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_');
    }
    if (good) return CAPP_OK;
    return capp_fail(err, CAPP_EINVAL, "invalid role of a message; use only letters, digits and underscores");
}

static capp_status check_messages(const capp_message *messages, size_t n, capp_error *err) {
    capp_status st = CAPP_OK;
    for (size_t i = 0; i < n && st == CAPP_OK; i++) {
        size_t invalid = capp_utf8_invalid_at(messages[i].content);
        st = check_role(messages[i].role, err);
        if (st == CAPP_OK && invalid < messages[i].content.size)
            st = capp_fail(err, CAPP_EINVAL, "message %zu: invalid UTF-8 at byte %zu", i, invalid);
    }
    return st;
}

static capp_str keep(char **at, capp_str text) {
    char *copy = *at;
    if (text.size) memcpy(copy, text.data, text.size);
    *at += text.size;
    return (capp_str){copy, text.size};
}

/* Fails if variables would set what every rendering sets. */
static capp_status check_variables(capp_json variables, capp_error *err) {
    static const char *const taken[] = {"messages", "add_generation_prompt", "bos_token", "eos_token", "unk_token",
                                        "pad_token"};
    if (capp_json_kind_of(variables) != CAPP_JSON_OBJECT)
        return capp_fail(err, CAPP_EINVAL, "an object is needed, such as {\"enable_thinking\": false}");
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (capp_json_kind_of(capp_json_get(variables, taken[i])) != CAPP_JSON_NONE)
            return capp_fail(err, CAPP_EINVAL, "\"%s\" is set by capp; remove it", taken[i]);
    return CAPP_OK;
}

static capp_status copy_options(capp_chat *chat, const capp_chat_options *o, capp_error *err) {
    size_t bytes = o->variables.size;
    capp_status st = check_messages(o->messages, o->n_messages, err);
    if (st != CAPP_OK) return st;
    for (size_t i = 0; i < o->n_messages; i++) bytes += o->messages[i].role.size + o->messages[i].content.size;
    char *at = chat->texts = capp_new(bytes, 1);
    chat->messages = capp_new(o->n_messages, sizeof *chat->messages);
    if (!chat->texts || !chat->messages) return capp_fail_memory(err, "a conversation");
    for (; chat->n < o->n_messages; chat->n++) {
        capp_str role = keep(&at, o->messages[chat->n].role);
        chat->messages[chat->n] = (capp_message){role, keep(&at, o->messages[chat->n].content)};
    }
    chat->now = o->now ? o->now : (int64_t)time(NULL);
    if (!o->variables.size) return CAPP_OK;
    st = capp_json_check(keep(&at, o->variables), &chat->variables, err);
    if (st == CAPP_OK) st = check_variables(chat->variables, err);
    if (st != CAPP_OK) capp_error_prefix(err, "the variables of the chat template");
    return st;
}

capp_status capp_chat_open(capp_chat **out, const capp_model *model, const capp_chat_options *options,
                           capp_error *err) {
    capp_chat_options defaults;
    capp_chat_options_init(&defaults);
    *out = NULL;
    capp_chat *chat = capp_new0(1, sizeof *chat);
    if (!chat) return capp_fail_memory(err, "a chat template");
    chat->model = model;
    chat->n_tokens = special_tokens(capp_model_vocab(model), chat->tokens);
    capp_status st = copy_options(chat, options ? options : &defaults, err);
    if (st == CAPP_OK) st = open_template(chat, options ? options : &defaults, err);
    if (st != CAPP_OK) {
        capp_chat_free(chat);
        return st;
    }
    *out = chat;
    return CAPP_OK;
}

void capp_chat_free(capp_chat *chat) {
    if (!chat) return;
    capp_jinja_free(chat->template);
    capp_free(chat->origin);
    capp_free(chat->messages);
    capp_free(chat->texts);
    capp_free(chat);
}

/* ---- Rendering --------------------------------------------------------------------------------------------------- */

/* Renders the chat's own messages followed by these. */
static capp_status render(const capp_chat *chat, const capp_message *messages, size_t n, capp_marked *out,
                          capp_error *err) {
    *out = (capp_marked){0};
    capp_status st = check_messages(messages, n, err);
    capp_message *all = st == CAPP_OK ? capp_new(chat->n + n, sizeof *all) : NULL;
    if (st == CAPP_OK && !all) st = capp_fail_memory(err, "a conversation");
    if (st != CAPP_OK) return st;
    if (chat->n) memcpy(all, chat->messages, chat->n * sizeof *all);
    if (n) memcpy(all + chat->n, messages, n * sizeof *all);
    const capp_jinja_input in = {.messages = all,
                                 .n_messages = chat->n + n,
                                 .constants = chat->tokens,
                                 .n_constants = chat->n_tokens,
                                 .variables = chat->variables,
                                 .now = chat->now,
                                 .generation_prompt = true};
    st = fail_template(chat, capp_jinja_render(chat->template, &in, out, err), err);
    capp_free(all);
    return st;
}

static capp_status encode(const capp_chat *chat, const capp_message *messages, size_t n, unsigned flags, capp_ids *out,
                          capp_error *err) {
    capp_marked text;
    size_t before = out->n;
    capp_status st = render(chat, messages, n, &text, err);
    if (st != CAPP_OK) return st;
    const uint8_t *given = flags & CAPP_TOKENIZE_SPECIAL ? NULL : text.given;
    st = capp_vocab_encode_marked(capp_model_vocab(chat->model), (capp_str){text.text, text.size}, given,
                                  CAPP_TOKENIZE_SPECIAL, out, err);
    if (st == CAPP_OK && out->n == before)
        st = capp_fail(err, CAPP_EINVAL, "the chat template renders an empty prompt for this conversation");
    capp_marked_free(&text);
    return st;
}

capp_status capp_chat_encode(const capp_chat *chat, const capp_model *model, capp_str prompt, unsigned flags,
                             capp_ids *out, capp_error *err) {
    const capp_message turn = {capp_str_of("user"), prompt};
    if (!prompt.size) return capp_fail(err, CAPP_EINVAL, "the prompt is empty");
    if (chat->model != model)
        return capp_fail(err, CAPP_EINVAL, "the chat was opened for another model; open one for this model");
    return encode(chat, &turn, 1, flags, out, err);
}

capp_status capp_chat_render(const capp_chat *chat, const capp_message *messages, size_t n, char **text, size_t *size,
                             capp_error *err) {
    capp_marked out;
    *text = NULL;
    *size = 0;
    capp_status st = render(chat, messages, n, &out, err);
    if (st != CAPP_OK) return st;
    *text = out.text;
    *size = out.size;
    capp_free(out.given);
    return CAPP_OK;
}

capp_status capp_chat_tokenize(const capp_chat *chat, const capp_message *messages, size_t n, unsigned flags,
                               int32_t **ids, size_t *n_ids, capp_error *err) {
    capp_ids list = {0};
    *ids = NULL;
    *n_ids = 0;
    capp_status st = encode(chat, messages, n, flags, &list, err);
    if (st != CAPP_OK) {
        capp_ids_free(&list);
        return st;
    }
    *ids = list.data;
    *n_ids = list.n;
    return CAPP_OK;
}

capp_status capp_chat_try(const capp_template *t, const capp_vocab *vocab, capp_error *err) {
    static const capp_message turns[] = {{{"system", 6}, {"Be brief.", 9}}, {{"user", 4}, {"Hello", 5}}};
    capp_jinja_constant tokens[N_TOKENS];
    capp_jinja *jinja;
    capp_marked out;
    capp_status st = capp_jinja_open(&jinja, (capp_str){t->text, t->size}, err);
    if (st != CAPP_OK) return st;
    capp_jinja_input in = {.messages = turns + 1, .n_messages = 1, .constants = tokens, .generation_prompt = true};
    if (vocab) in.n_constants = special_tokens(vocab, tokens);
    st = capp_jinja_render(jinja, &in, &out, err);
    if (st == CAPP_EINVAL) st = CAPP_EUNSUPPORTED;
    capp_marked_free(&out);
    if (st == CAPP_OK) {
        in.messages = turns;
        in.n_messages = 2;
        st = capp_jinja_render(jinja, &in, &out, err);
        capp_marked_free(&out);
    }
    capp_jinja_free(jinja);
    return st;
}
