#include "inbox.h"

#include "request.h"

void inbox_init(inbox *box) {
    *box = (inbox){0};
    box->end = &box->first;
    pthread_cond_init(&box->wake, NULL);
}

void inbox_free(inbox *box) {
    pthread_cond_destroy(&box->wake);
}

void inbox_put(inbox *box, request *r) {
    r->next = NULL;
    *box->end = r;
    box->end = &r->next;
    pthread_cond_signal(&box->wake);
}

bool inbox_take(server *s, inbox *box, bool wait, request **list) {
    pthread_mutex_lock(&s->lock);
    while (!box->first && wait && !box->ends) pthread_cond_wait(&box->wake, &s->lock);
    *list = box->first;
    box->first = NULL;
    box->end = &box->first;
    bool goes_on = *list || !wait || !box->ends;
    pthread_mutex_unlock(&s->lock);
    return goes_on;
}

void inbox_end(server *s, inbox *box) {
    pthread_mutex_lock(&s->lock);
    box->ends = true;
    pthread_cond_signal(&box->wake);
    pthread_mutex_unlock(&s->lock);
}
