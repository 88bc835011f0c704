/* How the races of many rows go through the model together. Only the files of race/ include this header.
 *
 * A round is a window of the token tree. Rows take part in order until the round is full; each brings its prompt, the
 * most promising beginnings of its completions, and as children to score all tokens by which completions go on from
 * there: so no token runs twice for its hidden state. Rows that have not begun fill what is left of a round: waves are
 * full though each row asks for little. What one round stored, the next finds resident; where the store could not keep
 * it, it is computed again to the same bits. What a row asks for depends on nothing but the row.
 *
 *   row.c     a row's text becomes tokens, its completions runners
 *   round.c   what the rows of a round want to know becomes paths of the token tree; runners take the answers
 *   bounds.c  who may still win
 *   call.c    rounds until every row is decided, decisions delivered in order */
#ifndef CAPP_RACE_ROUND_H
#define CAPP_RACE_ROUND_H

#include "race/row.h"

/* Puts a round of the lane together in its tree, from the rows that are there and, in the fast lane, new ones. */
capp_status capp_race_fill(capp_race_call *call, capp_lane *lane, capp_error *err);

/* The runners of a row take what the round found. */
void capp_race_take(capp_race_call *call, capp_race_row *row);

#endif
