#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR = 24, LEAST_COLUMNS = 10, USUAL_COLUMNS = 80 };

static const double BAR_SECONDS = 0.1, POINT_SECONDS = 0.5, HONEST_SECONDS = 5;

static bool drawn; /* a bar is on the current line */

void progress_start(progress *shown, bool bar, double seconds) {
    double now = seconds_now();
    *shown = (progress){.bar = bar, .interval = bar ? BAR_SECONDS : seconds, .start = now, .shown = now};
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

static size_t terminal_columns(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col) return USUAL_COLUMNS;
    return size.ws_col;
}

/* Writes as many parts as fit the width, the most important first, in the order of `places`. */
static void put_parts(char *line, size_t size, size_t width, const char *const *parts, const int *places, size_t n) {
    size_t used = 0;
    bool shown[8] = {false};
    for (size_t i = 0; i < n; i++) {
        size_t more = strlen(parts[i]) + (used ? 2 : 0);
        if (!*parts[i] || used + more > width) continue;
        shown[i] = true;
        used += more;
    }
    *line = 0;
    for (size_t place = 0; place < n; place++)
        for (size_t i = 0; i < n; i++) {
            size_t at = strlen(line);
            if (shown[i] && places[i] == (int)place) snprintf(line + at, size - at, at ? "  %s" : "%s", parts[i]);
        }
}

static void put_bar(char bar[BAR + 3], double share) {
    size_t full = (size_t)(share * BAR);
    bar[0] = '[';
    memset(bar + 1, '.', BAR);
    memset(bar + 1, '#', full);
    bar[BAR + 1] = ']';
    bar[BAR + 2] = 0;
}

/* Keeps a point every half second, so that the speed is that of the last half minute. It does not include the start or
 * rows that came from a cache. */
static const progress_point *oldest_point(progress *shown, progress_point now) {
    if (!shown->n_points || now.time - shown->points[(shown->n_points - 1) % PROGRESS_POINTS].time >= POINT_SECONDS)
        shown->points[shown->n_points++ % PROGRESS_POINTS] = now;
    return &shown->points[shown->n_points > PROGRESS_POINTS ? shown->n_points % PROGRESS_POINTS : 0];
}

void progress_show(progress *shown, size_t rows, double share) {
    double now = seconds_now(), elapsed = now - shown->start;
    if (share > 1) share = 1;
    const progress_point *from = oldest_point(shown, (progress_point){now, share, rows});
    if (!(shown->interval > 0) || now - shown->shown < shown->interval) return;
    shown->shown = now;
    char bar[BAR + 3] = "", percent[16] = "", count[64], speed[32] = "", left[64] = "", time[32], line[256];
    double seconds = now - from->time;
    snprintf(count, sizeof count, "%zu rows", rows);
    if (seconds > 0) snprintf(speed, sizeof speed, "%.1f/s", (double)(rows - from->rows) / seconds);
    if (share >= 0) {
        put_bar(bar, share);
        snprintf(percent, sizeof percent, "%.0f %%", 100 * share);
    }
    if (share >= 0 && share > from->share && elapsed >= HONEST_SECONDS)
        snprintf(left, sizeof left, "%s left", time_text(seconds * (1 - share) / (share - from->share), time));
    else if (share < 0)
        snprintf(left, sizeof left, "%s", time_text(elapsed, time));
    const char *const parts[] = {percent, left, count, speed, shown->bar ? bar : ""};
    const int places[] = {1, 4, 2, 3, 0};
    size_t columns = shown->bar ? terminal_columns() : sizeof line;
    put_parts(line, sizeof line, columns > LEAST_COLUMNS ? columns - 1 : LEAST_COLUMNS - 1, parts, places, 5);
    if (!shown->bar) {
        complain("%s", line);
        return;
    }
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    drawn = true;
}
