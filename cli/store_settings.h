/* The settings of a run in its store: written by classify, read by the commands that work without the model. */
#ifndef CLI_STORE_SETTINGS_H
#define CLI_STORE_SETTINGS_H

#include "store.h"

/* What a run writes. */
typedef struct store_run {
    const options *settings;
    const row_rules *rules;
    const capp_str *columns; /* [n_columns] of CSV and TSV */
    size_t n_columns;
    capp_str manifest;
} store_run;

bool store_describe(store *s, const store_run *how, const capp_model *model);

/* Notes that the run has ended with all rows. */
bool store_end(store *s);

/* What the other commands read. All zero before store_learn. */
typedef struct store_facts {
    row_rules rules; /* classes, prior, normalize, id */
    capp_str *columns;
    size_t n_columns;
    capp_str manifest, arguments; /* JSON; arguments: [["template", "..."], ["chat", null], ...] */
    capp_aggregate aggregate;
    double margin, discount;
    capp_str domain;
    row_policy on_error;
    bool ended;
} store_facts;

bool store_learn(store_facts *facts, store *s, capp_error *err);

/* The argument of an option of the run, in memory of a: the last one. size 0: it was not given, or takes none. */
capp_str store_argument(const store_facts *facts, const char *name, arena *a);

void store_forget(store_facts *facts);

#endif
