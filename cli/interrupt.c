/* Signals: see util.h. */
#define _GNU_SOURCE
#include "util.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

static volatile sig_atomic_t caught;
static _Atomic(capp_session *) watched;

static void on_signal(int number) {
    caught = number;
    capp_session *session = atomic_load(&watched);
    if (session) capp_session_cancel(session);
}

static void watch(int number) {
    struct sigaction old, action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    /* No SA_RESTART: a blocked read must return. Reset: the second signal ends what the first could not. */
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    if (!sigaction(number, NULL, &old) && old.sa_handler != SIG_IGN) sigaction(number, &action, NULL);
}

void interrupt_watch(void) {
    watch(SIGINT);
    watch(SIGTERM);
    signal(SIGPIPE, SIG_IGN);
}

void interrupt_session(capp_session *session) {
    atomic_store(&watched, session);
}

int interrupted(void) {
    return caught;
}
