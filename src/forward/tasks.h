/* How the work of a wave is cut into tasks for the threads. No sum depends on it. */
#ifndef CAPP_FORWARD_TASKS_H
#define CAPP_FORWARD_TASKS_H

#include <stddef.h>

/* The number of rows of a task of a product of `rows` rows, at most `most`, where a task computes one of `groups`
 * groups of columns: the largest one with which `threads` threads are done within 5 % of the best possible time, or the
 * one that takes least if there is none. extra: what else a task reads takes about as long as so many rows. */
size_t capp_task_rows(size_t rows, size_t groups, size_t threads, size_t most, size_t extra);

#endif
