/* The progress of a run on stderr: a bar on a terminal, otherwise a line from time to time. */
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
    double interval;                        /* seconds between lines; 0: none */
    double start, shown;                    /* seconds_now */
    progress_point points[PROGRESS_POINTS]; /* a ring of the last points, half a second apart */
    size_t n_points;
} progress;

/* bar: stderr is a terminal; otherwise a line every `seconds` seconds, or none if 0. */
void progress_start(progress *shown, bool bar, double seconds);

/* rows: number of rows computed; share: share of the work from 0 to 1, or below 0 if unknown. */
void progress_show(progress *shown, size_t rows, double share);

/* Erases the bar, if there is one. */
void progress_wipe(void);

#endif
