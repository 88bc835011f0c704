/* What differs between the layers of a model, in config.json: sizes of heads, widths, and which layers share keys and
 * values (Gemma 3n and 4). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "model/fields.h"

/* The heads of layer i: global_head_dim and num_global_key_value_heads for all layers without a window or, as
 * transformers writes them now, per_layer_config. */
static capp_status read_heads(const capp_fields *r, uint32_t i, bool own_heads, capp_shape *shape) {
    char names[2][CAPP_MOST_KEY];
    uint32_t dims, heads;
    capp_status st;
    bool listed = capp_config_at(capp_folder_config(r->s->folder), "per_layer_config") != NULL;
    snprintf(names[0], CAPP_MOST_KEY, listed ? "per_layer_config.%u.head_dim" : "global_head_dim", i);
    snprintf(names[1], CAPP_MOST_KEY, listed ? "per_layer_config.%u.num_key_value_heads" : "num_global_key_value_heads",
             i);
    if ((st = capp_field_count(r, names[0], listed ? shape->key : 512, 4096, &dims)) != CAPP_OK) return st;
    shape->key = (uint16_t)dims;
    if (!own_heads) return CAPP_OK;
    if ((st = capp_field_count(r, names[1], shape->kv_heads, CAPP_MOST_HEADS, &heads)) != CAPP_OK) return st;
    shape->kv_heads = (uint16_t)heads;
    return CAPP_OK;
}

/* The last layers read the keys and values of the last layer of their kind before them. */
static capp_status share(const capp_fields *r, capp_hparams *h, uint32_t shared) {
    uint32_t own = h->layers - shared;
    for (uint32_t i = own; i < h->layers; i++) {
        uint32_t from = own;
        while (from > 0 && ((h->kinds[from - 1] ^ h->kinds[i]) & CAPP_LOCAL)) from--;
        if (!from)
            return capp_field_fail(r, CAPP_EFORMAT, "num_kv_shared_layers",
                                   "leaves no layer whose keys and values could be shared; download the model again");
        h->shapes[i].back = (uint16_t)(i - (from - 1));
    }
    return CAPP_OK;
}

static capp_status read_sharing(const capp_fields *r, capp_hparams *h, uint32_t *n) {
    double shared;
    bool found;
    capp_status st = capp_field_number(r, "num_kv_shared_layers", &shared, &found);
    if (st != CAPP_OK) return st;
    if (found && !(shared >= 0 && shared < h->layers && shared == floor(shared)))
        return capp_field_fail(r, CAPP_EFORMAT, "num_kv_shared_layers", "must be less than the number of layers");
    *n = found ? (uint32_t)shared : 0;
    return share(r, h, *n);
}

static capp_status read_local_heads(const capp_fields *r, capp_hparams *h) {
    bool equal, wide;
    uint32_t n = 0;
    capp_status st;
    if ((st = capp_field_truth(r, "attention_k_eq_v", false, &equal)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, "use_double_wide_mlp", false, &wide)) != CAPP_OK) return st;
    if ((st = read_sharing(r, h, &n)) != CAPP_OK) return st;
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_shape *shape = &h->shapes[i];
        shape->key = (uint16_t)h->head_dim, shape->kv_heads = (uint16_t)h->kv_heads;
        if (h->kinds[i] & CAPP_LOCAL) continue;
        shape->keys_as_values = equal;
        if ((st = read_heads(r, i, equal, shape)) != CAPP_OK) return st;
    }
    for (uint32_t i = h->layers - n; i < h->layers && wide; i++) h->shapes[i].feed = 2 * h->feed;
    return CAPP_OK;
}

/* The number that is greater than a share of all normally distributed numbers; 0 < share < 1. */
static double normal_quantile(double share) {
    double low = -6, high = 6;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        bool less = 0.5 * (1 + capp_pair_erf(capp_pair_of(middle * 0.70710678118654752))[0]) < share;
        *(less ? &low : &high) = middle;
    }
    return low;
}

/* The share of gates that are to become 0, for each layer; 0: the layer is not sparse. */
static capp_status read_sparsity(const capp_fields *r, capp_hparams *h) {
    static const char key[] = "activation_sparsity_pattern";
    bool listed = capp_source_count(r->s, key);
    double all = 0, share;
    if (!listed && capp_source_number(r->s, key, &all) == CAPP_MISFIT)
        return capp_field_fail(r, CAPP_EFORMAT, key, "must be a list of numbers");
    for (uint32_t i = 0; i < h->layers; i++) {
        share = capp_config_at(capp_folder_config(r->s->folder), key) ? all : i < 10 && h->layers > 10 ? 0.95 : 0;
        if (listed && capp_source_number_at(r->s, key, i, &share) != CAPP_FOUND) share = -1;
        if (!(share >= 0 && share < 1))
            return capp_field_fail(r, CAPP_EFORMAT, key, "must have a number from 0 to 1, less than 1, for each layer");
        h->shapes[i].sparse = share > 0;
        if (share > 0) h->shapes[i].cutoff = (float)normal_quantile((double)(float)share);
    }
    return CAPP_OK;
}

capp_status capp_config_widths(const capp_fields *r, capp_hparams *h) {
    static const char key[] = "intermediate_size";
    h->feed = 0;
    for (uint32_t i = 0; i < h->layers; i++) {
        double width;
        if (capp_source_count(r->s, key) != h->layers || capp_source_number_at(r->s, key, i, &width) != CAPP_FOUND ||
            !(width >= 1 && width <= CAPP_MOST_WIDTH && width == floor(width)))
            return capp_field_fail(r, CAPP_EFORMAT, key, "must be a positive integer, or one for each layer");
        h->shapes[i].feed = (uint32_t)width;
        if (h->shapes[i].feed > h->feed) h->feed = h->shapes[i].feed;
    }
    return CAPP_OK;
}

static capp_status read_streams(const capp_fields *r, capp_hparams *h) {
    uint32_t shared;
    capp_status st;
    if ((st = read_sharing(r, h, &shared)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "altup_num_inputs", 0, CAPP_MOST_STREAMS, &h->streams)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "laurel_rank", 0, CAPP_MOST_WIDTH, &h->laurel)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "hidden_size_per_layer_input", 0, CAPP_MOST_WIDTH, &h->side)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, "altup_correct_scale", true, &h->altup_scale)) != CAPP_OK) return st;
    if (h->streams < 2) return capp_field_fail(r, CAPP_EUNSUPPORTED, "altup_num_inputs", "must be greater than 1");
    return read_sparsity(r, h);
}

/* Latent attention. In YaRN, mscale_all_dim changes the scale of scores. */
static capp_status read_latent(const capp_fields *r, capp_hparams *h) {
    enum { MOST = 4096 };
    const char *path =
        capp_config_at(capp_folder_config(r->s->folder), "rope_scaling") ? "rope_scaling" : "rope_parameters";
    char key[CAPP_MOST_KEY];
    double rank, all;
    bool found;
    capp_status st;
    if ((st = capp_field_count(r, "kv_lora_rank", 0, MOST, &h->latent)) != CAPP_OK) return st;
    if ((st = capp_field_number(r, "q_lora_rank", &rank, &found)) != CAPP_OK) return st;
    if (found && (st = capp_field_count(r, "q_lora_rank", 0, MOST, &h->q_latent)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "qk_rope_head_dim", 0, MOST, &h->rope_dims)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "qk_nope_head_dim", 0, MOST, &h->still)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "v_head_dim", r->arch->experts ? 0 : h->width / h->heads, MOST, &h->latent_value)) !=
        CAPP_OK)
        return st;
    h->score_scale = (float)(1 / sqrt((double)h->still + h->rope_dims));
    snprintf(key, sizeof key, "%s.mscale_all_dim", path);
    if ((st = capp_field_number(r, key, &all, &found)) != CAPP_OK) return st;
    if (found && h->ropes[0].scaling != CAPP_SCALING_NONE && h->ropes[0].factor > 1) {
        double m = 1 + 0.1 * all * capp_log(h->ropes[0].factor);
        h->score_scale *= (float)(m * m);
    }
    capp_latent_shapes(h);
    return CAPP_OK;
}

capp_status capp_config_layers(const capp_fields *r, capp_hparams *h) {
    double side;
    bool found;
    capp_status st;
    if (r->arch->latent) return read_latent(r, h);
    if (r->arch->streams) return read_streams(r, h);
    if (!r->arch->local_heads) return CAPP_OK;
    if ((st = read_local_heads(r, h)) != CAPP_OK) return st;
    if ((st = capp_field_number(r, "hidden_size_per_layer_input", &side, &found)) != CAPP_OK) return st;
    if (r->arch->side && found && side != 0 &&
        (st = capp_field_count(r, "hidden_size_per_layer_input", 0, CAPP_MOST_WIDTH, &h->side)) != CAPP_OK)
        return st;
    h->layer_scale = r->arch->layer_scale;
    /* Rotations of layers with and without a window have as many dimensions as their heads. */
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_rope *rope = &h->ropes[h->kinds[i] & CAPP_LOCAL ? 1 : 0];
        rope->dims = h->shapes[i].key;
        if (rope->scaling == CAPP_SCALING_PROPORTIONAL) rope->moving = (uint32_t)(rope->share * rope->dims / 2);
    }
    return CAPP_OK;
}
