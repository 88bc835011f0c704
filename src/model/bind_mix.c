/* Binds the tensors of layers that have a state from token to token. */
#include "base/math.h"
#include "model/binder.h"

/* Reads the taps, which files store by channel; those of q, k and v may be apart. */
static capp_status bind_taps(binder *b, uint32_t i, capp_layer *layer) {
    static const capp_part apart[] = {CAPP_PART_MIX_TAPS_Q, CAPP_PART_MIX_TAPS_K, CAPP_PART_MIX_TAPS_V};
    const capp_hparams *h = &b->w->hparams;
    size_t channels = capp_mix_channels(h), taps = h->mix.taps, parts = h->mix.kind == CAPP_MIX_KIMI ? 3 : 1;
    float *stored = capp_bind_new_floats(b, channels * taps), *out = capp_bind_new_floats(b, channels * taps);
    capp_status st = CAPP_OK;
    if (!stored || !out) return capp_bind_memory(b);
    for (size_t x = 0, n = channels / parts * taps; x < parts && st == CAPP_OK; x++)
        st = capp_bind_read(b, (place){parts > 1 ? apart[x] : CAPP_PART_MIX_TAPS, i, 0}, ".weight", n, stored + x * n);
    for (size_t c = 0; c < channels && st == CAPP_OK; c++)
        for (size_t j = 0; j < taps; j++) out[j * channels + c] = stored[c * taps + j];
    layer->mix_taps = out;
    return st;
}

/* Folders store the logarithm of the factor, which is negative. */
static capp_status bind_decay(binder *b, uint32_t i, capp_layer *layer) {
    const capp_mix *m = &b->w->hparams.mix;
    size_t heads = m->heads, steps = m->kind == CAPP_MIX_KIMI ? heads * m->values : heads;
    float *decay = capp_bind_new_floats(b, heads);
    if (!decay) return capp_bind_memory(b);
    capp_status st = capp_bind_read(b, (place){CAPP_PART_MIX_DECAY, i, 0}, "", heads, decay);
    for (size_t j = 0; j < heads && st == CAPP_OK && capp_in_folder(b); j++)
        decay[j] = (float)-capp_exp((double)decay[j]);
    layer->mix_decay = decay;
    return st == CAPP_OK ? capp_bind_floats(b, (place){CAPP_PART_MIX_STEP, i, 0}, capp_in_folder(b) ? "" : ".bias",
                                            steps, &layer->mix_step)
                         : st;
}

static bool has_part(const binder *b, capp_part part, uint32_t i) {
    char name[MOST_NAME];
    return capp_place_find(b->s, b->w->arch, (place){part, i, 0}, ".weight", name);
}

static capp_status bind_delta(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    size_t channels = capp_mix_channels(h), outputs = capp_mix_outputs(h), heads = h->mix.heads;
    const capp_piece split[] = {{{CAPP_PART_QKV, i, 0}, channels}, {{CAPP_PART_MIX_GATE, i, 0}, outputs}};
    const capp_piece fused = {{CAPP_PART_MIX_IN, i, 0}, channels + outputs};
    const capp_piece beta_alpha[] = {{{CAPP_PART_MIX_BETA, i, 0}, heads}, {{CAPP_PART_MIX_ALPHA, i, 0}, heads}};
    const capp_piece rates = {{CAPP_PART_MIX_RATES, i, 0}, 2 * heads};
    capp_status st = has_part(b, CAPP_PART_MIX_IN, i)
                         ? capp_bind_matrix(b, &fused, 1, 1, h->width, false, &layer->mix_in)
                         : capp_bind_matrix(b, split, 2, 1, h->width, false, &layer->mix_in);
    if (st != CAPP_OK) return st;
    st = has_part(b, CAPP_PART_MIX_RATES, i)
             ? capp_bind_matrix(b, &rates, 1, 1, h->width, false, &layer->mix_rates)
             : capp_bind_matrix(b, beta_alpha, 2, 1, h->width, false, &layer->mix_rates);
    if (st != CAPP_OK || (st = bind_decay(b, i, layer)) != CAPP_OK) return st;
    return capp_bind_floats(b, (place){CAPP_PART_MIX_NORM, i, 0}, ".weight", h->mix.values, &layer->mix_norm);
}

static capp_status bind_scan(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    size_t heads = h->mix.heads, channels = capp_mix_channels(h);
    const capp_piece in = {{CAPP_PART_MIX_IN, i, 0}, capp_mix_rows_in(h)};
    const place skip = {CAPP_PART_MIX_SKIP, i, 0}, norm = {CAPP_PART_MIX_NORM, i, 0}, taps = {CAPP_PART_MIX_TAPS, i, 0};
    bool bare = b->w->arch->mixes_beside && !has_part(b, CAPP_PART_MIX_NORM, i);
    char name[MOST_NAME];
    capp_status st = capp_bind_matrix(b, &in, 1, 1, h->width, false, &layer->mix_in);
    if (st != CAPP_OK || (st = bind_decay(b, i, layer)) != CAPP_OK) return st;
    if ((st = capp_bind_floats(b, skip, "", heads, &layer->mix_skip)) != CAPP_OK) return st;
    if (capp_place_find(b->s, b->w->arch, taps, ".bias", name) &&
        (st = capp_bind_floats(b, taps, ".bias", channels, &layer->mix_taps_bias)) != CAPP_OK)
        return st;
    return bare ? CAPP_OK : capp_bind_floats(b, norm, ".weight", capp_mix_outputs(h), &layer->mix_norm);
}

/* The factors of Mamba-1's decays, which files store by value; transposed. */
static capp_status bind_rates(binder *b, uint32_t i, capp_layer *layer) {
    size_t keys = b->w->hparams.mix.keys, values = b->w->hparams.mix.values;
    float *stored = capp_bind_new_floats(b, keys * values), *out = capp_bind_new_floats(b, keys * values);
    if (!stored || !out) return capp_bind_memory(b);
    capp_status st = capp_bind_read(b, (place){CAPP_PART_MIX_DECAY, i, 0}, "", keys * values, stored);
    for (size_t v = 0; v < values && st == CAPP_OK; v++)
        for (size_t k = 0; k < keys; k++) {
            float rate = stored[v * keys + k];
            out[k * values + v] = capp_in_folder(b) ? (float)-capp_exp((double)rate) : rate;
        }
    layer->mix_decay = out;
    return st;
}

static capp_status bind_select(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const capp_mix *m = &h->mix;
    bool by_head = m->kind == CAPP_MIX_PLAMO; /* steps, decays and skips are those of heads, not of values */
    size_t n_steps = by_head ? m->heads : m->values, inputs = capp_mix_outputs(h);
    const place skip = {CAPP_PART_MIX_SKIP, i, 0}, taps = {CAPP_PART_MIX_TAPS, i, 0};
    const capp_piece in = {{CAPP_PART_MIX_IN, i, 0}, capp_mix_rows_in(h)},
                     steps = {{CAPP_PART_MIX_STEP, i, 0}, n_steps};
    const capp_piece select = {{CAPP_PART_MIX_SELECT, i, 0}, m->rank + 2 * (size_t)m->keys};
    const capp_part norms[] = {CAPP_PART_MIX_STEP_NORM, CAPP_PART_MIX_B_NORM, CAPP_PART_MIX_C_NORM};
    char name[MOST_NAME];
    capp_status st = capp_bind_matrix(b, &in, 1, 1, h->width, false, &layer->mix_in);
    if (st != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &select, 1, 1, inputs, false, &layer->mix_inner[0])) != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &steps, 1, 1, m->rank, !by_head, &layer->mix_inner[1])) != CAPP_OK) return st;
    if ((st = by_head ? bind_decay(b, i, layer) : bind_rates(b, i, layer)) != CAPP_OK) return st;
    if ((st = capp_bind_floats(b, skip, "", n_steps, &layer->mix_skip)) != CAPP_OK) return st;
    if (capp_place_find(b->s, b->w->arch, taps, ".bias", name) &&
        (st = capp_bind_floats(b, taps, ".bias", capp_mix_channels(h), &layer->mix_taps_bias)) != CAPP_OK)
        return st;
    for (size_t j = 0; j < 3; j++) {
        size_t n = j ? m->keys : m->rank;
        if (b->w->arch->names[norms[j]])
            st = capp_bind_norm(b, (place){norms[j], i, 0}, 1, n, false, &layer->mix_norms[j]);
        else if (m->bare_norms)
            st = capp_bind_ones(b, n, &layer->mix_norms[j]);
        if (st != CAPP_OK) return st;
    }
    return CAPP_OK;
}

static capp_status bind_kimi(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    size_t outputs = capp_mix_outputs(h), values = h->mix.values;
    const capp_piece in[] = {{{CAPP_PART_Q, i, 0}, outputs},      {{CAPP_PART_K, i, 0}, outputs},
                             {{CAPP_PART_V, i, 0}, outputs},      {{CAPP_PART_MIX_F_A, i, 0}, values},
                             {{CAPP_PART_MIX_G_A, i, 0}, values}, {{CAPP_PART_MIX_BETA, i, 0}, h->mix.heads}};
    const capp_piece decays = {{CAPP_PART_MIX_F_B, i, 0}, outputs}, gates = {{CAPP_PART_MIX_G_B, i, 0}, outputs};
    capp_status st;
    if ((st = capp_bind_matrix(b, in, 6, 1, h->width, false, &layer->mix_in)) != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &decays, 1, 1, values, false, &layer->mix_inner[0])) != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &gates, 1, 1, values, false, &layer->mix_inner[1])) != CAPP_OK) return st;
    if ((st = bind_decay(b, i, layer)) != CAPP_OK) return st;
    return capp_bind_floats(b, (place){CAPP_PART_MIX_NORM, i, 0}, ".weight", values, &layer->mix_norm);
}

/* Binds WKV's products of low rank. Files have those of the value in the first layer, too, which has no use for them.
 */
static capp_status bind_low_ranks(binder *b, uint32_t i, capp_layer *layer) {
    static const capp_part parts[CAPP_WKV_LOW_RANKS][3] = {
        [CAPP_WKV_DECAY] = {CAPP_PART_WKV_W1, CAPP_PART_WKV_W2, CAPP_PART_WKV_W0},
        [CAPP_WKV_RATE] = {CAPP_PART_WKV_A1, CAPP_PART_WKV_A2, CAPP_PART_WKV_A0},
        [CAPP_WKV_VALUE] = {CAPP_PART_WKV_V1, CAPP_PART_WKV_V2, CAPP_PART_WKV_V0},
        [CAPP_WKV_GATE] = {CAPP_PART_WKV_G1, CAPP_PART_WKV_G2}};
    const capp_hparams *h = &b->w->hparams;
    capp_status st;
    for (size_t j = 0; j < CAPP_WKV_LOW_RANKS; j++) {
        size_t rank = h->mix.ranks[j];
        const place bias = {parts[j][2], i, 0};
        const capp_piece first = {{parts[j][0], i, 0}, rank}, second = {{parts[j][1], i, 0}, h->width};
        capp_matrix *pair = &layer->mix_inner[capp_wkv_pair(j)];
        if (j == CAPP_WKV_VALUE && !i) {
            for (size_t x = 0; x < 3; x++) capp_bind_ignore(b, (place){parts[j][x], i, 0}, ".weight");
            continue;
        }
        if (!rank) continue;
        if ((st = capp_bind_matrix(b, &first, 1, 1, h->width, false, &pair[0])) != CAPP_OK) return st;
        if ((st = capp_bind_matrix(b, &second, 1, 1, rank, false, &pair[1])) != CAPP_OK) return st;
        if (j == CAPP_WKV_GATE) continue;
        if ((st = capp_bind_floats(b, bias, ".weight", h->width, &layer->wkv.bias[j])) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

static capp_status bind_wkv(binder *b, uint32_t i, capp_layer *layer) {
    const capp_mix *m = &b->w->hparams.mix;
    const size_t n = b->w->hparams.width, shifts = m->ranks[CAPP_WKV_GATE] ? 6 : 5;
    const capp_piece rows[] = {{{CAPP_PART_Q, i, 0}, n}, {{CAPP_PART_K, i, 0}, n}, {{CAPP_PART_V, i, 0}, n}};
    capp_matrix *const wide[] = {&layer->mix_in, &layer->mix_inner[CAPP_WKV_K], &layer->mix_inner[CAPP_WKV_V]};
    capp_wkv *wkv = &layer->wkv;
    bool norm = has_part(b, CAPP_PART_MIX_NORM, i);
    const struct {
        place place;
        const char *suffix;
        size_t n;
        const float **out;
    } numbers[] = {{{CAPP_PART_WKV_SHIFT, i, 0}, ".weight", shifts * n, &wkv->shift},
                   {{CAPP_PART_WKV_REMOVAL, i, 0}, ".weight", n, &wkv->removal},
                   {{CAPP_PART_WKV_RENEWAL, i, 0}, ".weight", n, &wkv->renewal},
                   {{CAPP_PART_WKV_BONUS, i, 0}, ".weight", n, &wkv->bonus},
                   {{CAPP_PART_MIX_NORM, i, 0}, ".weight", norm ? n : 0, &wkv->norm.weight},
                   {{CAPP_PART_MIX_NORM, i, 0}, ".bias", norm ? n : 0, &wkv->norm.bias},
                   {{CAPP_PART_FEED_SHIFT, i, 0}, ".weight", m->feed_shift ? n : 0, &wkv->feed_shift}};
    capp_status st = CAPP_OK;
    for (size_t j = 0; j < 3 && st == CAPP_OK; j++) st = capp_bind_matrix(b, &rows[j], 1, 1, n, false, wide[j]);
    for (size_t j = 0; j < sizeof numbers / sizeof *numbers && st == CAPP_OK; j++)
        if (numbers[j].n) st = capp_bind_floats(b, numbers[j].place, numbers[j].suffix, numbers[j].n, numbers[j].out);
    return st == CAPP_OK ? bind_low_ranks(b, i, layer) : st;
}

static capp_status bind_short(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const capp_piece in = {{CAPP_PART_MIX_IN, i, 0}, capp_mix_inputs(h)};
    return capp_bind_matrix(b, &in, 1, 1, h->width, false, &layer->mix_in);
}

capp_status capp_bind_mix(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const capp_piece out = {{CAPP_PART_MIX_OUT, i, 0}, h->width};
    capp_status st;
    switch (h->mix.kind) {
    case CAPP_MIX_SHORT: st = bind_short(b, i, layer); break;
    case CAPP_MIX_DELTA: st = bind_delta(b, i, layer); break;
    case CAPP_MIX_SELECT:
    case CAPP_MIX_PLAMO: st = bind_select(b, i, layer); break;
    case CAPP_MIX_KIMI: st = bind_kimi(b, i, layer); break;
    case CAPP_MIX_WKV: st = bind_wkv(b, i, layer); break;
    default: st = bind_scan(b, i, layer); break;
    }
    if (st != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &out, 1, 1, capp_mix_outputs(h), false, &layer->mix_out)) != CAPP_OK) return st;
    return h->mix.kind == CAPP_MIX_WKV ? CAPP_OK : bind_taps(b, i, layer);
}
