/* The tokens that tokenizers add around a text. capp calls the first one BOS, whatever its name. Tokens at the end (EOS
 * or a separator) are not used: a completion follows the prompt, and models have not seen text after an end. (CAPPr
 * switches them off for the same reason.) */
#include <string.h>

#include "base/mem.h"
#include "token/pipeline.h"

static bool is_type(capp_json value, const char *name) {
    return capp_json_is(capp_json_get(value, "type"), name);
}

static capp_status push(const capp_vocab *vocab, capp_ids *list, capp_json id, capp_error *err) {
    uint32_t value;
    if (!capp_json_u32(id, INT32_MAX, &value) || value >= vocab->info.n_tokens)
        return capp_fail(err, CAPP_EFORMAT, "the id of a special token is missing or out of range");
    return capp_ids_push(list, (int32_t)value) ? CAPP_OK : capp_fail_memory(err, "a vocabulary's special tokens");
}

/* Appends the ids of a template's special token, which is given by name. */
static capp_status push_named(const capp_vocab *vocab, capp_ids *list, capp_json processor, capp_json name,
                              capp_error *err) {
    capp_json found = NULL;
    capp_str wanted, other;
    capp_status st = capp_pipeline_read_string(vocab->pipeline, name, "a special token's id", &wanted, err);
    for (capp_json_walk w = capp_json_begin(capp_json_get(processor, "special_tokens"));
         st == CAPP_OK && capp_json_next(&w);) {
        st = capp_pipeline_read_string(vocab->pipeline, w.name, "a special token's name", &other, err);
        if (st == CAPP_OK && other.size == wanted.size && !memcmp(other.data, wanted.data, other.size)) found = w.value;
    }
    if (st != CAPP_OK) return st;
    if (!found)
        return capp_fail(err, CAPP_EFORMAT,
                         "the template of the post-processor names a token that is missing in special_tokens");
    for (capp_json_walk w = capp_json_begin(capp_json_get(found, "ids")); st == CAPP_OK && capp_json_next(&w);)
        st = push(vocab, list, w.value, err);
    return st;
}

/* [{"SpecialToken": {"id": "<s>", ...}}, {"Sequence": {"id": "A", ...}}, ...] */
static capp_status read_template(capp_vocab *vocab, capp_json processor, capp_ids *front, capp_ids *back,
                                 capp_error *err) {
    size_t texts = 0;
    capp_status st = CAPP_OK;
    for (capp_json_walk w = capp_json_begin(capp_json_get(processor, "single")); st == CAPP_OK && capp_json_next(&w);) {
        capp_json special = capp_json_get(w.value, "SpecialToken");
        if (special)
            st = push_named(vocab, texts ? back : front, processor, capp_json_get(special, "id"), err);
        else
            texts++;
    }
    if (st == CAPP_OK && texts != 1)
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "the template of the post-processor must contain the text once, not %zu times", texts);
    return st;
}

/* Appends the id of a pair such as "cls": [TEXT, ID]. */
static capp_status push_second(capp_vocab *vocab, capp_ids *list, capp_json pair, capp_error *err) {
    capp_json_walk w = capp_json_begin(pair);
    for (int i = 0; i < 2; i++)
        if (!capp_json_next(&w))
            return capp_fail(err, CAPP_EFORMAT, "cls or sep is missing or not of the form [TEXT, ID]");
    return push(vocab, list, w.value, err);
}

/* Inserts new in front of list. */
static capp_status put_before(capp_ids *list, const capp_ids *new, capp_error *err) {
    size_t n = list->n;
    for (size_t i = 0; i < new->n; i++)
        if (!capp_ids_push(list, 0)) return capp_fail_memory(err, "a vocabulary's special tokens");
    if (n) memmove(list->data + new->n, list->data, n * sizeof *list->data);
    if (new->n) memcpy(list->data, new->data, new->n * sizeof *list->data);
    return CAPP_OK;
}

static capp_status read_processor(capp_vocab *vocab, capp_json value, capp_error *err) {
    capp_ids front = {0}, back = {0};
    capp_status st = CAPP_OK;
    if (is_type(value, "TemplateProcessing")) {
        st = read_template(vocab, value, &front, &back, err);
    } else if (is_type(value, "RobertaProcessing") || is_type(value, "BertProcessing")) {
        st = push_second(vocab, &front, capp_json_get(value, "cls"), err);
        if (st == CAPP_OK) st = push_second(vocab, &back, capp_json_get(value, "sep"), err);
    } else if (!is_type(value, "ByteLevel")) { /* ByteLevel changes offsets, not ids */
        bool escapes;
        capp_str type = capp_json_raw(capp_json_get(value, "type"), &escapes);
        st = capp_fail(err, CAPP_EUNSUPPORTED, "a post-processor of type \"%.*s\" is not supported",
                       type.size < 100 ? (int)type.size : 100, type.data ? type.data : "");
    }
    if (st == CAPP_OK) st = put_before(&vocab->pipeline->ids_before, &front, err);
    for (size_t i = 0; st == CAPP_OK && i < back.n; i++)
        if (!capp_ids_push(&vocab->pipeline->ids_after, back.data[i]))
            st = capp_fail_memory(err, "a vocabulary's special tokens");
    capp_ids_free(&front);
    capp_ids_free(&back);
    return st;
}

/* Depth: at most CAPP_JSON_DEPTH. Each processor works on the result of the one before. */
static capp_status read_processors(capp_vocab *vocab, capp_json value, capp_error *err) {
    if (capp_json_kind_of(value) <= CAPP_JSON_NULL) return CAPP_OK;
    if (!is_type(value, "Sequence")) return read_processor(vocab, value, err);
    capp_status st = CAPP_OK;
    for (capp_json_walk w = capp_json_begin(capp_json_get(value, "processors")); st == CAPP_OK && capp_json_next(&w);)
        st = read_processors(vocab, w.value, err);
    return st;
}

capp_status capp_pipeline_parse_post_processor(capp_vocab *vocab, capp_json value, capp_error *err) {
    capp_pipeline *pipeline = vocab->pipeline;
    capp_status st = read_processors(vocab, value, err);
    if (st != CAPP_OK) {
        capp_error_prefix(err, "post_processor");
        return st;
    }
    vocab->info.add_bos = pipeline->ids_before.n > 0;
    vocab->info.add_eos = pipeline->ids_after.n > 0;
    if (pipeline->ids_before.n) vocab->info.bos = pipeline->ids_before.data[0];
    if (pipeline->ids_after.n) vocab->info.eos = pipeline->ids_after.data[pipeline->ids_after.n - 1];
    return CAPP_OK;
}

/* ---- tokenizer_config.json --------------------------------------------------------------------------------------- */

/* Reads a token given as its text or as {"content": TEXT}. *id is unchanged if it is missing, null or not a token. */
static capp_status named_id(capp_vocab *vocab, capp_json config, const char *name, int32_t *id, capp_error *err) {
    capp_json value = capp_json_get(config, name), content = capp_json_get(value, "content");
    capp_str text;
    if (capp_json_kind_of(value) <= CAPP_JSON_NULL) return CAPP_OK;
    capp_status st = capp_pipeline_read_string(vocab->pipeline, content ? content : value, name, &text, err);
    if (st != CAPP_OK) return st;
    int32_t found = capp_text_index_find(&vocab->index, text);
    if (found != CAPP_NO_TOKEN) *id = found;
    return CAPP_OK;
}

/* Classes of transformers that add BOS if add_bos_token says so (true if it is missing), whatever the post-processor in
 * the file does. For other classes the post-processor decides. */
static const char *const own_bos[] = {"LlamaTokenizer",         "LlamaTokenizerFast", "CodeLlamaTokenizer",
                                      "CodeLlamaTokenizerFast", "GemmaTokenizer",     "GemmaTokenizerFast",
                                      "CohereTokenizer",        "CohereTokenizerFast"};

static capp_status apply_add_bos(capp_vocab *vocab, capp_json config, capp_error *err) {
    capp_json class = capp_json_get(config, "tokenizer_class");
    capp_pipeline *pipeline = vocab->pipeline;
    bool own = false, add = true;
    for (size_t i = 0; i < sizeof own_bos / sizeof own_bos[0]; i++) own = own || capp_json_is(class, own_bos[i]);
    if (!own) return CAPP_OK;
    capp_status st = capp_pipeline_read_bool(config, "add_bos_token", &add, err);
    if (st != CAPP_OK) return st;
    if (add && !pipeline->ids_before.n && vocab->info.bos != CAPP_NO_TOKEN &&
        !capp_ids_push(&pipeline->ids_before, vocab->info.bos))
        return capp_fail_memory(err, "a vocabulary's special tokens");
    vocab->info.add_bos = add && pipeline->ids_before.n;
    return CAPP_OK;
}

capp_status capp_pipeline_read_config(capp_vocab *vocab, capp_str text, capp_error *err) {
    capp_vocab_info *info = &vocab->info;
    capp_json config;
    capp_status st = capp_json_check(text, &config, err);
    if (st == CAPP_OK && capp_json_kind_of(config) != CAPP_JSON_OBJECT)
        st = capp_fail(err, CAPP_EFORMAT, "the file must be a JSON object");
    if (st == CAPP_OK) st = named_id(vocab, config, "bos_token", &info->bos, err);
    if (st == CAPP_OK) st = named_id(vocab, config, "eos_token", &info->eos, err);
    if (st == CAPP_OK) st = named_id(vocab, config, "pad_token", &info->pad, err);
    return st == CAPP_OK ? apply_add_bos(vocab, config, err) : st;
}
