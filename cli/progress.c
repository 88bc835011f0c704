#include "progress.h"

#include <stdio.h>
#include <string.h>

static bool drawn; /* a bar stands on the line of the cursor */

void progress_start(progress *p, bool shown) {
    double now = seconds_now();
    *p = (progress){.shown = shown, .start = now, .drawn = now};
    complain_after(progress_wipe);
}

void progress_wipe(void) {
    if (drawn) fputs("\r\033[K", stderr);
    drawn = false;
}

static const char *time_text(double seconds, char text[32]) {
    unsigned long whole = seconds < 359999 ? (unsigned long)(seconds + 0.5) : 359999;
    if (whole < 3600)
        snprintf(text, 32, "%lu:%02lu", whole / 60, whole % 60);
    else
        snprintf(text, 32, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    return text;
}

void progress_show(progress *p, size_t rows, double share) {
    enum { WIDTH = 24 };
    double now = seconds_now(), elapsed = now - p->start;
    if (!p->shown || now - p->drawn < 0.1) return;
    p->drawn = now;
    char time[32];
    double rate = (double)rows / elapsed;
    if (share > 0) {
        if (share > 1) share = 1;
        char bar[WIDTH + 1];
        size_t full = (size_t)(share * WIDTH);
        memset(bar, '.', WIDTH);
        memset(bar, '#', full);
        bar[WIDTH] = 0;
        fprintf(stderr, "\r[%s] %3.0f %%  %zu rows, %.1f/s, %s left\033[K", bar, 100 * share, rows, rate,
                time_text(elapsed * (1 - share) / share, time));
    } else {
        fprintf(stderr, "\r%zu rows, %.1f/s, %s\033[K", rows, rate, time_text(elapsed, time));
    }
    fflush(stderr);
    drawn = true;
}
