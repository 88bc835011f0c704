/* How far a run is, on stderr: a bar on a terminal, else a line now and then. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "util.h"

enum { PROGRESS_POINTS = 64 };

typedef struct progress_point {
    double time, share;
    size_t rows;
} progress_point;

typedef struct progress {
    bool bar;
    double interval;                        /* seconds between what is shown; 0: nothing is */
    double start, shown;                    /* seconds_now */
    progress_point points[PROGRESS_POINTS]; /* a ring of what was told last, half a second apart */
    size_t n_points;
} progress;

/* bar: there is a terminal to draw on; else a line each so many seconds, or none where 0. */
void progress_start(progress *p, bool bar, double seconds);

/* rows that are computed; share: of the work, 0 to 1, or below 0 where unknown. */
void progress_show(progress *p, size_t rows, double share);

/* Wipes the bar, if one is drawn. */
void progress_wipe(void);

#endif
