/* String operations that methods, filters and tests share. They behave like the methods of Python's str. */
#ifndef CAPP_JINJA_STRINGS_H
#define CAPP_JINJA_STRINGS_H

#include "jinja/value.h"

/* Letters. CAPP_JINJA_FIRST_UPPER_CASE: the first one upper, the others lower, like str.capitalize. */
typedef enum capp_jinja_letter_case {
    CAPP_JINJA_LOWER_CASE,
    CAPP_JINJA_UPPER_CASE,
    CAPP_JINJA_TITLE_CASE,
    CAPP_JINJA_FIRST_UPPER_CASE
} capp_jinja_letter_case;

capp_jinja_value capp_jinja_change_case(capp_jinja_run *run, const capp_jinja_string *string,
                                        capp_jinja_letter_case to);
bool capp_jinja_has_case(const capp_jinja_string *string, bool upper); /* str.isupper, str.islower */

/* Removes characters of a set (NULL: white space) at one or both ends. */
capp_jinja_value capp_jinja_strip(capp_jinja_run *run, const capp_jinja_string *string, const capp_jinja_string *set,
                                  bool left, bool right);

/* The byte where part begins in string: the first place at or after `from`, or the last one that ends at or before
 * `end`. SIZE_MAX: part does not occur. */
size_t capp_jinja_find_first(capp_jinja_run *run, const capp_jinja_string *string, size_t from,
                             const capp_jinja_string *part);
size_t capp_jinja_find_last(capp_jinja_run *run, const capp_jinja_string *string, size_t end,
                            const capp_jinja_string *part);

/* limit: maximum number of replacements; below 0: all. */
capp_jinja_value capp_jinja_replace(capp_jinja_run *run, const capp_jinja_string *string, const capp_jinja_string *old,
                                    const capp_jinja_string *replacement, int64_t limit);

capp_jinja_value capp_jinja_join(capp_jinja_run *run, const capp_jinja_string *separator, const capp_jinja_list *items);

/* LISTs. limit: maximum number of splits; below 0: all. from_end: like str.rsplit. keep_ends: lines keep their line
 * ends. */
capp_jinja_value capp_jinja_split_words(capp_jinja_run *run, const capp_jinja_string *string, int64_t limit);
capp_jinja_value capp_jinja_split(capp_jinja_run *run, const capp_jinja_string *string,
                                  const capp_jinja_string *separator, int64_t limit, bool from_end);
capp_jinja_value capp_jinja_split_lines(capp_jinja_run *run, const capp_jinja_string *string, bool keep_ends);

#endif
