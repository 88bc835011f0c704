/* From a record of the input to an example for the library. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "labels.h"
#include "notes.h"
#include "options.h"
#include "template.h"

typedef enum row_need {
    NEED_CHOICES,         /* a prompt and completions */
    NEED_CHOICES_OR_TEXT, /* or, if there are no completions, a text */
    NEED_PROMPT,          /* a template, `prompt` or `text` */
    NEED_TEXT             /* `text` */
} row_need;

/* Facts that hold for all rows. */
typedef struct row_rules {
    row_need need;
    bool has_template;
    template template;
    arena memory; /* for the members below */
    capp_str *classes;
    size_t n_classes; /* 0: rows contain their completions */
    /* Completions of classes that are not just their names: phrasing i is one of class class_of[i]. */
    capp_str *phrasings;    /* [n_phrasings] */
    size_t *class_of;       /* [n_phrasings] */
    size_t n_phrasings;     /* 0: each class is its own completion */
    capp_str *descriptions; /* [n_classes], or NULL */
    size_t n_undescribed;   /* classes without one, if the list of classes writes it */
    template *more;         /* [n_more] the template with the list of classes in its other orders */
    size_t n_more;
    capp_message *turns; /* [n_turns] examples as messages of a chat */
    size_t n_turns;
    double *prior;
    size_t n_prior; /* 0: none */
    const char *end_of_prompt;
    bool normalize;
    const char *label; /* field, or NULL */
    label_reading labels;
    const char *id;  /* field, or NULL: `id` if there is one */
    bool fields;     /* rows have the fields of the input */
    capp_str *asked; /* [n_asked] fields that the run needs */
    size_t n_asked, asked_capacity;
    notes notes;
} row_rules;

typedef struct row {
    size_t line;             /* line of the input on which it begins, from 1 */
    capp_str reason;         /* why it cannot be scored (see row_is_bad); then only line and id are valid */
    capp_str id;             /* text of its own id, or its index from 0 */
    bool id_given;           /* the row has its own id */
    bool id_string;          /* a string; else id is JSON */
    bool is_text;            /* example.prompt is a text to score by itself */
    bool own_normalize;      /* example.normalize is the row's own, not that of the rules */
    capp_example example;    /* its completions are classes, see rules_example */
    const capp_str *prompts; /* [n_more of the rules] the prompt with the list of classes in its other orders */
    const field *fields;     /* [n_fields] fields of the input, if the rules ask for them */
    size_t n_fields;
    size_t label;          /* index of the correct class, if the rules ask for a label */
    capp_str label_text;   /* the label as written in the input */
    size_t label_found[2]; /* index of the class by text and by index; SIZE_MAX: no class */
    capp_str label_json;   /* the field `label` as JSON; size 0: none */
} row;

/* Reads the rules from the options; false and a message if the template, the classes or the prior are wrong. */
bool rules_open(row_rules *rules, const options *settings, row_need need, capp_error *err);
void rules_close(row_rules *rules);

/* Whether each number of the prior can be one. Classes are counted from 1, as in all messages about them. */
bool rules_check_prior(const row_rules *rules, capp_error *err);

/* The completions of the run's classes: their phrasings, or themselves. */
const capp_str *rules_completions(const row_rules *rules, size_t *n);

/* Whether a class has several phrasings, whose likelihoods are added. */
bool rules_add_phrasings(const row_rules *rules);

/* A row's example for the library: with the phrasings of its classes. */
capp_example rules_example(const row_rules *rules, const capp_example *shown);

/* The scoring of the rows' calls, or NULL for none. Fills *scoring, which borrows from both. */
const capp_scoring *rules_scoring(const row_rules *rules, const options *settings, capp_scoring *scoring);

/* Warns of a discount that the options leave without a domain prompt. */
void warn_discount(const options *settings);

/* Whether the file of the rows is that of --examples: each row that is an example has its own answer in its prompt. */
bool rules_rows_are_examples(const options *settings);

/* The options of the reader. They borrow from both until the reader is closed. */
reader_options rules_reader(const row_rules *rules, const options *settings);

/* Gives the rules the open model, for warnings about the text of BOS. bos: whether prompts begin with BOS. */
void rules_set_model(row_rules *rules, const capp_model *model, bool bos, bool parse_special);

/* Reads the next row, in memory of a until a is reset. index: its index in the input, counting bad rows. READ_ROW:
 * *this_row is valid, perhaps bad. READ_FAILED: no more rows can be read; err->row is the line. */
read_status row_read(row *this_row, row_rules *rules, reader *from, size_t index, bool wait, arena *a, capp_error *err);

/* The second step of row_read, for a record that several rules read. from NULL: the record is malformed, and *err says
 * how. */
void row_make(row *this_row, row_rules *rules, const record *from, size_t index, arena *a, capp_error *err);

/* Whether the row cannot be scored. on_error of the options says what to do with it. */
bool row_is_bad(const row *this_row);

/* Marks the row as bad with this reason, which is copied into a. */
void row_set_bad(row *this_row, const char *reason, arena *a);

/* Whether one row may have caused this failure of a call, so that the rows after it can run. */
bool row_may_cause(capp_status status);

#endif
