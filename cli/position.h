/* Position debiasing (PriDe: Zheng et al. 2023) of a store whose prompts list the classes: some rows are scored with
 * the list in every rotation, and what all of them say about the places of the list becomes a shift for each class. The
 * table `rotations` of the store has these scores. */
#ifndef CLI_POSITION_H
#define CLI_POSITION_H

#include "decider.h"

/* ---- The sample ---- */

/* The rows that are scored in every rotation: one in 20, at least 20, at equal distances. */
typedef struct position_sample {
    size_t n, n_all; /* rows of the sample; rows with the classes of the run */
    size_t seen;     /* of these */
} position_sample;

bool position_sampled(position_sample *sample, store *s, capp_error *err);

/* Whether the sample has the row. Asked once for each row of the store, in order. */
bool position_takes(position_sample *sample, const stored_row *stored);

/* ---- Prompts ---- */

typedef struct rotations {
    const char *path;
    row_rules rules;
    buffer text; /* of one prompt */
    size_t n;    /* as many as classes; rotation r begins with class r, and 0 is that of the run */
} rotations;

/* settings: with the options of the run that shape its prompts. Fails if they do not make its template again. */
bool rotations_open(rotations *r, const decider *d, const options *settings, capp_error *err);
void rotations_close(rotations *r);

/* The prompt of a row in rotation i > 0, in memory of a. */
bool rotations_prompt(rotations *r, const stored_row *stored, size_t i, arena *a, capp_str *prompt, capp_error *err);

/* ---- Scores ---- */

/* Makes the table of the rotations if the store has none. */
bool position_table(store *s, capp_error *err);

/* Passes for each row of the sample the shift of each class of the decider that this row alone would give. Fails if the
 * store has not enough rows with all rotations. */
typedef void (*position_fn)(void *user, size_t index, const double *shift, size_t width);
bool position_read(decider *d, position_fn fn, void *user, capp_error *err);

#endif
