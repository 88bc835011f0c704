/* Signals: see util.h. */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

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
    /* No SA_RESTART, because a blocked read must return. SA_RESETHAND: the second signal ends the process if the first
     * could not. */
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    if (!sigaction(number, NULL, &old) && old.sa_handler != SIG_IGN) sigaction(number, &action, NULL);
}

void interrupt_watch(void) {
    watch(SIGINT);
    watch(SIGTERM);
    watch(SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* so a file that is too large is an error of write */
}

void fill_standard_files(void) {
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        if (fcntl(i, F_GETFD) < 0 && errno == EBADF) open("/dev/null", i == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void interrupt_session(capp_session *session) {
    atomic_store(&watched, session);
}

int interrupted(void) {
    return caught;
}
