/* --chat and the options that belong to it. */
#ifndef CLI_CHAT_H
#define CLI_CHAT_H

#include "options.h"

/* The chat that the options ask for, or NULL. turns: n messages that follow the system message. */
bool chat_open(capp_chat **chat, const options *settings, const capp_message *turns, size_t n, const capp_model *model,
               capp_error *err);

#endif
