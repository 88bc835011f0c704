/* Describes a file fact by fact, without its weights. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "chat/chat.h"
#include "model/adapter.h"
#include "model/binder.h"

typedef struct reporter {
    capp_describe_fn fn;
    void *user;
    bool stopped;
} reporter;

static void report(reporter *r, const char *section, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void report(reporter *r, const char *section, const char *key, const char *format, ...) {
    char value[512];
    va_list args;
    if (r->stopped) return;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    r->stopped = !r->fn(r->user, section, key, value);
}

/* The key or name as a C string; cut if it is too long. */
static const char *name_of(capp_str s, char *buffer, size_t size) {
    size_t n = s.size < size - 1 ? s.size : size - 1;
    if (n) memcpy(buffer, s.data, n);
    buffer[n] = 0;
    return buffer;
}

static void report_file(reporter *r, const capp_source *s) {
    uint64_t elements = 0;
    for (size_t i = 0; i < capp_source_n_tensors(s); i++) elements += capp_source_tensor_at(s, i)->elements;
    report(r, "file", "path", "%s", capp_source_path(s));
    if (s->gguf)
        report(r, "file", "format", "GGUF version %" PRIu32, capp_gguf_version(s->gguf));
    else
        report(r, "file", "format", "folder of safetensors");
    report(r, "file", "parts", "%zu", s->gguf ? capp_gguf_parts(s->gguf) : capp_folder_parts(s->folder));
    report(r, "file", "bytes", "%" PRIu64, capp_source_bytes(s));
    report(r, "file", "tensors", "%zu", capp_source_n_tensors(s));
    report(r, "file", "elements", "%" PRIu64, elements);
}

/* Reports the first tensor that capp cannot read. Returns the number of weights. */
static uint64_t report_readable(reporter *r, const capp_source *s, const capp_hparams *h) {
    char name[128];
    uint64_t weights = 0;
    bool all = true, readable;
    for (size_t i = 0; i < capp_source_n_tensors(s); i++) {
        const capp_tensor *x = capp_source_tensor_at(s, i);
        if ((s->gguf || capp_is_multimodal(s)) && capp_is_vision(x->name)) continue;
        weights += capp_quant_weights(h, x, &readable);
        if (all && !readable)
            report(r, "model", "runs", "no: tensor %s has type %s, which capp cannot read",
                   name_of(x->name, name, sizeof name), capp_type_get(x->type).name);
        all = all && readable;
    }
    return weights;
}

static void report_model(reporter *r, const capp_source *s) {
    capp_hparams h;
    const capp_arch *arch;
    capp_error err;
    capp_str name;
    char buffer[128];
    if (capp_source_str(s, s->gguf ? "general.name" : "_name_or_path", &name) == CAPP_FOUND)
        report(r, "model", "name", "%s", name_of(name, buffer, sizeof buffer));
    if (capp_model_type(s, &name) == CAPP_FOUND)
        report(r, "model", "architecture", "%s", name_of(name, buffer, sizeof buffer));
    if (capp_is_multimodal(s)) report(r, "model", "part", "the text part of a multimodal folder, without images");
    if (capp_hparams_read(&h, &arch, s, &err) != CAPP_OK) {
        report(r, "model", "runs", "no: %s", err.message);
        return;
    }
    uint64_t weights = report_readable(r, s, &h);
    const char *quantization = capp_quant_name(&h, buffer, sizeof buffer);
    if (quantization) report(r, "model", "quantization", "%s", quantization);
    report(r, "model", "layers", "%" PRIu32, h.layers);
    report(r, "model", "width", "%" PRIu32, h.width);
    if (!arch->mixes_only)
        report(r, "model", "heads", "%" PRIu32 " of %" PRIu32 " dimensions, %" PRIu32 " for keys and values", h.heads,
               h.head_dim, h.kv_heads);
    if (h.feed) report(r, "model", "feed-forward", "%" PRIu32, h.feed);
    if (h.experts) report(r, "model", "experts", "%" PRIu32 ", %" PRIu32 " for a token", h.experts, h.experts_used);
    if (h.window) report(r, "model", "window", "%" PRIu32 " tokens on some layers or all", h.window);
    report(r, "model", "context", "%" PRIu32 " tokens", h.context);
    report(r, "model", "weights in memory", "%" PRIu64 " MiB in f32, half in bf16", weights * sizeof(float) >> 20);
    size_t floats = 0;
    for (uint32_t i = 0; i < h.layers; i++)
        if (capp_has_attention(&h, i) && !h.shapes[i].back)
            floats += (size_t)h.shapes[i].kv_heads * (h.shapes[i].key + h.shapes[i].value);
    report(r, "model", "KV cache", "%zu bytes a token in f32, half in bf16", floats * sizeof(float));
    size_t state = capp_count_states(&h) * capp_mix_floats(&h);
    if (state) report(r, "model", "recurrent state", "%zu bytes a sequence in f32", state * sizeof(float));
}

/* Whether capp renders each chat template. */
static void report_chat(reporter *r, const capp_source *s, const capp_vocab *vocab) {
    capp_templates all;
    capp_error err;
    if (capp_chat_templates(&all, s, capp_source_path(s), &err) != CAPP_OK) {
        report(r, "tokenizer", "chat template", "no: %s", err.message);
        return;
    }
    if (!all.n) report(r, "tokenizer", "chat template", "none");
    for (size_t i = 0; i < all.n; i++) {
        char key[100] = "chat template";
        if (strcmp(all.at[i].name, "default") != 0) snprintf(key, sizeof key, "chat template %.60s", all.at[i].name);
        capp_status st = capp_chat_try(&all.at[i], vocab, &err);
        if (st == CAPP_OK)
            report(r, "tokenizer", key, "renders");
        else if (st == CAPP_EINVAL)
            report(r, "tokenizer", key, "renders, without a system's turn: %s", err.message);
        else
            report(r, "tokenizer", key, "no: %s", err.message);
    }
    capp_templates_free(&all);
}

static void report_tokenizer(reporter *r, const capp_source *s) {
    capp_vocab *vocab;
    capp_vocab_info info;
    capp_error err;
    capp_status st = s->gguf ? capp_vocab_open_gguf(&vocab, s->gguf, &err)
                             : capp_vocab_open_folder(&vocab, capp_source_path(s), &err);
    if (st != CAPP_OK) {
        report(r, "tokenizer", "runs", "no: %s", err.message);
        return;
    }
    capp_vocab_get_info(vocab, &info);
    report(r, "tokenizer", "model", "%s", info.model);
    report(r, "tokenizer", "pre-tokenizer", "%s%s", info.pre,
           info.pre_assumed ? ", because the file names none; if the model needs another, convert it again" : "");
    report(r, "tokenizer", "tokens", "%" PRIu32, info.n_tokens);
    report(r, "tokenizer", "bos", "%d%s", info.bos, info.add_bos ? ", added" : ", not added");
    report(r, "tokenizer", "eos", "%d", info.eos);
    report(r, "tokenizer", "space before a completion", "%s",
           info.completion_needs_space ? "put there by capp" : "put there by the tokenizer");
    report_chat(r, s, vocab);
    capp_vocab_free(vocab);
}

static void report_value(reporter *r, const capp_gguf_value *v) {
    static const char *const kinds[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    char key[160], text[200];
    name_of(v->key, key, sizeof key);
    capp_gguf_value as_array = *v;
    as_array.element = v->kind;
    double number;
    int64_t integer;
    if (v->kind == CAPP_GGUF_ARRAY)
        report(r, "metadata", key, "%" PRIu64 " x %s", v->count, v->element < 13 ? kinds[v->element] : "?");
    else if (v->kind == CAPP_GGUF_STRING)
        report(r, "metadata", key, "%s%s", name_of(v->strings[0], text, sizeof text),
               v->strings[0].size >= sizeof text ? "..." : "");
    else if (v->kind == CAPP_GGUF_BOOL)
        report(r, "metadata", key, "%s", *(const unsigned char *)v->bytes ? "true" : "false");
    else if (v->kind != CAPP_GGUF_F32 && v->kind != CAPP_GGUF_F64 && capp_gguf_array_i64(&as_array, 0, &integer))
        report(r, "metadata", key, "%" PRId64, integer);
    else if (capp_gguf_array_f64(&as_array, 0, &number))
        report(r, "metadata", key, "%.9g", number);
}

static void report_tensor(reporter *r, const capp_gguf_tensor *x) {
    char name[160], shape[96];
    int n = 0;
    for (uint32_t i = 0; i < x->n_dims; i++)
        n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%" PRIu64, i ? " x " : "", x->dims[i]);
    report(r, "tensors", name_of(x->name, name, sizeof name), "%s, %s", shape, capp_type_get(x->type).name);
}

/* inside: "KEY." of the object that contains it, or "". */
static void report_field(reporter *r, const char *inside, capp_json_walk item) {
    char key[160], text[200];
    bool truth, escapes;
    double number;
    size_t n = (size_t)snprintf(key, sizeof key, "%s", inside);
    name_of(capp_json_raw(item.name, &escapes), key + n, sizeof key - n);
    switch (capp_json_kind_of(item.value)) {
    case CAPP_JSON_STRING: {
        capp_str raw = capp_json_raw(item.value, &escapes);
        report(r, "metadata", key, "%s%s", name_of(raw, text, sizeof text), raw.size >= sizeof text ? "..." : "");
        break;
    }
    case CAPP_JSON_NUMBER:
        if (capp_json_f64(item.value, &number)) report(r, "metadata", key, "%.9g", number);
        break;
    case CAPP_JSON_BOOL:
        if (capp_json_bool(item.value, &truth)) report(r, "metadata", key, "%s", truth ? "true" : "false");
        break;
    case CAPP_JSON_ARRAY: report(r, "metadata", key, "%zu values", capp_json_count(item.value)); break;
    case CAPP_JSON_OBJECT: report(r, "metadata", key, "%zu fields", capp_json_count(item.value)); break;
    default: report(r, "metadata", key, "null");
    }
}

static void report_metadata(reporter *r, const capp_source *s) {
    for (size_t i = 0; s->gguf && i < capp_gguf_n_values(s->gguf); i++) report_value(r, capp_gguf_value_at(s->gguf, i));
    if (s->gguf) return;
    capp_json around = capp_folder_around(s->folder);
    const char *inside = around ? "text_config." : "";
    for (capp_json_walk w = capp_json_begin(around); capp_json_next(&w);) report_field(r, "", w);
    for (capp_json_walk w = capp_json_begin(capp_folder_config(s->folder)); capp_json_next(&w);)
        report_field(r, inside, w);
}

/* ---- Adapters ------------------------------------------------------------------------------------------------------
 */

/* The last part of a module's name: "q_proj". */
static const char *last_part(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* "12: q_proj 6, v_proj 6" */
static void modules_of(const capp_adapter *a, char *text, size_t size) {
    enum { MOST_KINDS = 24 };
    struct {
        const char *part;
        size_t n;
    } kinds[MOST_KINDS] = {{NULL, 0}};
    size_t n_kinds = 0, modules = 0;
    for (size_t i = 0; i < a->n_pairs; i++) {
        const char *part = last_part(a->pairs[i].name.data);
        size_t kind = 0;
        if (a->pairs[i].copy) continue;
        modules++;
        while (kind < n_kinds && strcmp(kinds[kind].part, part) != 0) kind++;
        if (kind == n_kinds && n_kinds < MOST_KINDS) kinds[n_kinds++].part = part;
        if (kind < n_kinds) kinds[kind].n++;
    }
    size_t at = (size_t)snprintf(text, size, "%zu", modules);
    for (size_t i = 0; i < n_kinds && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s %zu", i ? ", " : ": ", kinds[i].part, kinds[i].n);
}

/* "8", or "4 to 16" */
static void ranks_of(const capp_adapter *a, char *text, size_t size) {
    uint64_t least = UINT64_MAX, most = 0;
    for (size_t i = 0; i < a->n_pairs; i++) {
        if (a->pairs[i].copy) continue;
        uint64_t rank = a->pairs[i].b->dims[0];
        if (rank < least) least = rank;
        if (rank > most) most = rank;
    }
    int n = snprintf(text, size, "%" PRIu64, least);
    if (most > least) snprintf(text + n, size - (size_t)n, " to %" PRIu64, most);
}

static void report_adapter(reporter *r, const capp_source *s) {
    capp_adapter *a;
    capp_error err;
    capp_str name;
    char text[400];
    bool gguf = s->gguf;
    if (capp_source_str(s, gguf ? "general.base_model.0.name" : "base_model_name_or_path", &name) == CAPP_FOUND)
        report(r, "adapter", "base model", "%s", name_of(name, text, sizeof text));
    if (gguf && capp_source_str(s, "general.architecture", &name) == CAPP_FOUND)
        report(r, "adapter", "architecture", "%s", name_of(name, text, sizeof text));
    if (capp_adapter_open(&a, capp_source_path(s), 1, &err) != CAPP_OK) {
        report(r, "adapter", "runs", "no: %s", err.message);
        return;
    }
    modules_of(a, text, sizeof text);
    report(r, "adapter", "modules", "%s", text);
    ranks_of(a, text, sizeof text);
    report(r, "adapter", "rank", "%s", text);
    report(r, "adapter", "alpha", "%g%s", a->alpha, a->rank_stabilized ? ", divided by the root of the rank" : "");
    capp_adapter_free(a);
}

/* Whether an adapter fits the model of s. */
static capp_status try_adapter(const capp_source *s, const capp_lora *lora, char *text, size_t size, capp_error *err) {
    capp_hparams h;
    const capp_arch *arch;
    capp_adapter *a;
    if (capp_is_adapter(s))
        return capp_fail(err, CAPP_EINVAL,
                         "%s: this is a LoRA adapter, not a model; use the model for which it was trained",
                         capp_source_path(s));
    capp_status st = capp_hparams_read(&h, &arch, s, err);
    if (st != CAPP_OK || (st = capp_adapter_open(&a, lora->path, lora->weight, err)) != CAPP_OK) return st;
    char name[MOST_NAME];
    const capp_tensor *tokens = capp_place_find(s, arch, (place){CAPP_PART_TOKENS, 0, 0}, ".weight", name);
    if (tokens) h.vocabulary = (uint32_t)tokens->dims[1];
    st = capp_adapter_fit(a, s, arch, &h, NULL, err);
    if (st == CAPP_OK) {
        int n = snprintf(text, size, "fits, weight %g, rank ", lora->weight);
        ranks_of(a, text + n, size - (size_t)n);
        n = (int)strlen(text);
        n += snprintf(text + n, size - (size_t)n, ", modules ");
        modules_of(a, text + n, size - (size_t)n);
    }
    capp_adapter_free(a);
    return st;
}

static void report_adapters(reporter *r, const capp_source *s, const capp_lora *lora, size_t n) {
    for (size_t i = 0; i < n; i++) {
        capp_error err;
        char text[400];
        const char *path = lora[i].path ? lora[i].path : "";
        if (try_adapter(s, &lora[i], text, sizeof text, &err) == CAPP_OK)
            report(r, "adapters", path, "%s", text);
        else
            report(r, "adapters", path, "no: %s", err.message);
    }
}

/* ---- All -----------------------------------------------------------------------------------------------------------
 */

static capp_status open_any(capp_source *s, const char *path, capp_error *err) {
    bool adapter = capp_is_adapter_folder(path) || capp_is_adapter_file(path);
    return adapter ? capp_source_open_adapter(s, path, err) : capp_source_open(s, path, err);
}

capp_status capp_describe_lora(const char *path, const capp_lora *lora, size_t n, capp_describe_fn fn, void *user,
                               capp_error *err) {
    capp_source s;
    reporter r = {fn, user, false};
    capp_status st = open_any(&s, path, err);
    if (st != CAPP_OK) return st;
    report_file(&r, &s);
    if (capp_is_adapter(&s)) {
        report_adapter(&r, &s);
    } else {
        report_model(&r, &s);
        report_tokenizer(&r, &s);
    }
    report_adapters(&r, &s, lora, n);
    report_metadata(&r, &s);
    for (size_t i = 0; i < capp_source_n_tensors(&s); i++) report_tensor(&r, capp_source_tensor_at(&s, i));
    capp_source_close(&s);
    return CAPP_OK;
}

capp_status capp_describe(const char *path, capp_describe_fn fn, void *user, capp_error *err) {
    return capp_describe_lora(path, NULL, 0, fn, user, err);
}
