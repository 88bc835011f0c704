/* Text models inside multimodal models, in folders. config.json has the text model's fields in text_config. The names
 * of tensors and modules begin with the part to which they belong. For the text model's model.norm, older files have
 * language_model.model.norm and newer files have model.language_model.norm. capp does not support images and ignores
 * their parts. */
#include <stdio.h>

#include "model/binder.h"

/* For a model_type of config.json, the model_type of its text_config if that does not name one. older: the first
 * folders have no text_config but its fields in config.json itself, and the text model's tensors have the names that
 * they have alone. */
static const struct kind {
    const char *around, *text;
    bool older;
} kinds[] = {{"gemma3", "gemma3_text", false},
             {"gemma3n", "gemma3n_text", false},
             {"gemma4", "gemma4_text", false},
             {"gemma4_unified", "gemma4_unified_text", false},
             {"llama4", "llama4_text", false},
             {"mistral3", "mistral", false},
             {"muse_glimmer", "muse_glimmer_text", false},
             {"qwen2_vl", "qwen2_vl_text", true},
             {"qwen2_5_vl", "qwen2_5_vl_text", true},
             {"qwen3_vl", "qwen3_vl_text", false},
             {"qwen3_vl_moe", "qwen3_vl_moe_text", false},
             {"qwen3_5", "qwen3_5_text", false},
             {"qwen3_5_moe", "qwen3_5_moe_text", false}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static capp_json around(const capp_source *s) {
    return s->gguf ? NULL : capp_folder_around(s->folder);
}

static const struct kind *kind_of(capp_json model_type) {
    for (size_t i = 0; i < N_KINDS; i++)
        if (capp_json_is(model_type, kinds[i].around)) return &kinds[i];
    return NULL;
}

/* The kind of a folder that has no text_config because it is an older one; else NULL. */
static const struct kind *older_kind(const capp_source *s) {
    if (s->gguf || around(s)) return NULL;
    const struct kind *kind = kind_of(capp_config_at(capp_folder_config(s->folder), "model_type"));
    return kind && kind->older ? kind : NULL;
}

bool capp_is_multimodal(const capp_source *s) {
    return around(s) || older_kind(s);
}

unsigned capp_spellings(const capp_source *s) {
    const struct kind *kind = around(s) ? kind_of(capp_config_at(around(s), "model_type")) : older_kind(s);
    if (!capp_is_multimodal(s)) return CAPP_ALONE;
    return kind && kind->older ? CAPP_ALONE | CAPP_INSIDE : CAPP_INSIDE;
}

capp_found capp_model_type(const capp_source *s, capp_str *out) {
    capp_found found = capp_source_str(s, s->gguf ? "general.architecture" : "model_type", out);
    const struct kind *kind = found == CAPP_ABSENT ? kind_of(capp_config_at(around(s), "model_type")) : older_kind(s);
    if (!kind) return found;
    *out = capp_str_of(kind->text);
    return CAPP_FOUND;
}

static const char *nearest(capp_str name) {
    size_t best = 0;
    for (size_t i = 1; i < N_KINDS; i++)
        if (capp_name_distance(name, kinds[i].around) < capp_name_distance(name, kinds[best].around)) best = i;
    return kinds[best].around;
}

capp_status capp_multimodal_check(const capp_source *s, capp_error *err) {
    bool escapes, inside = around(s) != NULL;
    if (s->gguf || older_kind(s)) return CAPP_OK;
    capp_json type = capp_config_at(inside ? around(s) : capp_folder_config(s->folder), "model_type");
    if (inside == (kind_of(type) != NULL)) return CAPP_OK;
    if (!inside)
        return capp_fail(err, CAPP_EFORMAT, "%s: config.json: \"text_config\" is missing", capp_source_path(s));
    capp_str name = capp_json_raw(type, &escapes);
    if (!name.data) name = (capp_str){"", 0};
    return capp_fail(err, CAPP_EUNSUPPORTED,
                     "%s: unknown multimodal architecture \"%.*s\"; the nearest of which capp runs the text part is "
                     "\"%s\"",
                     capp_source_path(s), (int)(name.size < 60 ? name.size : 60), name.data, nearest(name));
}

bool capp_is_vision(capp_str name) {
    static const char *const parts[] = {"vision_tower.",
                                        "vision_model.",
                                        "multi_modal_projector.",
                                        "model.vision_tower.",
                                        "model.vision_adapter.",
                                        "model.vision_projection.",
                                        "model.multi_modal_projector.",
                                        "model.visual.",
                                        "visual.",
                                        "audio_tower.",
                                        "embed_audio.",
                                        "embed_vision.",
                                        "model.audio_tower.",
                                        "model.embed_audio.",
                                        "model.embed_vision.",
                                        "v.",
                                        "mm.",
                                        "a."};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t n = strlen(parts[i]);
        if (name.size > n && !memcmp(name.data, parts[i], n)) return true;
    }
    return false;
}

bool capp_next_spelling(const capp_arch *arch, const char *name, unsigned where, size_t *at, char *out) {
    static const struct {
        const char *before;
        unsigned where;
        bool prefix;
    } ways[] = {{"", CAPP_ALONE, true},
                {"", CAPP_ALONE, false},
                {"language_model.", CAPP_INSIDE, true},
                {"model.language_model.", CAPP_INSIDE, false},
                {"language_model.", CAPP_INSIDE, false}};
    size_t n = arch->prefix ? strlen(arch->prefix) : 0;
    bool has = n && !strncmp(name, arch->prefix, n);
    while (*at < sizeof ways / sizeof *ways) {
        size_t i = (*at)++;
        /* The head is outside the text model: in newer files its name is the same in both kinds of model. */
        bool there = (ways[i].where & where) || (!i && !has);
        if (!there || (!ways[i].prefix && !has)) continue;
        snprintf(out, MOST_NAME, "%s%s", ways[i].before, ways[i].prefix ? name : name + n);
        return true;
    }
    return false;
}
