/* How the races of many rows run through the model together. Only the files of race/ include this header.
 *
 * A round is a window of the token tree. Rows take part in order until the round is full. Each row adds its prompt, the
 * most promising beginnings of its completions, and as children all tokens with which completions continue. So no token
 * runs twice for its hidden state. Rows that have not begun fill the rest of a round, so waves are full although each
 * row needs little. The next round finds in the KV store what this round stored. If the store could not keep it, it is
 * computed again to the same bits. What a row asks for depends only on the row.
 *
 *   row.c     a row's text becomes tokens, and its completions become runners
 *   round.c   what the rows of a round need becomes paths of the token tree; runners take the results
 *   bounds.c  which completions may still win
 *   call.c    rounds until every row is decided; decisions are delivered in order */
#ifndef CAPP_RACE_ROUND_H
#define CAPP_RACE_ROUND_H

#include "race/row.h"

/* Builds a round in the lane's tree from the rows in progress and, in the fast lane, new ones. */
capp_status capp_race_fill_round(capp_race_call *call, capp_lane *lane, capp_error *err);

/* Gives the runners of a row the results of the round. */
void capp_race_read_round(capp_race_call *call, capp_race_row *row);

#endif
