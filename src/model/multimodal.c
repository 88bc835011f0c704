/* Text models inside multimodal models, in folders. config.json has the text model's fields in text_config. The names
 * of tensors and modules begin with the part to which they belong. For the text model's model.norm, older files have
 * language_model.model.norm and newer files have model.language_model.norm. capp does not support images and ignores
 * their parts. */
#include <stdio.h>

#include "model/binder.h"

/* For a model_type of config.json, the model_type of its text_config if that does not name one. */
static const struct {
    const char *around, *text;
} kinds[] = {{"gemma3", "gemma3_text"},
             {"gemma3n", "gemma3n_text"},
             {"gemma4", "gemma4_text"},
             {"gemma4_unified", "gemma4_unified_text"},
             {"llama4", "llama4_text"},
             {"mistral3", "mistral"},
             {"muse_glimmer", "muse_glimmer_text"},
             {"qwen3_vl", "qwen3_vl_text"},
             {"qwen3_5", "qwen3_5_text"},
             {"qwen3_5_moe", "qwen3_5_moe_text"}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static capp_json around(const capp_source *s) {
    return s->gguf ? NULL : capp_folder_around(s->folder);
}

static const char *text_of(capp_json model_type) {
    for (size_t i = 0; i < N_KINDS; i++)
        if (capp_json_is(model_type, kinds[i].around)) return kinds[i].text;
    return NULL;
}

bool capp_is_multimodal(const capp_source *s) {
    return around(s) != NULL;
}

capp_found capp_model_type(const capp_source *s, capp_str *out) {
    capp_found found = capp_source_str(s, s->gguf ? "general.architecture" : "model_type", out);
    const char *text = found == CAPP_ABSENT ? text_of(capp_config_at(around(s), "model_type")) : NULL;
    if (!text) return found;
    *out = capp_str_of(text);
    return CAPP_FOUND;
}

static const char *nearest(capp_str name) {
    size_t best = 0;
    for (size_t i = 1; i < N_KINDS; i++)
        if (capp_name_distance(name, kinds[i].around) < capp_name_distance(name, kinds[best].around)) best = i;
    return kinds[best].around;
}

capp_status capp_multimodal_check(const capp_source *s, capp_error *err) {
    bool escapes, inside = capp_is_multimodal(s);
    if (s->gguf) return CAPP_OK;
    capp_json type = capp_config_at(inside ? around(s) : capp_folder_config(s->folder), "model_type");
    if (inside == (text_of(type) != NULL)) return CAPP_OK;
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
