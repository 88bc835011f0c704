/* One line on a terminal's stderr: share done, rows a second, time left. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "util.h"

typedef struct progress {
    bool shown;
    double start, drawn; /* seconds_now */
} progress;

/* shown: whether there is a terminal to draw on. */
void progress_start(progress *p, bool shown);

/* share: 0 to 1, or below 0 where unknown. Draws at most ten times a second. */
void progress_show(progress *p, size_t rows, double share);

/* Wipes the line, if one is drawn. */
void progress_wipe(void);

#endif
