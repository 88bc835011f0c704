/* What is odd in the input and is told once, with the first row where it is so: none of it stops a run. */
#ifndef CLI_NOTES_H
#define CLI_NOTES_H

#include "util.h"

typedef enum note {
    NOTE_PROMPT_SPACE,     /* a prompt ends in a space, and a space is put behind it */
    NOTE_COMPLETION_SPACE, /* a completion begins with one, and another is put before it */
    NOTE_FORMS,            /* completions of a row look the same and differ */
    NOTE_EMPTY,            /* a column of the template is empty */
    NOTE_ID,               /* an id stands before */
    NOTE_BOS,              /* a prompt begins with the text of BOS, and BOS is added */
    NOTES
} note;

typedef struct notes {
    bool quiet;
    bool told[NOTES];
    const char *input; /* its name */
    bool space;        /* a space stands between prompt and completion where a row says nothing else */
    capp_str bos;      /* text of the token BOS where one is added to prompts; size 0: none is */
    bool bos_parsed;   /* the text becomes the token */
    bool ids_known;    /* all ids were looked at */
    uint64_t *ids;     /* [ids_capacity] hashes of ids, a table with open addresses; 0: free */
    size_t n_ids, ids_capacity;
} notes;

void notes_free(notes *n);

/* Of a row: its line, id, prompt and what may follow it. empty: a column of the template that is empty, or size 0. */
typedef struct noted_row {
    size_t line;
    capp_str id; /* size 0: the row has none of its own */
    capp_str empty;
    const capp_example *example; /* NULL: the row has none */
    bool own_completions;        /* they are the row's own */
} noted_row;

void notes_row(notes *n, const noted_row *row);

/* The text without spaces around it and without characters that nobody sees, in normalisation form C, in memory of a:
 * equal for texts that look the same. */
capp_str visible_form(capp_str text, arena *a);

/* Indices of the first two texts that differ and look the same; false: there are none. */
bool find_lookalikes(const capp_str *texts, size_t n, size_t *first, size_t *second);

#endif
