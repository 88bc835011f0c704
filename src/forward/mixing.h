/* What the files share that compute the parts of layers with a state from token to token: where rows and states are. */
#ifndef CAPP_FORWARD_MIXING_H
#define CAPP_FORWARD_MIXING_H

#include <string.h>

#include "forward/wave.h"

/* The rows of a task; the columns of a state that a task takes; the most keys of a head. */
enum { MIX_ROWS = 8, COLUMNS = 64, MOST_KEYS = CAPP_MOST_KEYS };

typedef struct mixing {
    const capp_forward *f;
    const capp_layer *layer;
    const capp_mix *mix;
    float *states;    /* of the layer: [slots of states][state_floats] */
    size_t channels;  /* of the convolution */
    size_t inputs;    /* a row of f->t has the convolved inputs from here on */
    size_t inner, at; /* the product that runs between convolution and state; where its inputs are in a row of f->t */
    size_t b, steps;  /* SCAN, SELECT, PLAMO: where b, then c, and the steps are in a row of f->t */
} mixing;

static inline mixing mixing_of(const capp_forward *f, const capp_layer *layer) {
    const capp_hparams *h = &f->weights->hparams;
    const capp_mix *mix = &h->mix;
    const bool scan = mix->kind == CAPP_MIX_SCAN;
    mixing m = {.f = f,
                .layer = layer,
                .mix = mix,
                .states = f->states + (layer->state * f->n_states + f->first_state) * f->state_floats,
                .channels = capp_mix_channels(h),
                .inputs = scan ? (size_t)mix->heads * mix->values : 0};
    m.b = scan ? 2 * m.inputs : 2 * m.channels + mix->rank;
    m.steps = m.b + 2 * (size_t)mix->groups * mix->keys;
    return m;
}

static inline float *row_of(const mixing *m, size_t row) {
    return m->f->t + row * m->f->t_stride;
}

/* Makes the numbers at .. at + n - 1 of the row's state those of its parent, and returns them. */
static inline float *enter(const mixing *m, size_t row, size_t at, size_t n) {
    const capp_forward *f = m->f;
    const capp_step *step = &f->steps[row];
    float *state = m->states + step->state * f->state_floats + at;
    if (step->from == CAPP_NO_SLOT)
        memset(state, 0, n * sizeof *state);
    else if (step->from != step->state)
        memcpy(state, m->states + step->from * f->state_floats + at, n * sizeof *state);
    return state;
}

/* out [n] = the state s [keys][n] read with the key. */
static inline void read_state(const mixing *m, float *out, const float *s, const float *key, size_t n) {
    memset(out, 0, n * sizeof *out);
    m->f->weights->kernels->values(out, n, key, m->mix->keys, 1, s, n, n, m->mix->keys);
}

/* CAPP_MIX_WKV: normalizes the rows of f->x, mixes them with those of the tokens before, and computes the inputs of the
 * state. The others are as in mix.c: what a row's inputs become; what they do with a piece of the state; the inputs of
 * mix_out. */
void capp_wkv_inputs(capp_forward *forward, const mixing *m);
void capp_wkv_prepare(const mixing *m, size_t row);
void capp_wkv_row(const mixing *m, float *row, size_t head, size_t group, float *s, size_t column, size_t n);
const float *capp_wkv_finish(const mixing *m, float *row);

#endif
