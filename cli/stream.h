/* A model that is larger than memory: why it is slow, and how long a run takes at least. */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include "options.h"

typedef struct stream {
    double wave_seconds; /* that a wave takes at least; 0: the weights fit the memory, or it is not known */
} stream;

/* Prints the reason and the time of a wave, if the weights do not fit the memory. */
void stream_open(stream *s, const capp_model *model, const options *settings);

/* Prints how long a run takes at least. The examples are the next n of `left`, and `orders` calls score each. Prints
 * nothing a second time, or if the time of a wave is not known. */
void stream_forecast(stream *s, capp_session *session, const capp_example *examples, size_t n, size_t left,
                     size_t orders, const capp_run_options *how);

#endif
