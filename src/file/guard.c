/* The handler looks up the address in a table without locks. To add an entry, a thread first claims it by setting
 * `begin`, then sets `end`; only then can the handler find it. */
#define _POSIX_C_SOURCE 200809L
#include "file/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/platform.h"

enum { MOST_MAPPINGS = 4096 };

static struct entry {
    atomic_uintptr_t begin, end; /* 0: free; entry is not visible yet */
    atomic_uintptr_t fault;      /* 0: none */
} table[MOST_MAPPINGS];
static atomic_int used; /* entries from here on were never used */

static struct sigaction earlier;

static struct entry *entry_of(uintptr_t address) {
    int n = atomic_load(&used);
    for (int i = 0; i < n; i++)
        if (address < atomic_load(&table[i].end) && address >= atomic_load(&table[i].begin)) return &table[i];
    return NULL;
}

/* Behaves as if there were no guard. A default action is installed again: the failed read is then repeated and ends the
 * process. */
static void pass_on(int signal, siginfo_t *info, void *context) {
    if (earlier.sa_flags & SA_SIGINFO)
        earlier.sa_sigaction(signal, info, context);
    else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN)
        earlier.sa_handler(signal);
    else
        (void)sigaction(signal, &earlier, NULL);
}

static void handle(int signal, siginfo_t *info, void *context) {
    int saved = errno;
    uintptr_t address = (uintptr_t)info->si_addr, none = 0;
    struct entry *entry = info->si_code > 0 ? entry_of(address) : NULL;
    uintptr_t page = address / capp_page_size() * capp_page_size();
    /* Noted before the zeros are there: a thread that reads them must find the fault when it asks. */
    if (entry) atomic_compare_exchange_strong(&entry->fault, &none, address);
    if (!entry || !capp_map_zeros((void *)page, atomic_load(&entry->end) - page)) pass_on(signal, info, context);
    errno = saved;
}

capp_status capp_guard_install(capp_error *err) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool installed;
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART};
    int failed = 0;
    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&lock);
    if (!installed) {
        failed = sigaction(SIGBUS, NULL, &earlier) || sigaction(SIGBUS, &action, NULL);
        installed = !failed;
    }
    pthread_mutex_unlock(&lock);
    return failed ? capp_fail(err, CAPP_EIO, "cannot install the handler of SIGBUS") : CAPP_OK;
}

int capp_guard_enter(const void *data, size_t size) {
    for (int i = 0; i < MOST_MAPPINGS; i++) {
        uintptr_t none = 0;
        if (!atomic_compare_exchange_strong(&table[i].begin, &none, (uintptr_t)data)) continue;
        atomic_store(&table[i].fault, 0);
        const size_t page = capp_page_size();
        atomic_store(&table[i].end, (uintptr_t)data + (size + page - 1) / page * page);
        int seen = atomic_load(&used);
        while (seen <= i && !atomic_compare_exchange_weak(&used, &seen, i + 1)) {
        }
        return i;
    }
    return -1;
}

void capp_guard_leave(int number) {
    if (number < 0) return;
    atomic_store(&table[number].end, 0);
    atomic_store(&table[number].begin, 0);
}

const void *capp_guard_fault(int number) {
    return number < 0 ? NULL : (const void *)atomic_load(&table[number].fault);
}
