/* quantization_config of config.json, or hf_quant_config.json: the method that made the weights, and how they are
 * packed. This file does not read what the tensors show themselves (which products are quantized, groups, strategies of
 * scales). */
#include <math.h>
#include <stdio.h>

#include "model/arch.h"

enum { KEY = 128, MOST_GROUP = 1 << 20 };

typedef struct reader {
    const capp_source *s;
    capp_error *err;
    capp_json config;          /* quantization_config */
    const char *file, *inside; /* where it is */
    capp_quantization *q;
} reader;

/* Fields that do not change how weights are stored, or that the tensors show: how the method ran, which products it
 * skipped, which library should run the model, how that library quantizes activations. */
static const char known[] =
    " _load_in_4bit _load_in_8bit act_group_aware activation_scale_ub activation_scheme actorder amp "
    "autoround_version backend batch_size bits block_name_to_quantize bnb_4bit_compute_dtype bnb_4bit_quant_storage "
    "bnb_4bit_quant_type bnb_4bit_use_double_quant cache_block_outputs checkpoint_format config_groups "
    "damp_auto_increment damp_percent data_type dataset dequantize desc_act disable_exllama do_fuse dynamic "
    "enable_minmax_tuning enable_norm_bias_tuning enable_quanted_input exclude_modules exllama_config fmt format "
    "fuse_max_seq_len global_compression_ratio gradient_accumulate_steps group_size ignore ignored_layers "
    "input_scale is_marlin_format iters kv_cache_quant_algo kv_cache_scheme llm_int8_enable_fp32_cpu_offload "
    "llm_int8_has_fp16_weight llm_int8_skip_modules llm_int8_threshold lm_head load_in_4bit load_in_8bit "
    "low_gpu_mem_usage lr max_input_length meta method minmax_lr model_file_base_name model_name_or_path "
    "model_seqlen module_name_preceding_first_block modules_in_block_to_quantize modules_to_fuse "
    "modules_to_not_convert mse nsamples pack_dtype packing_format pad_token_id producer provider quant_algo "
    "quant_method quantization_status quantized_layers run_compressed scale_dtype scale_fmt seqlen sparsity_config "
    "static_groups sym tokenizer transform_config true_sequential use_cuda_fp16 use_exllama version "
    "weight_block_size zero_point ";

static bool is_known(const char *key) {
    size_t n = strlen(key);
    for (const char *at = known; n && (at = strstr(at, key)); at += n)
        if (at[-1] == ' ' && at[n] == ' ') return true;
    return false;
}

static capp_status fail(const reader *r, capp_status st, const char *key, const char *what) {
    return capp_fail(r->err, st, "%s: %s: \"%s.%s\" %s", capp_source_path(r->s), r->file, r->inside, key, what);
}

/* ---- Values --------------------------------------------------------------------------------------------------------
 */

/* The member with that name; NULL also if it is empty: null, {}, []. */
static capp_json member(const reader *r, const char *key) {
    capp_json value = capp_config_at(r->config, key);
    capp_json_kind kind = capp_json_kind_of(value);
    bool empty = (kind == CAPP_JSON_OBJECT || kind == CAPP_JSON_ARRAY) && !capp_json_count(value);
    return empty ? NULL : value;
}

static bool whole(capp_json value, double least, double most, uint32_t *out) {
    double number;
    if (!capp_json_f64(value, &number) || number < least || number > most || number != floor(number)) return false;
    *out = number < 0 ? 0 : (uint32_t)number;
    return true;
}

/* Checks that the member is missing or is one of the texts, in upper or lower case. options ends with NULL. */
static capp_status one_of(const reader *r, const char *key, const char *const *options, const char *cure) {
    char name[KEY] = "", text[2 * KEY];
    bool escapes;
    capp_json value = member(r, key);
    if (!value) return CAPP_OK;
    capp_str raw = capp_json_raw(value, &escapes);
    for (size_t i = 0; i < raw.size && i < KEY - 1; i++)
        name[i] = (char)(raw.data[i] >= 'A' && raw.data[i] <= 'Z' ? raw.data[i] + 32 : raw.data[i]);
    for (; raw.data && *options; options++)
        if (!strcmp(name, *options)) return CAPP_OK;
    snprintf(text, sizeof text, "is \"%.40s\"; %s", name, cure);
    return fail(r, CAPP_EUNSUPPORTED, key, text);
}

static capp_status refuse(const reader *r, const char *key, const char *what) {
    bool truth = true;
    capp_json value = member(r, key);
    if (!value || (capp_json_bool(value, &truth) && !truth)) return CAPP_OK;
    return fail(r, CAPP_EUNSUPPORTED, key, what);
}

static capp_status refuse_unknown(const reader *r) {
    for (capp_json_walk w = capp_json_begin(r->config); capp_json_next(&w);) {
        char key[KEY] = "";
        bool escapes;
        capp_str raw = capp_json_raw(w.name, &escapes);
        memcpy(key, raw.data, raw.size < KEY ? raw.size : KEY - 1);
        capp_status st =
            is_known(key)
                ? CAPP_OK
                : refuse(r, key, "is an unknown field; if it does not change how weights are stored, remove it");
        if (st != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* ---- Methods -------------------------------------------------------------------------------------------------------
 */

static capp_status read_group(const reader *r) {
    capp_json value = member(r, "group_size");
    if (!value || whole(value, 1, MOST_GROUP, &r->q->group) || whole(value, -1, -1, &r->q->group)) return CAPP_OK;
    return fail(r, CAPP_EFORMAT, "group_size", "must be -1 or a number of inputs");
}

static capp_status read_gptq(const reader *r) {
    static const char *const formats[] = {"gptq", "gptq_v2", NULL}, *const words[] = {"int32", NULL};
    const char *key = member(r, "checkpoint_format") ? "checkpoint_format" : "format";
    const char *cure = "capp supports gptq and gptq_v2; save the model in one of these formats";
    capp_status st;
    r->q->method = CAPP_GPTQ;
    if ((st = one_of(r, "checkpoint_format", formats, cure)) != CAPP_OK) return st;
    if ((st = one_of(r, "format", formats, cure)) != CAPP_OK) return st;
    if ((st = one_of(r, "pack_dtype", words, "capp supports only int32; pack the model again")) != CAPP_OK) return st;
    if ((st = refuse(r, "is_marlin_format", "is true, which capp does not support; save the model in the format gptq")))
        return st;
    r->q->zeros_less_one = !capp_json_is(member(r, key), "gptq_v2") && !capp_json_is(member(r, key), "GPTQ_V2");
    if ((st = read_group(r)) != CAPP_OK) return st;
    if (!whole(member(r, "bits"), 2, 8, &r->q->bits) || (r->q->bits > 4 && r->q->bits < 8))
        return fail(r, CAPP_EUNSUPPORTED, "bits", "must be 2, 3, 4 or 8 for gptq");
    if (member(r, "dynamic")) r->q->bits = 0;
    return CAPP_OK;
}

static capp_status read_awq(const reader *r) {
    static const char *const versions[] = {"gemm", NULL}, *const backends[] = {"autoawq", NULL};
    capp_status st;
    r->q->method = CAPP_AWQ;
    if ((st = one_of(r, "version", versions, "capp supports gemm; pack the model again in this format")) != CAPP_OK)
        return st;
    if ((st = one_of(r, "format", versions, "capp supports gemm; pack the model again in this format")) != CAPP_OK)
        return st;
    if ((st = one_of(r, "backend", backends, "capp supports the packing of autoawq; pack the model again with it")))
        return st;
    if (!whole(member(r, "bits"), 4, 4, &r->q->bits)) return fail(r, CAPP_EUNSUPPORTED, "bits", "must be 4 for awq");
    return read_group(r);
}

/* Reads [rows, columns]. */
static capp_status read_block(const reader *r, capp_json value, const char *key) {
    capp_json_walk w = capp_json_begin(value);
    uint32_t rows, columns;
    if (!value) return CAPP_OK;
    if (capp_json_count(value) != 2 || !capp_json_next(&w) || !whole(w.value, 1, MOST_GROUP, &rows) ||
        !capp_json_next(&w) || !whole(w.value, 1, MOST_GROUP, &columns))
        return fail(r, CAPP_EFORMAT, key, "must be two positive integers");
    if (r->q->block_rows && (r->q->block_rows != rows || r->q->block_columns != columns))
        return fail(r, CAPP_EUNSUPPORTED, key, "differs between groups; capp supports only one block size");
    r->q->block_rows = rows;
    r->q->block_columns = columns;
    return CAPP_OK;
}

static capp_status read_float8(const reader *r) {
    static const char *const formats[] = {"e4m3", "e5m2", "float8_e4m3fn", "float8_e5m2", NULL};
    capp_status st;
    r->q->method = CAPP_FLOAT8;
    if ((st = one_of(r, "fmt", formats, "capp supports e4m3 and e5m2")) != CAPP_OK) return st;
    return read_block(r, member(r, "weight_block_size"), "weight_block_size");
}

/* The entry of options that the member equals; NULL: none. */
static const char *name_in(const reader *r, const char *key, const char *const *options) {
    for (; *options; options++)
        if (capp_json_is(member(r, key), *options)) return *options;
    return NULL;
}

/* What the groups of compressed-tensors say: blocks of float8, the number of bits for people. */
static capp_status read_config_groups(const reader *r) {
    capp_status st;
    for (capp_json_walk w = capp_json_begin(member(r, "config_groups")); capp_json_next(&w);) {
        capp_json block = capp_config_at(w.value, "weights.block_structure");
        uint32_t bits;
        if ((st = read_block(r, block, "config_groups")) != CAPP_OK) return st;
        if (whole(capp_config_at(w.value, "weights.num_bits"), 1, 16, &bits))
            r->q->bits = r->q->bits && r->q->bits != bits ? 0 : bits;
    }
    return CAPP_OK;
}

static capp_status read_compressed(const reader *r) {
    static const char *const formats[] = {
        "pack-quantized",       "int-quantized",        "float-quantized", "naive-quantized",
        "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mixed-precision", NULL};
    static const char *const dense[] = {"dense", NULL};
    const char *cure = "capp supports pack-quantized, int-quantized, float-quantized, naive-quantized, "
                       "nvfp4-pack-quantized, mxfp4-pack-quantized and mixed-precision; save the model in one of these "
                       "formats, or without quantization";
    capp_status st;
    r->q->method = CAPP_COMPRESSED;
    if (!member(r, "format")) return fail(r, CAPP_EFORMAT, "format", "is missing");
    if ((st = one_of(r, "format", formats, cure)) != CAPP_OK) return st;
    r->q->format = name_in(r, "format", formats);
    if ((st = one_of(r, "sparsity_config.format", dense, "capp supports only dense weights")) != CAPP_OK) return st;
    if ((st = refuse(r, "transform_config",
                     "is not supported, because capp does not rotate activations; save the model without it")))
        return st;
    return read_config_groups(r);
}

static capp_status read_modelopt(const reader *r) {
    static const char *const algorithms[] = {"nvfp4", "fp8", "mixed_precision", NULL};
    static const char *const names[] = {"NVFP4", "FP8", "MIXED_PRECISION", NULL};
    capp_status st;
    r->q->method = CAPP_MODELOPT;
    if (!member(r, "quant_algo")) return fail(r, CAPP_EFORMAT, "quant_algo", "is missing");
    st = one_of(r, "quant_algo", algorithms, "capp supports NVFP4, FP8 and MIXED_PRECISION of ModelOpt");
    r->q->format = name_in(r, "quant_algo", names);
    return st;
}

/* ModelOpt writes {"producer": {...}, "quantization": {...}} into a file of its own, and older versions only there. */
static capp_status read_apart(reader *r) {
    capp_status st;
    r->file = "hf_quant_config.json", r->inside = "quantization";
    r->config = capp_config_at(capp_folder_quant(r->s->folder), "quantization");
    if (capp_json_kind_of(r->config) != CAPP_JSON_OBJECT)
        return capp_fail(r->err, CAPP_EFORMAT, "%s: %s: \"%s\" must be an object; download the model again",
                         capp_source_path(r->s), r->file, r->inside);
    return (st = refuse_unknown(r)) == CAPP_OK ? read_modelopt(r) : st;
}

static capp_status read_bitsandbytes(const reader *r) {
    bool four = false, eight = false;
    r->q->method = CAPP_BITSANDBYTES;
    (void)capp_json_bool(member(r, "load_in_4bit"), &four);
    (void)capp_json_bool(member(r, "load_in_8bit"), &eight);
    if (four == eight) return fail(r, CAPP_EFORMAT, "load_in_4bit", "or load_in_8bit must be true, and not both");
    r->q->bits = four ? 4 : 8;
    return CAPP_OK;
}

/* The first tensor that is not plain floats. The message uses it to show what the method produced. */
static const capp_tensor *first_packed(const capp_source *s) {
    for (size_t i = 0; i < capp_source_n_tensors(s); i++)
        if (!capp_dequant(capp_source_tensor_at(s, i)->type)) return capp_source_tensor_at(s, i);
    return NULL;
}

static capp_status fail_method(const reader *r, capp_str name) {
    char tensor[KEY] = "";
    const capp_tensor *t = first_packed(r->s);
    if (t)
        snprintf(tensor, sizeof tensor, " (%.*s is %s)", (int)(t->name.size < 80 ? t->name.size : 80), t->name.data,
                 capp_type_get(t->type).name);
    return capp_fail(
        r->err, CAPP_EUNSUPPORTED,
        "%s: config.json: \"quantization_config.quant_method\" is \"%.*s\"%s; capp supports gptq, awq, "
        "fp8, fbgemm_fp8, compressed-tensors, modelopt, bitsandbytes, and mxfp4 of GPT-OSS: save the model in "
        "one of these formats or without quantization, or use its GGUF file",
        capp_source_path(r->s), (int)(name.size < 40 ? name.size : 40), name.data, tensor);
}

/* Fails for packed tensors if config.json has no quantization_config: older files have it in quantize_config.json. */
static capp_status check_unquantized(const capp_source *s, capp_error *err) {
    static const char end[] = ".qweight";
    for (size_t i = 0; i < capp_source_n_tensors(s); i++) {
        const capp_tensor *t = capp_source_tensor_at(s, i);
        size_t n = sizeof end - 1;
        if (t->name.size < n || memcmp(t->name.data + t->name.size - n, end, n) != 0) continue;
        return capp_fail(
            err, CAPP_EFORMAT,
            "%s: config.json: \"quantization_config\" is missing, but there is a quantized tensor %.*s; add it with "
            "the fields of quantize_config.json or quant_config.json and with \"quant_method\" gptq or awq",
            capp_source_path(s), (int)(t->name.size < 100 ? t->name.size : 100), t->name.data);
    }
    return CAPP_OK;
}

capp_status capp_quant_read(capp_hparams *h, const capp_arch *arch, const capp_source *s, capp_error *err) {
    static const struct {
        const char *name;
        capp_status (*read)(const reader *r);
    } methods[] = {
        {"gptq", read_gptq},
        {"awq", read_awq},
        {"fp8", read_float8},
        {"fbgemm_fp8", read_float8},
        {"compressed-tensors", read_compressed},
        {"modelopt", read_modelopt},
        {"bitsandbytes", read_bitsandbytes},
    };
    static const char key[] = "quantization_config";
    reader r = {s, err, capp_config_at(capp_folder_around(s->folder), key), "config.json", key, &h->quantization};
    capp_str name = {"", 0};
    bool escapes = false;
    capp_status st;
    if (!r.config) r.config = capp_config_at(capp_folder_config(s->folder), key);
    if (!r.config && capp_folder_quant(s->folder)) return read_apart(&r);
    if (!r.config) return check_unquantized(s, err);
    capp_json method = capp_config_at(r.config, "quant_method");
    if (method) name = capp_json_raw(method, &escapes);
    if (!name.data || escapes) return fail(&r, CAPP_EFORMAT, "quant_method", "must be a string");
    h->mxfp4 = arch->sinks && capp_str_is(name, "mxfp4");
    if (h->mxfp4) return CAPP_OK;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (!capp_str_is(name, methods[i].name)) continue;
        if ((st = refuse_unknown(&r)) != CAPP_OK) return st;
        return methods[i].read(&r);
    }
    return fail_method(&r, name);
}
