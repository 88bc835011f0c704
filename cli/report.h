/* What a report of evaluate says about labeled rows besides their number: metrics, classes, and the rows to look at. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "rows.h"

#include "capp_arrays.h"

enum { REPORT_CLASSES = 2000, REPORT_ROWS = 10, REPORT_BINS = 10 };

/* A row to look at. It owns its texts. */
typedef struct report_row {
    double key;   /* the higher, the earlier in its list */
    size_t index; /* of the row in a store */
    char *tokens; /* its tokens as HTML, or NULL */
    char *id, *prompt, *label, *prediction;
    double probability, margin; /* of the prediction */
} report_row;

typedef struct report {
    bool known;            /* every row has been added, so there are metrics */
    capp_measure *measure; /* NULL: no row was added */
    size_t width;          /* classes of the metrics */
    const capp_str *names; /* [n_names] the run's classes */
    size_t n_names;
    size_t (*histogram)[REPORT_BINS]; /* [width] by prediction: rows by its probability */
    report_row mistakes[REPORT_ROWS], uncertain[REPORT_ROWS];
    size_t n_mistakes, n_uncertain;
} report;

/* names: borrowed. */
void report_open(report *r, const capp_str *names, size_t n_names);
void report_close(report *r);

/* Adds a labeled row. index: in its store, or 0. posterior: of all its classes. */
void report_add(report *r, const row *this_row, size_t index, size_t prediction, const double *posterior);

/* A row was counted without its probabilities: there are no metrics. */
void report_miss(report *r);

/* Appends members of a JSON object, each after a comma, or lines of text; nothing if there are no metrics. */
void report_json(const report *r, buffer *b);
void report_text(const report *r, buffer *b);

/* The same for what a calibration changes; nothing if there are no metrics of both. */
void report_change_json(const report *before, const report *after, const char *method, buffer *b);
void report_change_text(const report *before, const report *after, const char *method, buffer *b);

/* A page with plots that needs nothing else. title: what was evaluated. before: the report without the calibration, or
 * NULL if there is none. */
void report_html(const report *r, const report *before, buffer *b, const char *title);

/* Appends text in which the characters of HTML's syntax are escaped. */
void put_html(buffer *b, capp_str text);

/* Numbers that a calibration changes, and their names. */
enum { REPORT_CHANGES = 5 };
extern const char *const report_change_titles[REPORT_CHANGES];
bool report_numbers(const report *r, double values[REPORT_CHANGES]);

/* Appends the name of a class, or its index. */
void report_class(const report *r, buffer *b, size_t index);

#endif
