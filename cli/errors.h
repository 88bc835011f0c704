/* OUT.errors.jsonl: the rows of the input that could not be scored, with the reasons. The file is next to the output.
 */
#ifndef CLI_ERRORS_H
#define CLI_ERRORS_H

#include "output_file.h"
#include "rows.h"

typedef struct error_list {
    output file;   /* .file below 0: there is none */
    char *path;    /* owned */
    size_t *rows;  /* [n_kept] rising indices of the input's rows that an earlier run has written to the file */
    uint64_t *end; /* [n_kept] offsets of the ends of their lines in the file */
    size_t n_kept, rows_capacity, end_capacity;
    size_t next; /* the first of them that is not below the index of the last call of errors_has */
} error_list;

/* Opens the file next to out. resume: reads what an earlier run has written; otherwise the first row replaces it. */
bool errors_open(error_list *list, const output *out, bool resume, capp_error *err);

/* Whether an earlier run could not score this row. Indices must rise from call to call. */
bool errors_has(error_list *list, size_t index);

/* Removes the lines of rows with this index or a higher one, because the run continues there. */
void errors_cut(error_list *list, size_t index);

/* False after a system error. */
bool errors_add(error_list *list, const row *this_row, size_t index);

/* False after any error. ended: the run is complete; what an earlier run wrote is removed, except what is kept. */
bool errors_close(error_list *list, bool ended);

#endif
