/* Work around each public function: cancellation, time, the floating-point environment. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "base/platform.h"
#include "engine/handles.h"

double capp_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

unsigned capp_session_begin(capp_session *session) {
    if (!session->calls++) {
        atomic_store(&session->cancelled, false);
        session->call_start = capp_seconds();
    }
    return capp_enter_arithmetic();
}

void capp_session_end(capp_session *session, unsigned arithmetic) {
    capp_leave_arithmetic(arithmetic);
    if (!--session->calls) session->stats.seconds += capp_seconds() - session->call_start;
}

bool capp_session_cancelled(const capp_session *session) {
    return atomic_load_explicit(&session->cancelled, memory_order_relaxed);
}

void capp_session_cancel(capp_session *session) {
    atomic_store(&session->cancelled, true);
}
