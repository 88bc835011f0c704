/* Opens a model: chooses kernels, reads the file, binds the weights, opens the vocabulary. Sessions pack the weights
 * when they use them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/platform.h"
#include "engine/handles.h"
#include "engine/precision.h"
#include "kernel/peak.h"

enum { MIB = 1 << 20 };

void capp_model_options_init(capp_model_options *options) {
    memset(options, 0, sizeof *options);
}

/* The memory that the system, or the control group of the process, could provide now, without what the caches of open
 * models will take. */
static uint64_t free_memory(void) {
    uint64_t available = capp_available_memory(""), taken = capp_cache_unused();
    if (available == UINT64_MAX) available = capp_unused_memory();
    return available > taken ? available - taken : 0;
}

/* A quarter of the available memory, at most 4 GiB. */
static uint64_t default_memory(void) {
    uint64_t available = free_memory() / 4;
    if (available > (uint64_t)4096 * MIB) available = (uint64_t)4096 * MIB;
    return available < 64 * MIB ? 64 * MIB : available;
}

enum { AMX = CAPP_CPU_AMX_BF16 | CAPP_CPU_AMX_INT8 };

static capp_status choose_kernels(const capp_kernels **kernels, const char *isa, capp_error *err) {
    const char *source = "the option isa";
    if (!isa && (isa = getenv("CAPP_ISA"))) source = "the environment variable CAPP_ISA";
    unsigned features = capp_cpu_features();
    if (!isa || !*isa) {
        *kernels = capp_kernels_best(features);
        if (!capp_cpu_request((*kernels)->needs)) /* permission was refused */
            *kernels = capp_kernels_best(features & ~(unsigned)AMX);
        return CAPP_OK;
    }
    *kernels = capp_kernels_named(isa);
    if (!*kernels) {
        char names[128] = "";
        for (size_t i = 0; capp_kernels_at(i); i++) {
            strncat(names, i ? ", " : "", sizeof names - strlen(names) - 1);
            strncat(names, capp_kernels_at(i)->name, sizeof names - strlen(names) - 1);
        }
        return capp_fail(err, CAPP_EINVAL, "%s is \"%s\", an unknown instruction set; use one of: %s", source, isa,
                         names);
    }
    if (!capp_cpu_request((*kernels)->needs))
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s is \"%s\", an instruction set that this machine does not support; leave it out to use the "
                         "best available",
                         source, isa);
    return CAPP_OK;
}

static char *copy_string(capp_str s) {
    char *copy = capp_new(s.size + 1, 1);
    if (!copy) return NULL;
    if (s.size) memcpy(copy, s.data, s.size);
    copy[s.size] = 0;
    return copy;
}

static capp_status set_names(capp_model *model, capp_error *err) {
    capp_str architecture = {"", 0}, name = {"", 0};
    (void)capp_model_type(&model->source, &architecture);
    (void)capp_source_str(&model->source, model->source.gguf ? "general.name" : "_name_or_path", &name);
    model->architecture = copy_string(architecture);
    model->name = copy_string(name);
    return model->architecture && model->name ? CAPP_OK : capp_fail_memory(err, "the model");
}

/* ---- Adapters ------------------------------------------------------------------------------------------------------
 */

/* "PATH=WEIGHT, PATH=WEIGHT" */
static capp_status name_adapters(capp_model *model, const capp_lora *lora, size_t n, capp_error *err) {
    enum { MOST_NUMBER = 32 };
    size_t size = 1, at = 0;
    for (size_t i = 0; i < n; i++) size += (lora[i].path ? strlen(lora[i].path) : 0) + MOST_NUMBER;
    model->adapters = capp_new(size, 1);
    if (!model->adapters) return capp_fail_memory(err, "the model");
    model->adapters[0] = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(model->adapters + at, size - at, "%s%s=%.17g", i ? ", " : "",
                               lora[i].path ? lora[i].path : "", lora[i].weight);
    return CAPP_OK;
}

static void free_adapters(capp_adapter **adapters, size_t n) {
    for (size_t i = 0; i < n; i++) capp_adapter_free(adapters[i]);
    capp_free(adapters);
}

/* The caller frees *adapters [n] with free_adapters; NULL on failure. */
static capp_status open_adapters(capp_adapter ***adapters, const capp_lora *lora, size_t n, capp_error *err) {
    capp_status st = CAPP_OK;
    *adapters = capp_new0(n, sizeof **adapters);
    if (!*adapters) return capp_fail_memory(err, "adapters");
    for (size_t i = 0; i < n && st == CAPP_OK; i++)
        st = capp_adapter_open(&(*adapters)[i], lora[i].path, lora[i].weight, err);
    if (st == CAPP_OK) return st;
    free_adapters(*adapters, n);
    *adapters = NULL;
    return st;
}

/* Binds the weights and adds the adapters. */
static capp_status bind_weights(capp_model *model, const capp_kernels *kernels, const capp_model_options *options,
                                capp_error *err) {
    const capp_lanes whole = capp_lanes_choose(model->precision, kernels, capp_cpu_features(), true),
                     other = capp_lanes_choose(model->precision, kernels, capp_cpu_features(), false);
    capp_adapter **adapters;
    uint64_t available = free_memory(), used = model->memory + ((uint64_t)256 << 20);
    capp_cache cache = {options->weights_memory, true};
    if (!options->weights_memory) cache = (capp_cache){available / 4, false};
    capp_status st = open_adapters(&adapters, options->lora, options->n_lora, err);
    if (st != CAPP_OK) return st;
    st = capp_weights_bind(&model->weights, &model->source, kernels, &whole.fast, &other.fast, adapters,
                           options->n_lora, cache, err);
    free_adapters(adapters, options->n_lora);
    if (st != CAPP_OK) return st;
    if ((st = capp_precision_check_weights(model->precision, model->weights, err)) != CAPP_OK) return st;
    used += model->weights->packed_bytes;
    capp_weights_keep(model->weights, available > used ? available - used : 0);
    return CAPP_OK;
}

/* ---- Opening -------------------------------------------------------------------------------------------------------
 */

static capp_status open_vocabulary(capp_model *model, capp_error *err) {
    if (model->source.gguf) return capp_vocab_open_gguf(&model->vocab, model->source.gguf, err);
    return capp_vocab_open_folder(&model->vocab, capp_source_path(&model->source), err);
}

/* Whether the caller wants to continue. */
static capp_status ask(const capp_model_options *options, size_t done, capp_error *err) {
    enum { STEPS = 2 };
    if (!options->progress || options->progress(options->progress_user, done, STEPS)) return CAPP_OK;
    return capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

/* The second lane, for close decisions. */
static capp_status open_exact(capp_model *model, const capp_kernels *kernels, capp_error *err) {
    capp_weights *w = model->weights;
    const capp_lanes l = capp_lanes_choose(model->precision, kernels, capp_cpu_features(), !w->n_floats_only);
    if (l.exact.floats && capp_lanes_pay(w)) return capp_weights_twin(&model->exact, w, &l.exact, err);
    if (l.exact.floats) w->share = l.exact.share; /* the only difference of two lanes of integers */
    if (model->precision == CAPP_PRECISION_AUTO)
        model->precision = w->integers ? CAPP_PRECISION_I16 : CAPP_PRECISION_F32;
    return CAPP_OK;
}

static capp_status open_weights(capp_model *model, const capp_model_options *options, capp_error *err) {
    const capp_kernels *kernels;
    capp_vocab_info vocab;
    capp_status st;
    if ((st = choose_kernels(&kernels, options->isa, err)) != CAPP_OK) return st;
    if ((st = capp_precision_check(model->precision, kernels, err)) != CAPP_OK) return st;
    if ((st = ask(options, 0, err)) != CAPP_OK) return st;
    if ((st = bind_weights(model, kernels, options, err)) != CAPP_OK) return st;
    capp_weights_ahead(model->weights, 0, 1); /* the disk reads while this reads the tokenizer */
    if ((st = ask(options, 1, err)) != CAPP_OK) return st;
    if ((st = open_vocabulary(model, err)) != CAPP_OK) return st;
    if ((st = capp_source_check(&model->source, err)) != CAPP_OK) return st;
    if ((st = open_exact(model, kernels, err)) != CAPP_OK) return st;
    if ((st = ask(options, 2, err)) != CAPP_OK) return st;
    capp_vocab_get_info(model->vocab, &vocab);
    const capp_hparams *h = &model->weights->hparams;
    if (vocab.n_tokens > h->vocabulary)
        return capp_fail(
            err, CAPP_EFORMAT,
            "%s: the tokenizer has %u tokens, but the embeddings have only %u; download or convert the model again",
            capp_source_path(&model->source), vocab.n_tokens, h->vocabulary);
    if (model->context > h->context)
        return capp_fail(err, CAPP_EINVAL, "%s: the context of %u tokens is too large; the model supports %u",
                         capp_source_path(&model->source), model->context, h->context);
    /* LongRoPE has factors for short contexts, which fit most texts, and others for a longer context, if the caller
     * asks for one. */
    if (!model->context) model->context = h->short_context ? h->short_context : h->context;
    capp_weights_set_context(model->weights, model->context);
    return CAPP_OK;
}

static bool ends_with(const char *path, const char *end) {
    size_t n = strlen(path), size = strlen(end);
    return n > size && !strcmp(path + n - size, end);
}

/* Opens only the tokenizer, from a tokenizer.json or tokenizer.model, or a folder that has one. The folder does not
 * need a model. */
static bool is_tokenizer(const char *path, const capp_model_options *options) {
    return ends_with(path, ".json") || ends_with(path, ".model") || (options->vocab_only && capp_is_folder(path));
}

static capp_status open_tokenizer(capp_model *model, const char *path, const capp_model_options *options,
                                  capp_error *err) {
    if (!options->vocab_only)
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: the file contains only a tokenizer; use the folder of the model",
                         path);
    model->architecture = copy_string((capp_str){"", 0});
    model->name = copy_string((capp_str){"", 0});
    if (!model->architecture || !model->name) return capp_fail_memory(err, "the model");
    return capp_vocab_open_folder(&model->vocab, path, err);
}

capp_status capp_model_open(capp_model **out, const char *path, const capp_model_options *options, capp_error *err) {
    static const capp_model_options defaults;
    capp_status st;
    *out = NULL;
    if (!options) options = &defaults;
    if (options->threads < 0)
        return capp_fail(err, CAPP_EINVAL, "cannot use %d threads; use 1 or more", options->threads);
    double start = capp_seconds();
    unsigned arithmetic = capp_enter_arithmetic();
    capp_model *model = capp_new0(1, sizeof *model);
    if (!model) {
        st = capp_fail_memory(err, "the model");
        goto done;
    }
    model->threads = options->threads ? options->threads : capp_processors();
    model->memory = options->memory ? options->memory : default_memory();
    model->context = options->context;
    model->precision = options->precision;
    if (!(model->path = copy_string(capp_str_of(path)))) {
        st = capp_fail_memory(err, "the model");
        goto done;
    }
    if ((st = name_adapters(model, options->lora, options->vocab_only ? 0 : options->n_lora, err)) != CAPP_OK)
        goto done;
    if (is_tokenizer(path, options)) {
        st = open_tokenizer(model, path, options, err);
        model->load_seconds = capp_seconds() - start;
        goto done;
    }
    if ((st = capp_source_open(&model->source, path, err)) != CAPP_OK) goto done;
    if (capp_is_adapter(&model->source)) {
        st = capp_fail(err, CAPP_EINVAL,
                       "%s: this is a LoRA adapter, not a model; open the model that it was trained for and add the "
                       "adapter with --lora",
                       path);
        goto done;
    }
    if ((st = set_names(model, err)) != CAPP_OK) goto done;
    st = options->vocab_only ? open_vocabulary(model, err) : open_weights(model, options, err);
    if (st != CAPP_OK) goto done;
    model->load_seconds = capp_seconds() - start;
done:
    capp_leave_arithmetic(arithmetic);
    if (st == CAPP_OK)
        *out = model;
    else
        capp_model_free(model);
    return st;
}
