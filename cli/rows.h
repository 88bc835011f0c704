/* From a record of the input to what the library scores. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "notes.h"
#include "options.h"
#include "template.h"

typedef enum row_need {
    NEED_CHOICES,         /* a prompt and completions */
    NEED_CHOICES_OR_TEXT, /* or, where nothing gives completions, a text */
    NEED_PROMPT,          /* a template, `prompt` or `text` */
    NEED_TEXT             /* `text` */
} row_need;

/* How a label says which class is right: in one way for a whole run. */
typedef enum label_reading {
    LABELS_BY_TEXT,   /* by the text of the class */
    LABELS_BY_INDEX,  /* by its index from 0 */
    LABELS_UNDECIDED, /* in either way: while check_input finds out which */
} label_reading;

/* What holds for all rows. */
typedef struct row_rules {
    row_need need;
    bool has_template;
    template template;
    arena memory; /* of what follows */
    capp_str *classes;
    size_t n_classes; /* 0: rows bring completions */
    double *prior;
    size_t n_prior; /* 0: none */
    const char *end_of_prompt;
    bool normalize;
    const char *label; /* field, or NULL */
    label_reading labels;
    const char *id;  /* field, or NULL: `id` where there is one */
    bool fields;     /* rows keep the fields of the input */
    capp_str *asked; /* [n_asked] fields that the run looks for */
    size_t n_asked, asked_capacity;
    notes notes;
} row_rules;

typedef struct row {
    size_t line;     /* where it begins in the input, from 1 */
    capp_str reason; /* why it cannot be scored: see row_is_bad; then only line and the id are sure to be there */
    capp_str id;     /* text of its own id, or its index from 0 among the rows */
    bool id_given;   /* the row has one of its own */
    bool id_string;  /* a string; else id is JSON */
    bool is_text;    /* example.prompt is a text to score by itself */
    capp_example example;
    const field *fields; /* [n_fields] of the input, where rules ask for them */
    size_t n_fields;
    size_t label;          /* index of the right class, where rules ask for a label */
    capp_str label_text;   /* the label as it stands in the input */
    size_t label_found[2]; /* index of the class by text and by index; SIZE_MAX: it is none */
    capp_str label_json;   /* the field `label` as JSON; size 0: there is none */
} row;

/* From options; false and a message where the template, the classes or the prior are wrong. */
bool rules_open(row_rules *rules, const options *o, row_need need, capp_error *err);
void rules_close(row_rules *rules);

/* How the reader reads what the options name. Borrows from both until the reader is closed. */
reader_options rules_reader(const row_rules *rules, const options *o);

/* Tells the rules of the model, once it is open, for warnings about the text of BOS. bos: whether prompts get one. */
void rules_set_model(row_rules *rules, const capp_model *model, bool bos, bool parse_special);

/* The next row, in memory of a until a is reset. index: among the rows of the input, bad ones counted. READ_ROW: *r is
 * there, perhaps bad. READ_FAILED: no row can be read any more; err->row is the line. */
read_status row_read(row *r, row_rules *rules, reader *from, size_t index, bool wait, arena *a, capp_error *err);

/* Whether the row cannot be scored. The options' on_error says what becomes of it. */
bool row_is_bad(const row *r);

/* Makes it one, for this reason; a copy of it goes into a. */
void row_set_bad(row *r, const char *reason, arena *a);

#endif
