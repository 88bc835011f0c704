/* How similar two names are, for messages about unknown ones. */
#include <string.h>

#include "model/arch.h"

enum { MOST_NAME = 64 };

size_t capp_name_distance(capp_str a, const char *b) {
    size_t row[MOST_NAME + 1], n = strlen(b);
    if (n > MOST_NAME) return SIZE_MAX;
    if (a.size > MOST_NAME) a.size = MOST_NAME;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 0; i < a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t changed = diagonal + (a.data[i] != b[j]), above = row[j + 1] + 1, left = row[j] + 1;
            diagonal = row[j + 1];
            row[j + 1] = above < left ? above : left;
            if (changed < row[j + 1]) row[j + 1] = changed;
        }
    }
    return row[n];
}
