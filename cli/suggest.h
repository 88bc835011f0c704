/* Suggestions for an option that a command does not have. */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

/* Name of the option that the user most probably meant, or NULL. written: an option that the command does not have,
 * without the dashes before it. */
const char *suggest_option(const char *written, unsigned bit);

#endif
