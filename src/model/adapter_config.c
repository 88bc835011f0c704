/* The description of an adapter: adapter_config.json as PEFT 0.18 writes it, or GGUF metadata as llama.cpp reads it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/adapter.h"
#include "model/arch.h"

/* Fields that have no effect here: how the adapter was trained, and which modules were chosen (the tensors show
 * this). */
static const char idle[] =
    " auto_mapping base_model_name_or_path corda_config eva_config exclude_modules fan_in_fan_out inference_mode "
    "layers_pattern layers_to_transform loftq_config lora_dropout lora_ga_config megatron_config megatron_core "
    "peft_version qalora_group_size revision runtime_config target_modules target_parameters task_type "
    "unsloth_fixed unsloth_version ";

static const char used[] =
    " alpha_pattern bias ensure_weight_tying init_lora_weights lora_alpha peft_type r rank_pattern "
    "use_rslora ";

static bool listed(const char *list, const char *key) {
    size_t n = strlen(key);
    for (const char *at = list; n && (at = strstr(at, key)); at += n)
        if (at[-1] == ' ' && at[n] == ' ') return true;
    return false;
}

static capp_status fail_field(const capp_adapter *a, capp_status st, const char *key, const char *what,
                              capp_error *err) {
    return capp_fail(err, st, "%s: adapter_config.json: \"%s\" %s", capp_source_path(&a->source), key, what);
}

static const char merge[] = "; merge the adapter into its model (PEFT's merge_and_unload) and open the result";

/* Whether v is null, false, [] or {}. */
static bool is_nothing(capp_json v) {
    bool truth;
    switch (capp_json_kind_of(v)) {
    case CAPP_JSON_NULL: return true;
    case CAPP_JSON_BOOL: return capp_json_bool(v, &truth) && !truth;
    case CAPP_JSON_ARRAY:
    case CAPP_JSON_OBJECT: return !capp_json_count(v);
    default: return false;
    }
}

/* Rejects unknown fields: such a field may describe a part of the adapter that capp would ignore. */
static capp_status check_fields(const capp_adapter *a, capp_json config, capp_error *err) {
    for (capp_json_walk w = capp_json_begin(config); capp_json_next(&w);) {
        char key[80];
        bool escapes;
        capp_str raw = capp_json_raw(w.name, &escapes);
        snprintf(key, sizeof key, "%.*s", (int)(raw.size < sizeof key ? raw.size : sizeof key - 1), raw.data);
        if (listed(idle, key) || listed(used, key) || is_nothing(w.value)) continue;
        char what[200];
        snprintf(what, sizeof what, "asks for a feature that capp does not support%s", merge);
        return fail_field(a, CAPP_EUNSUPPORTED, key, what, err);
    }
    return CAPP_OK;
}

/* Some initialization methods subtract the initial pair from the model's weights. These weights then differ from those
 * in the model's file. */
static capp_status check_beginning(const capp_adapter *a, capp_json begin, capp_error *err) {
    static const char *const plain[] = {"gaussian", "eva", "orthogonal"};
    capp_json_kind kind = capp_json_kind_of(begin);
    if (kind != CAPP_JSON_STRING) return CAPP_OK;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (capp_json_is(begin, plain[i])) return CAPP_OK;
    return fail_field(a, CAPP_EUNSUPPORTED, "init_lora_weights",
                      "is an initialization that changes the model's weights; convert the adapter with PEFT "
                      "(path_initial_model_for_weight_conversion)",
                      err);
}

static capp_status read_number(const capp_adapter *a, const char *key, double missing, double *out, capp_error *err) {
    *out = missing;
    capp_found found = capp_source_number(&a->source, key, out);
    if (found == CAPP_MISFIT || !isfinite(*out)) return fail_field(a, CAPP_EFORMAT, key, "is not a number", err);
    return CAPP_OK;
}

static capp_status read_bool(const capp_adapter *a, const char *key, bool *out, capp_error *err) {
    *out = false;
    if (capp_source_bool(&a->source, key, out) != CAPP_MISFIT) return CAPP_OK;
    return fail_field(a, CAPP_EFORMAT, key, "must be true or false", err);
}

/* Adds the name of the field with the pattern to the message in err. */
static capp_status in_patterns(const capp_adapter *a, const char *key, capp_status st, capp_error *err) {
    char prefix[80];
    if (st == CAPP_OK || st == CAPP_ENOMEM) return st;
    snprintf(prefix, sizeof prefix, "adapter_config.json: \"%s\"", key);
    capp_error_prefix(err, prefix);
    capp_error_prefix(err, capp_source_path(&a->source));
    return st;
}

static capp_status read_patterns(const capp_adapter *a, const char *key, capp_patterns **out, capp_error *err) {
    capp_json object = capp_json_get(capp_folder_config(a->source.folder), key);
    return in_patterns(a, key, capp_patterns_open(out, object, err), err);
}

capp_status capp_adapter_config(capp_adapter *a, capp_error *err) {
    capp_json config = capp_folder_config(a->source.folder);
    capp_str text;
    capp_status st;
    if (capp_source_str(&a->source, "peft_type", &text) != CAPP_FOUND || !capp_str_is(text, "LORA"))
        return fail_field(a, CAPP_EUNSUPPORTED, "peft_type",
                          "must be LORA, the only kind of adapter that capp supports", err);
    if ((st = check_fields(a, config, err)) != CAPP_OK) return st;
    capp_found bias = capp_source_str(&a->source, "bias", &text);
    if (bias == CAPP_MISFIT || (bias == CAPP_FOUND && !capp_str_is(text, "none")))
        return fail_field(a, CAPP_EUNSUPPORTED, "bias",
                          "must be none, because capp does not support trained biases; merge the adapter into its "
                          "model (PEFT's merge_and_unload) and open the result",
                          err);
    if ((st = check_beginning(a, capp_json_get(config, "init_lora_weights"), err)) != CAPP_OK) return st;
    if ((st = read_number(a, "r", 8, &a->rank, err)) != CAPP_OK) return st;
    if ((st = read_number(a, "lora_alpha", 8, &a->alpha, err)) != CAPP_OK) return st;
    if ((st = read_bool(a, "use_rslora", &a->rank_stabilized, err)) != CAPP_OK) return st;
    if ((st = read_bool(a, "ensure_weight_tying", &a->tied, err)) != CAPP_OK) return st;
    if ((st = read_patterns(a, "rank_pattern", &a->ranks, err)) != CAPP_OK) return st;
    return read_patterns(a, "alpha_pattern", &a->alphas, err);
}

capp_status capp_adapter_metadata(capp_adapter *a, capp_error *err) {
    const char *path = capp_source_path(&a->source);
    capp_str text;
    if (capp_source_str(&a->source, "general.type", &text) != CAPP_FOUND || !capp_str_is(text, "adapter"))
        return capp_fail(err, CAPP_EINVAL, "%s: not an adapter: general.type is not \"adapter\"", path);
    if (capp_source_str(&a->source, "adapter.type", &text) != CAPP_FOUND || !capp_str_is(text, "lora"))
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: adapter.type must be \"lora\", the only kind that capp supports",
                         path);
    if (capp_source_count(&a->source, "adapter.alora.invocation_tokens"))
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s: adapter.alora.invocation_tokens: capp does not support an activated LoRA, which applies "
                         "only after certain tokens; use an adapter without it",
                         path);
    a->alpha = 0; /* like llama.cpp: then the scale is 1 */
    if (capp_source_number(&a->source, "adapter.lora.alpha", &a->alpha) != CAPP_MISFIT && isfinite(a->alpha))
        return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: adapter.lora.alpha is not a number", path);
}

capp_status capp_adapter_scale(const capp_adapter *a, const char *module, size_t rank, double *scale, capp_error *err) {
    double r = a->rank, alpha = a->alpha;
    capp_status st;
    *scale = a->weight;
    if (a->source.gguf) {
        if (alpha != 0) *scale = a->weight * alpha / (double)rank;
        return CAPP_OK;
    }
    st = in_patterns(a, "rank_pattern", capp_patterns_find(a->ranks, module, &r, err), err);
    if (st == CAPP_OK) st = in_patterns(a, "alpha_pattern", capp_patterns_find(a->alphas, module, &alpha, err), err);
    if (st != CAPP_OK) return st;
    if ((double)rank != r)
        return capp_fail(
            err, CAPP_EFORMAT,
            "%s: module %.200s has rank %zu, but adapter_config.json says %g; download or save the adapter again",
            capp_source_path(&a->source), module, rank, r);
    *scale = a->weight * alpha / (a->rank_stabilized ? sqrt(r) : r);
    return CAPP_OK;
}
