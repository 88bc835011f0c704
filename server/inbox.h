/* Requests on their way from one thread to the next, in their order. */
#ifndef SERVER_INBOX_H
#define SERVER_INBOX_H

#include <pthread.h>
#include <stdbool.h>

typedef struct server server;
typedef struct request request;

/* With the server's lock. */
typedef struct inbox {
    request *first, **end;
    pthread_cond_t wake; /* of the thread that takes them */
    bool ends;           /* nothing more will come */
} inbox;

void inbox_init(inbox *box);
void inbox_free(inbox *box);

/* Adds a request; the lock is held. */
void inbox_put(inbox *box, request *r);

/* Takes all requests, linked by `next`. wait: until there are some or it ends. False: it has ended. */
bool inbox_take(server *s, inbox *box, bool wait, request **list);

/* The thread that takes them ends when it has taken what is there. */
void inbox_end(server *s, inbox *box);

#endif
