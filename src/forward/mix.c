/* The parts of layers that have a state from token to token: short convolutions, gated DeltaNet, Mamba. A task takes
 * a few channels of the convolution, or a few columns of the state of one head, and goes through the rows of the wave
 * in the order of the plan. A row takes over its parent's piece of the state, in place or as a copy, and leaves its
 * own. So every number is computed token by token along its path, whatever the waves and threads are. */
#include <math.h>

#include "base/math.h"
#include "forward/mixing.h"
#include "kernel/plain.h"

enum { CHANNELS = 64 };

/* ---- Convolutions --------------------------------------------------------------------------------------------------
 */

/* out [n] = the taps of channels first .. first + n - 1, applied to the inputs in tail [taps - 1][n] and to x [n],
 * which becomes the last of them. */
static void convolve(const mixing *m, float *out, float *tail, const float *x, size_t first, size_t n) {
    size_t before = m->mix->taps - 1;
    const float *taps = m->layer->mix_taps + first, *bias = m->layer->mix_taps_bias;
    for (size_t c = 0; c < n; c++) out[c] = bias ? bias[first + c] : 0;
    for (size_t j = 0; j < before; j++)
        for (size_t c = 0; c < n; c++) out[c] += taps[j * m->channels + c] * tail[j * n + c];
    for (size_t c = 0; c < n; c++) out[c] += taps[before * m->channels + c] * x[c];
    if (!before) return;
    memmove(tail, tail + n, (before - 1) * n * sizeof *tail);
    memcpy(tail + (before - 1) * n, x, n * sizeof *tail);
}

static void convolution_task(void *user, size_t task, int worker) {
    const mixing *m = user;
    size_t first = task * CHANNELS, n = m->channels - first < CHANNELS ? m->channels - first : CHANNELS;
    size_t before = m->mix->taps - 1;
    float sums[CHANNELS], x[CHANNELS], ones[CHANNELS];
    (void)worker;
    for (size_t c = 0; c < n; c++) ones[c] = 1;
    for (size_t r = 0; r < m->f->n; r++) {
        float *tail = enter(m, r, first * before, n * before), *row = row_of(m, r) + m->inputs + first;
        if (m->mix->kind == CAPP_MIX_SHORT) {
            const float *gate = row + m->channels, *input = gate + m->channels;
            for (size_t c = 0; c < n; c++) x[c] = row[c] * input[c];
            convolve(m, sums, tail, x, first, n);
            for (size_t c = 0; c < n; c++) row[c] = gate[c] * sums[c];
        } else {
            convolve(m, sums, tail, row, first, n);
            m->f->weights->kernels->silu_mul(row, sums, ones, n);
        }
    }
}

/* ---- Matrix states --------------------------------------------------------------------------------------------------
 */

static double softplus(double x) {
    return x > 0 ? x + capp_log1p(capp_exp(-x)) : capp_log1p(capp_exp(x));
}

/* x [n] divided by its length, times scale. */
static void normalize(const capp_kernels *kernels, float *x, const float *weights, float scale, size_t n) {
    static const float EPS = 1e-6f; /* added to the square of the length */
    kernels->rms_norm(x, x, weights, n, EPS / (float)n);
    if (scale != 1) kernels->scale(x, scale, n);
}

/* q and k become unit vectors, q divided by the root of its length, too. */
static void unit_vectors(const mixing *m, float *row) {
    const capp_mix *mix = m->mix;
    float weights[MOST_KEYS], root = 1 / sqrtf((float)mix->keys);
    for (size_t i = 0; i < mix->keys; i++) weights[i] = root;
    for (size_t i = 0; i < 2 * (size_t)mix->groups; i++)
        normalize(m->f->weights->kernels, row + i * mix->keys, weights, i < mix->groups ? root : 1, mix->keys);
}

/* beta and alpha become what the row writes of its value, and what it keeps of the state. */
static void prepare_delta(const mixing *m, size_t r) {
    const capp_mix *mix = m->mix;
    float *row = row_of(m, r), *beta = row + m->channels + (size_t)mix->heads * mix->values, *alpha = beta + mix->heads;
    unit_vectors(m, row);
    for (size_t i = 0; i < mix->heads; i++) {
        double rate = (double)m->layer->mix_decay[i] * softplus((double)alpha[i] + (double)m->layer->mix_step[i]);
        beta[i] = capp_sigmoid(beta[i]);
        alpha[i] = (float)capp_exp(rate);
    }
}

/* q and k as in DeltaNet; beta and the decays, one for each key of a head, likewise. */
static void prepare_kimi(const mixing *m, size_t r) {
    const capp_mix *mix = m->mix;
    const capp_layer *layer = m->layer;
    size_t outputs = (size_t)mix->heads * mix->values;
    float *row = row_of(m, r), *beta = row + 3 * outputs + 2 * mix->values, *decay = row + layer->mix_in.n;
    unit_vectors(m, row);
    for (size_t i = 0; i < mix->heads; i++) beta[i] = capp_sigmoid(beta[i]);
    for (size_t i = 0; i < outputs; i++) {
        double step = softplus((double)decay[i] + (double)layer->mix_step[i]);
        decay[i] = (float)capp_exp((double)layer->mix_decay[i / mix->keys] * step);
    }
}

/* The step of a head is followed by what the row keeps of its state. */
static void prepare_scan(const mixing *m, size_t r) {
    const capp_mix *mix = m->mix;
    float *step = row_of(m, r) + m->steps, *kept = step + mix->heads;
    for (size_t i = 0; i < mix->heads; i++) {
        step[i] = (float)softplus((double)step[i] + (double)m->layer->mix_step[i]);
        kept[i] = (float)capp_exp((double)step[i] * (double)m->layer->mix_decay[i]);
    }
}

/* The steps of Mamba-1, which are the last inputs of a row. */
static void prepare_select(const mixing *m, size_t r) {
    float *steps = row_of(m, r) + m->steps;
    for (size_t i = 0; i < m->mix->values; i++) steps[i] = (float)softplus((double)steps[i]);
}

/* Writes the inputs of mix_inner[m->inner] to rows of f->h. */
static void inner_task(void *user, size_t task, int worker) {
    const mixing *m = user;
    (void)worker;
    for (size_t r = task * MIX_ROWS; r < (task + 1) * MIX_ROWS && r < m->f->n; r++)
        capp_narrow_row(m->f, &m->layer->mix_inner[m->inner], m->f->h, r, row_of(m, r) + m->at);
}

/* Normalizes the latent step, b and c, and writes the step to rows of f->h, the inputs of mix_inner[1]. */
static void selected_task(void *user, size_t task, int worker) {
    const mixing *m = user;
    const capp_weights *w = m->f->weights;
    const size_t sizes[] = {m->mix->rank, m->mix->keys, m->mix->keys};
    float eps = m->mix->eps > 0 ? m->mix->eps : w->hparams.norm_eps;
    (void)worker;
    for (size_t r = task * MIX_ROWS; r < (task + 1) * MIX_ROWS && r < m->f->n; r++) {
        float *latent = row_of(m, r) + 2 * m->channels, *at = latent;
        for (size_t i = 0; i < 3; at += sizes[i++]) {
            const float *weight = m->layer->mix_norms[i].weight;
            if (weight) w->kernels->rms_norm(at, at, weight, sizes[i], eps);
        }
        capp_narrow_row(m->f, &m->layer->mix_inner[1], m->f->h, r, latent);
    }
}

/* Computes decays and gates of their latent vectors. */
static void kimi_inputs(capp_forward *f, mixing *m) {
    const capp_matrix *inner = m->layer->mix_inner;
    float *out = f->t + m->layer->mix_in.n;
    for (m->inner = 0, m->at = m->channels; m->inner < 2; m->at += inner[m->inner++].k, out += inner[0].n) {
        capp_pool_run(f->pool, inner_task, m, (f->n + MIX_ROWS - 1) / MIX_ROWS);
        capp_product(f, &inner[m->inner], f->h, f->h_stride, out, f->t_stride, f->n, false);
    }
}

/* Computes what Mamba-1 and PLaMo 2 take from the convolved inputs. */
static void select_inputs(capp_forward *f, mixing *m) {
    const capp_matrix *inner = m->layer->mix_inner;
    size_t tasks = (f->n + MIX_ROWS - 1) / MIX_ROWS;
    float *latent = f->t + 2 * m->channels;
    capp_pool_run(f->pool, inner_task, m, tasks);
    capp_product(f, &inner[0], f->h, f->h_stride, latent, f->t_stride, f->n, false);
    capp_pool_run(f->pool, selected_task, m, tasks);
    capp_product(f, &inner[1], f->h, f->h_stride, latent + inner[0].n, f->t_stride, f->n, false);
}

/* The gated delta rule: the state moves towards returning v for the key k; v becomes what it returns for q. */
static void delta_row(const mixing *m, float *row, size_t head, size_t group, float *s, size_t column, size_t n) {
    const capp_mix *mix = m->mix;
    const float *q = row + group * mix->keys, *k = q + (size_t)mix->groups * mix->keys;
    float *v = row + 2 * (size_t)mix->groups * mix->keys + head * mix->values + column, change[COLUMNS];
    const float *beta = row + m->channels + (size_t)mix->heads * mix->values + head;
    float kept = beta[mix->heads];
    read_state(m, change, s, k, n);
    for (size_t j = 0; j < n; j++) change[j] = *beta * (v[j] - kept * change[j]);
    m->f->weights->kernels->renew(v, q, s, n, &kept, 0, k, change, mix->keys, n);
}

/* The same rule, where each key decays at its own rate. */
static void kimi_row(const mixing *m, float *row, size_t head, size_t group, float *s, size_t column, size_t n) {
    const capp_mix *mix = m->mix;
    const capp_kernels *kernels = m->f->weights->kernels;
    size_t outputs = (size_t)mix->heads * mix->values, first = group * mix->keys;
    const float *q = row + first, *k = q + outputs, *beta = row + 3 * outputs + 2 * mix->values + head;
    const float *kept = row + m->layer->mix_in.n + first;
    float *v = row + 2 * outputs + head * mix->values + column, change[COLUMNS], faded[MOST_KEYS];
    for (size_t i = 0; i < mix->keys; i++) faded[i] = kept[i] * k[i];
    read_state(m, change, s, faded, n);
    for (size_t j = 0; j < n; j++) change[j] = *beta * (v[j] - change[j]);
    kernels->renew(v, q, s, n, kept, 1, k, change, mix->keys, n);
}

/* The state space of Mamba-2: x becomes its output. */
static void scan_row(const mixing *m, float *row, size_t head, size_t group, float *s, size_t column, size_t n) {
    const capp_mix *mix = m->mix;
    float *x = row + m->inputs + head * mix->values + column, input[COLUMNS] = {0}, read[COLUMNS];
    const float *b = row + m->b + group * mix->keys, *c = b + (size_t)mix->groups * mix->keys;
    const float *step = row + m->steps + head;
    for (size_t j = 0; j < n; j++) input[j] = *step * x[j];
    m->f->weights->kernels->renew(read, c, s, n, &step[mix->heads], 0, b, input, mix->keys, n);
    for (size_t j = 0; j < n; j++) x[j] = read[j] + m->layer->mix_skip[head] * x[j];
}

/* The state space of Mamba-1: x becomes its output. */
static void select_row(const mixing *m, float *row, size_t head, size_t group, float *s, size_t column, size_t n) {
    const capp_mix *mix = m->mix;
    float *x = row + column, input[COLUMNS] = {0}, read[COLUMNS];
    const float *b = row + m->b, *c = b + mix->keys, *step = row + m->steps + column;
    (void)head, (void)group;
    for (size_t j = 0; j < n; j++) input[j] = step[j] * x[j];
    m->f->weights->kernels->fade(read, c, s, n, step, m->layer->mix_decay + column, m->channels, b, input, mix->keys,
                                 n);
    for (size_t j = 0; j < n; j++) x[j] = read[j] + m->layer->mix_skip[column + j] * x[j];
}

/* How the kinds of matrix states turn the inputs of a row into what its heads need; and what they do with n columns of
 * a head's state s and of its values. */
static const struct {
    void (*prepare)(const mixing *m, size_t row);
    void (*row)(const mixing *m, float *row, size_t head, size_t group, float *s, size_t column, size_t n);
} ways[] = {[CAPP_MIX_DELTA] = {prepare_delta, delta_row},    [CAPP_MIX_SCAN] = {prepare_scan, scan_row},
            [CAPP_MIX_SELECT] = {prepare_select, select_row}, [CAPP_MIX_PLAMO] = {prepare_scan, scan_row},
            [CAPP_MIX_KIMI] = {prepare_kimi, kimi_row},       [CAPP_MIX_WKV] = {capp_wkv_prepare, capp_wkv_row}};

static void prepare_task(void *user, size_t task, int worker) {
    const mixing *m = user;
    (void)worker;
    for (size_t r = task * MIX_ROWS; r < (task + 1) * MIX_ROWS && r < m->f->n; r++) ways[m->mix->kind].prepare(m, r);
}

static size_t blocks_of(const capp_mix *mix) {
    return (mix->values + COLUMNS - 1) / COLUMNS;
}

static void state_task(void *user, size_t task, int worker) {
    const mixing *m = user;
    const capp_mix *mix = m->mix;
    size_t head = task / blocks_of(mix), column = task % blocks_of(mix) * COLUMNS;
    size_t n = mix->values - column < COLUMNS ? mix->values - column : COLUMNS;
    size_t group = mix->in_turn ? head % mix->groups : head / (mix->heads / mix->groups);
    size_t at = (mix->taps - 1) * m->channels + (head * mix->values + column) * mix->keys;
    (void)worker;
    for (size_t r = 0; r < m->f->n; r++) {
        float *s = enter(m, r, at, n * mix->keys);
        ways[mix->kind].row(m, row_of(m, r), head, group, s, column, n);
    }
}

void capp_mix_rows(capp_forward *f, const capp_layer *layer) {
    mixing m = mixing_of(f, layer);
    if (m.mix->kind == CAPP_MIX_WKV)
        capp_wkv_inputs(f, &m);
    else
        capp_pool_run(f->pool, convolution_task, &m, (m.channels + CHANNELS - 1) / CHANNELS);
    if (m.mix->kind == CAPP_MIX_SHORT) return;
    if (capp_mix_selects(m.mix)) select_inputs(f, &m);
    if (m.mix->kind == CAPP_MIX_KIMI) kimi_inputs(f, &m);
    capp_pool_run(f->pool, prepare_task, &m, (f->n + MIX_ROWS - 1) / MIX_ROWS);
    capp_pool_run(f->pool, state_task, &m, m.mix->heads * blocks_of(m.mix));
}

/* ---- The way out ----------------------------------------------------------------------------------------------------
 */

/* Each head is normalized, then multiplied by its gate. */
static const float *finish_delta(const mixing *m, float *row) {
    const capp_mix *mix = m->mix;
    const capp_weights *w = m->f->weights;
    float *v = row + 2 * (size_t)mix->groups * mix->keys, *gate = row + m->channels;
    for (size_t i = 0; i < mix->heads; i++) {
        float *head = v + i * mix->values;
        if (m->layer->mix_norm) w->kernels->rms_norm(head, head, m->layer->mix_norm, mix->values, w->hparams.norm_eps);
        w->kernels->silu_mul(head, gate + i * mix->values, head, mix->values);
    }
    return v;
}

/* The output is multiplied by its gate, then each group is normalized; or the other way round. */
static const float *finish_scan(const mixing *m, float *row) {
    const capp_weights *w = m->f->weights;
    float *x = row + m->inputs;
    size_t n = m->inputs / m->mix->groups;
    if (!m->mix->norm_first) w->kernels->silu_mul(x, row, x, m->inputs);
    for (size_t i = 0; m->layer->mix_norm && i < m->mix->groups; i++)
        w->kernels->rms_norm(x + i * n, x + i * n, m->layer->mix_norm + i * n, n, w->hparams.norm_eps);
    if (m->mix->norm_first) w->kernels->silu_mul(x, row, x, m->inputs);
    return x;
}

/* Each head is normalized, then multiplied by the sigmoid of its gate. */
static const float *finish_kimi(const mixing *m, float *row) {
    const capp_mix *mix = m->mix;
    const capp_weights *w = m->f->weights;
    size_t outputs = (size_t)mix->heads * mix->values;
    float *v = row + 2 * outputs, *gate = row + m->layer->mix_in.n + outputs;
    for (size_t i = 0; i < mix->heads; i++) {
        float *head = v + i * mix->values;
        if (m->layer->mix_norm) w->kernels->rms_norm(head, head, m->layer->mix_norm, mix->values, w->hparams.norm_eps);
    }
    for (size_t i = 0; i < outputs; i++) v[i] *= capp_sigmoid(gate[i]);
    return v;
}

static const float *finish_select(const mixing *m, float *row) {
    m->f->weights->kernels->silu_mul(row, row + m->channels, row, m->channels);
    return row;
}

const float *capp_mix_finish(const capp_forward *f, const capp_layer *layer, size_t r) {
    mixing m = mixing_of(f, layer);
    float *row = row_of(&m, r);
    if (m.mix->kind == CAPP_MIX_SHORT) return row;
    if (capp_mix_selects(m.mix)) return finish_select(&m, row);
    if (m.mix->kind == CAPP_MIX_KIMI) return finish_kimi(&m, row);
    if (m.mix->kind == CAPP_MIX_WKV) return capp_wkv_finish(&m, row);
    return m.mix->kind == CAPP_MIX_DELTA ? finish_delta(&m, row) : finish_scan(&m, row);
}
