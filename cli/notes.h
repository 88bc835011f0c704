/* Warnings about the input. Each is printed once, with the first row that causes it. None of them stops a run. */
#ifndef CLI_NOTES_H
#define CLI_NOTES_H

#include "util.h"

typedef enum note {
    NOTE_PROMPT_SPACE,     /* a prompt ends with a space, and a space follows it */
    NOTE_COMPLETION_SPACE, /* a completion begins with a space, and another space precedes it */
    NOTE_FORMS,            /* completions of a row look the same but differ */
    NOTE_EMPTY,            /* a column of the template is empty */
    NOTE_ID,               /* an id occurs a second time */
    NOTE_NO_ID,            /* a row has no id, and others have one */
    NOTE_BOS,              /* a prompt begins with the text of BOS, and BOS is added */
    NOTES
} note;

typedef struct notes {
    bool quiet;
    bool told[NOTES];
    const char *input; /* its name */
    bool space;        /* there is a space between prompt and completion unless a row says otherwise */
    capp_str bos;      /* text of the token BOS if it is added to prompts, otherwise size 0 */
    bool bos_parsed;   /* the text becomes the token */
    bool ids_known;    /* all ids were looked at */
    uint64_t *ids;     /* [ids_capacity] hash table of ids, with open addressing; 0: free */
    size_t n_ids, ids_capacity;
    bool with_id, without_id; /* some rows have an id; some have none */
} notes;

void notes_free(notes *notebook);

/* The data of a row: line, id, prompt and completions. empty: a column of the template that is empty, or size 0. */
typedef struct noted_row {
    size_t line;
    capp_str id; /* size 0: the row has no own id */
    capp_str empty;
    const capp_example *example; /* NULL: the row has none */
    bool own_completions;        /* they are the row's own */
} noted_row;

void notes_row(notes *notebook, const noted_row *row);

/* The text without spaces around it and without invisible characters, in normalization form C, in memory of a. Texts
 * that look the same give equal results. */
capp_str visible_form(capp_str text, arena *a);

/* Finds the indices of the first two texts that differ but look the same; false if there are none. */
bool find_lookalikes(const capp_str *texts, size_t n, size_t *first, size_t *second);

#endif
