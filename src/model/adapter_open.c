/* Collects the tensors of an adapter into pairs by module. */
#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { MOST_TENSOR_NAME = 1024 };

/* The suffixes of the names of a pair. */
typedef struct ending {
    const char *a, *b;
    bool table, gguf;
} ending;

static const ending endings[] = {
    {".lora_A.weight", ".lora_B.weight", false, false},
    {".lora_embedding_A", ".lora_embedding_B", true, false},
    {".weight.lora_a", ".weight.lora_b", false, true},
};
enum { N_ENDINGS = sizeof endings / sizeof *endings };

static const char peft_prefix[] = "base_model.model.", copy_ending[] = ".weight";

static bool ends(capp_str s, const char *with) {
    size_t n = strlen(with);
    return s.size > n && !memcmp(s.data + s.size - n, with, n);
}

static bool contains(capp_str s, const char *part) {
    size_t n = strlen(part);
    for (size_t i = 0; i + n <= s.size; i++)
        if (!memcmp(s.data + i, part, n)) return true;
    return false;
}

static int shown(capp_str name) {
    return name.size < 200 ? (int)name.size : 200;
}

/* ---- Pairs ---------------------------------------------------------------------------------------------------------
 */

/* Fails for a tensor that cannot be part of a pair. */
static capp_status fail_whole(const capp_adapter *a, capp_str name, capp_error *err) {
    const char *what = "was fully trained (modules_to_save, a bias or new tokens)";
    if (contains(name, ".lora_")) what = "is not part of a LoRA pair";
    if (contains(name, "norm")) what = "is a trained norm";
    if (contains(name, "lora_magnitude_vector")) what = "belongs to DoRA";
    if (contains(name, "trainable_tokens")) what = "belongs to trained tokens (trainable_token_indices)";
    if (ends(name, ".lora_B.bias")) what = "is a bias of LoRA (lora_bias)";
    return capp_fail(err, CAPP_EUNSUPPORTED,
                     "%s: tensor %.*s %s; capp supports only LoRA pairs: merge the adapter into its model (PEFT's "
                     "merge_and_unload) and open the result",
                     capp_source_path(&a->source), shown(name), name.data, what);
}

/* The tensor that has the name of t but another suffix, or NULL. Writes that name to name [MOST_TENSOR_NAME]. */
static const capp_tensor *other_of(const capp_adapter *a, const capp_tensor *t, const char *own, const char *other,
                                   char *name) {
    size_t n = t->name.size - strlen(own);
    snprintf(name, MOST_TENSOR_NAME, "%.*s%s", (int)n, t->name.data, other);
    return capp_source_find_tensor(&a->source, name);
}

/* Appends a pair or a copy. Its name is the name of t without the suffix. */
static void add_pair(capp_adapter *a, const capp_tensor *t, const capp_tensor *b, size_t cut, bool table, char **text) {
    capp_pair *pair = &a->pairs[a->n_pairs++];
    capp_str name = {t->name.data, t->name.size - cut};
    size_t prefix = sizeof peft_prefix - 1;
    if (!a->source.gguf && name.size > prefix && !memcmp(name.data, peft_prefix, prefix))
        name = (capp_str){name.data + prefix, name.size - prefix};
    memcpy(*text, name.data, name.size);
    (*text)[name.size] = 0;
    *pair = (capp_pair){.name = {*text, name.size}, .a = t, .b = b, .table = table, .copy = !b};
    *text += name.size + 1;
}

static capp_status read_tensor(capp_adapter *a, const capp_tensor *t, char **text, capp_error *err) {
    char other[MOST_TENSOR_NAME];
    if (t->name.size + 32 > sizeof other)
        return capp_fail(err, CAPP_EFORMAT, "%s: a tensor has a name of %zu bytes, which is too long",
                         capp_source_path(&a->source), t->name.size);
    for (size_t i = 0; i < N_ENDINGS; i++) {
        const ending *e = &endings[i];
        bool is_a = ends(t->name, e->a), is_b = ends(t->name, e->b);
        if (e->gguf != (a->source.gguf != NULL) || (!is_a && !is_b)) continue;
        const capp_tensor *pair = other_of(a, t, is_a ? e->a : e->b, is_a ? e->b : e->a, other);
        if (!pair)
            return capp_fail(
                err, CAPP_EFORMAT,
                "%s: tensor %.*s has no counterpart %.200s: the adapter is incomplete; download or save it again",
                capp_source_path(&a->source), shown(t->name), t->name.data, other);
        if (is_a) add_pair(a, t, pair, strlen(e->a), e->table, text);
        return CAPP_OK;
    }
    if (a->source.gguf || !ends(t->name, ".base_layer.weight")) return fail_whole(a, t->name, err);
    add_pair(a, t, NULL, strlen(copy_ending), false, text);
    return CAPP_OK;
}

static capp_status check_types(const capp_adapter *a, const capp_pair *pair, capp_error *err) {
    const capp_tensor *tensors[] = {pair->a, pair->b};
    for (size_t i = 0; i < 2; i++)
        if (tensors[i] && !capp_dequant(tensors[i]->type))
            return capp_fail(err, CAPP_EUNSUPPORTED, "%s: tensor %.*s has type %s, which capp does not support",
                             capp_source_path(&a->source), shown(tensors[i]->name), tensors[i]->name.data,
                             capp_type_get(tensors[i]->type).name);
    return CAPP_OK;
}

static capp_status read_pairs(capp_adapter *a, capp_error *err) {
    size_t n = capp_source_n_tensors(&a->source), bytes = 1;
    int64_t duplicate;
    capp_status st;
    for (size_t i = 0; i < n; i++) bytes += capp_source_tensor_at(&a->source, i)->name.size + 1;
    a->pairs = capp_new(n, sizeof *a->pairs);
    a->text = capp_new(bytes, 1);
    if (!a->pairs || !a->text) return capp_fail_memory(err, "an adapter");
    char *text = a->text;
    for (size_t i = 0; i < n; i++) {
        if ((st = read_tensor(a, capp_source_tensor_at(&a->source, i), &text, err)) != CAPP_OK) return st;
    }
    for (size_t i = 0; i < a->n_pairs; i++)
        if ((st = check_types(a, &a->pairs[i], err)) != CAPP_OK) return st;
    if (!a->n_pairs)
        return capp_fail(err, CAPP_EFORMAT, "%s: the adapter has no tensors; download or save it again",
                         capp_source_path(&a->source));
    if (!capp_names_build(&a->names, a->pairs, sizeof *a->pairs, a->n_pairs, &duplicate))
        return capp_fail_memory(err, "an adapter");
    if (duplicate == CAPP_NO_NAME) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: module %.200s occurs twice; download or save the adapter again",
                     capp_source_path(&a->source), a->pairs[duplicate].name.data);
}

/* ---- Public --------------------------------------------------------------------------------------------------------
 */

capp_status capp_adapter_read(capp_adapter **out, capp_source *source, double weight, capp_error *err) {
    capp_status st;
    *out = NULL;
    capp_adapter *a = capp_new0(1, sizeof *a);
    if (!a) {
        capp_source_close(source);
        return capp_fail_memory(err, "an adapter");
    }
    a->source = *source;
    *source = (capp_source){NULL, NULL};
    a->weight = weight;
    st = a->source.gguf ? capp_adapter_metadata(a, err) : capp_adapter_config(a, err);
    if (st == CAPP_OK) st = read_pairs(a, err);
    if (st == CAPP_OK)
        *out = a;
    else
        capp_adapter_free(a);
    return st;
}

capp_status capp_adapter_open(capp_adapter **out, const char *path, double weight, capp_error *err) {
    capp_source source;
    *out = NULL;
    if (!path || !*path) return capp_fail(err, CAPP_EINVAL, "an adapter has no path; set the path of each capp_lora");
    if (!isfinite(weight))
        return capp_fail(err, CAPP_EINVAL,
                         "%s: the weight of an adapter must be a finite number; 1 applies it as trained", path);
    capp_status st = capp_source_open_adapter(&source, path, err);
    return st == CAPP_OK ? capp_adapter_read(out, &source, weight, err) : st;
}

void capp_adapter_free(capp_adapter *a) {
    if (!a) return;
    capp_patterns_free(a->ranks);
    capp_patterns_free(a->alphas);
    capp_names_free(&a->names);
    capp_free(a->pairs);
    capp_free(a->text);
    capp_source_close(&a->source);
    capp_free(a);
}
